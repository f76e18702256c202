package checks

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

// TestPings asks this machine, and an address at which nobody is (RFC 5737).
func TestPings(t *testing.T) {
	for addr, want := range map[string]string{"127.0.0.1": "it answers pings in ", "::1": "it answers pings in ", "localhost": "it answers pings in "} {
		out := pings(t.Context(), addr)
		if out.unreachable || out.text != "" || !strings.HasPrefix(out.stdout, want) {
			t.Errorf("%s: %+v", addr, out)
		}
		j := judge(&model.Plan{Key: model.Key{Task: model.HostAnswers, Host: "x"}}, out)
		if list, garbled := model.ParsePerf(j.perf); j.status != model.OK || len(list) != 2 || garbled != "" {
			t.Errorf("%s: %+v", addr, j)
		}
	}
	if out := pings(t.Context(), "nobody.invalid"); !out.unreachable || out.text == "" {
		t.Errorf("%+v", out)
	}
}

// inside runs the test again in a network of its own, as root of that, or as nobody. It reports whether this is that
// run.
func inside(t *testing.T, asRoot bool) bool {
	t.Helper()
	const mark = "JARVIS_TEST_INSIDE"
	if os.Getenv(mark) != "" {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET}
	if asRoot {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	if b, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(b), "--- PASS") {
		t.Errorf("%v: %s", err, b)
	}
	return false
}

// Nobody is at an address: no way leads there, or nothing comes back.
func TestNobodyAnswersPings(t *testing.T) {
	if !inside(t, true) {
		return
	}
	if out := pings(t.Context(), "192.0.2.1"); !out.unreachable || !strings.Contains(out.text, "network is unreachable") {
		t.Errorf("%+v", out)
	}
	for _, line := range []string{"link add gone type veth peer name far", "addr add 192.0.2.2/24 dev gone", "link set gone up", "link set far up", "neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev gone"} {
		if b, err := exec.CommandContext(t.Context(), "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s (scripts/setup installs iproute2)", line, err, b)
		}
	}
	if out := pings(t.Context(), "192.0.2.1"); !out.unreachable || out.text != "192.0.2.1 answers none of 3 pings" {
		t.Errorf("%+v", out)
	}
}

// Where the kernel lets this program send no pings, nothing is known of the host, and it is said what to do.
func TestNoPingIsAllowed(t *testing.T) {
	if !inside(t, false) { // a new network lets nobody ping, and nobody has no rights
		return
	}
	out := pings(t.Context(), "127.0.0.1")
	if j := judge(&model.Plan{Key: model.Key{Task: model.HostAnswers, Host: "x"}}, out); out.unreachable || j.status != model.Unknown || j.line != noPing {
		t.Errorf("%+v %+v", out, j)
	}
}

func TestConnects(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if out := connects(t.Context(), remote.Target{}, addr); out.unreachable || out.stdout != "it takes connections at "+addr {
		t.Errorf("%+v", out)
	}
	_ = l.Close()
	if out := connects(t.Context(), remote.Target{}, addr); !out.unreachable || !strings.Contains(out.text, "connection refused") {
		t.Errorf("%+v", out)
	}
}

// TestAHostThatOnlyTakesConnections is the whole of it, with a real port: a host without SSH, up, down and up again.
func TestAHostThatOnlyTakesConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	g := newGround(t, "hosts: [{name: sw1, address: 127.0.0.1, alive: 'tcp:"+addr[strings.LastIndexByte(addr, ':')+1:]+"'}]\n")
	g.cfg.Host = model.HostCheck{Attempts: 2, Retry: time.Second, Every: time.Second}
	g.cfg.Gather = 100 * time.Millisecond
	g.real = true
	g.start()
	defer g.stop()
	until := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(real.Patience(30 * time.Second)); !f(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not %s: %q", what, g.lines())
			}
		}
	}
	up := func() bool {
		v, err := g.Show(t.Context(), model.Key{Task: model.HostAnswers, Host: "sw1"})
		return err == nil && v.Line == "it takes connections at "+addr
	}
	until("up", up)
	_ = l.Close()
	until("down", func() bool { return len(g.lines()) == 1 && g.Stats(t.Context()).Down == 1 })
	if l, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	until("up again", func() bool { return up() && len(g.lines()) == 2 })
	got := g.lines()
	if !strings.HasPrefix(got[0], "sw1 cannot be reached: "+addr+": connection refused") || !strings.HasPrefix(got[1], "sw1 answers again after ") {
		t.Errorf("%q", got)
	}
}
