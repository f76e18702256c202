package xmpp

import (
	"testing"

	"github.com/jarvisops/jarvis/bot"
)

// Two notices have the same words, and of both it was left open whether they arrived. The room's history shows one.
func TestWhatIsUnsureIsKnownByItsNotice(t *testing.T) {
	const room, words = "ops@rooms.example.org", "loki is ready"
	one, two := bot.Notice{ID: 1, Place: room, Line: words}, bot.Notice{ID: 2, Place: room, Line: words}
	for name, c := range map[string]struct {
		id    string // of the message in the history
		times int
		one   bool
		two   bool
	}{
		"the history has the first":            {"a", 1, true, false},
		"the history has the second":           {"b", 1, false, true},
		"the history has neither":              {"c", 1, false, false},
		"the history has no ids, and one line": {"", 1, true, false},
		"the history has no ids, and both":     {"", 2, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Frontend{unsure: unsure{}}
			f.unsureAdd(one, "a", words)
			if c.id != "" || c.times == 2 {
				f.unsureAdd(two, "b", words)
			}
			for range c.times {
				f.unsureSeen(room, c.id, words)
			}
			if f.unsureTake(room, 3) {
				t.Error("a notice that was never said counts as said, for its words")
			}
			if got1, got2 := f.unsureTake(room, 1), f.unsureTake(room, 2); got1 != c.one || got2 != c.two {
				t.Errorf("arrived: the first %v, the second %v; want %v and %v", got1, got2, c.one, c.two)
			}
		})
	}
}
