package external

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/pipeline"
)

// room is a folder of programs, one of data, and a log.
type room struct {
	t         *testing.T
	dir, data string
	log       bytes.Buffer
}

func newRoom(t *testing.T) *room { return &room{t: t, dir: t.TempDir(), data: t.TempDir()} }

// program writes one. What it does on --steps is in the file NAME.does beside it, so that it can change without a new
// version; each call leaves a line in NAME.calls.
func (r *room) program(name, rest string) {
	r.t.Helper()
	text := fmt.Sprintf("#!/bin/bash\ncd %q\nif [ \"$1\" = --steps ]; then echo x >> %[2]s.calls; . ./%[2]s.does; exit; fi\n%s", r.dir, name, rest)
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) does(name, line string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name+".does"), []byte(line), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) file(name string) string {
	b, _ := os.ReadFile(filepath.Join(r.dir, name))
	return string(b)
}

func (r *room) calls(name string) int { return strings.Count(r.file(name+".calls"), "x") }

// worker is one start of Jarvis, with shorter times.
func (r *room) worker() *Worker {
	r.t.Helper()
	w, err := New(Config{Dir: r.dir, Data: r.data, Grace: time.Second, Log: slog.New(slog.NewTextHandler(&r.log, nil))})
	if err != nil {
		r.t.Fatal(err)
	}
	w.patience, w.again = patience, time.Hour
	return w
}

const rackTable = `echo '- {name: rack:find, doc: finds it, needs: [hostname], gives: [rack], timeout: 90s, resume: again}'`

// patience is what a program that hangs is given. A program that does not must end in it on a machine that is busy,
// too.
const patience = 3 * time.Second

// failures are the ways in which a call can fail, and how that is said.
var failures = map[string]struct{ does, says string }{
	"an exit code":   {"echo no disk >&2; exit 1", "exit code 1: no disk"},
	"a hang":         {"sleep 300", "it did not end within 3s"},
	"a deaf hang":    {"trap '' TERM; while :; do sleep 0.1; done", "it did not end within 3s"},
	"a signal":       {"kill -SEGV $$", "killed by signal 11"},
	"nothing at all": {"exit 0", "it gave none (exit code 0), as it did before"},
}

// TestTheLastGoodTableHolds: a call that failed once made a program one without a table for ever: needs, timeout and
// `resume: again` were lost, and any task was taken.
func TestTheLastGoodTableHolds(t *testing.T) {
	for name, f := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			r.program("rack", "")
			r.does("rack", rackTable)
			if _, _, err := r.worker().Find("rack:find"); err != nil {
				t.Fatal(err)
			}
			r.does("rack", f.does)
			w := r.worker() // Jarvis was started again
			s, ok, err := w.Find("rack:find")
			if err != nil || !ok || s.Timeout != 90*time.Second || s.Resume != pipeline.Again || len(s.Needs) != 1 || len(s.Gives) != 1 {
				t.Errorf("%v %v %+v", ok, err, s)
			}
			if !strings.HasPrefix(s.Doc, "finds it (its --steps failed: ") || !strings.Contains(s.Doc, f.says) || strings.Contains(s.Doc, "\n") {
				t.Errorf("the step says %q", s.Doc)
			}
			if list := w.List(); len(list) != 1 || list[0].Doc != s.Doc {
				t.Errorf("listed is %+v", list)
			}
			if !strings.Contains(r.log.String(), f.says) {
				t.Errorf("the log is %q", r.log.String())
			}
			if _, _, err := w.Find("rack:typo"); err == nil || !strings.Contains(err.Error(), "offers rack:find") || !strings.Contains(err.Error(), f.says) {
				t.Errorf("an unknown task: %v", err)
			}
			if n := r.calls("rack"); n != 2 {
				t.Errorf("asked %d times", n)
			}
			// Later it is asked again, and all is well.
			r.does("rack", rackTable)
			w.again = 0
			if s, _, err := w.Find("rack:find"); err != nil || s.Doc != "finds it" {
				t.Errorf("%v %q", err, s.Doc)
			}
		})
	}
}

