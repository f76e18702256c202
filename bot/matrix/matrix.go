// Package matrix is the frontend for one Matrix account, on maunium.net/go/mautrix.
//
//	supervisor ── a new session per connection ──► token, or login ► first /sync ► rooms
//	listen     ── /sync, in order ──► session: rooms, people, keys, messages ──► bot     (never waits for the bot)
//	outbox     ◄── Say, Deliver       one goroutine sends, as fast as the server allows; the rooms take turns
//	care                              joins, answers invitations, comes back into rooms that it lost
//
// All of it is on HTTPS with a verified certificate. What the first /sync of a connection tells was said while we were
// away. A line counts as said when the server gave it an event id; whose answer was lost is sent again under the same
// transaction id, and is one event (docs/design/matrix.md). Encrypted rooms need the build tag goolm.
package matrix

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"maunium.net/go/mautrix/id"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/mistake"
)

// Config of one account.
type Config struct {
	Homeserver string           `yaml:"homeserver" doc:"address of the homeserver's client API, as in https://matrix.example.org"`
	User       string           `yaml:"user" doc:"the bot's full user id, as in @jarvis:example.org"`
	Password   clipboard.Secret `yaml:"password" doc:"sent over verified TLS only"`
	CA         string           `yaml:"ca" path:"relative" doc:"file with the certificates to trust; empty: the system's"`
	Rooms      []string         `yaml:"rooms" doc:"rooms to be in, by alias or id, as in #ops:example.org"`
	State      string           `yaml:"state" path:"data" doc:"folder for the access token, the place in the stream of events, and the keys of encrypted rooms" default:"DATA/matrix"`

	beside bool // only to try
}

// Timeouts and limits.
const (
	requestTimeout = 30 * time.Second
	pollTime       = 25 * time.Second // how long a /sync may wait for something new
	// maxBodyBytes keeps an event under the 65,536 bytes that every server takes, encrypted too.
	maxBodyBytes = 16000
	maxResponse  = 64 << 20
)

// Frontend is one account; it implements bot.Frontend.
type Frontend struct {
	cfg   Config
	me    id.UserID
	http  *http.Client
	clock *clock
	log   *slog.Logger
	out   bot.Turns[item]
	slow  slowed
	link  bot.Link[session]
	dials atomic.Int64 // connections so far
	shown atomic.Value // string: our display name

	keep    *keep
	refused int             // logins in a row; for the supervisor alone
	told    map[string]bool // what of encrypted rooms was said already, by room; for the listener alone

	mu     sync.Mutex
	unsure map[unsureKey]unsure
	seq    int64
}

var (
	_ bot.Frontend    = (*Frontend)(nil)
	_ bot.Multiliner  = (*Frontend)(nil)
	_ bot.LinkChecker = (*Frontend)(nil)
	_ bot.Roomer      = (*Frontend)(nil)
	_ bot.Insider     = (*Frontend)(nil)
	_ bot.Latecomer   = (*Frontend)(nil)
	_ bot.Nicked      = (*Frontend)(nil)
	_ bot.Editor      = (*Frontend)(nil)
)

// Open is bot.Settings.
func (c Config) Open(_ string, log *slog.Logger) (bot.Frontend, error) { return New(c, log) }

// Beside is bot.Settings: another device, which keeps nothing and leaves at its end.
func (c Config) Beside(string) bot.Settings {
	c.beside = true
	return c
}

// New checks the configuration; Run connects.
func New(cfg Config, log *slog.Logger) (*Frontend, error) {
	var wrong mistake.List
	f := &Frontend{cfg: cfg, me: id.UserID(cfg.User), log: log, unsure: map[unsureKey]unsure{}, told: map[string]bool{}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	u, err := url.Parse(cfg.Homeserver)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		wrong.At("chat.matrix.homeserver", "is %q; it must be https://host, as in https://matrix.example.org", cfg.Homeserver)
		u = &url.URL{}
	}
	if !wellFormed(cfg.User) {
		wrong.At("chat.matrix.user", "is %q; it must be a full user id, as in @jarvis:example.org", cfg.User)
	}
	if cfg.Password == "" {
		wrong.At("chat.matrix.password", "is empty; give the password of %s", cfg.User)
	}
	seen := map[string]bool{}
	for _, r := range cfg.Rooms {
		if !isRoom(r) {
			wrong.At("chat.matrix.rooms", ": %q is not a room, as in #ops:example.org", r)
		} else if seen[r] {
			wrong.At("chat.matrix.rooms", ": %q stands there twice", r)
		}
		seen[r] = true
	}
	tls, err := bot.ServerTLS(u.Hostname(), cfg.CA, "chat.matrix.ca")
	if err != nil {
		wrong.Add(err)
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	f.clock = &clock{next: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: tls, TLSHandshakeTimeout: 15 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 8}}
	f.http = &http.Client{Transport: f.clock, CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect }}
	f.keep = &keep{}
	if cfg.State != "" && !cfg.beside {
		f.keep.folder = filepath.Join(cfg.State, url.PathEscape(cfg.User))
	}
	return f, nil
}

