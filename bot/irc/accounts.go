package irc

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lrstanley/girc"
	"golang.org/x/time/rate"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/plain"
)

// A server without account-tag is asked who somebody is when they say something that may be for us: WHOX tells the
// account at that moment (https://ircv3.net/specs/extensions/whox). What was learned earlier does not count, for people
// log out, and others take their nicks.

// unproven is a message whose sender's account is being asked for.
type unproven struct {
	m           bot.Message
	ident, host string
	at          time.Time
	question    int // the one that answers for it; 0: not asked yet
}

const (
	whoTimeout = 10 * time.Second
	// Questions go past the outbox, for an answer waits for them. So many may be asked: whoever talks to us fast must
	// not have the server end our link for our flood.
	whoBurst = 4
	whoEvery = 500 * time.Millisecond
	// maxUnproven bounds the messages that wait, and maxNicks the nicks of one host that speak in private: who takes a
	// new one for each line must not keep us from asking for others.
	maxUnproven = 200
	maxNicks    = 5
)

// token tells one question from others, and from girc's own, which has "1": it may have three digits.
func token(question int) string { return strconv.Itoa(100 + question%900) }

// mustAsk reports whether the account matters and the server can tell it.
func (s *session) mustAsk(m bot.Message) bool {
	if s.c.HasCapability("account-tag") {
		return false
	}
	if _, ok := s.c.GetServerOption("WHOX"); !ok {
		return false
	}
	text := strings.ToLower(plain.Line(m.Text))
	return m.Private || strings.Contains(text, strings.ToLower(s.nick())) || s.f.cfg.Name != "" && strings.Contains(text, strings.ToLower(s.f.cfg.Name))
}

// prove holds a message back until the server has told the sender's account. It reports false when there are too many
// to ask for; then the message goes on without one.
func (s *session) prove(m bot.Message, ident, host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	nicks := map[string]bool{}
	for _, u := range s.unknown {
		if u.m.Private && u.host == host && u.m.Nick != m.Nick {
			nicks[u.m.Nick] = true
		}
	}
	if len(s.unknown) >= maxUnproven || m.Private && len(nicks) >= maxNicks {
		return false
	}
	s.unknown = append(s.unknown, &unproven{m: m, ident: ident, host: host, at: time.Now()})
	select {
	case s.ask <- struct{}{}:
	default:
	}
	return true
}

// askNext asks for those who are not asked for yet, those who spoke in a channel first, the longest waiting first, as
// fast as the pace allows. One question is for all that its sender has said by then; for what comes later another is
// asked.
func (s *session) askNext(pace *rate.Limiter) {
	for {
		s.mu.Lock()
		nick := s.nextUnknown()
		if nick == "" || !pace.Allow() { // the next tick asks
			s.mu.Unlock()
			return
		}
		s.questions++
		for _, u := range s.unknown {
			if u.question == 0 && girc.ToRFC1459(u.m.Nick) == girc.ToRFC1459(nick) {
				u.question = s.questions
			}
		}
		which := token(s.questions)
		s.mu.Unlock()
		s.c.Send(&girc.Event{Command: girc.WHO, Params: []string{nick, "%tuhna," + which}})
	}
}

// nextUnknown gives the nick to ask for next; "": there is none. It is called with the lock.
func (s *session) nextUnknown() (nick string) {
	for _, u := range s.unknown {
		switch {
		case u.question != 0:
		case !u.m.Private:
			return u.m.Nick
		case nick == "":
			nick = u.m.Nick
		}
	}
	return nick
}

// whois reads the answer to one question: "me TOKEN ident host nick account". It counts for messages from that very
// ident and host only: a nick may have gone to somebody else since. The line that ends a WHO says nothing: girc asks,
// too, and that line does not tell whose question it ends.
func (s *session) whois(e girc.Event) {
	if len(e.Params) < 6 {
		return
	}
	account := e.Params[5]
	if account == "0" || account == "*" {
		account = ""
	}
	nick := girc.ToRFC1459(e.Params[4])
	if s.held(e.Params[1], nick, account) {
		return
	}
	s.mu.Lock()
	var known []bot.Message
	s.unknown = slices.DeleteFunc(s.unknown, func(u *unproven) bool {
		if u.question == 0 || token(u.question) != e.Params[1] || girc.ToRFC1459(u.m.Nick) != nick {
			return false
		}
		if u.ident == e.Params[2] && u.host == e.Params[3] {
			u.m.Account = account
		}
		known = append(known, u.m)
		return true
	})
	s.mu.Unlock()
	for _, m := range known {
		s.in(m)
	}
}

// giveUp hands on what the server did not answer for; nobody vouches for it then.
func (s *session) giveUp() {
	s.mu.Lock()
	var late []bot.Message
	for len(s.unknown) > 0 && time.Since(s.unknown[0].at) > whoTimeout {
		late = append(late, s.unknown[0].m)
		s.unknown = s.unknown[1:]
	}
	s.mu.Unlock()
	for _, m := range late {
		s.in(m)
	}
}

// holderWithin is how long a server may take to tell who has a nick.
const holderWithin = 3 * time.Second

// Holder is bot.Prover: WHOX tells the account of who has a nick at this moment. Nothing is told of a channel.
func (f *Frontend) Holder(ctx context.Context, nick string) (id access.Identity, ok bool) {
	s := f.link.Get()
	if s == nil || nick == "" || strings.ContainsAny(nick[:1], "#&+!@%~") {
		return id, false
	}
	if _, can := s.c.GetServerOption("WHOX"); !can {
		return id, false
	}
	answer := make(chan string, 1)
	s.mu.Lock()
	s.questions++
	which := token(s.questions)
	s.holders[which] = holder{girc.ToRFC1459(nick), answer}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.holders, which)
		s.mu.Unlock()
	}()
	s.c.Send(&girc.Event{Command: girc.WHO, Params: []string{nick, "%tuhna," + which}})
	ctx, cancel := context.WithTimeout(ctx, holderWithin)
	defer cancel()
	select {
	case account := <-answer:
		return access.Identity{Network: "irc", Account: account, Nick: nick}, true
	case <-s.gone:
	case <-ctx.Done():
	}
	// Nobody has it, or nobody says so: somebody could take it before a line arrives. It is nobody that we know.
	return access.Identity{Network: "irc", Nick: nick}, true
}

// holder waits for the account of who has a nick.
type holder struct {
	nick   string // folded
	answer chan string
}

// held hands an answer of WHOX to who asked for the holder of a nick; false: nobody did.
func (s *session) held(which, nick, account string) bool {
	s.mu.Lock()
	h, ok := s.holders[which]
	s.mu.Unlock()
	if !ok || h.nick != nick {
		return false
	}
	select {
	case h.answer <- account:
	default:
	}
	return true
}
