package external

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// host is a run that a step works for.
type host struct {
	mu    sync.Mutex
	lines []string
	facts pipeline.Facts
}

func (h *host) Progress(l string) { h.mu.Lock(); h.lines = append(h.lines, l); h.mu.Unlock() }
func (h *host) Log(l string)      { h.Progress(l) }
func (h *host) Keep(context.Context, *clipboard.Clipboard) error {
	return nil
}
func (h *host) Facts() pipeline.Facts { return h.facts }
func (h *host) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

// live gives the processes whose environment and command line hold these.
func live(env, arg string) []int {
	var out []int
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		e, _ := os.ReadFile(f)
		c, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && pid != os.Getpid() && bytes.Contains(e, []byte(env)) && bytes.Contains(c, []byte(arg)) {
			out = append(out, pid)
		}
	}
	return out
}

// killCarrying kills what runs `…/name arg` under a supervisor.
func killCarrying(name, arg string) error {
	var errs []error
	for _, pid := range live("JARVIS_PROC=", "/"+name+"\x00"+arg+"\x00") {
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); !bytes.HasPrefix(b, []byte("jarvis-supervise")) {
			errs = append(errs, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("no process runs %s %s", name, arg)
	}
	return errors.Join(errs...)
}

func (r *room) until(what string, f func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("never came: %s", what)
		}
	}
}

func clip(t *testing.T) *clipboard.Clipboard {
	t.Helper()
	c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  provider: ESX\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func find(t *testing.T, w *Worker, name string) pipeline.Step {
	t.Helper()
	s, ok, err := w.Find(name)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return s
}

var errPerson = errors.New("cancelled by a person")

// TestACancelIsPoliteAndComplete: a cancel was KILL to one process group. Traps never ran, and whatever had called
// setsid lived on and wrote on.
func TestACancelIsPoliteAndComplete(t *testing.T) {
	r := newRoom(t)
	r.does("rack", rackTable)
	r.program("rack", `trap 'echo "put the disk back" >&2; exit 1' TERM
setsid sleep 300 &
(setsid bash -c 'sleep 300 & exit' &)
echo working >&2
while :; do sleep 0.05; done
`)
	h := &host{facts: pipeline.Facts{Run: 12, Stage: 3, Token: "jarvis-" + t.Name() + "-12"}}
	ctx, cancel := context.WithCancelCause(pipeline.WithHost(t.Context(), h))
	done := make(chan error, 1)
	s := find(t, r.worker(), "rack:find")
	go func() { done <- s.Do(ctx, clip(t)) }()
	word := "JARVIS_PROC=" + h.facts.Token + "-3\x00"
	r.until("all of it runs", func() bool {
		return strings.Contains(h.said(), "working") && len(live(word, "sleep\x00300")) == 2
	})
	cancel(errPerson)
	if err := <-done; !errors.Is(err, errPerson) {
		t.Errorf("it gave %v", err)
	}
	if !strings.Contains(h.said(), "put the disk back") {
		t.Errorf("its last words are not on record: %q", h.said())
	}
	if left := live(word, ""); len(left) > 0 {
		t.Errorf("still living: %v", left)
	}
}

// TestWhatEndedWellBeforeTheCancelCounts: a known outcome is not thrown away.
func TestWhatEndedWellBeforeTheCancelCounts(t *testing.T) {
	r := newRoom(t)
	r.does("rack", "exit 64")
	r.program("rack", `sed 's/loki/loki\n  rack: 17/'; (trap '' TERM; echo left > left; while :; do sleep 0.05; done) & until [ -e left ]; do sleep 0.01; done; exit 0`)
	ctx, cancel := context.WithCancelCause(t.Context())
	c, done := clip(t), make(chan error, 1)
	s := find(t, r.worker(), "rack:find")
	go func() { done <- s.Do(ctx, c) }()
	r.until("the program is over, and only what it left lives", func() bool {
		return r.file("left") != "" && len(live("JARVIS_PROC=", r.dir+"/rack\x00find")) == 2 // the supervisor, and the child that it forked
	})
	cancel(errPerson)
	if err := <-done; err != nil || c.Get("rack") != "17" {
		t.Errorf("%v %s", err, c.Text())
	}
}

// TestWhoIsToldToStopAtItsEndIsDone: a program that was told to stop, and had come to its end, was run again. It prints
// by itself: a child would be told to stop, too.
func TestWhoIsToldToStopAtItsEndIsDone(t *testing.T) {
	for name, c := range map[string]struct {
		last string
		done bool
	}{"it prints the clipboard": {`printf '%s\n' "${in/loki/loki$'\n'  rack: 17}"`, true}, "it prints nothing": {":", false}, "it fails": {"exit 1", false}} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			r.does("rack", "exit 64")
			r.program("rack", `in=$(cat); trap 'told=1' TERM; echo here > here; until [ "$told" ]; do sleep 0.05; done; `+c.last)
			ctx, cancel := context.WithCancelCause(t.Context())
			cb, done := clip(t), make(chan error, 1)
			s := find(t, r.worker(), "rack:find")
			go func() { done <- s.Do(ctx, cb) }()
			r.until("it is at its end", func() bool { return r.file("here") != "" })
			cancel(errPerson)
			if err := <-done; (err == nil) != c.done || (cb.Get("rack") == "17") != c.done {
				t.Errorf("%v %s", err, cb.Text())
			}
		})
	}
}

