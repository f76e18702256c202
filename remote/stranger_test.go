package remote_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/jarvisops/jarvis/remote"
)

// TestAStrangerIsToldWithWhatToDo: where nothing vouches for a host, whoever asks is told into which file its key
// belongs.
func TestAStrangerIsToldWithWhatToDo(t *testing.T) {
	_, target := sandbox(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	file := filepath.Join(home, ".ssh", "known_hosts")
	r, err := remote.NewResolver()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stranger, err := r.Target("root@" + target.Addr)
	if err != nil {
		t.Fatal(err)
	}
	stranger.Signers = target.Signers
	want := "connect to " + target.Addr + ": no host key is known for it; put its key into " + file
	told := func(err error) {
		t.Helper()
		var u *remote.UnknownHostError
		if !errors.Is(err, remote.ErrUnknownHost) || !errors.As(err, &u) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, err = remote.Dial(t.Context(), stranger)
	told(err)
	pool := remote.NewPool(remote.PoolConfig{})
	defer pool.Close()
	_, _, err = pool.Get(t.Context(), stranger)
	told(err)
	// Somebody else knows its key, and has a connection that is shared.
	_, release, err := pool.Get(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	_, _, err = pool.Get(t.Context(), stranger)
	told(err)
	if _, err := os.Stat(file); err == nil {
		t.Errorf("%s was made", file)
	}
}
