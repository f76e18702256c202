package xmpp

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
	"mellium.im/xmlstream"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// item is one message for the outbox.
type item struct {
	place string
	body  string
	sent  chan sent // nil: nobody waits
	link  int64     // the connection at which it was meant for who has that nick in a room; 0: for an account or a room
}

// sent is what became of an item: who waits for which answer, or why it was not sent.
type sent struct {
	s      *session
	id     string
	answer chan error
	err    error
}

// Say queues lines as one message; when the queue of the place is full, because there is no link for long, it is
// dropped with a log entry.
func (f *Frontend) Say(place string, lines []string) {
	for _, body := range bot.Bodies(lines, maxBodyBytes) {
		if !f.out.Add(place, item{place: place, body: body, link: f.linkFor(place)}) {
			f.log.Warn("too many lines wait for the xmpp link; one is dropped", "jid", f.me.String(), "place", place)
		}
	}
}

// SayLater queues lines for somebody whom nobody knows, after all else.
func (f *Frontend) SayLater(place string, lines []string) {
	for _, body := range bot.Bodies(lines, maxBodyBytes) {
		if !f.out.AddLater(place, item{place: place, body: body, link: f.linkFor(place)}) {
			f.log.Debug("too many lines wait for strangers; one is dropped", "jid", f.me.String(), "place", place)
		}
	}
}

// linkFor gives the connection at which a nick of a room means whom it means now; 0 for an account and for a room,
// which stay what they are.
func (f *Frontend) linkFor(place string) int64 {
	if _, nick := f.nickOf(place); nick == "" {
		return 0
	}
	return f.dials.Load()
}

// nickOf gives the room of a place that is a nick in one of ours; "": it is none.
func (f *Frontend) nickOf(place string) (room, nick string) {
	j, err := jid.Parse(place)
	if err != nil || j.Resourcepart() == "" || !slices.ContainsFunc(f.rooms, func(r roomConfig) bool { return r.addr.Equal(j.Bare()) }) {
		return "", ""
	}
	return j.Bare().String(), j.Resourcepart()
}

// Holder is bot.Prover: a nick of a room is whose the room says it is at this moment. An account stays whose it is.
func (f *Frontend) Holder(_ context.Context, place string) (id access.Identity, ok bool) {
	room, nick := f.nickOf(place)
	if nick == "" {
		return id, false
	}
	id = access.Identity{Network: f.Network(), Nick: nick} // nobody that we know
	if s := f.link.Get(); s != nil {
		s.mu.Lock()
		r := s.rooms[room]
		s.mu.Unlock()
		if r != nil {
			id.Account = s.account(r, nick)
		}
	}
	return id, true
}

// left drops what waits for somebody who is not there any more.
func (f *Frontend) left(place string, why error) {
	items := f.out.Drop(place)
	for _, it := range items {
		if it.sent != nil {
			it.sent <- sent{err: fmt.Errorf("%s: %w", place, why)}
		}
	}
	if len(items) > 0 {
		f.log.Info("lines for somebody who is gone are dropped", "jid", f.me.String(), "place", place, "why", why, "messages", len(items))
	}
}

