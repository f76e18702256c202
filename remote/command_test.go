package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

// inside runs a command in the host's root, past SSH.
func inside(t *testing.T, h *real.Host, script string) {
	t.Helper()
	if out, err := exec.Command("chroot", h.Root, "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// withUsers adds freya, who may sudo without a password, and odin, who needs his ("raven").
func withUsers(t *testing.T, h *real.Host, login gossh.Signer) {
	t.Helper()
	inside(t, h, `for u in freya odin nobodys; do useradd -m -s /bin/bash -p '*' $u; mkdir -m 700 /home/$u/.ssh; cp /root/.ssh/authorized_keys /home/$u/.ssh/; chown -R $u: /home/$u/.ssh; done
echo odin:raven | chpasswd
echo 'freya ALL=(ALL) NOPASSWD: ALL
odin ALL=(ALL) ALL' > /etc/sudoers.d/lab; chmod 440 /etc/sudoers.d/lab`)
}

func TestCommandsOnOpenSSH(t *testing.T) {
	h, target := openssh(t, "127.82.0.2:22")
	withUsers(t, h, target.Signers[0])
	as := func(user string) remote.Target {
		target := target
		target.User = user
		return target
	}
	run := func(t *testing.T, user string, cmd remote.Command) (remote.Result, error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return connect(t, as(user)).Run(ctx, cmd)
	}
	password := func(word string) func() (string, error) { return func() (string, error) { return word, nil } }

	for _, c := range []struct {
		name, user string
		cmd        remote.Command
		want       string // of stdout
		exit       int
	}{
		{"a line is for the shell there, as with ssh", "freya", remote.Command{Line: `echo $((1+2)) "$0" ~ | tr a-z A-Z; exit 4`}, "3 BASH /HOME/FREYA\n", 4},
		{"arguments are for nobody's shell", "freya", remote.Command{Args: []string{"printf", "%s|", "$HOME", "a'b", "*"}}, "$HOME|a'b|*|", 0},
		{"environment", "freya", remote.Command{Args: []string{"sh", "-c", `echo "$A|$B"`}, Env: map[string]string{"A": "1 $HOME", "B": "'"}}, "1 $HOME|'\n", 0},
		{"a working directory", "freya", remote.Command{Args: []string{"pwd"}, Dir: "/usr/share"}, "/usr/share\n", 0},
		{"a line in a working directory", "freya", remote.Command{Line: "pwd; echo *", Dir: "/usr/lib/tmpfiles.d/.."}, "", -1},
		{"stdin", "freya", remote.Command{Args: []string{"tr", "a-z", "A-Z"}, Stdin: strings.NewReader("abc")}, "ABC", 0},
		{"sudo without a password", "freya", remote.Command{Args: []string{"id", "-un"}, Sudo: &remote.Sudo{}}, "root\n", 0},
		{"sudo as somebody else, with a line", "freya", remote.Command{Line: "id -un; echo $((3*3))", Sudo: &remote.Sudo{User: "odin"}}, "odin\n9\n", 0},
		{"sudo with a password", "odin", remote.Command{Args: []string{"sh", "-c", "id -un; cat"}, Sudo: &remote.Sudo{Password: password("raven")}, Stdin: strings.NewReader("and the input\n")}, "root\nand the input\n", 0},
		{"a password nobody asks for is not input", "freya", remote.Command{Args: []string{"cat"}, Sudo: &remote.Sudo{Password: password("secret")}, Stdin: strings.NewReader("only this\n")}, "only this\n", 0},
		{"sudo, and an exit status", "odin", remote.Command{Args: []string{"sh", "-c", "exit 7"}, Sudo: &remote.Sudo{Password: password("raven")}}, "", 7},
		{"a terminal", "freya", remote.Command{Args: []string{"tty"}, PTY: true}, "", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := run(t, c.user, c.cmd)
			if err != nil {
				t.Fatal(err)
			}
			if c.exit >= 0 && (res.Stdout != c.want || res.Exit != c.exit) {
				t.Errorf("%+v; want %q, exit %d", res, c.want, c.exit)
			}
			if c.name == "a terminal" && !strings.HasPrefix(res.Stdout, "/dev/pts/") {
				t.Errorf("%+v", res)
			}
			if strings.Contains(res.Stdout+res.Stderr, "jarvis-") || strings.Contains(res.Stdout+res.Stderr, "raven") {
				t.Errorf("what is ours shows: %+v", res)
			}
		})
	}

	t.Run("a wrong password for sudo is told", func(t *testing.T) {
		if _, err := run(t, "odin", remote.Command{Args: []string{"true"}, Sudo: &remote.Sudo{Password: password("wrong")}}); !errors.Is(err, remote.ErrSudo) || !strings.Contains(err.Error(), "the password is wrong") {
			t.Errorf("Run = %v", err)
		}
	})
	t.Run("who may not sudo is told", func(t *testing.T) {
		inside(t, h, "echo nobodys:raven | chpasswd")
		if _, err := run(t, "nobodys", remote.Command{Args: []string{"true"}, Sudo: &remote.Sudo{Password: password("raven")}}); !errors.Is(err, remote.ErrSudo) || !strings.Contains(err.Error(), "not in the sudoers file") {
			t.Errorf("Run = %v", err)
		}
	})
	t.Run("login with a password", func(t *testing.T) {
		with := as("odin")
		with.Signers = nil
		asked := 0
		with.Password = func() (string, error) { asked++; return "raven", nil }
		if res, err := connect(t, with).Run(t.Context(), remote.Command{Args: []string{"id", "-un"}}); err != nil || res.Stdout != "odin\n" || asked != 1 {
			t.Errorf("%+v, %v, asked %d times", res, err, asked)
		}
		with.Password = password("wrong")
		if _, err := remote.Dial(t.Context(), with); !errors.Is(err, remote.ErrRefused) {
			t.Errorf("Dial = %v", err)
		}
	})

	for _, user := range []string{"root", "freya", "odin"} {
		t.Run("what is cancelled ends on the host, for "+user, func(t *testing.T) {
			cmd := remote.Command{Args: []string{"sh", "-c", "trap '' HUP; sleep 4444 & setsid sleep 4444 & sleep 4444"}}
			switch user {
			case "freya":
				cmd.Sudo = &remote.Sudo{}
			case "odin":
				cmd.Sudo = &remote.Sudo{Password: password("raven")}
			}
			cl := connect(t, as(user))
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			began := time.Now()
			if _, err := cl.Run(ctx, cmd); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
				t.Errorf("Run = %v after %s", err, time.Since(began))
			}
			if res, err := cl.Run(t.Context(), remote.Command{Args: []string{"pgrep", "-fx", "sleep 4444"}}); err != nil || res.Exit != 1 {
				t.Errorf("processes are left: %+v, %v", res, err)
			}
		})
	}
	t.Run("what does not heed TERM is killed", func(t *testing.T) {
		cl := connect(t, target)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, _ = cl.Run(ctx, remote.Command{Args: []string{"sh", "-c", "trap '' TERM HUP; while :; do sleep 0.3; done"}})
		for range 50 {
			if res, err := cl.Run(t.Context(), remote.Command{Args: []string{"pgrep", "-f", "trap '' TERM HUP; while"}}); err == nil && res.Exit == 1 {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Error("it lives")
	})

	reload := func(change string) {
		t.Helper()
		if res, err := run(t, "root", remote.Command{Args: []string{"sh", "-ec", change + `; kill -HUP "$(pgrep -of 'sshd.*-D')"`}}); err != nil || res.Exit != 0 {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	t.Run("more commands at once than the host has sessions for", func(t *testing.T) {
		reload("echo MaxSessions 3 >> /etc/ssh/sshd_config")
		time.Sleep(300 * time.Millisecond)
		cl := connect(t, target)
		var wg sync.WaitGroup
		for range 12 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if res, err := cl.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", "sleep 0.2; echo here"}}); err != nil || res.Stdout != "here\n" {
					t.Errorf("%+v, %v", res, err)
				}
			}()
		}
		wg.Wait()
	})
	t.Run("a host that hangs up on many at once is asked again", func(t *testing.T) {
		reload("sed -i 's/^MaxStartups.*/MaxStartups 2:90:3/' /etc/ssh/sshd_config")
		time.Sleep(300 * time.Millisecond)
		var wg sync.WaitGroup
		for range 15 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				c, err := remote.Dial(t.Context(), target)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.Close()
			}()
		}
		wg.Wait()
	})
}

