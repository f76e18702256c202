package bot

import (
	"errors"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/command"
)

// mood is what the bot remembers of somebody it cannot talk with.
type mood struct {
	unknown int  // lines in a row that it did not understand
	limited bool // it said that they are too fast
	at      time.Time
}

// What keeps two bots from talking with each other for ever.
const (
	maxUnknown   = 3
	forgetMood   = 10 * time.Minute
	limitedQuiet = 10 * time.Second
)

// worthAnswer keeps quiet towards whoever says nothing but what the bot does not understand, and says only once that
// somebody is too fast. Everything is on record all the same.
func (b *Bot) worthAnswer(key string, err error, lines *[]string) bool {
	unknown, limited := errors.Is(err, command.ErrUnknown), errors.Is(err, command.ErrLimited)
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.moods[key]
	if m != nil && time.Since(m.at) > forgetMood {
		delete(b.moods, key)
		m = nil
	}
	if !unknown && !limited {
		if m != nil {
			m.unknown = 0
			if !m.limited || time.Since(m.at) > limitedQuiet {
				delete(b.moods, key)
			}
		}
		return true
	}
	if m == nil {
		if len(b.moods) >= 10000 {
			clear(b.moods)
		}
		m = &mood{}
		b.moods[key] = m
	}
	m.at = time.Now()
	if limited {
		said := m.limited
		m.limited = true
		return !said
	}
	m.unknown++
	if m.unknown == maxUnknown {
		*lines = []string{strings.Join(append(*lines, "I stay quiet now until you say something that I know; `help` lists it."), " ")} // one line: strangers' are counted
	}
	return m.unknown <= maxUnknown
}
