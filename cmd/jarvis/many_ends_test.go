package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestWhatComesFromHostsIsWhole: -q added newlines, took carriage returns away and cut lines; a host that was lost had
// no object in JSON.
func TestWhatComesFromHostsIsWhole(t *testing.T) {
	r := newRow(t, 2, 118)
	dir := t.TempDir()
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "data: %s\nlisten: \"\"\nworkers: {ssh: {key: %s}}\n", filepath.Join(dir, "data"), filepath.Join(r.home, ".ssh", "id")), 0o600); err != nil {
		t.Fatal(err)
	}
	serveInProcess(t, conf)
	odd := `printf 'a\r\n\r\nb\377\000\033[1m\n'; head -c 200000 /dev/zero | tr '\0' x; printf 'y\nz'`
	want := "a\r\n\r\nb\xff\x00\x1b[1m\n" + strings.Repeat("x", 200000) + "y\nz"
	for _, how := range [][]string{{"exec", "--direct"}, {"exec", "--direct", "-yw"}, {"--config", conf, "exec"}, {"sync", "--direct", "--no-upload", "-mn", odd}} {
		args := append(how, "-q", "-o", "web1")
		if how[0] != "sync" {
			args = append(args, odd)
		}
		if code, out, errs := jarvis(t, "", args...); code != 0 || errs != "" || out != want {
			t.Errorf("%q: exit %d: %d bytes, not %d: %.60q … %.20q\n%s", how, code, len(out), len(want), out, out[max(len(out)-20, 0):], errs)
		}
		if how[0] == "sync" {
			continue
		}
		if code, out, errs := jarvis(t, "", append(how, "-q", "-o", "web1", "printf 'one\r\ntwo' >&2; exit 3")...); code != 1 || out != "" || errs != "one\r\ntwojarvis: web1: exit 3\n" {
			t.Errorf("%q: exit %d: %s%q", how, code, out, errs)
		}
		// Of several hosts, lines do not mix; and equal output is put together as always.
		if code, out, _ := jarvis(t, "", append(how, "-q", "-o", "web[1-2]", "for i in 1 2 3; do printf 'with '; printf 'out\r\n'; done")...); code != 0 || out != strings.Repeat("with out\r\n", 6) {
			t.Errorf("%q: exit %d: %q", how, code, out)
		}
		if code, out, _ := jarvis(t, "", append(how, "-q", "--group", "-o", "web[1-2]", "printf same")...); code != 0 || out != "same\n" {
			t.Errorf("%q: exit %d: %q", how, code, out)
		}
	}

	for _, how := range [][]string{{"exec", "--direct"}, {"exec", "--direct", "-y"}, {"exec", "--direct", "-l"}, {"--config", conf, "exec"}} {
		code, out, errs := jarvis(t, "", append(how, "--json", "-w", "-z", "2s", "-o", "web[1-2]", "-o", "root@127.118.0.99", `[ "$(hostname)" = web1 ] && exit 7; sleep 60`)...)
		ends := map[string]string{}
		for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
			var o struct {
				Stream, Node, Error string
				Exit                *int
			}
			if err := json.Unmarshal([]byte(l), &o); err != nil || o.Stream != "exit" || ends[o.Node] != "" {
				t.Errorf("%q: %v: %s", how, err, l)
			}
			if ends[o.Node] = o.Error; o.Exit != nil {
				ends[o.Node] += fmt.Sprintf("exit %d", *o.Exit)
			}
		}
		if code != 1 || len(ends) != 3 || ends["web1"] != "exit 7" || ends["web2"] != "it took longer than 2s, and was ended" || ends["root@127.118.0.99"] != "unreachable: connection refused" {
			t.Errorf("%q: exit %d: %q\n%s", how, code, ends, errs)
		}
	}
}

// TestOneMachineByTwoLogins: two names of one machine would each wait for the lock that the other has.
func TestOneMachineByTwoLogins(t *testing.T) {
	r := newRow(t, 1, 119)
	r.inside(t, 1, "useradd -m -s /bin/sh -p '*' ann; mkdir -m 700 /home/ann/.ssh; cp /root/.ssh/authorized_keys /home/ann/.ssh/; chown -R ann: /home/ann")
	for _, c := range []struct {
		args []string
		code int
		said string
	}{
		{[]string{"exec", "-o", "ann@web1", "-o", "web1", "whoami"}, 1, "under another name, and one lock keeps out the other; name it once"},
		{[]string{"exec", "-o", "ann@web1", "-o", "ann@127.119.0.1:22", "whoami"}, 0, "are both ann@127.119.0.1:22; it is done once"},
		{[]string{"exec", "-y", "-o", "ann@web1", "-o", "web1", "whoami"}, 0, ""},
	} {
		began := time.Now()
		if code, out, errs := jarvis(t, "", c.args...); code != c.code || !strings.Contains(errs, c.said) || c.code != 0 && out != "" || time.Since(began) > real.Patience(8*time.Second) {
			t.Errorf("%q: exit %d after %s: %s%s", c.args, code, time.Since(began), out, errs)
		}
	}
}

