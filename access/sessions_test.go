package access

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// exec writes into the database as the time that passes would.
func exec(t *testing.T, a *Access, q string, args ...any) {
	t.Helper()
	if err := a.db.Write(t.Context(), func(tx store.Tx) error { _, err := tx.Exec(t.Context(), q, args...); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestALinkIsGoodOnce(t *testing.T) {
	a, ctx := open(t), t.Context()
	alice := a.Person("alice")
	_, link, err := a.NewLink(ctx, alice, "irc/libera/alice")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // previews
		if _, err := a.FindLink(ctx, link); err != nil {
			t.Fatalf("to look at a link: %v", err)
		}
	}
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			_, _, err := a.TakeLink(ctx, link, Session{})
			errs <- err
		}()
	}
	in := 0
	for range cap(errs) {
		if err := <-errs; err == nil {
			in++
		} else if !errors.Is(err, ErrLinkUsed) {
			t.Errorf("a second take: %v", err)
		}
	}
	if in != 1 {
		t.Errorf("%d browsers were let in by one link", in)
	}
	_, late, _ := a.NewLink(ctx, alice, "socket")
	exec(t, a, "UPDATE links SET created = created - ?", LinkLife.Milliseconds()+1)
	if _, _, err := a.TakeLink(ctx, late, Session{}); !errors.Is(err, ErrLinkLate) {
		t.Errorf("a late link: %v", err)
	}
	if _, _, err := a.TakeLink(ctx, "guessed", Session{}); !errors.Is(err, ErrNoLink) {
		t.Errorf("no link: %v", err)
	}
}

func TestASessionIsNoMoreThanItsPerson(t *testing.T) {
	a, ctx := open(t), t.Context()
	_, link, _ := a.NewLink(ctx, a.Person("alice"), "socket")
	_, byLink, err := a.TakeLink(ctx, link, Session{From: "192.0.2.1", Browser: "a\nb"})
	if err != nil {
		t.Fatal(err)
	}
	tok, secret, _ := a.NewToken(ctx, Token{Person: "alice", Roles: []string{View}, By: "bob", Expires: time.Now().Add(time.Hour)})
	_, byToken, err := a.SignIn(ctx, secret, Session{})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := a.Bearer(ctx, secret)
	_, link, _ = a.NewLink(ctx, p, "api/192.0.2.1")
	_, byTokensLink, _ := a.TakeLink(ctx, link, Session{})

	roles := func(session string) []string {
		t.Helper()
		s, p, err := a.Session(ctx, session)
		if err != nil || s.Person != "alice" {
			t.Fatalf("%+v %v", s, err)
		}
		return p.Roles
	}
	if got := roles(byLink); !slices.Equal(got, a.Person("alice").Roles) {
		t.Errorf("by a link: %v", got)
	}
	for name, s := range map[string]string{"a token": byToken, "a link that a token asked for": byTokensLink} {
		if got := roles(s); !slices.Equal(got, []string{View}) {
			t.Errorf("by %s: %v", name, got)
		}
		if _, p, _ := a.Session(ctx, s); !slices.Equal(p.Behind, []string{"bob"}) {
			t.Errorf("by %s: behind it %v", name, p.Behind)
		}
	}
	if _, err := a.Revoke(ctx, tok.ID, ""); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"a token": byToken, "a link that a token asked for": byTokensLink} {
		if _, _, err := a.Session(ctx, s); !errors.Is(err, ErrTokenRevoked) {
			t.Errorf("%s was revoked, and its session: %v", name, err)
		}
	}
	if err := a.SetPeople([]PersonConfig{{Name: "alice", Roles: []string{View}}}); err != nil {
		t.Fatal(err)
	}
	if got := roles(byLink); !slices.Equal(got, []string{View}) {
		t.Errorf("after a demotion: %v", got)
	}
	if err := a.SetPeople([]PersonConfig{{Name: "bob"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Session(ctx, byLink); !errors.Is(err, ErrSessionOrphan) {
		t.Errorf("of who left: %v", err)
	}
}

func TestWhatEndsASession(t *testing.T) {
	a, ctx := open(t), t.Context()
	in := func() string {
		t.Helper()
		_, link, _ := a.NewLink(ctx, a.Person("alice"), "socket")
		_, s, err := a.TakeLink(ctx, link, Session{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	idle := in()
	exec(t, a, "UPDATE sessions SET used = used - ?", SessionIdle.Milliseconds()+1)
	if _, _, err := a.Session(ctx, idle); !errors.Is(err, ErrSessionExpired) {
		t.Errorf("unused for 12 hours: %v", err)
	}
	old := in()
	exec(t, a, "UPDATE sessions SET created = created - ?", SessionLife.Milliseconds()+1)
	if _, _, err := a.Session(ctx, old); !errors.Is(err, ErrSessionExpired) {
		t.Errorf("seven days old: %v", err)
	}
	one, two := in(), in()
	list, err := a.Sessions(ctx, "ALICE")
	if err != nil || len(list) != 2 {
		t.Fatalf("%d sessions, %v", len(list), err)
	}
	if n, err := a.EndSessions(ctx, "bob", list[0].ID); n != 0 || err != nil {
		t.Errorf("bob ended %d of alice's sessions", n)
	}
	if n, _ := a.EndSessions(ctx, "alice", list[0].ID); n != 1 {
		t.Errorf("%d ended", n)
	}
	if _, _, err := a.Session(ctx, two); !errors.Is(err, ErrNoSession) {
		t.Errorf("after logout: %v", err)
	}
	if n, _ := a.EndSessions(ctx, "alice", 0); n != 1 {
		t.Errorf("everywhere: %d", n)
	}
	if _, _, err := a.Session(ctx, one); !errors.Is(err, ErrNoSession) {
		t.Errorf("after logout everywhere: %v", err)
	}
}
