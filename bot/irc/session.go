package irc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lrstanley/girc"
	"golang.org/x/time/rate"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/guard"
)

// session is one connection. event is called by girc's reader, in order; it only notes things.
type session struct {
	f  *Frontend
	c  *girc.Client
	in func(bot.Message)
	// number is the connection's own.
	number int64
	gone   chan struct{} // closed when the connection is over

	mu         sync.Mutex
	pongs      map[string]*pending // by token: who waits for the server's answer
	order      []string            // tokens in the order sent
	joined     map[string]bool     // folded channel names
	account    bool                // the server said that SASL succeeded (900, 903)
	registered bool
	why        error
	n          atomic.Int64

	past  past        // of the reader alone
	waits atomic.Bool // for the services, by NickServ's command

	ask     chan struct{} // wakes the care goroutine, which asks for accounts
	unknown []*unproven   // messages that wait for that, in order
	// questions counts those asked.
	questions int
	holders   map[string]holder // by token: who asks for the holder of a nick
}

func (s *session) nick() string { return s.c.GetNick() }

// up reports whether the server has let us in.
func (s *session) up() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registered
}

// reason says why we ended the session; nil: we did not.
func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// fail ends the connection for a reason that the log should name.
func (s *session) fail(err error) {
	s.mu.Lock()
	if s.why == nil {
		s.why = err
	}
	s.mu.Unlock()
	guard.Go(guard.Count, s.c.Close) // from a handler, girc would wait for itself
}

// Numerics of RFC 1459 §6 and the IRCv3 SASL specification.
const (
	rplLoggedIn    = "900"
	rplSASLSuccess = "903"
	rplEndOfNames  = "366"
)

// refusal gives the place for which a server took no line: it says "me PLACE … :why", or, as ngIRCd does for some,
// names the place as the last word of why only. Errors are 400 to 599 (RFC 2812 §5.2): which of them a server gives for
// a line that somebody does not want differs from one to the next, so none is left out. Of what others give besides,
// 716 and 717 are callerid's, 936 is a filter's.
func refusal(e girc.Event) (place string, ok bool) {
	switch e.Command {
	case "716", "717", "936":
	default:
		if len(e.Command) != 3 || e.Command < "400" || e.Command > "599" {
			return "", false
		}
	}
	switch words := strings.Fields(e.Last()); {
	case len(e.Params) > 2:
		return e.Params[1], true
	case len(e.Params) == 2 && len(words) > 0:
		return words[len(words)-1], true
	}
	return "", false
}

// event hears one message of the server, in girc's reader: what waits here holds up all that follows.
func (s *session) event(ctx context.Context, e girc.Event) {
	if place, ok := refusal(e); ok {
		if e.Command == "401" {
			s.f.left(place, "no such nick")
		}
		s.refused(place, fmt.Errorf("%w: %s: %s", bot.ErrRefused, place, e.Last()))
	}
	s.identified(ctx, e)
	switch e.Command {
	case rplLoggedIn, rplSASLSuccess:
		s.mu.Lock()
		s.account = true
		s.mu.Unlock()
	case "904", "905", "906", "908":
		s.fail(fmt.Errorf("the server refused the SASL login of %q; check chat.irc.sasl", cmp.Or(s.f.cfg.SASL.User, s.f.cfg.Cert)))
	case girc.RPL_WELCOME: // girc's own CONNECTED comes two seconds later
		s.mu.Lock()
		ok := s.account || s.f.cfg.SASL.User == "" && !s.f.cfg.SASL.External
		s.mu.Unlock()
		if !ok {
			// SASL fails open: without this a server whose services are away lets us in as nobody, and everybody
			// who takes our nick later looks like us.
			s.fail(errors.New("the server let us in without the SASL login it was asked for"))
			return
		}
		if s.f.cfg.NickServ.Password != "" {
			s.waits.Store(true)
			s.identify(ctx)
			return
		}
		s.enter(ctx)
	case girc.PONG:
		s.past.clock(e)
		s.answered(e.Last(), nil)
	case "BATCH":
		s.past.batch(e)
	case "JOIN":
		if e.Source != nil && girc.ToRFC1459(e.Source.Name) == girc.ToRFC1459(s.nick()) && len(e.Params) > 0 {
			s.past.join(e, e.Params[0])
			s.setJoined(e.Params[0], true)
		}
	case rplEndOfNames:
		if len(e.Params) > 1 {
			s.setJoined(e.Params[1], true)
		}
	case "KICK":
		if len(e.Params) > 1 && girc.ToRFC1459(e.Params[1]) == girc.ToRFC1459(s.nick()) {
			s.past.leave(e.Params[0])
			s.setJoined(e.Params[0], false)
			s.f.log.Warn("kicked; coming back", "server", s.f.cfg.Server, "channel", e.Params[0])
		}
	case "NICK", "QUIT":
		if e.Source != nil && girc.ToRFC1459(e.Source.Name) != girc.ToRFC1459(s.nick()) {
			s.f.left(e.Source.Name, "they left, or have another nick")
		}
	case "PART":
		if e.Source != nil && girc.ToRFC1459(e.Source.Name) == girc.ToRFC1459(s.nick()) && len(e.Params) > 0 {
			s.past.leave(e.Params[0])
			s.setJoined(e.Params[0], false)
		}
	case "471", "473", "474", "475", "476":
		if len(e.Params) > 1 {
			s.f.log.Warn("cannot join", "server", s.f.cfg.Server, "channel", e.Params[1], "why", e.Last())
		}
	case girc.PRIVMSG:
		s.message(e)
	case girc.RPL_WHOSPCRPL:
		s.whois(e)
	}
}

