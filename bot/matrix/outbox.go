package matrix

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// item is one message for the outbox.
type item struct {
	place string
	body  string
	txn   string
	edits id.EventID     // what it takes the place of; "": it is a line of its own
	shown func(bot.Post) // told where it stands; nil: nobody
	done  chan error     // nil: nobody waits
}

// Say queues lines as one message; when the queue of the room is full, because there is no link for long, it is dropped
// with a log entry.
func (f *Frontend) Say(place string, lines []string) {
	for _, body := range bot.Bodies(lines, maxBodyBytes) {
		if !f.out.Add(roomOf(place), item{place: place, body: body, txn: f.txn()}) {
			f.log.Warn("too many lines wait for the matrix link; one is dropped", "user", f.cfg.User, "place", place)
		}
	}
}

// SayLater queues lines for somebody whom nobody knows, after all else.
func (f *Frontend) SayLater(place string, lines []string) {
	for _, body := range bot.Bodies(lines, maxBodyBytes) {
		if !f.out.AddLater(roomOf(place), item{place: place, body: body, txn: f.txn()}) {
			f.log.Debug("too many lines wait for strangers; one is dropped", "user", f.cfg.User, "place", place)
		}
	}
}

// roomOf gives the room of a place, and threadOf its thread.
func roomOf(place string) string {
	room, _, _ := strings.Cut(place, " ")
	return room
}

// RoomOf is bot.Threader.
func (f *Frontend) RoomOf(place string) string { return roomOf(place) }

// threadOf gives the thread of a place, which is "ROOM THREAD"; "": it is the room itself.
func threadOf(place string) string {
	_, thread, _ := strings.Cut(place, " ")
	return thread
}

// txn gives a transaction id that no other life of this process used.
func (f *Frontend) txn() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	return "jarvis-" + strconv.FormatInt(time.Now().UnixMicro(), 36) + "-" + strconv.FormatInt(f.seq, 36)
}

// unsure is a notice that was sent, and of which nobody knows whether it arrived.
type unsure struct {
	txn string
	at  time.Time
}

// unsureKey is a notice at a place. Its words are no part of it: another notice may have the same.
type unsureKey struct {
	id    int64
	place string
}

// unsureLife is how long such a notice is remembered; servers keep transaction ids for half an hour and more.
const unsureLife = time.Hour

// txnFor gives the transaction id under which a notice was tried before, or a new one.
func (f *Frontend) txnFor(n bot.Notice) string {
	f.mu.Lock()
	for k, u := range f.unsure {
		if time.Since(u.at) > unsureLife {
			delete(f.unsure, k)
		}
	}
	u, ok := f.unsure[unsureKey{n.ID, n.Place}]
	f.mu.Unlock()
	if ok {
		return u.txn
	}
	return f.txn()
}

// Deliver says a notice and returns nil when the server gave it an event id. The error wraps bot.ErrRefused when the
// server is there, but does not take lines for that place. A notice of which a broken connection left open whether it
// arrived goes out again under the same transaction id, and is one event.
func (f *Frontend) Deliver(ctx context.Context, n bot.Notice) error {
	body := plain.Line(n.Line)
	if _, err := f.link.Wait(ctx); err != nil {
		return err
	}
	txn := f.txnFor(n)
	done := make(chan error, 1)
	if !f.out.Add(roomOf(n.Place), item{place: n.Place, body: body, txn: txn, shown: n.Choices.Shown, done: done}) {
		return fmt.Errorf("%w: too many lines wait for it", bot.ErrRefused)
	}
	var err error
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-done:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil || errors.Is(err, bot.ErrRefused) {
		delete(f.unsure, unsureKey{n.ID, n.Place})
	} else if n.ID != 0 {
		f.unsure[unsureKey{n.ID, n.Place}] = unsure{txn, time.Now()}
	}
	return err
}

