package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/remote"
)

type execCmd struct {
	manyFlags

	Serial bool              `short:"l" help:"One host after the other."`
	Input  string            `name:"stdin" short:"i" placeholder:"FILE" help:"Give this file (- or /dev/stdin: what comes in) to the command on every host."`
	Dir    string            `placeholder:"DIR" help:"Working directory on the hosts."`
	Env    map[string]string `mapsep:"none" placeholder:"K=V" help:"Set in the command's environment; whoever lists processes there can read it."`
	TTY    bool              `name:"tty" help:"Give the command a terminal."`
	Args   []string          `arg:"" passthrough:"" help:"The command; the shell on the hosts reads it, as with ssh."`
}

// Help is shown under --help.
func (execCmd) Help() string {
	return "Examples:\n  jarvis exec -o web[1-20] uptime\n  jarvis exec -o ./hosts -x systemctl reload nginx\n  jarvis exec -o db1 -o root@db2:2222 -i script.sh bash -s\n  jarvis exec -o web[1-500] --group -w cat /etc/debian_version\n  jarvis exec -o loki -C 'sleep $((RANDOM % 10))' '&&' echo done      (-C as in orgalorg)"
}

// likeOrgalorg lets `exec` and its kin be typed as orgalorg is: what follows -C, -S or -U are no more flags.
func likeOrgalorg(args []string) []string {
	if len(args) == 0 || !slices.Contains([]string{"exec", "sync", "upload"}, args[0]) {
		return args
	}
	letter := map[string]string{"exec": "C", "sync": "S", "upload": "U"}[args[0]]
	long := map[string]string{"exec": "--command", "sync": "--sync", "upload": "--upload"}[args[0]]
	for i, a := range args[1:] {
		switch {
		case a == "--":
			return args
		case a == long:
		case len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.HasSuffix(a, letter):
			if rest := strings.TrimSuffix(a, letter); rest != "-" {
				return append(append(slices.Clone(args[:i+1]), rest, "--"), args[i+2:]...)
			}
		default:
			continue
		}
		return append(append(slices.Clone(args[:i+1]), "--"), args[i+2:]...)
	}
	return args
}

// Run is called by kong.
func (c *execCmd) Run(ctx context.Context, t *term) error {
	if len(c.Args) > 0 && c.Args[0] == "--" {
		c.Args = c.Args[1:]
	}
	if len(c.Args) == 0 {
		return usage("no command is given, as in `jarvis exec -o HOST uptime`")
	}
	cmd := remote.Command{Line: strings.Join(c.Args, " "), Dir: c.Dir, Env: c.Env, PTY: c.TTY}
	o := fleet.ExecOptions{Serial: c.Serial, Timeout: time.Duration(c.Receive), Stall: time.Duration(c.Send)}
	if c.Input != "" {
		if c.FromStdin && (c.Input == "-" || c.Input == "/dev/stdin") {
			return usage("-s reads the hosts from stdin, so -i needs a file")
		}
		in, err := t.open(c.Input)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		o.Stdin = in
	}
	return c.on(ctx, t, func(ctx context.Context, f *fleet.Fleet, r *resolver, p *printer) ([]fleet.Result, error) {
		cmd.Sudo = r.sudo()
		p.start("running", f.Hosts)
		o.Done = p.done(f)
		return f.Exec(ctx, cmd, o, p.line), nil
	})
}

// done counts results.
func (p *printer) done(f *fleet.Fleet) func(fleet.Result) {
	index := map[string]int{}
	for i, h := range f.Hosts {
		index[h.Name] = i
	}
	return func(r fleet.Result) { p.result(index[r.Host.Name], r) }
}

// open opens a file, or stdin for "-".
func (t *term) open(name string) (io.ReadCloser, error) {
	if name == "-" || name == "/dev/stdin" {
		return io.NopCloser(t.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usage("%v", err)
	}
	return f, nil
}

// on connects to the hosts, locks them, does the work, and says what failed.
func (m *manyFlags) on(ctx context.Context, t *term, work func(context.Context, *fleet.Fleet, *resolver, *printer) ([]fleet.Result, error)) error {
	words, err := m.names(t)
	if err != nil {
		return err
	}
	r, err := newResolver(m, t)
	if err != nil {
		return err
	}
	defer r.close()
	hosts, err := r.hosts(words)
	if err != nil {
		return err
	}
	p := newPrinter(t, m)
	o := fleet.Options{Dials: m.Threads, Skip: m.Skip, KeepAlive: time.Duration(m.KeepAlive), Opened: p.opened}
	if m.Skip {
		o.Failed = p.lost
	}
	f, err := fleet.Open(ctx, hosts, o)
	if err != nil {
		p.close()
		if ctx.Err() != nil {
			return err
		}
		return &exitError{exitFailed, "nothing was done: " + flat(err)}
	}
	defer f.Close()
	if !m.NoLock {
		lock, err := f.Lock(ctx, fleet.LockOptions{File: cmp.Or(m.LockFile, m.lockDir), MakeDir: m.LockFile == "" && m.lockDir != "", Sudo: r.sudo(), Answer: time.Duration(m.KeepAlive)})
		switch {
		case err != nil && m.MayLock && ctx.Err() == nil:
			p.note("going on without the lock: %s", flat(err))
		case err != nil:
			p.close()
			if ctx.Err() != nil {
				return err
			}
			return &exitError{exitFailed, "nothing was done: " + flat(err)}
		default:
			var stop context.CancelFunc
			ctx, stop = lock.Context(ctx)
			defer stop()
			defer func() {
				if err := lock.Release(); err != nil {
					p.note("%s", flat(err))
				}
			}()
		}
	}
	results, err := work(ctx, f, r, p)
	p.close()
	if cause := context.Cause(ctx); errors.Is(cause, fleet.ErrLockLost) {
		return &exitError{exitUsage, "everything was stopped: " + flat(cause)}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	return p.summary(results, f.Lost)
}

// flat writes joined errors as one sentence; of many, the first few.
func flat(err error) string {
	list := strings.Split(err.Error(), "\n")
	const most = 5
	if n := len(list); n > most {
		list = append(list[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(list, "; ")
}
