package matrix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// session is one connection.
type session struct {
	f     *Frontend
	c     *mautrix.Client
	in    func(bot.Message)
	keys  cipher // nil: encrypted rooms cannot be read
	gone  chan struct{}
	end   context.CancelCauseFunc
	wasUp atomic.Bool
	// number is the connection's own.
	number int64
	synced chan struct{} // closed after the first /sync
	invite chan invitation
	leave  chan farewell

	sealing sync.Mutex

	mu     sync.Mutex
	want   []*room // those of the configuration
	rooms  map[id.RoomID]*room
	making int // direct rooms that are being made

	// For the listener alone.
	began  time.Time // by the server's clock: the answer to our first /sync
	sealed []sealed  // messages whose key is missing
	unkept bool      // that our place cannot be kept is said
}

func newSession(f *Frontend, c *mautrix.Client, in func(bot.Message)) *session {
	s := &session{f: f, c: c, in: in, gone: make(chan struct{}), number: f.dials.Add(1), synced: make(chan struct{}),
		invite: make(chan invitation, 100), leave: make(chan farewell, 100), rooms: map[id.RoomID]*room{}}
	for _, name := range f.cfg.Rooms {
		s.want = append(s.want, &room{place: name, wanted: true})
	}
	return s
}

// login gives a client that is let in: by the token that is kept, or by the password, on the same device.
func (f *Frontend) login(ctx context.Context) (*mautrix.Client, error) {
	c, err := f.client()
	if err != nil {
		return nil, err
	}
	have := f.keep.get()
	if have.Token != "" {
		c.AccessToken, c.DeviceID = have.Token, have.Device
		rctx, done := timed(ctx)
		who, err := c.Whoami(rctx)
		done()
		switch {
		case err == nil && who.UserID == f.me:
			if who.DeviceID != "" {
				c.DeviceID = who.DeviceID
			}
			return c, nil
		case err != nil && !errors.Is(err, mautrix.MUnknownToken):
			return nil, fmt.Errorf("ask %s who I am: %w", f.cfg.Homeserver, short(err))
		}
		c.AccessToken = ""
	}
	if f.refused > 0 && !pause(ctx, min(15*time.Second<<min(f.refused, 5), 5*time.Minute)) { // a server locks who tries too often
		return nil, ctx.Err()
	}
	req := &mautrix.ReqLogin{Type: mautrix.AuthTypePassword, Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: f.cfg.User},
		Password: string(f.cfg.Password), DeviceID: have.Device, InitialDeviceDisplayName: "Jarvis"}
	rctx, done := timed(ctx)
	defer done()
	res, err := c.Login(rctx, req)
	if wait, ok := limited(err); ok && pause(ctx, wait) {
		return nil, fmt.Errorf("log in as %s: the homeserver asked to wait %s", f.cfg.User, wait)
	}
	if errors.Is(err, mautrix.MForbidden) || errors.Is(err, mautrix.MUserDeactivated) {
		f.refused++
	}
	if err != nil {
		return nil, fmt.Errorf("log in as %s at %s: %w", f.cfg.User, f.cfg.Homeserver, short(err))
	}
	f.refused = 0
	if res.UserID != f.me {
		return nil, fmt.Errorf("log in as %s: the homeserver calls us %s; write that into chat.matrix.user", f.cfg.User, plain.Line(res.UserID.String()))
	}
	c.AccessToken, c.DeviceID = res.AccessToken, res.DeviceID
	if err := f.keep.set(func(k *kept) { k.Token, k.Device = res.AccessToken, res.DeviceID }); err != nil {
		f.log.Warn("the token of matrix cannot be kept; after a restart I am another device", "user", f.cfg.User, "err", err)
	}
	return c, nil
}

// logout takes a token back that is for trying only.
func (s *session) logout(ctx context.Context) {
	ctx, done := context.WithTimeout(ctx, 3*time.Second)
	defer done()
	if _, err := s.c.Logout(ctx); err != nil {
		s.f.log.Debug("log out of matrix", "err", err)
	}
}

// ownName asks how clients show us: a mention begins with that.
func (s *session) ownName(ctx context.Context) {
	rctx, done := timed(ctx)
	defer done()
	res, err := s.c.GetOwnDisplayName(rctx)
	if err != nil {
		s.f.log.Debug("ask for our display name", "err", short(err))
		return
	}
	s.f.shown.Store(res.DisplayName)
}