var errRedirect = errors.New("the homeserver sends us elsewhere; write that address into chat.matrix.homeserver")

// isRoom reports whether it is a room's alias or id. A room id of newer rooms has no server in it (room version 12).
func isRoom(r string) bool {
	if len(r) < 2 || len(r) > 255 || strings.ContainsAny(r, " \t\r\n\x00") {
		return false
	}
	return r[0] == '!' || r[0] == '#' && strings.Index(r, ":") > 1 && !strings.HasSuffix(r, ":")
}

// Name gives "matrix/USER".
func (f *Frontend) Name() string { return "matrix/" + f.me.String() }

// Network gives "matrix".
func (f *Frontend) Network() string { return "matrix" }

// Nick gives the localpart of the bot's user id.
func (f *Frontend) Nick() string { return f.me.Localpart() }

// ConfiguredNick is bot.Nicked: the nick is in the user id.
func (f *Frontend) ConfiguredNick() string { return f.Nick() }

// Multiline: a message may have several lines.
func (f *Frontend) Multiline() bool { return true }

// Up reports whether there is a link.
func (f *Frontend) Up() bool { return f.link.Get() != nil }

// Rooms gives the configured rooms as they are written.
func (f *Frontend) Rooms() []string { return append([]string(nil), f.cfg.Rooms...) }

// Inside is bot.Insider.
func (f *Frontend) Inside(name string) bool {
	s := f.link.Get()
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.want, func(r *room) bool { return r.place == name && r.joined })
}

// Run keeps a connection until ctx ends.
func (f *Frontend) Run(ctx context.Context, in func(bot.Message)) error {
	defer f.http.CloseIdleConnections()
	if err := f.keep.load(); err != nil {
		f.log.Warn("what was kept for matrix cannot be read; I begin again", "user", f.cfg.User, "err", err)
	}
	f.drain() // another node may have spoken meanwhile: what was an answer then is not one now
	var wg guard.Group
	caught := guard.Log(f.log, "speak on matrix", "user", f.cfg.User)
	for range speakers {
		wg.Go(caught, func() {
			_ = guard.Loop(ctx, caught, func(ctx context.Context) error { f.speak(ctx); return nil })
		})
	}
	defer wg.Wait()
	last := ""
	bot.Redial(ctx, func(ctx context.Context) error {
		s, err := f.connect(ctx, in)
		if s != nil && s.wasUp.Load() {
			last = "" // it is another outage
		}
		return err
	}, func(err error, retry time.Duration) {
		if p := (*guard.Panic)(nil); errors.As(err, &p) {
			guard.Log(f.log, "keep the matrix link", "user", f.cfg.User)(p)
		}
		level := slog.LevelWarn
		if text := err.Error(); text == last {
			level = slog.LevelDebug // it is said already
		} else {
			last = text
		}
		f.log.Log(ctx, level, "the matrix link is down", "user", f.cfg.User, "err", err, "retry", retry.String())
	})
	return nil
}

// connect is one connection from login to loss. The session is nil when it did not come to one.
func (f *Frontend) connect(ctx context.Context, in func(bot.Message)) (*session, error) {
	c, err := f.login(ctx)
	if err != nil {
		return nil, err
	}
	s := newSession(f, c, in)
	linkCtx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s.end = end
	if f.cfg.beside {
		defer s.logout(context.WithoutCancel(ctx))
	} else if s.keys, err = f.openKeys(linkCtx, s); err != nil {
		return s, err
	} else if s.keys != nil {
		defer s.keys.close()
	}
	var wg guard.Group
	run := func(what func(context.Context) error) {
		wg.Go(func(p *guard.Panic) { end(p) }, func() { end(what(linkCtx)) })
	}
	s.resolve(linkCtx)
	s.ownName(linkCtx)
	run(s.listen)
	run(s.care)
	<-linkCtx.Done()
	f.link.Drop(s)
	if n := f.out.DropLater(); n > 0 {
		f.log.Info("answers to strangers are dropped with the link", "user", f.cfg.User, "messages", n)
	}
	close(s.gone)
	wg.Wait()
	return s, context.Cause(linkCtx)
}
