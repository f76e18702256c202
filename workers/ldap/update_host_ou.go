package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// updateHostOU notes what was there before, for Undo to put back.
func (w *Worker) updateHostOU() pipeline.Step {
	return pipeline.Step{
		Name:    "ldap:update_host_ou",
		Doc:     "writes the host's entry under ou=Hosts: names, address, host keys",
		Needs:   []string{"hostname", "fqdn?", "ipaddress", "ip6address?", "hostkeys?", "ldap_before?", "ldap_keys_before?"},
		Gives:   []string{"ldap_before", "ldap_keys_before"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Plan: func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
			in, err := c.Instance()
			if err != nil {
				return "", err
			}
			conn, err := w.connect(ctx)
			if err != nil {
				return "", err
			}
			defer func() { _ = conn.Close() }()
			e, err := w.entry(conn, in)
			if err != nil {
				return "", err
			}
			if e == nil {
				return fmt.Sprintf("would add cn=%s,%s", c.Get("hostname"), w.cfg.Base), nil
			}
			return "would update " + e.DN, nil
		},
		Do:    w.doUpdate,
		Undo:  w.undoUpdate,
		Drift: w.driftUpdate,
	}
}

// attributes of a host's entry; those of jarvisHost are left out when the directory does not know the class.
func attributes(c *clipboard.Clipboard, in clipboard.Instance, ours bool) (map[string][]string, error) {
	ip, err := c.Addr("ipaddress")
	if err != nil {
		return nil, err
	}
	set := map[string][]string{"ipHostNumber": {ip.String()}}
	if c.Has("ip6address") {
		a, err := c.Addr("ip6address")
		if err != nil {
			return nil, err
		}
		if a != ip {
			set["ipHostNumber"] = append(set["ipHostNumber"], a.String())
		}
	}
	if ours && c.Has("hostkeys") {
		if set["sshPublicHostKey"], err = c.Strings("hostkeys"); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// doUpdate tries to write host keys, too, and does without where the schema has no class for them.
func (w *Worker) doUpdate(ctx context.Context, c *clipboard.Clipboard) error {
	in, conn, e, err := w.open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if !c.Has("ldap_before") {
		// What Undo needs, on record before anything changes.
		before := "none"
		if e != nil {
			before = strings.Join(e.GetAttributeValues("ipHostNumber"), " ")
			if before == "" {
				before = "no address" // and so not of the class ipHost, which demands one
			}
		}
		if err := c.Set("ldap_before", before); err != nil {
			return err
		}
		if e != nil && len(e.GetAttributeValues("sshPublicHostKey")) > 0 {
			if err := c.Set("ldap_keys_before", e.GetAttributeValues("sshPublicHostKey")); err != nil {
				return err
			}
		}
		if err := pipeline.Keep(ctx, c); err != nil {
			return err
		}
	}
	for _, ours := range []bool{true, false} {
		set, err := attributes(c, in, ours)
		if err != nil {
			return pipeline.Permanent(err)
		}
		err = w.write(ctx, conn, e, in, set, ours)
		if ours && (goldap.IsErrorWithCode(err, goldap.LDAPResultUndefinedAttributeType) || goldap.IsErrorWithCode(err, goldap.LDAPResultInvalidAttributeSyntax) ||
			goldap.IsErrorWithCode(err, goldap.LDAPResultObjectClassViolation)) {
			pipeline.Log(ctx, "the directory does not know the class jarvisHost: host keys are not written there")
			continue
		}
		if err != nil {
			return w.say("write the entry of "+in.Hostname, err)
		}
		return nil
	}
	return nil
}

// names lists what the entry's cn holds.
func names(in clipboard.Instance) []string {
	if in.FQDN == in.Hostname {
		return []string{in.Hostname}
	}
	return []string{in.Hostname, in.FQDN}
}

// write adds or changes the entry so that it holds set. Errors are the library's own.
func (w *Worker) write(ctx context.Context, conn *goldap.Conn, e *goldap.Entry, in clipboard.Instance, set map[string][]string, ours bool) error {
	classes := []string{"device", "ipHost"}
	if ours {
		classes = append(classes, "jarvisHost")
	}
	names := names(in)
	if e == nil {
		add := goldap.NewAddRequest("cn="+goldap.EscapeDN(in.Hostname)+","+w.cfg.Base, nil)
		add.Attribute("objectClass", classes)
		add.Attribute("cn", names)
		for k, v := range set {
			add.Attribute(k, v)
		}
		if err := conn.Add(add); err != nil {
			return err
		}
		pipeline.Progress(ctx, "added cn="+in.Hostname)
		return nil
	}
	mod := goldap.NewModifyRequest(e.DN, nil)
	for _, class := range classes {
		if !hasValue(e, "objectClass", class) && class != "device" {
			mod.Add("objectClass", []string{class})
		}
	}
	for k, v := range set {
		if !sameValues(e.GetAttributeValues(k), v) {
			mod.Replace(k, v)
		}
	}
	for _, n := range names {
		if !hasValue(e, "cn", n) {
			mod.Add("cn", []string{n})
		}
	}
	if len(mod.Changes) == 0 {
		pipeline.Progress(ctx, "nothing to do: "+e.DN+" is right already")
		return nil
	}
	if err := conn.Modify(mod); err != nil {
		return err
	}
	pipeline.Progress(ctx, "updated "+e.DN)
	return nil
}

// hasValue reports whether the entry has the value, in any case.
func hasValue(e *goldap.Entry, attribute, value string) bool {
	return slices.ContainsFunc(e.GetAttributeValues(attribute), func(have string) bool { return strings.EqualFold(have, value) })
}

// undoUpdate deletes the entry that this run added, or puts its earlier address and host keys back.
func (w *Worker) undoUpdate(ctx context.Context, c *clipboard.Clipboard) error {
	if err := w.putBack(ctx, c); err != nil {
		return err
	}
	return errors.Join(c.Delete("ldap_before"), c.Delete("ldap_keys_before"))
}

// putBack takes doUpdate back, by ldap_before: it deletes the entry that it made, or gives an older one its address
// again.
func (w *Worker) putBack(ctx context.Context, c *clipboard.Clipboard) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	before := c.Get("ldap_before")
	if before == "" {
		return nil
	}
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	e, err := w.find(conn, w.cfg.Base, in.Hostname)
	if err != nil {
		return err
	}
	if e == nil {
		return nil
	}
	if whose, _, ours := ofHost(e, in); !ours {
		pipeline.Progress(ctx, e.DN+" is the entry of "+whose+" by now: left as it is")
		return nil
	}
	if before == "none" {
		if err := conn.Del(goldap.NewDelRequest(e.DN, nil)); err != nil && !goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
			return w.say("delete "+e.DN, err)
		}
		pipeline.Progress(ctx, "deleted "+e.DN)
		return nil
	}
	var keys []string
	if c.Has("ldap_keys_before") {
		if keys, err = c.Strings("ldap_keys_before"); err != nil {
			return pipeline.Permanent(err)
		}
	}
	mod := withoutAddress(e)
	if before != "no address" {
		mod = goldap.NewModifyRequest(e.DN, nil)
		mod.Replace("ipHostNumber", strings.Fields(before))
		if len(keys) == 0 && len(e.GetAttributeValues("sshPublicHostKey")) > 0 {
			mod.Replace("sshPublicHostKey", nil)
		}
	}
	if len(keys) > 0 {
		mod.Replace("sshPublicHostKey", keys)
	}
	if err := conn.Modify(mod); err != nil {
		return w.say("put back the address of "+e.DN, err)
	}
	pipeline.Progress(ctx, "put back the address of "+e.DN)
	return nil
}
