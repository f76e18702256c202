package checks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/remote"
)

// prober runs a check where it runs: over SSH, or by a ping or a port of a host. It owns how each host is reached and
// which plugins were brought there (host.reached). It needs connections, what is declared, and by what runs are known
// on their hosts.
type prober struct {
	conf    func() *model.Config
	catalog func() *model.Catalog
	known   func() string
	pool    *remote.Pool
	reach   func(ctx context.Context, word string) (remote.Target, error) // World.Target
	through func(t *remote.Target, silo string)                           // World.Through

	mu sync.Mutex // of what is known of hosts; taken after every other
}

// reached is what a prober knows of a host.
type reached struct {
	target  *remote.Target  // nil: not asked for since the record changed
	plugins map[string]bool // by hash: they are there
}

// forget drops how a host is reached: it is asked for again.
func (b *prober) forget(h *host) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h.target = nil
}

// run runs a task on its host, or asks whether that is up.
func (b *prober) run(ctx context.Context, j job) outcome {
	if j.Task == model.HostAnswers && j.alive.By != model.BySSH {
		return b.askAlive(ctx, j)
	}
	began := time.Now()
	out := b.onHost(ctx, j)
	out.took = time.Since(began)
	return out
}

// onHost runs a task over SSH. unreachable is said of the connection alone: a command that fails says nothing of the
// host.
func (b *prober) onHost(ctx context.Context, j job) outcome {
	t := j.task
	target, err := b.way(ctx, j.where)
	if err != nil {
		return outcome{unreachable: true, text: model.OneLine(err)}
	}
	// That it can be reached is asked first: it is another thing than what becomes of the command.
	_, release, err := b.pool.Get(ctx, target)
	if err != nil {
		return outcome{unreachable: true, noWay: errors.Is(err, remote.ErrNoWay), text: strings.TrimPrefix(model.OneLine(err), "unreachable: ")}
	}
	release()
	if j.Task == model.HostAnswers {
		return outcome{stdout: "it answers"}
	}
	timeout := cmp.Or(t.Timeout, defaultTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %s", timeout))
	defer cancel()
	env, err := b.environment(ctx, j)
	if err != nil {
		return outcome{text: model.OneLine(err)}
	}
	var sudo *remote.Sudo
	if t.Sudo {
		sudo = &remote.Sudo{}
	}
	if j.cut {
		if err := b.pool.End(ctx, target, checkMark+"="+env[checkMark], sudo); err != nil {
			return outcome{text: model.OneLine(fmt.Errorf("end what the last server left running: %w", err))}
		}
	}
	line := t.Command
	var dir string
	if t.Plugin != "" {
		file, err := b.bring(ctx, j.where, target, t.Plugin)
		if err != nil {
			return outcome{text: model.OneLine(fmt.Errorf("bring the plugin %s: %w", t.Plugin, err))}
		}
		dir = path.Dir(file)
		line = "exec " + remote.Quote(append([]string{file}, arguments(t, env)...)...)
	}
	var res remote.Result
	if sudo != nil || j.about != nil {
		cmd := remote.Sh(line, env)
		if sudo != nil { // which shows what it is given on its own command line
			cmd = remote.Command{Args: []string{"sh", "-c", line}, Env: env, Sudo: sudo}
		}
		if j.about != nil {
			told, err := j.about.told()
			if err != nil {
				return outcome{text: model.OneLine(err)}
			}
			cmd.Stdin = bytes.NewReader(told)
		}
		res, err = b.pool.Run(ctx, target, cmd)
	} else {
		res, err = b.pool.Quick(ctx, target, line, env)
	}
	if err != nil {
		return outcome{text: model.OneLine(err), noWay: b.noWay(ctx, target), stdout: res.Stdout, stderr: res.Stderr}
	}
	if t.Plugin != "" && (res.Exit == 126 || res.Exit == 127) {
		b.lost(j.where, dir) // somebody removed it
	}
	return outcome{exit: res.Exit, signal: res.Signal, stdout: res.Stdout, stderr: res.Stderr}
}

// arguments gives those of a plugin. Variables in them are filled in, and of one that runs elsewhere the host that it
// is about.
func arguments(t model.Task, env map[string]string) []string {
	out := slices.Clone(t.Args)
	for i := range out {
		out[i] = model.FillArg(out[i], func(name string) (string, bool) {
			v, ok := env[name]
			return v, ok && (t.From != "" || strings.HasPrefix(name, model.VarPrefix))
		})
	}
	return out
}

// noWay reports whether the way to a host's silo is missing, after a command has failed.
func (b *prober) noWay(ctx context.Context, target remote.Target) bool {
	if target.Through == nil {
		return false
	}
	_, release, err := b.pool.Get(ctx, target)
	if err == nil {
		release()
	}
	return errors.Is(err, remote.ErrNoWay)
}

// checkMark is the variable by which a run is known on its host, also to a server that was started since.
const checkMark = "JARVIS_CHECK"

// environment gives that of a task, and for one that runs elsewhere which host it is about.
func (b *prober) environment(ctx context.Context, j job) (map[string]string, error) {
	env := map[string]string{checkMark: b.known() + "/" + j.Key.Task + "/" + j.Key.Host}
	if j.about != nil {
		maps.Copy(env, j.about.environment())
	}
	for k, v := range j.vars {
		env[model.VarPrefix+k] = v
	}
	maps.Copy(env, j.task.Env)
	if j.task.From == "" {
		return env, nil
	}
	t, err := b.reach(ctx, wordOf(b.catalog(), j.Host))
	if err != nil {
		return nil, err
	}
	addr, _, err := net.SplitHostPort(t.Addr)
	if err != nil {
		addr = t.Addr
	}
	env["JARVIS_HOST"], env["JARVIS_ADDRESS"] = j.Host, addr
	return env, nil
}

// wordOf gives what World.Target is asked for.
func wordOf(c *model.Catalog, name string) string { return cmp.Or(c.Hosts[name].Address, name) }

// way gives how a host is reached; it is asked for again when the record changes, and when the host could not be
// reached.
func (b *prober) way(ctx context.Context, h *host) (remote.Target, error) {
	c := b.catalog()
	b.mu.Lock()
	t := h.target
	b.mu.Unlock()
	if t != nil {
		return *t, nil
	}
	got, err := b.reach(ctx, wordOf(c, h.name))
	if err != nil {
		return remote.Target{}, err
	}
	if silo := c.SiloOf(h.name); silo != "" && b.through != nil {
		b.through(&got, silo)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	h.target = &got
	return got, nil
}