func TestAProgramThatNeverGaveATable(t *testing.T) {
	for _, c := range []struct {
		name, does string
		refused    string // "": any task is taken
		says       string
		calls      int // for three look-ups, the third of them later
	}{
		{"prints nothing", "exit 0", "", "", 1},
		{"does not know the word", "echo usage >&2; exit 64", "", "", 1},
		{"fails", failures["an exit code"].does, "", "exit code 1: no disk", 2},
		{"hangs", "sleep 300", "nobody knows its steps: it did not end within 3s", "", 2},
		{"dies by a signal", "kill -SEGV $$", "nobody knows its steps: it was killed by signal 11", "", 2},
		{"has a bad row", "echo '- {name: rack:find, resume: sometimes}'", `resume of rack:find is "sometimes"; again or ask`, "", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			r.program("rack", "")
			r.does("rack", c.does)
			w := r.worker()
			for i := range 3 {
				if i == 2 {
					w.again = 0
				}
				s, ok, err := w.Find("rack:whatever")
				switch {
				case c.refused != "":
					if ok || err == nil || !strings.Contains(err.Error(), c.refused) || strings.Contains(err.Error(), "\n") {
						t.Errorf("%v %v", ok, err)
					}
				case err != nil || !ok || s.Resume != pipeline.Ask || s.Timeout != time.Hour || !strings.Contains(s.Doc, c.says) || c.says == "" && strings.Contains(s.Doc, "failed"):
					t.Errorf("%v %v %+v", ok, err, s)
				}
			}
			if n := r.calls("rack"); n != c.calls {
				t.Errorf("asked %d times, want %d", n, c.calls)
			}
			want := c.says + c.refused
			if list := w.List(); len(list) != 1 || list[0].Name != "rack:*" || !strings.Contains(list[0].Doc, want) {
				t.Errorf("listed is %+v", list)
			}
			if !strings.Contains(r.log.String(), strings.ReplaceAll(want, `"`, `\"`)) {
				t.Errorf("the log is %q", r.log.String())
			}
		})
	}
}

// TestANewVersionMayDropItsTable: what it said before is forgotten only then.
func TestANewVersionMayDropItsTable(t *testing.T) {
	r := newRoom(t)
	r.program("rack", "")
	r.does("rack", rackTable)
	w := r.worker()
	if _, _, err := w.Find("rack:find"); err != nil {
		t.Fatal(err)
	}
	r.does("rack", "exit 64")
	r.program("rack", "# another version\n")
	for _, w := range []*Worker{w, r.worker()} {
		if s, ok, err := w.Find("rack:other"); err != nil || !ok || s.Resume != pipeline.Ask || strings.Contains(s.Doc, "failed") {
			t.Errorf("%v %v %+v", ok, err, s)
		}
	}
}

// TestAHangHoldsUpNobodyElse: one lock was held around the call, so that all deploys waited for one bad program.
func TestAHangHoldsUpNobodyElse(t *testing.T) {
	r := newRoom(t)
	r.program("bad", "")
	r.does("bad", "sleep 300")
	r.program("rack", "")
	r.does("rack", rackTable)
	w := r.worker()
	w.patience = time.Minute // longer than the test
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _, _ = w.Find("bad:one")
	}()
	for deadline := time.Now().Add(20 * time.Second); r.calls("bad") == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never asked")
		}
	}
	began := time.Now()
	if _, ok, err := w.Find("rack:find"); !ok || err != nil {
		t.Error(ok, err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the other program waited %s", took)
	}
	select {
	case <-asked:
		t.Error("the bad program was not asked meanwhile; this test shows nothing")
	default:
	}
	// Its --steps is a process like any other: ended from outside it fails.
	if err := killCarrying("bad", "--steps"); err != nil {
		t.Error(err)
	}
	<-asked
}

func TestWhatIsOnDiskMayBeBroken(t *testing.T) {
	r := newRoom(t)
	r.program("rack", "")
	r.does("rack", rackTable)
	if _, _, err := r.worker().Find("rack:find"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.data, "external", "rack.yaml")
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "resume: again") {
		t.Fatalf("%s %v", b, err)
	}
	if left, _ := filepath.Glob(file + ".new*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	for _, text := range []string{"", "\x00", "steps: [", "steps: [{name: 'rack:find', resume: never}]", "program: {size: x}"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r.does("rack", "exit 1")
		if s, ok, err := r.worker().Find("rack:find"); err != nil || !ok || s.Resume != pipeline.Ask || !strings.Contains(r.log.String(), "cannot be read") {
			t.Errorf("%q: %v %v %+v, log %q", text, ok, err, s, r.log.String())
		}
		r.log.Reset()
	}
}

// A timeout of more seconds than a duration holds would be a time that is over before the step begins.
func TestTimeoutOfATable(t *testing.T) {
	for text, want := range map[string]time.Duration{"90": 90 * time.Second, "90s": 90 * time.Second, "5m": 5 * time.Minute, "9223372036": 9223372036 * time.Second,
		"9223372037": 0, "18446744074": 0, "99999999999999999999": 0, "0": 0, "-1": 0, "-1s": 0, "": 0} {
		if got, err := parseTimeout(text); (err == nil) != (want > 0) || err == nil && got != want {
			t.Errorf("parseTimeout(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}
