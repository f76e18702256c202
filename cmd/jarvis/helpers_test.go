package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strconv"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/lab/real"
)

// sandboxData is user-data with a host key that nobody knows.
func sandboxData(t *testing.T) string {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := gossh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	pub := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(s.PublicKey())))
	return "#cloud-config\nhostname: other\nssh_keys:\n  ed25519_private: " + strconv.Quote(string(pem.EncodeToMemory(block))) + "\n  ed25519_public: " + pub + "\n"
}

// until polls, within a limit (real.Patience of it).
func until(t *testing.T, limit time.Duration, what string, f func() bool) time.Duration {
	t.Helper()
	began, limit := time.Now(), real.Patience(limit)
	for !f() {
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %s", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}
