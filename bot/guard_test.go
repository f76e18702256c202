package bot_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// many lets strangers ask as fast as they like.
var many = access.LimitConfig{Burst: 1 << 30, Interval: 1}

// parts is a bot on a network of the test.
func parts(t testing.TB, feed bot.Feed, fetch func(context.Context, string) ([]byte, error), fronts ...bot.Frontend) (b *bot.Bot, closeDB func()) {
	t.Helper()
	return partsFor(t, bot.StrangersConfig{}, feed, fetch, fronts...)
}

func partsFor(t testing.TB, strangers bot.StrangersConfig, feed bot.Feed, fetch func(context.Context, string) ([]byte, error), fronts ...bot.Frontend) (b *bot.Bot, closeDB func()) {
	t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	reg := pipeline.NewRegistry()
	reg.Add(pipeline.Step{Name: "keys:create", Do: func(context.Context, *clipboard.Clipboard) error { return nil }})
	e, err := pipeline.New(ctx, pipeline.Config{DB: db, Registry: reg, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	acc, err := access.New(ctx, []access.PersonConfig{{Name: "alice", Chat: []access.Account{irc.Account("nick:alice")}, Roles: []string{access.Admin}}}, db)
	if err != nil {
		t.Fatal(err)
	}
	table := command.NewTable(&command.Env{Name: "jarvis", Version: "v1", Engine: e, Access: acc, Fetch: fetch,
		Pipelines: map[string]map[string][]string{"deploy": {"esx": {"keys:create"}}}, Limiter: access.NewLimiter(many)})
	b, err = bot.New(ctx, bot.Config{Name: "jarvis", Table: table, Engine: e, DB: db, Access: acc, Frontends: fronts, Checks: feed,
		Strangers: strangers})
	if err != nil {
		t.Fatal(err)
	}
	return b, func() { _ = db.Close() }
}

// brokenFeed panics a few times, and then has something to say.
type brokenFeed struct{ left atomic.Int64 }

func (f *brokenFeed) Notices(_ context.Context, after int64, _ int) ([]checks.Notice, error) {
	if f.left.Add(-1) >= 0 {
		panic("boom")
	}
	if after > 0 {
		return nil, nil
	}
	return []checks.Notice{{ID: 1, Line: "loki is \x1b[31mdown\u202e"}}, nil
}

func (f *brokenFeed) NewNotices() (<-chan struct{}, func()) { return nil, func() {} }

// TestNoticesGoOnAfterAPanic: the loop that says what became of runs and checks ended for good, and with it the server.
func TestNoticesGoOnAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &brokenFeed{}
		feed.left.Store(3)
		s := &stage{name: "test"}
		b, done := parts(t, feed, nil, s)
		before := guard.Panics()
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(s.take(), "\n"); got != "loki is down" {
			t.Errorf("it said %q", got)
		}
		if n := guard.Panics() - before; n != 3 {
			t.Errorf("%d panics", n)
		}
		cancel()
		wg.Wait()
		done()
	})
}

// FuzzAnswer: whatever somebody says to the bot, and whatever document it fetches for him, there is one answer or
// refusal in plain lines, and nothing panics. The bot's own rule that it stays quiet towards who says nothing it knows
// is met by a line between that it does know.
func FuzzAnswer(f *testing.F) {
	const doc = "instance:\n  hostname: loki\n  provider: ESX\n"
	for _, l := range []string{"status", "deploy http://x/y", "plan http://x/y", "help", "whoami", "log loki", "run loki \x1b[2J", "\u202estatus", "\x0304,1hosts\x0f", "\xfc", "history 'loki", "deny 1"} {
		f.Add(l, "alice", doc)
		f.Add(l, "a\x02l\u200bice", "")
	}
	f.Add("deploy http://x/y", "alice", "instance: {hostname: \"\\0\", provider: \xfc}\n")
	var mu sync.Mutex
	var document string
	s := &answers{said: make(chan []string, 100)}
	b, done := partsFor(f, bot.StrangersConfig{Each: many, All: many}, nil, func(context.Context, string) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		return []byte(document), nil
	}, s)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	s.up = make(chan struct{})
	wg.Go(func() { _ = b.Run(ctx) })
	f.Cleanup(func() { cancel(); wg.Wait(); done() })
	<-s.up
	f.Fuzz(func(t *testing.T, line, nick, text string) {
		if len(line) > 1000 || len(text) > 4000 || strings.TrimSpace(plain.Line(line)) == "" || nick == "" {
			return
		}
		mu.Lock()
		document = text
		mu.Unlock()
		before := guard.Panics()
		for _, l := range []string{line, "whoami"} {
			s.in(bot.Message{Nick: nick, Place: nick, Private: true, Text: l}) // in private there is one answer to each
			select {
			case lines := <-s.said:
				for _, x := range lines {
					if plain.Line(x) != x {
						t.Errorf("%q of %q is answered by %q", l, nick, x)
					}
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("%q of %q has no answer", l, nick)
			}
		}
		if guard.Panics() != before {
			t.Errorf("%q of %q with %q panicked", line, nick, text)
		}
	})
}

// answers is a network that keeps what is answered.
type answers struct {
	in   func(bot.Message)
	up   chan struct{}
	said chan []string
}

func (s *answers) Name() string    { return "test" }
func (s *answers) Network() string { return "irc" }
func (s *answers) Nick() string    { return "jarvis" }
func (s *answers) Run(ctx context.Context, in func(bot.Message)) error {
	s.in = in
	close(s.up)
	<-ctx.Done()
	return nil
}
func (s *answers) Say(_ string, lines []string)              { s.said <- lines }
func (s *answers) Deliver(context.Context, bot.Notice) error { return nil }
