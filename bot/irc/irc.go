// Package irc is the frontend for one IRC server, on girc.
//
//	supervisor ── a new girc client per connection ──► register ► SASL proven? ► join ► session
//	reader (girc) ── events ──► session state; messages ──► bot        (never waits, never sends)
//	outbox ◄── Say, Deliver      one goroutine writes, at the server's pace; the places take turns
//
// What girc leaves to its user is done here: a line is cut under MaxLineBytes on character borders, for the server
// would cut it in silence; a login that SASL did not prove is no login; a line counts as said when the server
// answered a PING sent after it; a nick that was taken is taken back.
package irc

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lrstanley/girc"
	"golang.org/x/time/rate"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
)

// MaxLineBytes bounds a line as sent, "PRIVMSG #ops :" included: servers relay 512 bytes with a prefix of their own
// (RFC 1459 §2.3), and prefixes stay under 112.
const MaxLineBytes = 400

// Frontend is one server; it implements bot.Frontend.
type Frontend struct {
	cfg  Config
	host string
	port int
	tls  *tls.Config
	log  *slog.Logger
	out  bot.Turns[item]
	link bot.Link[session]
	dial atomic.Int64 // connections so far

	mu sync.Mutex
	// unsure are notices that were sent, and of which nobody knows whether they arrived.
	unsure map[unsureKey]time.Time
}

// again marks a line that may have been said before: IRC keeps no history in which one could look.
const again = " (said again: I could not see whether it arrived)"

// unsureLife is how long such a notice is remembered.
const unsureLife = time.Hour

// unsureKey is a notice at a place. Its words are no part of it: another notice may have the same.
type unsureKey struct {
	id    int64
	place string
}

// doubt notes that nobody knows whether a notice arrived; doubted asks, and forgets.
func (f *Frontend) doubt(n bot.Notice) {
	if n.ID == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, at := range f.unsure {
		if time.Since(at) > unsureLife {
			delete(f.unsure, k)
		}
	}
	f.unsure[unsureKey{n.ID, n.Place}] = time.Now()
}

// doubted reports whether an earlier try of a notice may have arrived, and forgets that.
func (f *Frontend) doubted(n bot.Notice) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := unsureKey{n.ID, n.Place}
	_, ok := f.unsure[key]
	delete(f.unsure, key)
	return ok
}

var (
	_ bot.Frontend    = (*Frontend)(nil)
	_ bot.LinkChecker = (*Frontend)(nil)
	_ bot.Roomer      = (*Frontend)(nil)
	_ bot.Insider     = (*Frontend)(nil)
	_ bot.Latecomer   = (*Frontend)(nil)
)

// item is one line for the outbox, cut already.
type item struct {
	place string
	parts []string
	done  chan sent // nil: nobody waits
	later bool      // for somebody whom nobody knows
	link  int64     // the connection at which it was meant for whoever has the nick place; 0: for a channel
}

// sent is what became of an item: the wait for the server's answer, or why it was not sent.
type sent struct {
	pending *pending
	err     error
}

// Open is bot.Settings.
func (c Config) Open(name string, log *slog.Logger) (bot.Frontend, error) {
	c.Nick, c.Name = cmp.Or(c.Nick, name), name
	return New(c, log)
}

// Beside is bot.Settings: another nick.
func (c Config) Beside(name string) bot.Settings {
	c.Nick = cmp.Or(c.Nick, name) + "-check"
	return c
}

