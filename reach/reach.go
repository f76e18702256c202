// Package reach finds the machines that people mean, and how a server gets to them: as its record knows them, or else
// as ssh on its machine would. `exec` and its kin through a server, commands in chat, tasks and checks all come through
// it, so that a word means the same machine everywhere, and each machine proves itself by the same keys. cmd/jarvis
// makes it, for web, command, tasklog and checks. It starts no goroutine.
package reach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// Keys is what the server logs in with, and by what hosts prove themselves. A *ssh.Worker is one.
type Keys interface {
	// Target is for a host of the record, by the keys that its run learned (lines of authorized_keys form).
	Target(ip string, login clipboard.Login, hostkeys []string) (remote.Target, error)
	// Known is for a host that no run made: known_hosts, or what the caller knows, vouches for it. addr is host:port.
	Known(addr, user string, hostkeys []string) (remote.Target, error)
	// Signer is the server's own key.
	Signer() gossh.Signer
	// PublicKeyAt says in words where its public half is; "" when nobody can put it on hosts.
	PublicKeyAt() string
}

// Record is what is known of hosts. A *pipeline.Engine is one.
type Record interface {
	// FindHost gives a host by its name; a pipeline.ErrNotFound or *pipeline.AmbiguousError when there is none, or
	// several.
	FindHost(ctx context.Context, name string) (pipeline.Standing, error)
	// Members gives the hosts of a cluster or group.
	Members(ctx context.Context, name string) ([]pipeline.Standing, error)
}

// Config of a Finder. All must be set.
type Config struct {
	Record Record
	Keys   Keys
	Pool   *remote.Pool
	// Through has a target be reached by way of a silo, where the server has no way of its own.
	Through func(t *remote.Target, silo string)
	Log     *slog.Logger
}

// Finder is safe for concurrent use. Close it.
type Finder struct {
	Config

	noted sync.Map // what was said of the files of ~/.ssh

	mu       sync.Mutex
	resolver *remote.Resolver // of checks
	resolved time.Time
}

// New makes a Finder.
func New(c Config) *Finder { return &Finder{Config: c} }

// Close lets go of what ~/.ssh told.
func (f *Finder) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resolver != nil {
		f.resolver.Close()
		f.resolver = nil
	}
}

// Word is one that somebody says for a machine.
type Word struct {
	Name string   // a name on record, @CLUSTER, or how output calls the host
	Addr string   // host:port; "": the record knows it
	User string   // "": the server's
	Keys []string // host keys that the caller knows, as in known_hosts without the names
}

// Exec runs a command on a host of the record, by the keys that its run learned.
func (f *Finder) Exec(ctx context.Context, h pipeline.Standing, args []string, line func(string)) (remote.Result, error) {
	t, err := f.Recorded(h)
	if err != nil {
		return remote.Result{}, err
	}
	return f.Pool.Run(ctx, t, remote.Command{Args: args, Stdout: line, Stderr: line})
}

// Hosts finds those of `jarvis exec`: names and clusters on record, and addresses. Each stands there once, by its full
// name where another one has the same short one.
func (f *Finder) Hosts(ctx context.Context, list []Word) ([]fleet.Host, error) {
	out, err := f.find(ctx, list)
	return apart(out), err
}

// apart leaves out hosts that are there already, and tells those apart whose short names are the same.
func apart(list []fleet.Host) []fleet.Host {
	type machine struct{ name, fqdn, key string }
	seen := map[machine]bool{}
	list = slices.DeleteFunc(list, func(h fleet.Host) bool {
		m := machine{h.Name, h.FQDN, h.Target.Key()}
		twice := seen[m]
		seen[m] = true
		return twice
	})
	fleet.Apart(list)
	return list
}

