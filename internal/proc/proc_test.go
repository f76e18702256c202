package proc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/proc"
)

const grace = time.Second

// work is one piece of work: a folder for what its programs write, and a word.
type work struct {
	t    *testing.T
	dir  string
	word string
}

func newWork(t *testing.T) *work {
	w := &work{t: t, dir: t.TempDir(), word: "jarvis-test-" + rand.Text()}
	t.Cleanup(func() { // a test that fails leaves nothing either
		for _, pid := range w.living() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return w
}

func (w *work) command(line string) proc.Command {
	return proc.Command{Path: "/bin/bash", Args: []string{"-c", line}, Dir: w.dir, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir}, Grace: grace, Word: w.word}
}

// living lists who carries the word now, as anybody can see it, supervisors too.
func (w *work) living() []int {
	var out []int
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && pid != os.Getpid() && bytes.Contains(b, []byte("JARVIS_PROC="+w.word+"\x00")) {
			out = append(out, pid)
		}
	}
	return out
}

func (w *work) file(name string) string {
	b, _ := os.ReadFile(filepath.Join(w.dir, name))
	return string(b)
}

// until polls, with a bound.
func (w *work) until(what string, f func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never came: %s", what)
		}
	}
}

func (w *work) gone() {
	w.t.Helper()
	if left := w.living(); len(left) > 0 {
		w.t.Errorf("still living: %v", left)
	}
}

// kids starts what is meant to survive: a child, one in a session of its own, and one forked twice. Each writes its
// line when it runs.
const kids = `
(echo child >> kids; exec sleep 300) &
setsid bash -c 'echo setsid >> kids; exec sleep 300' &
(setsid bash -c '(trap "" HUP; echo double >> kids; exec sleep 300) & exit' &)
until [ "$(wc -l < kids)" = 3 ] 2> /dev/null; do sleep 0.02; done
`

func TestHowItEndedIsToldExactly(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"plain": "no program", "lost": "#!/no/such/interpreter\n", "open": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, line string
		code             int
		signal           syscall.Signal
		err              string
		errno            syscall.Errno
	}{
		{name: "well", line: "exit 0"},
		{name: "an exit code", line: "exit 75", code: 75},
		{name: "the highest", line: "exit 255", code: 255},
		{name: "a signal", line: "kill -SEGV $$", code: -1, signal: syscall.SIGSEGV},
		{name: "KILL from elsewhere", line: "kill -KILL $$", code: -1, signal: syscall.SIGKILL},
		{name: "no file", path: dir + "/nothing", code: -1, errno: syscall.ENOENT, err: "cannot be started: no such file or directory"},
		{name: "not executable", path: dir + "/open", code: -1, errno: syscall.EACCES, err: "cannot be started: permission denied"},
		{name: "no interpreter", path: dir + "/lost", code: -1, errno: syscall.ENOENT, err: "its interpreter, named in its first line, is not there"},
		{name: "no program", path: dir + "/plain", code: -1, errno: syscall.ENOEXEC, err: "it is no program and has no first line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := newWork(t).command(c.line)
			if c.path != "" {
				cmd.Path = c.path
			}
			e, err := proc.Run(t.Context(), cmd)
			if e.Code != c.code || e.Signal != c.signal || e.Stopped {
				t.Errorf("ended %+v, want %d %v", e, c.code, c.signal)
			}
			var start *proc.StartError
			switch {
			case c.err == "" && err != nil:
				t.Error(err)
			case c.err != "" && (!errors.As(err, &start) || !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.err)):
				t.Errorf("error %v, want %v: %q", err, c.errno, c.err)
			}
		})
	}
}

func TestStreamsPassUntouched(t *testing.T) {
	w := newWork(t)
	in := make([]byte, 3<<20)
	_, _ = rand.Read(in)
	var out, errs bytes.Buffer
	c := w.command("tee /dev/stderr; env > env; for n in 3 4 5 6; do [ -e /proc/$$/fd/$n ] && echo $n; done > fds; true")
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(in), &out, &errs
	c.Env = append(c.Env, "X=a b", "Y=")
	if e, err := proc.Run(t.Context(), c); err != nil || e.Code != 0 {
		t.Fatal(e, err)
	}
	if !bytes.Equal(out.Bytes(), in) || !bytes.Equal(errs.Bytes(), in) {
		t.Errorf("%d and %d bytes of %d came back, or others", out.Len(), errs.Len(), len(in))
	}
	if env := w.file("env"); !strings.Contains(env, "X=a b\n") || !strings.Contains(env, "Y=\n") || !strings.Contains(env, "JARVIS_PROC="+w.word+"\n") || strings.Contains(env, "SUPERVISE") {
		t.Errorf("the environment is\n%s", env)
	}
	if fds := w.file("fds"); fds != "" {
		t.Errorf("the supervisor's own files are open in it: %s", fds)
	}
}

