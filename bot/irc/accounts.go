package irc

import (
	"strings"
	"time"

	"github.com/lrstanley/girc"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/plain"
)

// A server without account-tag is asked who somebody is when he says something that may be for us: WHOX tells the
// account at that moment (https://ircv3.net/specs/extensions/whox). What was learned earlier does not count, for people
// log out, and others take their nicks.

// unproven is a message whose sender's account is being asked for.
type unproven struct {
	m           bot.Message
	ident, host string
	at          time.Time
}

const (
	whoToken   = "773" // tells our question from girc's own
	whoTimeout = 10 * time.Second
)

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
	select {
	case s.ask <- m.Nick:
	default:
		return false
	}
	s.mu.Lock()
	s.unknown = append(s.unknown, &unproven{m, ident, host, time.Now()})
	s.mu.Unlock()
	return true
}

// whois reads one answer: "me 773 ident host nick account". It counts for messages from that very ident and host only:
// a nick may have gone to somebody else since.
func (s *session) whois(e girc.Event) {
	if len(e.Params) < 6 || e.Params[1] != whoToken || e.Params[5] == "0" || e.Params[5] == "*" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.unknown {
		if girc.ToRFC1459(u.m.Nick) == girc.ToRFC1459(e.Params[4]) && u.ident == e.Params[2] && u.host == e.Params[3] {
			u.m.Account = e.Params[5]
			return
		}
	}
}

// known hands on the oldest message of a nick: the server has said all that it knows.
func (s *session) known(nick string) {
	s.mu.Lock()
	var m *bot.Message
	for i, u := range s.unknown {
		if girc.ToRFC1459(u.m.Nick) == girc.ToRFC1459(nick) {
			m = &u.m
			s.unknown = append(s.unknown[:i], s.unknown[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	if m != nil {
		s.in(*m)
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