// Deliver says a notice and waits until it is there: a room has sent it back, or the server has worked through it. The
// error wraps bot.ErrRefused when the server is there, but does not take lines for that place. A notice of which a
// broken connection left open whether it arrived is not said again when the room's history shows it.
func (f *Frontend) Deliver(ctx context.Context, n bot.Notice) error {
	body := plain.Line(n.Line) // so there is nothing in it that XML cannot carry
	if _, err := f.link.Wait(ctx); err != nil {
		return err
	}
	if f.unsureTake(n.Place, n.ID) {
		return nil
	}
	done := make(chan sent, 1)
	if !f.out.Add(n.Place, item{place: n.Place, body: body, sent: done, link: f.linkFor(n.Place)}) {
		return fmt.Errorf("%w: too many lines wait for it", bot.ErrRefused) // and others need not wait
	}
	var r sent
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r = <-done:
	}
	if r.err != nil {
		return r.err
	}
	defer r.s.forget(r.answer)
	t := time.NewTimer(confirmTimeout)
	defer t.Stop()
	var err error
	select {
	case err := <-r.answer:
		return err
	case <-r.s.gone:
		err = errLost
	case <-t.C:
		err = fmt.Errorf("the line did not come back in %s", confirmTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	f.unsureAdd(n, r.id, body)
	return err
}

// speak is the outbox: the only goroutine that sends messages.
func (f *Frontend) speak(ctx context.Context) {
	pace := rate.NewLimiter(rate.Every(f.cfg.Rate.Interval), f.cfg.Rate.Burst)
	for {
		it, err := f.out.Next(ctx)
		if err != nil {
			f.drain()
			return
		}
		_ = pace.Wait(ctx) // when we stop, send says so
		r := f.send(ctx, it)
		for try := 0; try < 3 && it.sent == nil && r.err != nil && ctx.Err() == nil && !errors.Is(r.err, bot.ErrRefused); try++ {
			if r.s != nil {
				<-r.s.gone // a write that failed ends the link
			}
			r = f.send(ctx, it)
		}
		if it.sent != nil {
			it.sent <- r
		} else if r.err != nil && ctx.Err() == nil {
			f.log.Warn("an answer could not be said", "place", it.place, "err", r.err)
		}
	}
}

// send writes one message, waiting for a link if there is none.
func (f *Frontend) send(ctx context.Context, it item) (out sent) {
	if p := guard.Do(func() { out = f.sendNow(ctx, it) }); p != nil {
		guard.Log(f.log, "say a line on xmpp", "jid", f.me.String())(p)
		return sent{err: p}
	}
	return out
}

// sendNow hands a message to the server. What proves that it was taken is the room's echo, or where there is no room
// the answer to a ping.
func (f *Frontend) sendNow(ctx context.Context, it item) sent {
	s, err := f.link.Wait(ctx)
	if err != nil {
		return sent{err: err}
	}
	to, err := jid.Parse(it.place)
	if err != nil {
		return sent{err: fmt.Errorf("%w: %s is no address", bot.ErrRefused, it.place)}
	}
	if it.link != 0 && it.link != s.number { // by now anybody may have that nick
		return sent{err: fmt.Errorf("%w: the link was lost before it was said to a nick of a room", bot.ErrRefused)}
	}
	m := stanza.Message{ID: s.id(), To: to, Type: stanza.ChatMessage}
	s.mu.Lock()
	r := s.rooms[to.String()]
	inside := r != nil && r.joined
	s.mu.Unlock()
	if r != nil {
		if !inside {
			return sent{err: fmt.Errorf("%w: not in the room %s", bot.ErrRefused, to)}
		}
		m.Type = stanza.GroupChatMessage
	}
	var answer chan error
	if it.sent != nil {
		answer = make(chan error, 1)
		s.wait(m.ID, answer)
	}
	err = s.send(m.Wrap(xmlstream.Wrap(xmlstream.Token(xml.CharData(it.body)), xml.StartElement{Name: xml.Name{Local: "body"}})))
	if err == nil && it.sent != nil && r == nil {
		// Nobody sends it back, but a refusal comes before the answer to a ping after it.
		err = s.ping(answer)
	}
	if err != nil {
		s.forget(answer)
		return sent{s: s, err: fmt.Errorf("send: %w", err)}
	}
	return sent{s: s, id: m.ID, answer: answer}
}

// drain tells whoever still waits that we stop.
func (f *Frontend) drain() {
	for _, it := range f.out.All() {
		if it.sent != nil {
			it.sent <- sent{err: context.Canceled}
		}
	}
}

// unsure are notices that were sent, and of which nobody knows whether they arrived, by room and the notice's id: its
// words another one may have too.
type unsure map[string]map[int64]*unsureLine

type unsureLine struct {
	id   string // of the message
	body string
	at   time.Time
	seen bool // the room's history has it
}

// unsureLife is how long such a line is remembered.
const unsureLife = time.Hour

// unsureAdd remembers a notice that may have arrived. One without a row is not tried again, so nothing needs to know.
func (f *Frontend) unsureAdd(n bot.Notice, id, body string) {
	if n.ID == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unsure[n.Place] == nil {
		f.unsure[n.Place] = map[int64]*unsureLine{}
	}
	f.unsure[n.Place][n.ID] = &unsureLine{id: id, body: body, at: time.Now()}
}

// unsureSince gives from when on a room's history is of interest; zero when it is not.
func (f *Frontend) unsureSince(place string) (since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for notice, u := range f.unsure[place] {
		if time.Since(u.at) > unsureLife {
			delete(f.unsure[place], notice)
		} else if since.IsZero() || u.at.Before(since) {
			since = u.at
		}
	}
	if !since.IsZero() {
		since = since.Add(-2 * time.Minute) // clocks differ, and it was sent a while before it was given up
	}
	return since
}

// unsureSeen notes what a room's history has. A history without ids tells by the words, and a message of it is one
// notice.
func (f *Frontend) unsureSeen(place, id, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.unsure[place] {
		if u.body == body && !u.seen && (id == "" || u.id == id) {
			u.seen = true
			return
		}
	}
}

// unsureTake reports whether a notice is known to have arrived, and forgets about it either way.
func (f *Frontend) unsureTake(place string, notice int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.unsure[place][notice]
	delete(f.unsure[place], notice)
	return u != nil && u.seen
}
