package web

import (
	"context"
	"net/http"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/contract"
)

// Reloaded says what became of a configuration that was read again.
type Reloaded struct {
	Changed []string `json:"changed"` // keys that were taken over
	Restart []string `json:"restart"` // keys that changed and count after a restart only
}

// reload has the server read its configuration again, for who keeps it.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r.Context())
	record := func(outcome string) {
		s.Table.Record(context.WithoutCancel(r.Context()), access.Record{Who: who(c), Via: c.via, Line: "reload", Outcome: outcome})
	}
	if !c.person.Has(access.Admin) {
		record("needs the role \"admin\"")
		s.problem(w, r, problemOf(&command.UserError{Msg: "`reload` needs the role \"admin\", which " + who(c) + " does not have", Kind: command.ErrDenied}))
		return
	}
	out, err := s.Reload(context.WithoutCancel(r.Context()))
	if err != nil {
		record("the configuration has mistakes; nothing was taken over")
		s.problem(w, r, problemOf(&command.UserError{Msg: err.Error(), Hint: "nothing was taken over", Kind: command.ErrUsage}))
		return
	}
	record("ok")
	w.Header().Set("Content-Type", "application/json")
	_ = contract.Write(w, out)
}

// Reload has the server read its configuration again.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	var out Reloaded
	res, err := c.do(ctx, http.MethodPost, "/v1/reload", "application/json", nil, nil)
	if err != nil {
		return out, err
	}
	return out, decode(res, &out)
}
