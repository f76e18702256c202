// Package external runs steps that are programs: NAME:task is `DIR/NAME task` in a child process, the clipboard as
// YAML on its standard input.
//
//	stdout   nothing, or the entire clipboard as YAML, which replaces it
//	stderr   a line of progress each; the last one is the reason when it fails
//	exit     0: next step   75 (EX_TEMPFAIL, sysexits.h): try again   else: failed
//
// The child has a session and process group of its own; a timeout, a cancel or a stop kills the whole group. Its
// environment is bounded: PATH, HOME, LANG, TZ and JARVIS_*. A step that was under way when Jarvis died is a
// person's to decide, unless the program's --steps table says `resume: again`.
package external

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of the worker.
type Config struct {
	Dir     string        `yaml:"dir" doc:"folder of executables; NAME:task runs DIR/NAME task"`
	Timeout time.Duration `yaml:"timeout" doc:"for a step whose --steps table names none" default:"1h"`
}

// Worker finds external steps by name.
type Worker struct {
	cfg Config

	mu    sync.Mutex
	table map[string]cached
}

type cached struct {
	stamp time.Time // the program's own, so that a new version is asked again
	steps []row     // nil: it has no table
	err   error
}

// row is one line of what `NAME --steps` prints.
type row struct {
	Name    string   `yaml:"name"`
	Doc     string   `yaml:"doc"`
	Needs   []string `yaml:"needs"`
	Gives   []string `yaml:"gives"`
	Timeout string   `yaml:"timeout"`
	Resume  string   `yaml:"resume"`
}

// New checks the configuration.
func New(cfg Config) (*Worker, error) {
	st, err := os.Stat(cfg.Dir)
	if err != nil || !st.IsDir() {
		return nil, fmt.Errorf("workers.external.dir is %q, which is not a folder", cfg.Dir)
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Hour
	}
	return &Worker{cfg: cfg, table: map[string]cached{}}, nil
}

var nameRE = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// Find gives the step for NAME:task when DIR/NAME is an executable. A name has letters and digits only, so it can
// not leave the folder.
func (w *Worker) Find(name string) (pipeline.Step, bool, error) {
	module, task, ok := strings.Cut(name, ":")
	if !ok || !nameRE.MatchString(module) {
		return pipeline.Step{}, false, nil
	}
	file := filepath.Join(w.cfg.Dir, module)
	st, err := os.Stat(file)
	if err != nil || !st.Mode().IsRegular() {
		return pipeline.Step{}, false, nil
	}
	if st.Mode()&0o111 == 0 {
		return pipeline.Step{}, false, fmt.Errorf("%s is not executable; chmod +x it", file)
	}
	if st.Mode()&0o002 != 0 {
		return pipeline.Step{}, false, fmt.Errorf("%s may be written by everybody; chmod o-w it", file)
	}
	rows, err := w.steps(file, st.ModTime())
	if err != nil {
		return pipeline.Step{}, false, err
	}
	r := row{Name: name, Doc: "external: " + file}
	if rows != nil {
		found := false
		var have []string
		for _, candidate := range rows {
			have = append(have, candidate.Name)
			if candidate.Name == name || candidate.Name == task {
				r, found = candidate, true
			}
		}
		if !found {
			return pipeline.Step{}, false, fmt.Errorf("%s offers %s", file, strings.Join(have, ", "))
		}
	}
	s := pipeline.Step{Name: name, Doc: r.Doc, Needs: r.Needs, Gives: r.Gives, Timeout: w.cfg.Timeout, Resume: pipeline.Ask}
	if r.Resume == "again" {
		s.Resume = pipeline.Again
	}
	if r.Timeout != "" {
		if s.Timeout, err = parseTimeout(r.Timeout); err != nil {
			return pipeline.Step{}, false, fmt.Errorf("%s --steps: timeout %q is not a duration as in 90s", file, r.Timeout)
		}
	}
	s.Do = func(ctx context.Context, c *clipboard.Clipboard) error { return w.do(ctx, file, task, c) }
	return s, true, nil
}

// parseTimeout takes 90, 90s, 5m.
func parseTimeout(s string) (time.Duration, error) {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err == nil && d <= 0 {
		err = errors.New("not positive")
	}
	return d, err
}

