package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// carrying is hosts, a server of its own process that has connections to them, and the program that asks it.
type carrying struct {
	*row
	bin, conf string
	server    *exec.Cmd
	log       *real.Buffer
}

func newCarrying(t *testing.T, n, net int) *carrying {
	t.Helper()
	c := &carrying{row: newRow(t, n, net), bin: buildJarvis(t), log: &real.Buffer{}}
	dir := t.TempDir()
	c.conf = filepath.Join(dir, "jarvis.yaml")
	text := fmt.Sprintf("data: %s\nlisten: \"\"\nworkers: {ssh: {key: %s}}\n", filepath.Join(dir, "data"), filepath.Join(c.home, ".ssh", "id"))
	if err := os.WriteFile(c.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.serve(t)
	t.Chdir(t.TempDir())
	return c
}

func (c *carrying) serve(t *testing.T) {
	t.Helper()
	ready := strings.Count(c.log.String(), "msg=ready")
	c.server = exec.Command(c.bin, "--config", c.conf, "serve")
	c.server.Stdout, c.server.Stderr = c.log, c.log
	c.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.server.Start(); err != nil {
		t.Fatal(err)
	}
	server := c.server
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	until(t, 30*time.Second, "the server is ready", func() bool { return strings.Count(c.log.String(), "msg=ready") > ready })
}

// jarvis runs the program in a process of its own.
func (c *carrying) jarvis(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := c.command(args...)
	cmd.Stdout, cmd.Stderr = &o, &e
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

func (c *carrying) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.bin, append([]string{"--config", c.conf}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// audit gives what is on record of a command, the newest first.
func (c *carrying) audit(t *testing.T) string {
	t.Helper()
	_, out, errs := c.jarvis(t, "audit", "6")
	return out + errs
}

func local(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", script, err, out)
	}
}

// The same words and streams as without the server, over connections that stay open.
func TestFilesByTheServer(t *testing.T) {
	c := newCarrying(t, 2, 141)
	do := func(want int, say string, args ...string) string {
		t.Helper()
		code, out, errs := c.jarvis(t, args...)
		if code != want || !strings.Contains(out+errs, say) || strings.Contains(errs, "connecting from here") {
			t.Errorf("%q: exit %d\n%s\n%s", args, code, out, errs)
		}
		return out
	}
	local(t, "mkdir -p d/e; echo a > d/a; echo b > d/e/b; ln -s a d/l; ln d/a d/h; truncate -s 3M d/holes; echo x >> d/holes; chmod 750 d/e; mkfifo d/pipe")
	do(0, "7 entries to /srv/up on 2 hosts\n", "upload", "-o", "web[1-2]", "-e", "-r", "/srv/up", "d")
	for i := 1; i <= 2; i++ {
		if got := c.inside(t, i, "cd /srv/up; cat d/a d/h d/e/b; readlink d/l; stat -c '%a %h' d/e d/a; stat -c %s d/holes; [ $(stat -c %b d/holes) -lt 100 ] && echo sparse; ls -A"); got != "a\na\nb\na\n750 2\n644 2\n3145730\nsparse\nd\n" {
			t.Error(got)
		}
	}
	do(0, "all of them had the files already", "upload", "-o", "web[1-2]", "-e", "-r", "/srv/up", "d")
	do(0, "d/pipe is a named pipe, and was skipped", "upload", "-o", "web[1-2]", "-e", "-r", "/srv/up", "d")
	if out := do(0, "", "upload", "--json", "-o", "web[1-2]", "-e", "-r", "/srv/up2", "d/a"); strings.Count(out, `"stream":"exit"`) != 2 || !strings.Contains(out, `"exit":0`) {
		t.Error(out)
	}
	if said := c.audit(t); !strings.Contains(said, "upload web[1-2] (127.141.0.1,127.141.0.2): 7 entries to /srv/up") || !strings.Contains(said, "upload web[1-2] (127.141.0.1,127.141.0.2): 1 entry to /srv/up2") {
		t.Error(said)
	}
	// One connection, however many commands.
	port := func() string {
		do(0, "", "sync", "-m", "-o", "web1", "-e", "-r", "/srv/tool", "-n", "echo $SSH_CONNECTION > port", "d/a")
		return c.read(1, "srv/tool/port")
	}
	if a, b := port(), port(); a != b || !strings.Contains(a, " 22") {
		t.Errorf("another connection each time: %s, then %s", a, b)
	}
	// sync: a tool that speaks the protocol, one that does not, stdin, and without files.
	tool := `read p h; P=${p}; while read a b c; do [ "$b" = START ] && break; done; echo "$P SYNC one"; n=0; while read a b c d; do n=$((n+1)); [ $n = 2 ] && break; done; echo heard $n; cat d/a`
	if out := sorted(do(0, "", "sync", "-o", "web[1-2]", "-e", "-r", "/srv/tool", "-n", tool, "d/a")); !strings.Contains(out, "web1: heard 2") || !strings.Contains(out, "web2: heard 2") {
		t.Error(out)
	}
	local(t, "echo given > in")
	if out := sorted(do(0, "", "sync", "-m", "-i", "in", "-o", "web[1-2]", "-e", "-r", "/srv/tool", "-n", "cat; cat d/a", "d/a")); !strings.Contains(out, "web1: a\nweb1: given\nweb2: a\nweb2: given") {
		t.Error(out)
	}
	do(1, "nothing was done: web1: there is no directory /srv/none; web2: there is no directory /srv/none", "sync", "-m", "--no-upload", "-o", "web[1-2]", "-r", "/srv/none", "-n", "touch /srv/ran")
	do(1, "2 of 2 hosts failed\n  web[1-2]: exit 7", "sync", "-m", "--no-upload", "-o", "web[1-2]", "-r", "/srv/tool", "-n", "exit 7")
	if said := c.audit(t); !strings.Contains(said, "runs bash -c 'exit 7'") || !strings.Contains(said, "failed on 2 of 2 hosts") {
		t.Error(said)
	}
	// fetch: one host, several, patterns, what differs, what is not there.
	do(0, "5 files", "fetch", "-o", "web1", "-r", "got", "/srv/up/d")
	local(t, "cmp d/a got/d/a; cmp d/holes got/d/holes; cmp d/e/b got/d/e/b; [ $(readlink got/d/l) = a ]")
	c.inside(t, 1, "echo other > /srv/up/d/a")
	do(1, "d/a and 1 more are here already, and differ; nothing was changed: --force", "fetch", "-o", "web1", "-r", "got", "/srv/up/d")
	do(0, "", "fetch", "-f", "-o", "web1", "-r", "got", "/srv/up/d")
	local(t, "[ $(cat got/d/a) = other ]; [ -z \"$(ls -A got | grep jarvis)\" ]")
	do(0, "", "fetch", "-r", "both", "web1:/srv/up/d/e/*", "web2:/srv/up2/d/a")
	local(t, "cmp d/e/b both/web1/b; cmp d/a both/web2/a")
	do(1, "/srv/none: no such file", "fetch", "-o", "web[1-2]", "-r", "none", "/srv/none")
	// Only what this process can do is done from here.
	if code, _, errs := c.jarvis(t, "upload", "-v", "--direct", "-o", "web1", "-e", "-r", "/srv/up3", "d/a"); code != 0 || strings.Contains(errs, "by the server") {
		t.Errorf("%d %s", code, errs)
	}
}

// A lock that somebody holds is held for those who come by the server, too, and the other way round.
func TestFilesByTheServerHeedLocks(t *testing.T) {
	c := newCarrying(t, 1, 142)
	local(t, "echo a > a")
	held := c.command("lock", "--direct", "-o", "web1", "-r", "/srv/up")
	said := &real.Buffer{}
	held.Stdout, held.Stderr = said, said
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, 20*time.Second, "the lock", func() bool { return strings.Contains(said.String(), "locked") })
	if code, out, errs := c.jarvis(t, "upload", "-o", "web1", "-e", "-r", "/srv/up", "a"); code != 1 || !strings.HasPrefix(errs, "jarvis: nothing was done: web1: ") || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "locked") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, _, errs := c.jarvis(t, "upload", "-t", "-o", "web1", "-e", "-r", "/srv/up", "a"); code != 0 || !strings.Contains(errs, "going on without the lock") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := c.jarvis(t, "fetch", "-o", "web1", "/srv/up/a"); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
	_ = held.Process.Signal(syscall.SIGTERM)
	_ = held.Wait()
}

