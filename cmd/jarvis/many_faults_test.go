package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// startFarm starts many hosts in one process; its files are in dir.
func startFarm(t testing.TB, n int, dir string, first ...string) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "farm")
	if out, err := exec.Command("go", "build", "-o", bin, "../../internal/bench/farm").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f := exec.Command(bin, append([]string{fmt.Sprint(n), dir}, first...)...)
	f.Stderr = os.Stderr
	in, err := f.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = f.Wait() })
	if l, err := bufio.NewReader(out).ReadString('\n'); err != nil || l != "ready\n" {
		t.Fatalf("the farm says %q, %v", l, err)
	}
}

// TestAThousandHostsOfWhichSomeNeverAnswer: no hang past the timeout, and every host accounted for.
func TestAThousandHostsOfWhichSomeNeverAnswer(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	dir := filepath.Join(home, ".ssh")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	startFarm(t, 900, dir)
	file := filepath.Join(dir, "hosts")
	f := must[*os.File](t)(os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0))
	known := must[*os.File](t)(os.OpenFile(filepath.Join(dir, "known_hosts"), os.O_APPEND|os.O_WRONLY, 0))
	key := strings.SplitN(string(must[[]byte](t)(os.ReadFile(filepath.Join(dir, "known_hosts")))), " ", 2)[1]
	key, _, _ = strings.Cut(key, "\n")
	for i := range 100 { // they take the connection, and never say a word
		l := must[net.Listener](t)(net.Listen("tcp", fmt.Sprintf("127.31.0.%d:2222", i+1)))
		t.Cleanup(func() { _ = l.Close() })
		_, _ = fmt.Fprintf(f, "root@%s\n", l.Addr())
		_, _ = fmt.Fprintf(known, "[127.31.0.%d]:2222 %s\n", i+1, key)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := known.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	code, _, errs := jarvis(t, "", "exec", "--direct", "-y", "-w", "-c", "10s", "-d", "100", "-k", filepath.Join(dir, "id"), "-o", file, "true")
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	if code != 1 || !strings.Contains(errs, "100 of 1000 hosts failed\n") || strings.Count(errs, "127.31.0.") != 100 || !strings.Contains(errs, "unreachable: no answer in time") {
		t.Errorf("exit %d: %.2000s", code, errs)
	}
	// All or none: the first that is not there ends it.
	if code, _, errs := jarvis(t, "", "exec", "--direct", "-y", "-c", "10s", "-d", "100", "-k", filepath.Join(dir, "id"), "-o", file, "true"); code != 1 || !strings.Contains(errs, "nothing was done: root@127.31.0.") {
		t.Errorf("exit %d: %.2000s", code, errs)
	}
}

// freezer passes bytes on until it is frozen: then it keeps the connections and drops what comes, as a router does that
// forgot them.
type freezer struct {
	l      net.Listener
	mu     sync.Mutex
	frozen bool
	slow   time.Duration // before the first byte
}

func newFreezer(t *testing.T, listen, to string) *freezer {
	t.Helper()
	f := &freezer{l: must[net.Listener](t)(net.Listen("tcp", listen))}
	t.Cleanup(func() { _ = f.l.Close() })
	go func() {
		for {
			a, err := f.l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				_ = a.Close()
				continue
			}
			f.mu.Lock()
			slow := f.slow
			f.mu.Unlock()
			time.Sleep(slow)
			go f.pass(a, b)
			go f.pass(b, a)
		}
	}()
	return f
}

func (f *freezer) pass(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		f.mu.Lock()
		frozen := f.frozen
		f.mu.Unlock()
		if frozen {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (f *freezer) delay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow = d
}

func (f *freezer) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = true
}

