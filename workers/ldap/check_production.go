package ldap

import (
	"context"
	"fmt"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// checkProduction puts on record what it found; only an entry of somebody else stops the run.
func (w *Worker) checkProduction() pipeline.Step {
	return pipeline.Step{
		Name:    "ldap:check_production",
		Doc:     "finds out whether the host is in production (jarvisStatus, names that point at it), and stops when it belongs to somebody else",
		Needs:   []string{"hostname", "fqdn", "services?", "in_production?", "pointers?"},
		Gives:   []string{"in_production", "pointers"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Plan: func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
			what, _, _, err := w.production(ctx, c)
			return what, err
		},
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			what, yes, pointers, err := w.production(ctx, c)
			if err != nil {
				return err
			}
			answer := map[bool]string{true: "yes", false: "no"}[yes]
			before, _ := c.Strings("pointers")
			if c.Get("in_production") == answer && strings.Join(before, ",") == strings.Join(pointers, ",") {
				pipeline.Progress(ctx, "nothing to do: "+what+", as was found before")
				return nil
			}
			pipeline.Progress(ctx, what)
			// Without any, those of an earlier time would still stand there.
			if len(pointers) == 0 {
				err = c.Delete("pointers")
			} else {
				err = c.Set("pointers", pointers)
			}
			if err != nil {
				return err
			}
			return c.Set("in_production", answer)
		},
	}
}

// InProduction says what ldap:check_production would find.
func (w *Worker) InProduction(ctx context.Context, c *clipboard.Clipboard) (what string, yes bool, err error) {
	what, yes, _, err = w.production(ctx, c)
	return what, yes, err
}

// production takes a host for one in production when a name in DNS points at it, or its entry says so. what is for
// people.
func (w *Worker) production(ctx context.Context, c *clipboard.Clipboard) (what string, yes bool, pointers []string, err error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return "", false, nil, err
	}
	defer func() { _ = conn.Close() }()
	e, err := w.owned(ctx, conn, c)
	if err != nil {
		return "", false, nil, err
	}
	known := false
	if w.cfg.Pointers != nil {
		if pointers, known, err = w.cfg.Pointers(ctx, c); err != nil {
			return "", false, nil, err
		}
	}
	status := ""
	if e != nil {
		status = e.GetAttributeValue("jarvisStatus")
	}
	switch {
	case len(pointers) > 0:
		return "in production: " + strings.Join(pointers, ", ") + " points at it", true, pointers, nil
	case strings.EqualFold(status, "production"):
		return "in production: its entry says so", true, nil, nil
	case e == nil:
		what = "the directory does not say production: it does not know the host"
	case status != "":
		what = "the directory does not say production: its entry says " + status
	default:
		what = "the directory does not say production"
	}
	if known {
		what += ", and no name in DNS points at it"
	}
	return what, false, nil, nil
}

// owned gives the host's entry, nil when there is none, and an error when it belongs to somebody else: its owner
// (RFC 4519 §2.21) is neither who asks nor a group that holds them.
func (w *Worker) owned(ctx context.Context, conn *goldap.Conn, c *clipboard.Clipboard) (*goldap.Entry, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	e, err := w.find(conn, w.cfg.Base, in.Hostname)
	if err != nil || e == nil {
		return nil, err
	}
	// An entry that says nothing still has an owner to be asked.
	if whose, said, ours := ofHost(e, in); said && !ours {
		pipeline.Log(ctx, e.DN+" is the entry of "+whose+", not of "+in.FQDN)
		return nil, nil
	}
	owners := e.GetAttributeValues("owner")
	by := pipeline.FactsOf(ctx).By
	if len(owners) == 0 || by == "" { // by is empty when a step is run by hand
		return e, nil
	}
	var names []string
	for _, dn := range owners {
		name := rdn(dn)
		if strings.EqualFold(name, by) || w.member(conn, dn, by) {
			return e, nil
		}
		names = append(names, name)
	}
	return nil, pipeline.Permanentf("%s belongs to %s, and %s asks; the owner may do it, or change `owner` in %s", in.Hostname, strings.Join(names, " and "), by, e.DN)
}

// rdn gives the value of a DN's first part: alice of uid=alice,ou=People.
func rdn(dn string) string {
	d, err := goldap.ParseDN(dn)
	if err != nil || len(d.RDNs) == 0 || len(d.RDNs[0].Attributes) == 0 {
		return dn
	}
	return d.RDNs[0].Attributes[0].Value
}

// member reports whether the entry is a group that holds the person.
func (w *Worker) member(conn *goldap.Conn, dn, name string) bool {
	res, err := conn.Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 1, int(callTimeout.Seconds()), false,
		"(objectClass=*)", []string{"member", "uniqueMember", "memberUid"}, nil))
	if err != nil || len(res.Entries) == 0 {
		return false // what we may not read holds nobody
	}
	g := res.Entries[0]
	for _, m := range append(g.GetAttributeValues("member"), g.GetAttributeValues("uniqueMember")...) {
		if strings.EqualFold(rdn(m), name) {
			return true
		}
	}
	for _, m := range g.GetAttributeValues("memberUid") {
		if strings.EqualFold(m, name) {
			return true
		}
	}
	return false
}

// checkOwner is the second half of checkProduction, for pipelines of one's own.
func (w *Worker) checkOwner() pipeline.Step {
	return pipeline.Step{
		Name:    "ldap:check_owner",
		Doc:     "stops the run when the host's entry has an owner who is neither who asks nor a group that holds them",
		Needs:   []string{"hostname", "fqdn?"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			conn, err := w.connect(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			e, err := w.owned(ctx, conn, c)
			if err != nil {
				return err
			}
			if e == nil {
				pipeline.Progress(ctx, "nothing to do: the directory does not know the host")
			} else {
				pipeline.Progress(ctx, fmt.Sprintf("nothing to do: %s may", pipeline.FactsOf(ctx).By))
			}
			return nil
		},
	}
}
