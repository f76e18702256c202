package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/web"
)

// warm runs the command through the server's open connections, if a server runs. done is false when none does, or when
// something was asked for that only this process can do: a key or a password of the caller's, a jump host.
func (c *execCmd) warm(ctx context.Context, t *term, o fleet.ExecOptions) (done bool, err error) {
	words, err := c.names(t)
	if err != nil {
		return true, err
	}
	named := false // a host that only the server knows
	for _, w := range words {
		named = named || strings.HasPrefix(w, "@")
	}
	if c.Direct || c.Key != "" || c.Password {
		if named {
			return true, usage("only a server knows clusters; leave out --direct, --key and --password")
		}
		return false, c.given(words)
	}
	if t.server == "" && !named {
		conf, err := t.load()
		if err != nil {
			return true, err
		}
		if s, err := net.Dial("unix", conf.Socket()); err == nil {
			_ = s.Close()
		} else if errors.Is(err, os.ErrPermission) {
			return false, c.given(words) // somebody else's server
		}
	}
	cl, err := t.client()
	if err != nil {
		return true, err
	}
	defer cl.Close()
	q := web.ExecRequest{Line: strings.Join(c.Args, " "), Dir: c.Dir, Env: c.Env, Sudo: c.Sudo, TTY: c.TTY, Stdin: o.Stdin != nil, Serial: c.Serial, Skip: c.Skip,
		Timeout: o.Timeout, Stall: o.Stall, Dials: c.Threads, Lock: !c.NoLock, LockFile: c.LockFile, MayLock: c.MayLock}
	r, err := newResolver(&c.manyFlags, t)
	if err != nil {
		return true, err
	}
	defer r.Close()
	for _, w := range words {
		h := web.ExecHost{Name: w}
		if !strings.HasPrefix(w, "@") {
			target, err := r.Target(w)
			if err != nil {
				return true, usage("%v", err)
			}
			if target.Jump != nil {
				return false, c.given(words)
			}
			h.Addr, h.User, h.Keys = target.Addr, target.User, knownKeys(target)
		}
		q.Hosts = append(q.Hosts, h)
	}
	ctx, p := newPrinter(ctx, t, &c.manyFlags)
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
			results = make([]fleet.Result, len(hosts))
			p.start("running", hosts)
		case f.Line != nil:
			p.line(fleet.Line{Host: f.Line.Host, Stderr: f.Line.Stderr, Text: f.Line.Text})
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
			failed = &exitError{code, f.Error}
		}
	})
	p.close()
	switch {
	case errors.Is(err, web.ErrNoServer) && named:
		return true, err
	case errors.Is(err, web.ErrNoServer):
		return false, c.given(words)
	case err != nil:
		return true, err
	case failed != nil:
		return true, failed
	}
	return true, p.summary(results, lost)
}

// given keeps the hosts that were read, since stdin can be read once only.
func (m *manyFlags) given(words []string) error {
	m.Hosts, m.FromStdin = nil, false
	m.words = words
	return nil
}

// knownKeys gives the host keys that the caller's known_hosts has, so that the server need not know the host.
func knownKeys(t remote.Target) []string {
	l, ok := t.HostKeys.(interface {
		Keys(addr string) []gossh.PublicKey
	})
	if !ok {
		return nil
	}
	var out []string
	for _, k := range l.Keys(t.Addr) {
		out = append(out, strings.TrimSpace(string(gossh.MarshalAuthorizedKey(k))))
	}
	return out
}
