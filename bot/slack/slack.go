// Package slack is the frontend for one workspace of Slack, by Socket Mode: Jarvis dials out, and nothing dials in.
//
//	supervisor ── a new client per connection ──► auth.test ► rooms ► apps.connections.open ► WebSocket ► hello
//	reader  ── envelopes ──► ack, at once ──► queue               (never waits)
//	hearer  ◄── queue      heard before? whose? from when? ──► bot
//	outbox  ◄── Say, Deliver    a lane for each channel; one goroutine posts, the lanes take turns
//	care    looks again in which rooms the bot is, and reads what was said during a cut
//
// A token goes over verified TLS or to this machine, never elsewhere. A line counts as said when Slack gave its ts, or
// when the history shows it after a lost answer. docs/design/slack.md says what is kept, and what is not.
//
// Why not what was heard, over a restart: docs/adr/0006-nothing-is-kept-of-slack.md
package slack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goslack "github.com/slack-go/slack"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// Config of one app in one workspace.
type Config struct {
	AppToken clipboard.Secret `yaml:"app_token" doc:"xapp-…, with the scope connections:write: it opens the socket"`
	BotToken clipboard.Secret `yaml:"bot_token" doc:"xoxb-…: it speaks, in the one workspace where the app is installed"`
	Channels []string         `yaml:"channels" doc:"channels to listen and speak in, as in #ops, or by id; invite the bot there"`
	URL      string           `yaml:"url" doc:"another address of the Web API, for a gateway: https, or a server on this machine; empty: Slack's own"`
	Rate     Rate             `yaml:"rate" doc:"how fast it may talk in one channel"`
}

// Rate bounds what the bot posts in one channel (https://docs.slack.dev/apis/web-api/rate-limits: one message a second,
// and short bursts).
type Rate struct {
	Burst    int           `yaml:"burst" doc:"messages that may go out at once" default:"3"`
	Interval time.Duration `yaml:"interval" doc:"one more message after each such time" default:"1s"`
}

// Timeouts and limits.
const (
	callTimeout = 15 * time.Second
	nameTimeout = 5 * time.Second
	// maxAge is how old a message may be by Slack's clock, and still be meant for now.
	maxAge = time.Minute
	// refusedPause is between two attempts with tokens that Slack does not accept.
	refusedPause = 10 * time.Minute
	// lasted is how long a connection must have been for the next to be tried at once.
	lasted = 10 * time.Second
	// roomsEvery is how often it is asked in which rooms the bot is: Slack does not tell a bot that it was taken out of
	// one.
	roomsEvery = 30 * time.Second
	maxQueued  = 1000
)

const slackAPI = "https://slack.com/api/"

// Frontend is one app in one workspace; it implements bot.Frontend.
type Frontend struct {
	cfg   Config
	name  string
	nick  atomic.Pointer[string]
	log   *slog.Logger
	http  *http.Client
	clock *clock
	out   *lanes
	work  chan work
	link  bot.Link[session]
	dials atomic.Int64 // connections so far
	probe bool         // it only tries whether it could
	pause time.Duration
	look  time.Duration // how often it is asked where the bot is
	ping  time.Duration // how long a socket may be silent
	age   time.Duration // how old a message may be, and still be obeyed

	heard heard  // the hearer's own
	users people // the hearer's own

	mu     sync.Mutex
	began  time.Time         // the first hello, by Slack's clock
	down   time.Time         // when the last connection ended, by Slack's clock
	ids    map[string]string // by room as configured, of those that the bot is in
	shut   map[string]bool   // rooms that are archived
	direct map[string]string // by user: the channel of their direct messages
	unsure map[unsureKey]unsureLine
	told   map[string]string // by subject: what the log said last
}

var (
	_ bot.Frontend    = (*Frontend)(nil)
	_ bot.Multiliner  = (*Frontend)(nil)
	_ bot.LinkChecker = (*Frontend)(nil)
	_ bot.Roomer      = (*Frontend)(nil)
	_ bot.Insider     = (*Frontend)(nil)
	_ bot.Latecomer   = (*Frontend)(nil)
	_ bot.Chooser     = (*Frontend)(nil)
	_ bot.Editor      = (*Frontend)(nil)
	_ bot.Settings    = Config{}
	_ bot.Settings    = beside{}
)

