package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/web"
)

type execCmd struct {
	manyFlags

	Serial bool              `short:"l" help:"One host after the other."`
	Input  string            `name:"stdin" short:"i" placeholder:"FILE" help:"Give this file (- or /dev/stdin: what comes in) to the command on every host."`
	Dir    string            `placeholder:"DIR" help:"Working directory on the hosts."`
	Root   string            `short:"r" placeholder:"DIR" help:"Working directory that is locked alone, as upload and sync with the same --root do; others may work elsewhere on the host."`
	Shell  string            `placeholder:"SHELL" help:"Shell that runs the command, as in 'bash -c {}'; {} is the command (default: the login shell there reads it)."`
	Env    map[string]string `mapsep:"none" placeholder:"K=V" help:"Set in the command's environment; whoever lists processes there can read it."`
	TTY    bool              `name:"tty" help:"Give the command a terminal."`
	Args   []string          `arg:"" passthrough:"partial" help:"The command; the shell on the hosts reads it, as with ssh."`
}

// Help is shown under --help.
func (execCmd) Help() string {
	return "Examples:\n  jarvis exec -o 'web[1-20]' uptime\n  jarvis exec -o ./hosts -x systemctl reload nginx\n  jarvis exec -o db1 -o root@db2:2222 -i script.sh bash -s\n  jarvis exec -o 'web[1-500]' --group -w cat /etc/debian_version\n  jarvis exec -o loki -C 'sleep $((RANDOM % 10))' '&&' echo done      (-C as in orgalorg)"
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
	if err := hasCommand(c.Shell); err != nil {
		return err
	}
	for name := range c.Env {
		if !envName.MatchString(name) {
			return usage("--env takes NAME=VALUE, and %q is no name of a variable", name)
		}
	}
	if !ended {
		if err := c.globbed(c.Args[0]); err != nil {
			return err
		}
	}
	var err error
	if c.Dir != "" && c.Root != "" {
		return usage("--dir and --root both say where the command works; --root locks that directory alone too")
	}
	if c.Dir, err = there(c.Dir + c.Root); err != nil {
		return err
	}
	if c.Root != "" {
		c.lockDir, c.lockThere = c.Dir, true
	}
	cmd := remote.Command{Line: c.line(), Dir: c.Dir, Env: c.Env, PTY: c.TTY}
	o := fleet.ExecOptions{Serial: c.Serial, Timeout: time.Duration(c.Receive), Stall: time.Duration(c.Send), Raw: c.Quiet && !c.JSON && !c.Group}
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
	c.after = c.Args
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
	return c.work(ctx, t, hosts, r, func(ctx context.Context, f crew, r *resolver, p *printer) ([]fleet.Result, error) {
		cmd.Sudo = r.sudo()
		p.start("running", f.Reached())
		p.raw = o.Raw
		o.Done = p.result
		return f.Exec(ctx, cmd, o, p.line), nil
	})
}

var envName = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)

// globbed refuses a command that the shell here has made out of hosts: where files are called as they are, web[1-3] is
// three words.
func (m *manyFlags) globbed(word string) error {
	if len(m.Hosts) == 0 {
		return nil
	}
	last := m.Hosts[len(m.Hosts)-1]
	_, err := os.Stat(last)
	_, werr := os.Stat(word)
	if err != nil || werr != nil || strings.Contains(last, "/") || !strings.Contains(fleet.Fold([]string{last, word}), "[") {
		return nil
	}
	return usage("%s follows -o %s, and both are names of files here: the shell has expanded a pattern like web[1-3]; quote it, as in -o 'web[1-3]'. A command that is called so stands after --", word, last)
}

// line is what the hosts are told to do.
func (c *execCmd) line() string {
	line := strings.Join(c.Args, " ")
	if c.Shell != "" {
		line = inShell(c.Shell, line)
	}
	return line
}

// each needs no host to wait for the others.
func (c *execCmd) each(ctx context.Context, t *term, found []found, r *resolver, cmd remote.Command, o fleet.ExecOptions) error {
	hosts := fleetOf(found)
	cmd.Sudo = r.sudo()
	ctx, p := newPrinter(ctx, t, &c.manyFlags)
	p.start("running", hosts)
	p.raw = o.Raw
	o.Done = p.result
	p.connects(hosts)
	results, err := fleet.Run(ctx, hosts, c.options(), cmd, o, p.line)
	p.close()
	if err != nil && !interrupted(ctx) {
		return err
	}
	return p.verdict(ctx, results, nil)
}

