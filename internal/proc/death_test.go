package proc_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/proc"
)

// parent is this test binary again, running one program, so that it can be killed.
func (w *work) parent(line string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), "PROC_TEST_PARENT="+line, "PROC_TEST_WORD="+w.word)
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	return cmd
}

// supervisor finds the one that carries the word.
func (w *work) supervisor() int {
	for _, pid := range w.living() {
		if b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); bytes.HasPrefix(b, []byte("jarvis-supervise\x00")) {
			return pid
		}
	}
	w.t.Fatal("no supervisor carries the word")
	return 0
}

// program is a script that writes when it begins and ends, and says if another was between the two. The trap takes half
// a second, so that whoever does not wait for it overlaps.
const program = `
trap 'sleep 0.5; echo "end $$" >> lines; rmdir busy; exit 1' TERM
mkdir busy || echo OVERLAP >> lines
echo "begin $$" >> lines` + kids + `
echo up > up; while :; do sleep 0.05; done`

func TestTheParentIsKilled(t *testing.T) {
	w := newWork(t)
	cmd := w.parent(program)
	w.until("it runs", func() bool { return w.file("up") != "" })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	w.until("nobody is left", func() bool { return len(w.living()) == 0 })
	if got := w.file("lines"); strings.Count(got, "begin") != 1 || strings.Count(got, "end") != 1 {
		t.Errorf("it had no TERM, or more than one:\n%s", got)
	}
}

// TestTheParentIsStopped: a parent that is to say that it works, and is stopped with SIGSTOP, loses its program; one
// that works keeps it for longer than that.
func TestTheParentIsStopped(t *testing.T) {
	t.Setenv("PROC_TEST_SILENCE", "1s")
	w := newWork(t)
	cmd := w.parent(program)
	w.until("it runs", func() bool { return w.file("up") != "" })
	time.Sleep(3 * time.Second)
	if got := w.file("lines"); strings.Contains(got, "end") {
		t.Errorf("its parent works, and it was ended:\n%s", got)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.until("nobody is left", func() bool { return len(w.living()) == 0 })
	if got := w.file("lines"); strings.Count(got, "begin") != 1 || strings.Count(got, "end") != 1 {
		t.Errorf("it had no TERM, or more than one:\n%s", got)
	}
}

// TestARepeatWaitsForWhatDies: the parent is killed, and the next one does not wait before it runs the same work.
func TestARepeatWaitsForWhatDies(t *testing.T) {
	w := newWork(t)
	cmd := w.parent(program)
	w.until("it runs", func() bool { return w.file("up") != "" })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	e, err := proc.Run(t.Context(), w.command(`mkdir busy || echo OVERLAP >> lines; echo second >> lines`))
	if err != nil || e.Code != 0 {
		t.Fatal(e, err)
	}
	if got := w.file("lines"); strings.Contains(got, "OVERLAP") || strings.Count(got, "end") != 1 || !strings.HasSuffix(got, "second\n") {
		t.Errorf("the lines are\n%s", got)
	}
	w.gone()
}

// TestOnlyTheSupervisorIsKilled: by the OOM killer, or by a person. The program and its children are ended, setsid or
// not, and whoever runs it is told that nobody knows what came of it.
func TestOnlyTheSupervisorIsKilled(t *testing.T) {
	w := newWork(t)
	p, err := proc.Start(t.Context(), w.command(program))
	if err != nil {
		t.Fatal(err)
	}
	w.until("it runs", func() bool { return w.file("up") != "" })
	if err := syscall.Kill(w.supervisor(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e, err := p.Wait(); !errors.Is(err, proc.ErrLost) {
		t.Errorf("%+v %v", e, err)
	}
	w.gone()
	if got := w.file("lines"); !strings.Contains(got, "end") {
		t.Errorf("it had no TERM:\n%s", got)
	}
}

// TestSupervisorAndParentAreKilled: nobody is left who could end the program. The next one of the same word does it
// before it begins.
func TestSupervisorAndParentAreKilled(t *testing.T) {
	w := newWork(t)
	// One that does not heed the TERM which it gets at its supervisor's death.
	cmd := w.parent(`trap '' TERM; mkdir busy; echo "begin $$" >> lines` + kids + `echo up > up; while :; do sleep 0.05; done`)
	w.until("it runs", func() bool { return w.file("up") != "" })
	if err := errors.Join(syscall.Kill(w.supervisor(), syscall.SIGKILL), cmd.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	before := w.living()
	if len(before) < 3 {
		t.Fatalf("only %v live on; this test is about more", before)
	}
	e, err := proc.Run(t.Context(), w.command(`for f in /proc/[0-9]*/environ; do
	p=${f#/proc/}; p=${p%/environ}; [ "$p" != $$ ] && grep -qz "^JARVIS_PROC=$JARVIS_PROC" $f && ! grep -qz ^JARVIS_SUPERVISE $f && echo "$p" >> others
done 2> /dev/null; exit 0`))
	if err != nil || e.Code != 0 || e.Swept < 3 {
		t.Errorf("%+v %v", e, err)
	}
	// What the program itself started to look is its own child and may be listed; what lived before may not.
	for _, pid := range before {
		if strings.Contains("\n"+w.file("others"), "\n"+strconv.Itoa(pid)+"\n") {
			t.Errorf("process %d still ran when the next began", pid)
		}
	}
	w.gone()
}

// TestAnotherWordIsLeftAlone: only the work's own processes are ended.
func TestAnotherWordIsLeftAlone(t *testing.T) {
	a, b := newWork(t), newWork(t)
	b.word = a.word + "0" // the one is the beginning of the other
	p, err := proc.Start(t.Context(), b.command(`echo up > up; until [ -e go ]; do sleep 0.02; done; exit 5`))
	if err != nil {
		t.Fatal(err)
	}
	b.until("it runs", func() bool { return b.file("up") != "" })
	if e, err := proc.Run(t.Context(), a.command("exit 0")); err != nil || e.Swept != 0 {
		t.Error(e, err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if e, err := p.Wait(); err != nil || e.Code != 5 {
		t.Error(e, err)
	}
}

// TestASupervisorThatHearsASignalStops: systemd and people send TERM to all that they see.
func TestASupervisorThatHearsASignalStops(t *testing.T) {
	w := newWork(t)
	p, err := proc.Start(t.Context(), w.command(program))
	if err != nil {
		t.Fatal(err)
	}
	w.until("it runs", func() bool { return w.file("up") != "" })
	if err := syscall.Kill(w.supervisor(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e, err := p.Wait(); err != nil || !e.Stopped || e.Code != 1 {
		t.Errorf("%+v %v", e, err)
	}
	w.gone()
}

// TestAStopBeforeTheBegin: the program may begin or not, but nothing of it is left, and it is told.
func TestAStopBeforeTheBegin(t *testing.T) {
	for i := range 20 {
		w := newWork(t)
		ctx, stop := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
		e, err := proc.Run(ctx, w.command(kids+"sleep 300"))
		stop()
		if err != nil || !e.Stopped {
			t.Errorf("%+v %v", e, err)
		}
		w.gone()
	}
}
