package proc

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/guard"
)

// DefaultGrace is how long programs may take to end after TERM when Command.Grace is 0.
const DefaultGrace = 10 * time.Second

// Command is one program to run.
type Command struct {
	Path string   // of the executable, absolute
	Args []string // without the program's name
	Dir  string   // "": ours
	Env  []string // all of its environment, but for Word

	// As in exec.Cmd: an *os.File is passed as it is, nil is /dev/null.
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	Grace time.Duration // between TERM and KILL; 0 means DefaultGrace

	// Silence ends the program when this process does nothing for so long, as one that is stopped (SIGSTOP) or starved:
	// others may begin the same work then. 0: only its death does.
	Silence time.Duration

	// Word names this piece of work in all the world. Whatever still runs of an earlier program of the same word is
	// ended before this one starts, so two that may run at the same time must not have the same. "": nothing is.
	Word string
}

// Environ gives what a program of others may see of our environment: where things are, and no secret.
func Environ() []string {
	var env []string
	for _, k := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// Ended says how a program ended. When it is given, nothing of the program runs any more, but for Left.
type Ended struct {
	Code    int            // exit code; -1 when a signal ended it
	Signal  syscall.Signal // 0: none
	Stopped bool           // it was told to end (ctx, a signal to the supervisor) before it ended
	Swept   int            // processes of an earlier try that were ended first
	Left    string         // processes of other users that we may not end; "": none
}

// StartError says that the program could not be started. Err is the kernel's errno.
type StartError struct {
	Path string
	Err  error
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *StartError) Unwrap() error { return e.Err }

// Error implements error.
func (e *StartError) Error() string {
	_, serr := os.Stat(e.Path)
	switch {
	case errors.Is(e.Err, syscall.ENOENT) && serr == nil:
		return fmt.Sprintf("%s cannot be started: its interpreter, named in its first line, is not there", e.Path)
	case errors.Is(e.Err, syscall.ENOEXEC):
		return fmt.Sprintf("%s cannot be started: it is no program and has no first line as in #!/bin/sh", e.Path)
	}
	return fmt.Sprintf("%s cannot be started: %v", e.Path, e.Err)
}

// ErrLost says that the supervisor was killed or could not end the program, so that nobody knows how it ended. All of
// it that could be found has been ended.
var ErrLost = errors.New("its supervisor was lost, so what came of it is not known")

// Process is a program under way. Wait must be called.
type Process struct {
	c       Command
	cmd     *exec.Cmd
	control *os.File // to it
	report  *os.File // from it
	over    chan struct{}
	told    guard.Group
}

// Start begins a program. When ctx ends it is told to stop, with all it started. A *StartError comes from Wait.
func Start(ctx context.Context, c Command) (*Process, error) {
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	sweep := "sweep"
	if c.Word == "" {
		c.Word, sweep = rand.Text(), "fresh"
	}
	controlR, controlW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the supervisor of %s: %w", c.Path, err)
	}
	reportR, reportW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the supervisor of %s: %w", c.Path, err), controlR.Close(), controlW.Close())
	}
	p := &Process{c: c, control: controlW, report: reportR, over: make(chan struct{})}
	p.cmd = &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{argv0, c.Grace.String(), c.Silence.String(), sweep, c.Path}, c.Args...), Dir: c.Dir,
		Env: append(append([]string{}, c.Env...), wordEnv+"="+c.Word, superviseEnv+"=1"), Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
		ExtraFiles: []*os.File{controlR, reportW}, // as controlFD and reportFD
		// A ^C in a terminal is for us; we pass it on as a stop.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
		// Somebody whom we could not end may hold the pipes.
		WaitDelay: 2 * time.Second}
	err = p.cmd.Start()
	_, _ = controlR.Close(), reportW.Close()
	if err != nil {
		_, _ = controlW.Close(), reportR.Close()
		return nil, fmt.Errorf("start the supervisor of %s: %w", c.Path, err)
	}
	p.told.Go(guard.Count, func() { p.tell(ctx) })
	return p, nil
}

// tell says that we work, and passes the end of ctx on. A supervisor that does not answer even to that is killed; Wait
// does its work then.
func (p *Process) tell(ctx context.Context) {
	var beats <-chan time.Time
	if p.c.Silence > 0 {
		t := time.NewTicker(p.c.Silence / 6)
		defer t.Stop()
		beats = t.C
	}
	for told := false; !told; {
		select {
		case <-p.over:
			return
		case <-beats:
			_, _ = p.control.Write([]byte{beat})
		case <-ctx.Done():
			told = true
		}
	}
	_, _ = p.control.WriteString("s")
	t := time.NewTimer(p.c.Grace + 30*time.Second)
	defer t.Stop()
	select {
	case <-p.over:
	case <-t.C:
		_ = p.cmd.Process.Kill()
	}
}

// Wait waits until the program and all it started are gone. The error is a *StartError, ErrLost, or says what hinders.
func (p *Process) Wait() (Ended, error) {
	werr := p.cmd.Wait()
	close(p.over)
	p.told.Wait()
	_ = p.control.Close()
	// Nobody but the supervisor had the other end, so this is all there will ever be.
	said, rerr := io.ReadAll(p.report)
	_ = p.report.Close()
	ended, pid, err := p.read(said)
	if !errors.Is(err, ErrLost) {
		if errors.Is(werr, exec.ErrWaitDelay) || isExit(werr) {
			werr = nil
		}
		return ended, errors.Join(err, werr, rerr)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*p.c.Grace+20*time.Second)
	defer cancel()
	if _, serr := endWord(ctx, p.c.Word, pid, p.c.Grace); serr != nil {
		return ended, fmt.Errorf("%w: %w", err, serr)
	}
	return ended, err
}

func isExit(err error) bool {
	var e *exec.ExitError
	return errors.As(err, &e)
}

// read takes the supervisor's report apart.
func (p *Process) read(said []byte) (e Ended, pid int, err error) {
	e.Code, err = -1, ErrLost
	for line := range bytes.Lines(said) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		var n int
		_, _ = fmt.Sscanf(rest, "%d", &n)
		switch word {
		case "pid":
			pid = n
		case "swept":
			e.Swept = n
		case "stopped":
			e.Stopped, e.Signal, err = true, syscall.SIGTERM, nil
		case "lost":
			err = fmt.Errorf("%w: %s", ErrLost, rest)
		case "errno":
			err = &StartError{Path: p.c.Path, Err: unix.Errno(n)}
		case "failed":
			err = fmt.Errorf("%s cannot be run: %s", p.c.Path, rest)
		case "ended":
			ws := syscall.WaitStatus(n)
			e.Code, err = ws.ExitStatus(), nil
			if ws.Signaled() {
				e.Signal = ws.Signal()
			}
			f := strings.SplitN(rest, " ", 3)
			e.Stopped = len(f) > 1 && f[1] == "true"
			if len(f) > 2 {
				e.Left = f[2]
			}
		}
	}
	return e, pid, err
}

// Run is Start and Wait.
func Run(ctx context.Context, c Command) (Ended, error) {
	p, err := Start(ctx, c)
	if err != nil {
		return Ended{Code: -1}, err
	}
	return p.Wait()
}
