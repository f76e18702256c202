package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/web"
)

// onBy finds the hosts, and works on them by the server's connections, or by its own.
func (m *manyFlags) onBy(ctx context.Context, t *term, q web.FilesRequest, do work) error {
	hosts, r, err := m.resolve(ctx, t, q.Command)
	if err != nil {
		return err
	}
	defer r.Close()
	return m.workBy(ctx, t, hosts, r, q, do)
}

// workBy has the server carry the files where it can, and works over connections of its own otherwise.
func (m *manyFlags) workBy(ctx context.Context, t *term, hosts []found, r *resolver, q web.FilesRequest, do work) error {
	if done, err := m.carried(ctx, t, hosts, r, q, do); done || err != nil {
		return err
	}
	return m.work(ctx, t, hosts, r, do)
}

// carried works on hosts by the open connections of the server. done is false when that is not to be: no server runs,
// it is an older one, the way to a host is the caller's own (a key, a password, a login on a host of the record, a jump
// host), or the server has no way to a host that is not on record.
func (m *manyFlags) carried(ctx context.Context, t *term, hosts []found, r *resolver, q web.FilesRequest, do work) (done bool, err error) {
	strangers := slices.ContainsFunc(hosts, func(h found) bool { return !h.recorded })
	if m.fromHere() || slices.ContainsFunc(hosts, func(h found) bool { return h.Target.Jump != nil || h.recorded && m.User != "" }) {
		return false, nil
	}
	if strangers && m.Skip { // it would go on without those to whom we have a way
		return false, nil
	}
	if t.server == "" {
		if here, err := t.serverHere(); !here || err != nil {
			return false, err
		}
	}
	cl, err := t.client()
	if err != nil {
		return true, err
	}
	defer cl.Close()
	m.fill(&q, hosts)
	ctx, p := newPrinter(ctx, t, m)
	if m.Verbose > 0 {
		for _, h := range hosts {
			p.note("by the server's connection to %s", h.Name)
		}
	}
	f, err := cl.Files(ctx, q, web.FilesTold{Note: func(what string) { p.note("%s", what) }, Lost: p.lost})
	var refused *web.NotBegunError
	switch {
	case err == nil:
	case interrupted(ctx):
		return true, p.interrupted(notBegun)
	case ctx.Err() != nil:
		return true, broken(context.Cause(ctx))
	case errors.Is(err, web.ErrNoServer) && t.server == "":
		return false, nil
	case errors.Is(err, web.ErrOlder):
		p.note("%v; connecting from here", err)
		return false, nil
	case strangers && errors.Is(err, command.ErrDenied):
		return false, nil
	case strangers && errors.As(err, &refused) && !refused.Reached:
		p.note("the server has no way there (%s); connecting from here", refused.Msg)
		return false, nil
	default:
		return true, m.refusal(err)
	}
	if t.server != "" {
		f.Away()
	}
	p.ready(f.Reached(), !m.NoLock)
	results, err := do(ctx, f, r, p)
	p.close()
	err = p.ending(ctx, results, f.Lost(), err)
	ended := f.Close()
	if ended != nil && ctx.Err() == nil && (errors.As(ended, &refused) || err == nil) {
		return true, m.refusal(ended)
	}
	return true, err
}

// fill says what the flags say.
func (m *manyFlags) fill(q *web.FilesRequest, hosts []found) {
	for _, h := range hosts {
		q.Hosts = append(q.Hosts, web.ExecHost{Name: h.Name, Addr: h.Target.Addr, User: h.Target.User, Keys: knownKeys(h.Target)})
	}
	q.Sudo, q.Skip, q.Dials = m.Sudo, m.Skip, m.Threads
	q.KeepAlive, q.Answer, q.Stall = time.Duration(m.KeepAlive), time.Duration(m.Connect), time.Duration(m.Send)
	q.Lock, q.LockFile, q.LockDir, q.MakeDir, q.MayLock = !m.NoLock, m.LockFile, m.lockDir, !m.lockThere, m.MayLock
}

// refusal is what the server did not do, with the exit code.
func (m *manyFlags) refusal(err error) error {
	var not *web.NotBegunError
	switch {
	case !errors.As(err, &not):
		return err
	case not.Stop:
		return &exitError{exitUsage, not.Msg}
	}
	return &exitError{exitFailed, not.Msg + notDone{why: not.Msg, unknown: not.Unknown, locked: not.Locked, password: m.Password, root: m.Sudo}.advice()}
}