// wanted is what we want to be told by /sync.
const wanted = `{"presence":{"not_types":["*"]},"account_data":{"not_types":["*"]},"room":{"timeline":{"limit":50},"ephemeral":{"not_types":["*"]},"account_data":{"not_types":["*"]}}}`

// listen reads the stream of events. What its first answer tells was said before we came.
func (s *session) listen(ctx context.Context) error {
	unwell := 0
	since, told := s.f.keep.get().Since, sync.OnceFunc(func() { close(s.synced) })
	for first := true; ctx.Err() == nil; {
		poll := pollTime
		if first {
			poll = 0
		}
		rctx, done := context.WithTimeout(ctx, requestTimeout+poll)
		res, err := s.c.FullSyncRequest(rctx, mautrix.ReqSync{Timeout: int(poll.Milliseconds()), Since: since, FilterID: wanted})
		done()
		if wait, ok := limited(err); ok {
			pause(ctx, wait)
			continue
		}
		if failing(err) && unwell < maxUnwell { // a busy server does that; what is said meanwhile is not of the past
			unwell++
			pause(ctx, time.Duration(unwell)*200*time.Millisecond)
			continue
		}
		unwell = 0
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, mautrix.MUnknownToken):
			_ = s.f.keep.set(func(k *kept) { k.Token = "" })
			return fmt.Errorf("the homeserver knows our token no more: %w", short(err))
		case err != nil && since != "" && refusal(err):
			s.f.log.Warn("the homeserver does not know where we were; what it tells now is of the past", "user", s.f.cfg.User, "err", short(err))
			since, first = "", true
			continue
		case err != nil:
			return fmt.Errorf("listen to %s: %w", s.f.cfg.Homeserver, short(err))
		case res.NextBatch == "":
			return errors.New("the homeserver's answer to /sync has no next_batch; is it one?")
		}
		s.take(ctx, res, since, first)
		if since != res.NextBatch {
			since = res.NextBatch
			err := s.f.keep.set(func(k *kept) { k.Since = since })
			if err != nil && !s.unkept {
				s.f.log.Warn("where I am in matrix cannot be kept; after a restart I act on nothing said since now", "user", s.f.cfg.User, "err", err)
			}
			s.unkept = err != nil
		}
		if first {
			s.began = s.f.clock.now()
			told()
		}
		first = false
	}
	return nil
}

// take works through one answer of /sync.
func (s *session) take(ctx context.Context, res *mautrix.RespSync, since string, first bool) {
	if s.keys != nil {
		s.keys.sync(ctx, res, since)
	}
	for rid, inv := range res.Rooms.Invite {
		s.invited(rid, inv.State.Events)
	}
	for rid, left := range res.Rooms.Leave {
		s.out(rid, append(left.State.Events, left.Timeline.Events...))
	}
	for _, rid := range sorted(res.Rooms.Join) {
		j := res.Rooms.Join[rid]
		r, ok := s.meet(ctx, rid)
		if !ok {
			continue
		}
		for _, e := range j.State.Events {
			s.state(ctx, r, e)
		}
		s.judge(r)
		events, joined := j.Timeline.Events, ownJoin(j.Timeline.Events, s.f.me)
		switch {
		case !j.Timeline.Limited || first:
		case joined < 0:
			events = append(s.gap(ctx, r, j.Timeline.PrevBatch, since), events...)
		case !r.wanted: // what somebody wrote before we could follow their invitation
			before := s.gap(ctx, r, j.Timeline.PrevBatch, "")
			events, joined = append(before, events...), joined+len(before)
		}
		for i, e := range events {
			e.RoomID = rid
			if e.StateKey != nil {
				s.state(ctx, r, e)
			}
			s.hear(ctx, r, e, first || i < joined && !s.awaited(r, e))
		}
		s.judge(r)
		s.follow(r)
	}
	s.unseal(ctx)
}

// awaited reports whether something was said before we came in, and yet to us: in a direct room, by who invited us
// while we listened, and could not see that we are slow. A second more, because the server's clock is known to a second
// or so.
func (s *session) awaited(r *room, e *event.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !r.wanted && r.with == e.Sender.String() && time.UnixMilli(e.Timestamp).After(s.began.Add(time.Second))
}

