package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/pipeline"
)

// deploy makes the machine. A host has one only, so Check, Plan and Do look first for those that are there.
func (p Calls) deploy() pipeline.Step {
	return pipeline.Step{
		Name:    p.Module + ":deploy",
		Doc:     "makes the machine, hands over names and keys by cloud-init, powers it on",
		Needs:   slices.Concat(p.Needs, wishKeys, []string{"provider_asked?"}, cloudinit.Needs),
		Gives:   append([]string{"provider_id", "provider_account", "provider_asked", "provider_size", "provider_tags"}, p.Gives...),
		Timeout: 30 * time.Minute,
		Resume:  pipeline.Probe,
		Check:   p.checkDeploy,
		Plan:    p.planDeploy,
		Do:      p.doDeploy,
		Undo:    p.undoDeploy,
		Drift:   p.driftDeploy,
	}
}

// possible says what would be made, and refuses what cannot be: plan and the check before a run ask it, and deploy goes
// through the same spec and, in Create, the same code as Plan.
func (p Calls) possible(ctx context.Context, c *clipboard.Clipboard) (Spec, string, error) {
	s, err := p.spec(ctx, c, cloudinit.Preview)
	if err != nil {
		return s, "", err
	}
	s.UserData = ""
	text, err := p.Plan(ctx, s)
	return s, text, err
}

// checkDeploy refuses, before another machine is deleted, what could not be made then. A machine that this run has made
// already, as before a `retry` from an earlier stage, is found by Do and needs nothing.
func (p Calls) checkDeploy(ctx context.Context, c *clipboard.Clipboard) error {
	if c.Has("provider_asked") {
		mark := p.mark(ctx)
		list, err := p.Find(ctx, Query{Mark: Mark{Token: mark.Token}})
		if err != nil || slices.ContainsFunc(list, func(m Machine) bool { return m.Token == mark.Token && m.State != Deleting }) {
			return err
		}
	}
	_, _, err := p.possible(ctx, c)
	return err
}

// planDeploy also names the machines that stand in the way, and says which of them must be gone by then.
func (p Calls) planDeploy(ctx context.Context, c *clipboard.Clipboard) (string, error) {
	s, text, err := p.possible(ctx, c)
	if err != nil {
		return "", err
	}
	in := s.Instance
	list, err := p.Find(ctx, Query{Mark: p.mark(ctx), Names: names(in)[:1]})
	if err != nil {
		return "", err
	}
	for _, m := range list {
		w, err := p.held(ctx, in, m)
		if err != nil {
			return "", err
		}
		if w.another {
			text += fmt.Sprintf("; there is %s already, which is %s's on this record and is not touched", what(m), w.FQDN)
		} else if p.carries(ctx, m) {
			text += fmt.Sprintf("; there is %s already, which must be gone by then", what(m))
		} else if !p.ofAnother(ctx, m) {
			text += fmt.Sprintf("; there is %s already, which is not %s's and is not touched: the name must be free by then", what(m), in.FQDN)
		}
	}
	return text, nil
}

// mine gives the machine that this run made, and an error for one of the host, here or at another installation, or of
// its full name that it did not make. One that only has the short name is in nobody's way: both can stand.
func (p Calls) mine(ctx context.Context, in clipboard.Instance, mark Mark) (*Machine, error) {
	list, err := p.Find(ctx, Query{Mark: mark, Names: names(in)})
	if err != nil {
		return nil, err
	}
	var others []Machine
	for i, m := range list {
		switch {
		case p.carries(ctx, m) && m.Token == mark.Token && m.State != Deleting:
			if w, err := p.held(ctx, in, m); err != nil {
				return nil, err
			} else if w.another {
				return nil, p.others(in, m, w)
			}
			return &list[i], nil
		case m.Token == mark.Token && m.State == Deleting:
		case p.ofAnother(ctx, m):
		case m.Name == in.FQDN, p.carries(ctx, m), strings.HasSuffix(m.Owner, ":"+in.FQDN), m.Owner == "" && m.Token != "":
			others = append(others, m)
		}
	}
	if len(others) > 0 {
		return nil, p.strange(in, others...)
	}
	return nil, nil
}

