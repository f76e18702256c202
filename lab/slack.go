package lab

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// Slack is a workspace of Slack with one app: its Web API and Socket Mode, as Slack's documentation describes them
// (https://docs.slack.dev/apis/web-api, https://docs.slack.dev/apis/events-api/using-socket-mode). It answers what
// Slack would answer, and refuses what Slack would refuse; what breaks a rule that Slack does not tell of is in
// Violations.
//
//	test ── Say, Press, Cut, Fail … ──► Slack ── envelopes ──► the app's sockets, one each
//	app ── Web API ──► posts ──► Posts, Wait
//
// One goroutine sends what is due (pump); each socket has its reader. Close ends them all.
type Slack struct {
	URL string // of the Web API, with a slash at its end
	SlackOptions

	server *httptest.Server
	wg     guard.Group
	stop   chan struct{}

	mu         sync.Mutex
	changed    chan struct{} // closed at each change that somebody may wait for
	host       string        // by which it was called last
	seq        int
	last       int64 // ts, in microseconds
	channels   map[string]*slackChannel
	users      map[string]*slackUser
	posts      []*SlackPost
	events     []*slackEvent
	sockets    []*slackSocket
	tickets    map[string]bool
	faults     []*slackFault
	paces      map[string]*slackPace
	calls      map[string]int
	lose       int
	opened     int
	violations []string
}

// SlackOptions of a workspace; the zero value is like Slack.
type SlackOptions struct {
	Ack       time.Duration   // within which an envelope is acked; 0: 3 s
	Retries   []time.Duration // after which an event is sent again; nil: at once, 1 min, 5 min
	PostEvery time.Duration   // one post a channel; 0: 1 s
	Burst     int             // posts at once; 0: 3
	Scopes    []string        // of the bot token; nil: all that Jarvis asks for
}

// The app of the workspace.
const (
	SlackBotToken = "xoxb-1-lab"
	SlackAppToken = "xapp-1-A0LAB-1-lab"
	SlackTeam     = "T0LAB"
	SlackBotUser  = "U0BOT"
	slackBotID    = "B0BOT"
	slackAppID    = "A0LAB"
)

// SlackScopes are those that Jarvis asks for.
var SlackScopes = []string{"app_mentions:read", "channels:history", "channels:read", "chat:write", "groups:history", "groups:read", "im:history", "im:read", "im:write", "users:read"}

// SlackPost is a message of a channel.
type SlackPost struct {
	Channel, User, Text, TS, Thread string
	Blocks, Metadata                string // JSON; "" none
	Mrkdwn, Unfurl                  bool
	Bot                             bool
}

// Buttons gives the values of its buttons.
func (p SlackPost) Buttons() []string {
	var out []string
	for _, m := range buttonValue.FindAllStringSubmatch(p.Blocks, -1) {
		out = append(out, m[1])
	}
	return out
}

var buttonValue = pattern.New(`"type":"button".*?"value":"([^"]*)"`)

type slackChannel struct {
	id, name string
	members  []string
	archived bool
}

type slackUser struct {
	id, name, team             string
	stranger, bot, deactivated bool
}

// StartSlack starts a workspace with #ops (C0OPS: all people and the bot), #other (C0OTHER: without the bot) and the
// private #vault (G0VAULT), and the people alice, bob, victor, mallory (U0ALICE …) and eve of another workspace (Slack
// Connect).
func StartSlack(o SlackOptions) *Slack {
	s := &Slack{SlackOptions: o, stop: make(chan struct{}), changed: make(chan struct{}), channels: map[string]*slackChannel{}, users: map[string]*slackUser{}, tickets: map[string]bool{}, paces: map[string]*slackPace{}, calls: map[string]int{}}
	if s.Ack == 0 {
		s.Ack = 3 * time.Second
	}
	if s.Retries == nil {
		s.Retries = []time.Duration{0, time.Minute, 5 * time.Minute}
	}
	if s.PostEvery == 0 {
		s.PostEvery = time.Second
	}
	if s.Burst == 0 {
		s.Burst = 3
	}
	if s.Scopes == nil {
		s.Scopes = SlackScopes
	}
	people := []string{}
	for _, name := range []string{"alice", "bob", "victor", "mallory", "eve"} {
		id := SlackUser(name)
		people = append(people, id)
		s.users[id] = &slackUser{id: id, name: name, team: SlackTeam}
	}
	s.users[SlackUser("eve")].team, s.users[SlackUser("eve")].stranger = "T0OTHER", true
	s.users[SlackBotUser] = &slackUser{id: SlackBotUser, name: "jarvis", team: SlackTeam, bot: true}
	s.channels["C0OPS"] = &slackChannel{id: "C0OPS", name: "ops", members: append(slices.Clone(people), SlackBotUser)}
	s.channels["C0OTHER"] = &slackChannel{id: "C0OTHER", name: "other", members: slices.Clone(people)}
	s.channels["G0VAULT"] = &slackChannel{id: "G0VAULT", name: "vault", members: []string{SlackUser("bob"), SlackBotUser}}
	s.server = httptest.NewServer(s)
	s.URL = s.server.URL + "/api/"
	s.wg.Go(guard.Count, s.pump)
	return s
}