// stepping is a tool that tells two steps and waits for all after each. web2 dies before the first or the second, or
// never.
const stepping = `#!/bin/bash
read -r prefix hello; nodes=0
while read -r p what rest; do case "$what" in NODE) nodes=$((nodes+1));; START) break;; esac; done
trap 'echo cleaned up; exit 9' TERM
for phase in 1 2; do
  [ "$(hostname)" = web2 ] && [ "$1" = $phase ] && { [ "$2" = kill ] && kill -9 $$; exit "$2"; }
  [ "$(hostname)" = web3 ] && sleep 1
  echo "did $phase"
  echo "$prefix SYNC $phase"
  for ((seen = 0; seen < nodes; seen++)); do while ! read -r -t 0.2 line; do :; done; done # so that a trap is heeded
done
`

// TestAToolThatDiesIsNotWaitedFor: the others waited for its step for ever.
func TestAToolThatDiesIsNotWaitedFor(t *testing.T) {
	r := newRow(t, 3, 120)
	for i := range r.hosts {
		if err := os.WriteFile(filepath.Join(r.hosts[i].Root, "usr/local/bin/steps"), []byte(stepping), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args  string
		code  int
		out   string // sorted
		how   string // of web2
		freed bool   // the others are ended
	}{
		{"0 0", 0, "web1: did 1\nweb1: did 2\nweb2: did 1\nweb2: did 2\nweb3: did 1\nweb3: did 2", "", false},
		{"1 3", 1, "web1: cleaned up\nweb1: did 1\nweb3: cleaned up\nweb3: did 1", "exit 3", true},
		{"2 3", 1, "web1: cleaned up\nweb1: did 1\nweb1: did 2\nweb2: did 1\nweb3: cleaned up\nweb3: did 1\nweb3: did 2", "exit 3", true},
		{"1 kill", 1, "web1: cleaned up\nweb1: did 1\nweb3: cleaned up\nweb3: did 1", "killed by KILL", true},
	} {
		code, out, errs := jarvis(t, "", "sync", "-o", "web[1-3]", "--no-upload", "-n", "steps "+c.args)
		named := strings.Contains(errs, "the tool on web2 has ended: ") && strings.Contains(errs, "web2: "+c.how)
		waited := strings.Contains(errs, "web[1,3]: it was ended, because it waited for the tool on web2, which had died")
		if code != c.code || sorted(out) != c.out || c.freed != waited || c.freed != named {
			t.Errorf("%s: exit %d\n%s\n%s", c.args, code, sorted(out), errs)
		}
	}
	// A command that speaks no protocol is let be.
	code, out, errs := jarvis(t, "", "sync", "-o", "web[1-3]", "--no-upload", "-n", `[ "$(hostname)" = web2 ] && exit 4; sleep 1; echo done`)
	if code != 1 || sorted(out) != "web1: done\nweb3: done" || !strings.Contains(errs, "1 of 3 hosts failed\n  web2: exit 4") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	// Where the host is lost, its tool has died.
	go func() {
		until(t, 20*time.Second, "web1 begins", func() bool { return r.read(1, "root/begun") == "" })
		r.hosts[1].Off()
	}()
	code, out, errs = jarvis(t, "", "sync", "-y", "-a", "1s", "-o", "web[1-3]", "--no-upload", "-n", `: > /root/begun; [ "$(hostname)" = web2 ] && sleep 60; steps 0 0`)
	if code != 1 || !strings.Contains(errs, "the tool on web2 has ended: the connection was lost") || !strings.Contains(errs, "web[1,3]: it was ended, because it waited for the tool on web2, which had died") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// TestTheLockOutlivesTheCommand: when the terminal goes away, nobody has the lock while the command still runs.
func TestTheLockOutlivesTheCommand(t *testing.T) {
	bin := buildJarvis(t)
	r := newRow(t, 1, 122)
	// A busy host needs longer to end what does not heed TERM: we did not wait for it.
	r.inside(t, 1, `printf '#!/bin/sh\nsleep 0.3; exec /usr/bin/grep "$@"\n' > /usr/local/bin/grep; chmod 755 /usr/local/bin/grep`)
	for _, how := range []string{"exec", "exec -x", "exec -r /srv"} {
		_ = os.Remove(filepath.Join(r.hosts[0].Root, "root/begun"))
		what := "/"
		if strings.HasSuffix(how, "/srv") {
			what = "/srv"
		}
		cmd := exec.Command("sh", "-c", "exec "+bin+" "+how+` -o web1 "trap '' TERM; : > /root/begun; sleep 7788; sleep 7788"`)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, 20*time.Second, "it begins", func() bool { return r.read(1, "root/begun") == "" })
		next := exec.Command("nsenter", "-t", r.pid(t, 1), "-m", "-p", "sh", "-c", "flock -x "+what+" pgrep -fx 'sleep 7788' || echo nobody")
		var said real.Buffer
		next.Stdout, next.Stderr = &said, &said
		if err := next.Start(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Process.Signal(syscall.SIGHUP)
		_ = cmd.Wait()
		if _ = next.Wait(); said.String() != "nobody\n" || cmd.ProcessState.ExitCode() != exitInterrupted {
			t.Errorf("%s: exit %d: who had the lock next saw %q", how, cmd.ProcessState.ExitCode(), said.String())
		}
	}
}