// TestAPipeThatTheProgramClosesIsClosed: the supervisor must not hold it open.
func TestAPipeThatTheProgramClosesIsClosed(t *testing.T) {
	w := newWork(t)
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	c := w.command("echo said; exec 1>&-; until [ -e go ]; do sleep 0.02; done")
	c.Stdout = out
	p, err := proc.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "said\n" {
		t.Errorf("%q %v", b, err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if e, err := p.Wait(); err != nil || e.Code != 0 {
		t.Error(e, err)
	}
}

// TestWhatItLeavesBehindIsEnded: the attack is a program that ends well and leaves processes behind which write on,
// in sessions of their own, and which hold its standard output open.
func TestWhatItLeavesBehindIsEnded(t *testing.T) {
	w := newWork(t)
	var out bytes.Buffer
	c := w.command(kids + "echo done; exit 7")
	c.Grace = time.Minute // by far more than a busy machine takes
	c.Stdout = &out
	began := time.Now()
	e, err := proc.Run(t.Context(), c)
	if err != nil || e.Code != 7 || e.Stopped || out.String() != "done\n" {
		t.Errorf("%+v %v %q", e, err, out.String())
	}
	w.gone()
	if took := time.Since(began); took > c.Grace {
		t.Errorf("took %s, though all of them heed TERM", took)
	}
}

func TestAStopIsPoliteFirst(t *testing.T) {
	t.Run("a trap runs, and its last words are heard", func(t *testing.T) {
		w := newWork(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var errs bytes.Buffer
		c := w.command(`trap 'echo "cleaned up" >&2; exit 9' TERM` + kids + `echo up > up; while :; do sleep 0.05; done`)
		c.Stderr = &errs
		p, err := proc.Start(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		w.until("it runs", func() bool { return w.file("up") != "" })
		stop()
		e, err := p.Wait()
		if err != nil || e.Code != 9 || !e.Stopped || !strings.Contains(errs.String(), "cleaned up\n") {
			t.Errorf("%+v %v %q", e, err, errs.String())
		}
		w.gone()
	})
	t.Run("who ignores TERM is killed after the grace, not before", func(t *testing.T) {
		w := newWork(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		p, err := proc.Start(ctx, w.command(`trap '' TERM; setsid sleep 300 & echo up > up; while :; do sleep 0.05; done`))
		if err != nil {
			t.Fatal(err)
		}
		w.until("it runs", func() bool { return w.file("up") != "" })
		began := time.Now()
		stop()
		e, err := p.Wait()
		if took := time.Since(began); err != nil || e.Signal != syscall.SIGKILL || !e.Stopped || took < grace || took > grace+5*time.Second {
			t.Errorf("%+v %v after %s", e, err, took)
		}
		w.gone()
	})
	t.Run("one that stands still is ended too", func(t *testing.T) {
		w := newWork(t)
		if e, err := proc.Run(t.Context(), w.command(`sleep 300 & kill -STOP $!; exit 0`)); err != nil || e.Code != 0 {
			t.Error(e, err)
		}
		w.gone()
	})
	t.Run("what ended by itself before is not called stopped", func(t *testing.T) {
		w := newWork(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		p, err := proc.Start(ctx, w.command(`trap '' TERM; (trap '' TERM; while :; do sleep 0.05; done) & echo up > up; exit 0`))
		if err != nil {
			t.Fatal(err)
		}
		w.until("the program is over and what it left has had its TERM", func() bool { return w.file("up") != "" && len(w.living()) > 0 })
		w.until("only leftovers", func() bool { return !strings.Contains(cmdlines(w.living()), "exit 0") || len(w.living()) < 4 })
		stop()
		if e, err := p.Wait(); err != nil || e.Code != 0 {
			t.Error(e, err)
		}
		w.gone()
	})
}

func cmdlines(pids []int) string {
	var out []string
	for _, pid := range pids {
		b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		out = append(out, string(b))
	}
	return strings.Join(out, "\n")
}

// TestAForkBombIsEnded: the attack is fifty processes that ignore TERM and replace themselves all the time, so that a
// list of them is old before it is used.
func TestAForkBombIsEnded(t *testing.T) {
	w := newWork(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	p, err := proc.Start(ctx, w.command(`trap '' TERM HUP
bomb() { (trap '' TERM HUP; sleep 0.0$((RANDOM % 5)); bomb) & }
for i in $(seq 50); do bomb; done
echo up > up; wait; sleep 300`))
	if err != nil {
		t.Fatal(err)
	}
	w.until("it runs", func() bool { return w.file("up") != "" })
	stop()
	if e, err := p.Wait(); err != nil || e.Signal != syscall.SIGKILL {
		t.Error(e, err)
	}
	w.gone()
}