func TestHowAStepEnds(t *testing.T) {
	r := newRoom(t)
	r.does("rack", "echo '[{name: ok}, {name: later}, {name: fails}, {name: dies}, {name: leaves}, {name: slow}, {name: sure, resume: again}]'")
	r.program("rack", `case $1 in
later) echo busy >&2; exit 75 ;;
fails) echo first >&2; echo no paper >&2; exit 4 ;;
dies) echo ouch >&2; kill -SEGV $$ ;;
leaves) setsid sleep 300 & ;;
slow|sure) echo here >&2; while :; do sleep 0.05; done ;;
esac
`)
	w := r.worker()
	for _, c := range []struct {
		task, want string
		permanent  bool
	}{
		{"ok", "", false},
		{"later", "busy (exit code 75)", false},
		{"fails", "no paper (exit code 4)", true},
		{"dies", "rack dies was killed by signal 11 (segmentation fault); the last it said: ouch", true},
		{"leaves", "", false},
	} {
		err := find(t, w, "rack:"+c.task).Do(t.Context(), clip(t))
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want || pipeline.IsPermanent(err) != c.permanent) {
			t.Errorf("%s: %v", c.task, err)
		}
	}
	if left := live("JARVIS_PROC=", r.dir); len(left) > 0 {
		t.Errorf("still living: %v", left)
	}
	// Only the supervisor is killed: nobody knows how far it came, so a person decides, or it is tried again.
	for _, task := range []string{"slow", "sure"} {
		h, done := &host{}, make(chan error, 1)
		s := find(t, w, "rack:"+task)
		go func() { done <- s.Do(pipeline.WithHost(t.Context(), h), clip(t)) }()
		r.until("it runs", func() bool { return strings.Contains(h.said(), "here") })
		for _, pid := range live("JARVIS_SUPERVISE=", r.dir+"/rack\x00"+task) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		err := <-done
		if err == nil || !strings.Contains(err.Error(), "rack "+task+": its supervisor was lost") || pipeline.IsPermanent(err) || strings.Contains(fmt.Sprintf("%T", err), "ask") != (task == "slow") {
			t.Errorf("%s: %T %v", task, err, err)
		}
		if left := live("JARVIS_PROC=", r.dir); len(left) > 0 {
			t.Errorf("still living: %v", left)
		}
	}
}

