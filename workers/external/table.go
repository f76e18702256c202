package external

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/internal/proc"
)

// row is one line of what `NAME --steps` prints.
type row struct {
	Name    string   `yaml:"name"`
	Doc     string   `yaml:"doc,omitempty"`
	Needs   []string `yaml:"needs,omitempty"`
	Gives   []string `yaml:"gives,omitempty"`
	Timeout string   `yaml:"timeout,omitempty"`
	Resume  string   `yaml:"resume,omitempty"`
	Undo    bool     `yaml:"undo,omitempty"` // `NAME --undo task` takes it back
}

// task is the row's name without that of its program, which it may have.
func (r row) task(module string) string { return strings.TrimPrefix(r.Name, module+":") }

// table is what is known of a program's tasks.
type table struct {
	rows    []row  // nil: it has no table, and every task is taken
	failure string // why the last call failed; rows are then what was known before. "": it did not
	refused error  // no step of it may run
}

// stamp tells one version of a program from another.
type stamp struct {
	Time time.Time `yaml:"time"`
	Size int64     `yaml:"size"`
}

func (s stamp) same(o stamp) bool { return s.Time.Equal(o.Time) && s.Size == o.Size }

// good is the last table that a program gave. It is on disk, too: a call that fails just after a start must not make a
// step that is safe to repeat one that is not, or let an unknown task through.
type good struct {
	Program stamp     `yaml:"program"`
	At      time.Time `yaml:"at"`
	Rows    []row     `yaml:"steps"`
}

// program is one executable.
type program struct {
	name, file string

	mu    sync.Mutex // held while it is asked; whoever needs this program's table waits, and nobody else
	read  bool       // good was looked for on disk
	good  *good
	now   table
	of    stamp     // the version that was asked
	asked time.Time // zero: never
}

// exUsage is what a program says that does not know --steps (sysexits.h).
const exUsage = 64

// table gives a program's tasks. It is asked once for each version of the file, and again later when that failed.
func (w *Worker) table(p *program, st os.FileInfo) table {
	v := stamp{st.ModTime(), st.Size()}
	p.mu.Lock()
	defer p.mu.Unlock()
	failed := p.now.failure != "" || p.now.refused != nil
	if !p.asked.IsZero() && p.of.same(v) && (!failed || time.Since(p.asked) < w.again) {
		return p.now
	}
	if !p.read {
		p.read = true
		w.load(p)
	}
	before := p.now
	p.now = w.ask(p, v)
	p.of, p.asked = v, time.Now()
	if said := p.now.failure; said != "" && said != before.failure {
		w.cfg.Log.Warn("a program gives no table of its steps", "step", p.name+":*", "err", said)
	}
	if r := p.now.refused; r != nil && (before.refused == nil || r.Error() != before.refused.Error()) {
		w.cfg.Log.Warn("a program's steps are refused", "step", p.name+":*", "err", r.Error())
	}
	return p.now
}

// ask calls `NAME --steps` and judges what came of it.
func (w *Worker) ask(p *program, v stamp) table {
	ctx, cancel := context.WithTimeout(context.Background(), w.patience)
	defer cancel()
	var out, errs limited
	e, err := proc.Run(ctx, proc.Command{Path: p.file, Args: []string{"--steps"}, Dir: filepath.Dir(p.file), Env: proc.Environ(), Stdout: &out, Stderr: &errs, Grace: min(w.cfg.Grace, time.Second)})
	printed := bytes.TrimSpace(out.b.Bytes())
	failure, hard := "", true // hard: not even an exit code
	switch {
	case err == nil && e.Stopped && ctx.Err() != nil:
		failure = fmt.Sprintf("it did not end within %s", w.patience)
	case err != nil:
		failure = err.Error()
	case e.Signal != 0:
		failure = fmt.Sprintf("it was killed by signal %d (%s)", e.Signal, e.Signal)
	case e.Code == 0 && len(printed) > 0:
		rows, err := parseTable(p.name, printed)
		if err != nil {
			return table{refused: fmt.Errorf("%s --steps: %w", p.file, err)}
		}
		p.good = &good{Program: v, At: time.Now(), Rows: rows}
		w.save(p)
		return table{rows: rows}
	case e.Code == 0 || e.Code == exUsage:
		// A version that never gave a table has none; one that did, and now says nothing, has failed.
		if p.good == nil || !p.good.Program.same(v) {
			p.good = nil
			w.save(p)
			return table{}
		}
		failure, hard = fmt.Sprintf("it gave none (exit code %d), as it did before", e.Code), false
	default:
		failure, hard = fmt.Sprintf("exit code %d%s", e.Code, spoken(errs.b.Bytes())), false
	}
	switch {
	case p.good != nil:
		return table{rows: p.good.Rows, failure: fmt.Sprintf("%s; what it said at %s holds", failure, plain.Time(p.good.At))}
	case hard:
		return table{refused: fmt.Errorf("%s --steps failed, so nobody knows its steps: %s; let it print a table, or exit with 64 when it has none", p.file, failure)}
	}
	return table{failure: failure + "; every task is taken until it prints a table, or exits with 64 because it has none"}
}

