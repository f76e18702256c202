package access

import (
	"errors"
	"testing"
	"time"
)

// TestAnAgentsTokenOpensNothingElse: somebody who has read an agent's disk tries its token at the API, and a person's
// token as an agent.
func TestAnAgentsTokenOpensNothingElse(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	made, secret, err := a.NewToken(ctx, Token{Person: "alice", Name: "box", By: "alice", Silo: "vmware", Roles: []string{Admin}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := a.Bearer(ctx, secret); !errors.Is(err, ErrTokenAgent) || p.Name != "" || len(p.Roles) > 0 {
		t.Errorf("Bearer = %+v, %v", p, err)
	}
	if got, err := a.AgentToken(ctx, secret); err != nil || got.Silo != "vmware" || got.ID != made.ID {
		t.Errorf("AgentToken = %+v, %v", got, err)
	}
	_, person, err := a.NewToken(ctx, Token{Person: "alice", Name: "ci", By: "alice", Roles: []string{Admin}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.AgentToken(ctx, person); !errors.Is(err, ErrTokenPerson) || got.Silo != "" {
		t.Errorf("AgentToken of a person's = %+v, %v", got, err)
	}
	if _, err := a.Revoke(ctx, made.ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AgentToken(ctx, secret); !errors.Is(err, ErrTokenRevoked) {
		t.Errorf("after it was revoked: %v", err)
	}
}
