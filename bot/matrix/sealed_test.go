//go:build !goolm

package matrix_test

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
)

// Without the build tag, an encrypted room is said to be unreadable, in one sentence, and gets no line in clear.
func TestAnEncryptedRoomIsUnreadable(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	if err := alice.SetState(t.Context(), room, "m.room.encryption", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}); err != nil {
		t.Fatal(err)
	}
	h := newHeard()
	f := link(t, config(t, s), h.in)
	until(t, "a link", f.Up)
	for range 3 {
		must(alice.Send(t.Context(), room, "m.room.encrypted", map[string]any{"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "y"}))(t)
	}
	must(alice.Say(t.Context(), room, "jarvis: in clear"))(t)
	h.wait(t, "jarvis: in clear")
	if n := strings.Count(f.log.String(), "built without the tag goolm"); n != 1 {
		t.Errorf("it is said %d times, want once", n)
	}
	refuses(t, f, ops)
	if n := alice.Count(me + ": "); n != 0 {
		t.Error("a line went out in clear")
	}
}
