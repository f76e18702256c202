package web

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/remote"
)

// WhereRequest is the body of POST /v1/exec/hosts: what words mean to the record, for commands that connect from
// elsewhere.
type WhereRequest struct {
	Command string   `json:"command"` // what it is asked for, for the audit
	Names   []string `json:"names"`   // names on record, and @CLUSTER
}

// Where is what the record knows of a name.
type Where struct {
	Name  string     `json:"name"`
	Hosts []ExecHost `json:"hosts"` // of a cluster all; none: the record cannot say, and Why says why
	Why   string     `json:"why,omitempty"`
}

// where tells addresses, logins and host keys of hosts on record to those who may run commands there. A name that two
// hosts have is an error.
func (s *Server) where(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	c := callerOf(ctx)
	line := "where"
	record := func(outcome string) {
		s.Table.Record(context.WithoutCancel(ctx), access.Record{Who: who(c), Via: c.via, Line: line, Outcome: outcome})
	}
	if !c.person.Has(access.Run) {
		record("needs the role \"run\"")
		s.problem(w, r, problemOf(&command.UserError{Msg: fmt.Sprintf("to be told where hosts are needs the role %q, which %s does not have", access.Run, who(c)), Hint: "--direct asks no server", Kind: command.ErrDenied}))
		return
	}
	if !c.free {
		if wait := s.Limiter.Take(c.person.Name); wait > 0 {
			record("too fast")
			s.problem(w, r, tooFast(wait))
			return
		}
	}
	b, err := whole(r.Body)
	if err != nil {
		s.problem(w, r, problemOf(err))
		return
	}
	var q WhereRequest
	bad := &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: "the body is not JSON with names"}
	if p := readStrict(b, &q, bad); p != nil || len(q.Names) == 0 {
		s.problem(w, r, cmp.Or(p, bad))
		return
	}
	q.Names = eachOnce(q.Names)
	line = q.Command + " " + fleet.Fold(q.Names) + ": asks where they are"
	var out []Where
	for _, name := range q.Names {
		at, err := s.whereIs(ctx, name)
		if err != nil {
			record(err.Error())
			s.problem(w, r, problemOf(err))
			return
		}
		out = append(out, at)
	}
	if q.Command != "exec" { // that goes on record when it begins
		record("ok")
	}
	w.Header().Set("Content-Type", "application/json")
	_ = contract.Write(w, out)
}

// eachOnce gives words in their order without those that stand there again.
func eachOnce(words []string) []string {
	seen := make(map[string]bool, len(words))
	return slices.DeleteFunc(words, func(w string) bool {
		twice := seen[w]
		seen[w] = true
		return twice
	})
}

// whereIs says in Why what a person can do something about; an error is of the request or of the server.
func (s *Server) whereIs(ctx context.Context, name string) (Where, error) {
	at := Where{Name: name}
	hosts, err := s.Hosts(ctx, []ExecHost{{Name: name}})
	var said *command.UserError
	switch {
	case errors.As(err, &said) && !errors.Is(said, command.ErrUsage):
		at.Why = said.Error()
		return at, nil
	case err != nil:
		return at, err
	}
	for _, h := range hosts {
		e := ExecHost{Name: h.Name, FQDN: h.FQDN, Addr: h.Target.Addr, User: h.Target.User, Way: h.Target.Way}
		if pinned, ok := h.Target.HostKeys.(remote.Pinned); ok {
			for _, k := range pinned {
				e.Keys = append(e.Keys, strings.TrimSpace(string(gossh.MarshalAuthorizedKey(k))))
			}
		}
		at.Hosts = append(at.Hosts, e)
	}
	return at, nil
}

// Where asks what words mean to the server's record.
func (c *Client) Where(ctx context.Context, q WhereRequest) ([]Where, error) {
	q.Names = eachOnce(slices.Clone(q.Names))
	b, err := contract.Marshal(q)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/exec/hosts", bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.send(ctx, req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusNotFound {
		_ = res.Body.Close()
		return nil, fmt.Errorf("the server at %s is older than this program, and cannot say where hosts are: restart it, or say --direct, which asks no server", c.where)
	}
	var out []Where
	if err := decode(res, &out); err != nil {
		return nil, err
	}
	if len(out) != len(q.Names) {
		return nil, fmt.Errorf("the server at %s does not say what all names mean; --direct asks no server", c.where)
	}
	return out, nil
}