// steps asks a program for its table, once per version of the file. A program that does not know --steps has none.
func (w *Worker) steps(file string, stamp time.Time) ([]row, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.table[file]; ok && c.stamp.Equal(stamp) {
		return c.steps, c.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var out limited
	err := runGroup(ctx, file, []string{"--steps"}, nil, &out, io.Discard, nil)
	c := cached{stamp: stamp}
	if err == nil && len(bytes.TrimSpace(out.b.Bytes())) > 0 {
		if c.steps, c.err = parseTable(out.b.Bytes()); c.err != nil {
			c.err = fmt.Errorf("%s --steps: %w", file, c.err)
		}
	}
	w.table[file] = c
	return c.steps, c.err
}

// parseTable reads a step table. Unknown words are errors: a misspelt `resume` would change what a crash does.
func parseTable(b []byte) ([]row, error) {
	var rows []row
	if err := yaml.Load(b, &rows, yaml.WithKnownFields()); err != nil {
		return nil, errors.New("the table is not a list of {name, doc, needs, gives, timeout, resume}")
	}
	for _, r := range rows {
		if r.Name == "" {
			return nil, errors.New("a row has no name")
		}
		if r.Resume != "" && r.Resume != "again" && r.Resume != "ask" {
			return nil, fmt.Errorf("resume of %s is %q; again or ask", r.Name, r.Resume)
		}
	}
	if rows == nil {
		rows = []row{}
	}
	return rows, nil
}

// limited keeps the start of a stream: one byte more than a clipboard may have tells that there was too much.
type limited struct{ b bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := clipboard.MaxBytes + 1 - l.b.Len(); room > 0 {
		l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// do runs the program for one task.
func (w *Worker) do(ctx context.Context, file, task string, c *clipboard.Clipboard) error {
	f := pipeline.FactsOf(ctx)
	last := ""
	stderr := &lineWriter{f: func(l string) {
		if l = strings.TrimSpace(l); l != "" {
			last = l
			pipeline.Progress(ctx, l)
		}
	}}
	var out limited
	env := []string{"JARVIS_RUN=" + strconv.FormatInt(f.Run, 10), "JARVIS_TOKEN=" + f.Token, "JARVIS_BY=" + f.By}
	err := runGroup(ctx, file, []string{task}, bytes.NewReader(c.Bytes()), &out, stderr, env)
	stderr.flush()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		st, _ := exit.Sys().(syscall.WaitStatus)
		why := last
		if why == "" {
			why = "it said nothing on stderr"
		}
		if st.Signaled() {
			return pipeline.Permanentf("%s %s was killed by signal %d (%s); the last it said: %s", filepath.Base(file), task, st.Signal(), st.Signal(), why)
		}
		if exit.ExitCode() == 75 {
			return fmt.Errorf("%s (exit code 75)", why)
		}
		return pipeline.Permanentf("%s (exit code %d)", why, exit.ExitCode())
	case err != nil:
		return pipeline.Permanentf("%s can not be run: %v", file, err)
	}
	if len(bytes.TrimSpace(out.b.Bytes())) == 0 {
		return nil
	}
	if err := replace(c, out.b.Bytes()); err != nil {
		return pipeline.Permanentf("%s %s printed no clipboard: %v; the old clipboard stays", filepath.Base(file), task, err)
	}
	return nil
}

// replace takes a program's output as the new clipboard. Its host may not change: the record, the lock and the
// names of the machine hang on it.
func replace(c *clipboard.Clipboard, out []byte) error {
	before, err := c.Instance()
	if err != nil {
		return err
	}
	n := c.Clone()
	if err := n.Replace(out); err != nil {
		return err
	}
	after, err := n.Instance()
	if err != nil {
		return err
	}
	if after.Hostname != before.Hostname || after.FQDN != before.FQDN {
		return fmt.Errorf("it is about another host, %s instead of %s", after.FQDN, before.FQDN)
	}
	return c.Replace(out)
}

// runGroup runs a program in a session and process group of its own, and kills the whole group when ctx ends or the
// program is over and left children behind.
func runGroup(ctx context.Context, file string, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) error {
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.Dir = filepath.Dir(file)
	for _, k := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(k); ok {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	// A session leader also leads its process group; and it dies with us, kill -9 included.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		var perr *os.PathError
		if errors.As(err, &perr) {
			return perr.Err
		}
		return err
	}
	err := cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // a child of its own held the pipes; the group is gone now
	}
	return err
}

// lineWriter cuts a stream into lines.
type lineWriter struct {
	f   func(string)
	buf []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p...)
	for {
		i := bytes.IndexByte(l.buf, '\n')
		if i < 0 {
			if len(l.buf) > 64<<10 {
				l.flush()
			}
			return len(p), nil
		}
		line := string(l.buf[:i])
		l.buf = l.buf[i+1:]
		if err := guard.Call(func() error { l.f(line); return nil }); err != nil { // os/exec calls us in a goroutine of its own
			return 0, err
		}
	}
}

func (l *lineWriter) flush() {
	sc := bufio.NewScanner(bytes.NewReader(l.buf))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		l.f(sc.Text())
	}
	l.buf = nil
}
