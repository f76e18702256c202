package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// A machine is the host's when it carries the owner that stands for this installation and this FQDN, or when the record
// says that a run of this FQDN made the machine with that id. All others are somebody else's, whatever their name is:
// nothing here changes them, and whoever asks is told which they are.

// Mark is what a machine carries so that we know it again.
type Mark struct {
	Token string // of the run that made it; "" when none of ours did
	Owner string // which host it is, and whose; "" for none, and for machines made before there were owners
}

// Fit shortens what is longer than a provider takes. What it cuts off stands in a hash, behind a character that no name
// of a host has, so that no other name fits to the same.
func Fit(s string, limit int) string {
	if limit == 0 || len(s) <= limit {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return s[:limit-17] + "_" + hex.EncodeToString(sum[:8])
}

// mark is what the run's machine carries.
func (p Calls) mark(ctx context.Context) Mark {
	f := pipeline.FactsOf(ctx)
	return Mark{f.Token, Fit(f.Owner, p.MaxTag)}
}

// names lists what the host's machine may be called, the name that it gets first.
func names(in clipboard.Instance) []string {
	if in.FQDN == in.Hostname {
		return []string{in.Hostname}
	}
	return []string{in.FQDN, in.Hostname}
}

// carries reports whether the machine's own marks say that it is this host's: its owner, or, without one, the token of
// this very run.
func (p Calls) carries(ctx context.Context, m Machine) bool {
	mark := p.mark(ctx)
	switch {
	case m.Template:
		return false
	case m.Owner != "":
		return m.Owner == mark.Owner
	}
	return mark.Token != "" && m.Token == mark.Token
}

// earlier reports whether a machine without an owner, named by its id, is one that an earlier version made for this host.
// The record must say so, and the machine must not contradict it: ids are used again when a vCenter is built anew. By
// hand there is no record; then token and name must both agree.
func (p Calls) earlier(ctx context.Context, in clipboard.Instance, m Machine) (bool, error) {
	if m.Template || m.Owner != "" {
		return false, nil
	}
	install, _, ok := strings.Cut(pipeline.FactsOf(ctx).Owner, ":")
	token := ok && strings.HasPrefix(m.Token, install+"-")
	named := slices.Contains(names(in), m.Name)
	if !token && !named {
		return false, nil
	}
	ids, known, err := pipeline.Given(ctx, "deploy", "provider_id")
	if !known {
		return token && named, err
	}
	return slices.Contains(ids, m.ID), err
}

// ofAnother reports whether we know for sure that the machine is another host's of this installation.
func (p Calls) ofAnother(ctx context.Context, m Machine) bool {
	install, _, ok := strings.Cut(p.mark(ctx).Owner, ":")
	return ok && m.Owner != p.mark(ctx).Owner && strings.HasPrefix(m.Owner, install+":")
}

// what names a machine so that nobody can take it for another.
func what(m Machine) string {
	s := fmt.Sprintf("%s (%s", m.ID, m.Name)
	if !m.Created.IsZero() {
		s += ", made " + m.Created.UTC().Format("2006-01-02 15:04") + " UTC"
	}
	switch {
	case m.Template:
		s += ", a template"
	case m.Owner != "":
		s += ", it carries " + m.Owner
	case m.Token != "":
		s += ", it carries " + m.Token
	}
	return s + ")"
}

func whats(list []Machine) string {
	var out []string
	for _, m := range list {
		out = append(out, what(m))
	}
	return strings.Join(out, ", ")
}

// foreign refuses to touch machines that have the host's name, or stand in its clipboard, and are not the host's.
func (p Calls) foreign(in clipboard.Instance, list ...Machine) error {
	return pipeline.Permanentf("%s has %s, which is not %s's by its tags nor by the record: nothing is touched; if it is not needed, delete or rename it there, or else give the host another name", p.Title, whats(list), in.FQDN)
}

// strange says that the name belongs to a machine that this run did not make.
func (p Calls) strange(in clipboard.Instance, list ...Machine) error {
	if len(list) == 0 {
		return pipeline.Permanentf("there is a machine %s %s already, and this run did not make it", in.FQDN, p.Place)
	}
	hint := ""
	for _, m := range list {
		if m.Token != "" {
			hint = fmt.Sprintf(" (it carries %s; `undo` that run first, or `redeploy`)", m.Token)
		}
	}
	return pipeline.Permanentf("there is a machine %s %s already, and this run did not make it%s: %s", in.FQDN, p.Place, hint, whats(list))
}

// byID reads the machine with that id, when it is the host's, or Gone. ErrGone; a refusal when it is somebody else's.
func (p Calls) byID(ctx context.Context, c *clipboard.Clipboard, id string) (*Machine, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	m, err := p.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if m.State == Gone || p.carries(ctx, m) {
		return &m, nil
	}
	ours, err := p.earlier(ctx, in, m)
	if err == nil && !ours {
		err = p.foreign(in, m)
	}
	return &m, err
}

// machine finds the host's machine by provider_id, or else by its owner; nil when there is none. A machine that only has
// the host's name is refused.
func (p Calls) machine(ctx context.Context, c *clipboard.Clipboard) (*Machine, error) {
	if id := c.Get("provider_id"); id != "" {
		m, err := p.byID(ctx, c, id)
		if errors.Is(err, ErrGone) {
			if _, fresh := p.asked(c); fresh {
				return nil, pipeline.Wait(Pause(ctx), fmt.Sprintf("%s does not show %s yet", p.Title, id))
			}
			return nil, nil
		}
		if err != nil || m.State == Gone {
			return nil, err
		}
		return m, nil
	}
	in, err := c.Instance()
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	list, err := p.Find(ctx, Query{Mark: p.mark(ctx), Names: names(in)})
	if err != nil {
		return nil, err
	}
	var ours, others []Machine
	for _, m := range list {
		switch {
		case p.carries(ctx, m):
			ours = append(ours, m)
		case !p.ofAnother(ctx, m):
			others = append(others, m)
		}
	}
	switch {
	case len(ours) == 1:
		return &ours[0], nil
	case len(ours) > 1:
		return nil, pipeline.Permanentf("%s has more than one machine of %s: %s; delete what is not the host, or name the right one by provider_id", p.Title, in.FQDN, whats(ours))
	case len(others) > 0:
		return nil, p.foreign(in, others...)
	}
	return nil, nil
}

// Machine gives the host's machine for a step that cannot do without it. A machine that is not the host's is refused.
func (p Calls) Machine(ctx context.Context, c *clipboard.Clipboard) (*Machine, error) {
	m, err := p.machine(ctx, c)
	if err == nil && m == nil {
		what := c.Get("provider_id")
		if what == "" {
			what = c.Get("hostname")
		}
		err = pipeline.Permanentf("there is no machine %s %s (any more)", what, p.Place)
	}
	return m, err
}

// asked reports whether a Create of this clipboard may have taken effect, and whether so recently that the provider
// may not show it yet.
func (p Calls) asked(c *clipboard.Clipboard) (ever, fresh bool) {
	t, err := time.Parse(time.RFC3339, c.Get("provider_asked"))
	return err == nil, err == nil && time.Since(t) < p.Settle
}

// plan gives a Plan that looks for the machine first.
func (p Calls) plan(do string) func(context.Context, *clipboard.Clipboard) (string, error) {
	return func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
		m, err := p.machine(ctx, c)
		if err != nil {
			return "", err
		}
		if m == nil {
			return fmt.Sprintf("would find nothing to do: there is no machine of %s %s", c.Get("hostname"), p.Place), nil
		}
		return fmt.Sprintf("would %s %s, which is %s, %s", do, what(*m), m.Doing, p.Place), nil
	}
}
