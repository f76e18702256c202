package remote_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/remote"
)

// A line that cannot be read is skipped for those whom it does not name, and named once; whom it names is no stranger.
func TestABadLineRefusesNobodyElse(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "known_hosts")
	a, _ := newKey(t)
	b, _ := newKey(t)
	text := "web1 " + line(a) + "\nweb2 ssh-ed25519 AAAA!\nweb3\nweb4 1024 35 1234567\n@what web5 " + line(a) + "\nweb5 " + line(a) +
		"\n@revoked web6 ssh-ed25519 AAA\nweb6 " + line(a) + "\nweb7 ssh-ed25519 AAAA\nweb8 ssh-ed25519 !\nweb8 " + line(a) + "\n@revoked\nweb9 " + line(b) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	k := remote.NewKnownHosts(file)
	var noted []string
	k.Note = func(s string) { noted = append(noted, s) }
	accept := &remote.AcceptNew{Known: k, File: file}
	for host, want := range map[string]string{
		"web1": "", "web8": "", // vouched for
		"web2": "line 2 names it, but cannot be read: the key is not base64", "web3": "line 3 names it", "web4": "line 4 names it", "web7": "line 9 names it, but cannot be read: the key is not of the type ssh-ed25519",
		"web5": "there is no marker @what", "web6": "line 7 names it", // what may be there to refuse
		"web9": "must have",
	} {
		for range 2 {
			for _, h := range []remote.HostKeys{k, accept} {
				if err := h.Check(host+":22", a.PublicKey()); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("%s: %v, want %q", host, err, want)
				}
			}
		}
	}
	if err := k.Check("other:22", a.PublicKey()); !errors.Is(err, remote.ErrUnknownHost) {
		t.Errorf("another host: %v", err)
	}
	if len(noted) != 8 || !strings.Contains(noted[0], "known_hosts, line 2 is skipped: the key is not base64") {
		t.Errorf("noted %q", noted)
	}
	if now, err := os.ReadFile(file); string(now) != text {
		t.Errorf("accept-new wrote %q, %v", now, err)
	}
}