// leanGC trades a little time for memory: a thousand connections are most of the heap, and live as long as we do.
const leanGC = 50

// idle are the flags that would do nothing with a command, or not what they say.
var idle = map[string]map[string]string{
	"lock": {
		"json": "it prints no output of hosts", "quiet": "it prints no output of hosts", "group": "it prints no output of hosts",
		"recv-timeout": "it runs no command that could take long", "send-timeout": "it sends nothing to the hosts",
		"no-lock": "no lock is taken then", "no-lock-fail": "no lock is held then",
	},
	"upload": {"recv-timeout": "it runs no command that could take long", "group": "it prints no output of hosts"},
	"fetch": {
		"recv-timeout": "it runs no command that could take long", "group": "it prints no output of hosts",
		"no-lock": "it locks nothing", "no-lock-fail": "it locks nothing", "lock-file": "it locks nothing",
	},
}

// AfterApply is called by kong before Run.
func (m *manyFlags) AfterApply(k *kong.Context) error {
	m.command = k.Selected().Name
	for _, p := range k.Path {
		if p.Flag == nil || p.Resolved {
			continue
		}
		if why := idle[m.command][p.Flag.Name]; why != "" {
			name := "--" + p.Flag.Name
			if p.Flag.Short != 0 {
				name = fmt.Sprintf("-%c (%s)", p.Flag.Short, name)
			}
			return fmt.Errorf("%s does nothing with `%s`: %s; leave it out", name, m.command, why)
		}
	}
	if m.Threads < 1 {
		return fmt.Errorf("-d (--threads) is how many hosts are logged in to at once: it is 1 or more, not %d", m.Threads)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(leanGC)
	}
	return nil
}

func (m *manyFlags) options() fleet.Options {
	return fleet.Options{Dials: m.Threads, Skip: m.Skip, KeepAlive: time.Duration(m.KeepAlive), Answer: time.Duration(m.Connect)}
}

// lockOptions locks the file that is named, or else the folder of the work, which is made where it need not be there.
func (m *manyFlags) lockOptions(r *resolver) fleet.LockOptions {
	o := fleet.LockOptions{File: m.LockFile, Sudo: r.sudo(), Answer: time.Duration(m.KeepAlive)}
	if m.LockFile == "" {
		o.Dir, o.MakeDir = m.lockDir, !m.lockThere
	}
	return o
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
	if st, err := f.Stat(); err == nil && st.IsDir() {
		_ = f.Close()
		return nil, usage("%s is a directory; what a command reads is a file, or - for what comes in", name)
	}
	return f, nil
}

// crew is hosts that are connected, and locked: by connections of this process, or by the server's.
type crew interface {
	fleet.Carrier
	Has(ctx context.Context, dir string, sudo *remote.Sudo) []fleet.Result
	Exec(ctx context.Context, cmd remote.Command, o fleet.ExecOptions, out func(fleet.Line)) []fleet.Result
	Sync(ctx context.Context, tool remote.Command, o fleet.ExecOptions, out func(fleet.Line)) []fleet.Result
}

var (
	_ crew = (*fleet.Fleet)(nil)
	_ crew = (*web.Files)(nil)
)

// work is what is done on them.
type work func(context.Context, crew, *resolver, *printer) ([]fleet.Result, error)

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
	o := fleet.WorkOptions{Options: m.options(), MayLock: m.MayLock, Note: func(what string) { p.note("%s", what) }}
	o.Opened = p.opened
	if m.Skip {
		o.Failed = p.lost
	}
	if !m.NoLock {
		lock := m.lockOptions(r)
		o.Lock = &lock
	}
	p.connects(hosts)
	var verdict error
	err := fleet.Work(ctx, hosts, o, func(ctx context.Context, f *fleet.Fleet) {
		p.ready(f.Hosts, !m.NoLock)
		results, err := do(ctx, f, r, p)
		p.close()
		verdict = p.ending(ctx, results, f.Lost, err)
	})
	var undone *fleet.NothingDoneError
	var stopped *fleet.StoppedError
	switch {
	case errors.As(err, &undone):
		p.close()
		why := undone.Error()
		held := fleet.Held(err) && m.command != "lock"
		return &exitError{exitFailed, why + notDone{why, errors.Is(err, remote.ErrUnknownHost), held, m.Password, m.Sudo}.advice()}
	case errors.As(err, &stopped):
		return &exitError{exitUsage, stopped.Error()}
	case err != nil && interrupted(ctx): // before anything began
		p.close()
		return p.interrupted(notBegun)
	case err != nil:
		p.close()
		return broken(err)
	}
	return verdict
}
