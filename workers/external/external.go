// Package external runs steps that are programs: NAME:task is `DIR/NAME task`, the clipboard as YAML on its standard
// input. workers/all calls New.
//
//	stdout   nothing, or the entire clipboard as YAML, which replaces it
//	stderr   a line of progress each; the last one is the reason when it fails
//	exit     0: next step   75 (EX_TEMPFAIL, sysexits.h): try again   else: failed
//
// `NAME --steps` says which tasks there are (table.go), `NAME --undo task` takes one back. Each runs under a supervisor
// (internal/proc): a timeout, a cancel and a stop are TERM to all it started, a grace, and KILL, and nothing of it
// lives when the step is over. Its environment is bounded: PATH, HOME, LANG, TZ and JARVIS_*. A step that was under way
// when Jarvis died is a person's to decide, unless its row says `resume: again`.
//
// A Worker starts no goroutine that outlives a call.
package external

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/internal/proc"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of the worker.
type Config struct {
	Dir     string        `yaml:"dir" path:"relative" doc:"folder of executables; NAME:task runs DIR/NAME task"`
	Timeout time.Duration `yaml:"timeout" doc:"for a step whose --steps table names none" default:"1h"`
	Grace   time.Duration `yaml:"grace" doc:"how long a program may take to end after TERM, before KILL" default:"10s"`
	Data    string        `yaml:"-"` // folder for the last good tables; "": they are kept in memory only
	Log     *slog.Logger  `yaml:"-"` // nil: discarded
	// Silence ends programs when this process does nothing for so long, because another node may begin the same step
	// then.
	Silence time.Duration `yaml:"-"`
}

// GraceTime is how long a step may take to end once it is told to. Safe on a nil Config.
func (c *Config) GraceTime() time.Duration {
	if c == nil || c.Grace <= 0 {
		return proc.DefaultGrace
	}
	return c.Grace
}

// Worker finds external steps by name. Safe for concurrent use.
type Worker struct {
	cfg      Config
	patience time.Duration // for --steps
	again    time.Duration // how soon a --steps that failed is asked again

	mu       sync.Mutex // of the map alone; each program has a lock of its own
	programs map[string]*program
}

// New checks the configuration.
func New(cfg Config) (*Worker, error) {
	st, err := os.Stat(cfg.Dir)
	if err != nil || !st.IsDir() {
		return nil, mistake.At("workers.external.dir", "is %q, which is not a folder", cfg.Dir)
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Hour
	}
	cfg.Grace = cfg.GraceTime()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Worker{cfg: cfg, patience: 5 * time.Second, again: 10 * time.Second, programs: map[string]*program{}}, nil
}

var nameRE = pattern.New(`^[a-z][a-z0-9]*$`)

// Find gives the step for NAME:task when DIR/NAME is an executable. A name has letters and digits only, so it cannot
// leave the folder.
func (w *Worker) Find(name string) (pipeline.Step, bool, error) {
	module, task, ok := strings.Cut(name, ":")
	if !ok || !nameRE.MatchString(module) {
		return pipeline.Step{}, false, nil
	}
	p, st, err := w.program(module)
	if p == nil || err != nil {
		return pipeline.Step{}, false, err
	}
	t := w.table(p, st)
	if t.refused != nil {
		return pipeline.Step{}, false, t.refused
	}
	if t.rows == nil {
		return w.step(p, row{Name: task}, t.failure), true, nil
	}
	var have []string
	for _, r := range t.rows {
		if r.task(module) == task {
			return w.step(p, r, t.failure), true, nil
		}
		have = append(have, r.Name)
	}
	return pipeline.Step{}, false, fmt.Errorf("%s offers %s%s", p.file, strings.Join(have, ", "), because(t.failure))
}

// List gives the steps of all programs, sorted by name. A program without a table, or one that is refused, stands there
// as NAME:* with the reason.
func (w *Worker) List() []pipeline.Step {
	entries, err := os.ReadDir(w.cfg.Dir)
	if err != nil {
		return []pipeline.Step{{Name: "*:*", Doc: fmt.Sprintf("cannot run: %v", err)}}
	}
	// At once: one that hangs holds up no other.
	lists := make([][]pipeline.Step, len(entries))
	var all guard.Group
	for i, e := range entries {
		if nameRE.MatchString(e.Name()) {
			all.Go(guard.Count, func() { lists[i] = w.list(e.Name()) })
		} else if st, err := os.Stat(filepath.Join(w.cfg.Dir, e.Name())); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			lists[i] = []pipeline.Step{{Name: plain.Line(e.Name()) + ":*", Doc: "cannot run: a program is named with small letters and digits, a letter first, and without an ending"}}
		}
	}
	all.Wait()
	return slices.Concat(lists...)
}

// list describes a module for help; one that cannot run says why in place of its tasks.
func (w *Worker) list(module string) []pipeline.Step {
	p, st, err := w.program(module)
	if err != nil {
		return []pipeline.Step{{Name: module + ":*", Doc: "cannot run: " + err.Error()}}
	}
	if p == nil {
		return nil
	}
	t := w.table(p, st)
	switch {
	case t.refused != nil:
		return []pipeline.Step{{Name: module + ":*", Doc: "cannot run: " + t.refused.Error()}}
	case t.rows == nil:
		s := w.step(p, row{Name: "*"}, t.failure)
		s.Doc = "any task; external: " + p.file + because(t.failure)
		return []pipeline.Step{s}
	}
	var out []pipeline.Step
	for _, r := range t.rows {
		out = append(out, w.step(p, r, t.failure))
	}
	return out
}

// program finds the executable of a module; nil when there is none.
func (w *Worker) program(module string) (*program, os.FileInfo, error) {
	file := filepath.Join(w.cfg.Dir, module)
	st, err := os.Stat(file)
	if err != nil || !st.Mode().IsRegular() {
		return nil, nil, nil
	}
	if st.Mode()&0o111 == 0 {
		return nil, nil, fmt.Errorf("%s is not executable; chmod +x it", file)
	}
	if st.Mode()&0o002 != 0 {
		return nil, nil, fmt.Errorf("%s may be written by everybody; chmod o-w it", file)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.programs[module]
	if !ok {
		p = &program{name: module, file: file}
		w.programs[module] = p
	}
	return p, st, nil
}

// step makes the step of a row.
func (w *Worker) step(p *program, r row, failure string) pipeline.Step {
	task := r.task(p.name)
	s := pipeline.Step{Name: p.name + ":" + task, Doc: r.Doc, Needs: r.Needs, Gives: r.Gives, Timeout: w.cfg.Timeout, Resume: pipeline.Ask}
	if s.Doc == "" {
		s.Doc = "external: " + p.file
	}
	s.Doc += because(failure)
	if r.Resume == "again" {
		s.Resume = pipeline.Again
	}
	if r.Timeout != "" {
		s.Timeout, _ = parseTimeout(r.Timeout) // read before, with the table
	}
	s.Do = func(ctx context.Context, c *clipboard.Clipboard) error {
		return w.run(ctx, p.file, []string{task}, s.Resume, c)
	}
	s.Undo = func(context.Context, *clipboard.Clipboard) error {
		return pipeline.Stays("whatever " + s.Name + " made; it offers no undo")
	}
	if r.Undo {
		s.Undo = func(ctx context.Context, c *clipboard.Clipboard) error {
			return w.run(ctx, p.file, []string{"--undo", task}, pipeline.Again, c)
		}
	}
	return s
}

// because says that a table is not what the program says now.
func because(failure string) string {
	if failure == "" {
		return ""
	}
	return " (its --steps failed: " + failure + ")"
}
