// Package xmpp is the frontend for one Jabber account, on mellium.im/xmpp.
//
//	supervisor ── a new session per connection ──► TLS or nothing ► SASL ► bind ► presence ► rooms
//	reader (Serve) ── stanzas, in order ──► session: occupants, answers, messages ──► bot     (never waits)
//	outbox ◄── Say, Deliver       one goroutine sends, at the configured pace; the places take turns
//	care                          joins, configures rooms it made, comes back into those it lost, takes its nick back
//	pulse                         pings the server (XEP-0199); no answer in time is the end of the connection
//
// A password goes over verified TLS or not at all, on every connection: the features that log in are offered to the
// library only on a secure stream. A line counts as said when the room has sent it back, or, for a person, when the
// server answered a ping sent after it. What the room's history shows after a broken connection is not said again.
//
// Why not gosrc.io/xmpp: docs/adr/0004-jabber-on-mellium.md
package xmpp

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"mellium.im/sasl"
	"mellium.im/xmlstream"
	goxmpp "mellium.im/xmpp"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stanza"
	"mellium.im/xmpp/stream"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/mistake"
)

// Config of one account.
type Config struct {
	Server    string           `yaml:"server" doc:"host:port; empty: found by the SRV records of the JID's domain"`
	JID       string           `yaml:"jid" doc:"the bot's address, as in jarvis@example.org"`
	Password  clipboard.Secret `yaml:"password" doc:"sent over verified TLS only"`
	CA        string           `yaml:"ca" path:"relative" doc:"file with the certificates to trust; empty: the system's"`
	DirectTLS bool             `yaml:"direct_tls" doc:"TLS from the first byte (XEP-0368) instead of STARTTLS"`
	Nick      string           `yaml:"nick" doc:"what the bot is called in rooms; empty: its name"`
	Rooms     []string         `yaml:"rooms" secret:"behind name" doc:"rooms to be in, as in ops@conference.example.org; a password follows after a space"`
	Rate      Rate             `yaml:"rate" doc:"how fast it may talk"`

	// SelfPing is how often each room is asked whether we are in it; 0: a minute.
	SelfPing time.Duration `yaml:"-"`
}

// Rate bounds what the bot sends.
type Rate struct {
	Burst    int           `yaml:"burst" doc:"messages that may go out at once" default:"20"`
	Interval time.Duration `yaml:"interval" doc:"one more message after each such time" default:"100ms"`
}

// Timeouts and limits.
const (
	dialTimeout      = 15 * time.Second
	negotiateTimeout = 30 * time.Second
	pingEvery        = 20 * time.Second
	pingTimeout      = 15 * time.Second
	confirmTimeout   = 30 * time.Second
	joinTimeout      = 20 * time.Second
	// maxBodyBytes keeps a message under the 10,000 bytes that every server takes (RFC 6120 §13.12).
	maxBodyBytes = 6000
)

// Frontend is one account; it implements bot.Frontend.
type Frontend struct {
	cfg   Config
	me    jid.JID
	rooms []roomConfig
	tls   *tls.Config
	log   *slog.Logger
	out   bot.Turns[item]
	link  bot.Link[session]
	dials atomic.Int64 // connections so far

	invited atomic.Int64   // how often
	tell    rate.Sometimes // of that in the log

	mu     sync.Mutex
	unsure unsure
}

type roomConfig struct {
	addr     jid.JID // bare
	password string
}

var (
	_ bot.Frontend    = (*Frontend)(nil)
	_ bot.Multiliner  = (*Frontend)(nil)
	_ bot.LinkChecker = (*Frontend)(nil)
	_ bot.Roomer      = (*Frontend)(nil)
	_ bot.Insider     = (*Frontend)(nil)
	_ bot.Latecomer   = (*Frontend)(nil)
	_ bot.Prover      = (*Frontend)(nil)
)