// enter begins the session: the server knows who we are.
func (s *session) enter(ctx context.Context) {
	s.mu.Lock()
	s.registered = true
	s.mu.Unlock()
	s.past.began = time.Now()
	s.f.log.Info("the irc link is up", "server", s.f.cfg.Server, "nick", s.nick())
	s.f.link.Set(ctx, s)
}

// message hands what people say to the bot: no notices (bots answer with them), no CTCP, nothing of our own. What was
// said before we came is marked so.
func (s *session) message(e girc.Event) {
	if e.Source == nil || len(e.Params) < 2 || e.Source.IsServer() || e.Echo {
		return
	}
	if girc.ToRFC1459(e.Source.Name) == girc.ToRFC1459(s.nick()) {
		return
	}
	text := e.Last()
	if strings.HasPrefix(text, "\x01") {
		return
	}
	for _, tag := range []string{"bot", "draft/bot", "inspircd.org/bot"} {
		if _, ok := e.Tags.Get(tag); ok { // another bot (IRCv3 bot mode): two would talk for ever
			return
		}
	}
	place := s.channel(e.Params[0])
	if strings.HasPrefix(place, "$") { // to everybody on a server (RFC 2812 §3.3.1), and so not to us
		return
	}
	account, _ := e.Tags.Get("account")
	if account == "*" || account == "0" {
		account = ""
	}
	private := !girc.IsValidChannel(place)
	old := s.past.has(e, place, private)
	if private {
		place = e.Source.Name
	}
	m := bot.Message{Nick: e.Source.Name, Account: account, Host: e.Source.Host, Place: place, Private: private, Text: text}
	if old {
		m.Past = s.number
	} else if account == "" && s.mustAsk(m) && s.prove(m, e.Source.Ident, e.Source.Host) {
		return
	}
	s.in(m)
}

// channel gives the channel of what was said to those in it with a status only, as "@#ops" (STATUSMSG): it was not said
// in private, and the answer is the channel's. A prefix may be a letter that channels begin with, too: "&#ops".
func (s *session) channel(target string) string {
	prefixes, ok := s.c.GetServerOption("STATUSMSG")
	if !ok {
		prefixes = "@+"
	}
	types, ok := s.c.GetServerOption("CHANTYPES")
	if !ok {
		types = "#&"
	}
	if name := strings.TrimLeft(target, prefixes); name != target && name != "" && strings.Contains(types, name[:1]) {
		return name
	}
	return target
}

func (s *session) setJoined(channel string, in bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joined[girc.ToRFC1459(channel)] = in
}

