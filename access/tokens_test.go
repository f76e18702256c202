package access

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/store"
)

func TestATokenStandsForNoMoreThanItsPerson(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	year := time.Now().Add(DefaultTokenLife)
	for _, c := range []struct {
		name  string
		token Token
		want  []string
		err   error
	}{
		{"with a role of his", Token{Person: "alice", Roles: []string{Deploy}, Expires: year}, []string{Deploy}, nil},
		{"with less than he has", Token{Person: "alice", Roles: []string{View}, Expires: year}, []string{View}, nil},
		{"with more than he has, as after a demotion", Token{Person: "bob[x]", Roles: []string{Admin, View}, Expires: year}, nil, ErrTokenOrphan},
		{"with a role that he lost", Token{Person: "bob", Roles: []string{Admin, View}, Expires: year}, []string{View}, nil},
		{"from yesterday", Token{Person: "alice", Roles: []string{Deploy}, Expires: time.Now().Add(-time.Second)}, nil, ErrTokenExpired},
		{"of somebody who left", Token{Person: "carol", Roles: []string{Admin}, Expires: year}, nil, ErrTokenOrphan},
	} {
		_, secret, err := a.NewToken(ctx, c.token)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(secret, TokenPrefix) {
			t.Errorf("%s: the secret is %q", c.name, secret)
		}
		p, err := a.Bearer(ctx, secret)
		if !errors.Is(err, c.err) || !slices.Equal(p.Roles, c.want) {
			t.Errorf("%s: %+v, %v; want %v, %v", c.name, p, err, c.want, c.err)
		}
		if _, err := a.Bearer(ctx, secret[:len(secret)-1]); !errors.Is(err, ErrTokenUnknown) {
			t.Errorf("%s, cut by a letter: %v", c.name, err)
		}
	}
}

func TestARevokedTokenIsOver(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	made, secret, err := a.NewToken(ctx, Token{Person: "alice", Name: "ci", Roles: []string{Deploy}, By: "alice", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Revoke(ctx, made.ID, "bob"); !errors.Is(err, ErrNoToken) {
		t.Errorf("bob revokes alice's token: %v", err)
	}
	if _, err := a.Bearer(ctx, secret); err != nil {
		t.Errorf("before: %v", err)
	}
	for range 2 { // twice is as good as once
		if _, err := a.Revoke(ctx, made.ID, "alice"); err != nil {
			t.Error(err)
		}
	}
	if _, err := a.Bearer(ctx, secret); !errors.Is(err, ErrTokenRevoked) {
		t.Errorf("after: %v", err)
	}
	list, err := a.Tokens(ctx, "ALICE")
	if err != nil || len(list) != 1 || list[0].Revoked.IsZero() || list[0].Used.IsZero() {
		t.Errorf("alice's tokens are %+v, %v", list, err)
	}
}

// TestWhatWasMadeWithAToken: whoever revokes one that leaked hears what was made with it, also by way of another.
func TestWhatWasMadeWithAToken(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	make := func(with int64) int64 {
		made, secret, err := a.NewToken(ctx, Token{Person: "alice", Name: "ci", Roles: []string{Deploy}, By: "alice", With: with, Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if p, err := a.Bearer(ctx, secret); err != nil || p.Token != made.ID {
			t.Fatalf("%+v, %v", p, err)
		}
		return made.ID
	}
	leaked, other := make(0), make(0)
	first := make(leaked)
	second := make(first)
	if _, err := a.Revoke(ctx, first, "alice"); err != nil {
		t.Fatal(err)
	}
	made, err := a.MadeWith(ctx, leaked)
	if err != nil || len(made) != 1 || made[0].ID != second {
		t.Errorf("made with it: %+v, %v", made, err)
	}
	if made, err := a.MadeWith(ctx, other); err != nil || len(made) != 0 {
		t.Errorf("made with the other: %+v, %v", made, err)
	}
}

// The record keeps a hash: who reads the database cannot come in.
func TestNoSecretIsOnRecord(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a, err := New(t.Context(), people, db)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := a.NewToken(t.Context(), Token{Person: "alice", Roles: []string{Deploy}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	var row string
	if err := db.QueryRow(t.Context(), "SELECT person || name || hash || roles || by_whom FROM tokens").Scan(&row); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(row, secret) || strings.Contains(row, strings.TrimPrefix(secret, TokenPrefix)) {
		t.Errorf("the record has %q", row)
	}
}

// The attack: an admin whom `people` does not name (the company's login lets her in by a group, or she was taken out)
// makes tokens for two of the people, asks with one and approves with the other.
func TestWhoIsNotOneOfThePeopleIsNoOperator(t *testing.T) {
	a := open(t)
	ctx := t.Context()
	bearer := func(tok Token) Person {
		t.Helper()
		tok.Person, tok.Roles, tok.Expires = "alice", []string{Deploy}, time.Now().Add(time.Hour)
		_, secret, err := a.NewToken(ctx, tok)
		if err != nil {
			t.Fatal(err)
		}
		p, err := a.Bearer(ctx, secret)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		name  string
		token Token
		want  []string
	}{
		{"by the company's login", Token{By: "oidc:mallory"}, []string{"oidc:mallory"}},
		{"no longer one of the people", Token{By: "mallory"}, []string{"mallory"}},
		{"who keeps the machine", Token{By: "root", Operator: true}, []string{"local:root"}},
		{"by a name that looks like theirs", Token{By: "local:mallory"}, []string{"mallory"}},
		{"the operator made the maker's token", Token{By: "bob", Behind: []string{"local:root"}}, []string{"bob", "local:root"}},
		{"who made the maker's token is no longer one", Token{By: "bob", Behind: []string{"mallory"}}, []string{"bob", "mallory"}},
	} {
		if got := bearer(c.token).Behind; !slices.Equal(got, c.want) {
			t.Errorf("%s: behind it %q, want %q", c.name, got, c.want)
		}
	}
	// Rows of an earlier program do not say it, and what they say of makers they guessed.
	exec(t, a, "INSERT INTO tokens (person, name, hash, roles, by_whom, behind, created, expires, used, revoked) VALUES ('alice', 'old', ?, 'deploy', 'root', ?, 1, ?, 0, 0)",
		hash("old"), "local:mallory\nlocal:root", time.Now().Add(time.Hour).UnixMilli())
	if p, err := a.Bearer(ctx, "old"); err != nil || !slices.Equal(p.Behind, []string{"root", "mallory", "root"}) {
		t.Errorf("of an earlier program: behind it %q, %v", p.Behind, err)
	}
}