// New checks the configuration; Run connects.
func New(cfg Config, log *slog.Logger) (*Frontend, error) {
	var wrong mistake.List
	if cfg.Nick == "" {
		cfg.Nick = "jarvis"
	}
	if cfg.Rate.Burst <= 0 {
		cfg.Rate.Burst = 4
	}
	if cfg.Rate.Interval <= 0 {
		cfg.Rate.Interval = time.Second
	}
	host, port, err := net.SplitHostPort(cfg.Server)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || n == 0 || host == "" {
		wrong.At("chat.irc.server", "is %q; it must be host:port, as in irc.example.org:6697", cfg.Server)
	}
	if cfg.SASL.External && (cfg.Cert == "" || cfg.SASL.User != "") {
		wrong.At("chat.irc.sasl", ": external is the login by a client certificate; set chat.irc.cert and key, and leave out user and password")
	}
	if (cfg.Cert != "" || cfg.Key != "") && (!cfg.TLS || cfg.Cert == "" || cfg.Key == "") {
		wrong.At("chat.irc.cert", "and key belong together, and need tls: true")
	}
	if cfg.SASL.User != "" && !cfg.TLS {
		wrong.At("chat.irc.sasl", "without tls would send the password in clear; set tls: true")
	}
	if len(cfg.SASL.Password)+2*len(cfg.SASL.User) > 290 {
		wrong.At("chat.irc.sasl", ": the password is too long for one SASL line; at most 200 bytes")
	}
	cfg.NickServ.check(cfg, &wrong)
	for _, c := range cfg.Channels {
		if name, _, _ := strings.Cut(c, " "); !strings.ContainsAny(c[:min(1, len(c))], "#&+!") || len(name) < 2 || strings.ContainsAny(name, ",\x07") {
			wrong.At("chat.irc.channels", ": %q is not a channel; write it with its #, in quotes, as in \"#ops\"", c)
		}
	}
	if cfg.TLS && host != "" {
		_, err := cfg.tls(host)
		wrong.Add(err)
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	f := &Frontend{cfg: cfg, host: host, port: int(n), log: log, unsure: map[unsureKey]time.Time{}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if cfg.TLS {
		if f.tls, err = cfg.tls(host); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// tls gives how the server is verified, and what we show it.
func (c Config) tls(host string) (*tls.Config, error) {
	t, err := bot.ServerTLS(host, c.CA, "chat.irc.ca")
	if err != nil || c.Cert == "" || c.Key == "" {
		return t, err
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, mistake.At("chat.irc.cert", "cannot be used: %v", err)
	}
	t.Certificates = []tls.Certificate{pair}
	return t, nil
}

// Name gives "irc/HOST:PORT".
func (f *Frontend) Name() string { return "irc/" + f.cfg.Server }

// Network gives "irc".
func (f *Frontend) Network() string { return "irc" }

// Up reports whether there is a link.
func (f *Frontend) Up() bool { return f.link.Get() != nil }

// Rooms gives the channels of the configuration.
func (f *Frontend) Rooms() []string {
	var out []string
	for _, c := range f.cfg.Channels {
		name, _, _ := strings.Cut(c, " ") // the key of a channel stands after its name
		out = append(out, name)
	}
	return out
}

// Nick gives what the bot is called now; the configured nick while there is no link.
func (f *Frontend) Nick() string {
	if s := f.link.Get(); s != nil {
		return s.nick()
	}
	return f.cfg.Nick
}

// Inside is bot.Insider.
func (f *Frontend) Inside(channel string) bool {
	s := f.link.Get()
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joined[girc.ToRFC1459(channel)]
}

// ConfiguredNick is bot.Nicked.
func (f *Frontend) ConfiguredNick() string { return f.cfg.Nick }

// Run keeps a connection until ctx ends.
func (f *Frontend) Run(ctx context.Context, in func(bot.Message)) error {
	if f.dial.Load() > 0 { // another node may have spoken since: what was an answer then is not one now
		f.drain()
	}
	var wg guard.Group
	caught := guard.Log(f.log, "speak on irc", "server", f.cfg.Server)
	wg.Go(caught, func() {
		_ = guard.Loop(ctx, caught, func(ctx context.Context) error { f.speak(ctx); return nil })
	})
	defer wg.Wait()
	bot.Redial(ctx, func(ctx context.Context) error { return f.connect(ctx, in) }, func(err error, retry time.Duration) {
		if p := (*guard.Panic)(nil); errors.As(err, &p) {
			guard.Log(f.log, "keep the irc link", "server", f.cfg.Server)(p)
		}
		f.log.Warn("the irc link is down", "server", f.cfg.Server, "err", err, "retry", retry.String())
	})
	return nil
}

// connect is one connection from dial to loss.
func (f *Frontend) connect(ctx context.Context, in func(bot.Message)) error {
	linkCtx, end := context.WithCancel(ctx)
	defer end()
	s := &session{f: f, in: in, number: f.dial.Add(1), pongs: map[string]*pending{}, joined: map[string]bool{}, holders: map[string]holder{}, gone: make(chan struct{}), ask: make(chan struct{}, 1)}
	cfg := girc.Config{
		Server: f.host, Port: f.port, Nick: f.cfg.Nick, User: "jarvis", Name: "jarvis, deploys hosts",
		ServerPass: string(f.cfg.Password), DisableSTS: true, // the dialer has TLS where it is wanted
		AllowFlood:  true, // the outbox keeps the pace, and the order
		PingDelay:   20 * time.Second,
		PingTimeout: 15 * time.Second,
		HandleNickCollide: func(old string) string {
			if s.up() {
				return "" // taking the nick back failed; keep the one we have
			}
			return old + "_"
		},
		RecoverFunc: func(_ *girc.Client, e *girc.HandlerError) {
			f.log.Error("irc handler panicked", "err", e.Error())
		},
		// What we read: who somebody is (account-tag, account-notify, extended-join).
		SupportedCaps: map[string][]string{},
	}
	if f.cfg.SASL.User != "" {
		cfg.SASL = &girc.SASLPlain{User: f.cfg.SASL.User, Pass: string(f.cfg.SASL.Password)}
	}
	if f.cfg.SASL.External {
		cfg.SASL = &girc.SASLExternal{}
	}
	c := girc.New(cfg)
	s.c = c
	quiet(c)
	c.Handlers.Add(girc.ALL_EVENTS, func(_ *girc.Client, e girc.Event) {
		if p := guard.Do(func() { s.event(linkCtx, e) }); p != nil { // it costs this event, and not the link
			guard.Log(f.log, "read from irc", "server", f.cfg.Server, "command", e.Command)(p)
		}
	})
	stop := context.AfterFunc(ctx, guard.Func(guard.Count, func() {
		// A last word, so that people see an orderly leave; then the link is cut whatever the server does.
		guard.Go(guard.Count, func() { c.Quit("bye") })
		time.AfterFunc(2*time.Second, guard.Func(guard.Count, c.Close))
	}))
	defer stop()
	care := make(chan struct{})
	guard.Go(func(p *guard.Panic) {
		guard.Log(f.log, "care for the irc link", "server", f.cfg.Server)(p)
		s.fail(p) // a new link has a new one
	}, func() {
		defer close(care)
		s.care(linkCtx)
	})
	err := c.DialerConnect(dialer{f.tls})
	end()
	f.link.Drop(s)
	if n := f.out.DropLater(); n > 0 { // who asked may be anybody by the time there is a link again
		f.log.Info("answers to strangers are dropped with the link", "server", f.cfg.Server, "lines", n)
	}
	close(s.gone)
	<-care
	if reason := s.reason(); reason != nil {
		return reason
	}
	if err == nil {
		err = errors.New("the server closed the link")
	}
	return err
}

// quiet has girc answer no CTCP: it would do so past the outbox and its pace, and whoever asked fast enough would have
// the server end our link. What it does not know it answers with an error, unless nobody asked: so it is told.
func quiet(c *girc.Client) {
	for _, known := range []string{girc.CTCP_PING, girc.CTCP_PONG, girc.CTCP_VERSION, girc.CTCP_SOURCE, girc.CTCP_TIME, girc.CTCP_FINGER} {
		c.CTCP.Clear(known)
	}
	c.CTCP.Set("*", func(_ *girc.Client, e girc.CTCPEvent) {
		if e.Source != nil { // a copy that nobody else reads
			*e.Source = girc.Source{}
		}
	})
}

// Say queues lines; when the queue of the place is full, because there is no link for long, they are dropped with a log
// entry.
func (f *Frontend) Say(place string, lines []string) {
	for _, l := range lines {
		for _, part := range cut(place, l) { // each has a turn of its own
			if !f.out.Add(girc.ToRFC1459(place), item{place: place, parts: []string{part}, link: f.linkFor(place)}) {
				f.log.Warn("too many lines wait for the irc link; one is dropped", "server", f.cfg.Server, "place", place)
			}
		}
	}
}

// SayLater queues lines for somebody whom nobody knows, after all else.
func (f *Frontend) SayLater(place string, lines []string) {
	for _, l := range lines {
		for _, part := range cut(place, l) {
			if !f.out.AddLater(girc.ToRFC1459(place), item{place: place, parts: []string{part}, later: true}) {
				f.log.Debug("too many lines wait for strangers; one is dropped", "server", f.cfg.Server, "place", place)
			}
		}
	}
}

// errOtherLink: a line in private was meant for who had the nick at an earlier connection.
var errOtherLink = errors.New("the link to IRC was lost before it was said")

// linkFor gives the connection at which a nick means whom it means now; 0 for a channel, which stays what it is.
func (f *Frontend) linkFor(place string) int64 {
	if girc.IsValidChannel(place) {
		return 0
	}
	return f.dial.Load()
}

// left drops what waits for a nick that nobody has any more: the server would count each line against us.
func (f *Frontend) left(nick, why string) {
	items := f.out.Drop(girc.ToRFC1459(nick))
	for _, it := range items {
		if it.done != nil {
			it.done <- sent{err: fmt.Errorf("%w: %s: %s", bot.ErrRefused, nick, why)}
		}
	}
	if len(items) > 0 {
		f.log.Info("lines for a nick that is gone are dropped", "server", f.cfg.Server, "nick", nick, "why", why, "lines", len(items))
	}
}

// Deliver says a notice and waits until the server has taken it. The error wraps bot.ErrRefused when the server is
// there, but does not take lines for that place.
func (f *Frontend) Deliver(ctx context.Context, n bot.Notice) error {
	done := make(chan sent, 1)
	text := n.Line
	maybe := f.doubted(n)
	if maybe {
		text += again
	}
	if !f.out.Add(girc.ToRFC1459(n.Place), item{place: n.Place, parts: cut(n.Place, text), done: done, link: f.linkFor(n.Place)}) {
		return fmt.Errorf("%w: too many lines wait for it", bot.ErrRefused) // and others need not wait
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r := <-done:
		err := r.err
		if err == nil {
			err = r.pending.wait(ctx)
			maybe = maybe || err != nil && !errors.Is(err, bot.ErrRefused)
		}
		if err != nil && maybe {
			f.doubt(n)
		}
		return err
	}
}

// cut splits a line so that each piece, with its command, stays under MaxLineBytes.
func cut(place, line string) []string {
	return bot.Split(plain.Line(line), MaxLineBytes-len("PRIVMSG ")-len(place)-len(" :")-2)
}

// maxUnanswered is how many lines may be at the server before it has worked through those before them. A server that
// slows us down reads what we send ever later: so what must be said soon waits here, where it can be put in front, and
// our own PING is not answered too late.
const maxUnanswered = 4

// speak is the outbox: the only goroutine that sends lines.
func (f *Frontend) speak(ctx context.Context) {
	pace := rate.NewLimiter(rate.Every(f.cfg.Rate.Interval), f.cfg.Rate.Burst)
	ahead := 0
	for {
		it, err := f.out.Next(ctx)
		if err != nil {
			f.drain()
			return
		}
		var p *pending
		err = guard.Call(func() error {
			s, err := f.link.Wait(ctx)
			if err != nil {
				return err
			}
			if it.link != 0 && it.link != s.number { // by now anybody may have that nick
				f.log.Info("a line in private is dropped with its link", "server", f.cfg.Server, "nick", it.place)
				return errOtherLink
			}
			if it.done != nil {
				p = s.expect(it.place)
			}
			for _, part := range it.parts {
				if err := pace.Wait(ctx); err != nil {
					if p != nil {
						s.forget(p.token)
					}
					return err
				}
				s.c.Send(&girc.Event{Command: girc.PRIVMSG, Params: []string{it.place, part}})
				ahead++
			}
			if p != nil {
				p.ask()
			}
			if ahead >= maxUnanswered || it.later { // a stranger's line goes alone: what comes meanwhile waits for it only
				ahead = 0
				if it.done != nil {
					it.done <- sent{p, nil}
					it.done = nil
				}
				through := s.expect("")
				through.ask()
				_ = through.wait(ctx) // a server that does not answer has its link ended by the library
			}
			return nil
		})
		if bug := (*guard.Panic)(nil); errors.As(err, &bug) {
			guard.Log(f.log, "say a line on irc", "server", f.cfg.Server)(bug)
		}
		if it.done != nil {
			it.done <- sent{p, err}
		}
	}
}

// drain tells whoever still waits that we stop.
func (f *Frontend) drain() {
	for _, it := range f.out.All() {
		if it.done != nil {
			it.done <- sent{err: context.Canceled}
		}
	}
}
