package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// siloWorld is what TestMain runs in a network of its own: a vSphere, and the hosts that it brings up.
const siloWorld = "JARVIS_TEST_SILO_WORLD"

func runSiloWorld() {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		panic(fmt.Sprint("bring the loopback of the silo up: ", err, string(out)))
	}
	rack := lab.NewRack(78, 2222, nil)
	vs, err := lab.StartVSphere(context.Background(), rack)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n.\n", vs.Config())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
	vs.Stop()
	rack.Stop()
}

// silo is a network in which there are a vSphere, its hosts and an agent, and out of which one port leads.
type silo struct {
	t     *testing.T
	world *exec.Cmd
	esx   string // lines of `workers` for the agent
	door  string // the hub, as it is seen from inside
}

func newSilo(t *testing.T, hub string) *silo {
	t.Helper()
	s := &silo{t: t}
	s.world = exec.Command(must[string](t)(os.Executable()))
	s.world.Env = append(os.Environ(), siloWorld+"=1")
	s.world.Stderr = t.Output()
	s.world.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	in := must[io.WriteCloser](t)(s.world.StdinPipe())
	out := must[io.ReadCloser](t)(s.world.StdoutPipe())
	if err := s.world.Start(); err != nil {
		t.Fatalf("a network of its own for the silo: %v; this needs root, as in CI", err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = s.world.Wait() })
	sc := bufio.NewScanner(out)
	for sc.Scan() && sc.Text() != "." {
		s.esx += sc.Text() + "\n"
	}
	if s.esx == "" {
		t.Fatal("the world of the silo did not come up")
	}
	l := s.listen()
	t.Cleanup(func() { _ = l.Close() })
	s.door = l.Addr().String()
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = l.Close() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				d, err := net.Dial("tcp", hub)
				if err != nil {
					return
				}
				defer func() { _ = d.Close() }()
				go func() { _, _ = io.Copy(d, c); _ = d.Close() }()
				_, _ = io.Copy(c, d)
			})
		}
	})
	return s
}

// listen opens a port on the loopback of the silo: the one way out.
func (s *silo) listen() net.Listener {
	type got struct {
		l   net.Listener
		err error
	}
	c := make(chan got)
	go func() {
		// The thread has to come back: were it to end, so would the servers that were started from it
		// (PR_SET_PDEATHSIG).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			c <- got{nil, err}
			return
		}
		defer func() { _ = home.Close() }()
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", s.world.Process.Pid))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			_ = ns.Close()
		}
		var l net.Listener
		if err == nil {
			l, err = net.Listen("tcp", "127.0.0.1:0")
			err = errors.Join(err, unix.Setns(int(home.Fd()), unix.CLONE_NEWNET))
		}
		c <- got{l, err}
	}()
	g := <-c
	if g.err != nil {
		s.t.Fatal(g.err)
	}
	return g.l
}

// command is one that runs inside.
func (s *silo) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/proc/" + strconv.Itoa(s.world.Process.Pid) + "/ns/net", "--"}, args...)...)
}

// agentSecret is a password that only the agent knows.
var agentSecret = strings.Repeat("only-the-agent-", 2) + "knows-this"

