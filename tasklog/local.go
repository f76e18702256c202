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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// job is a shell script on this machine that is started at most once, and outlives us. Its folder is ours, also when
// the script runs as somebody else: they can put nothing there that we would read, write or kill by. It holds:
//
//	env      the task's environment, as a script that sets it
//	cmd      the script, until the wrapper takes it: that rename decides that it is started
//	running  the script, from then on
//	root     of a task with sudo, what runs as root, with its environment; the script is what calls sudo
//	lock     locked (flock(2)) by us while we start it, then by the wrapper and what it starts as long as any of it lives
//	pid      of the wrapper, which leads a session of its own
//	since    when the wrapper began, as /proc says
//	boot     which boot of the machine that was
//	log      what it prints; the script has it open, and owns it, so that it can open /dev/stderr
//	exit     its exit code, at the end
//	seen     how much of the log has been told
type job struct {
	dir   string // made on start
	cwd   string
	env   []string
	user  string // "": ours
	shell string
	sudo  string // the program, when the script runs as root by it: then it is what may end it
	root  string // what it runs as root
}

// errNotEnded: it was to be ended, and something of it runs on.
var errNotEnded = errors.New("it could not be ended")

// errUnknown: it was started, nothing of it runs any more, and it left no exit code.
var errUnknown = errors.New("started, but left no exit code: it may have half happened")

// wrapper runs as we do, in an environment of ours; the words that it is given after mv run the script, perhaps as
// somebody else. The script and what it starts have the lock open: as long as anything of it lives, the job is not over
// unless there is an exit code.
const wrapper = `d=$1 c=$2 mv=$3 u=$(umask); shift 3; umask 077
cd "$d" || exit
read -r s < /proc/$$/stat && printf '%s\n' "$s" > since
read -r s < /proc/sys/kernel/random/boot_id && printf '%s\n' "$s" > boot
echo $$ > pid.new && "$mv" pid.new pid
"$mv" cmd running 2> /dev/null || exit 0
( umask "$u"; cd "$c" && exec "$@" )
echo $? > "$d/exit.new" && "$mv" "$d/exit.new" "$d/exit"`

// inner is run as the task's user: it sets the task's environment, and becomes the script. What a task sets (PATH,
// LD_PRELOAD, BASH_ENV, IFS) concerns only what runs as that user.
const inner = `. "$1/env"; exec "$2" "$1/running"`

// wrapperPath is where the wrapper finds programs, whatever the task sets.
const wrapperPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

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
				if left := j.kill(); left != "" {
					return 0, fmt.Errorf("%w: %w: %s runs on", context.Cause(ctx), errNotEnded, left)
				}
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
	cmd, env, log := filepath.Join(next, "cmd"), filepath.Join(next, "env"), filepath.Join(next, "log")
	if err := errors.Join(os.RemoveAll(next), os.MkdirAll(next, 0o700), os.WriteFile(cmd, []byte(j.shell), 0o600), os.WriteFile(env, []byte(exports(append(j.env[:len(j.env):len(j.env)], j.mark()))), 0o600), os.WriteFile(log, nil, 0o600)); err != nil {
		return err
	}
	if j.root != "" {
		if err := os.WriteFile(filepath.Join(next, "root"), []byte(j.root), 0o600); err != nil {
			return err
		}
	}
	if j.user != "" {
		c, err := credential(j.user)
		if err != nil {
			return err
		}
		// They may come in by name, and read the script and its environment.
		if err := errors.Join(os.Chown(log, int(c.Uid), int(c.Gid)), os.Chown(cmd, -1, int(c.Gid)), os.Chmod(cmd, 0o640),
			os.Chown(env, -1, int(c.Gid)), os.Chmod(env, 0o640), os.Chmod(next, 0o711)); err != nil {
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
	args, err := j.words()
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH); err != nil { // so that root's part can hold it as well
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(j.dir, "log"), os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("/bin/sh", args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, []*os.File{lock} // as file 3
	cmd.Env = []string{wrapperPath, "LANG=C.UTF-8"}
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

// words gives what /bin/sh is called with. All programs are named by their places.
func (j *job) words() ([]string, error) {
	mv, err := program("mv", "coreutils")
	if err != nil {
		return nil, err
	}
	bash, err := program("bash", "bash")
	if err != nil {
		return nil, err
	}
	var as []string
	if j.user != "" {
		if as, err = become(j.user); err != nil {
			return nil, err
		}
	}
	return slices.Concat([]string{"-c", wrapper, "jarvis", j.dir, j.cwd, mv}, as, []string{"/bin/sh", "-c", inner, "jarvis", j.dir, bash}), nil
}

// program gives the place of a program, as the server finds it.
func program(name, pkg string) (string, error) {
	place, err := exec.LookPath(name)
	if err == nil {
		place, err = filepath.Abs(place)
	}
	if err != nil {
		return "", fmt.Errorf("%s is not installed; `apt-get install %s`", name, pkg)
	}
	return place, nil
}

// become gives the words before a command that make it run as a user, with their groups and no more privileges.
func become(name string) ([]string, error) {
	setpriv, err := program("setpriv", "util-linux")
	if err != nil {
		return nil, err
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

// over reports whether the job has ended, however: it left an exit code, or nothing of it lives.
func (j *job) over() bool {
	if _, err := os.Stat(filepath.Join(j.dir, "exit")); err == nil {
		return true
	}
	f, err := os.Open(filepath.Join(j.dir, "lock"))
	if err != nil {
		return true
	}
	defer func() { _ = f.Close() }()
	return free(f) && len(j.family()) == 0
}

// exit gives errUnknown when nobody can know how the script ended.
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

// credential gives the ids of a user with all their groups.
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
