package remote_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

// TestSSHFP logs in to a host whose key is in signed DNS alone: BIND signs, another BIND validates.
func TestSSHFP(t *testing.T) {
	named, err := real.StartNamed(t.Context(), "127.0.9.58")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(named.Stop)
	_, target := openssh(t, "127.82.0.44:22")
	pinned := target.HostKeys.(remote.Pinned)
	sum := sha256.Sum256(pinned[0].Marshal())
	other := sha256.Sum256([]byte("another"))
	if err := named.Update(t.Context(), fmt.Sprintf("add loki.websages.com 1 SSHFP 4 2 %x", sum), fmt.Sprintf("add thor.websages.com 1 SSHFP 4 2 %x", other)); err != nil {
		t.Fatal(err)
	}
	dial := func(server, name string) error {
		target.HostKeys = remote.Alias{Name: name + ":22", Of: &remote.SSHFP{Server: server}}
		c, err := remote.Dial(t.Context(), target)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	const resolver = "127.0.9.58:53"
	for range 50 { // the zone is signed in the background
		if err = dial(resolver, "loki.websages.com"); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("with its key in signed DNS: %v", err)
	}
	var wrong *remote.HostKeyError
	if err := dial(resolver, "thor.websages.com"); !errors.As(err, &wrong) {
		t.Errorf("with another key in DNS: %v", err)
	}
	if err := dial(resolver, "ns1.websages.com"); !errors.Is(err, remote.ErrUnknownHost) {
		t.Errorf("with no key in DNS: %v", err)
	}
	// The server that has the zone says nothing of validation, so that its answer is nothing to us.
	if err := dial(named.Addr, "loki.websages.com"); !errors.Is(err, remote.ErrUnknownHost) {
		t.Errorf("by an answer that nobody validated: %v", err)
	}
}
