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
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
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

var (
	tokenForm = pattern.New(`^jarvis-([0-9a-f]{8}|by)-(hand-[0-9a-f]{16}|[0-9]+)$`)
	ownerForm = pattern.New(`^jarvis-([0-9a-f]{8}|by-hand):.+$`)
)

// IsToken reports whether a word has the form of a run's token, and IsOwner whether it has that of an owner: others may
// begin their tags like ours.
func IsToken(s string) bool { return tokenForm.MatchString(s) }

// IsOwner as said there.
func IsOwner(s string) bool { return ownerForm.MatchString(s) }

// MarkOf reads a mark from a list of tags. A machine with two owners is nobody's: it carries both.
func MarkOf(tags []string) (m Mark, others []string) {
	for _, t := range tags {
		switch {
		case IsOwner(t) && m.Owner != "":
			m.Owner += " and " + t
		case IsOwner(t):
			m.Owner = t
		case IsToken(t) && m.Token != "":
			m.Token += " and " + t
		case IsToken(t):
			m.Token = t
		default:
			others = append(others, t)
		}
	}
	return m, others
}

// Fit shortens what is longer than a provider takes. What it cuts off stands in a hash, after a character that no name
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

// earlier reports whether a machine without an owner, named by its id, is the host's by the record alone: one that an
// earlier version made, or one that has lost its marks. The machine must not contradict it: ids are used again when a
// vCenter is built again. By hand there is no record; then token and name must both agree.
func (p Calls) earlier(ctx context.Context, in clipboard.Instance, m Machine, w holding) bool {
	if m.Template || m.Owner != "" {
		return false
	}
	install, _, ok := strings.Cut(pipeline.FactsOf(ctx).Owner, ":")
	token := ok && strings.HasPrefix(m.Token, install+"-")
	named := slices.Contains(names(in), m.Name)
	if !w.known {
		return token && named
	}
	return (token || named) && w.FQDN == in.FQDN
}

// holding is what the record says of a machine.
type holding struct {
	pipeline.Machine      // whose it is; the zero one: nobody's
	known            bool // there is a record
	another          bool // and by it the machine is another host's
}

// held looks up whose a machine is on record. What is another host's there is never this one's, whatever it carries:
// tags are lost, and can be set by anybody.
func (p Calls) held(ctx context.Context, in clipboard.Instance, m Machine) (w holding, err error) {
	w.Machine, w.known, err = pipeline.HolderOf(ctx, p.Module, p.Account, m.ID)
	w.another = w.FQDN != "" && w.FQDN != in.FQDN
	return w, err
}

// ours keeps of a list what carries the host's marks and is no other host's on record.
func (p Calls) ours(ctx context.Context, in clipboard.Instance, list []Machine) (mine []Machine, err error) {
	for _, m := range list {
		if !p.carries(ctx, m) {
			continue
		}
		w, err := p.held(ctx, in, m)
		if err != nil {
			return nil, err
		}
		if w.another {
			return nil, p.others(in, m, w)
		}
		mine = append(mine, m)
	}
	return mine, nil
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
		s += ", made " + plain.Time(m.Created)
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

// others refuses a machine that is another host's on record.
func (p Calls) others(in clipboard.Instance, m Machine, w holding) error {
	return pipeline.Permanentf("%s is another host's on this record, whatever it carries: %s's, since run %d; nothing is touched. If %s is no more, `destroy %s` first; if the machine carries the tags of %s by mistake, take them off %s",
		what(m), w.FQDN, w.Run, w.FQDN, w.FQDN, in.FQDN, p.Place)
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
	if m.State == Gone {
		return &m, nil
	}
	w, err := p.held(ctx, in, m)
	switch {
	case err != nil:
	case w.another:
		err = p.others(in, m, w)
	case !p.carries(ctx, m) && !p.earlier(ctx, in, m, w):
		err = p.foreign(in, m)
	}
	return &m, err
}

// machine finds the host's machine by provider_id, or else by the record, or by its owner; nil when there is none. A
// machine that only has the host's name is refused.
func (p Calls) machine(ctx context.Context, c *clipboard.Clipboard) (*Machine, error) {
	id := c.Get("provider_id")
	if id == "" {
		standing, err := p.standing(ctx)
		if err != nil {
			return nil, err
		}
		if len(standing) > 0 {
			id = standing[len(standing)-1].ID
		}
	}
	if id != "" {
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
	ours, err := p.ours(ctx, in, list)
	if err != nil {
		return nil, err
	}
	var others []Machine
	for _, m := range list {
		if !p.carries(ctx, m) && !p.ofAnother(ctx, m) {
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

// standing lists the host's machines on record here that the provider still has.
func (p Calls) standing(ctx context.Context) ([]Machine, error) {
	list, _, err := pipeline.MachinesOf(ctx)
	if err != nil {
		return nil, err
	}
	var out []Machine
	for _, r := range list {
		if r.Provider != p.Module || r.Account != "" && p.Account != "" && r.Account != p.Account {
			continue
		}
		switch m, err := p.Get(ctx, r.ID); {
		case errors.Is(err, ErrGone), err == nil && (m.State == Gone || m.State == Deleting):
		case err != nil:
			return nil, err
		default:
			out = append(out, m)
		}
	}
	return out, nil
}

// Machine gives the host's machine for a step that cannot do without it. A machine that is not the host's is refused.
func (p Calls) Machine(ctx context.Context, c *clipboard.Clipboard) (*Machine, error) {
	m, err := p.machine(ctx, c)
	if err == nil && m != nil && m.State == Begun {
		m = nil
	}
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
