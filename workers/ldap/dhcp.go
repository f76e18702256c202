package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// DHCP says where ISC dhcpd finds its hosts (draft-ietf-dhc-ldap-schema, classes dhcpHost), and what it tells them.
type DHCP struct {
	Base    string   `yaml:"base" doc:"where dhcpHost entries live, as in cn=hosts,cn=dhcp,dc=example,dc=org"`
	Install []string `yaml:"install" doc:"dhcpStatements of a host that boots the installer, as in filename \"pxelinux.0\""`
	Local   []string `yaml:"local" doc:"dhcpStatements of a host that boots from its own disk; empty: none"`
}

// dhcpInstall and dhcpLocal write the host's entry for DHCP: which system it boots from the network, if any.
func (w *Worker) dhcpInstall() pipeline.Step {
	return w.dhcp("ldap:dhcp_install", "tells DHCP to have the host boot the installer from the network", func() []string { return w.cfg.DHCP.Install })
}

func (w *Worker) dhcpLocal() pipeline.Step {
	return w.dhcp("ldap:dhcp_local", "tells DHCP to have the host boot from its own disk", func() []string { return w.cfg.DHCP.Local })
}

func (w *Worker) dhcp(name, doc string, statements func() []string) pipeline.Step {
	return pipeline.Step{
		Name: name, Doc: doc,
		Needs:   []string{"hostname", "fqdn?", "macaddrs", "dhcp_before?"},
		Gives:   []string{"dhcp_before"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			if w.cfg.DHCP.Base == "" {
				return pipeline.Permanentf("workers.ldap.dhcp.base is not set: where are DHCP's hosts?")
			}
			return w.writeDHCP(ctx, c, statements())
		},
		Undo: w.undoDHCP,
	}
}

// hardware gives dhcpHWAddress for the first MAC address, the one that boots.
func hardware(c *clipboard.Clipboard) (string, error) {
	macs, err := c.Strings("macaddrs")
	if err != nil {
		return "", err
	}
	mac, err := net.ParseMAC(macs[0])
	if err != nil || len(mac) != 6 {
		return "", fmt.Errorf("\"macaddrs\" holds %q, which is no MAC address", macs[0])
	}
	return "ethernet " + mac.String(), nil
}

// writeDHCP notes what was there before it writes, for undoDHCP. A comment that somebody wrote stays.
func (w *Worker) writeDHCP(ctx context.Context, c *clipboard.Clipboard, statements []string) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	hw, err := hardware(c)
	if err != nil {
		return pipeline.Permanent(err)
	}
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	e, err := w.dhcpEntry(conn, in, hw)
	if err != nil {
		return err
	}
	if !c.Has("dhcp_before") {
		before := []string{"none"}
		if e != nil {
			before = append([]string{e.GetAttributeValue("dhcpHWAddress")}, e.GetAttributeValues("dhcpStatements")...)
		}
		if err := errors.Join(c.Set("dhcp_before", before), pipeline.Keep(ctx, c)); err != nil {
			return err
		}
	}
	if e == nil {
		add := goldap.NewAddRequest("cn="+goldap.EscapeDN(in.Hostname)+","+w.cfg.DHCP.Base, nil)
		add.Attribute("objectClass", []string{"top", "dhcpHost"})
		add.Attribute("cn", []string{in.Hostname})
		add.Attribute("dhcpHWAddress", []string{hw})
		add.Attribute("dhcpComments", []string{commentOf(in)})
		if len(statements) > 0 {
			add.Attribute("dhcpStatements", statements)
		}
		if err := conn.Add(add); err != nil {
			return w.say("add DHCP's entry of "+in.Hostname, err)
		}
		pipeline.Progress(ctx, "added "+add.DN)
		return nil
	}
	mod := goldap.NewModifyRequest(e.DN, nil)
	if e.GetAttributeValue("dhcpHWAddress") != hw {
		mod.Replace("dhcpHWAddress", []string{hw})
	}
	if !sameValues(e.GetAttributeValues("dhcpStatements"), statements) {
		mod.Replace("dhcpStatements", statements)
	}
	if len(mod.Changes) > 0 && len(e.GetAttributeValues("dhcpComments")) == 0 {
		mod.Replace("dhcpComments", []string{commentOf(in)})
	}
	if len(mod.Changes) == 0 {
		pipeline.Progress(ctx, "nothing to do: "+e.DN+" is right already")
		return nil
	}
	if err := conn.Modify(mod); err != nil {
		return w.say("change DHCP's entry of "+in.Hostname, err)
	}
	pipeline.Progress(ctx, strings.Join(append([]string{"changed " + e.DN}, statements...), "; "))
	return nil
}