func sorted(m map[id.RoomID]*mautrix.SyncJoinedRoom) []id.RoomID {
	var out []id.RoomID
	for rid := range m {
		out = append(out, rid)
	}
	slices.Sort(out)
	return out
}

// ownJoin gives where in a timeline we came in; -1: it does not tell.
func ownJoin(events []*event.Event, me id.UserID) int {
	for i, e := range slices.Backward(events) {
		if e.Type.Type != "m.room.member" || e.StateKey == nil || *e.StateKey != me.String() || membership(e.Content.Raw) != "join" {
			continue
		}
		if e.Unsigned.PrevContent == nil || membership(e.Unsigned.PrevContent.Raw) != "join" { // otherwise it is a new name
			return i
		}
	}
	return -1
}

// membership is "" where the content has another shape: anybody may have written it.
func membership(content map[string]any) string {
	m, _ := content["membership"].(string)
	return m
}

// maxGap bounds what is read again of a room in which more was said at once than /sync tells.
const maxGap = 500

// gap gives what was said in a room between two answers of /sync and is in neither, the oldest first.
func (s *session) gap(ctx context.Context, r *room, from, to string) []*event.Event {
	rctx, done := timed(ctx)
	defer done()
	res, err := s.c.Messages(rctx, r.id, from, to, mautrix.DirectionBackward, nil, maxGap)
	if err != nil {
		s.f.log.Warn("more was said at once than the homeserver told, and the rest cannot be read; it is not heard", "room", r.place, "err", short(err))
		return nil
	}
	if len(res.Chunk) == maxGap {
		s.f.log.Warn("too much was said at once; what came first is not heard", "room", r.place)
	}
	slices.Reverse(res.Chunk)
	return res.Chunk
}

// Ages of what is said, by the server's clock.
const (
	maxAge   = time.Minute    // older is of the past
	maxStory = 24 * time.Hour // older than that is not worth a word
)

// hear hands on what somebody said. An event on which we have a bug costs that event.
func (s *session) hear(ctx context.Context, r *room, e *event.Event, past bool) {
	if e.Sender == s.f.me || e.StateKey != nil || !s.f.keep.first(e.ID) {
		return
	}
	if p := guard.Do(func() { s.heard(ctx, r, e, past) }); p != nil {
		guard.Log(s.f.log, "read from matrix", "user", s.f.cfg.User)(p)
	}
}

// heard passes on messages, encrypted or not; no other event is of use to the bot.
func (s *session) heard(ctx context.Context, r *room, e *event.Event, past bool) {
	switch e.Type.Type {
	case "m.room.encrypted":
		s.open(ctx, r, e, past)
	case "m.room.message":
		s.message(r, e, past)
	}
}

// message is one that can be read.
func (s *session) message(r *room, e *event.Event, past bool) {
	sender := e.Sender.String()
	what, ok := read(e.Content.VeryRaw)
	if !ok || !wellFormed(sender) || sender == s.f.cfg.User {
		return
	}
	age := s.f.clock.now().Sub(time.UnixMilli(e.Timestamp))
	if age > maxStory {
		return
	}
	s.mu.Lock()
	m := bot.Message{Nick: s.f.nick(sender), Account: sender, Place: r.place, Direct: sender, Private: r.with != "", Text: s.f.named(what.text), Corrected: what.corrected}
	known := r.wanted || m.Private && r.with == sender
	s.mu.Unlock()
	if !known {
		return
	}
	if what.thread != "" {
		m.Room, m.Place = m.Place, m.Place+" "+what.thread
	}
	if m.Private {
		m.Direct = m.Place
	}
	if past || age > maxAge {
		m.Past = s.number
	}
	s.in(m)
}

// once says something about a room in the log, and not again.
func (s *session) once(r *room, level slog.Level, what string, attrs ...any) {
	key := r.place + " " + what
	if len(s.f.told) > 1000 { // rooms cost strangers nothing
		clear(s.f.told)
	}
	if !s.f.told[key] {
		s.f.told[key] = true
		s.f.log.Log(context.Background(), level, what, append([]any{"room", r.place}, attrs...)...)
	}
}
