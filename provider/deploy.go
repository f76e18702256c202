package provider

import (
	"context"
	"errors"
	"fmt"
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
	list, err := p.Find(ctx, Query{Names: names(in)})
	if err != nil {
		return "", err
	}
	for _, m := range list {
		text += fmt.Sprintf("; there is %s (%s) already, which must be gone by then", m.Name, m.ID)
	}
	return text, nil
}

// strange says that the name belongs to a machine of somebody else.
func (p Calls) strange(in clipboard.Instance, by string) error {
	hint := ""
	if by != "" {
		hint = fmt.Sprintf(" (it carries %s; `undo` that run first)", by)
	}
	return pipeline.Permanentf("there is a machine %s %s already, and this run did not make it%s", in.Hostname, p.Place, hint)
}

// mine gives the machine that this run made, and an error for one of that name that it did not make.
func (p Calls) mine(ctx context.Context, in clipboard.Instance, token string) (*Machine, error) {
	list, err := p.Find(ctx, Query{Token: token, Names: names(in)})
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Token == token && list[i].State != Deleting {
			return &list[i], nil
		}
	}
	for _, m := range list {
		if m.Token != token {
			return nil, p.strange(in, m.Token)
		}
	}
	return nil, nil
}

func (p Calls) doDeploy(ctx context.Context, c *clipboard.Clipboard) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	token := pipeline.FactsOf(ctx).Token
	m, err := p.mine(ctx, in, token)
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
		made, err := p.create(ctx, c, in, token)
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
	err = p.Finish(ctx, c, *m, token)
	if errors.Is(err, ErrTaken) {
		return p.strange(in, "")
	}
	return err
}

// create asks for the machine. That we ask is on record before, so that an undo knows what to look for.
func (p Calls) create(ctx context.Context, c *clipboard.Clipboard, in clipboard.Instance, token string) (Machine, error) {
	before, fresh := p.asked(c)
	if !fresh {
		if err := keep(ctx, c, "provider_asked", time.Now().UTC().Format(time.RFC3339)); err != nil {
			return Machine{}, err
		}
	}
	m, err := p.Create(ctx, c, token)
	switch {
	case errors.Is(err, ErrTaken) && before:
		// An earlier try of ours may have made it, and it is not shown yet.
		if fresh {
			return m, pipeline.Wait(2*time.Second, p.Title+" has the name in use, and does not show yet by which machine")
		}
		return m, p.strange(in, "")
	case errors.Is(err, ErrTaken):
		err = p.strange(in, "")
	}
	if pipeline.IsPermanent(err) && !before && ctx.Err() == nil {
		// A clear refusal: nothing was made.
		if err := errors.Join(c.Delete("provider_asked"), pipeline.Keep(ctx, c)); err != nil {
			return m, err
		}
	}
	return m, err
}

// undoDeploy deletes the machine that this run made, and no other.
func (p Calls) undoDeploy(ctx context.Context, c *clipboard.Clipboard) error {
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	token := pipeline.FactsOf(ctx).Token
	list, err := p.Find(ctx, Query{Token: token, Names: names(in)})
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.Token != token || token == "" {
			continue
		}
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
	if len(list) == 0 {
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
