package matrix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/jarvisops/jarvis/internal/plain"
)

// room is one that we are in, or want to be in. The session's mutex guards it.
type room struct {
	place     string // as the configuration writes it; otherwise its id
	id        id.RoomID
	wanted    bool   // it is in the configuration
	with      string // with whom it is a direct room
	met       bool   // its state was read
	named     bool   // it has a name or an alias
	encrypted bool
	leaving   bool
	next      id.RoomID // its owner made that one of it

	joined   bool
	unknown  bool // there is no such alias
	tried    time.Time
	since    time.Time // when we came in
	pause    time.Duration
	complain string // why we could not, as it was said
}

type invitation struct {
	room   id.RoomID
	by     string
	direct bool
}

type farewell struct {
	room *room
	why  string
}

// resolve asks which rooms the configured aliases are, so that each is known when /sync tells of it.
func (s *session) resolve(ctx context.Context) {
	for _, r := range s.want {
		_ = s.find(ctx, r)
	}
}

// find gives a configured room its id.
func (s *session) find(ctx context.Context, r *room) error {
	rid := id.RoomID(r.place)
	if r.place[0] == '#' {
		rctx, done := timed(ctx)
		res, err := s.c.ResolveAlias(rctx, id.RoomAlias(r.place))
		done()
		s.mu.Lock()
		r.unknown = errors.Is(err, mautrix.MNotFound)
		s.mu.Unlock()
		if err != nil {
			return err
		}
		rid = res.RoomID
	}
	rid = s.f.keep.upgraded(rid) // an alias may lead to the old one for a while, or for good
	s.mu.Lock()
	defer s.mu.Unlock()
	r.id = rid
	if old := s.rooms[rid]; old == nil || !old.wanted {
		s.rooms[rid] = r
	} else if old != r {
		return fmt.Errorf("it is the same room as %s; write it once", old.place)
	}
	return nil
}

// care joins what is to be joined, and answers invitations, until the connection is over. The link counts as up when
// every room has been tried: what waits to be said finds them.
func (s *session) care(ctx context.Context) error {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	synced := s.synced
	for {
		if err := s.joinMissing(ctx); err != nil {
			return err
		}
		if !s.wasUp.Load() && synced == nil {
			s.wasUp.Store(true)
			s.f.log.Info("the matrix link is up", "user", s.f.cfg.User, "device", s.c.DeviceID.String())
			s.f.link.Set(ctx, s)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-synced:
			synced = nil
		case <-t.C:
			select { // one each round: a crowd of strangers must not use up what the server allows us
			case inv := <-s.invite:
				s.answer(ctx, inv)
			case f := <-s.leave:
				s.goodbye(ctx, f)
			default:
			}
		}
	}
}

// maxJoinPause bounds the time between two tries to come into a room.
const maxJoinPause = time.Minute

// joinMissing tries each configured room that we are not in. The error is of the whole connection.
func (s *session) joinMissing(ctx context.Context) error {
	for _, r := range s.want {
		s.mu.Lock()
		try := !r.joined && time.Since(r.tried) >= r.pause
		if try {
			r.tried = time.Now()
		}
		s.mu.Unlock()
		if !try {
			continue
		}
		err := s.find(ctx, r)
		if err == nil {
			rctx, done := timed(ctx)
			_, err = s.c.JoinRoom(rctx, r.id.String(), nil)
			done()
		}
		wait, slow := limited(err)
		s.mu.Lock()
		switch {
		case slow:
			r.pause = wait
		case err == nil:
			r.joined, r.since = true, time.Now()
			if r.complain != "" {
				s.f.log.Info("in the room after all", "room", r.place)
			}
			r.complain = ""
		default:
			r.pause = min(max(2*r.pause, 2*time.Second), maxJoinPause)
			if why := short(err).Error(); why != r.complain && ctx.Err() == nil {
				r.complain = why
				s.f.log.Warn("cannot join", "room", r.place, "why", why, "what to do", "make the room, or invite "+s.f.cfg.User)
			}
		}
		s.mu.Unlock()
		if errors.Is(err, mautrix.MUnknownToken) {
			return err
		}
	}
	return nil
}

