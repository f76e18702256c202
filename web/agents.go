package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/agent"
)

// Agents takes the lines of agents; an *agent.Hub.
type Agents interface {
	Serve(w http.ResponseWriter, r *http.Request, g agent.Guest)
}

// agents lets an agent in by its own kind of token, which opens nothing else; no other token opens this.
func (s *Server) agents(w http.ResponseWriter, r *http.Request) {
	addr := s.proxies.client(r)
	c := caller{asker: addr.String(), via: "agent/" + addr.String()}
	scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		w.Header().Set("WWW-Authenticate", `Bearer realm="jarvis"`)
		s.problem(w, r, &Problem{Status: http.StatusUnauthorized, Kind: "denied", Detail: "this needs an agent's token", Hint: "`jarvis token new NAME silo SILO` makes one"})
		return
	}
	secret = strings.TrimSpace(secret)
	t, err := s.agentToken(r.Context(), secret)
	if err != nil {
		s.refuse(w, r, addr, c, err)
		return
	}
	if g, ok := r.Context().Value(guestKey{}).(*guest); ok {
		defer g.serving()()
	}
	s.Agents.Serve(w, r, agent.Guest{Silo: t.Silo, Expires: t.Expires, Addr: addr.String(), Still: func(ctx context.Context) error {
		_, err := s.agentToken(ctx, secret)
		if gone(err) {
			return agent.ErrRevoked
		}
		return err
	}})
}

// agentToken is bearer for the tokens of agents, which open nothing else.
func (s *Server) agentToken(ctx context.Context, secret string) (access.Token, error) {
	if !strings.HasPrefix(secret, access.TokenPrefix) || len(secret) > maxToken {
		return access.Token{}, errNoToken
	}
	return s.Access.AgentToken(ctx, secret)
}

// gone reports whether an error is about the token itself, and not about who could not look it up.
func gone(err error) bool {
	for _, e := range []error{errNoToken, access.ErrTokenUnknown, access.ErrTokenExpired, access.ErrTokenRevoked, access.ErrTokenOrphan, access.ErrTokenAgent, access.ErrTokenPerson} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