// doDeploy goes on with a machine that an earlier try of this run made. Its id is on record before anything else is
// done to it.
func (p Calls) doDeploy(ctx context.Context, c *clipboard.Clipboard) error {
	s, err := p.spec(ctx, c, func(c *clipboard.Clipboard, disks ...cloudinit.Disk) (cloudinit.Document, error) {
		d, err := cloudinit.UserData(c, disks...)
		if len(d.Kept) > 0 {
			pipeline.Log(ctx, "user_data: "+strings.Join(d.Kept, ", ")+" is ours to set and stays as we set it")
		}
		return d, err
	})
	if err != nil {
		return err
	}
	mark := p.mark(ctx)
	m, err := p.mine(ctx, s.Instance, mark)
	if err != nil {
		return err
	}
	if m != nil {
		if c.Get("provider_id") == m.ID {
			pipeline.Progress(ctx, "nothing to do: the machine "+m.ID+" is there already")
		} else {
			pipeline.Progress(ctx, "the machine is there already; going on with it")
		}
	} else {
		made, err := p.create(ctx, c, s, mark)
		if err != nil {
			return err
		}
		m = &made
	}
	if c.Get("provider_id") != m.ID {
		if err := errors.Join(p.noteMade(c, *m), p.noteTags(c, s.Tags)); err != nil {
			return err
		}
		if err := keep(ctx, c, "provider_id", m.ID); err != nil {
			return err
		}
	}
	if p.Finish == nil {
		return nil
	}
	err = p.Finish(ctx, s, *m, mark)
	if errors.Is(err, ErrTaken) {
		return p.strange(s.Instance)
	}
	if err != nil || c.Get("provider_size") != "" {
		return err
	}
	// Only now it is what was asked for.
	now, err := p.Get(ctx, m.ID)
	if err != nil {
		return err
	}
	return p.noteMade(c, now)
}

// spec is Spec with the user-data, which needs the secrets that keys:create makes, or stand-ins for them.
func (p Calls) spec(ctx context.Context, c *clipboard.Clipboard, userData func(*clipboard.Clipboard, ...cloudinit.Disk) (cloudinit.Document, error)) (Spec, error) {
	s, err := p.Spec(c)
	if err != nil {
		return s, err
	}
	var disks []cloudinit.Disk
	for i, d := range s.Disks {
		if d.Mount != "" {
			disks = append(disks, cloudinit.Disk{Mount: d.Mount, Find: p.DiskAt(s, i, p.mark(ctx))})
		}
	}
	d, err := userData(c, disks...)
	if err != nil {
		return s, pipeline.Permanent(err)
	}
	if len(d.Text) > p.MaxUserData && p.MaxUserData > 0 {
		return s, pipeline.Permanentf("the cloud-init data has %d bytes, and %s takes %d; give less user_data, or fewer keys in sshpubkey", len(d.Text), p.Title, p.MaxUserData)
	}
	s.UserData, s.Owner = d.Text, p.mark(ctx).Owner
	return s, nil
}

// create asks for the machine. That we ask is on record before, so that an undo knows what to look for.
func (p Calls) create(ctx context.Context, c *clipboard.Clipboard, s Spec, mark Mark) (Machine, error) {
	in := s.Instance
	before, fresh := p.asked(c)
	if !fresh {
		if err := keep(ctx, c, "provider_asked", time.Now().UTC().Format(time.RFC3339)); err != nil {
			return Machine{}, err
		}
	}
	m, err := p.Create(ctx, s, mark)
	switch {
	case errors.Is(err, ErrTaken) && before:
		// An earlier try of ours may have made it, and it is not shown yet.
		if fresh {
			return m, pipeline.Wait(2*time.Second, p.Title+" has the name in use, and does not show yet by which machine")
		}
		return m, p.strange(in)
	case errors.Is(err, ErrTaken):
		err = p.strange(in)
	}
	if pipeline.IsPermanent(err) && !before && ctx.Err() == nil {
		// A clear refusal: nothing was made.
		if err := errors.Join(c.Delete("provider_asked"), pipeline.Keep(ctx, c)); err != nil {
			return m, err
		}
	}
	return m, err
}

