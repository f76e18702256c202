package bot

import (
	"context"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
)

// maxLatePlaces bounds what is remembered of them.
const maxLatePlaces = 1000

// lateKey is of the place, not of the person: who is there reads the one line.
func lateKey(f Frontend, m Message) string { return f.Name() + "\x00" + m.Place }

// toldLate reports whether a place was told on this connection that nothing from before is done.
func (b *Bot) toldLate(f Frontend, m Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.late[lateKey(f, m)] == m.Past
}

// sayLate says that nothing is done about what was said while we did not listen, once for each place and connection. It
// does not say that nothing was done then: a bouncer plays also what we heard and answered.
func (b *Bot) sayLate(ctx context.Context, f Frontend, m Message) {
	if b.toldLate(f, m) {
		return
	}
	b.mu.Lock()
	if len(b.late) >= maxLatePlaces {
		clear(b.late)
	}
	b.late[lateKey(f, m)] = m.Past
	b.mu.Unlock()
	line := "You wrote while I was away, and I do nothing about it now. Say it again if you still mean it."
	if !m.Private {
		line = "I was spoken to here while I was away, and I do nothing about it now. Say it again if you still mean it."
	}
	who := b.who(f, m).Name
	if who == "" {
		who = "stranger " + plain.Line(m.Nick)
	}
	b.Table.Record(ctx, access.Record{Who: who, Via: via(f, m), Line: m.Text, Outcome: "not done: said while I was away"})
	b.send(f, m, []string{line})
}