// meet gives the room of which /sync tells that we are in it, with its state read. ok is false when it cannot be used.
func (s *session) meet(ctx context.Context, rid id.RoomID) (*room, bool) {
	s.mu.Lock()
	r := s.rooms[rid]
	if r == nil {
		r = &room{place: rid.String(), id: rid}
		s.rooms[rid] = r
	}
	met := r.met
	s.mu.Unlock()
	if met {
		return r, true
	}
	rctx, done := timed(ctx)
	state, err := s.c.State(rctx, rid)
	done()
	if err != nil {
		if ctx.Err() == nil {
			s.f.log.Warn("a room's members cannot be read; what is said there now is not heard", "room", r.place, "err", short(err))
		}
		return r, r.wanted
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.met = true
	_, r.encrypted = state[event.StateEncryption][""]
	for _, kind := range []event.Type{event.StateRoomName, event.StateCanonicalAlias} {
		if e := state[kind][""]; e != nil && len(e.Content.Raw) > 0 {
			r.named = true
		}
	}
	if e := state[event.StateTombstone][""]; e != nil {
		r.next = replacement(e)
	}
	return r, true
}

// replacement gives the room that an m.room.tombstone names (Client-Server API, "Room upgrades"); "": none.
func replacement(e *event.Event) id.RoomID {
	to, _ := e.Content.Raw["replacement_room"].(string)
	if !strings.HasPrefix(to, "!") {
		return ""
	}
	return id.RoomID(to)
}

// follow goes from a configured room that was upgraded to what its owner made of it. In the old one nobody speaks any
// more.
func (s *session) follow(r *room) {
	s.mu.Lock()
	to, from := r.next, r.id
	if !r.wanted || to == "" || to == from {
		s.mu.Unlock()
		return
	}
	old := &room{place: from.String(), id: from, met: true, named: true, leaving: true}
	s.rooms[from] = old
	r.id, r.next, r.met, r.encrypted, r.joined, r.tried, r.pause = to, "", false, false, false, time.Time{}, 0
	s.rooms[to] = r
	s.mu.Unlock()
	s.f.log.Warn("a room was upgraded; I go to the new one", "room", r.place, "from", from.String(), "to", plain.Line(to.String()))
	if err := s.f.keep.set(func(k *kept) { k.Upgraded[from] = to }); err != nil {
		s.f.log.Debug("keep where a room is now", "err", err)
	}
	select {
	case s.leave <- farewell{old, "it was upgraded"}:
	default:
	}
}

// state follows what changes in a room.
func (s *session) state(ctx context.Context, r *room, e *event.Event) {
	if e.StateKey == nil {
		return
	}
	e.RoomID, e.Type.Class = r.id, event.StateEventType
	if err := e.Content.ParseRaw(e.Type); err != nil && !errors.Is(err, event.ErrContentAlreadyParsed) {
		return
	}
	mautrix.UpdateStateStore(ctx, s.c.StateStore, e)
	switch e.Type.Type {
	case "m.room.encryption":
		s.mu.Lock()
		r.encrypted = true
		s.mu.Unlock()
	case "m.room.tombstone":
		s.mu.Lock()
		r.next = replacement(e)
		s.mu.Unlock()
	case "m.room.member":
		if s.keys != nil {
			s.keys.member(ctx, e)
		}
	}
}

// settleTime is how long a room that we made may have nobody but us in it.
const settleTime = 30 * time.Second

// judge decides whether a room that nobody configured is a direct one: one other person, and we were asked for it, or
// nothing speaks against it. All others we leave.
func (s *session) judge(r *room) {
	if r.wanted || r.leaving || s.f.cfg.beside {
		return
	}
	members, err := s.c.StateStore.GetRoomJoinedOrInvitedMembers(context.Background(), r.id)
	if err != nil {
		return
	}
	others := slices.DeleteFunc(slices.Clone(members), func(u id.UserID) bool { return u == s.f.me })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.making > 0 || len(others) == 0 && time.Since(r.since) < settleTime {
		return // it may be one that we make now, and who is invited is not there yet
	}
	why := ""
	switch {
	case len(others) == 0:
		why = "nobody else is there"
	case len(others) > 1:
		why = "it is neither in chat.matrix.rooms nor a room of two"
	case s.f.keep.direct(r.id) == "" && r.named:
		why = "it is not in chat.matrix.rooms, and has a name"
	}
	if why == "" {
		if with := others[0].String(); r.with != with {
			r.with = with
			s.remember(r.id, with)
		}
		return
	}
	for _, w := range s.want {
		if w.id == "" && !w.unknown {
			return // it may be that one
		}
	}
	select {
	case s.leave <- farewell{r, why}:
		r.leaving, r.with = true, ""
	default: // the next event there brings us here again
	}
}

// remember keeps with whom a room is direct; "" that it is none.
func (s *session) remember(rid id.RoomID, with string) {
	err := s.f.keep.set(func(k *kept) {
		if with == "" {
			delete(k.Direct, rid)
		} else {
			k.Direct[rid] = with
		}
	})
	if err != nil {
		s.f.log.Debug("keep a direct room", "err", err)
	}
}

// invited notes an invitation.
func (s *session) invited(rid id.RoomID, state []*event.Event) {
	inv := invitation{room: rid}
	for _, e := range state {
		if e.Type.Type == "m.room.member" && e.StateKey != nil && *e.StateKey == s.f.me.String() {
			inv.by = e.Sender.String()
			inv.direct, _ = e.Content.Raw["is_direct"].(bool)
		}
	}
	select {
	case s.invite <- inv:
	default:
		s.f.log.Debug("too many invitations wait; one is passed over until the next connection", "room", rid.String())
	}
}

// How many direct rooms others can bring us into: all together, and each.
const (
	maxDirect     = 500
	maxDirectEach = 3
)

// answer follows an invitation into a configured room or a direct one, and declines others.
func (s *session) answer(ctx context.Context, inv invitation) {
	s.mu.Lock()
	mine := false
	for _, r := range s.want {
		if r.id == inv.room || r.id == "" && !r.unknown && !inv.direct {
			mine = true // or may be: nobody could tell us which room it is; a direct one it is not
		}
		if !r.joined && mine {
			r.pause = 0
		}
	}
	s.mu.Unlock()
	if mine || s.f.cfg.beside {
		return // joinMissing goes there
	}
	rctx, done := timed(ctx)
	defer done()
	room, by := plain.Line(inv.room.String()), plain.Line(inv.by)
	why := ""
	switch all, his := s.f.keep.directs(inv.by); {
	case !inv.direct || !wellFormed(inv.by):
		why = "it is neither to a direct room nor into one of chat.matrix.rooms"
	case his >= maxDirectEach:
		why = fmt.Sprintf("we have %d direct rooms already; use one of those", his)
	case all >= maxDirect:
		why = fmt.Sprintf("I am in %d direct rooms already", all)
	}
	if why != "" {
		s.f.log.Warn("declined an invitation", "room", room, "by", by, "why", why)
		if _, err := s.c.LeaveRoom(rctx, inv.room); err != nil {
			s.f.log.Debug("decline an invitation", "err", err)
		}
		return
	}
	s.remember(inv.room, inv.by) // before /sync tells of it
	if _, err := s.c.JoinRoomByID(rctx, inv.room); err != nil {
		s.remember(inv.room, "")
		s.f.log.Warn("an invitation to a direct room could not be followed", "room", room, "by", by, "why", short(err))
		return
	}
	s.f.log.Info("in a direct room", "room", room, "with", by)
}

// goodbye leaves a room.
func (s *session) goodbye(ctx context.Context, f farewell) {
	s.f.log.Warn("left a room", "room", f.room.place, "why", f.why)
	rctx, done := timed(ctx)
	defer done()
	if _, err := s.c.LeaveRoom(rctx, f.room.id); err != nil {
		s.f.log.Debug("leave a room", "err", err)
		s.mu.Lock()
		f.room.leaving = false
		s.mu.Unlock()
		return
	}
	s.remember(f.room.id, "")
}

// out is told that we are in a room no longer.
func (s *session) out(rid id.RoomID, events []*event.Event) {
	by, how, reason := "", "", ""
	for _, e := range events {
		if e.Type.Type == "m.room.member" && e.StateKey != nil && *e.StateKey == s.f.me.String() {
			by, how = e.Sender.String(), membership(e.Content.Raw)
			reason, _ = e.Content.Raw["reason"].(string)
		}
	}
	s.mu.Lock()
	r := s.rooms[rid]
	if r == nil {
		s.mu.Unlock()
		return
	}
	r.met, r.with = false, ""
	if !r.wanted {
		delete(s.rooms, rid)
		s.mu.Unlock()
		s.remember(rid, "")
		return
	}
	was := r.joined
	if was {
		if time.Since(r.since) > 5*time.Minute {
			r.pause = 0
		}
		r.joined, r.tried, r.pause = false, time.Now(), min(max(2*r.pause, 2*time.Second), maxJoinPause)
	}
	s.mu.Unlock()
	if was {
		s.f.log.Log(context.Background(), slog.LevelWarn, "out of a room; coming back", "room", r.place, "by", plain.Line(by), "how", strings.ReplaceAll(how, "leave", "kicked"), "reason", plain.Line(reason))
	}
}
