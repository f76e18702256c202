package provider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// adopt makes a machine that somebody else made the host's: it gets the host's owner, and its id goes on record.
// Nothing else of it is changed. What it carried before is on record too, so that an undo gives it back.
func (p Calls) adopt() pipeline.Step {
	return pipeline.Step{
		Name:    p.Module + ":adopt",
		Doc:     "takes a machine that is there already for the host's, by its id at the provider",
		Needs:   slices.Concat([]string{"hostname", "fqdn?", "adopt_id", "adopt_before?", "provider_id?"}, wishKeys),
		Gives:   []string{"provider_id", "provider_account", "provider_size", "adopt_before", "adopt_id"}, // the id is the verb's to give, and no other run's
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Plan: func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
			m, _, err := p.stray(ctx, c)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("would adopt %s%s, which is %s, %s", what(m), tagsOf(m), m.Doing, p.Place), nil
		},
		Do:    p.doAdopt,
		Undo:  p.undoAdopt,
		Drift: p.driftDeploy,
	}
}

// tagsOf shows the tags to whoever decides whether it is the right machine. One without a value is its key alone.
func tagsOf(m Machine) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m.Tags)) {
		out = append(out, strings.TrimSuffix(k+"="+m.Tags[k], "="))
	}
	if len(out) == 0 {
		return ""
	}
	return " with the tags " + strings.Join(out, ", ")
}

// stray finds the machine that is to be adopted, and refuses what must not be: a template, one that is on its way out,
// the machine of another host of ours, and any while the host has one of its own. mine says that it is the host's
// already.
func (p Calls) stray(ctx context.Context, c *clipboard.Clipboard) (m Machine, mine bool, err error) {
	in, err := c.Instance()
	if err != nil {
		return m, false, pipeline.Permanent(err)
	}
	id := c.Get("adopt_id")
	if m, err = p.Get(ctx, id); err != nil && !errors.Is(err, ErrGone) {
		return m, false, err
	}
	w, herr := p.held(ctx, in, Machine{ID: id})
	switch {
	case herr != nil:
		return m, false, herr
	case errors.Is(err, ErrGone), m.State == Gone, m.State == Deleting, m.State == Begun:
		return m, false, pipeline.Permanentf("there is no machine %s %s", id, p.Place)
	case m.Template:
		return m, false, pipeline.Permanentf("%s is what machines are made from, and never a host's", what(m))
	case w.another:
		return m, false, p.others(in, m, w)
	case p.carries(ctx, m):
		return m, true, nil
	case p.ofAnother(ctx, m) && w.FQDN == "":
		return m, false, pipeline.Permanentf("%s is another host's on this record by its tags; destroy that host, or `undo` its run, first", what(m))
	}
	list, err := p.Find(ctx, Query{Mark: p.mark(ctx)})
	if err != nil {
		return m, false, err
	}
	list = slices.DeleteFunc(list, func(o Machine) bool { return !p.carries(ctx, o) })
	standing, err := p.standing(ctx)
	if err != nil {
		return m, false, err
	}
	for _, o := range standing { // it may have lost its tags
		if !slices.ContainsFunc(list, func(l Machine) bool { return l.ID == o.ID }) {
			list = append(list, o)
		}
	}
	list = slices.DeleteFunc(list, func(o Machine) bool { return o.ID == id })
	if len(list) > 0 {
		return m, false, pipeline.Permanentf("%s has %s already; destroy it first", in.FQDN, whats(list))
	}
	return m, false, nil
}

// doAdopt keeps whose mark the machine carried before it puts ours there, so that undo can give it back.
func (p Calls) doAdopt(ctx context.Context, c *clipboard.Clipboard) error {
	m, mine, err := p.stray(ctx, c)
	if err != nil {
		return err
	}
	if !mine {
		if !c.Has("adopt_before") {
			before := strings.TrimSpace(m.Token + " " + m.Owner)
			if before == "" {
				before = "none"
			}
			// On record before it is changed.
			if err := keep(ctx, c, "adopt_before", before); err != nil {
				return err
			}
		}
		if err := p.Tag(ctx, m.ID, Mark{Owner: p.mark(ctx).Owner}); err != nil {
			return err
		}
		now, err := p.Get(ctx, m.ID)
		if err != nil {
			return err
		}
		if !p.carries(ctx, now) {
			return pipeline.Wait(2*time.Second, p.Title+" does not show the owner of "+m.ID+" yet")
		}
		m = now
	}
	said := "adopted " + what(m)
	if mine && c.Get("provider_id") == m.ID {
		said = "nothing to do: " + what(m) + " is the host's"
	}
	pipeline.Progress(ctx, said)
	return errors.Join(p.noteMade(c, m), c.Set("provider_id", m.ID))
}

// undoAdopt gives the machine back its old mark, and deletes nothing. One that carries another's mark by now is left
// alone.
func (p Calls) undoAdopt(ctx context.Context, c *clipboard.Clipboard) error {
	if !c.Has("adopt_before") {
		return nil
	}
	m, err := p.Get(ctx, c.Get("adopt_id"))
	gone := errors.Is(err, ErrGone) || err == nil && m.State == Gone
	if err != nil && !gone {
		return err
	}
	if !gone && p.carries(ctx, m) {
		mark, _ := MarkOf(strings.Fields(c.Get("adopt_before")))
		if err := p.Tag(ctx, m.ID, mark); err != nil {
			return err
		}
		pipeline.Progress(ctx, "gave back "+m.ID)
	}
	return errors.Join(c.Delete("adopt_before"), forgetMade(c))
}
