package matrix

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// cipher reads and writes what is said in encrypted rooms. All but seal is called by the listener alone.
type cipher interface {
	// sync takes the keys that an answer of /sync brings.
	sync(ctx context.Context, res *mautrix.RespSync, since string)
	// member hears of a change of members.
	member(ctx context.Context, e *event.Event)
	// open reads an event. The error is errNoKey when its key may come yet.
	open(ctx context.Context, e *event.Event) (*event.Event, error)
	// seal writes the content of an event for the members of a room.
	seal(ctx context.Context, room id.RoomID, content any) (any, error)
	close()
}

var errNoKey = errors.New("its key has not come")

// sealed is a message whose key is missing.
type sealed struct {
	r    *room
	e    *event.Event
	past bool
	till time.Time
}

// How many wait for their key, and how long.
const (
	maxSealed  = 200
	sealedLife = 5 * time.Minute
)

// unreadable is said once for each room.
const unreadable = "this room is encrypted, and this program was built without the tag goolm: nothing that is said there can be read"

// open reads an encrypted message, or has it wait for its key.
func (s *session) open(ctx context.Context, r *room, e *event.Event, past bool) {
	if s.keys == nil {
		if !s.f.cfg.beside {
			s.once(r, slog.LevelWarn, unreadable)
		}
		return
	}
	plainEvent, err := s.keys.open(ctx, e)
	switch {
	case err == nil:
		if plainEvent.Type.Type == "m.room.message" && plainEvent.Sender == e.Sender && plainEvent.RoomID == r.id {
			plainEvent.Timestamp = e.Timestamp
			s.message(r, plainEvent, past)
		}
	case errors.Is(err, errNoKey) && len(s.sealed) < maxSealed:
		s.sealed = append(s.sealed, sealed{r, e, past, time.Now().Add(sealedLife)})
	case past && errors.Is(err, errNoKey):
		s.f.log.Debug("a message of the past cannot be read", "room", r.place)
	default:
		s.f.log.Warn("an encrypted message cannot be read; whoever said it may say it again", "room", r.place, "by", s.f.nick(e.Sender.String()), "why", err)
	}
}

// unseal tries again what waits for its key.
func (s *session) unseal(ctx context.Context) {
	list := s.sealed
	s.sealed = nil
	for _, w := range list {
		if time.Now().Before(w.till) {
			s.open(ctx, w.r, w.e, w.past)
			continue
		}
		level := slog.LevelWarn
		if w.past { // of before our device was there
			level = slog.LevelDebug
		}
		s.f.log.Log(ctx, level, "the key of an encrypted message did not come; whoever said it may say it again", "room", w.r.place, "by", s.f.nick(w.e.Sender.String()))
	}
}
