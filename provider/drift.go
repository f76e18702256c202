package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// What became of a machine is asked once for all steps that are about it. Each step answers for what it left: deploy
// that the machine is there and ours, startup that it runs, get_pub_ip that it runs and has its address. What two of
// them see comes once, as the first one's.

// now reads the machine that the clipboard names. ok is false when it names none.
func (p Calls) now(ctx context.Context, c *clipboard.Clipboard) (m Machine, ok bool, err error) {
	id := c.Get("provider_id")
	if id == "" {
		return Machine{}, false, nil
	}
	m, err = pipeline.ReadOnce(ctx, p.Module+" "+id, func() (Machine, error) { return p.Get(ctx, id) })
	if errors.Is(err, ErrGone) {
		if _, fresh := p.asked(c); fresh && !c.Has("ipaddress") { // nobody has seen it yet
			return m, true, fmt.Errorf("%s does not show %s yet", p.Title, id)
		}
		return Machine{ID: id, State: Gone, Doing: "gone"}, true, nil
	}
	return m, true, err
}

// there says whether the machine is there, and the host's: by the record, and by the owner that it carries.
func (p Calls) there(ctx context.Context, c *clipboard.Clipboard, m Machine) (differs []pipeline.Difference, err error) {
	in, err := c.Instance()
	if err != nil {
		return nil, err
	}
	differ := func(d pipeline.Difference) ([]pipeline.Difference, error) {
		d.What = "the machine " + m.ID + " " + p.Place
		return []pipeline.Difference{d}, nil
	}
	switch m.State {
	case Gone, Deleting:
		return differ(pipeline.Difference{Want: "there", Have: "gone", Fix: pipeline.FixRedeploy})
	case Begun:
		return differ(pipeline.Difference{Want: "there", Have: "gone, but for its disks", Fix: pipeline.FixRedeploy})
	}
	w, err := p.held(ctx, in, m)
	switch {
	case err != nil:
		return nil, err
	case w.another:
		return differ(pipeline.Difference{Want: in.FQDN + "'s on this record", Have: fmt.Sprintf("%s's, since run %d", w.FQDN, w.Run), Fix: pipeline.FixRedeploy,
			First: "find out who took it for " + w.FQDN})
	case m.Owner == p.mark(ctx).Owner, !w.Marked && p.earlier(ctx, in, m, w):
		return nil, nil
	}
	// A redeploy would refuse a machine that carries somebody else's mark. To adopt it puts the host's back, and a
	// second person sees which machine it is.
	d := pipeline.Difference{Want: in.FQDN + "'s by its tags", Have: what(m), Fix: fmt.Sprintf("adopt %s %s", in.FQDN, m.ID), First: "find out who changed its tags"}
	if m.Owner == "" && m.Token == "" {
		d.Have += ", without a tag of ours"
	}
	if p.Tag == nil {
		d.First, d.Fix = "put the tag "+p.mark(ctx).Owner+" back", fixLook(in)
	}
	return differ(d)
}

// fixLook is the Fix of what a person puts right at the provider: whether it is so now.
func fixLook(in clipboard.Instance) string { return "drift " + in.FQDN }

// compare says how a machine that is there differs from what it was made as: its size, and the tags that were asked for
// then. The configuration's defaults of today say nothing about it.
func (p Calls) compare(c *clipboard.Clipboard, m Machine) ([]pipeline.Difference, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, err
	}
	var out []pipeline.Difference
	add := func(d pipeline.Difference) {
		if d.Want != d.Have {
			d.What += " of the machine " + m.ID + " " + p.Place
			out = append(out, d)
		}
	}
	// Earlier versions wrote "1 CPUs".
	if size := strings.TrimSuffix(c.Get("provider_size"), ", 1 CPUs"); size != "" && m.Size != "" {
		if size != c.Get("provider_size") {
			size = Shape(size, 1)
		}
		add(pipeline.Difference{What: "the size", Want: size, Have: m.Size, Fix: pipeline.FixRedeploy})
	}
	var tags map[string]string
	if err := c.Decode("provider_tags", &tags); err != nil && !errors.Is(err, clipboard.ErrMissing) {
		return nil, err
	}
	if m.Tags == nil {
		return out, nil // the provider has none
	}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		have, ok := m.Tags[k]
		if !ok {
			have = "none"
		}
		add(pipeline.Difference{What: "the tag " + k, Want: tags[k], Have: have, Fix: fixLook(in), First: fmt.Sprintf("set the tag %s to %s %s", k, tags[k], p.Place)})
	}
	return out, nil
}

// runs says whether the machine runs. Whoever asks has made sure that it is there.
func (p Calls) runs(c *clipboard.Clipboard, m Machine) ([]pipeline.Difference, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, err
	}
	switch m.State {
	case Running:
		if m.Loose == "" {
			return nil, nil
		}
		return []pipeline.Difference{{What: "the machine " + m.ID + " " + p.Place, Want: "kept when it stops", Have: m.Loose, Fix: fixLook(in),
			First: "define it again while it runs, for it is gone once it stops"}}, nil
	case Stopping, Stopped:
		// No verb powers a machine on: nothing that is off by somebody's will is to come up by a slip in chat. The step
		// by hand needs no secret, and takes no masked one.
		d := pipeline.Difference{What: "the machine " + m.ID + " " + p.Place, Want: "running", Have: m.Doing, First: "see who powered it off",
			Fix: fmt.Sprintf("jarvis show %s | grep -v !secret | jarvis step %s:startup", in.FQDN, p.Module)}
		return []pipeline.Difference{d}, nil
	}
	return nil, fmt.Errorf("the machine %s is %s", m.ID, m.Doing)
}

// driftDeploy says of a machine that is gone only that: there is nothing to compare.
func (p Calls) driftDeploy(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	m, ok, err := p.now(ctx, c)
	if err != nil || !ok {
		return nil, err
	}
	if lost, err := p.there(ctx, c, m); err != nil || len(lost) > 0 {
		return lost, err
	}
	return p.compare(c, m)
}

func (p Calls) driftStartup(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	return p.driftRunning(ctx, c, nil)
}

// driftAddress takes an address that the machine has for right, whichever of its addresses that is.
func (p Calls) driftAddress(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	return p.driftRunning(ctx, c, func(m Machine) []pipeline.Difference {
		var out []pipeline.Difference
		for _, key := range []string{"ipaddress", "ip6address"} {
			want, err := netip.ParseAddr(c.Get(key))
			if err != nil || want == m.V4 || want == m.Private || want == m.V6 {
				continue // it left none, or the machine has it: whether by that one it is to be known, only the run could say
			}
			have := "none"
			for _, a := range []netip.Addr{m.Private, m.V4, m.V6} {
				if a.IsValid() && a.Is4() == want.Is4() {
					have = a.String()
				}
			}
			out = append(out, pipeline.Difference{What: "the address of the machine " + m.ID + " " + p.Place, Want: want.String(), Have: have})
		}
		return out
	})
}

// driftRunning says what keeps the machine from running, or else what more there is to say of it.
func (p Calls) driftRunning(ctx context.Context, c *clipboard.Clipboard, more func(Machine) []pipeline.Difference) ([]pipeline.Difference, error) {
	m, ok, err := p.now(ctx, c)
	if err != nil || !ok {
		return nil, err
	}
	if lost, err := p.there(ctx, c, m); err != nil || len(lost) > 0 {
		return lost, err
	}
	off, err := p.runs(c, m)
	if err != nil || len(off) > 0 || more == nil {
		return off, err
	}
	return more(m), nil
}
