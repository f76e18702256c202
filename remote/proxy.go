package remote

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
)

// proxy makes a Target's Through of a ProxyCommand: what it reads and writes is the connection (ssh_config(5)).
func proxy(command string) func(context.Context, string) (net.Conn, error) {
	return func(context.Context, string) (net.Conn, error) { return startProxy(command) }
}

// proxyConn is a connection through a program of the user's own.
type proxyConn struct {
	io.WriteCloser // its stdin
	out            io.ReadCloser
	cmd            *exec.Cmd
	said           tail
	wait           func() error
	end            func()
}

// proxyScript begins the program with SIGINT ignored, which it hands on: at Ctrl-C we still have to end what runs on
// the hosts.
const proxyScript = `trap "" INT; exec "$0" -c "$1"`

// startProxy runs the command under the user's shell, as ssh does. end sends it HUP, and after a second KILL.
func startProxy(command string) (*proxyConn, error) {
	p := &proxyConn{cmd: exec.Command("/bin/sh", "-c", proxyScript, cmp.Or(os.Getenv("SHELL"), "/bin/sh"), "exec "+command)}
	p.cmd.Stderr = &p.said
	p.cmd.WaitDelay = time.Second // a child of its own may keep stderr open
	var err error
	if p.WriteCloser, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the ProxyCommand: %w", err)
	}
	p.wait = sync.OnceValue(p.cmd.Wait)
	p.end = sync.OnceFunc(func() {
		_ = p.WriteCloser.Close()
		_ = p.cmd.Process.Signal(syscall.SIGHUP) // as ssh does
		kill := time.AfterFunc(time.Second, guard.Func(guard.Count, func() { _ = p.cmd.Process.Kill() }))
		_ = p.out.Close()
		_ = p.wait()
		kill.Stop()
	})
	return p, nil
}

// Read tells why the program ended: without it there is only an end.
func (p *proxyConn) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if err == io.EOF {
		return n, fmt.Errorf("the ProxyCommand ended (%s): %s", cmp.Or(fmt.Sprint(p.wait()), "exit status 0"), cmp.Or(p.said.last(), "it said nothing"))
	}
	return n, err
}

func (p *proxyConn) Close() error { p.end(); return nil }

// proxyAddr stands for an address that only the program knows.
type proxyAddr struct{}

func (proxyAddr) Network() string { return "proxy" }
func (proxyAddr) String() string  { return "ProxyCommand" }

func (p *proxyConn) LocalAddr() net.Addr              { return proxyAddr{} }
func (p *proxyConn) RemoteAddr() net.Addr             { return proxyAddr{} }
func (p *proxyConn) SetDeadline(time.Time) error      { return nil }
func (p *proxyConn) SetReadDeadline(time.Time) error  { return nil }
func (p *proxyConn) SetWriteDeadline(time.Time) error { return nil }

// tail keeps the end of what a program says.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 4 << 10
	t.buf = append(t.buf, p...)
	if len(t.buf) > most {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-most:]...)
	}
	return len(p), nil
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.buf), []byte("\n"))
	return strings.TrimSpace(string(lines[len(lines)-1]))
}
