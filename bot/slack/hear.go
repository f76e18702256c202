package slack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	goslack "github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// work is what the hearer has to look at: the payload of an envelope, or what a history shows.
type work struct {
	s       *session
	kind    string
	payload []byte
	old     *message
}

// hear hands to the bot what people said, each message once, in the order in which it came.
func (f *Frontend) hear(ctx context.Context, in func(bot.Message)) {
	for {
		var w work
		select {
		case <-ctx.Done():
			return
		case w = <-f.work:
		}
		// A message on which we have a bug costs that message.
		if p := guard.Do(func() { f.one(ctx, w, in) }); p != nil {
			guard.Log(f.log, "read from slack", "app", f.name)(p)
		}
	}
}

// one hands the bot what somebody said. It drops our own, what was heard before, and what is said in a channel that is
// not listed.
func (f *Frontend) one(ctx context.Context, w work, in func(bot.Message)) {
	var x spoken
	var ok bool
	switch {
	case w.old != nil:
		x, ok = readMessage(*w.old, "")
	case w.kind == socketmode.RequestTypeInteractive:
		x, ok = readPress(w.payload)
	default:
		x, ok = readEvent(w.payload)
	}
	if !ok || x.user == w.s.me.UserID || f.heard.again(x.key) {
		return
	}
	private := strings.HasPrefix(x.channel, "D")
	text := x.text
	if x.pressed != nil {
		text = "@" + f.Nick() + " " + text // the bot need not know that it was a button
	} else {
		text = read(text, func(id string) string {
			if id, _, _ := strings.Cut(id, "|"); id == w.s.me.UserID {
				return f.Nick()
			}
			return ""
		})
	}
	place := x.user
	if !private {
		if place = f.room(x.channel); place == "" {
			if strings.HasPrefix(text, "@"+f.Nick()) {
				f.tell("channel "+x.channel, "spoken to in a channel that is not listed, and it is not heard", fmt.Errorf("add %s to chat.slack.channels if it is to be", x.channel))
			}
			return
		}
	} else {
		f.mu.Lock()
		f.direct[x.user] = x.channel
		f.mu.Unlock()
	}
	m := bot.Message{Place: place, Direct: x.user, Private: private, Text: text, Corrected: x.corrected}
	if x.thread != "" {
		m.Room, m.Place = place, place+"/"+x.thread
	}
	if f.past(x.at) {
		m.Past = f.dials.Load()
	}
	if x.pressed != nil {
		m.Choice = bot.Post{At: place + "/" + x.pressed.ts, Text: x.pressed.text}
	}
	m.Nick, m.Account = f.users.who(ctx, w.s, x)
	in(m)
}

// past reports whether something was said before we came, or too long ago, or whether nobody can tell.
func (f *Frontend) past(ts string) bool {
	at, ok := stamp(ts)
	f.mu.Lock()
	began := f.began
	f.mu.Unlock()
	return !ok || began.IsZero() || at.Before(began) || f.clock.now().Sub(at) > f.age
}

// people knows what users.info says of users.
type people struct{ known map[string]person }

type person struct {
	name  string
	ours  bool // of our workspace, and a person who is there
	until time.Time
}

// How long it counts what users.info said, and how many are remembered.
const (
	personLife = time.Hour
	maxPeople  = 5000
)

// who gives what somebody is called, and their account: their user id, when all that the event names is our workspace,
// and Slack knows them as one of it. "" is a stranger. When Slack does not tell, the event must have named our
// workspace.
func (p *people) who(ctx context.Context, s *session, x spoken) (nick, account string) {
	foreign := slices.ContainsFunc(x.teams, func(t string) bool { return t != s.me.TeamID })
	u, ok := p.known[x.user]
	if !ok || time.Now().After(u.until) {
		ctx, cancel := context.WithTimeout(ctx, nameTimeout)
		defer cancel()
		info, err := s.api.GetUserInfoContext(ctx, x.user)
		if err != nil {
			s.f.tell("users.info", "slack does not tell who somebody is; his user id is his name", explain(err, ""))
			if foreign || len(x.teams) == 0 || !userID.MatchString(x.user) {
				return plain.Line(x.user), ""
			}
			return x.user, x.user
		}
		s.f.well("users.info")
		u = person{name: plain.Line(info.Name), ours: ours(info, s.me.TeamID), until: time.Now().Add(personLife)}
		if u.name == "" {
			u.name = plain.Line(x.user)
		}
		if p.known == nil || len(p.known) >= maxPeople {
			p.known = map[string]person{}
		}
		p.known[x.user] = u
	}
	if foreign || !u.ours || !userID.MatchString(x.user) {
		return u.name, ""
	}
	return u.name, x.user
}

// ours reports whether a user is a person of our workspace, and still there.
func ours(u *goslack.User, team string) bool {
	return u.TeamID == team && !u.IsStranger && !u.IsBot && !u.Deleted
}

// catchUp gives the hearer what the rooms' histories, and those of known direct messages, have since then, oldest
// first. What was heard is known, and what is too old is not obeyed.
func (s *session) catchUp(ctx context.Context, since time.Time) {
	f := s.f
	f.mu.Lock()
	var channels []string
	for _, id := range f.ids {
		channels = append(channels, id)
	}
	for _, id := range f.direct {
		channels = append(channels, id)
	}
	f.mu.Unlock()
	for _, id := range channels {
		var list []goslack.Message
		err := s.history(ctx, id, "", since, func(m goslack.Message) bool { list = append(list, m); return true })
		if err != nil && ctx.Err() == nil {
			f.tell("history "+id, "what was said during a cut cannot be read", explain(err, f.shown(id)))
		}
		slices.SortFunc(list, func(a, b goslack.Message) int { return strings.Compare(a.Timestamp, b.Timestamp) })
		for _, m := range list {
			old := message{Type: m.Type, Subtype: m.SubType, Channel: id, User: m.User, Text: m.Text, TS: m.Timestamp, ThreadTS: m.ThreadTimestamp, BotID: m.BotID, Team: m.Team}
			if m.Edited != nil {
				continue // what stood there first is gone, and edits are not obeyed
			}
			select {
			case <-ctx.Done():
				return
			case f.work <- work{s: s, old: &old}:
			}
		}
	}
}

// history calls see for each message of a channel, or of a thread, since then, until see says enough.
func (s *session) history(ctx context.Context, channel, thread string, since time.Time, see func(goslack.Message) bool) error {
	const pages, size = 5, 200
	for cursor, n := "", 0; n < pages; n++ {
		var list []goslack.Message
		var next string
		err := s.patiently(ctx, func() (err error) {
			if thread != "" {
				list, _, next, err = s.api.GetConversationRepliesContext(ctx, &goslack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: thread, Oldest: asStamp(since), Cursor: cursor, Limit: size, IncludeAllMetadata: true})
				return err
			}
			h, err := s.api.GetConversationHistoryContext(ctx, &goslack.GetConversationHistoryParameters{ChannelID: channel, Oldest: asStamp(since), Cursor: cursor, Limit: size, IncludeAllMetadata: true})
			if err == nil {
				list, next = h.Messages, h.ResponseMetaData.NextCursor
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, m := range list {
			if !see(m) {
				return nil
			}
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
	return nil
}