// Meet makes a channel with people of ours and the bot in it; whoever is not there yet comes to the workspace. With the
// name "" it is only that they come.
func (s *Slack) Meet(id, name string, people ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	members := []string{SlackBotUser}
	for _, p := range people {
		user := SlackUser(p)
		if s.users[user] == nil {
			s.users[user] = &slackUser{id: user, name: p, team: SlackTeam}
		}
		members = append(members, user)
	}
	if name != "" {
		s.channels[id] = &slackChannel{id: id, name: name, members: members}
	}
}

// SlackUser gives the id of somebody by their name.
func SlackUser(name string) string { return "U0" + strings.ToUpper(name) }

// Close ends the workspace and all its sockets.
func (s *Slack) Close() {
	close(s.stop)
	s.Cut()
	s.server.Close()
	s.wg.Wait()
}

// touch wakes who waits. It is called with the lock.
func (s *Slack) touch() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// ts gives a new one, later than all before, and not before now. It is called with the lock.
func (s *Slack) ts() string {
	s.last = max(time.Now().UnixMicro(), s.last+1)
	return fmt.Sprintf("%d.%06d", s.last/1e6, s.last%1e6)
}

// bad notes what breaks a rule and would pass at Slack. s.mu is held.
func (s *Slack) bad(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

// Violations are rules that the app broke.
func (s *Slack) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// Calls counts the calls of a method.
func (s *Slack) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Posts gives what the app said, oldest first.
func (s *Slack) Posts() []SlackPost {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []SlackPost
	for _, p := range s.posts {
		if p.Bot {
			out = append(out, *p)
		}
	}
	return out
}

// PostsFrom gives all that was said from the nth line on, by people too.
func (s *Slack) PostsFrom(n int) (out []SlackPost) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.posts[min(n, len(s.posts)):] {
		out = append(out, *p)
	}
	return out
}

// Until waits until something is so.
func (s *Slack) Until(what string, limit time.Duration, is func() bool) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if is() {
			return nil
		}
		select {
		case <-changed:
		case <-late.C:
			return fmt.Errorf("not within %s: %s; posts: %+v; violations: %q", limit, what, s.Posts(), s.Violations())
		}
	}
}

// Wait waits for a post of the app that fits a pattern; from is how many posts to pass over.
func (s *Slack) Wait(pattern string, from int, limit time.Duration) (p SlackPost, at int, err error) {
	re := regexp.MustCompile(pattern)
	err = s.Until("a post like "+pattern, limit, func() bool {
		posts := s.Posts()
		for at = from; at < len(posts); at++ {
			if re.MatchString(posts[at].Text) {
				p = posts[at]
				return true
			}
		}
		return false
	})
	return p, at, err
}

// Connected waits until the app has had so many sockets, and one is open.
func (s *Slack) Connected(times int, limit time.Duration) error {
	return s.Until(fmt.Sprintf("connection %d", times), limit, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.opened >= times && len(s.sockets) > 0
	})
}

// Opened counts the sockets so far.
func (s *Slack) Opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// Settled waits until every event is acked, or given up.
func (s *Slack) Settled(limit time.Duration) error {
	return s.Until("all is acked", limit, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !slices.ContainsFunc(s.events, func(e *slackEvent) bool { return !e.acked && !e.givenUp })
	})
}

// direct gives the direct messages of somebody. It is called with the lock.
func (s *Slack) direct(user string) *slackChannel {
	id := "D" + user[1:]
	if s.channels[id] == nil {
		s.channels[id] = &slackChannel{id: id, members: []string{user, SlackBotUser}}
	}
	return s.channels[id]
}

// Said is what a person says; Channel "" is in private.
type Said struct {
	User, Channel, Text string
	Thread              string
	Subtype             string
	Edits               string         // the ts of what it replaces
	At                  string         // a ts of its own
	Quiet               bool           // no event is sent: it is in the history only
	More                map[string]any // over the event's fields
}

