package provider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/pipeline"
)

// deploy is stage 7.
func (p Calls) deploy() pipeline.Step {
	return pipeline.Step{
		Name:    p.Module + ":deploy",
		Doc:     "makes the machine, hands over names and keys by cloud-init, powers it on",
		Needs:   append(append([]string{}, p.Needs...), append([]string{"provider_asked?"}, cloudinit.Needs...)...),
		Gives:   []string{"provider_id", "provider_asked"},
		Timeout: 30 * time.Minute,
		Resume:  pipeline.Probe,
		Plan:    p.planDeploy,
		Do:      p.doDeploy,
		Undo:    p.undoDeploy,
	}
}

func (p Calls) planDeploy(ctx context.Context, c *clipboard.Clipboard) (string, error) {
	in, err := c.Instance()
	if err != nil {
		return "", err
	}
	text, err := p.Plan(ctx, c)
	if err != nil {
		return "", err
	}
	list, err := p.Find(ctx, Query{Mark: p.mark(ctx), Names: names(in)[:1]})
	if err != nil {
		return "", err
	}
	for _, m := range list {
		if p.carries(ctx, m) {
			text += fmt.Sprintf("; there is %s already, which must be gone by then", what(m))
		} else if !p.ofAnother(ctx, m) {
			text += fmt.Sprintf("; there is %s already, which is not %s's and is not touched: the name must be free by then", what(m), in.FQDN)
		}
	}
	return text, nil
}

// mine gives the machine that this run made, and an error for one of the host, here or at another installation, or of its
// full name that it did not make.
// One that only has the short name is in nobody's way: the new one stands beside it.
func (p Calls) mine(ctx context.Context, in clipboard.Instance, mark Mark) (*Machine, error) {
	list, err := p.Find(ctx, Query{Mark: mark, Names: names(in)})
	if err != nil {
		return nil, err
	}
	var others []Machine
	for i, m := range list {
		switch {
		case p.carries(ctx, m) && m.Token == mark.Token && m.State != Deleting:
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

func (p Calls) doDeploy(ctx context.Context, c *clipboard.Clipboard) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	mark := p.mark(ctx)
	m, err := p.mine(ctx, in, mark)
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
		made, err := p.create(ctx, c, in, mark)
		if err != nil {
			return err
		}
		m = &made
	}
	if c.Get("provider_id") != m.ID {
		if err := keep(ctx, c, "provider_id", m.ID); err != nil {
			return err
		}
	}
	if p.Finish == nil {
		return nil
	}
	err = p.Finish(ctx, c, *m, mark)
	if errors.Is(err, ErrTaken) {
		return p.strange(in)
	}
	return err
}

// create asks for the machine. That we ask is on record before, so that an undo knows what to look for.
func (p Calls) create(ctx context.Context, c *clipboard.Clipboard, in clipboard.Instance, mark Mark) (Machine, error) {
	before, fresh := p.asked(c)
	if !fresh {
		if err := keep(ctx, c, "provider_asked", time.Now().UTC().Format(time.RFC3339)); err != nil {
			return Machine{}, err
		}
	}
	m, err := p.Create(ctx, c, mark)
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
	list, err := p.Find(ctx, Query{Mark: Mark{Token: mark.Token}})
	if err != nil {
		return err
	}
	mine := 0
	for _, m := range list {
		if m.Token != mark.Token || !p.carries(ctx, m) {
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
	if mine == 0 {
		if _, fresh := p.asked(c); fresh {
			return pipeline.Wait(2*time.Second, p.Title+" may not show yet what this run made")
		}
	}
	if id := c.Get("provider_id"); id != "" {
		pipeline.Progress(ctx, "removed the machine "+id)
	} else {
		pipeline.Progress(ctx, "no machine of this run was there")
	}
	return errors.Join(c.Delete("provider_asked"), c.Delete("provider_id"))
}
