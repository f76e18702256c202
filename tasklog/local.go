package tasklog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// job is a shell script on this machine that is started at most once, and outlives us. Its folder is ours, also when the
// script runs as somebody else: he can put nothing there that we would read, write or kill by. It holds:
//
//	cmd      the script, until the wrapper takes it: that rename decides that it is started
//	running  the script, from then on
//	lock     locked (flock(2)) by us while we start it, then by the wrapper and what it starts as long as any of it lives
//	pid      of the wrapper, which leads a session of its own
//	log      what it prints; the script has it open, and owns it, so that it can open /dev/stderr
//	exit     its exit code, at the end
//	seen     how much of the log has been told
type job struct {
	dir   string // made on start
	cwd   string
	env   []string
	user  string // "": ours
	shell string
}

// errUnknown: it was started, nothing of it runs any more, and it left no exit code.
var errUnknown = errors.New("started, but left no exit code: it may have half happened")

// wrapper runs as we do; what it is given behind the two folders makes the script run as somebody else. The script and what
// it starts have the lock open: as long as anything of it lives, the job is not over unless there is an exit code.
const wrapper = `d=$1 c=$2 u=$(umask); shift 2; umask 077
cd "$d" || exit
echo $$ > pid.new && mv pid.new pid
mv cmd running 2> /dev/null || exit 0
( umask "$u"; cd "$c" && exec "$@" bash "$d/running" )
echo $? > "$d/exit.new" && mv "$d/exit.new" "$d/exit"`

