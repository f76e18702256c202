package remote_test

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/remote"
)

// TestKnownHosts has the cases of sshd(8); ssh-keygen hashes the names.
func TestKnownHosts(t *testing.T) {
	dir := t.TempDir()
	a, _ := newKey(t)
	b, _ := newKey(t)
	ca, _ := newKey(t)
	bad, _ := newKey(t)
	key := func(s gossh.Signer) string {
		return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(s.PublicKey())))
	}
	hashed := filepath.Join(dir, "hashed")
	plain := filepath.Join(dir, "plain")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(hashed, "secret.example.org "+key(a)+"\n[secret.example.org]:2222 "+key(b)+"\n")
	if out, err := exec.Command("ssh-keygen", "-q", "-H", "-f", hashed).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v %s", err, out)
	}
	write(plain, "# hosts\n\nLoki.example.org,192.0.2.1 "+key(a)+" comment\n*.dmz.example.org,!evil.dmz.example.org "+key(b)+"\n@revoked * "+key(bad)+"\nbad.example.org "+key(bad)+"\n@cert-authority *.ca.example.org "+key(ca)+"\n")
	k := remote.NewKnownHosts(hashed, filepath.Join(dir, "none"), plain)
	if err := k.Err(); err != nil {
		t.Fatal(err)
	}
	cert := func(principal string, kind uint32, until time.Time) gossh.PublicKey {
		c := &gossh.Certificate{Key: a.PublicKey(), CertType: kind, ValidPrincipals: []string{principal}, ValidBefore: uint64(until.Unix())}
		if err := c.SignCert(rand.Reader, ca); err != nil {
			t.Fatal(err)
		}
		return c
	}
	year := time.Now().Add(time.Hour)
	for _, c := range []struct {
		addr string
		key  gossh.PublicKey
		want string // "": good; "unknown"; else a part of the error
	}{
		{"loki.example.org:22", a.PublicKey(), ""},
		{"LOKI.example.org:22", a.PublicKey(), ""},
		{"loki.example.org:22", b.PublicKey(), "plain, line 3"},
		{"loki.example.org:2022", a.PublicKey(), ""}, // as ssh does: the name alone vouches
		{"loki.example.org:2022", b.PublicKey(), "unknown"},
		{"192.0.2.1:22", a.PublicKey(), ""},
		{"secret.example.org:22", a.PublicKey(), ""},
		{"secret.example.org:22", b.PublicKey(), "must have"},
		{"secret.example.org:2222", b.PublicKey(), ""},
		{"secret.example.org:2222", a.PublicKey(), "must have"},
		{"x.dmz.example.org:22", b.PublicKey(), ""},
		{"evil.dmz.example.org:22", b.PublicKey(), "unknown"},
		{"bad.example.org:22", bad.PublicKey(), "revoked"},
		{"other.example.org:22", bad.PublicKey(), "revoked"},
		{"nobody.example.org:22", a.PublicKey(), "unknown"},
		{"h.ca.example.org:22", cert("h.ca.example.org", gossh.HostCert, year), ""},
		{"h.ca.example.org:22", cert("other.ca.example.org", gossh.HostCert, year), "not for h.ca.example.org"},
		{"h.ca.example.org:22", cert("h.ca.example.org", gossh.UserCert, year), "not for hosts"},
		{"h.ca.example.org:22", cert("h.ca.example.org", gossh.HostCert, time.Now().Add(-time.Hour)), "does not hold"},
		{"h.elsewhere.org:22", cert("h.elsewhere.org", gossh.HostCert, year), "unknown"},
		{"loki.example.org:22", cert("loki.example.org", gossh.HostCert, year), ""}, // its key is known
	} {
		err := k.Check(c.addr, c.key)
		switch {
		case c.want == "" && err == nil, c.want == "unknown" && errors.Is(err, remote.ErrUnknownHost):
		case c.want == "" || c.want == "unknown" || err == nil || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s %s: %v; want %q", c.addr, c.key.Type(), err, c.want)
		}
	}
	if got := k.Algorithms("loki.example.org:22"); !slices.Equal(got, []string{gossh.KeyAlgoED25519}) {
		t.Errorf("algorithms: %q", got)
	}
	if got := k.Algorithms("h.ca.example.org:22"); !slices.Contains(got, gossh.CertAlgoRSASHA512v01) || slices.Contains(got, gossh.KeyAlgoED25519) {
		t.Errorf("algorithms of a certified host: %q", got)
	}
	if got := k.Algorithms("nobody.example.org:22"); got != nil {
		t.Errorf("algorithms of a stranger: %q", got)
	}
}

// A new key is written down once, and then it is the one.
func TestAcceptNewTrustsTheFirstContactOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	a, _ := newKey(t)
	b, _ := newKey(t)
	var wrong *remote.HostKeyError
	known := &remote.AcceptNew{Known: remote.NewKnownHosts(file), File: file}
	for range 2 {
		if err := known.Check("loki:2222", a.PublicKey()); err != nil {
			t.Fatal(err)
		}
	}
	if err := known.Check("loki:2222", b.PublicKey()); !errors.As(err, &wrong) {
		t.Errorf("another key in the same process: %v", err)
	}
	again := remote.NewKnownHosts(file)
	if err := again.Check("loki:2222", a.PublicKey()); err != nil {
		t.Error(err)
	}
	if err := again.Check("loki:2222", b.PublicKey()); !errors.As(err, &wrong) {
		t.Errorf("another key later: %v", err)
	}
	out, err := os.ReadFile(file)
	if err != nil || strings.Count(string(out), "\n") != 1 {
		t.Errorf("the file has %q, %v", out, err)
	}
}

func FuzzKnownHosts(f *testing.F) {
	f.Add("a,b ssh-ed25519 AAAA\n@cert-authority * x AAAA\n|1|AAAA|AAAA x AAAA\n", "[a]:22")
	f.Add("!*,? x AA==", "\x00")
	f.Fuzz(func(t *testing.T, text, addr string) {
		file := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k := remote.NewKnownHosts(file)
		k.Algorithms(addr)
		s, _ := newKey(t)
		if k.Check(addr, s.PublicKey()) == nil {
			t.Errorf("%q vouches for a key that was just made", text)
		}
	})
}
