package irc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lrstanley/girc"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/mistake"
)

// NickServ is the login by a command to the services, on networks whose servers have no SASL.
type NickServ struct {
	Account  string           `yaml:"account" doc:"account name; empty: the nick"`
	Password clipboard.Secret `yaml:"password" doc:"empty: no such login"`
	To       string           `yaml:"to" doc:"a command that the server hands to its services and nobody else, or their full address, as in NickServ@services.example.org" default:"NICKSERV"`
}

// loginTime is how long the services may take to answer.
const loginTime = 20 * time.Second

// check says what is wrong. A bare nick as the receiver is refused: while the services are away anybody may have it.
func (n NickServ) check(cfg Config, wrong *mistake.List) {
	switch {
	case n.Password == "" && n.Account == "":
		return
	case n.Password == "":
		wrong.At("chat.irc.nickserv", "has an account and no password")
	case !cfg.TLS:
		wrong.At("chat.irc.nickserv", "without tls would send the password in clear; set tls: true")
	case cfg.SASL.User != "" || cfg.SASL.External:
		wrong.At("chat.irc.nickserv", "and sasl are two logins; where there is SASL, leave nickserv out")
	}
	if strings.ContainsAny(n.Account+string(n.Password), " \r\n\x00") || strings.HasPrefix(string(n.Password), ":") {
		wrong.At("chat.irc.nickserv", ": account and password may have no space, and the password no : at its beginning")
	}
	if to := n.to(); strings.ContainsAny(to, " ,:!*?\r\n\x00") || !strings.Contains(to, "@") && to != strings.ToUpper(to) {
		wrong.At("chat.irc.nickserv.to", "is %q; it must be a command in capital letters, as NICKSERV or NS, or a full address, as NickServ@services.example.org: a nick alone may be anybody's", to)
	}
}

func (n NickServ) to() string {
	if n.To == "" {
		return "NICKSERV"
	}
	return n.To
}

// identify asks the services to log us in. The session is up when they have; until then nothing is joined or said.
func (s *session) identify(ctx context.Context) {
	n := s.f.cfg.NickServ
	words := []string{"IDENTIFY", n.Account, string(n.Password)}
	if n.Account == "" {
		words = []string{"IDENTIFY", s.f.cfg.Nick, string(n.Password)}
	}
	e := &girc.Event{Command: n.to(), Params: words, Sensitive: true}
	if strings.Contains(n.to(), "@") {
		e = &girc.Event{Command: girc.PRIVMSG, Params: []string{n.to(), strings.Join(words, " ")}, Sensitive: true}
	}
	s.c.Send(e)
	timer := time.AfterFunc(loginTime, guard.Func(guard.Count, func() {
		if !s.up() {
			s.fail(fmt.Errorf("the services did not log us in within %s; check chat.irc.nickserv", loginTime))
		}
	}))
	context.AfterFunc(ctx, guard.Func(guard.Count, func() { timer.Stop() }))
}

// identified looks whether an event ends the wait for the services: they log us in (900, or the mode +r, which they
// alone may set), or the server does not know whom we mean.
func (s *session) identified(ctx context.Context, e girc.Event) {
	if s.f.cfg.NickServ.Password == "" || s.up() || !s.waits.Load() {
		return
	}
	mine := func(i int) bool { return len(e.Params) > i && girc.ToRFC1459(e.Params[i]) == girc.ToRFC1459(s.nick()) }
	switch {
	case e.Command == rplLoggedIn, e.Command == "MODE" && mine(0) && len(e.Params) > 1 && sets(e.Params[1], 'r'):
		s.enter(ctx)
	case e.Command == "421" && len(e.Params) > 1 && strings.EqualFold(e.Params[1], s.f.cfg.NickServ.to()):
		s.fail(fmt.Errorf("the server has no command %s; write the services' full address into chat.irc.nickserv.to", s.f.cfg.NickServ.to()))
	case e.Command == "401" && len(e.Params) > 1 && strings.Contains(s.f.cfg.NickServ.to(), e.Params[1]):
		s.fail(errors.New("the services are not there; nobody logs us in"))
	case e.Command == girc.NOTICE && mine(0) && e.Source != nil && !e.Source.IsServer() && strings.Contains(strings.ToLower(e.Last()), "invalid"):
		s.f.log.Warn("the services answer", "server", s.f.cfg.Server, "said", e.Last())
	}
}

// sets reports whether a change of modes, as +iw-x, sets one.
func sets(change string, mode rune) bool {
	on := false
	for _, r := range change {
		switch r {
		case '+', '-':
			on = r == '+'
		case mode:
			return on
		}
	}
	return false
}