// run starts the job unless it was, follows it, and gives its exit code. Lines go to line. When ctx ends, kill says
// whether the job ends, too.
func (j *job) run(ctx context.Context, line func(string), kill func(cause error) bool) (exit int, err error) {
	if err := j.make(); err != nil {
		return 0, err
	}
	died, err := j.begin()
	if err != nil {
		return 0, err
	}
	for {
		over := j.over()
		if err := j.tell(line, over); err != nil {
			return 0, err
		}
		if over {
			return j.exit()
		}
		select {
		case <-ctx.Done():
			if kill(context.Cause(ctx)) {
				j.kill()
			}
			return 0, context.Cause(ctx)
		case <-died:
			died = nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// begin starts the job if nobody has.
func (j *job) begin() (chan struct{}, error) {
	lock, err := os.OpenFile(filepath.Join(j.dir, "lock"), os.O_CREATE|os.O_RDONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }() // the wrapper has it open, too
	if _, err := os.Stat(filepath.Join(j.dir, "cmd")); err != nil || !free(lock) {
		return nil, nil
	}
	return j.start(lock)
}

// make writes the folder, whole or not at all.
func (j *job) make() error {
	if err := j.mine(); err == nil || errors.Is(err, errUnknown) {
		return err
	}
	next := j.dir + ".new"
	cmd, log := filepath.Join(next, "cmd"), filepath.Join(next, "log")
	if err := errors.Join(os.RemoveAll(next), os.MkdirAll(next, 0o700), os.WriteFile(cmd, []byte(j.shell), 0o600), os.WriteFile(log, nil, 0o600)); err != nil {
		return err
	}
	if j.user != "" {
		c, err := credential(j.user)
		if err != nil {
			return err
		}
		// He may come in by name, and read the script.
		if err := errors.Join(os.Chown(log, int(c.Uid), int(c.Gid)), os.Chown(cmd, -1, int(c.Gid)), os.Chmod(cmd, 0o640), os.Chmod(next, 0o711)); err != nil {
			return err
		}
	}
	return os.Rename(next, j.dir)
}

// mine makes sure that the folder is ours; an error when there is none. An earlier version gave it to the task's user:
// nothing in such a one can be trusted.
func (j *job) mine() error {
	info, err := os.Lstat(j.dir)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() || !info.IsDir() {
		return errUnknown
	}
	return nil
}

// start starts the wrapper, which inherits the lock.
func (j *job) start(lock *os.File) (chan struct{}, error) {
	if _, err := exec.LookPath("bash"); err != nil {
		return nil, errors.New("bash is not installed; `apt-get install bash`")
	}
	log, err := os.OpenFile(filepath.Join(j.dir, "log"), os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	args := []string{"-c", wrapper, "jarvis", j.dir, j.cwd}
	if j.user != "" {
		as, err := become(j.user)
		if err != nil {
			return nil, err
		}
		args = append(args, as...)
	}
	cmd := exec.Command("/bin/sh", args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{lock} // as file 3
	cmd.Env = j.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the task: %w", err)
	}
	died := make(chan struct{})
	guard.Go(guard.Count, func() {
		defer close(died)
		_ = cmd.Wait() // what it came to stands in its folder
	})
	return died, nil
}

// become gives the words before a command that make it run as a user, with his groups and no more privileges.
func become(name string) ([]string, error) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		return nil, errors.New("setpriv is not installed; `apt-get install util-linux`")
	}
	c, err := credential(name)
	if err != nil {
		return nil, err
	}
	groups := make([]string, len(c.Groups))
	for i, g := range c.Groups {
		groups[i] = strconv.FormatUint(uint64(g), 10)
	}
	as := []string{setpriv, "--reuid", strconv.FormatUint(uint64(c.Uid), 10), "--regid", strconv.FormatUint(uint64(c.Gid), 10), "--inh-caps=-all"}
	if len(groups) == 0 {
		return append(as, "--clear-groups", "--"), nil
	}
	return append(as, "--groups", strings.Join(groups, ","), "--"), nil
}

// free reports whether nobody else holds the lock; then we do.
func free(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// over reports whether the job has ended, however.
func (j *job) over() bool {
	if _, err := os.Stat(filepath.Join(j.dir, "exit")); err == nil {
		return true
	}
	f, err := os.Open(filepath.Join(j.dir, "lock"))
	if err != nil {
		return true
	}
	defer func() { _ = f.Close() }()
	return free(f)
}

func (j *job) exit() (int, error) {
	b, err := os.ReadFile(filepath.Join(j.dir, "exit"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(j.dir, "cmd")); err == nil {
			return 0, errors.New("its shell ended before it began")
		}
		return 0, errUnknown
	} else if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, errUnknown
	}
	return n, nil
}

// kill ends the job and all it started.
func (j *job) kill() {
	b, err := os.ReadFile(filepath.Join(j.dir, "pid"))
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && pid > 1 && !j.over() {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// maxLine bounds one line of output.
const maxLine = 4096

// tell gives the lines that have not been told; all of them when the job is over.
func (j *job) tell(line func(string), all bool) error {
	f, err := os.OpenFile(filepath.Join(j.dir, "log"), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	mark := filepath.Join(j.dir, "seen")
	b, _ := os.ReadFile(mark)
	seen, _ := strconv.ParseInt(string(b), 10, 64)
	if info, err := f.Stat(); err == nil && info.Size() < seen {
		seen = 0 // `echo x > /dev/stderr` cuts it off
	}
	if _, err := f.Seek(seen, io.SeekStart); err != nil {
		return err
	}
	was := seen
	r := bufio.NewReaderSize(f, maxLine)
	for {
		text, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) && (len(text) == 0 || !all) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return err
		}
		seen += int64(len(text))
		line(plain.Line(string(text)))
		if errors.Is(err, io.EOF) {
			break
		}
	}
	if seen == was {
		return nil
	}
	if err := os.WriteFile(mark+".new", []byte(strconv.FormatInt(seen, 10)), 0o600); err != nil {
		return err
	}
	return os.Rename(mark+".new", mark)
}

// credential gives the ids of a user with all his groups.
func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	number := func(s string) uint32 {
		n, perr := strconv.ParseUint(s, 10, 32)
		err = errors.Join(err, perr)
		return uint32(n)
	}
	c := &syscall.Credential{Uid: number(u.Uid), Gid: number(u.Gid)}
	for _, g := range ids {
		c.Groups = append(c.Groups, number(g))
	}
	return c, err
}

// own gives files to a user.
func own(name string, files ...string) error {
	c, err := credential(name)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Lchown(f, int(c.Uid), int(c.Gid)); err != nil {
			return err
		}
	}
	return nil
}
