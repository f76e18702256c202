package slack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goslack "github.com/slack-go/slack"

	"github.com/jarvisops/jarvis/bot"
)

// A room is named in the configuration as #ops or by its id; Slack knows ids only. A place is a room as configured or a
// user's id, and for a thread a slash and its first ts after that.

// findRooms asks in which channels the bot is, and says of which rooms it is not.
func (s *session) findRooms(ctx context.Context) error {
	f := s.f
	if len(f.cfg.Channels) == 0 {
		return nil
	}
	found := map[string]goslack.Channel{}
	cursor := ""
	for {
		var list []goslack.Channel
		err := s.patiently(ctx, func() (err error) {
			list, cursor, err = s.api.GetConversationsForUserContext(ctx, &goslack.GetConversationsForUserParameters{Types: []string{"public_channel", "private_channel"}, Limit: 200, Cursor: cursor})
			return err
		})
		if err != nil {
			return fmt.Errorf("users.conversations: %w", err)
		}
		for _, c := range list {
			found["#"+c.Name], found[c.ID] = c, c
		}
		if cursor == "" {
			break
		}
	}
	for _, room := range f.cfg.Channels {
		c, there := found[room]
		switch {
		case !there:
			f.tell("room "+room, "slack keeps us out of a channel", fmt.Errorf("%s: the bot is not there, or it has another name; say `/invite @%s` in it", room, f.Nick()))
		case c.IsArchived:
			f.tell("room "+room, "slack keeps us out of a channel", fmt.Errorf("%s is archived: nobody can speak there; take it out of chat.slack.channels", room))
		default:
			f.well("room " + room)
		}
		f.mu.Lock()
		delete(f.ids, room)
		if there {
			f.ids[room] = c.ID
		}
		f.shut[room] = there && c.IsArchived
		f.mu.Unlock()
	}
	return nil
}

// Inside is bot.Insider, as of the last look. In an archived channel nobody can speak: it counts as one that the bot is
// not in.
func (f *Frontend) Inside(room string) bool {
	up := f.Up()
	f.mu.Lock()
	defer f.mu.Unlock()
	return up && f.ids[room] != "" && !f.shut[room]
}

// room gives the configured room that a channel is; "": none.
func (f *Frontend) room(channel string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, room := range f.cfg.Channels { // of #ops and its id the first
		if f.ids[room] == channel {
			return room
		}
	}
	return ""
}

// shown gives what people call a channel.
func (f *Frontend) shown(channel string) string {
	if room := f.room(channel); room != "" {
		return room
	}
	return channel
}

// RoomOf is bot.Threader.
func (f *Frontend) RoomOf(place string) string {
	room, _ := cutPlace(place)
	return room
}

// cutPlace takes a place apart.
func cutPlace(place string) (target, thread string) {
	target, thread, _ = strings.Cut(place, "/")
	return target, thread
}

// channel gives where a target's lines are posted.
func (s *session) channel(ctx context.Context, target string) (string, error) {
	f := s.f
	f.mu.Lock()
	id := f.ids[target]
	if id == "" {
		id = f.direct[target]
	}
	f.mu.Unlock()
	if id != "" {
		return id, nil
	}
	if !userID.MatchString(target) {
		return "", fmt.Errorf("%w: the bot is not in %s", bot.ErrRefused, target)
	}
	c, _, _, err := s.api.OpenConversationContext(ctx, &goslack.OpenConversationParameters{Users: []string{target}})
	if err != nil {
		return "", fmt.Errorf("conversations.open: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.direct) >= maxPeople {
		clear(f.direct)
	}
	f.direct[target] = c.ID
	return c.ID, nil
}

// patiently calls what Slack may answer with 429, and waits as long as it says, a few times.
func (s *session) patiently(ctx context.Context, call func() error) error {
	for try := 0; ; try++ {
		err := call()
		var limited *goslack.RateLimitedError
		if !errors.As(err, &limited) || try == 5 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(limited.RetryAfter):
		}
	}
}