// Edit is bot.Editor (Client-Server API, "Event replacements").
func (f *Frontend) Edit(ctx context.Context, p bot.Post, line string) error {
	room, at, ok := strings.Cut(p.At, " ")
	if !ok || room == "" || !threadID(at) {
		return fmt.Errorf("%w: %q is no event", bot.ErrRefused, p.At)
	}
	if _, err := f.link.Wait(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	if !f.out.Add(room, item{place: room, body: plain.Line(line), txn: f.txn(), edits: id.EventID(at), done: done}) {
		return fmt.Errorf("too many lines wait for %s", room)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		return err
	}
}

// drain tells whoever still waits that we stop.
func (f *Frontend) drain() {
	for _, it := range f.out.All() {
		if it.done != nil {
			it.done <- context.Canceled
		}
	}
}

// speakers is how many rooms are said something at once: an answer of a homeserver takes its time.
const speakers = 4

// speak is the outbox: nobody else sends messages. Those of a room are sent one after the other.
func (f *Frontend) speak(ctx context.Context) {
	for {
		it, done, err := f.out.Take(ctx)
		if err != nil {
			f.drain()
			return
		}
		f.speakOne(ctx, it, done)
	}
}

// speakOne tries an answer four times; a notice once, for whoever waits for it tries again.
func (f *Frontend) speakOne(ctx context.Context, it item, done func()) {
	defer done()
	err := f.send(ctx, it)
	for try := 0; try < 3 && it.done == nil && err != nil && ctx.Err() == nil && !errors.Is(err, bot.ErrRefused); try++ {
		err = f.send(ctx, it)
	}
	if it.done != nil {
		it.done <- err
	} else if err != nil && ctx.Err() == nil {
		f.log.Warn("an answer could not be said", "place", it.place, "err", err)
	}
}

// send says one message, waiting for a link if there is none, and as long as the server wants us to.
func (f *Frontend) send(ctx context.Context, it item) (err error) {
	for unwell := 0; ; {
		s, werr := f.link.Wait(ctx)
		if werr != nil {
			return werr
		}
		if !f.slow.pause(ctx) {
			return ctx.Err()
		}
		if p := guard.Do(func() { err = s.say(ctx, it) }); p != nil {
			guard.Log(f.log, "say a line on matrix", "user", f.cfg.User)(p)
			return p
		}
		wait, slow := limited(err)
		switch {
		case slow:
			f.log.Debug("the homeserver asks us to talk slower", "wait", wait)
			f.slow.until(time.Now().Add(wait))
			continue
		case err == nil || errors.Is(err, bot.ErrRefused):
			return err
		case refusal(err):
			return refused(err)
		case ctx.Err() != nil:
			return ctx.Err()
		case failing(err) && unwell < maxUnwell: // a busy one does that; the connection is as good as before, and the transaction the same
			if unwell++; !pause(ctx, time.Duration(unwell)*200*time.Millisecond) {
				return ctx.Err()
			}
			continue
		}
		// Nobody knows whether it arrived; the connection is no good.
		err = fmt.Errorf("send: %w", short(err))
		s.end(err)
		select {
		case <-s.gone:
		case <-ctx.Done():
		}
		return err
	}
}

// slowed is until when the homeserver wants nothing said.
type slowed struct {
	mu sync.Mutex
	at time.Time
}

// until never makes the pause shorter: the longest that was asked for counts.
func (s *slowed) until(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.After(s.at) {
		s.at = t
	}
}

func (s *slowed) left() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Until(s.at)
}

// pause waits for that; it reports false when ctx ended.
func (s *slowed) pause(ctx context.Context) bool {
	for {
		wait := s.left()
		if wait <= 0 {
			return true
		}
		if !pause(ctx, wait) {
			return false
		}
	}
}

// maxUnwell is how often in a row a homeserver may answer that it cannot do it now; with the pauses that is eleven
// seconds.
const maxUnwell = 10