// Open is bot.Settings.
func (c Config) Open(name string, log *slog.Logger) (bot.Frontend, error) {
	c.Nick = cmp.Or(c.Nick, name)
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
		cfg.Rate.Burst = 20
	}
	if cfg.Rate.Interval <= 0 {
		cfg.Rate.Interval = 100 * time.Millisecond
	}
	if cfg.SelfPing <= 0 {
		cfg.SelfPing = time.Minute
	}
	f := &Frontend{cfg: cfg, log: log, unsure: unsure{}, tell: rate.Sometimes{First: 10, Interval: time.Minute}}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if f.me, err = jid.Parse(cfg.JID); err != nil || f.me.Localpart() == "" || f.me.Resourcepart() != "" {
		wrong.At("chat.xmpp.jid", "is %q; it must be user@domain, as in jarvis@example.org", cfg.JID)
	}
	if cfg.Server != "" {
		host, port, err := net.SplitHostPort(cfg.Server)
		if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || host == "" {
			wrong.At("chat.xmpp.server", "is %q; it must be host:port, as in xmpp.example.org:5222", cfg.Server)
		}
	}
	for _, r := range cfg.Rooms {
		name, password := cutSpace(r)
		addr, err := jid.Parse(name)
		if err != nil || addr.Localpart() == "" || addr.Resourcepart() != "" {
			wrong.At("chat.xmpp.rooms", ": %q is not a room, as in ops@conference.example.org", name)
			continue
		}
		f.rooms = append(f.rooms, roomConfig{addr, password})
	}
	// The certificate is for the domain of the JID, whatever machine serves it (RFC 6120 §13.7.2.1).
	if f.tls, err = bot.ServerTLS(f.me.Domainpart(), cfg.CA, "chat.xmpp.ca"); err != nil {
		wrong.Add(err)
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	if cfg.DirectTLS {
		f.tls.NextProtos = []string{"xmpp-client"}
	}
	return f, nil
}

// Name gives "xmpp/JID".
func (f *Frontend) Name() string { return "xmpp/" + f.me.String() }

// Network gives "xmpp".
func (f *Frontend) Network() string { return "xmpp" }

// Nick gives what the bot is called in its rooms.
func (f *Frontend) Nick() string { return f.cfg.Nick }

// Inside is bot.Insider.
func (f *Frontend) Inside(room string) bool {
	s := f.link.Get()
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[room]
	return r != nil && r.joined
}

// ConfiguredNick is bot.Nicked.
func (f *Frontend) ConfiguredNick() string { return f.cfg.Nick }

// Multiline: a message may have several lines.
func (f *Frontend) Multiline() bool { return true }

// Up reports whether there is a link.
func (f *Frontend) Up() bool { return f.link.Get() != nil }

// Rooms gives the addresses of the configured rooms.
func (f *Frontend) Rooms() []string {
	var out []string
	for _, r := range f.rooms {
		out = append(out, r.addr.String())
	}
	return out
}

// Run keeps a connection until ctx ends.
func (f *Frontend) Run(ctx context.Context, in func(bot.Message)) error {
	if f.dials.Load() > 0 { // another node may have spoken since: what was an answer then is not one now
		f.drain()
	}
	var wg guard.Group
	caught := guard.Log(f.log, "speak on xmpp", "jid", f.me.String())
	wg.Go(caught, func() {
		_ = guard.Loop(ctx, caught, func(ctx context.Context) error { f.speak(ctx); return nil })
	})
	defer wg.Wait()
	bot.Redial(ctx, func(ctx context.Context) error { return f.connect(ctx, in) }, func(err error, retry time.Duration) {
		if p := (*guard.Panic)(nil); errors.As(err, &p) {
			guard.Log(f.log, "keep the xmpp link", "jid", f.me.String())(p)
		}
		f.log.Warn("the xmpp link is down", "jid", f.me.String(), "err", err, "retry", retry.String())
	})
	return nil
}

// connect is one connection from dial to loss.
func (f *Frontend) connect(ctx context.Context, in func(bot.Message)) error {
	conn, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stopped := context.AfterFunc(ctx, guard.Func(guard.Count, func() {
		time.AfterFunc(2*time.Second, guard.Func(guard.Count, func() { _ = conn.Close() }))
	}))
	defer stopped()
	x, err := f.negotiate(ctx, conn)
	if err != nil {
		return err
	}
	s := newSession(f, x, in)
	linkCtx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s.end = end
	var wg guard.Group
	run := func(what func(context.Context) error) {
		wg.Go(func(p *guard.Panic) { end(p) }, func() { end(what(linkCtx)) })
	}
	run(func(context.Context) error { // the reader ends when the connection does
		err := x.Serve(goxmpp.HandlerFunc(s.hear))
		if err == nil {
			err = errors.New("the server closed the stream")
		}
		return err
	})
	// With a priority, so that what is said to the account comes here, and not to a client that somebody left open on
	// it.
	priority := xmlstream.Wrap(xmlstream.Token(xml.CharData("50")), xml.StartElement{Name: xml.Name{Local: "priority"}})
	if err := s.send(stanza.Presence{Type: stanza.AvailablePresence}.Wrap(priority)); err != nil {
		end(err)
	}
	run(s.pulse)
	run(s.care)
	<-linkCtx.Done()
	f.link.Drop(s)
	if n := f.out.DropLater(); n > 0 {
		f.log.Info("answers to strangers are dropped with the link", "jid", f.me.String(), "messages", n)
	}
	if ctx.Err() != nil {
		// A last word, so that people see an orderly leave.
		_ = x.Send(context.WithoutCancel(ctx), stanza.Presence{Type: stanza.UnavailablePresence}.Wrap(nil))
		_ = x.Close()
	}
	close(s.gone)
	_ = conn.Close()
	wg.Wait()
	return context.Cause(linkCtx)
}