// stored is the file of a program's last good table; "" when nothing is kept.
func (w *Worker) stored(p *program) string {
	if w.cfg.Data == "" {
		return ""
	}
	return filepath.Join(w.cfg.Data, "external", p.name+".yaml")
}

// load reads the last good table. One that cannot be read counts as missing.
func (w *Worker) load(p *program) {
	file := w.stored(p)
	if file == "" {
		return
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var g good
	if err == nil {
		err = yaml.Load(b, &g, yaml.WithKnownFields())
	}
	if err == nil && g.Rows == nil {
		err = errors.New("it has no steps")
	}
	if err == nil {
		err = checkRows(p.name, g.Rows)
	}
	if err != nil {
		w.cfg.Log.Warn("the last table of a program cannot be read", "step", p.name+":*", "file", file, "err", err)
		return
	}
	p.good = &g
}

// save writes the last good table whole, or removes it. A failure is no reason to run no steps.
func (w *Worker) save(p *program) {
	file := w.stored(p)
	if file == "" {
		return
	}
	var err error
	if p.good == nil {
		if err = os.Remove(file); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	} else {
		var b []byte
		if b, err = yaml.Dump(p.good, yaml.WithIndent(2)); err == nil {
			err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), replaceFile(file, append([]byte("# What the program's --steps said last. Made by Jarvis.\n"), b...)))
		}
	}
	if err != nil {
		w.cfg.Log.Error("keep the table of a program", "step", p.name+":*", "file", file, "err", err)
	}
}

// replaceFile puts a new file in place of an old one, whole or not at all. `jarvis step` may do so at the same time.
func replaceFile(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

var taskRE = pattern.New(`^[a-z][a-z0-9_]*$`)

// parseTable reads a step table. Unknown words are errors: a misspelt `resume` would change what a crash does.
func parseTable(module string, b []byte) ([]row, error) {
	var rows []row
	if err := yaml.Load(b, &rows, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("the table is not a list of {name, doc, needs, gives, timeout, resume, undo}: %s", plain.Line(plain.Joined(err.Error())))
	}
	if rows == nil {
		rows = []row{}
	}
	return rows, checkRows(module, rows)
}

// checkRows refuses the whole table for one row that is wrong: half of it would deny tasks that are there.
func checkRows(module string, rows []row) error {
	seen := map[string]bool{}
	for _, r := range rows {
		task := r.task(module)
		switch {
		case r.Name == "":
			return errors.New("a row has no name")
		case !taskRE.MatchString(task):
			return fmt.Errorf("the name %q is not a task of %s: small letters, digits and _", r.Name, module)
		case seen[task]:
			return fmt.Errorf("%s is there twice", r.Name)
		case r.Resume != "" && r.Resume != "again" && r.Resume != "ask":
			return fmt.Errorf("resume of %s is %q; again or ask", r.Name, r.Resume)
		}
		seen[task] = true
		if r.Timeout != "" {
			if _, err := parseTimeout(r.Timeout); err != nil {
				return fmt.Errorf("timeout %q of %s is not a duration as in 90s", r.Timeout, r.Name)
			}
		}
	}
	return nil
}

// parseTimeout takes 90, 90s, 5m.
func parseTimeout(s string) (time.Duration, error) {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && time.Duration(n) <= math.MaxInt64/time.Second {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err == nil && d <= 0 {
		err = errors.New("not positive")
	}
	return d, err
}

// spoken gives what was said last, after a colon.
func spoken(b []byte) string {
	if l := plain.Last(string(b), ""); l != "" {
		return ": " + plain.Clip(strings.ToValidUTF8(l, ""), 300)
	}
	return ""
}
