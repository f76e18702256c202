package remote_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/jarvisops/jarvis/remote"
)

// TestJumpsAreThoseOfSSH: of `ProxyJump a,b`, where b has a jump of its own in the configuration, a was left out
// without a word. The way that counts is the one that ssh says it takes; nothing listens there, so it ends at its
// first hop.
func TestJumpsAreThoseOfSSH(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	const config = `Host list
 ProxyJump a,b
Host three
 ProxyJump b,me@a,c
Host one
 ProxyJump b
Host through
 ProxyJump a,command
Host first
 ProxyJump b,a
Host lone
 ProxyJump none
Host a
 Port 1
Host b
 Port 2
 ProxyJump c
Host c
 Port 3
Host command
 Port 4
 ProxyCommand false
Host *
 HostName 127.93.0.1
`
	ports := map[string]string{"a": "1", "b": "2", "c": "3", "command": "4"}
	file := filepath.Join(home, ".ssh", "config")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(config), 0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := remote.NewResolver()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	// The line that ssh runs for a jump ends with the name of that host.
	runs := regexp.MustCompile(`Executing proxy command: exec ssh .*-W \S+ (\S+)`)
	for _, host := range []string{"list", "three", "one", "through", "first", "lone", "b"} {
		out, _ := exec.Command("ssh", "-v", "-F", file, "-o", "BatchMode=yes", host, "true").CombinedOutput()
		var want []string
		for _, m := range runs.FindAllStringSubmatch(string(out), -1) {
			want = append(want, ports[m[1]])
		}
		if host != "lone" && len(want) == 0 {
			t.Fatalf("ssh says nothing of the way to %s:\n%s", host, out)
		}
		target, err := r.Target(host)
		if err != nil {
			t.Fatal(err)
		}
		if got := hops(target); !slices.Equal(got, want) {
			t.Errorf("the way to %s is by the ports %q, and by %q for ssh", host, got, want)
		}
	}
}

// hops gives the ports of the hosts on the way, the nearest to the target first.
func hops(t remote.Target) []string {
	var out []string
	for j := t.Jump; j != nil; j = j.Jump {
		_, port, _ := net.SplitHostPort(j.Addr)
		if j.Through != nil {
			port += " through " + j.Way
		}
		out = append(out, port)
	}
	return out
}
