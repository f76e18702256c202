package remote_test

import (
	"context"
	"errors"
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

// loginShells are those of people on real hosts, each with a user of that name.
var loginShells = map[string]string{"tcsh": "/bin/tcsh", "fish": "/usr/bin/fish", "dash": "/bin/dash", "bash": "/bin/bash", "rbash": "/bin/rbash"}

// withShells adds a user for each login shell, and one whose key runs one command only.
func withShells(t *testing.T, h *real.Host) {
	t.Helper()
	script := "for u in"
	for u := range loginShells {
		script += " " + u
	}
	script += `; do
	s=$(command -v $u); useradd -m -s "$s" -p '*' $u; mkdir -m 700 /home/$u/.ssh; cp /root/.ssh/authorized_keys /home/$u/.ssh/; chown -R $u: /home/$u/.ssh
done
useradd -m -s /bin/sh -p '*' forced; mkdir -m 700 /home/forced/.ssh
printf 'command="echo \\"asked for: $SSH_ORIGINAL_COMMAND\\"" %s' "$(cat /root/.ssh/authorized_keys)" >/home/forced/.ssh/authorized_keys; chown -R forced: /home/forced/.ssh`
	inside(t, h, script)
}

// TestLinesAreReadAsSSHSendsThem sends lines to each login shell by us and by ssh(1): the host does the same.
func TestLinesAreReadAsSSHSendsThem(t *testing.T) {
	h, target := openssh(t, "127.82.0.14:22")
	withShells(t, h)
	dir := t.TempDir()
	key, pemText := newKey(t)
	known := "127.82.0.14 " + string(gossh.MarshalAuthorizedKey(target.HostKeys.(remote.Pinned)[0]))
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "key"), []byte(pemText), 0o600), os.WriteFile(filepath.Join(dir, "known"), []byte(known), 0o600)); err != nil {
		t.Fatal(err)
	}
	target.Signers = []gossh.Signer{key}
	inside(t, h, "for f in /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys; do sed -i 's#ssh-ed25519 .*#"+line(key)+"#' $f; done")
	for _, user := range []string{"tcsh", "fish", "dash", "bash", "rbash", "forced"} {
		as := target
		as.User = user
		cl := connect(t, as)
		for _, text := range []string{
			`echo it\'s "two  words" 'and "three"'`, `echo $SHELL $HOME`, `echo *.none; exit 3`, `printf '%s\n' a b | tail -1`, "echo a\necho b", `cd /; pwd`, "echo don!t", `echo "$0"`, `echo 'never closed`,
		} {
			cmd := exec.Command("ssh", "-F", "none", "-i", filepath.Join(dir, "key"), "-o", "UserKnownHostsFile="+filepath.Join(dir, "known"), "-o", "BatchMode=yes", "-o", "SetEnv=LC_JARVIS_RUN=ssh", user+"@127.82.0.14", text)
			var out, errs strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &errs
			_ = cmd.Run()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			res, err := cl.Run(ctx, remote.Command{Line: text})
			cancel()
			if err != nil {
				t.Errorf("%s: %q: %v", user, text, err)
				continue
			}
			if res.Stdout != out.String() || res.Exit != cmd.ProcessState.ExitCode() || (res.Stderr == "") != (errs.String() == "") {
				t.Errorf("%s: %q gives %q, %q, exit %d; by ssh %q, %q, exit %d", user, text, res.Stdout, res.Stderr, res.Exit, out.String(), errs.String(), cmd.ProcessState.ExitCode())
			}
		}
	}
}