// dial tries the addresses in their order, with direct TLS up to the end of its handshake; when none works, its error
// has what each said.
func (f *Frontend) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addrs := []string{f.cfg.Server}
	if f.cfg.Server == "" {
		addrs = f.lookup(ctx)
	}
	var errs []error
	for _, addr := range addrs {
		d := &net.Dialer{KeepAlive: 30 * time.Second}
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !f.cfg.DirectTLS {
			return conn, nil
		}
		t := tls.Client(conn, f.tls)
		if err := t.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			errs = append(errs, fmt.Errorf("TLS with %s: %w", addr, err))
			continue
		}
		return t, nil
	}
	return nil, errors.Join(errs...)
}

// lookup gives the addresses of the JID's domain, best first (RFC 6120 §3.2.1, XEP-0368).
func (f *Frontend) lookup(ctx context.Context) []string {
	service, port := "xmpp-client", "5222"
	if f.cfg.DirectTLS {
		service, port = "xmpps-client", "5223"
	}
	var out []string
	if _, list, err := net.DefaultResolver.LookupSRV(ctx, service, "tcp", f.me.Domainpart()); err == nil {
		for _, a := range list {
			out = append(out, net.JoinHostPort(a.Target, strconv.Itoa(int(a.Port))))
		}
	}
	if out == nil {
		out = []string{net.JoinHostPort(f.me.Domainpart(), port)}
	}
	return out
}

var errNotSecure = errors.New("the server offers no TLS, so it gets no password; if it did before, somebody may be in between")

// negotiate opens the stream. SASL is possible on a secure stream only: a server, or somebody in between, that offers
// no STARTTLS gets nothing.
func (f *Frontend) negotiate(ctx context.Context, conn net.Conn) (*goxmpp.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, negotiateTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, guard.Func(guard.Count, func() { _ = conn.Close() }))
	defer stop()
	state := goxmpp.SessionState(0)
	features := []goxmpp.StreamFeature{
		goxmpp.SASL("", string(f.cfg.Password), sasl.ScramSha256, sasl.ScramSha1, sasl.Plain),
		goxmpp.BindResource(),
	}
	if f.cfg.DirectTLS {
		state = goxmpp.Secure
	} else {
		features = append(features, goxmpp.StartTLS(f.tls))
	}
	offered := &offers{}
	x, err := goxmpp.NewSession(ctx, f.me.Domain(), f.me, conn, state, goxmpp.NewNegotiator(func(s *goxmpp.Session, _ *goxmpp.StreamConfig) goxmpp.StreamConfig {
		offered.secure = offered.secure || s != nil && s.State()&goxmpp.Secure != 0
		return goxmpp.StreamConfig{Features: features}
	}))
	switch {
	case err == nil && x.State()&goxmpp.Secure == 0:
		return nil, errNotSecure
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("the server did not finish the login in %s", negotiateTimeout)
	case err != nil && !offered.secure && !f.cfg.DirectTLS && !saysWhy(err):
		return nil, fmt.Errorf("%w (%w)", errNotSecure, err)
	case err != nil:
		return nil, fmt.Errorf("log in as %s: %w", f.me, err)
	}
	return x, nil
}

// offers notes what a stream came to.
type offers struct{ secure bool }

// saysWhy reports whether an error names its cause itself: TLS, the network, or the server's own words.
func saysWhy(err error) bool {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var network net.Error
	var said stream.Error
	return errors.As(err, &cert) || errors.As(err, &record) || errors.As(err, &network) || errors.As(err, &said)
}