// TestAnAgentServesASilo: the agent is in a network out of which only the hub's port is reached, and the hub cannot
// reach into it. A host is deployed on a vSphere there, a command runs on it, and a check; and nothing of the agent's
// own credentials is at the hub.
func TestAnAgentServesASilo(t *testing.T) {
	if testing.Short() {
		t.Skip("two processes and a world")
	}
	bin := buildJarvis(t)
	dir := t.TempDir()
	write := writeIn(t, dir)
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	base := must[string](t)(pg.Database(t.Context()))
	hubAddr := freeAddr(t)
	hubConf := write("hub.yaml", fmt.Sprintf(`data: hub
database: %q
listen: %q
approvals: {off: true}
silos: {vmware: [esx]}
workers: {ssh: {port: 2222}}
pipelines:
  deploy: {esx: ["keys:create", "esx:deploy", "esx:get_pub_ip", "ssh:wait"]}
checks:
  host: {retry: 1s}
  tasks: [{name: who, command: "echo OK from $(hostname)"}]
  schedules: [{name: often, when: "@every 1s"}]
  host_tasks: [{hosts: [loki], tasks: [who], schedule: often}]
`, base, hubAddr), 0o600)
	var hubLog, agentLog lockedBuffer
	hub := exec.Command(bin, "--config", hubConf, "serve", "-v")
	hub.Stderr = &hubLog
	if err := hub.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = hub.Process.Signal(syscall.SIGTERM)
		_ = hub.Wait()
		if t.Failed() {
			t.Log("the hub:\n" + hubLog.String() + "\nthe agent:\n" + agentLog.String())
		}
	})
	cli := func(args ...string) (string, error) {
		out, err := exec.Command(bin, append([]string{"--config", hubConf}, args...)...).CombinedOutput()
		return string(out), err
	}
	until(t, time.Minute, "the hub is ready", func() bool {
		r, err := http.Get("http://" + hubAddr + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	said, err := cli("token", "new", "vm-agent", "silo", "vmware")
	if err != nil {
		t.Fatal(said)
	}
	token, _, _ := strings.Cut(said, "\n")
	s := newSilo(t, hubAddr)
	agentConf := write("agent.yaml", fmt.Sprintf(`data: agent
agent: {server: "http://%s", token: %q, silo: vmware, name: box, dial: ["127.78.0.0/16:2222"]}
workers:
%s`, s.door, token, withPassword(t, s.esx)), 0o600)
	if out, err := s.command(bin, "--config", agentConf, "agent", "--check").CombinedOutput(); err != nil || !strings.Contains(string(out), "takes this agent for the silo vmware") {
		t.Fatalf("agent --check: %v\n%s", err, out)
	}
	agent := s.command(bin, "--config", agentConf, "agent", "-v")
	agent.Stderr = &agentLog
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Signal(syscall.SIGTERM)
		_ = agent.Wait()
	})
	until(t, time.Minute, "the agent is connected", func() bool {
		out, _ := cli("nodes")
		return strings.Contains(out, "silo vmware (esx): served by")
	})
	file := write("loki.yaml", lab.Clipboard("loki")+"  silo: vmware\n  owner_secret: !secret thirteen-herons\n", 0o600)
	if out, err := cli("deploy", file, "--timeout", "3m"); err != nil {
		t.Fatalf("deploy: %v\n%s", err, out)
	}
	out, err := cli("run", "loki", "hostname")
	if err != nil || !strings.Contains(out, "loki") {
		t.Errorf("run: %v\n%s", err, out)
	}
	if out, err := cli("exec", "-o", "loki", "--", "echo", "through"); err != nil || !strings.Contains(out, "through") {
		t.Errorf("exec: %v\n%s", err, out)
	}
	// What is uploaded goes by the agent, too. The machine is a played one, whose shell knows three commands, so it
	// comes as far as that.
	if out, err := cli("upload", "-o", "loki", "-e", file); err == nil || !strings.Contains(out, "loki: usage: cd [dir]") {
		t.Errorf("upload: %v\n%s", err, out)
	}
	last := ""
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the checks: " + last)
		}
	})
	until(t, time.Minute, "the check has a result", func() bool {
		last, _ = cli("check", "show", "who", "on", "loki")
		return strings.Contains(last, "OK from loki")
	})
	// The hub's memory, log, and record.
	for what, text := range map[string][]byte{"log": []byte(hubLog.String()), "database": pgDump(t, base)} {
		if bytes.Contains(text, []byte(agentSecret)) {
			t.Errorf("the hub's %s has the agent's password", what)
		}
	}
	if inMemory(t, hub.Process.Pid, agentSecret) {
		t.Error("the hub's memory has the agent's password")
	}
	pid := agentPID(t, agent)
	if !inMemory(t, pid, agentSecret) {
		t.Error("the agent's memory does not have its own password: the search finds nothing")
	}
	if inMemory(t, pid, "thirteen-herons") {
		t.Error("the agent got a secret that no step of it needs")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "agent", "jarvis.db*")); len(left) > 0 {
		t.Errorf("the agent has a database: %v", left)
	}
}

// agentPID is that of the program itself: nsenter becomes it.
func agentPID(_ *testing.T, c *exec.Cmd) int { return c.Process.Pid }

// withPassword gives the simulator's configuration another password; it takes any.
func withPassword(t *testing.T, esx string) string {
	t.Helper()
	from, to := strings.Index(esx, "//"), strings.Index(esx, "@")
	if from < 0 || to < from {
		t.Fatalf("no user in\n%s", esx)
	}
	return esx[:from] + "//user:" + agentSecret + esx[to:]
}

// inMemory looks for a text in all that a process has mapped to write.
func inMemory(t *testing.T, pid int, text string) bool {
	t.Helper()
	maps := must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)))
	mem := must[*os.File](t)(os.Open(fmt.Sprintf("/proc/%d/mem", pid)))
	defer func() { _ = mem.Close() }()
	for _, l := range strings.Split(string(maps), "\n") {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(l, "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		const piece = 4 << 20
		for at := from; at < to; at += piece {
			b := make([]byte, min(piece+int64(len(text)), to-at))
			n, _ := mem.ReadAt(b, at)
			if bytes.Contains(b[:n], []byte(text)) {
				return true
			}
		}
	}
	return false
}

func pgDump(t *testing.T, url string) []byte {
	t.Helper()
	found := must[[]string](t)(filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump"))
	if len(found) == 0 {
		t.Fatal("there is no pg_dump: apt-get install postgresql")
	}
	return must[[]byte](t)(exec.Command(found[0], "--inserts", url).Output())
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freeAddr(t *testing.T) string {
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
