package matrix_test

import (
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestAnUpgradedRoomIsFollowed: the owner of a room makes one of another version of it, where everybody goes on.
func TestAnUpgradedRoomIsFollowed(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	byID := must(alice.MakeRoom(t.Context(), "dev", false))(t)
	for room, old := range map[string]string{ops: opsRoom(t, alice), byID: byID} {
		cfg := config(t, s)
		cfg.Rooms = []string{room}
		h := newHeard()
		f := link(t, cfg, h.in)
		until(t, "it is inside", func() bool { return f.Inside(room) })
		if err := deliver(t, f, room, "before"); err != nil {
			t.Fatal(err)
		}
		to := must(alice.Upgrade(t.Context(), old, "9"))(t)
		f.until(t, "a room was upgraded; I go to the new one")
		f.until(t, "left a room")
		follows(t, f, h, alice, room, to, "after it")
		f.stop()
		h = newHeard()
		f = link(t, cfg, h.in)
		follows(t, f, h, alice, room, to, "after a restart")
		f.stop()
		if room != byID { // its alias leads there by itself
			continue
		}
		cfg.State = t.TempDir() // what it knew is lost
		h = newHeard()
		f = link(t, cfg, h.in)
		follows(t, f, h, alice, room, to, "with nothing known")
		f.stop()
	}
}

func follows(t *testing.T, f *running, h *heard, alice *real.MatrixClient, room, to, line string) {
	t.Helper()
	until(t, "it is inside", func() bool { return f.Inside(room) })
	until(t, "it speaks there", func() bool { return deliver(t, f, room, line) == nil })
	hear(t, alice, to+".*: "+line)
	must(alice.Say(t.Context(), to, "jarvis: status"))(t)
	if m := h.wait(t, "jarvis: status"); m[len(m)-1].Place != room {
		t.Errorf("heard in %q, want %q", m[len(m)-1].Place, room)
	}
}