// TestArgumentsThroughAnyLoginShell: nothing in them reaches a shell, whichever it is.
func TestArgumentsThroughAnyLoginShell(t *testing.T) {
	h, target := openssh(t, "127.82.0.15:22")
	withShells(t, h)
	args := []string{"printf", "%s|", "", "a'b", `a\b`, `a\\b\`, "don!t !! !x", "two\nlines\n", "$HOME", "*", "`id`", `"`, "tab\there", "ä€", "%b %s", "-n", `\0101`, "'7", "\n123", "!0", "'", "~", "{a,b}", "a;b", "(x)"}
	want := strings.Join(args[2:], "|") + "|"
	for user := range loginShells {
		if user == "rbash" {
			continue // it runs what is in its PATH and no shell of ours
		}
		t.Run(user, func(t *testing.T) {
			as := target
			as.User = user
			cl := connect(t, as)
			for name, cmd := range map[string]remote.Command{
				"arguments":        {Args: args},
				"in a directory":   {Args: args, Dir: "/usr"},
				"with environment": {Args: args, Env: map[string]string{"A": "it's\n\\x"}},
				"apart":            {Args: args, Apart: true},
			} {
				res, err := cl.Run(t.Context(), cmd)
				if err != nil || res.Stdout != want {
					t.Errorf("%s: %q, %q, %v; want %q", name, res.Stdout, res.Stderr, err, want)
				}
			}
			inside(t, h, "echo echo again >/home/"+user+"/.bashrc")
			res, err := cl.Run(t.Context(), remote.Command{Line: `echo "$SHELL"; pwd; echo "$A"`, Dir: "/usr", Env: map[string]string{"A": "it's\nhere"}})
			if user == "bash" && strings.Count(res.Stdout, "again\n") != 1 {
				t.Errorf(".bashrc was not read once: %q", res.Stdout)
			}
			res.Stdout = strings.TrimPrefix(res.Stdout, "again\n")
			if shell := loginShells[user]; err != nil || !strings.HasSuffix(strings.SplitN(res.Stdout, "\n", 2)[0], "/"+filepath.Base(shell)) || !strings.Contains(res.Stdout, "\n/usr\n") || !strings.Contains(res.Stdout, "it's\nhere") && user != "tcsh" {
				t.Errorf("a line with a directory and environment: %q, %q, %v", res.Stdout, res.Stderr, err)
			}
			if res, err := cl.Quick(t.Context(), "echo quick", nil); err != nil || res.Stdout != "quick\n" {
				t.Errorf("quick: %q, %v", res.Stdout, err)
			}
		})
	}
}

// TestAPlainLineIsEnded: Ctrl-C reaches what a plain line began, by whatever the host allows.
func TestAPlainLineIsEnded(t *testing.T) {
	h, target := openssh(t, "127.82.0.16:22")
	withShells(t, h)
	for port, option := range map[string]string{"2201": "AcceptEnv=LC_*", "2202": "AcceptEnv=NONE"} {
		serve(t, connect(t, target), "127.82.0.16:"+port, "/usr/sbin/sshd", "-f", "/dev/null", "-o", "ListenAddress=127.82.0.16:"+port, "-o", "HostKey=/etc/ssh/ssh_host_ed25519_key", "-o", option, "-o", "PidFile=none", "-o", "PermitRootLogin=yes")
		for _, user := range []string{"root", "dash", "tcsh", "fish"} {
			as := target
			as.Addr, as.User = "127.82.0.16:"+port, user
			cl := connect(t, as)
			// What is not of this line goes on: a lock that is held, and a daemon that an earlier line left.
			holding, letGo := context.WithCancel(t.Context())
			held := make(chan error, 1)
			ready := make(chan bool, 1)
			go func() {
				_, err := cl.Run(holding, remote.Command{Args: []string{"sh", "-c", "echo held; exec sleep 4321"}, Hold: true, Stdout: func(string) { ready <- true }})
				held <- err
			}()
			<-ready
			if _, err := cl.Run(t.Context(), remote.Command{Line: "sh -c 'setsid sleep 4322 </dev/null >/dev/null 2>&1 &'"}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			began := make(chan bool, 1)
			ended := make(chan error, 1)
			go func() {
				_, err := cl.Run(ctx, remote.Command{Line: "echo begun; sleep 4323 | sleep 4324", Stdout: func(string) { began <- true }})
				ended <- err
			}()
			<-began
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Run = %v", err)
			}
			alive := func(what string) bool { return exec.Command("pgrep", "-f", what).Run() == nil }
			for end := time.Now().Add(real.Patience(10 * time.Second)); alive("^sleep 432[34]") && time.Now().Before(end); {
				time.Sleep(50 * time.Millisecond)
			}
			if alive("^sleep 432[34]") {
				t.Errorf("%s, %s: it goes on", user, option)
			}
			if !alive("^sleep 4321") || !alive("^sleep 4322") {
				t.Errorf("%s, %s: more was ended than the line", user, option)
			}
			letGo()
			<-held
			_ = exec.Command("pkill", "-f", "^sleep 4322").Run()
		}
	}
}

// TestOneSessionAConnection: where the host allows one, a held one costs a second connection, and not the whole; those
// of a pool, too.
func TestOneSessionAConnection(t *testing.T) {
	_, target := openssh(t, "127.82.0.17:22")
	serve(t, connect(t, target), "127.82.0.17:2222", "/usr/sbin/sshd", "-f", "/dev/null", "-o", "ListenAddress=127.82.0.17:2222", "-o", "HostKey=/etc/ssh/ssh_host_ed25519_key", "-o", "MaxSessions=1", "-o", "PidFile=none")
	jump := target
	target.Addr = "127.82.0.17:2222"
	behind := target
	behind.Jump = &jump
	pool := remote.NewPool(remote.PoolConfig{})
	defer pool.Close()
	pooled := func(target remote.Target) *remote.Client {
		c, release, err := pool.Get(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(release)
		return c
	}
	for name, cl := range map[string]*remote.Client{"alone": connect(t, target), "of a pool": pooled(target), "of a pool, behind a jump host": pooled(behind)} {
		ctx, cancel := context.WithCancel(t.Context())
		held, ready := make(chan error, 1), make(chan bool, 1)
		go func() {
			_, err := cl.Run(ctx, remote.Command{Args: []string{"sh", "-c", "echo held; exec sleep 60"}, Hold: true, Stdout: func(string) { ready <- true }})
			held <- err
		}()
		<-ready
		within, stop := context.WithTimeout(t.Context(), 20*time.Second)
		for range 3 {
			if res, err := cl.Run(within, remote.Command{Line: "echo here"}); err != nil || res.Stdout != "here\n" {
				t.Errorf("%s, beside a held session: %q, %v", name, res.Stdout, err)
			}
		}
		stop()
		cancel()
		<-held
	}
}

// TestSudoOnATerminal: there both streams are one, and so are sudo's prompt and the output.
func TestSudoOnATerminal(t *testing.T) {
	h, target := openssh(t, "127.82.0.18:22")
	withUsers(t, h, target.Signers[0])
	inside(t, h, "echo 'Defaults lecture=always' >/etc/sudoers.d/lecture; chmod 440 /etc/sudoers.d/lecture")
	target.User = "odin"
	for _, word := range []string{"raven", "wrong"} {
		for _, tty := range []bool{true, false} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			res, err := connect(t, target).Run(ctx, remote.Command{Line: "id -un", PTY: tty, Sudo: &remote.Sudo{Password: func() (string, error) { return word, nil }}})
			cancel()
			switch {
			case word == "wrong" && !errors.Is(err, remote.ErrSudo):
				t.Errorf("with a wrong password, tty %v: %v", tty, err)
			case word == "raven" && (err != nil || strings.TrimSpace(res.Stdout) != "root" || res.Stderr != ""):
				t.Errorf("tty %v: %q, %q, %v", tty, res.Stdout, res.Stderr, err)
			}
		}
	}
}

// TestDropbear has the other server that is on real hosts.
func TestDropbear(t *testing.T) {
	h, target := openssh(t, "127.82.0.19:22")
	withShells(t, h)
	inside(t, h, "mkdir -p /etc/dropbear; dropbearkey -t ed25519 -f /etc/dropbear/key >/dev/null 2>&1; dropbearkey -y -f /etc/dropbear/key | grep ^ssh- >/etc/dropbear/key.pub")
	serve(t, connect(t, target), "127.82.0.19:2222", "/usr/sbin/dropbear", "-r", "/etc/dropbear/key", "-p", "127.82.0.19:2222")
	b, err := os.ReadFile(filepath.Join(h.Root, "etc/dropbear/key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err := gossh.ParseAuthorizedKey(b)
	if err != nil {
		t.Fatal(err)
	}
	target.Addr, target.HostKeys = "127.82.0.19:2222", remote.Pinned{key}
	cl := connect(t, target)
	if res, err := cl.Run(t.Context(), remote.Command{Line: "echo $((1+2)); exit 4"}); err != nil || res.Stdout != "3\n" || res.Exit != 4 {
		t.Errorf("a line: %q, exit %d, %v", res.Stdout, res.Exit, err)
	}
	if res, err := cl.Run(t.Context(), remote.Command{Args: []string{"printf", "%s", "a'b\n\\"}, Apart: true}); err != nil || res.Stdout != "a'b\n\\" {
		t.Errorf("arguments: %q, %v", res.Stdout, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan bool, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := cl.Run(ctx, remote.Command{Line: "echo begun; sleep 4325", Stdout: func(string) { began <- true }})
		ended <- err
	}()
	<-began
	cancel()
	<-ended
	for end := time.Now().Add(real.Patience(10 * time.Second)); exec.Command("pgrep", "-f", "^sleep 4325").Run() == nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it goes on")
		}
	}
}
