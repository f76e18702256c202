package libvirt

import (
	"context"
	"errors"
	"fmt"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

func (w *Worker) plan(ctx context.Context, s provider.Spec) (string, error) {
	out := ""
	err := w.on(ctx, "look whether the machine can be made", func(l *golibvirt.Libvirt) error {
		o, err := w.order(l, s)
		if err != nil {
			return err
		}
		out = fmt.Sprintf("would make %s of %s at %s, in pool %s (%s free), %s, with %s", s.FQDN, o.image.name, w.host, w.cfg.Pool, provider.Space(o.free>>20), w.where(o.wire), o)
		return nil
	})
	return out, err
}

// create makes the volumes and then the domain, powered off. It is not cancelled half-way: a define that is under way
// takes effect whether we listen or not, and an undo that looked meanwhile would not have seen it.
func (w *Worker) create(ctx context.Context, s provider.Spec, m provider.Mark) (provider.Machine, error) {
	var out provider.Machine
	if !plainToken.MatchString(m.Token) {
		return out, pipeline.Permanentf("the token %q cannot be a part of a file's name: letters, digits, dots, - and _, at most 100", m.Token)
	}
	files, err := seedFiles(s, m)
	if err != nil {
		return out, pipeline.Permanent(err)
	}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	err = w.on(context.WithoutCancel(ctx), "make the machine", func(l *golibvirt.Libvirt) error {
		dom, err := l.DomainLookupByUUID(uuidOf(m.Token))
		if no(err, golibvirt.ErrNoDomain) {
			pipeline.Progress(ctx, "making its disks")
			dom, err = w.makeMachine(l, s, m, files)
		}
		if err == nil {
			out, err = machine(l, dom)
		}
		if err == nil && out.Token != m.Token {
			return pipeline.Permanentf("the machine %s (%s) is the one that this run made, and has lost its marks; if it is not needed, delete it at %s", out.ID, out.Name, w.host)
		}
		return err
	})
	return out, err
}

// seedFiles is what cloud-init is told.
func seedFiles(s provider.Spec, m provider.Mark) (map[string]string, error) {
	meta, err := cloudinit.MetaData(s.Clipboard, text(uuidOf(m.Token)), nil)
	if err != nil {
		return nil, err
	}
	network, err := (*cloudinit.Network)(nil).Config()
	return map[string]string{"meta-data": meta, "network-config": network, "user-data": s.UserData}, err
}

// makeMachine makes what is not there yet. A refusal leaves nothing; when the connection broke, the next try or an undo
// finds what there is by its token.
func (w *Worker) makeMachine(l *golibvirt.Libvirt, s provider.Spec, m provider.Mark, files map[string]string) (golibvirt.Domain, error) {
	if dom, err := l.DomainLookupByName(s.FQDN); !no(err, golibvirt.ErrNoDomain) {
		if err == nil {
			err = provider.ErrTaken
		}
		return dom, err
	}
	o, err := w.order(l, s)
	if err != nil {
		return golibvirt.Domain{}, err
	}
	err = w.makeVolumes(l, o, m.Token, files)
	if err == nil {
		var dom golibvirt.Domain
		if dom, err = w.define(l, s, o, m); err == nil {
			w.neverRan.Store(text(dom.UUID), true)
			return dom, nil
		}
	}
	if _, gone := l.DomainLookupByUUID(uuidOf(m.Token)); no(gone, golibvirt.ErrNoDomain) {
		err = errors.Join(err, w.removeVolumes(l, w.cfg.Pool, m.Token))
	}
	return golibvirt.Domain{}, err
}

// finish completes what an earlier try began, and powers the machine on. It comes back when the hypervisor does.
func (w *Worker) finish(ctx context.Context, s provider.Spec, m provider.Machine, mark provider.Mark) error {
	if m.State == provider.Running {
		return nil
	}
	if m.State == provider.Begun {
		if _, err := w.create(ctx, s, mark); err != nil {
			return err
		}
	}
	pipeline.Progress(ctx, "powering on")
	err := w.with(ctx, "have the machine start with the hypervisor", m.ID, func(l *golibvirt.Libvirt, dom golibvirt.Domain) error {
		return l.DomainSetAutostart(dom, 1)
	})
	if err != nil {
		return err
	}
	if err = w.startSomewhere(ctx, m.ID); err == nil {
		w.neverRan.Delete(m.ID)
		return nil
	}
	if _, never := w.neverRan.LoadAndDelete(m.ID); never && errors.Is(err, errBridge) {
		// It can never be on, and nobody has seen it: the next try makes it as the clipboard says then.
		if gone := w.remove(ctx, m.ID); gone != nil && !errors.Is(gone, provider.ErrGone) {
			return errors.Join(err, gone)
		}
	}
	return err
}