// find is Hosts with each host as often as words mean it.
func (f *Finder) find(ctx context.Context, list []Word) ([]fleet.Host, error) {
	var out []fleet.Host
	recorded := func(h pipeline.Standing) error {
		if !h.Reachable() {
			return &command.UserError{Msg: fmt.Sprintf("%s has no address and host key on record", h.Host), Hint: fmt.Sprintf("`status %s` says where it stands", h.Host)}
		}
		t, err := f.Recorded(h)
		out = append(out, fleet.Host{Name: h.Host, FQDN: h.FQDN, Target: t})
		return err
	}
	for _, h := range list {
		if name, ok := strings.CutPrefix(h.Name, "@"); ok {
			members, err := f.Record.Members(ctx, name)
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
		stands, err := f.Record.FindHost(ctx, h.Name)
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
		t, err := f.Keys.Known(h.Addr, h.User, h.Keys)
		if err != nil {
			return nil, &command.UserError{Msg: err.Error(), Kind: command.ErrUsage}
		}
		out = append(out, fleet.Host{Name: h.Name, Target: t})
	}
	return out, nil
}

// Named finds the hosts of tasks: names and clusters on record, and what the server's own ~/.ssh knows.
func (f *Finder) Named(ctx context.Context, names []string) ([]fleet.Host, error) {
	r, err := f.serverResolver()
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
			list, err := f.find(ctx, []Word{{Name: n}})
			var user *command.UserError
			if errors.As(err, &user) && errors.Is(user.Kind, command.ErrNotFound) && !strings.HasPrefix(n, "@") {
				t, err := f.asServer(r, n)
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
	return apart(out), nil
}

// Target says how checks reach a host: as the record knows it, or as ssh on this machine would.
func (f *Finder) Target(ctx context.Context, word string) (remote.Target, error) {
	h, err := f.Record.FindHost(ctx, word)
	switch {
	case err == nil && h.Reachable():
		return f.Recorded(h)
	case err != nil && !errors.Is(err, pipeline.ErrNotFound):
		return remote.Target{}, err
	}
	return f.bySSH(word)
}

// Recorded says how a host of the record is reached: by the keys that are known of it. Where none is, as of one that
// was imported, the server's known_hosts files vouch for it, or nobody does, and it is refused.
func (f *Finder) Recorded(h pipeline.Standing) (remote.Target, error) {
	t, err := f.Keys.Target(h.Reach.Addr, h.Reach.Login, h.Reach.Keys)
	f.Through(&t, h.Silo())
	if err != nil || len(h.Reach.Keys) > 0 {
		return t, err
	}
	known, err := f.Keys.Known(t.Addr, t.User, nil)
	if err != nil {
		return t, err
	}
	own, err := f.bySSH(h.Reach.Addr)
	t.HostKeys, t.KnownAt = remote.FirstOf{known.HostKeys, own.HostKeys}, own.KnownAt
	return t, err
}

// bySSH gives the target of a host as ssh on this machine would.
func (f *Finder) bySSH(word string) (remote.Target, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resolver == nil || time.Since(f.resolved) > resolverAge {
		fresh, err := f.serverResolver()
		if err != nil {
			return remote.Target{}, err
		}
		if f.resolver != nil {
			f.resolver.Close()
		}
		f.resolver, f.resolved = fresh, time.Now()
	}
	return f.asServer(f.resolver, word)
}

// resolverAge is how long what ~/.ssh says is believed.
const resolverAge = time.Minute

// serverResolver reads the ~/.ssh of whoever runs the server. Nobody is asked anything.
func (f *Finder) serverResolver() (*remote.Resolver, error) {
	r, err := remote.NewResolver()
	if err != nil {
		return nil, err
	}
	r.Note = func(what string) {
		if _, said := f.noted.LoadOrStore(what, true); !said {
			f.Log.Warn(what)
		}
	}
	return r, nil
}

// asServer gives the target of a host by this machine's ~/.ssh, with the server's own key and without a person's agent.
func (f *Finder) asServer(r *remote.Resolver, word string) (remote.Target, error) {
	t, err := r.Target(word)
	if err != nil {
		return t, err
	}
	for by := &t; by != nil; by = by.Jump {
		if by.KnownAt != "" {
			by.KnownAt += " on Jarvis's server"
		}
	}
	t.Agent = nil
	t.Signers, t.PublicKey = append(t.Signers, f.Keys.Signer()), f.Keys.PublicKeyAt()
	return t, nil
}