// What dies in the middle leaves everything as it was: the client, the server, and either when it only goes.
func TestFilesByTheServerWhenOneEndDies(t *testing.T) {
	c := newCarrying(t, 1, 143)
	local(t, "mkdir d; echo new > d/a; head -c 400000000 /dev/zero > d/big")
	c.inside(t, 1, "mkdir -p /srv/up/d /srv/from; echo before > /srv/up/d/a; head -c 400000000 /dev/zero > /srv/from/big; echo x > /srv/from/a")
	asBefore := func(t *testing.T) {
		t.Helper()
		until(t, 30*time.Second, "the host is as it was", func() bool {
			return c.inside(t, 1, "cd /srv/up; cat d/a; ls -A . d") == "before\n.:\nd\n\nd:\na\n"
		})
		until(t, 30*time.Second, "nothing of it runs there", func() bool { return running(c.hosts[0].Root) == "" })
		until(t, 30*time.Second, "the lock is free", func() bool {
			code, _, _ := c.jarvis(t, "exec", "--direct", "-o", "web1", "true")
			return code == 0
		})
	}
	for _, what := range []struct {
		name string
		end  func(client *exec.Cmd)
		code int
		says string
	}{
		{"kill -9 of the client", func(cl *exec.Cmd) { _ = cl.Process.Kill() }, -1, ""},
		{"Ctrl-C", func(cl *exec.Cmd) { _ = cl.Process.Signal(os.Interrupt) }, 130, "jarvis: interrupted; what ran was ended"},
		{"kill -9 of the server", func(*exec.Cmd) { _ = c.server.Process.Kill(); _ = c.server.Wait() }, 1, "the server went away in the middle"},
	} {
		all := t
		for _, way := range []string{"upload", "fetch"} {
			t.Run(what.name+", "+way, func(t *testing.T) {
				args := []string{"upload", "-o", "web1", "-e", "-r", "/srv/up", "--compress", "none", "d"}
				if way == "fetch" {
					args = []string{"fetch", "-o", "web1", "-r", "got", "/srv/from"}
				}
				if err := os.RemoveAll("got"); err != nil { // what the last one left, killed
					t.Fatal(err)
				}
				cl := c.command(args...)
				said := &real.Buffer{}
				cl.Stdout, cl.Stderr = said, said
				if err := cl.Start(); err != nil {
					t.Fatal(err)
				}
				until(t, 30*time.Second, "it is in the middle", func() bool {
					if way == "fetch" {
						big, _ := filepath.Glob("got/.jarvis-*/tree/from/big")
						return len(big) > 0
					}
					big, _ := filepath.Glob(c.hosts[0].Root + "/srv/up/.jarvis-*/in/tree/d/big")
					return len(big) > 0
				})
				what.end(cl)
				_ = cl.Wait()
				if code := cl.ProcessState.ExitCode(); code != what.code || !strings.Contains(said.String(), what.says) || strings.Count(said.String(), "jarvis: ") > 1 {
					t.Errorf("exit %d: %s\n%s", code, said, c.log)
				}
				asBefore(t)
				if _, err := os.Stat("got/from"); err == nil {
					t.Error("half of it is here")
				}
				if c.server.ProcessState != nil {
					c.serve(all)
				}
			})
		}
	}
	// And then it works.
	if code, out, errs := c.jarvis(t, "upload", "-o", "web1", "-e", "-r", "/srv/up", "d"); code != 0 || c.read(1, "srv/up/d/a") != "new\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, out, errs := c.jarvis(t, "fetch", "-o", "web1", "-r", "got", "/srv/from"); code != 0 {
		t.Errorf("%d %s%s", code, out, errs)
	}
	local(t, "cmp d/big got/from/big; [ \"$(ls -A got)\" = from ]")
}