// undoDeploy deletes the machine that this run made, and no other: one that carries this run's token, and not the owner
// of another host.
func (p Calls) undoDeploy(ctx context.Context, c *clipboard.Clipboard) error {
	mark := p.mark(ctx)
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	ever, _ := p.asked(c)
	asked := ever || c.Has("provider_id")
	list, err := p.Find(ctx, Query{Mark: Mark{Token: mark.Token}})
	if err != nil && !asked {
		pipeline.Progress(ctx, "no machine was asked for")
		return nil
	}
	if err == nil {
		list, err = p.ours(ctx, in, list)
	}
	if err != nil {
		return err
	}
	mine := 0
	for _, m := range list {
		if m.Token != mark.Token {
			continue
		}
		mine++
		if m.State != Deleting {
			if err := p.Delete(ctx, m.ID); err != nil && !errors.Is(err, ErrGone) {
				return err
			}
			// From here on nobody needs to wait for a machine that does not show yet.
			if err := c.Set("provider_id", m.ID); err != nil {
				return err
			}
			if err := errors.Join(c.Delete("provider_asked"), pipeline.Keep(ctx, c)); err != nil {
				return err
			}
			pipeline.Progress(ctx, "deleting the machine "+m.ID)
		}
		switch now, err := p.Get(ctx, m.ID); {
		case errors.Is(err, ErrGone), err == nil && now.State == Gone:
		case err != nil:
			return err
		default:
			return pipeline.Wait(Pause(ctx), fmt.Sprintf("the machine %s is being deleted", m.ID))
		}
	}
	id := c.Get("provider_id")
	if mine == 0 {
		if m, err := p.unmarked(ctx, id); err != nil {
			return err
		} else if m != nil {
			return pipeline.Stays(fmt.Sprintf("the machine %s, which does not carry the marks of this run any more; if it is not needed, delete it %s", what(*m), p.Place))
		}
		if _, fresh := p.asked(c); fresh {
			return pipeline.Wait(2*time.Second, p.Title+" may not show yet what this run made")
		}
	}
	if id != "" {
		pipeline.Progress(ctx, "removed the machine "+id)
	} else {
		pipeline.Progress(ctx, "no machine of this run was there")
	}
	return errors.Join(c.Delete("provider_asked"), c.Delete("provider_tags"), forgetMade(c))
}

// unmarked gives the machine with that id when it is still there; nil when it is not. Whoever asks has looked for what
// carries the run's marks: this one has lost them, and is told of, not touched.
func (p Calls) unmarked(ctx context.Context, id string) (*Machine, error) {
	if id == "" {
		return nil, nil
	}
	switch m, err := p.Get(ctx, id); {
	case errors.Is(err, ErrGone), err == nil && (m.State == Gone || m.State == Deleting):
		return nil, nil
	case err != nil:
		return nil, err
	default:
		return &m, nil
	}
}

// noteMade puts on record where the machine is and as what the provider made it, for those who look later whether it
// still is so: the configuration may be another by then.
func (p Calls) noteMade(c *clipboard.Clipboard, m Machine) error {
	var errs []error
	for key, value := range map[string]string{"provider_size": m.Size, "provider_account": p.Account} {
		if value == "" {
			errs = append(errs, c.Delete(key))
		} else {
			errs = append(errs, c.Set(key, value))
		}
	}
	return errors.Join(errs...)
}

// forgetMade takes off the record what noteMade put there, and which machine it is: the host has it no more.
func forgetMade(c *clipboard.Clipboard) error {
	return errors.Join(c.Delete("provider_id"), c.Delete("provider_account"), c.Delete("provider_size"))
}

// noteTags does what noteMade does for the tags that were asked for, here or by the configuration's defaults.
func (p Calls) noteTags(c *clipboard.Clipboard, tags map[string]string) error {
	if len(tags) == 0 {
		return c.Delete("provider_tags")
	}
	return c.Set("provider_tags", tags)
}