// Say has a person say something, and gives its ts. A mention of the app is two events of one ts.
func (s *Slack) Say(x Said) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[x.Channel]
	if x.Channel == "" {
		c = s.direct(x.User)
	}
	u := s.users[x.User]
	ts := x.At
	if ts == "" {
		ts = s.ts()
	}
	ev := map[string]any{"type": "message", "user": x.User, "text": x.Text, "ts": ts, "event_ts": ts, "channel": c.id, "channel_type": c.kind(), "team": u.team}
	if u.team != SlackTeam {
		ev["user_team"], ev["source_team"] = u.team, u.team
	}
	if x.Thread != "" {
		ev["thread_ts"] = x.Thread
	}
	if x.Subtype != "" {
		ev["subtype"] = x.Subtype
	}
	if x.Edits != "" {
		inner := maps.Clone(ev)
		delete(inner, "channel")
		delete(inner, "channel_type")
		inner["ts"], inner["edited"] = x.Edits, map[string]any{"user": x.User, "ts": ts}
		ev = map[string]any{"type": "message", "subtype": "message_changed", "hidden": true, "channel": c.id, "channel_type": c.kind(), "ts": ts, "event_ts": ts, "message": inner, "previous_message": map[string]any{"text": "before", "user": x.User, "ts": x.Edits}}
	} else {
		s.posts = append(s.posts, &SlackPost{Channel: c.id, User: x.User, Text: x.Text, TS: ts, Thread: x.Thread})
	}
	maps.Copy(ev, x.More)
	if !slices.Contains(c.members, SlackBotUser) || x.Quiet {
		return ts
	}
	if strings.Contains(x.Text, "<@"+SlackBotUser+">") && c.kind() != "im" && x.Subtype == "" && x.Edits == "" {
		mention := maps.Clone(ev)
		mention["type"] = "app_mention"
		delete(mention, "channel_type")
		s.queue("events_api", mention)
	}
	s.queue("events_api", ev)
	return ts
}

// Press has a person press the button with that value under a post.
func (s *Slack) Press(user string, p SlackPost, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.posts, func(x *SlackPost) bool { return x.Channel == p.Channel && x.TS == p.TS })
	if i < 0 || !slices.Contains(s.posts[i].Buttons(), value) {
		return fmt.Errorf("there is no button %q", value)
	}
	u := s.users[user]
	m := map[string]any{"type": "message", "user": SlackBotUser, "bot_id": slackBotID, "app_id": slackAppID, "text": p.Text, "ts": p.TS}
	if p.Thread != "" {
		m["thread_ts"] = p.Thread
	}
	s.queue("interactive", map[string]any{"type": "block_actions", "api_app_id": slackAppID, "team": map[string]any{"id": SlackTeam, "domain": "lab"}, "user": map[string]any{"id": u.id, "username": u.name, "name": u.name, "team_id": u.team},
		"channel": map[string]any{"id": p.Channel}, "message": m, "container": map[string]any{"type": "message", "message_ts": p.TS, "channel_id": p.Channel},
		"actions": []any{map[string]any{"type": "button", "action_id": "jarvis:0", "block_id": "b", "value": value, "action_ts": s.ts()}}})
	return nil
}

// Member takes the app into a channel, or out of it.
func (s *Slack) Member(channel string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	c.members = slices.DeleteFunc(c.members, func(u string) bool { return u == SlackBotUser })
	if yes {
		c.members = append(c.members, SlackBotUser)
	}
}

// Archive closes a channel for good.
func (s *Slack) Archive(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[channel].archived = true
}

// SlackFault is what the next calls of a method meet: the first of its fields that is set.
type SlackFault struct {
	RetryAfter int    // 429, with so many seconds
	Error      string // ok is false
	Status     int    // of HTTP
	Lost       bool   // it is done, and the answer does not come
}

type slackFault struct {
	SlackFault
	method string
	times  int
}

// Fail has the next calls of a method meet a fault.
func (s *Slack) Fail(method string, times int, f SlackFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &slackFault{f, method, times})
}

// fault takes one that a call meets. It is called with the lock.
func (s *Slack) fault(method string) *slackFault {
	for _, f := range s.faults {
		if f.method == method && f.times > 0 {
			f.times--
			return f
		}
	}
	return nil
}

// slackPace is one post a second for a channel, and a few at once.
type slackPace struct {
	left float64
	at   time.Time
}

// paced reports whether a channel takes one more post now. It is called with the lock.
func (s *Slack) paced(channel string) bool {
	now := time.Now()
	p := s.paces[channel]
	if p == nil {
		p = &slackPace{float64(s.Burst), now}
		s.paces[channel] = p
	}
	p.left = min(float64(s.Burst), p.left+now.Sub(p.at).Seconds()/s.PostEvery.Seconds())
	p.at = now
	if p.left < 1 {
		return false
	}
	p.left--
	return true
}

func (c *slackChannel) kind() string {
	return map[byte]string{'C': "channel", 'G': "group", 'D': "im"}[c.id[0]]
}
