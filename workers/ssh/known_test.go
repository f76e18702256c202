package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

// The worker reads known_hosts as everybody does, on a real OpenSSH: a revoked key opens nothing, a bad line about
// another host closes nothing, and remembering one host takes nothing from the next.
func TestKnownHostsOfTheWorker(t *testing.T) {
	dir := t.TempDir()
	w, err := New(Config{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	signer := startHost(t, w, "127.106.0.1")
	key := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(signer.PublicKey())))
	file := filepath.Join(dir, "known_hosts")
	dial := func(text string) error {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cl, err := w.dialKnown(t.Context(), "127.106.0.1")
		if err == nil {
			_ = cl.Close()
		}
		return err
	}
	if err := dial("another ssh-ed25519 bad!\n127.106.0.1 " + key + "\n"); err != nil {
		t.Errorf("after a bad line: %v", err)
	}
	var wrong *remote.HostKeyError
	if err := dial("127.106.0.1 " + key + "\n@revoked * " + key + "\n"); !errors.As(err, &wrong) && (err == nil || !strings.Contains(err.Error(), "revoked")) {
		t.Errorf("a revoked key: %v", err)
	}
	if err := dial("other " + key + "\n"); err == nil || !strings.Contains(err.Error(), "the key of 127.106.0.1 is not known") {
		t.Errorf("a stranger: %v", err)
	}
	prod := "web1.prod,10.0.0.2,web1 " + key + "\n"
	if err := os.WriteFile(file, []byte(prod), 0o600); err != nil {
		t.Fatal(err)
	}
	in := clipboard.Instance{Hostname: "web1", FQDN: "web1.test"}
	if err := w.remember(t.Context(), in, "10.0.0.1:22", []gossh.PublicKey{signer.PublicKey()}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != prod+"web1.test,10.0.0.1 "+key+"\n" {
		t.Errorf("%s%v", b, err)
	}
}

// startHost starts a host that lets the worker in, and gives its host key.
func startHost(t *testing.T, w *Worker, addr string) gossh.Signer {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(signer.PublicKey())))
	h, err := real.StartHost(t.Context(), addr+":22", "#cloud-config\nhostname: web1\nfqdn: web1.test\nssh_keys:\n  ed25519_private: "+strconv.Quote(string(pem.EncodeToMemory(block)))+"\n  ed25519_public: "+key+
		"\nssh_authorized_keys: ["+strconv.Quote(w.PublicKey())+"]\nchpasswd:\n  users: [{name: root, password: \"*\", type: hash}]\n")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	return signer
}
