package tasklog

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// wire is a way to a host that can be cut.
type wire struct {
	net.Listener
	to    string
	mu    sync.Mutex
	is    bool // it is cut
	conns []net.Conn
	wg    sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to}
	w.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.carry(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); w.cut(true); w.wg.Wait() })
	return w
}

func (w *wire) carry(c net.Conn) {
	defer func() { _ = c.Close() }()
	d, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer func() { _ = d.Close() }()
	w.mu.Lock()
	if w.is {
		w.mu.Unlock()
		return
	}
	w.conns = append(w.conns, c, d)
	w.mu.Unlock()
	w.wg.Go(func() { _, _ = io.Copy(d, c); _ = d.Close() })
	_, _ = io.Copy(c, d)
}

func (w *wire) cut(is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.is = is
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// try is one try of a run, as the engine binds it.
type try struct {
	facts pipeline.Facts
	mu    sync.Mutex
	lines []string
}

func (s *try) Progress(l string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, l)
}
func (s *try) Log(l string)                                     { s.Progress(l) }
func (s *try) Keep(context.Context, *clipboard.Clipboard) error { return nil }
func (s *try) Facts() pipeline.Facts                            { return s.facts }
func (s *try) ctx(ctx context.Context) context.Context          { return pipeline.WithHost(ctx, s) }

func newKey(t *testing.T) (gossh.Signer, string) {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := gossh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return s, string(pem.EncodeToMemory(block))
}

func publicLine(s gossh.Signer) string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(s.PublicKey())))
}

// A host that goes away while its task runs is waited for, and a person's retry starts no second copy beside the first.
func TestATaskOnAHostThatGoesAway(t *testing.T) {
	user, _ := newKey(t)
	key, text := newKey(t)
	const addr = "127.88.0.1:22"
	host, err := real.StartHost(t.Context(), addr, fmt.Sprintf("#cloud-config\nhostname: web1\nssh_keys:\n  ed25519_private: %s\n  ed25519_public: %s\nssh_authorized_keys: [%q]\nchpasswd:\n  users: [{name: root, password: \"*\", type: hash}]\n",
		strconv.Quote(text), publicLine(key), publicLine(user)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Stop)
	way := newWire(t, addr)
	pool := remote.NewPool(remote.PoolConfig{})
	t.Cleanup(pool.Close)
	l, err := New([]Config{{Repo: t.TempDir(), Name: "infra"}}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l.world = World{Pool: pool, Hosts: func(context.Context, []string) ([]fleet.Host, error) {
		return []fleet.Host{{Name: "web1", Target: remote.Target{Addr: way.Addr().String(), User: "root", Signers: []gossh.Signer{user}, HostKeys: remote.Pinned{key.PublicKey()}}}}, nil
	}}
	r := l.repos[0]
	file := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(host.Root, "root", name))
		return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", " ")
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(real.Patience(30 * time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if ok() {
				return
			}
		}
		t.Fatal(what)
	}
	s := spec{Task: Task{Name: "slow", Hosts: []string{"web1"}, Shell: "echo begin >> /root/log; until [ -e /root/go ]; do sleep 0.1; done; echo end >> /root/log"}}
	first := &try{facts: pipeline.Facts{Token: "jarvis-test-1", Run: 1, Try: 0}}
	done := make(chan error, 1)
	go func() { done <- r.there(first.ctx(t.Context()), s, places{}, func() error { return nil }) }()
	until("it does not begin", func() bool { return file("log") == "begin" })
	way.cut(true)
	if _, why, ok := pipeline.AsWait(<-done); !ok || !strings.Contains(why, "web1: ") {
		t.Errorf("a host that is away is no wait: %q", why)
	}
	if _, _, ok := pipeline.AsWait(r.there(first.ctx(t.Context()), s, places{}, func() error { return nil })); !ok {
		t.Error("nor is one that cannot be reached")
	}
	// Somebody cancels, and retries when the host is back: the first still runs.
	again := &try{facts: pipeline.Facts{Token: "jarvis-test-1", Run: 1, Try: 1}}
	if _, _, ok := pipeline.AsWait(r.there(again.ctx(t.Context()), s, places{}, func() error { return nil })); !ok {
		t.Error("nobody knows of the first, and the second does not wait")
	}
	way.cut(false)
	go func() {
		for { // as the engine does: a connection may have been on its way when all were cut
			err := r.there(again.ctx(t.Context()), s, places{}, func() error { return nil })
			if _, why, ok := pipeline.AsWait(err); !ok || !strings.Contains(why, "the connection was lost before the command began") {
				done <- err
				return
			}
		}
	}()
	until("it does not say so", func() bool {
		again.mu.Lock()
		defer again.mu.Unlock()
		return strings.Contains(strings.Join(again.lines, "|"), "an earlier try still runs there")
	})
	if got := file("log"); got != "begin" {
		t.Errorf("the retry: %s", got)
	}
	if err := os.WriteFile(filepath.Join(host.Root, "root/go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || file("log") != "begin end" {
		t.Errorf("%v, %s", err, file("log"))
	}
	third := &try{facts: pipeline.Facts{Token: "jarvis-test-1", Run: 1, Try: 2}}
	if err := r.there(third.ctx(t.Context()), s, places{}, func() error { return nil }); err != nil || file("log") != "begin end" {
		t.Errorf("where it went well it runs again: %v, %s", err, file("log"))
	}
	// What is known to have failed runs again.
	bad := spec{Task: Task{Name: "bad", Hosts: []string{"web1"}, Shell: "echo x >> /root/bad; exit 3"}}
	for i := range 2 {
		st := &try{facts: pipeline.Facts{Token: "jarvis-test-2", Run: 2, Try: i}}
		if err := r.there(st.ctx(t.Context()), bad, places{}, func() error { return nil }); err == nil || !strings.Contains(err.Error(), "exit code 3") {
			t.Errorf("%v", err)
		}
	}
	if got := file("bad"); got != "x x" {
		t.Error(got)
	}
}
