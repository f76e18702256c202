package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/web"
)

// fromHere reports whether something was asked for that only this process can do.
func (m *manyFlags) fromHere() bool {
	return m.Direct || m.Key != "" || m.Password || m.HostKey == "accept-new"
}

// warm runs the command through the server's open connections, if one runs on this machine. done is false when none
// does, or when the way to a host is the caller's own: a key, a password, a login on a host of the record, a jump host.
func (c *execCmd) warm(ctx context.Context, t *term, hosts []found, o fleet.ExecOptions) (done bool, err error) {
	if c.fromHere() || slices.ContainsFunc(hosts, func(h found) bool { return h.Target.Jump != nil || h.recorded && c.User != "" }) {
		return false, nil
	}
	here, err := t.serverHere()
	if err != nil {
		return true, err
	}
	if !here {
		return false, nil
	}
	q := c.request(o)
	for _, h := range hosts {
		q.Hosts = append(q.Hosts, web.ExecHost{Name: h.Name, Addr: h.Target.Addr, User: h.Target.User, Keys: knownKeys(h.Target)})
	}
	err = c.through(ctx, t, q, o)
	if errors.Is(err, web.ErrNoServer) {
		return false, nil
	}
	return true, err
}

// elsewhere runs the command through the server that --server names: on hosts of its record.
func (c *execCmd) elsewhere(ctx context.Context, t *term, o fleet.ExecOptions) error {
	words, err := c.names(t)
	if err != nil {
		return err
	}
	if c.User != "" {
		return usage("the server at %s logs in as it does; leave out --user", t.server)
	}
	q := c.request(o)
	for _, w := range words {
		q.Hosts = append(q.Hosts, web.ExecHost{Name: w})
	}
	return c.through(ctx, t, q, o)
}

func (c *execCmd) request(o fleet.ExecOptions) web.ExecRequest {
	return web.ExecRequest{Line: c.line(), Dir: c.Dir, Env: c.Env, Sudo: c.Sudo, TTY: c.TTY, Stdin: o.Stdin != nil, Serial: c.Serial, Skip: c.Skip, Raw: o.Raw,
		Timeout: o.Timeout, Stall: o.Stall, Dials: c.Threads, Lock: !c.NoLock, LockFile: c.LockFile, LockDir: c.lockDir, MayLock: c.MayLock}
}

// through has the server run a command, and shows what comes.
func (c *execCmd) through(ctx context.Context, t *term, q web.ExecRequest, o fleet.ExecOptions) error {
	cl, err := t.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, p := newPrinter(ctx, t, &c.manyFlags)
	if c.Verbose > 0 {
		for _, h := range q.Hosts {
			p.note("by the server's connection to %s", h.Name)
		}
	}
	var results []fleet.Result
	var lost []*fleet.HostError
	var hosts []fleet.Host
	var failed error
	err = cl.Exec(ctx, q, o.Stdin, func(f web.ExecFrame) {
		switch {
		case f.Hosts != nil:
			for _, n := range f.Hosts {
				hosts = append(hosts, fleet.Host{Name: n})
			}
			results = fleet.Untold(hosts)
			p.start("running", hosts)
			p.raw = o.Raw
		case f.Line != nil:
			p.line(f.Line.Line(o.Raw))
		case f.Result != nil:
			res := fleet.Result{Host: hosts[f.Result.Host], Exit: f.Result.Exit, Signal: f.Result.Signal, Took: f.Result.Took}
			if f.Result.Error != "" {
				res.Err = errors.New(f.Result.Error)
			}
			results[f.Result.Host] = res
			p.result(f.Result.Host, res)
		case f.Lost != nil:
			e := &fleet.HostError{Host: fleet.Host{Name: f.Lost.Name}, Err: errors.New(f.Lost.Error)}
			lost = append(lost, e)
			p.lost(e.Host, e.Err)
		case f.Note != "":
			p.note("%s", f.Note)
		case f.Error != "":
			code := exitFailed
			if f.Stop {
				code = exitUsage
			}
			failed = &exitError{code, f.Error + notDone{why: f.Error, unknown: f.Unknown, locked: f.Locked, password: c.Password, root: c.Sudo}.advice()}
		}
	})
	p.close()
	var unread *outputError
	switch {
	case errors.As(err, &unread) && len(hosts) > 0 && p.ended == len(hosts):
		return p.verdict(ctx, results, lost)
	case errors.As(err, &unread): // what had ended by then the server alone knows
		return &exitError{exitFailed, "what still ran was stopped: " + unread.Error()}
	case err != nil && interrupted(ctx) && len(hosts) == 0:
		return p.interrupted(notBegun)
	case err != nil && interrupted(ctx):
		return p.interrupted(p.ended)
	case err != nil:
		return err
	case failed != nil:
		return failed
	}
	return p.verdict(ctx, results, lost)
}

// knownKeys gives the host keys that are known here, so that the server need not know the host.
func knownKeys(t remote.Target) []string {
	var keys []gossh.PublicKey
	switch k := t.HostKeys.(type) {
	case remote.Pinned:
		keys = k
	case interface {
		Keys(addr string) []gossh.PublicKey
	}:
		keys = k.Keys(t.Addr)
	}
	var out []string
	for _, k := range keys {
		out = append(out, strings.TrimSpace(string(gossh.MarshalAuthorizedKey(k))))
	}
	return out
}