// An entry says in dhcpComments whose it is: its name is the short one, which hosts of two domains may share.
const commentPrefix = "jarvis: "

func commentOf(in clipboard.Instance) string { return commentPrefix + in.FQDN }

// dhcpOf gives the full name that an entry says it is of; "" for one that says none.
func dhcpOf(e *goldap.Entry) string {
	for _, v := range e.GetAttributeValues("dhcpComments") {
		if name, ok := strings.CutPrefix(v, commentPrefix); ok {
			return fold(name)
		}
	}
	return ""
}

// dhcpEntry gives the host's entry for DHCP, nil when there is none. One that says it is another host's is refused, and
// so is one that says nothing, stands for another host by its place in the directory, and has another network card.
func (w *Worker) dhcpEntry(conn *goldap.Conn, in clipboard.Instance, hw string) (*goldap.Entry, error) {
	e, err := w.find(conn, w.cfg.DHCP.Base, in.Hostname)
	if err != nil || e == nil {
		return nil, err
	}
	refuse := func(whose string) error {
		return pipeline.Permanentf("%s at the directory %s is %s, not %s's: nothing is written; if it is this host's, set its dhcpComments to %q, or else give the host another name", e.DN, w.host, whose, in.FQDN, commentOf(in))
	}
	switch whose := dhcpOf(e); {
	case whose == fold(in.FQDN):
		return e, nil
	case whose != "":
		return nil, refuse("DHCP's entry of " + whose)
	}
	if strings.EqualFold(e.GetAttributeValue("dhcpHWAddress"), hw) {
		return e, nil
	}
	if whose, _, ours := ofHost(e, in); !ours {
		return nil, refuse("that of " + whose + " by its place, with another network card (" + e.GetAttributeValue("dhcpHWAddress") + ")")
	}
	return e, nil
}

// sameValues passes over the order, which means nothing in LDAP.
func sameValues(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// undoDHCP deletes the entry that this run added, or puts back what it held.
func (w *Worker) undoDHCP(ctx context.Context, c *clipboard.Clipboard) error {
	before, err := c.Strings("dhcp_before")
	if err != nil {
		return nil
	}
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	e, err := w.find(conn, w.cfg.DHCP.Base, in.Hostname)
	if err != nil {
		return err
	}
	switch {
	case e == nil:
	case dhcpOf(e) != "" && dhcpOf(e) != in.FQDN:
		pipeline.Log(ctx, e.DN+" is "+dhcpOf(e)+"'s by now and stays as it is")
	case before[0] == "none":
		if err := conn.Del(goldap.NewDelRequest(e.DN, nil)); err != nil && !goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
			return w.say("delete "+e.DN, err)
		}
		pipeline.Progress(ctx, "deleted "+e.DN)
	default:
		mod := goldap.NewModifyRequest(e.DN, nil)
		mod.Replace("dhcpHWAddress", before[:1])
		mod.Replace("dhcpStatements", before[1:])
		if err := conn.Modify(mod); err != nil {
			return w.say("put back "+e.DN, err)
		}
		pipeline.Progress(ctx, "put back "+e.DN)
	}
	return c.Delete("dhcp_before")
}