// running lists processes of our scripts in a host.
func running(root string) string {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var out []string
	for _, d := range dirs {
		if at, err := os.Readlink(d + "/root"); err != nil || at != root {
			continue
		}
		b, _ := os.ReadFile(d + "/cmdline")
		if line := string(bytes.ReplaceAll(b, []byte{0}, []byte(" "))); strings.Contains(line, "tar ") || strings.Contains(line, "jarvis ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// A full disk, there or here, is one sentence, and nothing is half there.
func TestFilesByTheServerWhenADiskIsFull(t *testing.T) {
	c := newCarrying(t, 1, 144)
	small := filepath.Join(c.hosts[0].Root, "srv", "small")
	here := t.TempDir()
	local(t, "mkdir -p '"+small+"'; head -c 20000000 /dev/urandom > big; echo new > a; mkdir -p '"+c.hosts[0].Root+"/srv/from'; cp big a '"+c.hosts[0].Root+"/srv/from'")
	if code, _, errs := c.jarvis(t, "exec", "-y", "-o", "web1", "mount -t tmpfs -o size=4m none /srv/small && echo before > /srv/small/a"); code != 0 {
		t.Fatal(errs)
	}
	if code, out, errs := c.jarvis(t, "upload", "-o", "web1", "-e", "-r", "/srv/small", "a", "big"); code != 1 || !strings.Contains(errs, "no space is left in /srv/small; nothing was changed") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if _, out, _ := c.jarvis(t, "exec", "-q", "-o", "web1", "cat /srv/small/a; ls -A /srv/small"); out != "before\na\n" {
		t.Error(out)
	}
	if err := syscall.Mount("none", here, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(here, 0) })
	if code, out, errs := c.jarvis(t, "fetch", "-o", "web1", "-r", here, "/srv/from"); code != 1 || !strings.Contains(errs, "no space left on device") || strings.Count(errs, "\n") != 1 {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if left, _ := os.ReadDir(here); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// The fault: one log that grows stopped the whole upload.
func TestAFileThatChangesLeavesTheOthers(t *testing.T) {
	c := newCarrying(t, 2, 145)
	local(t, "mkdir d; echo a > d/a; head -c 60000000 /dev/zero > d/log; echo z > d/z")
	grow := exec.Command("sh", "-c", "while :; do echo more >> d/log; done")
	grow.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := grow.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = grow.Process.Kill(); _ = grow.Wait() }()
	for _, more := range [][]string{{"--direct"}, nil} {
		c.inside(t, 1, "rm -rf /srv/up")
		code, out, errs := c.jarvis(t, append([]string{"upload", "-o", "web[1-2]", "-e", "-r", "/srv/up", "d"}, more...)...)
		if code != 24 || errs != "jarvis: d/log changed while it was read, so it was not sent, and what was there before stays; all else is there\n" || !strings.Contains(out, "3 entries to /srv/up on 2 hosts") {
			t.Errorf("%d %s%s", code, out, errs)
		}
		if got := c.inside(t, 1, "cd /srv/up; cat d/*; ls -A d"); got != "a\nz\na\nz\n" {
			t.Error(got)
		}
	}
	code, out, errs := c.jarvis(t, "sync", "-m", "-o", "web[1-2]", "-e", "-r", "/srv/up", "-n", "touch /srv/ran", "d")
	if code != 24 || !strings.Contains(errs, "and the tool ran nowhere") || c.inside(t, 1, "ls /srv") != "up\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

// Who may not run commands carries no files, an address that somebody names is no host, and no step goes beyond what is
// on record.
func TestFilesOverTheAPI(t *testing.T) {
	s, _ := newPlainSite(t, "")
	body := `{"command": "upload", "hosts": [{"name": "there", "addr": "127.0.0.1:22", "user": "root"}], "root": "/srv"}`
	if code, _, said := s.call(t, "POST", "/v1/files", s.newToken(t, "victor"), body); code != 403 || !strings.Contains(said, "need the role") {
		t.Errorf("without the role: %d %s", code, said)
	}
	if code, _, said := s.call(t, "POST", "/v1/files", s.token, body); code != 404 || !strings.Contains(said, "there is no host there on record") {
		t.Errorf("an address: %d %s", code, said)
	}
	for _, bad := range []string{"rubbish", `{"command": "upload", "hosts": [{"name": "web1\n2026-11-28 alice: forged"}], "root": "/srv"}`, `{"command": "exec", "hosts": [{"name": "there"}]}`, `{"command": "upload"}`,
		`{"command": "fetch", "hosts": [{"name": "there"}], "paths": ["/etc/motd"], "of": {"there": ["/etc/shadow"]}}`} {
		if code, _, said := s.call(t, "POST", "/v1/files", s.token, bad); code != 400 {
			t.Errorf("%s: %d %s", bad, code, said)
		}
	}
}

// known gives the words of known_hosts: of the first host its address, and the key.
func (c *carrying) known(t *testing.T) []string {
	t.Helper()
	return strings.Fields(string(must[[]byte](t)(os.ReadFile(filepath.Join(c.home, ".ssh", "known_hosts")))))
}

// byHand has the first host take steps that a client of our own would not ask for.
func (c *carrying) byHand(t *testing.T, command string, dry bool, tool string, steps ...string) string {
	t.Helper()
	known := c.known(t)
	conn := must[net.Conn](t)(net.Dial("unix", filepath.Join(filepath.Dir(c.conf), "data", "run", "jarvis.sock")))
	defer func() { _ = conn.Close() }()
	body := fmt.Sprintf(`{"command": %q, "dry_run": %t, "hosts": [{"name": "web1", "addr": "%s:22", "user": "root", "keys": ["%s %s"]}], "root": "/srv", "tool": %q, "paths": ["/etc/motd"]}`+"\n%s\n",
		command, dry, known[0], known[1], known[2], tool, strings.Join(steps, "\n"))
	_, _ = fmt.Fprintf(conn, "POST /v1/files HTTP/1.0\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	b, _ := io.ReadAll(conn)
	return string(b)
}

// The fault: a step that went well took back that one before it had failed, and the record said ok.
func TestWhatFailedOnceIsOnRecord(t *testing.T) {
	c := newCarrying(t, 1, 153)
	said := c.byHand(t, "sync", false, "test -e once || { : > once; exit 3; }", `{"run": {}}`, `{"run": {}}`, `{"has": true}`, `{"bye": true}`)
	if !strings.Contains(said, `"exit":3`) || strings.Count(said, `"done":true`) != 3 || !strings.Contains(said, `"end":true`) {
		t.Error(said)
	}
	if on := c.audit(t); !strings.Contains(on, "failed on 1 of 1 hosts") {
		t.Error(on)
	}
}

// What is on record is what was done: an upload runs no tool, and a fetch writes nothing there, whoever asks by hand.
func TestNoStepGoesBeyondWhatIsOnRecord(t *testing.T) {
	c := newCarrying(t, 1, 146)
	known := c.known(t)
	ask := func(command, step string) string {
		t.Helper()
		command, dry := strings.CutSuffix(command, ", dry")
		return c.byHand(t, command, dry, "touch /srv/ran", step)
	}
	// What a caller calls an address is no proof of what is there, and no second line of the record.
	if said := ask("upload", `{"bye": true}`); !strings.Contains(said, `"end":true`) {
		t.Error(said)
	}
	if said := c.audit(t); !strings.Contains(said, "upload web1 ("+known[0]+")") {
		t.Error(said)
	}
	for command, steps := range map[string][]string{
		"upload": {`{"run": {}}`, `{"has": true}`, `{"pack": {"hosts": [true]}}`, `{"unpack": {"how": "tar", "hosts": [true, true]}}`, `{"unpack": {"how": "sh", "hosts": [true]}}`,
			`{"unpack": {"how": "tar", "within": "../etc", "hosts": [true]}}`, `{"unpack": {"how": "tar", "within": "/etc", "hosts": [true]}}`},
		"fetch": {`{"run": {}}`, `{"ask": {}}`, `{"unpack": {"how": "tar", "hosts": [true]}}`, `{"pack": {"hosts": []}}`}, "sync": {`{"pack": {"hosts": [true]}}`},
		"upload, dry": {`{"unpack": {"how": "tar", "hosts": [true]}}`},
	} {
		for _, step := range steps {
			if said := ask(command, step); !strings.Contains(said, "takes no such step as") {
				t.Errorf("%s: %s: %s", command, step, said)
			}
		}
	}
	if got := c.inside(t, 1, "ls -A /srv"); got != "" {
		t.Error(got)
	}
}

// A server that has no way to a host that is not on record, or that is older than files, is no obstacle: the files go
// from here.
func TestFilesGoFromHereWhenTheServerHasNoWay(t *testing.T) {
	c := newCarrying(t, 1, 149)
	_ = c.server.Process.Kill()
	_ = c.server.Wait()
	local(t, "echo a > a; sed -i 's/^workers.*//' '"+c.conf+"'")
	c.serve(t)
	code, out, errs := c.jarvis(t, "upload", "-o", "web1", "-e", "-r", "/srv/up", "a")
	if code != 0 || !strings.HasPrefix(errs, "jarvis: the server has no way there (nothing was done: web1: ") || !strings.HasSuffix(errs, "; connecting from here\n") || strings.Count(errs, "\n") != 1 || c.read(1, "srv/up/a") != "a\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
	_ = c.server.Process.Kill()
	_ = c.server.Wait()
	socket := filepath.Join(filepath.Dir(c.conf), "data", "run", "jarvis.sock")
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	older := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/exec/hosts" {
			w.Header().Set("Connection", "close") // as ours does when it leaves a body unread
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, `[{"name": "web1", "hosts": []}]`)
	})}
	l := must[net.Listener](t)(net.Listen("unix", socket))
	go func() { _ = older.Serve(l) }()
	t.Cleanup(func() { _ = older.Close() })
	code, out, errs = c.jarvis(t, "upload", "-o", "web1", "-e", "-r", "/srv/up2", "a")
	if code != 0 || errs != "jarvis: the server is older than this program, and carries no files; connecting from here\n" || c.read(1, "srv/up2/a") != "a\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