// Open is bot.Settings.
func (c Config) Open(name string, log *slog.Logger) (bot.Frontend, error) {
	f, err := New(c, name, log)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Beside is bot.Settings: all but the socket. Slack shares events out among the sockets of an app, so what came to
// another one would be lost to the bot that is there.
func (c Config) Beside(string) bot.Settings { return beside{c} }

type beside struct{ Config }

// Open is bot.Settings.
func (c beside) Open(name string, log *slog.Logger) (bot.Frontend, error) {
	f, err := New(c.Config, name, log)
	if err != nil {
		return nil, err
	}
	f.probe = true
	return f, nil
}

// appID is in an app-level token, between the kind and the secret.
var (
	appID     = pattern.New(`^xapp-\d+-(A[0-9A-Z]+)-`)
	roomName  = pattern.New(`^#[^\s#/,<>&A-Z]{1,80}$`)
	channelID = pattern.New(`^[CG][0-9A-Z]{2,}$`)
)

// New checks the configuration; Run connects. name is what the bot is called until Slack says how.
func New(cfg Config, name string, log *slog.Logger) (*Frontend, error) {
	var wrong mistake.List
	app := appID.FindStringSubmatch(string(cfg.AppToken))
	if app == nil {
		wrong.At("chat.slack.app_token", "is no app-level token; it begins with xapp-, and is made on the app's page \"Basic Information\"")
	}
	if !strings.HasPrefix(string(cfg.BotToken), "xoxb-") {
		wrong.At("chat.slack.bot_token", "is no bot token; it begins with xoxb-, and is shown on the app's page \"OAuth & Permissions\"")
	}
	for _, c := range cfg.Channels {
		if !roomName.MatchString(c) && !channelID.MatchString(c) {
			wrong.At("chat.slack.channels", ": %q is no channel, as in #ops or C012AB3CD", c)
		}
	}
	cfg.URL = cmp.Or(cfg.URL, slackAPI)
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || !secure(u) {
		wrong.At("chat.slack.url", "is %q; it must be https, for tokens go there, or a server on this machine", cfg.URL)
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/") + "/"
	if cfg.Rate.Burst <= 0 {
		cfg.Rate.Burst = 3
	}
	if cfg.Rate.Interval <= 0 {
		cfg.Rate.Interval = time.Second
	}
	f := &Frontend{cfg: cfg, name: "slack/" + app[1], log: log, clock: &clock{base: http.DefaultTransport.(*http.Transport).Clone()}, work: make(chan work, maxQueued), pause: refusedPause, look: roomsEvery, ping: 30 * time.Second, age: maxAge,
		ids: map[string]string{}, shut: map[string]bool{}, direct: map[string]string{}, unsure: map[unsureKey]unsureLine{}, told: map[string]string{}}
	f.out = newLanes(cfg.Rate)
	f.http = &http.Client{Transport: f.clock, Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the server sends us elsewhere, and tokens go nowhere else")
	}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	name = cmp.Or(name, "jarvis")
	f.nick.Store(&name)
	return f, nil
}

// secure reports whether a token may go there.
func secure(u *url.URL) bool {
	if u.Scheme == "https" || u.Scheme == "wss" {
		return true
	}
	return (u.Scheme == "http" || u.Scheme == "ws") && loopback.Is(u.Hostname())
}

// Name gives "slack/" and the id of the app, which stays when its tokens change.
func (f *Frontend) Name() string { return f.name }

// Network gives "slack".
func (f *Frontend) Network() string { return "slack" }

// Nick gives what the bot is called in the workspace.
func (f *Frontend) Nick() string { return *f.nick.Load() }

// Multiline: a message may have several lines.
func (f *Frontend) Multiline() bool { return true }

// Up reports whether there is a link.
func (f *Frontend) Up() bool { return f.link.Get() != nil }

// Rooms gives the configured channels.
func (f *Frontend) Rooms() []string { return f.cfg.Channels }

// Run keeps a connection until ctx ends.
func (f *Frontend) Run(ctx context.Context, in func(bot.Message)) error {
	f.mu.Lock()
	f.began, f.down = time.Time{}, time.Time{} // of several nodes another may have spoken meanwhile
	f.mu.Unlock()
	f.drain() // and what was an answer then is not one now
	var wg guard.Group
	loop := func(what string, do func(context.Context)) {
		caught := guard.Log(f.log, what, "app", f.name)
		wg.Go(caught, func() {
			_ = guard.Loop(ctx, caught, func(ctx context.Context) error { do(ctx); return nil })
		})
	}
	loop("post to slack", f.speak)
	loop("hear slack", func(ctx context.Context) { f.hear(ctx, in) })
	defer f.http.CloseIdleConnections()
	defer wg.Wait()
	bot.Redial(ctx, f.connect, func(err error, retry time.Duration) {
		if p := (*guard.Panic)(nil); errors.As(err, &p) {
			guard.Log(f.log, "keep the slack link", "app", f.name)(p)
		}
		f.tell("link", "the slack link is down", err, "retry", retry.String())
	})
	return nil
}

// connect is one connection after the other, as long as they last: Slack closes each after some hours. What it does not
// let us do is said once, and tried again much later.
func (f *Frontend) connect(ctx context.Context) error {
	for {
		began := time.Now()
		err := f.once(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var limited *goslack.RateLimitedError
		wait := time.Duration(0)
		switch {
		case refusesUs(err):
			wait = f.pause
			f.tell("link", "slack refuses us", explain(err, ""), "retry", wait.String())
		case errors.As(err, &limited):
			wait = limited.RetryAfter
			f.tell("link", "slack has us wait", err, "retry", wait.String())
		}
		if wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
			continue
		}
		if time.Since(began) < lasted {
			return err
		}
		f.log.Info("slack ends the connection; here is the next", "app", f.name, "why", err)
	}
}

// tell logs what is wrong with a subject, and not the same again until something else happens there (well).
func (f *Frontend) tell(subject, what string, err error, attrs ...any) {
	said := fmt.Sprint(what, err)
	f.mu.Lock()
	same := f.told[subject] == said
	if len(f.told) > maxQueued {
		clear(f.told)
	}
	f.told[subject] = said
	f.mu.Unlock()
	level := slog.LevelWarn
	if same {
		level = slog.LevelDebug
	}
	f.log.Log(context.Background(), level, what, append([]any{"app", f.name, "err", err}, attrs...)...)
}

// well forgets what was wrong with a subject.
func (f *Frontend) well(subject string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.told, subject)
}
