// Package converge is the step converge:apply: it runs a program that was built with the library
// github.com/jarvisops/jarvis/converge on the clipboard's host. The program has neither key nor address: it speaks on
// stdin and stdout, and its scripts go over Jarvis's own connection. workers/all calls New.
package converge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/converge"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/proc"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of the worker.
type Config struct {
	Dir   string                                                                                       `yaml:"dir" path:"relative" doc:"folder of programs; the clipboard's key converge names one of them"`
	Grace time.Duration                                                                                `yaml:"grace" doc:"how long a program may take to end after TERM, before KILL" default:"10s"`
	Shell func(ctx context.Context, c *clipboard.Clipboard) (h converge.Host, close func(), err error) `yaml:"-"` // the clipboard's host
}

// GraceTime is how long the step may take to end once it is told to. Safe on a nil Config.
func (c *Config) GraceTime() time.Duration {
	if c == nil || c.Grace <= 0 {
		return proc.DefaultGrace
	}
	return c.Grace
}

// Worker runs programs.
type Worker struct{ cfg Config }

// New checks the configuration.
func New(cfg Config) (*Worker, error) {
	st, err := os.Stat(cfg.Dir)
	if err != nil || !st.IsDir() {
		return nil, mistake.At("workers.converge.dir", "is %q, which is not a folder", cfg.Dir)
	}
	cfg.Dir, err = filepath.Abs(cfg.Dir)
	return &Worker{cfg}, err
}

var programName = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// program gives the file that the clipboard names.
func (w *Worker) program(c *clipboard.Clipboard) (string, error) {
	name, err := c.String("converge")
	if err != nil {
		return "", pipeline.Permanent(err)
	}
	if !programName.MatchString(name) {
		return "", pipeline.Permanentf("converge is %q, which is no program's name", name)
	}
	file := filepath.Join(w.cfg.Dir, name)
	st, err := os.Stat(file)
	switch {
	case err != nil || !st.Mode().IsRegular():
		return "", pipeline.Permanentf("there is no program %s in %s", name, w.cfg.Dir)
	case st.Mode()&0o111 == 0:
		return "", pipeline.Permanentf("%s is not executable; chmod +x it", file)
	case st.Mode()&0o002 != 0:
		return "", pipeline.Permanentf("%s may be written by everybody; chmod o-w it", file)
	}
	return file, nil
}

// Steps gives the worker's steps.
func (w *Worker) Steps() []pipeline.Step {
	return []pipeline.Step{{
		Name: "converge:apply", Doc: "brings the host to where a program of yours wants it",
		Needs: []string{"converge", "ipaddress", "hostkeys", "login?", "ssh_port?", "hostname"}, Gives: []string{"converged"}, Timeout: 2 * time.Hour,
		Plan: func(_ context.Context, c *clipboard.Clipboard) (string, error) {
			file, err := w.program(c)
			return "would run " + file, err
		},
		Do:    w.apply, // the program looks for what is there first, so it is safe to repeat
		Drift: w.drift,
	}}
}

// apply fails for good when something never settles: once more would be the same.
func (w *Worker) apply(ctx context.Context, c *clipboard.Clipboard) error {
	word := "" // by hand: two may run at the same time
	if f := pipeline.FactsOf(ctx); f.Run > 0 {
		word = fmt.Sprintf("%s-%d", f.Token, f.Stage)
	}
	file, report, err := w.run(ctx, c, word, converge.Drive)
	switch {
	case err != nil:
		return err
	case len(report.Unsettled) > 0:
		return pipeline.Permanentf("what never settles: %s", strings.Join(report.Unsettled, ", "))
	}
	return c.Set("converged", fmt.Sprintf("%d done by %s", len(report.Done), file))
}

// driver speaks with a program: converge.Drive or converge.Look.
type driver func(ctx context.Context, in io.Reader, out io.Writer, t converge.Target, h converge.Host, log func(string)) (converge.HostReport, error)

// run starts the program that the clipboard names, and gives its name and its report.
func (w *Worker) run(ctx context.Context, c *clipboard.Clipboard, word string, drive driver) (name string, report converge.HostReport, err error) {
	file, err := w.program(c)
	if err != nil {
		return "", report, err
	}
	name = filepath.Base(file)
	h, done, err := w.cfg.Shell(ctx, c)
	if err != nil {
		return name, report, err
	}
	defer done()
	// The program reads from a file of its own, so that nobody has to copy; what it prints comes through a pipe that is
	// closed for certain when it is over, whoever else holds its end.
	theirs, in, err := os.Pipe()
	if err != nil {
		return name, report, err
	}
	defer func() { _ = in.Close() }()
	out, prints := io.Pipe()
	var errs bytes.Buffer
	running, stop := context.WithCancel(ctx)
	defer stop()
	p, err := proc.Start(running, proc.Command{Path: file, Dir: "/", Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/nonexistent"},
		Stdin: theirs, Stdout: prints, Stderr: &limited{&errs, 64 << 10}, Word: word, Grace: w.cfg.GraceTime()})
	_ = theirs.Close()
	if err != nil {
		return name, report, err
	}
	var werr error
	over := make(chan struct{})
	guard.Go(guard.To(&werr), func() {
		defer close(over)
		var e proc.Ended
		if e, werr = p.Wait(); werr == nil && e.Signal != 0 {
			werr = fmt.Errorf("it was killed by signal %d (%s)", e.Signal, e.Signal)
		} else if werr == nil && e.Code != 0 {
			werr = fmt.Errorf("exit code %d", e.Code)
		}
		_ = prints.Close()
	})
	pipeline.Progress(ctx, "analyzing with "+name)
	report, derr := drive(ctx, out, in, w.target(c), h, func(l string) {
		for i, l := range strings.Split(strings.TrimSpace(l), "\n") {
			if i == 0 {
				pipeline.Progress(ctx, l)
			} else {
				pipeline.Log(ctx, "  "+l)
			}
		}
	})
	_ = in.Close()
	_ = out.Close() // what it prints after its report goes nowhere
	if derr != nil {
		stop() // nobody listens any more
	}
	<-over
	var start *proc.StartError
	switch {
	case ctx.Err() != nil && (derr != nil || werr != nil):
		return name, report, context.Cause(ctx)
	case errors.As(werr, &start):
		return name, report, pipeline.Permanent(start)
	case derr != nil:
		said := strings.TrimSpace(errs.String())
		if said == "" && werr != nil {
			said = werr.Error()
		}
		return name, report, fmt.Errorf("%s: %w: %s", name, derr, said)
	case report.Error != "":
		return name, report, errors.New(report.Error)
	}
	return name, report, nil
}

// target is what the program is told of the host: its name, and what its clipboard says, but for secrets.
func (w *Worker) target(c *clipboard.Clipboard) converge.Target {
	t := converge.Target{Name: c.Get("hostname"), Props: map[string]any{}}
	for _, k := range c.Keys() {
		if v := c.Get(k); v != "" { // a list or a secret is no text
			t.Props[k] = v
		} else if tree, ok := c.Tree(k); ok {
			if _, err := json.Marshal(tree); err == nil { // it goes to the program as that
				t.Props[k] = tree
			}
		}
	}
	if c.Has("groups") {
		t.Groups, _ = c.Strings("groups")
	}
	return t
}

// limited keeps the beginning of what is written.
type limited struct {
	b    *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.b.Write(p[:n])
	return len(p), nil
}
