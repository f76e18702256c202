package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/web"
)

// exec runs a command on a host of the record, by the keys that its run learned.
func (a *app) exec(ctx context.Context, h pipeline.Standing, args []string, line func(string)) (remote.Result, error) {
	t, err := a.reach(h)
	if err != nil {
		return remote.Result{}, err
	}
	return a.pool.Run(ctx, t, remote.Command{Args: args, Stdout: line, Stderr: line})
}

// hosts finds those of `jarvis exec`: names and clusters on record, and addresses.
func (a *app) hosts(ctx context.Context, list []web.ExecHost) ([]fleet.Host, error) {
	var out []fleet.Host
	recorded := func(h pipeline.Standing) error {
		if !h.Reachable() {
			return &command.UserError{Msg: fmt.Sprintf("%s has no address and host key on record", h.Host), Hint: fmt.Sprintf("`status %s` says where it stands", h.Host)}
		}
		t, err := a.reach(h)
		out = append(out, fleet.Host{Name: h.Host, Target: t})
		return err
	}
	for _, h := range list {
		if name, ok := strings.CutPrefix(h.Name, "@"); ok {
			members, err := a.engine.Members(ctx, name)
			if errors.Is(err, pipeline.ErrNotFound) {
				return nil, &command.UserError{Msg: "there is no cluster or group " + name + " on record", Kind: command.ErrNotFound}
			} else if err != nil {
				return nil, err
			}
			for _, member := range members {
				if err := recorded(member); err != nil {
					return nil, err
				}
			}
			continue
		}
		stands, err := a.engine.FindHost(ctx, h.Name)
		if err == nil && (stands.Reach.OK() || h.Addr == "") {
			if err := recorded(stands); err != nil {
				return nil, err
			}
			continue
		}
		var many *pipeline.AmbiguousError
		if errors.As(err, &many) && h.Addr == "" {
			return nil, &command.UserError{Msg: many.Error(), Kind: command.ErrUsage}
		} else if err != nil && !errors.Is(err, pipeline.ErrNotFound) && many == nil {
			return nil, err
		}
		if h.Addr == "" {
			return nil, &command.UserError{Msg: "there is no host " + h.Name + " on record", Kind: command.ErrNotFound}
		}
		t, err := a.workers.SSH.Known(h.Addr, h.User, h.Keys)
		if err != nil {
			return nil, &command.UserError{Msg: err.Error(), Kind: command.ErrUsage}
		}
		out = append(out, fleet.Host{Name: h.Name, Target: t})
	}
	return out, nil
}

// named finds the hosts of tasks: names and clusters on record, and what the server's own ~/.ssh knows.
func (a *app) named(ctx context.Context, names []string) ([]fleet.Host, error) {
	r, err := a.serverResolver()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []fleet.Host
	for _, word := range names {
		expanded, err := fleet.Expand(word)
		if err != nil {
			return nil, err
		}
		for _, n := range expanded {
			list, err := a.hosts(ctx, []web.ExecHost{{Name: n}})
			var user *command.UserError
			if errors.As(err, &user) && errors.Is(user.Kind, command.ErrNotFound) && !strings.HasPrefix(n, "@") {
				t, err := a.asServer(r, n)
				if err != nil {
					return nil, err
				}
				out = append(out, fleet.Host{Name: n, Target: t})
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
	}
	return out, nil
}

// target says how checks reach a host: as the record knows it, or as ssh on this machine would.
func (a *app) target(ctx context.Context, word string) (remote.Target, error) {
	h, err := a.engine.FindHost(ctx, word)
	switch {
	case err == nil && h.Reachable():
		return a.reach(h)
	case err != nil && !errors.Is(err, pipeline.ErrNotFound):
		return remote.Target{}, err
	}
	return a.bySSH(word)
}

// reach says how a host of the record is reached: by the keys that are known of it. Where none is, as of one that was
// imported, the server's known_hosts files vouch for it, or nobody does, and it is refused.
func (a *app) reach(h pipeline.Standing) (remote.Target, error) {
	t, err := a.workers.SSH.Target(h.Reach.Addr, h.Reach.Login, h.Reach.Keys)
	a.through(&t, h.Silo())
	if err != nil || len(h.Reach.Keys) > 0 {
		return t, err
	}
	known, err := a.workers.SSH.Known(t.Addr, t.User, nil)
	if err != nil {
		return t, err
	}
	own, err := a.bySSH(h.Reach.Addr)
	t.HostKeys = remote.FirstOf{known.HostKeys, own.HostKeys}
	return t, err
}

// bySSH gives the target of a host as ssh on this machine would.
func (a *app) bySSH(word string) (remote.Target, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.resolver == nil || time.Since(a.resolved) > resolverAge {
		fresh, err := a.serverResolver()
		if err != nil {
			return remote.Target{}, err
		}
		if a.resolver != nil {
			a.resolver.Close()
		}
		a.resolver, a.resolved = fresh, time.Now()
	}
	return a.asServer(a.resolver, word)
}

// resolverAge is how long what ~/.ssh says is believed.
const resolverAge = time.Minute

// serverResolver reads the ~/.ssh of whoever runs the server. Nobody is asked anything.
func (a *app) serverResolver() (*remote.Resolver, error) {
	r, err := remote.NewResolver()
	if err != nil {
		return nil, err
	}
	r.Note = func(what string) {
		if _, said := a.noted.LoadOrStore(what, true); !said {
			a.log.Warn(what)
		}
	}
	return r, nil
}

// asServer gives the target of a host by this machine's ~/.ssh, with the server's own key and without a person's agent.
func (a *app) asServer(r *remote.Resolver, word string) (remote.Target, error) {
	t, err := r.Target(word)
	if err != nil {
		return t, err
	}
	t.Agent = nil
	t.Signers = append(t.Signers, a.workers.SSH.Signer())
	return t, nil
}
