package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/internal/guard"
)

// superviseEnv and argv0 together make a supervisor of this binary. Nobody passes both by accident, and the program
// below never sees them.
const (
	superviseEnv = "JARVIS_SUPERVISE"
	argv0        = "jarvis-supervise"
	controlFD    = 3
	reportFD     = 4
)

// A process that was started as a supervisor does that and exits, before its main or TestMain begins; in every other
// this returns at once. It registers nothing. It stands in an init for two reasons: no binary that starts programs can
// forget to call it, and it comes before most other packages of a big binary have made their tables, which halves the
// time and takes two thirds of the memory of a supervisor away.
func init() {
	// jarvis-supervise GRACE SILENCE sweep|fresh PATH [ARG…]
	if len(os.Args) < 5 || os.Args[0] != argv0 || os.Getenv(superviseEnv) == "" {
		return
	}
	// Few threads: what runs below us may have used up all that the user may have.
	runtime.GOMAXPROCS(1)
	// Pdeathsig speaks of the thread that forked, so that must be one that lives as long as we do.
	runtime.LockOSThread()
	s := &supervisor{report: os.NewFile(reportFD, "report"), sweep: os.Args[3] == "sweep", args: os.Args[4:]}
	if p := guard.Do(s.run); p != nil {
		s.say("lost %v", p)
	}
	// Not os.Exit, which takes a second under the race detector.
	syscall.Exit(0)
}

// supervisor is the process between Run and the program.
type supervisor struct {
	report *os.File
	sweep  bool
	args   []string
	grace  time.Duration
	beat   time.Duration // the parent says so often at least that it works; 0: it need not

	parent  chan struct{} // closed when the parent asks for a stop, is dead, or is silent for too long
	pid     int           // of the program
	over    bool          // the program itself has ended
	status  syscall.WaitStatus
	stopped bool // it was told to end before it ended
	left    []process
}

// say writes one line of the report. The parent may be dead, and then nobody misses it.
func (s *supervisor) say(format string, args ...any) {
	_, _ = s.report.WriteString(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ") + "\n")
}

// run begins the program and stays until nothing of it is left. The report is all that the parent learns: each end has
// its line.
func (s *supervisor) run() {
	unix.CloseOnExec(controlFD)
	unix.CloseOnExec(reportFD)
	var err error
	if s.grace, err = time.ParseDuration(os.Args[1]); err != nil {
		s.say("failed the grace is %q", os.Args[1])
		return
	}
	if s.beat, err = time.ParseDuration(os.Args[2]); err != nil {
		s.say("failed the silence is %q", os.Args[2])
		return
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		s.say("failed become a subreaper: %v", err)
		return
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	s.parent = make(chan struct{})
	_ = unix.SetNonblock(controlFD, true) // so that Go waits for it with the poller, not with a thread
	control := os.NewFile(controlFD, "control")
	// Read once by hand: a parent that is dead already must not see its program begin.
	first := []byte{beat}
	if n, err := unix.Read(controlFD, first); n == 0 && err == nil || first[0] != beat {
		s.say("stopped")
		return
	}
	guard.Go(guard.Count, func() {
		s.listen(control)
		close(s.parent)
	})
	if s.sweep && !s.clear(signals) {
		return
	}
	if !s.start() {
		return
	}
	s.watch(signals, died)
	var names []string
	for _, p := range s.left {
		names = append(names, fmt.Sprintf("%d (%s)", p.pid, p.name))
	}
	if !s.over {
		s.say("lost it cannot be ended: process %s", strings.Join(names, ", "))
		return
	}
	s.say("ended %d %t %s", s.status, s.stopped, strings.Join(names, ", "))
}

// listen returns when the parent asks for a stop, is dead, or says nothing for too long: then others may begin what it
// had under way, and there is little time left to end it.
func (s *supervisor) listen(control *os.File) {
	heard, b := bootTime(), make([]byte, 64)
	for {
		if s.beat > 0 {
			_ = control.SetReadDeadline(time.Now().Add(s.beat / 8))
		}
		n, err := control.Read(b)
		for _, c := range b[:n] {
			if c != beat {
				return
			}
		}
		if n > 0 {
			heard = bootTime()
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if s.beat > 0 && bootTime()-heard > s.beat {
			s.grace = min(s.grace, silentGrace)
			return
		}
	}
}

// silentGrace is how long a program whose parent went silent may take to end after TERM.
const silentGrace = 2 * time.Second

// beat is the byte by which a parent says that it works; any other asks for a stop.
const beat = 'b'

// bootTime is a clock that also counts while the machine sleeps.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Duration(time.Now().UnixNano())
	}
	return time.Duration(ts.Nano())
}

// clear ends what an earlier program of the same word left running.
func (s *supervisor) clear(signals chan os.Signal) bool {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	gone := make(chan struct{})
	defer close(gone)
	guard.Go(guard.Count, func() {
		select {
		case <-s.parent:
		case <-signals:
		case <-gone:
			return
		}
		cancel(errStopped)
	})
	n, err := endWord(ctx, os.Getenv(wordEnv), 0, s.grace)
	if ctx.Err() != nil {
		s.say("stopped")
		return false
	}
	if err != nil {
		s.say("failed %v", err)
		return false
	}
	if n > 0 {
		s.say("swept %d", n)
	}
	return true
}

var errStopped = errors.New("told to stop")

// start begins the program and lets go of its files: a pipe that the program closes must be closed.
func (s *supervisor) start() bool {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, superviseEnv+"=") {
			env = append(env, e)
		}
	}
	var err error
	s.pid, err = syscall.ForkExec(s.args[0], s.args, &syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2},
		// When we are killed it hears of it at once; whoever started us ends it and the rest.
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}})
	var errno syscall.Errno
	if errors.As(err, &errno) {
		s.say("errno %d", int(errno))
		return false
	}
	if err != nil {
		s.say("failed %v", err)
		return false
	}
	s.say("pid %d", s.pid)
	if null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		for fd := range 3 {
			_ = unix.Dup2(null, fd)
		}
	}
	return true
}

// watch reaps until no child is left, and ends what has to end.
func (s *supervisor) watch(signals, died chan os.Signal) {
	var e *ender
	var due <-chan time.Time
	pause := 5 * time.Millisecond
	end := func() {
		if e == nil {
			s.stopped = !s.over
			e = newEnder(s.grace, func() ([]process, error) {
				all, err := table()
				return living(below(all, os.Getpid())), err
			})
			due = time.After(0)
		}
	}
	parent := s.parent
	for {
		if s.reap() {
			return
		}
		if s.over {
			end() // it left something behind
		}
		select {
		case <-parent:
			parent = nil
			end()
		case <-signals:
			end()
		case <-died:
		case <-due:
			left, hopeless, err := e.round()
			if hopeless && err == nil {
				s.left = left
				return
			}
			pause = min(2*pause, 100*time.Millisecond)
			if time.Now().After(e.until) {
				pause = 10 * time.Millisecond
			}
			due = time.After(pause)
		}
	}
}

// reap buries the dead, and reports whether nobody is left below us: then there is no descendant either, for an orphan
// would be our child.
func (s *supervisor) reap() (none bool) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return true
		case pid == 0:
			return false
		case pid == s.pid:
			s.over, s.status = true, ws
		}
	}
}