func TestManyHostsInTrouble(t *testing.T) {
	r := newRow(t, 2, 86)
	// web2 is behind something that can forget its connections.
	through := newFreezer(t, "127.86.0.9:22", "127.86.0.2:22")
	conf := filepath.Join(r.home, ".ssh", "config")
	text := strings.ReplaceAll(string(must[[]byte](t)(os.ReadFile(conf))), "HostName 127.86.0.2", "HostName 127.86.0.9\n  HostKeyAlias 127.86.0.2")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	t.Run("a slow banner is waited for", func(t *testing.T) {
		through.delay(2 * time.Second)
		defer through.delay(0)
		if code, out, errs := jarvis(t, "", "exec", "-o", "web[1-2]", "hostname"); code != 0 || sorted(out) != "web1: web1\nweb2: web2" {
			t.Errorf("exit %d: %s%s", code, out, errs)
		}
	})
	t.Run("a read-only place is told, and nothing is left", func(t *testing.T) {
		r.inside(t, 1, "mkdir -p /srv/ro")
		if out, err := exec.Command("nsenter", "-t", r.pid(t, 1), "-m", "sh", "-ec", "mount -t tmpfs tmpfs /srv/ro; mount -o remount,ro /srv/ro").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		t.Chdir(r.home)
		if err := os.WriteFile("f", []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		code, _, errs := jarvis(t, "", "upload", "-y", "-e", "-o", "web[1-2]", "-r", "/srv/ro", "f")
		if code != 1 || !strings.Contains(errs, "1 of 2 hosts failed") || !strings.Contains(errs, "Read-only file system") || r.read(2, "srv/ro/f") != "x" {
			t.Errorf("exit %d: %s", code, errs)
		}
	})
	t.Run("sshd restarts in the middle of a command", func(t *testing.T) {
		code, out, errs := jarvis(t, "", "exec", "-y", "-o", "web1", `kill -HUP "$(pgrep -of 'sshd.*-D')"; sleep 1; echo went on`)
		if code != 0 || out != "web1: went on\n" {
			t.Errorf("exit %d: %s%s", code, out, errs)
		}
	})
	t.Run("a connection that is only half open is noticed", func(t *testing.T) {
		go func() {
			time.Sleep(1500 * time.Millisecond)
			through.freeze()
		}()
		began := time.Now()
		code, out, errs := jarvis(t, "", "exec", "-y", "-a", "1s", "-c", "2s", "-o", "web[1-2]", "sleep 4; hostname")
		if code != 1 || out != "web1: web1\n" || !strings.Contains(errs, "web2: the connection was lost") || time.Since(began) > 15*time.Second {
			t.Errorf("exit %d after %s: %s%s", code, time.Since(began), out, errs)
		}
	})
	t.Run("and only that host may still be locked", func(t *testing.T) {
		third := newFreezer(t, "127.86.0.7:22", "127.86.0.2:22")
		if err := os.WriteFile(conf, []byte(strings.ReplaceAll(text, "127.86.0.9", "127.86.0.7")), 0o600); err != nil {
			t.Fatal(err)
		}
		go func() {
			for range 600 {
				time.Sleep(20 * time.Millisecond)
				if r.read(1, "root/locked") == "yes\n" {
					third.freeze()
					return
				}
			}
		}()
		code, _, errs := jarvis(t, "", "exec", "-a", "1s", "-c", "2s", "-o", "web[1-2]", "echo yes > /root/locked; sleep 60")
		if code != 2 || strings.Count(errs, "it may still be locked") != 1 || !strings.Contains(errs, "web2: it may still be locked") {
			t.Errorf("exit %d: %s", code, errs)
		}
	})
	t.Run("and in the middle of a transfer", func(t *testing.T) {
		again := newFreezer(t, "127.86.0.8:22", "127.86.0.2:22")
		if err := os.WriteFile(conf, []byte(strings.ReplaceAll(text, "127.86.0.9", "127.86.0.8")), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Chdir(r.home)
		r.inside(t, 2, "mkdir -p /srv/big; echo before > /srv/big/big")
		if out, err := exec.Command("sh", "-c", "head -c 300000000 /dev/zero > big").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		defer func() { _ = os.Remove("big") }()
		go func() {
			for range 200 {
				time.Sleep(20 * time.Millisecond)
				if m, _ := filepath.Glob(filepath.Join(r.hosts[1].Root, "srv/big/.jarvis-*/in/tree/big")); len(m) > 0 {
					again.freeze()
					return
				}
			}
		}()
		began := time.Now()
		code, _, errs := jarvis(t, "", "upload", "-y", "-e", "-a", "1s", "-c", "3s", "-j", "5s", "-o", "web[1-2]", "-r", "/srv/big", "big")
		if code != 1 || !strings.Contains(errs, "1 of 2 hosts failed") || !strings.Contains(errs, "web2: ") || time.Since(began) > 40*time.Second {
			t.Errorf("exit %d after %s: %s", code, time.Since(began), errs)
		}
		if got := r.read(2, "srv/big/big"); got != "before\n" {
			t.Errorf("what was there is %.20q", got)
		}
		if st, err := os.Stat(filepath.Join(r.hosts[0].Root, "srv/big/big")); err != nil || st.Size() != 300000000 {
			t.Errorf("web1: %v", err)
		}
	})
}