// A connection on which nothing arrives any more holds a command no longer than its context, whenever it stops.
// quietAfter gives an address that leads to a host until so many bytes more have come from it, and then to silence.
func quietAfter(t *testing.T, host string, left *atomic.Int64) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", host)
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(b, a); _ = b.Close() }()
			go func() {
				defer func() { _ = a.Close() }()
				buf := make([]byte, 1)
				for left.Add(-1) >= 0 {
					if _, err := b.Read(buf); err != nil {
						return
					}
					if _, err := a.Write(buf); err != nil {
						return
					}
				}
				_, _ = io.Copy(io.Discard, b)
			}()
		}
	}()
	return l.Addr().String()
}

func TestAHalfOpenConnectionHoldsNobody(t *testing.T) {
	h, target := sandbox(t)
	var left atomic.Int64
	target.Addr = quietAfter(t, target.Addr, &left)
	for more := int64(0); more < 400; more += 40 {
		left.Store(1 << 30)
		c, err := remote.Dial(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		left.Store(more)
		givesUp(t, c, more)
		_ = c.Close()
	}
	h.Stop()
}

// TestAJumpHostThatIsSilentHoldsNobody: closing the channel through it does not end what is read from it.
func TestAJumpHostThatIsSilentHoldsNobody(t *testing.T) {
	_, jump := openssh(t, "127.82.0.15:22")
	_, target := openssh(t, "127.82.0.16:22")
	var left atomic.Int64
	jump.Addr = quietAfter(t, jump.Addr, &left)
	target.Jump = &jump
	for _, more := range []int64{0, 200} {
		left.Store(1 << 30)
		c, err := remote.Dial(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		left.Store(more)
		givesUp(t, c, more)
		_ = c.Close()
	}
}

// givesUp runs a command on a host that says only so many bytes more.
func givesUp(t *testing.T, c *remote.Client, more int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := c.Run(ctx, remote.Command{Args: []string{"sleep", "60"}})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 6*time.Second {
		t.Errorf("after %d more bytes: %v, %s", more, err, time.Since(began))
	}
}

// TestALostConnectionHoldsNobody loses it while commands begin.
func TestALostConnectionHoldsNobody(t *testing.T) {
	_, target := sandbox(t)
	for range 30 {
		c, err := remote.Dial(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					if _, err := c.Run(t.Context(), remote.Command{Args: []string{"true"}}); err != nil {
						if !errors.Is(err, remote.ErrLost) {
							t.Errorf("%v", err)
						}
						return
					}
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		_ = c.Close()
		wg.Wait()
	}
}

// TestAPoolSharesConnections goes over a jump host to two more.
func TestAPoolSharesConnections(t *testing.T) {
	jump, jumpTarget := openssh(t, "127.82.0.3:22")
	h, target := openssh(t, "127.82.0.4:22")
	target.Jump = &jumpTarget
	pool := remote.NewPool(remote.PoolConfig{Idle: time.Second, KeepAlive: 300 * time.Millisecond, Answer: time.Second})
	defer pool.Close()
	var wg sync.WaitGroup
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if res, err := pool.Run(t.Context(), target, remote.Command{Args: []string{"sh", "-c", "echo $SSH_CONNECTION | cut -d' ' -f1,2"}}); err != nil || !strings.HasPrefix(res.Stdout, "127.") {
				t.Errorf("%+v, %v", res, err)
			}
		}()
	}
	wg.Wait()
	if n := pool.Open(); n != 2 {
		t.Errorf("%d connections; one to the jump host and one through it is right", n)
	}
	// The host is gone and back: the dead connection is found, and opened again once.
	h.Off()
	if err := h.On(); err != nil {
		t.Fatal(err)
	}
	if res, err := pool.Run(t.Context(), target, remote.Command{Args: []string{"echo", "again"}}); err != nil || res.Stdout != "again\n" {
		t.Errorf("%+v, %v", res, err)
	}
	// Somebody who trusts another key does not get this connection.
	other, _ := newKey(t)
	stranger := target
	stranger.HostKeys = remote.Pinned{other.PublicKey()}
	var wrong *remote.HostKeyError
	if _, err := pool.Run(t.Context(), stranger, remote.Command{Args: []string{"true"}}); !errors.As(err, &wrong) {
		t.Errorf("Run = %v", err)
	}
	for range 100 {
		if pool.Open() == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if n := pool.Open(); n != 0 {
		t.Errorf("%d idle connections are open", n)
	}
	jump.Off()
	began := time.Now()
	if _, err := pool.Run(t.Context(), target, remote.Command{Args: []string{"true"}}); !errors.Is(err, remote.ErrUnreachable) || !strings.Contains(err.Error(), "by 127.82.0.3:22") || time.Since(began) > 11*time.Second {
		t.Errorf("Run = %v after %s", err, time.Since(began))
	}
}

// TestKeysOfAllKinds logs in with what ssh-keygen makes.
func TestKeysOfAllKinds(t *testing.T) {
	h, target := openssh(t, "127.82.0.5:22")
	dir := t.TempDir()
	keygen := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ssh-keygen", append([]string{"-q"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
		}
	}
	ask := func(string) (string, error) { return "open sesame", nil }
	file := func(name string) string { return filepath.Join(dir, name) }
	var all strings.Builder
	for _, c := range []struct{ name, kind, bits, pass, format string }{
		{"rsa", "rsa", "2048", "", "RFC4716"}, {"rsa-pem", "rsa", "2048", "open sesame", "PEM"}, {"ecdsa", "ecdsa", "384", "", "RFC4716"}, {"ed25519", "ed25519", "", "open sesame", "RFC4716"},
	} {
		args := []string{"-t", c.kind, "-N", c.pass, "-f", file(c.name), "-m", c.format}
		if c.bits != "" {
			args = append(args, "-b", c.bits)
		}
		keygen(args...)
		pub, err := os.ReadFile(file(c.name) + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		all.Write(pub)
	}
	keygen("-t", "ed25519", "-N", "", "-f", file("ca"))
	keygen("-t", "ed25519", "-N", "", "-f", file("certified"))
	keygen("-s", file("ca"), "-I", "alice", "-n", "root", file("certified.pub"))
	ca, err := os.ReadFile(file("ca.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Root, "root/.ssh/authorized_keys"), []byte(all.String()+"cert-authority "+string(ca)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rsa", "rsa-pem", "ecdsa", "ed25519", "certified"} {
		k, err := remote.LoadKey(file(name), ask)
		if err != nil {
			t.Fatal(err)
		}
		with := target
		with.Signers = []gossh.Signer{k}
		if c, err := remote.Dial(t.Context(), with); err != nil {
			t.Errorf("%s: %v", name, err)
		} else {
			_ = c.Close()
		}
	}
	if _, err := remote.LoadKey(file("ed25519"), nil); !errors.Is(err, remote.ErrPassphrase) {
		t.Errorf("LoadKey without a passphrase = %v", err)
	}
	if _, err := remote.LoadKey(file("ed25519"), func(string) (string, error) { return "wrong", nil }); !errors.Is(err, remote.ErrPassphrase) {
		t.Errorf("LoadKey with a wrong passphrase = %v", err)
	}
	if _, err := remote.LoadKey(file("rsa.pub"), nil); err == nil || !strings.Contains(err.Error(), "is no private key") {
		t.Errorf("LoadKey of a public key = %v", err)
	}
	// The agent holds a key that is in no file of ours.
	sock := filepath.Join(dir, "agent")
	cmd := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", sock)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 100 {
		if _, err := os.Stat(sock); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	add := exec.Command("ssh-add", file("ecdsa"))
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+sock)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v %s", err, out)
	}
	a := remote.NewAgent(sock)
	defer func() { _ = a.Close() }()
	with := target
	with.Signers, with.Agent = nil, a.Signers
	for range 3 {
		if c, err := remote.Dial(t.Context(), with); err != nil {
			t.Errorf("with the agent: %v", err)
		} else {
			_ = c.Close()
		}
	}
}