// care joins what is to be joined and takes the nick back, until the connection is over.
func (s *session) care(ctx context.Context) {
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	tried := map[string]time.Time{}
	pause := map[string]time.Duration{}
	var nickAt time.Time
	asked := false
	whoPace := rate.NewLimiter(rate.Every(whoEvery), whoBurst)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.gone:
			return
		case <-s.ask:
			s.askNext(whoPace)
			continue
		case <-t.C:
			s.giveUp()
			s.askNext(whoPace)
		}
		s.mu.Lock()
		up := s.registered
		var missing []string
		for _, ch := range s.f.cfg.Channels {
			name, _, _ := strings.Cut(ch, " ")
			if !s.joined[girc.ToRFC1459(name)] {
				missing = append(missing, ch)
			} else {
				delete(pause, ch)
			}
		}
		s.mu.Unlock()
		if !up {
			continue
		}
		if !asked { // what time the server has, before it plays what was said in the channels
			asked = true
			s.c.Send(&girc.Event{Command: girc.PING, Params: []string{"jarvis-clock"}})
		}
		for _, ch := range missing {
			if time.Since(tried[ch]) < pause[ch] {
				continue
			}
			tried[ch] = time.Now()
			pause[ch] = min(max(2*pause[ch], 2*time.Second), time.Minute)
			name, key, _ := strings.Cut(ch, " ")
			if key != "" {
				s.c.Cmd.JoinKey(name, key)
			} else {
				s.c.Cmd.Join(name)
			}
		}
		if s.nick() != s.f.cfg.Nick && time.Since(nickAt) > 5*time.Second {
			nickAt = time.Now()
			s.c.Cmd.Nick(s.f.cfg.Nick)
		}
	}
}

// confirmTimeout is how long a server may take to answer the PING after a line.
const confirmTimeout = 30 * time.Second

// pending is a line whose answer is awaited.
type pending struct {
	s     *session
	token string
	place string // folded
	ch    chan error
}

// expect has refusals of a line to a place heard. It comes before the line is sent: a server that is near refuses one
// before we have sent the next.
func (s *session) expect(place string) *pending {
	token := "jarvis-" + strconv.FormatInt(s.n.Add(1), 10)
	p := &pending{s, token, girc.ToRFC1459(place), make(chan error, 1)}
	s.mu.Lock()
	s.pongs[token] = p
	s.order = append(s.order, token)
	s.mu.Unlock()
	return p
}

// ask sends a PING after what was sent before: a server answers in order, so its answer says that it has worked through
// all of that (RFC 1459 §4.6.2).
func (p *pending) ask() {
	p.s.c.Send(&girc.Event{Command: girc.PING, Params: []string{p.token}})
}

// wait gives nil when the server worked through the line and did not refuse it.
func (p *pending) wait(ctx context.Context) error {
	defer p.s.forget(p.token) // of a line that nobody waits for no refusal is news
	t := time.NewTimer(confirmTimeout)
	defer t.Stop()
	select {
	case err := <-p.ch:
		return err
	case <-p.s.gone:
		return errors.New("the link broke before the server answered")
	case <-t.C:
		return fmt.Errorf("the server did not answer in %s", confirmTimeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answered ends the wait of a token; a refusal that came before it counts.
func (s *session) answered(token string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.pongs[token]; p != nil {
		s.drop(token)
		select {
		case p.ch <- err:
		default: // refused already
		}
	}
}

// forget ends the waiting for an answer.
func (s *session) forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(token)
}

// drop is called with the lock.
func (s *session) drop(token string) {
	delete(s.pongs, token)
	s.order = slices.DeleteFunc(s.order, func(t string) bool { return t == token })
}

// refused tells the oldest line to a place that it was not taken; the PONG after it comes too late to matter. Other
// places' lines are not meant, nor is any when an answer was refused, which nobody waits for.
func (s *session) refused(place string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	place = girc.ToRFC1459(place)
	for _, token := range s.order {
		if p := s.pongs[token]; p.place == place {
			select {
			case p.ch <- err:
			default:
			}
			return
		}
	}
}
