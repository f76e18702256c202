package proc

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a line of the machine's process table.
type process struct {
	pid, ppid, session int
	state              byte
	started            string // ticks after boot: with pid, it names one process for ever
	name               string
}

// key tells a process from a later one that got its number.
func (p process) key() string { return strconv.Itoa(p.pid) + "@" + p.started }

// table reads all processes that we may see.
func table() (map[int]process, error) {
	pids, err := numbers()
	out := make(map[int]process, len(pids))
	for _, pid := range pids {
		if p, ok := look(pid); ok {
			out[pid] = p
		}
	}
	return out, err
}

// look reads one process; ok is false when it is gone.
func look(pid int) (p process, ok bool) {
	b := slurp(pid, "stat")
	// A name may hold spaces and parentheses: what counts begins after the last one (proc_pid_stat(5)).
	left, right := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if left < 0 || right < left {
		return p, false
	}
	f := strings.Fields(string(b[right+1:]))
	if len(f) < 20 {
		return p, false
	}
	p = process{pid: pid, name: string(b[left+1 : right]), state: f[0][0], started: f[19]}
	p.ppid, _ = strconv.Atoi(f[1])
	p.session, _ = strconv.Atoi(f[3])
	return p, true
}

// slurp reads a file of a process, nil when it cannot: the tables of a busy machine are read often, and os.ReadFile
// asks twice as much of the kernel.
func slurp(pid int, file string) []byte {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/"+file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	out := make([]byte, 0, 4096)
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := unix.Read(fd, out[len(out):cap(out)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return out
		}
		out = out[:len(out)+n]
	}
}

// numbers lists the processes that we may see.
func numbers() ([]int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(-1)
	var out []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			out = append(out, pid)
		}
	}
	return out, err
}

// below gives every descendant of the roots, without the roots.
func below(all map[int]process, roots ...int) []process {
	children := map[int][]int{}
	for _, p := range all {
		children[p.ppid] = append(children[p.ppid], p.pid)
	}
	seen := map[int]bool{}
	for _, r := range roots {
		seen[r] = true
	}
	var out []process
	for todo := roots; len(todo) > 0; todo = todo[1:] {
		for _, pid := range children[todo[0]] {
			if !seen[pid] {
				seen[pid] = true
				out = append(out, all[pid])
				todo = append(todo, pid)
			}
		}
	}
	return out
}

// send signals exactly this process, not one that got its number meanwhile.
func send(p process, sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ENOSYS) { // Linux before 5.3
		return syscall.Kill(p.pid, sig)
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if now, ok := look(p.pid); !ok || now.started != p.started {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// ender ends a set of processes that may grow while it works: first politely, and after the grace for good.
type ender struct {
	find  func() ([]process, error) // who is left; zombies count as gone
	until time.Time                 // the end of the grace
	told  map[string]bool           // who has had TERM
	count int                       // how many were told or killed
	stuck time.Time                 // since when nobody left could be signalled; zero: somebody could
}

func newEnder(grace time.Duration, find func() ([]process, error)) *ender {
	return &ender{find: find, until: time.Now().Add(grace), told: map[string]bool{}}
}

// stuckAfter is how long processes that we may not signal are waited for, when they are all that is left.
const stuckAfter = 2 * time.Second

// round does what is due now. left is who lives; hopeless says that nobody of them can be ended by us.
func (e *ender) round() (left []process, hopeless bool, err error) {
	if left, err = e.find(); err != nil {
		return nil, false, err
	}
	if time.Now().Before(e.until) {
		for _, p := range left {
			if !e.told[p.key()] {
				e.told[p.key()] = true
				e.count++
				_ = send(p, syscall.SIGTERM)
				_ = send(p, syscall.SIGCONT) // one that is stopped could not hear it
			}
		}
		return left, false, nil
	}
	// Whoever forks faster than we kill would get away: all stand still first.
	stopped := map[string]bool{}
	for fresh := true; fresh; {
		fresh = false
		for _, p := range left {
			if !stopped[p.key()] {
				stopped[p.key()] = true
				fresh = send(p, syscall.SIGSTOP) == nil || fresh
			}
		}
		if fresh {
			if left, err = e.find(); err != nil {
				return nil, false, err
			}
		}
	}
	reached := false
	for _, p := range left {
		if !e.told[p.key()] {
			e.told[p.key()] = true
			e.count++
		}
		err := send(p, syscall.SIGKILL)
		reached = reached || err == nil || errors.Is(err, unix.ESRCH)
	}
	switch {
	case reached:
		e.stuck = time.Time{}
	case e.stuck.IsZero():
		e.stuck = time.Now()
	}
	return left, !e.stuck.IsZero() && time.Since(e.stuck) > stuckAfter, nil
}

// names says who they are, for people.
func names(ps []process) string {
	var out []string
	for i, p := range ps {
		if i == 5 {
			out = append(out, "and "+strconv.Itoa(len(ps)-i)+" more")
			break
		}
		out = append(out, strconv.Itoa(p.pid)+" ("+p.name+")")
	}
	return strings.Join(out, ", ")
}

// living leaves zombies out: they have ended. It uses the memory of ps.
func living(ps []process) []process {
	out := ps[:0]
	for _, p := range ps {
		if p.state != 'Z' && p.state != 'X' {
			out = append(out, p)
		}
	}
	return out
}
