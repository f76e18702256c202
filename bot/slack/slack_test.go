package slack_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/slack"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab"
)

const limit = 20 * time.Second

// site is a workspace with a frontend in it.
type site struct {
	*testing.T
	*lab.Slack
	f     *slack.Frontend
	heard chan bot.Message
	log   *buffer
	end   func()

	silent, pause, age, look time.Duration // 0: as it is
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func conf(s *lab.Slack) slack.Config {
	return slack.Config{AppToken: lab.SlackAppToken, BotToken: lab.SlackBotToken, Channels: []string{"#ops"}, URL: s.URL, Rate: slack.Rate{Burst: 50, Interval: 5 * time.Millisecond}}
}

// fast is a workspace that takes posts as they come, and sends events again soon.
func fast() lab.SlackOptions {
	return lab.SlackOptions{PostEvery: time.Millisecond, Burst: 1000, Retries: []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond}}
}

// start has a frontend connect; edit may change its configuration.
func start(t *testing.T, o lab.SlackOptions, edit func(*slack.Config)) *site {
	t.Helper()
	s := lab.StartSlack(o)
	t.Cleanup(s.Close)
	x := &site{T: t, Slack: s, log: &buffer{}}
	c := conf(s)
	if edit != nil {
		edit(&c)
	}
	x.run(c)
	if err := s.Connected(1, limit); err != nil {
		t.Fatal(err, x.log)
	}
	x.up()
	t.Cleanup(func() {
		if bad := s.Violations(); len(bad) > 0 {
			t.Errorf("it broke rules: %q", bad)
		}
	})
	return x
}

// run starts a frontend, in place of one that was there.
func (x *site) run(c slack.Config) {
	x.Helper()
	f, err := slack.New(c, "jarvis", slog.New(slog.NewTextHandler(x.log, nil)))
	if err != nil {
		x.Fatal(err)
	}
	if x.silent > 0 {
		f.Silent(x.silent)
	}
	if x.age > 0 {
		f.Age(x.age)
	}
	if x.look > 0 {
		f.Look(x.look)
	}
	if x.pause > 0 {
		f.Pause(x.pause)
	}
	x.f = f
	x.speak()
}

// speak runs the frontend, which may have spoken before.
func (x *site) speak() {
	x.Helper()
	f := x.f
	x.heard = make(chan bot.Message, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	heard := x.heard
	go func() { done <- f.Run(ctx, func(m bot.Message) { heard <- m }) }()
	x.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			x.Error(err)
		}
	})
	x.Cleanup(x.end)
}

// up waits for the link: the hello was read.
func (x *site) up() {
	x.Helper()
	for end := time.Now().Add(limit); !x.f.Up(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			x.Fatal("no link", x.log)
		}
	}
}

// logged waits for a line of the log.
func (x *site) logged(pattern string) {
	x.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(limit); !re.MatchString(x.log.String()); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			x.Fatalf("the log does not say %s:\n%s", pattern, x.log)
		}
	}
}

// next gives what is heard next.
func (x *site) next() bot.Message {
	x.Helper()
	select {
	case m := <-x.heard:
		return m
	case <-time.After(limit):
		x.Fatal("nothing is heard", x.log, x.Violations())
		panic("no")
	}
}

// then says something that is heard for certain, and fails when anything else was heard before.
func (x *site) then() {
	x.Helper()
	if err := x.Settled(limit); err != nil {
		x.Fatal(err)
	}
	mark := fmt.Sprintf("mark %d", time.Now().UnixNano())
	x.Say(lab.Said{User: lab.SlackUser("bob"), Channel: "C0OPS", Text: mark})
	if m := x.next(); m.Text != mark {
		x.Errorf("heard %+v", m)
	}
}

func alice(text string) lab.Said {
	return lab.Said{User: lab.SlackUser("alice"), Channel: "C0OPS", Text: text}
}

func TestHearAndAnswer(t *testing.T) {
	x := start(t, fast(), nil)
	x.Say(alice("<@" + lab.SlackBotUser + "> status loki"))
	m := x.next()
	want := bot.Message{Nick: "alice", Account: "U0ALICE", Place: "#ops", Direct: "U0ALICE", Text: "@jarvis status loki"}
	if m != want {
		t.Errorf("heard %+v, want %+v", m, want)
	}
	x.then() // the mention is two events, and one message
	x.f.Say(m.Place, []string{"loki is <ready> & `status loki` says more", "second"})
	p, _, err := x.Wait("loki", 0, limit)
	if err != nil {
		t.Fatal(err)
	}
	if p.Text != "loki is &lt;ready&gt; &amp; `status loki` says more\nsecond" || p.Channel != "C0OPS" || p.Thread != "" || !p.Mrkdwn || p.Unfurl {
		t.Errorf("said %+v", p)
	}
	if err := x.f.Deliver(t.Context(), bot.Notice{Place: "#ops", Line: "a notice"}); err != nil {
		t.Error(err)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	c := slack.Config{AppToken: lab.SlackAppToken, BotToken: lab.SlackBotToken}
	if s := fmt.Sprintf("%+v", c); strings.Contains(s, "lab") || !strings.Contains(s, clipboard.Mask) {
		t.Error(s)
	}
}
