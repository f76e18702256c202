package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/all"
)

type agentCmd struct {
	Check   bool `help:"Only try the line and the token, say what works, and end."`
	Verbose bool `help:"Log more." short:"v"`
}

// Help is shown under --help.
func (c *agentCmd) Help() string {
	return "Example: jarvis agent --config /etc/jarvis/agent.yaml\n\nIt keeps a line to each server that agent.server names, and does the steps of its silo with the workers and credentials of its own configuration. It needs no database, and opens no port."
}

// Run is called by kong.
func (c *agentCmd) Run(ctx context.Context, t *term) error {
	conf, err := t.load(config.Load)
	if err != nil {
		return err
	}
	if len(conf.Agent.Servers) == 0 || conf.Agent.Token == "" || conf.Agent.Silo == "" {
		return &exitError{exitUsage, "an agent needs agent.server, agent.token and agent.silo in its configuration; docs/howto/agent.md says how to get them"}
	}
	if err := os.MkdirAll(conf.Data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	j := newJournal(t.err, conf, c.Verbose)
	o := agent.Options{Config: conf.Agent, Dir: filepath.Join(conf.Data, "calls"), Version: version, Log: j.Logger, Drain: conf.Drain, Conceal: conf.Conceal}
	if o.Name == "" {
		host, _ := os.Hostname()
		o.Name, _, _ = strings.Cut(host, ".")
		o.Name = cmp.Or(o.Name, "agent")
	}
	if !c.Check {
		free, err := lockAgent(conf.Data)
		if err != nil {
			return err
		}
		defer free()
	}
	if o.ID, err = agentID(conf.Data); err != nil {
		return err
	}
	w := conf.Workers
	if c.Check {
		w = w.Passing()
	}
	set, err := all.Build(w, conf.Data)
	if err != nil {
		return conf.Wrong(err)
	}
	defer set.Close()
	o.Steps = set.Registry.Steps()
	for _, s := range set.Registry.Offered() { // of external programs; one without a table has no names to offer
		if step, err := set.Registry.Lookup(s.Name, ""); err == nil && !strings.Contains(s.Name, "*") {
			o.Steps = append(o.Steps, step)
		}
	}
	if c.Check {
		o.Dir = "" // what an agent that runs here keeps is none of ours
		return c.check(ctx, t, o)
	}
	return serveAgent(ctx, t, j, o)
}

// check tries each line, and the token.
func (c *agentCmd) check(ctx context.Context, t *term, o agent.Options) error {
	a, err := agent.New(o)
	if err != nil {
		return &exitError{exitUsage, err.Error()}
	}
	var failed []error
	var left []string
	for _, s := range o.Servers {
		taken, err := a.Try(ctx, s)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		left = taken.Left
		_, _ = fmt.Fprintf(t.out, "%s (%s) takes this agent for the silo %s; its token counts until %s.\n", s, taken.Version, o.Silo, plain.Time(taken.Expires))
	}
	if len(failed) > 0 {
		return &exitError{exitFailed, errors.Join(failed...).Error()}
	}
	of := func(is bool) []pipeline.Step {
		return slices.DeleteFunc(slices.Clone(o.Steps), func(s pipeline.Step) bool { return slices.Contains(left, s.Name) != is })
	}
	_, _ = fmt.Fprintf(t.out, "It offers %d steps: of %s.\n", len(of(false)), strings.Join(modules(of(false)), ", "))
	if len(left) > 0 {
		_, _ = fmt.Fprintf(t.out, "It has %d more, of %s, which are not asked for: by the configuration of the servers these modules do not belong to the silo %s.\n", len(of(true)), strings.Join(modules(of(true)), ", "), o.Silo)
	}
	if len(o.Config.Dial) == 0 {
		_, _ = fmt.Fprintln(t.out, "It reaches no host for the server: agent.dial is empty.")
		return nil
	}
	_, _ = fmt.Fprintf(t.out, "It reaches hosts for the server: %s.\n", strings.Join(o.Config.Dial, ", "))
	return nil
}

func modules(steps []pipeline.Step) (out []string) {
	for _, s := range steps {
		out = append(out, pipeline.Module(s.Name))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// serveAgent dials until ctx ends, and then lets the steps end in order.
func serveAgent(ctx context.Context, t *term, j *journal, o agent.Options) error {
	m := newManager(j.Logger)
	lines := &lineStatus{m: m, of: map[string]string{}}
	o.Connected = func(server, v string) {
		j.Info("connected", "server", server, "silo", o.Silo, "agent", o.Name, "server_version", v, "version", version)
		lines.is(server, "connected")
	}
	a, err := agent.New(o)
	if err != nil {
		return &exitError{exitUsage, err.Error()}
	}
	m.say("READY=1", fmt.Sprintf("MAINPID=%d", os.Getpid()))
	line, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	var wg guard.Group
	for _, server := range o.Servers {
		lines.is(server, "dialling")
		last := ""
		wg.Go(guard.Log(j.Logger, "keep the line", "server", server), func() {
			bot.Redial(line, func(ctx context.Context) error { return a.Line(ctx, server) }, func(err error, retry time.Duration) {
				lines.is(server, plain.Line(err.Error()))
				if why := err.Error(); why != last { // said once, and not each time
					j.Warn("there is no line to a server; it is dialled again and again", "server", server, "err", err, "next", retry)
					last = why
				} else {
					j.Debug("there is still no line to a server", "server", server, "err", err, "next", retry)
				}
			})
		})
	}
	wg.Go(guard.Log(j.Logger, "answer the watchdog"), func() {
		_ = m.watchdog(line, func(context.Context) error { return nil })
	})
	<-ctx.Done()
	m.say("STOPPING=1", "STATUS=stopping")
	j.Info("stopping")
	a.Close()
	hangUp()
	wg.Wait()
	_, _ = fmt.Fprintln(t.err, "stopped; what was under way goes on when the agent is started again")
	return nil
}

// lineStatus tells the service manager how the lines stand.
type lineStatus struct {
	m  *manager
	mu sync.Mutex
	of map[string]string
}

// is says how the line to one server stands, and tells of all lines in one status: systemd shows the last alone.
func (l *lineStatus) is(server, word string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[server] = word
	var all []string
	for _, s := range slices.Sorted(maps.Keys(l.of)) {
		all = append(all, s+": "+l.of[s])
	}
	l.m.say("STATUS=" + strings.Join(all, "; "))
}

// lockAgent makes sure that this is the only agent with this data folder: two would be one to the server.
func lockAgent(data string) (free func(), err error) {
	f, err := os.OpenFile(filepath.Join(data, "agent.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, &exitError{exitFailed, fmt.Sprintf("another agent uses the data folder %s; stop that one first, or give this one a folder of its own", data)}
	}
	return func() { _ = f.Close() }, nil
}

var agentIDs = pattern.New(`^[A-Z0-9]{26}$`)

// agentID gives the name by which servers know this agent for ever, and makes it at the first start.
func agentID(data string) (string, error) {
	file := filepath.Join(data, "agent-id")
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(rand.Text() + "\n")
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("note who this agent is: %w", err)
	}
	id := strings.TrimSpace(string(b))
	if !agentIDs.MatchString(id) {
		return "", &exitError{exitUsage, file + " does not hold an agent's number; remove it, and a new one is made"}
	}
	return id, nil
}
