package irc

import (
	"time"

	"github.com/lrstanley/girc"
)

// A server or a bouncer may play what was said before we came (https://ircv3.net/specs/extensions/chathistory). Whoever
// said it meant another moment, or had it done by hand since: it is not obeyed.

// maxAge is how old a line may be by the server's own clock, and still be meant for now.
const maxAge = time.Minute

// past knows what is old. It belongs to girc's reader. What nobody can tell to be of now counts as old: who meant it
// says it again, and what was done cannot be taken back so easily.
type past struct {
	began time.Time // when the server let us in, on our clock
	// ahead is how far the server's clock is before ours: by ours alone, a server whose clock is slow would never be
	// obeyed. It is known when clocked.
	ahead   time.Duration
	clocked bool
	joined  map[string]time.Time // by folded channel, on the server's clock
	live    map[string]bool      // by open batch, whether what is in it is said now
}

// stamp gives when the server says that a line was said (https://ircv3.net/specs/extensions/server-time). there says
// that the line has such a tag, which not every server sends, and ok that it is a time.
func stamp(e girc.Event) (at time.Time, there, ok bool) {
	v, there := e.Tags.Get("time")
	if !there {
		return time.Time{}, false, false
	}
	at, err := time.Parse(time.RFC3339, v)
	return at, true, err == nil
}

// clock learns the server's from its answer to a PING, which nobody plays again.
func (p *past) clock(e girc.Event) {
	p.clocked = true
	if at, _, ok := stamp(e); ok {
		p.ahead = time.Until(at)
	}
}

// join notes since when we are in a channel.
func (p *past) join(e girc.Event, channel string) {
	at, _, ok := stamp(e)
	if !ok {
		at = time.Now().Add(p.ahead)
	}
	if p.joined == nil {
		p.joined = map[string]time.Time{}
	}
	p.joined[girc.ToRFC1459(channel)] = at
}

// leave notes that we are in a channel no longer.
func (p *past) leave(channel string) { delete(p.joined, girc.ToRFC1459(channel)) }

// batch notes that one begins or ends: "+REF TYPE …", "-REF". One inside another is as old as that. Of the types on
// record (https://ircv3.net/registry#batch-types) these are of now; the lines of a multi-line message are one message,
// which we did not ask to get so, and cannot read as such.
func (p *past) batch(e girc.Event) {
	if len(e.Params) == 0 || len(e.Params[0]) < 2 {
		return
	}
	ref := e.Params[0][1:]
	if e.Params[0][0] == '-' {
		delete(p.live, ref)
		return
	}
	if p.live == nil {
		p.live = map[string]bool{}
	}
	live := false
	if len(e.Params) > 1 {
		switch e.Params[1] {
		case "netsplit", "netjoin", "labeled-response":
			live = true
		}
	}
	if outer, inside := e.Tags.Get("batch"); inside {
		live = live && p.live[outer]
	}
	p.live[ref] = live
}

// has reports whether a line was said before we came, or too long ago, or whether nobody can tell.
func (p *past) has(e girc.Event, place string, private bool) bool {
	if ref, ok := e.Tags.Get("batch"); ok && !p.live[ref] {
		return true
	}
	since, in := p.joined[girc.ToRFC1459(place)]
	if !private && !in {
		return true // we are not there, as far as we know
	}
	at, there, ok := stamp(e)
	if !there {
		return false
	}
	now := time.Now().Add(p.ahead)
	if private {
		since = p.began.Add(p.ahead)
	}
	return !ok || !p.clocked || now.Sub(at) > maxAge || at.Before(since)
}
