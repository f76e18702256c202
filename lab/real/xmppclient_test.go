package real

import (
	"fmt"
	"testing"
	"time"
)

// TestJabberIsSeenInOrder says many lines at once: the library gives each to a goroutine of its own.
func TestJabberIsSeenInOrder(t *testing.T) {
	s, err := StartProsody("alice", "bob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	people := map[string]*XMPPClient{}
	room := "ops@" + XMPPRooms
	for _, name := range []string{"alice", "bob"} {
		if people[name], err = DialXMPP(t.Context(), s, name, room); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(people[name].Close)
	}
	const n = 300
	for i := range n {
		people["bob"].Say("alice@"+XMPPDomain+"/lab", fmt.Sprintf("line %d", i))
	}
	for i := range n {
		if l, err := people["alice"].Next(": line ", 10*time.Second); err != nil || l != fmt.Sprintf("bob@%s/lab: line %d", XMPPDomain, i) {
			t.Fatalf("line %d is %q, %v", i, l, err)
		}
	}
}
