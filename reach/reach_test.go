package reach

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/remote"
)

// TestTheServerReadsABadLine: a server has no terminal to complain on, and its log is told once.
func TestTheServerReadsABadLine(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh", "known_hosts"), []byte("web1 ssh-ed25519 this-is-no-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	f := New(Config{Log: slog.New(slog.NewTextHandler(&said, nil))})
	for range 2 {
		r, err := f.serverResolver()
		if err != nil {
			t.Fatal(err)
		}
		target, err := r.Target("web1")
		if err != nil {
			t.Fatal(err)
		}
		if algorithms := target.HostKeys.Algorithms(target.Addr); len(algorithms) > 0 {
			t.Errorf("a line that cannot be read vouches for %v", algorithms)
		}
		r.Close()
	}
	if n := strings.Count(said.String(), "known_hosts"); n != 1 {
		t.Errorf("the log was told %d times: %s", n, said.String())
	}
}

// TestWhereTheKeyOfAStrangerBelongs: people read in chat which file it is, and on which machine; of hosts on record and
// of others.
func TestWhereTheKeyOfAStrangerBelongs(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte("Host inner\n ProxyJump gate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	imported := stands("web1", "192.0.2.1")
	imported.Reach.Keys = nil
	w := world{"web1": imported}
	f := New(Config{Record: w, Keys: w, Through: func(*remote.Target, string) {}, Log: slog.New(slog.DiscardHandler)})
	defer f.Close()
	want := filepath.Join(home, ".ssh", "known_hosts") + " on Jarvis's server"
	for _, word := range []string{"web1", "printer", "inner"} {
		target, err := f.Target(t.Context(), word)
		if err != nil {
			t.Fatal(err)
		}
		if target.KnownAt != want {
			t.Errorf("%s: it belongs into %q, want %q", word, target.KnownAt, want)
		}
		if target.Jump != nil && target.Jump.KnownAt != want {
			t.Errorf("the way to %s: it belongs into %q, want %q", word, target.Jump.KnownAt, want)
		}
	}
}
