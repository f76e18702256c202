package remote_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/remote"
)

// ssh(1) counts in seconds, and refuses more than 32 bits of them; here many days came out as a time that was none.
func TestALongConnectTimeout(t *testing.T) {
	for said, want := range map[string]time.Duration{
		"1d": 24 * time.Hour, "1w1s": 7*24*time.Hour + time.Second, "2147483647": 2147483647 * time.Second,
		"2147483648": 0, "106752d": 0, "213504d": 0, "30500w": 0, "2147483647s1": 0, "9223372036854775807w": 0,
	} {
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte("Host a\n ConnectTimeout "+said+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := remote.LoadSSHConfig(file)
		if err != nil {
			t.Fatal(err)
		}
		h, err := c.Host("a", "")
		if h.ConnectTimeout != want || (err == nil) != (want > 0) {
			t.Errorf("ConnectTimeout %s = %v, %v; want %v", said, h.ConnectTimeout, err, want)
		}
	}
}
