package irc

import (
	"strings"
	"time"

	"github.com/lrstanley/girc"
)

// A server or a bouncer may play what was said before we came (https://ircv3.net/specs/extensions/chathistory). Whoever
// said it meant another moment, or had it done by hand since: it is not obeyed.

// maxAge is how old a line may be by the server's own clock, and still be meant for now.
const maxAge = time.Minute

// past knows what is old. It belongs to girc's reader.
type past struct {
	// ahead is how far the server's clock is before ours: by ours alone, a server whose clock is slow would never be
	// obeyed.
	ahead   time.Duration
	joined  map[string]time.Time // by folded channel, on the server's clock
	batches map[string]bool      // the open ones, and whether they are history
}

// stamp gives when the server says that a line was said (https://ircv3.net/specs/extensions/server-time).
func stamp(e girc.Event) (time.Time, bool) {
	v, ok := e.Tags.Get("time")
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, v)
	return at, err == nil
}

// clock learns the server's from its answer to a PING, which nobody plays again.
func (p *past) clock(e girc.Event) {
	if at, ok := stamp(e); ok {
		p.ahead = time.Until(at)
	}
}

// join notes since when we are in a channel.
func (p *past) join(e girc.Event, channel string) {
	at, ok := stamp(e)
	if !ok {
		at = time.Now().Add(p.ahead)
	}
	if p.joined == nil {
		p.joined = map[string]time.Time{}
	}
	p.joined[girc.ToRFC1459(channel)] = at
}

// batch notes that one begins or ends: "+REF TYPE …", "-REF". One inside another is as old as that.
func (p *past) batch(e girc.Event) {
	if len(e.Params) == 0 || len(e.Params[0]) < 2 {
		return
	}
	ref := e.Params[0][1:]
	if e.Params[0][0] == '-' {
		delete(p.batches, ref)
		return
	}
	if p.batches == nil {
		p.batches = map[string]bool{}
	}
	outer, _ := e.Tags.Get("batch")
	kind := ""
	if len(e.Params) > 1 {
		kind = e.Params[1]
	}
	switch kind[strings.LastIndexByte(kind, '/')+1:] { // behind the vendor: znc.in/playback, draft/chathistory
	case "chathistory", "playback", "history", "search":
		p.batches[ref] = true
	default:
		p.batches[ref] = p.batches[outer]
	}
}

// has reports whether a line was said before we came, or too long ago.
func (p *past) has(e girc.Event, place string) bool {
	if ref, ok := e.Tags.Get("batch"); ok && p.batches[ref] {
		return true
	}
	at, ok := stamp(e)
	if !ok {
		return false
	}
	if time.Now().Add(p.ahead).Sub(at) > maxAge {
		return true
	}
	since, ok := p.joined[girc.ToRFC1459(place)]
	return ok && at.Before(since)
}
