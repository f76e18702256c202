package bot

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/guard"
)

// StrangersConfig bounds the answers to people who are not in the configuration. A name costs them nothing, so they are
// counted by where they come from, and all together: on one network in private, and in each room. Zero values stand for
// the defaults.
type StrangersConfig struct {
	Each access.LimitConfig // one of them: 8 at once, then one each 10 s
	All  access.LimitConfig // all in private, or all in one room: 10 at once, then one each 5 s
}

// strangers counts. It is safe for concurrent use.
type strangers struct {
	each, all *access.Limiter
	interval  time.Duration

	mu     sync.Mutex
	passed map[string]int // by key: lines that were not answered, and are not on record yet
}

// newStrangers puts the defaults where the configuration says nothing.
func newStrangers(c StrangersConfig) *strangers {
	c.Each.Burst, c.Each.Interval = cmp.Or(c.Each.Burst, 8), cmp.Or(c.Each.Interval, 10*time.Second)
	c.All.Burst, c.All.Interval = cmp.Or(c.All.Burst, 10), cmp.Or(c.All.Interval, 5*time.Second)
	return &strangers{each: access.NewLimiter(c.Each), all: access.NewLimiter(c.All), interval: c.Each.Interval, passed: map[string]int{}}
}

// origin is what a stranger cannot change as easily as their nick.
func (m Message) origin() string { return cmp.Or(m.Account, m.Host, m.Nick) }

// strangersKey is one for all strangers who speak in private, and one for those in a room.
func strangersKey(f Frontend, m Message) string {
	if m.Private {
		return f.Name() + "\x00\x00in private"
	}
	return f.Name() + "\x00\x00" + strings.ToLower(cmp.Or(m.Room, m.Place))
}

// admit counts a stranger's message. last says that their next would be too fast. What all of them have used up costs
// nobody their own share, nor us the memory of who they are.
func (s *strangers) admit(f Frontend, m Message) (last, ok bool) {
	all := strangersKey(f, m)
	one := all + "\x00" + m.origin()
	if s.all.Peek(all) > 0 || s.each.Take(one) > 0 {
		return false, false
	}
	s.all.Take(all)
	return s.each.Peek(one) > 0, true
}

// pause is how long a stranger waits for the next answer, for people.
func (s *strangers) pause() string { return command.Short(s.interval) }

// passedEvery is how often lines that were not answered become a row.
const passedEvery = time.Minute

// passOver notes a line that is not answered: the first is on record at once, those after it as one row a minute.
func (b *Bot) passOver(ctx context.Context, f Frontend, m Message) {
	const why = "not answered: people whom I do not know asked faster than I answer them"
	key := strangersKey(f, m)
	s := b.strangers
	s.mu.Lock()
	_, counting := s.passed[key]
	if counting {
		s.passed[key]++
	} else {
		s.passed[key] = 0
	}
	s.mu.Unlock()
	if counting {
		return
	}
	b.wg.Go(guard.Log(b.Log, "record what was not answered", "frontend", f.Name()), func() {
		b.Table.Record(ctx, access.Record{Who: "stranger " + m.Nick, Via: via(f, m), Line: m.Text, Outcome: why})
		t := time.NewTimer(passedEvery)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		s.mu.Lock()
		n := s.passed[key]
		delete(s.passed, key)
		s.mu.Unlock()
		if n > 0 { // also when the bot ends
			b.Table.Record(context.WithoutCancel(ctx), access.Record{Who: "strangers", Via: via(f, m), Line: fmt.Sprintf("(%d lines)", n), Outcome: why})
		}
	})
}
