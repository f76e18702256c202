package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

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
	Args   []string          `arg:"" passthrough:"partial" help:"The command; the shell on the hosts reads it, as with ssh."`
}

// Help is shown under --help.
func (execCmd) Help() string {
	return "Examples:\n  jarvis exec -o web[1-20] uptime\n  jarvis exec -o ./hosts -x systemctl reload nginx\n  jarvis exec -o db1 -o root@db2:2222 -i script.sh bash -s\n  jarvis exec -o web[1-500] --group -w cat /etc/debian_version\n  jarvis exec -o loki -C 'sleep $((RANDOM % 10))' '&&' echo done      (-C as in orgalorg)"
}

// likeOrgalorg lets `exec` and its kin be typed as orgalorg is: what follows -C, -S or -U are no more flags. It looks at
// flags only: the same letters in a flag's value, or in the command for the hosts (`git -C /srv pull`), are not ours.
func likeOrgalorg(app *kong.Node, args []string) []string {
	if len(args) == 0 || !slices.Contains([]string{"exec", "sync", "upload"}, args[0]) {
		return args
	}
	letter := map[string]byte{"exec": 'C', "sync": 'S', "upload": 'U'}[args[0]]
	long := map[string]string{"exec": "--command", "sync": "--sync", "upload": "--upload"}[args[0]]
	valued := valuedFlags(app, args[0])
	for i := 1; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return args
		case a == long:
			return append(append(slices.Clone(args[:i]), "--"), args[i+1:]...)
		case strings.HasPrefix(a, "--"):
			if valued[a] {
				i++ // its value; with = it is no name of a flag
			}
		case len(a) > 1 && a[0] == '-':
			for j := 1; j < len(a); j++ {
				if a[j] == letter && j == len(a)-1 {
					before := slices.Clone(args[:i])
					if j > 1 {
						before = append(before, a[:j])
					}
					return append(append(before, "--"), args[i+1:]...)
				}
				if valued["-"+a[j:j+1]] {
					if j == len(a)-1 {
						i++
					}
					break // the rest of the word is its value
				}
			}
		case args[0] == "exec":
			return args // the command begins
		}
	}
	return args
}

// valuedFlags lists the flags of a command, as they are typed, that take a value.
func valuedFlags(app *kong.Node, command string) map[string]bool {
	out := map[string]bool{}
	add := func(n *kong.Node) {
		for _, f := range n.Flags {
			if f.IsBool() {
				continue
			}
			out["--"+f.Name] = true
			if f.Short != 0 {
				out["-"+string(f.Short)] = true
			}
		}
	}
	add(app)
	for _, n := range app.Children {
		if n.Name == command {
			add(n)
		}
	}
	return out
}

// Run is called by kong.
func (c *execCmd) Run(ctx context.Context, t *term) error {
	ended := len(c.Args) > 0 && c.Args[0] == "--" // whoever says that no more flags come means what follows
	if ended {
		c.Args = c.Args[1:]
	}
	switch {
	case len(c.Args) == 0:
		return usage("no command is given, as in `jarvis exec -o HOST uptime`")
	case !ended && strings.HasPrefix(c.Args[0], "@"):
		return usage("%s stands where the command begins; hosts are named with -o, as in `jarvis exec -o %s uptime`", c.Args[0], c.Args[0])
	}
	var err error
	if c.Dir, err = there(c.Dir); err != nil {
		return err
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
	if t.server != "" && !c.fromHere() {
		return c.elsewhere(ctx, t, o)
	}
	hosts, r, err := c.resolve(ctx, t, "exec")
	if err != nil {
		return err
	}
	defer r.Close()
	if done, err := c.warm(ctx, t, hosts, o); done || err != nil {
		return err
	}
	if c.Skip && c.NoLock && !c.Serial && o.Stdin == nil {
		return c.each(ctx, t, hosts, r, cmd, o)
	}
	return c.work(ctx, t, hosts, r, func(ctx context.Context, f *fleet.Fleet, r *resolver, p *printer) ([]fleet.Result, error) {
		cmd.Sudo = r.sudo()
		p.start("running", f.Hosts)
		o.Done = p.done(f.Hosts)
		return f.Exec(ctx, cmd, o, p.line), nil
	})
}

// each needs no host to wait for the others.
func (c *execCmd) each(ctx context.Context, t *term, found []found, r *resolver, cmd remote.Command, o fleet.ExecOptions) error {
	hosts := fleetOf(found)
	cmd.Sudo = r.sudo()
	ctx, p := newPrinter(ctx, t, &c.manyFlags)
	p.start("running", hosts)
	o.Done = p.done(hosts)
	results := fleet.Run(ctx, hosts, c.options(), cmd, o, p.line)
	p.close()
	return p.verdict(ctx, results, nil)
}

// leanGC trades a little time for memory: a thousand connections are most of the heap, and live as long as we do.
const leanGC = 50

// AfterApply is called by kong before Run.
func (m *manyFlags) AfterApply() error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(leanGC)
	}
	return nil
}

func (m *manyFlags) options() fleet.Options {
	return fleet.Options{Dials: m.Threads, Skip: m.Skip, KeepAlive: time.Duration(m.KeepAlive), Answer: time.Duration(m.Connect)}
}

func (m *manyFlags) lockOptions(r *resolver) fleet.LockOptions {
	o := fleet.LockOptions{File: m.LockFile, Sudo: r.sudo(), Answer: time.Duration(m.KeepAlive)}
	if m.LockFile == "" {
		o.Dir, o.MakeDir = m.lockDir, !m.lockThere
	}
	return o
}

// done counts results.
func (p *printer) done(hosts []fleet.Host) func(fleet.Result) {
	index := map[string]int{}
	for i, h := range hosts {
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

// work is what is done on hosts that are connected, and locked.
type work func(context.Context, *fleet.Fleet, *resolver, *printer) ([]fleet.Result, error)

// on finds the hosts, and works on them.
func (m *manyFlags) on(ctx context.Context, t *term, command string, do work) error {
	hosts, r, err := m.resolve(ctx, t, command)
	if err != nil {
		return err
	}
	defer r.Close()
	return m.work(ctx, t, hosts, r, do)
}

// work connects to the hosts, locks them, does the work, and says what failed.
func (m *manyFlags) work(ctx context.Context, t *term, found []found, r *resolver, do work) error {
	hosts := fleetOf(found)
	ctx, p := newPrinter(ctx, t, m)
	o := m.options()
	o.Opened = p.opened
	if m.Skip {
		o.Failed = p.lost
	}
	f, err := fleet.Open(ctx, hosts, o)
	if err != nil {
		p.close()
		if ctx.Err() != nil {
			return broken(err)
		}
		why := "nothing was done: " + flat(err)
		if errors.Is(err, remote.ErrUnknownHost) {
			why += strangersHint
		}
		return &exitError{exitFailed, why}
	}
	defer f.Close()
	if !m.NoLock {
		lock, err := f.Lock(ctx, m.lockOptions(r))
		switch {
		case err != nil && m.MayLock && ctx.Err() == nil:
			p.note("going on without the lock: %s", flat(err))
		case err != nil:
			p.close()
			if ctx.Err() != nil {
				return broken(err)
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
	results, err := do(ctx, f, r, p)
	p.close()
	if err != nil && ctx.Err() == nil {
		return err
	}
	return p.verdict(ctx, results, f.Lost)
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
