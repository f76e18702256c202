package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

// desk is a person's home: keys, agents, a configuration, and hosts to log in to.
type desk struct {
	t       *testing.T
	dir     string // ~/.ssh
	host    *real.Host
	root    *remote.Client // on it
	addr    string
	hostKey string
}

func newDesk(t *testing.T, addr string) *desk {
	t.Helper()
	h, target := openssh(t, addr)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	d := &desk{t: t, dir: filepath.Join(home, ".ssh"), host: h, root: connect(t, target), addr: addr}
	name, _, _ := strings.Cut(addr, ":")
	d.hostKey = strings.TrimSpace(string(gossh.MarshalAuthorizedKey(target.HostKeys.(remote.Pinned)[0])))
	d.write("known_hosts", name+" "+d.hostKey+"\nnowhere.invalid "+d.hostKey+"\n")
	return d
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	name = filepath.Join(d.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) file(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) sh(env []string, name string, args ...string) {
	d.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
}

// key makes a key in ~/.ssh. The host lets it in when it should.
func (d *desk) key(name, passphrase string, letIn bool) {
	d.t.Helper()
	for _, f := range []string{"", ".pub", "-cert.pub"} {
		_ = os.Remove(d.file(name + f))
	}
	d.sh(nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", d.file(name))
	if letIn {
		d.authorize(name + ".pub")
	}
}

// authorize has the host let one key in, and no other.
func (d *desk) authorize(name string, options ...string) {
	d.t.Helper()
	b, err := os.ReadFile(d.file(name))
	if err != nil {
		d.t.Fatal(err)
	}
	text := strings.Join(append(options, string(b)), " ")
	if err := os.WriteFile(filepath.Join(d.host.Root, "root/.ssh/authorized_keys"), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// agent runs an ssh-agent that holds keys, and gives its socket.
func (d *desk) agent(keys ...string) string {
	d.t.Helper()
	sock := filepath.Join(d.t.TempDir(), "agent.sock")
	cmd := exec.CommandContext(d.t.Context(), "ssh-agent", "-D", "-a", sock)
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for range 500 {
		if c, err := net.Dial("unix", sock); err == nil {
			_ = c.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, k := range keys {
		d.sh([]string{"SSH_AUTH_SOCK=" + sock}, "ssh-add", "-q", d.file(k))
	}
	return sock
}

// login logs in to a host as the configuration says, and gives what `echo here` says there.
func (d *desk) login(config, word string, set func(*remote.Resolver)) error {
	d.t.Helper()
	d.write("config", strings.NewReplacer("DIR", d.dir, "ADDR", strings.TrimSuffix(d.addr, ":22")).Replace(config))
	r, err := remote.NewResolver()
	if err != nil {
		return err
	}
	defer r.Close()
	if set != nil {
		set(r)
	}
	target, err := r.Target(word)
	if err != nil {
		return err
	}
	if target.Timeout == 0 { // a key with a passphrase takes seconds to open under the race detector
		target.Timeout = real.Patience(20 * time.Second)
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), real.Patience(30*time.Second))
	defer cancel()
	c, err := remote.Dial(ctx, target)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	res, err := c.Run(ctx, remote.Command{Line: "echo here"})
	if err == nil && res.Stdout != "here\n" {
		err = fmt.Errorf("it said %q, and %q", res.Stdout, res.Stderr)
	}
	return err
}

// TestLoginsOfAllShapes logs in to a real OpenSSH with what people have in ~/.ssh.
func TestLoginsOfAllShapes(t *testing.T) {
	d := newDesk(t, "127.82.0.9:22")
	const host = "Host web\n HostName ADDR\n User root\n"
	var eight []string
	for i := range 8 {
		eight = append(eight, fmt.Sprintf("other%d", i))
		d.key(eight[i], "", false)
	}
	ok := func(name, config string, set func(*remote.Resolver)) {
		t.Run(name, func(t *testing.T) {
			if err := d.login(host+config, "web", set); err != nil {
				t.Error(err)
			}
		})
	}
	refused := func(name, config, want string) {
		t.Run(name, func(t *testing.T) {
			err := d.login(host+config, "web", nil)
			if !errors.Is(err, remote.ErrRefused) || !strings.Contains(err.Error(), want) {
				t.Errorf("login = %v; want %q", err, want)
			}
		})
	}

	d.key("right", "", true)
	ok("a key that is named", " IdentityFile DIR/right\n", nil)
	ok("by a variable", " IdentityFile ${HOME}/.ssh/right\n", nil)
	ok("by tokens", " IdentityFile %d/.ssh/right\nMatch user root\n Port 22\n", nil)
	d.sh(nil, "mv", d.file("right"), d.file("right-web-root"))
	ok("by the name of the host", " IdentityFile DIR/right-%n-%r\n", nil)
	d.sh(nil, "mv", d.file("right-web-root"), d.file("right"))
	d.write("rubbish", "this is no key\n")
	ok("a file that is no key is passed over", " IdentityFile DIR/rubbish\n IdentityFile DIR/missing\n IdentityFile DIR/right\n", nil)
	refused("and is named when the login fails", " IdentityFile DIR/rubbish\n", "rubbish is no key")

	t.Setenv("SSH_AUTH_SOCK", d.agent(append(eight, "right")...))
	ok("the ninth key of an agent, by its public half", " IdentityFile DIR/right.pub\n", nil)
	ok("the agent's keys are filtered, and not dropped", " IdentityFile DIR/right.pub\n IdentitiesOnly yes\n", nil)
	refused("none of them is offered beside those that are named", " IdentityFile DIR/other0.pub\n IdentitiesOnly yes\n", "does not take")
	d.sh(nil, "mv", d.file("right"), d.file("away"))
	ok("a file of which only the public half is here", " IdentityFile DIR/right\n", nil)
	refused("an agent that is not to be asked", " IdentityAgent none\n IdentityFile DIR/right\n", "none here")
	d.sh(nil, "mv", d.file("away"), d.file("right"))

	t.Setenv("SSH_AUTH_SOCK", d.agent(eight...))
	ok("a key of a file before eight of an agent", " IdentityFile DIR/right\n", nil)
	t.Setenv("THEIRS", d.agent("right"))
	ok("an agent of its own, by a variable", " IdentityAgent $THEIRS\n", nil)
	ok("an agent of its own, by a path", " IdentityAgent "+os.Getenv("THEIRS")+"\n", nil)
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(d.dir, "nobody.sock"))
	ok("an agent that is gone, and a key that is here", " IdentityFile DIR/right\n", nil)
	t.Setenv("SSH_AUTH_SOCK", "")

	d.key("locked", "open it", true)
	refused("a passphrase that nobody can be asked for", " IdentityFile DIR/locked\n", "locked has a passphrase")
	asked := 0
	ok("a passphrase is asked for", " IdentityFile DIR/other0\n IdentityFile DIR/locked\n", func(r *remote.Resolver) {
		r.Passphrase = func(string) (string, error) { asked++; return "open it", nil }
	})
	d.key("right", "", true)
	ok("and not when another key is taken", " IdentityFile DIR/right\n IdentityFile DIR/locked\n", func(r *remote.Resolver) {
		r.Passphrase = func(string) (string, error) { asked++; return "", nil }
	})
	if asked != 1 {
		t.Errorf("the passphrase was asked for %d times, want 1", asked)
	}
	d.sh(nil, "cp", d.file("right"), d.file("id_ed25519"))
	ok("a usual key", "", nil)
	refused("not the usual ones", " IdentityFile none\n", "none here")
	d.sh(nil, "rm", d.file("id_ed25519"))

	// A certificate lets in whom its authority signed, and the plain key does not.
	d.key("ca", "", false)
	d.key("signed", "", false)
	d.sh(nil, "ssh-keygen", "-q", "-s", d.file("ca"), "-I", "alice", "-n", "root", d.file("signed.pub"))
	d.authorize("ca.pub", "cert-authority")
	ok("a certificate beside its key", " IdentityFile DIR/signed\n", nil)
	d.sh(nil, "mv", d.file("signed-cert.pub"), d.file("elsewhere.pub"))
	ok("a certificate that is named", " IdentityFile DIR/signed\n CertificateFile DIR/elsewhere.pub\n", nil)
	only := d.agent(eight...)
	d.sh([]string{"SSH_AUTH_SOCK=" + only}, "ssh-add", "-q", d.file("signed"))
	t.Setenv("SSH_AUTH_SOCK", only)
	d.sh(nil, "rm", d.file("signed"))
	ok("whose key an agent holds", " IdentityFile DIR/signed.pub\n CertificateFile DIR/elsewhere.pub\n", nil)
}

// TestWaysThere reaches a real OpenSSH by what the configuration says about the way.
func TestWaysThere(t *testing.T) {
	d := newDesk(t, "127.82.0.10:22")
	d.key("right", "", true)
	const rest = " User root\n IdentityFile DIR/right\n"
	for _, c := range []struct{ name, config, word, fails string }{
		{"a ProxyCommand", "Host web\n HostName nowhere.invalid\n ProxyCommand bash -c 'exec 3<>/dev/tcp/ADDR/%p; cat <&3 & exec cat >&3'\n" + rest, "web", ""},
		{"OpenSSH as the ProxyCommand", "Host web\n HostName nowhere.invalid\n ProxyCommand ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i DIR/right -W ADDR:22 root@ADDR\n" + rest, "web", ""},
		{"a ProxyCommand that fails says why", "Host web\n HostName nowhere.invalid\n ProxyCommand echo \"no route to %h\" >&2; exit 3\n" + rest, "web", "no route to nowhere.invalid"},
		{"a host behind one that has a ProxyCommand", "Host gate\n HostName nowhere.invalid\n ProxyCommand bash -c 'exec 3<>/dev/tcp/ADDR/22; cat <&3 & exec cat >&3'\nHost web\n HostName ADDR\n ProxyJump gate\nHost *\n" + rest, "web", ""},
		{"Match exec", "Match originalhost web exec \"test %n = web\"\n HostName ADDR\nHost *\n" + rest, "web", ""},
		{"a user that would be a command", "Host web\n HostName nowhere.invalid\n ProxyCommand true %r\n" + rest, "`touch x`@web", "may not stand in a ProxyCommand"},
		{"an address family that the host has not", "Host web\n HostName ADDR\n AddressFamily inet6\n" + rest, "web", "unreachable"},
		{"a variable that is not set", "Host web\n HostName ADDR\n IdentityFile ${NOT_SET_HERE}/key\n", "web", "${NOT_SET_HERE} is not set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := d.login(c.config, c.word, nil)
			switch {
			case c.fails == "" && err != nil:
				t.Error(err)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("login = %v; want %q", err, c.fails)
			}
		})
	}
	t.Run("ConnectTimeout", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.82.0.11:0") // it never says a word
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		d.write("known_hosts", "[127.82.0.11]:"+port+" "+d.hostKey+"\n")
		began := time.Now()
		err = d.login("Host mute\n HostName 127.82.0.11\n Port "+port+"\n ConnectTimeout 1\n"+rest, "mute", nil)
		if took := time.Since(began); !errors.Is(err, remote.ErrUnreachable) || took > 8*time.Second {
			t.Errorf("login = %v after %s", err, took)
		}
	})
}

// TestAConfigurationOfOthersIsRefused: it may name programs to run.
func TestAConfigurationOfOthersIsRefused(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	file := filepath.Join(home, ".ssh", "config")
	more := filepath.Join(home, ".ssh", "more")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("Include more\n"), 0o600), os.WriteFile(more, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, more} {
		if _, err := remote.DefaultSSHConfig(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, 0o620); err != nil {
			t.Fatal(err)
		}
		if _, err := remote.DefaultSSHConfig(); err == nil || !strings.Contains(err.Error(), name+" must be yours") {
			t.Errorf("DefaultSSHConfig = %v", err)
		}
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAlgorithmsOfOldServers meets an OpenSSH that is set up as the old ones were.
func TestAlgorithmsOfOldServers(t *testing.T) {
	d := newDesk(t, "127.82.0.12:22")
	d.key("right", "", true)
	d.sh(nil, "ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", filepath.Join(d.host.Root, "etc/ssh/old_key"))
	serve(t, d.root, "127.82.0.12:2222", "/usr/sbin/sshd", "-f", "/dev/null", "-o", "ListenAddress=127.82.0.12:2222", "-o", "HostKey=/etc/ssh/old_key",
		"-o", "HostKeyAlgorithms=ssh-rsa", "-o", "KexAlgorithms=diffie-hellman-group1-sha1", "-o", "Ciphers=aes128-cbc", "-o", "PidFile=none")
	pub, err := os.ReadFile(filepath.Join(d.host.Root, "etc/ssh/old_key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	d.write("known_hosts", "[127.82.0.12]:2222 "+string(pub))
	const host = "Host old\n HostName ADDR\n Port 2222\n User root\n IdentityFile DIR/right\n"
	for _, c := range []struct{ name, config, fails string }{
		{"as it is", "", "no key exchange in common; it offers diffie-hellman-group1-sha1"},
		{"the exchange", " KexAlgorithms +diffie-hellman-group1-sha1\n", "proves itself by ssh-rsa alone"},
		{"the exchange and the key", " KexAlgorithms +diffie-hellman-group1-sha1\n HostKeyAlgorithms +ssh-rsa\n", "cipher in common"},
		{"all", " KexAlgorithms +diffie-hellman-group1-sha1\n HostKeyAlgorithms +ssh-rsa\n Ciphers ^aes128-cbc\n", ""},
		{"what nobody has", " Ciphers made-up\n", "none of Ciphers made-up is supported here"},
	} {
		err := d.login(host+c.config, "old", nil)
		switch {
		case c.fails == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: login = %v; want %q", c.name, err, c.fails)
		}
	}
}

// serve starts another server on a host, which makes itself a daemon, and waits until it listens. It ends with the
// host.
func serve(t *testing.T, root *remote.Client, addr string, args ...string) {
	t.Helper()
	res, err := root.Run(t.Context(), remote.Command{Args: append([]string{"sh", "-c", `mkdir -p /run/sshd && exec "$@"`, "serve"}, args...)})
	if err != nil || res.Exit != 0 {
		t.Fatalf("%s: exit %d, %s, %v", args[0], res.Exit, res.Stderr, err)
	}
	for end := time.Now().Add(real.Patience(10 * time.Second)); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
