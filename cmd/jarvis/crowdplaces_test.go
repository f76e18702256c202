package main

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

func (s *crowdSite) onIRC(t testing.TB) {
	t.Helper()
	dial := func(nick string, channels ...string) *real.IRCClient {
		c, err := real.DialIRC(t.Context(), s.irc.Addr, nick, channels...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	for i := range s.rooms * s.each {
		name, room := fmt.Sprintf("i%d", i), fmt.Sprintf("#c%d", i%s.rooms)
		c := dial(name, room)
		s.people = append(s.people, talker{name, room, `^:jarvis!\S+ PRIVMSG ` + room + " :", c.Say, c.Next, c.Count, 0})
	}
	for i := range s.crowd.strangers {
		s.strangers = append(s.strangers, talker{room: "jarvis", say: dial(fmt.Sprintf("z%d", i)).Say})
	}
}

func (s *crowdSite) onJabber(t testing.TB) {
	t.Helper()
	dial := func(name string, rooms ...string) *real.XMPPClient {
		c, err := real.DialXMPP(t.Context(), s.jabber, name, rooms...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	for i := range s.rooms * s.each {
		name, room := fmt.Sprintf("j%d", i), fmt.Sprintf("r%d@%s", i%s.rooms, real.XMPPRooms)
		c := dial(name, room)
		s.people = append(s.people, talker{name, room, "^" + room + "/jarvis: ", c.Say, c.Next, c.Count, 0})
	}
	for i := range s.crowd.strangers {
		s.strangers = append(s.strangers, talker{room: "jarvis@" + real.XMPPDomain, say: dial(fmt.Sprintf("zj%d", i)).Say})
	}
}

// onMatrix makes the rooms, which the bot then comes into.
func (s *crowdSite) onMatrix(t testing.TB) (rooms []string) {
	t.Helper()
	dial := func(name string) *real.MatrixClient {
		c, err := real.DialMatrix(t.Context(), s.matrix, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	say := func(c *real.MatrixClient) func(place, text string) {
		return func(place, text string) {
			if _, err := c.Say(t.Context(), place, text); err != nil && t.Context().Err() == nil {
				t.Logf("%s: %v", c.ID, err)
			}
		}
	}
	var ids []string
	for i := range s.rooms * s.each {
		c := dial(fmt.Sprintf("m%d", i))
		var err error
		room := ""
		if i < s.rooms {
			if room, err = c.MakeRoom(t.Context(), fmt.Sprintf("c%d", i), false); err == nil {
				ids, rooms = append(ids, room), append(rooms, fmt.Sprintf("%q", fmt.Sprintf("#c%d:%s", i, real.MatrixServer)))
			}
		} else {
			room, err = c.Join(t.Context(), ids[i%s.rooms])
		}
		if err != nil {
			t.Fatal(err)
		}
		s.people = append(s.people, talker{fmt.Sprintf("m%d", i), room, "^" + regexp.QuoteMeta(room) + ` @jarvis:\S+: `, say(c), c.Next, c.Count, 6})
	}
	for i := range s.crowd.strangers {
		c := dial(fmt.Sprintf("zm%d", i))
		room, err := c.MakeRoom(t.Context(), "", true, "@jarvis:"+real.MatrixServer)
		if err != nil {
			t.Fatal(err)
		}
		s.strangers = append(s.strangers, talker{room: room, say: say(c), slow: 20}) // a homeserver here bears no more
	}
	return rooms
}

// onSlack has one reader for all: there are no clients, only posts.
func (s *crowdSite) onSlack(t testing.TB) {
	t.Helper()
	r := &slackCrowd{lines: map[string][]string{}, next: map[string]int{}, more: map[string]chan struct{}{}}
	members := make([][]string, s.rooms)
	for i := range s.rooms * s.each {
		name := fmt.Sprintf("s%d", i)
		members[i%s.rooms] = append(members[i%s.rooms], name)
		r.more[name] = make(chan struct{}, 1)
		s.people = append(s.people, talker{name, fmt.Sprintf("C0CROWD%d", i%s.rooms), "^", func(place, text string) {
			s.slack.Say(lab.Said{User: lab.SlackUser(name), Channel: place, Text: "<@" + lab.SlackBotUser + ">" + strings.TrimPrefix(text, "jarvis:")})
		}, func(pattern string, limit time.Duration) (string, error) { return r.wait(name, pattern, limit) }, func(pattern string) int { return r.count(name, pattern) }, 0})
	}
	for i, m := range members {
		s.slack.Meet(fmt.Sprintf("C0CROWD%d", i), fmt.Sprintf("c%d", i), m...)
	}
	for i := range s.crowd.strangers {
		name := fmt.Sprintf("z%d", i)
		s.slack.Meet("", "", name)
		s.strangers = append(s.strangers, talker{say: func(_, text string) { s.slack.Say(lab.Said{User: lab.SlackUser(name), Text: text}) }})
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		r.read(s.slack, end)
	}()
	t.Cleanup(func() { close(end); <-ended })
}

// slackCrowd has what each person was told.
type slackCrowd struct {
	mu    sync.Mutex
	lines map[string][]string
	next  map[string]int
	more  map[string]chan struct{}
}

// read goes on until end is closed, or a second longer.
func (r *slackCrowd) read(s *lab.Slack, end <-chan struct{}) {
	for n := 0; ; {
		var posts []lab.SlackPost
		select {
		case <-end:
			return
		default:
		}
		_ = s.Until("posts", time.Second, func() bool { posts = s.PostsFrom(n); return len(posts) > 0 }) // nothing is nothing
		n += len(posts)
		for _, p := range posts {
			name, _, _ := strings.Cut(p.Text, ":")
			if more := r.more[name]; p.Bot && more != nil {
				r.mu.Lock()
				r.lines[name] = append(r.lines[name], p.Text)
				r.mu.Unlock()
				select {
				case more <- struct{}{}:
				default:
				}
			}
		}
	}
}

func (r *slackCrowd) wait(name, pattern string, limit time.Duration) (string, error) {
	re, late := regexp.MustCompile(pattern), time.NewTimer(limit)
	defer late.Stop()
	for {
		r.mu.Lock()
		for r.next[name] < len(r.lines[name]) {
			l := r.lines[name][r.next[name]]
			if r.next[name]++; re.MatchString(l) {
				r.mu.Unlock()
				return l, nil
			}
		}
		r.mu.Unlock()
		select {
		case <-r.more[name]:
		case <-late.C:
			return "", fmt.Errorf("%s saw no %s within %s", name, pattern, limit)
		}
	}
}

func (r *slackCrowd) count(name, pattern string) (n int) {
	re := regexp.MustCompile(pattern)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines[name] {
		if re.MatchString(l) {
			n++
		}
	}
	return n
}
