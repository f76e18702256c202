// Package real starts the servers that a user of Jarvis would meet, for tests: each from its Debian package, on
// loopback, in a folder of its own, and proven to answer before Start returns. It imports nothing of ours.
//
// A program that is not installed fails with the line that installs it; nothing is skipped.
package real

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// need finds a program, or says how to install it.
func need(program, pkg string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/17/bin") {
		p := filepath.Join(dir, program)
		if st, err := os.Stat(p); err == nil && !st.IsDir() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is not installed; run: apt-get install -y %s", program, pkg)
}

// proc is a running server.
type proc struct {
	cmd  *exec.Cmd
	out  *tail
	done chan struct{}
	once sync.Once
}

// tail keeps the last part of what a server said.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b.Len() > 1<<16 {
		t.b.Reset()
	}
	return t.b.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// start runs a program in a process group of its own, as the given user ("" for ours). It dies with this process, also
// when that is killed.
func start(asUser, program string, args ...string) (*proc, error) {
	cmd := exec.Command(program, args...)
	p := &proc{cmd: cmd, out: &tail{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if asUser != "" && os.Getuid() == 0 {
		cred, err := credential(asUser)
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr.Credential = cred
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("find the user %s: %w", name, err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// as gives the attributes of a process that runs as another user.
func as(name string) (*syscall.SysProcAttr, error) {
	cred, err := credential(name)
	return &syscall.SysProcAttr{Credential: cred}, err
}

// own gives a folder and all in it to a user, when we are root.
func own(dir, name string) error {
	if os.Getuid() != 0 {
		return nil
	}
	cred, err := credential(name)
	if err != nil {
		return err
	}
	return filepath.Walk(dir, func(p string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, int(cred.Uid), int(cred.Gid))
	})
}

// stop asks the server to end, and kills its group when it does not within five seconds.
func (p *proc) stop(sig syscall.Signal) {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(sig)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			<-p.done
		}
	})
}

// kill ends it at once, as a crash would.
func (p *proc) kill() {
	p.once.Do(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	})
}

// until calls f until it gives nil, the process ends, or the time is over.
func (p *proc) until(what string, limit time.Duration, f func() error) error {
	deadline := time.Now().Add(Patience(limit)) // other servers and their tests start beside it
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once: %s", what, p.out)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w; it said: %s", what, err, p.out)
		}
	}
}

// dial is for until: somebody listens at addr.
func dial(addr string) func() error {
	return func() error {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// FreePort gives a TCP port of 127.0.0.1 that nobody uses now.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// folder makes a folder that the server's own user can enter.
func folder(name string) (string, error) {
	dir, err := os.MkdirTemp("", "jarvis-lab-"+name+"-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// run has all output in its error. asUser counts only where we are root, and "" is ourselves.
func run(ctx context.Context, asUser, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	if asUser != "" && os.Getuid() == 0 {
		cred, err := credential(asUser)
		if err != nil {
			return err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.New(filepath.Base(program) + ": " + err.Error() + ": " + string(out))
	}
	return nil
}