// say sends one message on this connection.
func (s *session) say(ctx context.Context, it item) error {
	r, err := s.roomFor(ctx, roomOf(it.place))
	if err != nil {
		return err
	}
	// Without a format, what is in the text stands there as it is, HTML too (§11.2.1.1).
	msg := map[string]any{"msgtype": "m.notice", "body": it.body, "m.mentions": map[string]any{}}
	if thread := threadOf(it.place); threadID(thread) {
		msg["m.relates_to"] = event.RelatesTo{Type: event.RelThread, EventID: id.EventID(thread), IsFallingBack: true, InReplyTo: &event.InReplyTo{EventID: id.EventID(thread)}}
	}
	if it.edits != "" {
		msg = map[string]any{"msgtype": "m.notice", "body": "* " + it.body, "m.mentions": map[string]any{},
			"m.new_content": map[string]any{"msgtype": "m.notice", "body": it.body, "m.mentions": map[string]any{}},
			"m.relates_to":  event.RelatesTo{Type: event.RelReplace, EventID: it.edits}}
	}
	if !r.met { // nobody knows yet whether it is encrypted
		if _, ok := s.meet(ctx, r.id); !ok {
			return fmt.Errorf("%w: the state of %s cannot be read", bot.ErrRefused, r.place)
		}
		if r, err = s.roomFor(ctx, roomOf(it.place)); err != nil {
			return err
		}
		if !r.met {
			return fmt.Errorf("%w: the state of %s cannot be read", bot.ErrRefused, r.place)
		}
	}
	rctx, done := timed(ctx)
	defer done()
	var body any = msg
	kind := event.EventMessage
	if r.encrypted {
		if s.keys == nil {
			return fmt.Errorf("%w: %s is encrypted, and this program was built without the tag goolm", bot.ErrRefused, r.place)
		}
		if body, err = s.seal(rctx, r.id, msg); err != nil {
			return err
		}
		kind = event.EventEncrypted
	}
	res, err := s.c.SendMessageEvent(rctx, r.id, kind, body, mautrix.ReqSendEvent{TransactionID: it.txn, DontEncrypt: true})
	if err == nil && it.shown != nil {
		it.shown(bot.Post{At: roomOf(it.place) + " " + res.EventID.String(), Text: it.body})
	}
	return err
}

// seal encrypts for a room, one message at a time: each moves the ratchet of its room, and may share keys.
func (s *session) seal(ctx context.Context, room id.RoomID, msg any) (any, error) {
	s.sealing.Lock()
	defer s.sealing.Unlock()
	return s.keys.seal(ctx, room, msg)
}

// roomFor gives the room that a place is in: one of the configuration, one that we are in, or the direct one with a
// person, which is made when there is none.
func (s *session) roomFor(ctx context.Context, name string) (room, error) {
	if name != "" && name[0] == '@' {
		return s.directRoom(ctx, name)
	}
	s.recall(ctx, id.RoomID(name))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.want {
		if r.place == name && r.joined {
			return *r, nil
		}
	}
	if r := s.rooms[id.RoomID(name)]; r != nil && !r.leaving && (r.joined || r.with != "") {
		return *r, nil
	}
	return room{}, fmt.Errorf("%w: not in the room %s", bot.ErrRefused, name)
}

// recall has a connection know a direct room of before: /sync tells of it only when something happens there.
func (s *session) recall(ctx context.Context, rid id.RoomID) {
	if s.f.keep.direct(rid) == "" {
		return
	}
	s.mu.Lock()
	known := s.rooms[rid] != nil
	s.mu.Unlock()
	if known {
		return
	}
	if r, ok := s.meet(ctx, rid); ok {
		s.judge(r)
	}
}

// answered reports whether the server itself said no, in whatever way: what it cannot do for one place says nothing of
// the link.
func answered(err error) bool {
	var h mautrix.HTTPError
	return errors.As(err, &h) && h.Response != nil
}

// directRoom gives the direct room with a person.
func (s *session) directRoom(ctx context.Context, user string) (room, error) {
	if !wellFormed(user) {
		return room{}, fmt.Errorf("%w: %s is no user id", bot.ErrRefused, user)
	}
	for _, rid := range s.f.keep.directWith(user) {
		s.recall(ctx, rid)
	}
	s.mu.Lock()
	for _, rid := range s.f.keep.directWith(user) {
		if r := s.rooms[rid]; r != nil && r.with == user && !r.leaving {
			defer s.mu.Unlock()
			return *r, nil
		}
	}
	s.making++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.making--
		s.mu.Unlock()
	}()
	rctx, done := timed(ctx)
	defer done()
	res, err := s.c.CreateRoom(rctx, &mautrix.ReqCreateRoom{Preset: "trusted_private_chat", IsDirect: true, Invite: []id.UserID{id.UserID(user)}})
	if _, slow := limited(err); err != nil && !slow && answered(err) { // as for somebody whose own homeserver is away
		return room{}, refused(err)
	} else if err != nil {
		return room{}, err
	}
	s.remember(res.RoomID, user)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[res.RoomID]
	if r == nil {
		r = &room{place: res.RoomID.String(), id: res.RoomID}
		s.rooms[res.RoomID] = r
	}
	r.with, r.since = user, time.Now()
	return *r, nil
}