// A last line without its end, a host that proves itself by a certificate, and many at once.
func TestAcceptNewWritesWholeLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	a, _ := newKey(t)
	ca, _ := newKey(t)
	if err := os.WriteFile(file, []byte("web1 "+line(a)), 0o600); err != nil {
		t.Fatal(err)
	}
	cert := &gossh.Certificate{Key: a.PublicKey(), CertType: gossh.HostCert, ValidPrincipals: []string{"web2"}, ValidBefore: uint64(time.Now().Add(time.Hour).Unix())}
	if err := cert.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 40 { // each as a process of its own would: none knows what another has written
		wg.Add(1)
		go func() {
			defer wg.Done()
			var key gossh.PublicKey = a.PublicKey()
			if i == 0 {
				key = cert
			}
			k := &remote.AcceptNew{Known: remote.NewKnownHosts(), File: file}
			if err := k.Check(fmt.Sprintf("web%d:22", i+2), key); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	b, err := os.ReadFile(file)
	if err != nil || strings.Count(string(b), "\n") != 41 {
		t.Errorf("the file has %d lines, %v", strings.Count(string(b), "\n"), err)
	}
	again := remote.NewKnownHosts(file)
	for i := range 41 {
		if err := again.Check(fmt.Sprintf("web%d:22", i+1), a.PublicKey()); err != nil {
			t.Errorf("web%d: %v\n%s", i+1, err, b)
		}
	}
	if out, err := exec.Command("ssh-keygen", "-l", "-f", file).Output(); err != nil || strings.Count(string(out), "\n") != 41 {
		t.Errorf("ssh-keygen reads %v\n%s", err, out)
	}
}

// Two processes that meet a host at once: whose key is written down first is the one.
func TestAcceptNewAsksAgainBeforeItWrites(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	a, _ := newKey(t)
	b, _ := newKey(t)
	first, second := &remote.AcceptNew{Known: remote.NewKnownHosts(file), File: file}, &remote.AcceptNew{Known: remote.NewKnownHosts(file), File: file}
	for _, k := range []*remote.AcceptNew{first, second} { // both have read the file
		if err := k.Known.Check("loki:22", a.PublicKey()); !errors.Is(err, remote.ErrUnknownHost) {
			t.Fatal(err)
		}
	}
	if err := first.Check("loki:22", a.PublicKey()); err != nil {
		t.Fatal(err)
	}
	var wrong *remote.HostKeyError
	if err := second.Check("loki:22", b.PublicKey()); !errors.As(err, &wrong) {
		t.Errorf("another key: %v", err)
	}
}

// Who names /dev/null forgets everything; a rename would make a file of it, for everybody on the machine.
func TestRememberReplacesFilesOnly(t *testing.T) {
	a, _ := newKey(t)
	n := remote.KnownNames{Host: "web1.test:22"}
	dir := t.TempDir()
	node, pipe := filepath.Join(dir, "null"), filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := remote.Remember(pipe, n, []gossh.PublicKey{a.PublicKey()}); err == nil || !strings.Contains(err.Error(), "is a named pipe, and no file") {
		t.Errorf("a pipe: %v", err)
	}
	if err := syscall.Mknod(node, syscall.S_IFCHR|0o600, 1<<8|3); err != nil {
		t.Skipf("only root makes a device: %v", err)
	}
	if err := remote.Remember(node, n, []gossh.PublicKey{a.PublicKey()}); err != nil {
		t.Error(err)
	}
	if st, err := os.Lstat(node); err != nil || st.Mode()&os.ModeDevice == 0 {
		t.Errorf("the device is %v, %v", st, err)
	}
}

// What is remembered of one host takes nothing from another.
func TestRemember(t *testing.T) {
	a, _ := newKey(t)
	b, _ := newKey(t)
	old, now, other := "ssh-ed25519 AAAA", line(a), line(b)
	n := remote.KnownNames{Host: "web1.test:22", Short: "web1:22", Addr: "10.0.0.1:22"}
	for _, c := range []struct{ name, before, after, forgotten string }{
		{"nothing", "", "web1.test,10.0.0.1,web1 " + now + "\n", ""},
		{"what was ours goes", "web1.test,10.0.0.9,web1 " + old + "\n", "web1.test,10.0.0.1,web1 " + now + "\n", ""},
		{"with a tab, and in capitals", "Web1.test,10.0.0.9\t" + old + "\n", "web1.test,10.0.0.1,web1 " + now + "\n", ""},
		{"who shares our short name stays", "web1.prod,10.0.0.2,web1 " + other + "\n", "web1.prod,10.0.0.2,web1 " + other + "\nweb1.test,10.0.0.1 " + now + "\n", "web1.prod,10.0.0.2,web1 " + other + "\n"},
		{"who had our address stays without it", "web1.old,10.0.0.1 " + other, "web1.old " + other + "\nweb1.test,10.0.0.1,web1 " + now + "\n", "web1.old " + other + "\n"},
		{"another port is another host", "[web1.test]:2222 " + other + "\n", "[web1.test]:2222 " + other + "\nweb1.test,10.0.0.1,web1 " + now + "\n", "[web1.test]:2222 " + other + "\n"},
		{
			"authorities, revocations, patterns, remarks, blank and bad lines", "# ours\n\n@cert-authority web1.test " + other + "\n@revoked web1.test " + old + "\n*.test,!web2.test " + other + "\nbad\r\n",
			"# ours\n\n@cert-authority web1.test " + other + "\n@revoked web1.test " + old + "\n*.test,!web2.test " + other + "\nbad\r\nweb1.test,10.0.0.1,web1 " + now + "\n",
			"# ours\n\n@cert-authority web1.test " + other + "\n@revoked web1.test " + old + "\n*.test,!web2.test " + other + "\nbad\r\n",
		},
	} {
		dir := t.TempDir()
		file, link := filepath.Join(dir, "kept"), filepath.Join(dir, "known_hosts")
		if err := errors.Join(os.WriteFile(file, []byte(c.before), 0o600), os.Symlink("kept", link)); err != nil {
			t.Fatal(err)
		}
		folder, err := os.Open(dir) // which others lock
		if err == nil {
			err = syscall.Flock(int(folder.Fd()), syscall.LOCK_EX)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = folder.Close() })
		check := func(what, want string) {
			t.Helper()
			st, err := os.Stat(file)
			if err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", c.name, st.Mode(), err)
			}
			if b, err := os.ReadFile(file); err != nil || string(b) != want {
				t.Errorf("%s, %s: %v\n%s\nwant\n%s", c.name, what, err, b, want)
			}
			if to, err := os.Readlink(link); to != "kept" {
				t.Errorf("%s: the link is %q, %v", c.name, to, err)
			}
		}
		if err := remote.Remember(link, n, []gossh.PublicKey{a.PublicKey()}); err != nil {
			t.Fatal(err)
		}
		check("remembered", c.after)
		if err := remote.Remember(link, n, nil); err != nil {
			t.Fatal(err)
		}
		check("forgotten", c.forgotten)
	}
	// Hashed, as ssh-keygen -H leaves them.
	file := filepath.Join(t.TempDir(), "hashed")
	if err := os.WriteFile(file, []byte("web1.test "+other+"\nweb1.prod "+other+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-q", "-H", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if err := remote.Remember(file, n, []gossh.PublicKey{a.PublicKey()}); err != nil {
		t.Fatal(err)
	}
	k := remote.NewKnownHosts(file)
	for host, want := range map[string]bool{"web1.test": false, "web1.prod": true} {
		if err := k.Check(host+":22", b.PublicKey()); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
}
