package ssh

import (
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestForgetHostSaysWhatStays: the keys of a host that is destroyed do not come back by an undo, and that is said; of a
// host that had none there is nothing to say.
func TestForgetHostSaysWhatStays(t *testing.T) {
	w, err := New(Config{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for more, want := range map[string]string{
		"  ipaddress: 192.0.2.5\n  ssh_port: 2222\n  hostkeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO]\n": "its host keys stay out of known_hosts",
		"": "",
	} {
		c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n" + more))
		if err != nil {
			t.Fatal(err)
		}
		s := w.forgetHost()
		for range 2 {
			if err := s.Do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		err = s.Undo(t.Context(), c)
		if what, stays := pipeline.AsStays(err); what != want || stays != (want != "") {
			t.Errorf("%q: undo says %v, want %q", more, err, want)
		}
	}
}