// TestARepeatWaitsForWhatStillRuns: server and supervisor are gone, and a child of the step's first try writes on.
func TestARepeatWaitsForWhatStillRuns(t *testing.T) {
	r := newRoom(t)
	r.does("rack", rackTable)
	r.program("rack", "exit 0")
	w := r.worker()
	h := &host{facts: pipeline.Facts{Run: 12, Stage: 3, Token: "jarvis-" + t.Name() + "-12"}}
	orphan := func(word string) int {
		p, err := os.StartProcess("/bin/sleep", []string{"sleep", "299"}, &os.ProcAttr{Env: []string{"JARVIS_PROC=" + word}, Sys: &syscall.SysProcAttr{Setsid: true}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Kill(); _, _ = p.Wait() })
		return p.Pid
	}
	ours, another := orphan(h.facts.Token+"-3"), orphan(h.facts.Token+"-33")
	if err := find(t, w, "rack:find").Do(pipeline.WithHost(t.Context(), h), clip(t)); err != nil {
		t.Fatal(err)
	}
	state := func(pid int) string {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return string(b[bytes.LastIndexByte(b, ')')+2:][:1])
	}
	if state(ours) != "Z" { // we have not waited for it yet
		t.Errorf("the old one is %s", state(ours))
	}
	if state(another) != "S" {
		t.Errorf("that of another stage is %s", state(another))
	}
	if !strings.Contains(h.said(), "ended first what an earlier try had left running (processes: 1)") {
		t.Errorf("it was not told: %q", h.said())
	}
}

func TestUndo(t *testing.T) {
	r := newRoom(t)
	r.does("rack", "echo '[{name: rack:find, undo: true}, {name: rack:mark}, {name: rack:stuck, undo: true}]'")
	r.program("rack", `[ "$1 $2" = "--undo stuck" ] && { echo still in use >&2; exit 1; }
[ "$1" = --undo ] && { echo "gave $2 back for $JARVIS_RUN" >&2; sed '/rack:/d'; exit 0; }
sed 's/loki/loki\n  rack: 17/'
`)
	r.does("plain", "exit 64")
	r.program("plain", "")
	w := r.worker()
	h := &host{facts: pipeline.Facts{Run: 7, Token: "jarvis-" + t.Name() + "-7", Undo: true}}
	ctx, c := pipeline.WithHost(t.Context(), h), clip(t)
	s := find(t, w, "rack:find")
	if err := s.Do(ctx, c); err != nil || c.Get("rack") != "17" {
		t.Fatalf("%v %s", err, c.Text())
	}
	if err := s.Undo(ctx, c); err != nil || c.Has("rack") || h.said() != "gave find back for 7" {
		t.Errorf("%v %s %q", err, c.Text(), h.said())
	}
	for _, name := range []string{"rack:mark", "plain:thing"} {
		if what, ok := pipeline.AsStays(find(t, w, name).Undo(ctx, c)); !ok || what != "whatever "+name+" made; it offers no undo" {
			t.Errorf("%s: %v %q", name, ok, what)
		}
	}
	if err := find(t, w, "rack:stuck").Undo(ctx, c); err == nil || err.Error() != "still in use (exit code 1)" {
		t.Errorf("%v", err)
	}
}

// TestALineThatPanicsEndsTheRunAlone: os/exec writes in a goroutine of its own, where a panic would end the server.
func TestALineThatPanicsEndsTheRunAlone(t *testing.T) {
	for name, text := range map[string]string{"a line": "x\n", "the start of a long line": strings.Repeat("x", 65<<10)} {
		l := &lineWriter{f: func(string) { panic("a bug") }}
		if _, err := l.Write([]byte(text)); err == nil || !strings.Contains(err.Error(), "a bug in Jarvis") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var got []string
	l := &lineWriter{f: func(line string) { got = append(got, line) }}
	for _, part := range []string{"one\ntw", "o\n\nlast\r"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	}
	if err := errors.Join(l.flush(), l.flush()); err != nil {
		t.Error(err)
	}
	if want := []string{"one", "two", "", "last"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
