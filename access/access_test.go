package access

import (
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/store"
)

var people = []PersonConfig{
	{Name: "alice", Chat: []Account{on{"irc", "alice"}, on{"xmpp", "alice@example.org"}}, Roles: []string{Deploy}},
	{Name: "bob", Roles: []string{View}},
	{Name: "root", Local: "root", Roles: []string{Admin}},
}

// on is an account that is known by its name alone.
type on struct{ network, name string }

func (a on) Network() string { return a.network }
func (a on) Folded() string  { return a.name }
func (a on) Wrong() string {
	if a.name == "wrong" {
		return "is wrong"
	}
	return ""
}
func (a on) Is(id Identity) bool { return id.Account == a.name }

func open(t *testing.T) *Access {
	t.Helper()
	return openWith(t, store.Options{Dir: t.TempDir()})
}

func openWith(t *testing.T, o store.Options) *Access {
	t.Helper()
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a, err := New(t.Context(), people, db)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhoTrustsOnlyWhatIsProven(t *testing.T) {
	a := open(t)
	for _, c := range []struct {
		name string
		id   Identity
		want string
	}{
		{"an account", Identity{Network: "irc", Account: "alice", Nick: "whoever"}, "alice"},
		{"the attack: a nick that looks like an account", Identity{Network: "irc", Nick: "alice"}, ""},
		{"a JID", Identity{Network: "xmpp", Account: "alice@example.org"}, "alice"},
		{"a JID is no IRC account", Identity{Network: "irc", Account: "alice@example.org"}, ""},
		{"an empty account matches nobody", Identity{Network: "local"}, ""},
	} {
		if got := a.Who(c.id).Name; got != c.want {
			t.Errorf("%s: Who(%+v) = %q, want %q", c.name, c.id, got, c.want)
		}
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		roles []string
		role  string
		want  bool
	}{
		{nil, "", true}, {nil, View, false}, {[]string{View}, Deploy, false}, {[]string{Deploy}, View, true},
		{[]string{Deploy}, Run, false}, {[]string{Admin}, Run, true}, {[]string{Run}, Deploy, false},
	} {
		if got := (Person{Roles: c.roles}).Has(c.role); got != c.want {
			t.Errorf("%v has %q = %v", c.roles, c.role, got)
		}
	}
}

func TestAuditIsForEver(t *testing.T) {
	a := open(t)
	if err := a.Audit(t.Context(), Record{Who: "alice", Via: "irc", Line: "deploy x", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"UPDATE audit SET who = 'bob'", "DELETE FROM audit"} {
		err := a.db.Write(t.Context(), func(tx store.Tx) error { _, err := tx.Exec(t.Context(), q); return err })
		if err == nil || !strings.Contains(err.Error(), "never changed") {
			t.Errorf("%s: %v", q, err)
		}
	}
	if got, err := a.AuditTail(t.Context(), AuditFilter{Limit: 5}); err != nil || len(got) != 1 || got[0].Who != "alice" {
		t.Errorf("AuditTail = %v, %v", got, err)
	}
}

func TestCheckNamesTheTrouble(t *testing.T) {
	for want, p := range map[string][]PersonConfig{
		"has no name":            {{}},
		`has the role "root"`:    {{Name: "x", Roles: []string{"root"}}},
		"x and y are both irc a": {{Name: "x", Chat: []Account{on{"irc", "a"}}}, {Name: "y", Chat: []Account{on{"irc", "a"}}}},
		"people[0].irc is wrong": {{Name: "x", Chat: []Account{on{"irc", "wrong"}}}},
	} {
		if err := Check(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check(%v) = %v, want %q", p, err, want)
		}
	}
}

// Old rows go, and the audit says so; nobody else can use the door.
func TestPruneRemovesOldAuditRowsOnly(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { pruneAudit(t, open(t)) })
	t.Run("postgres", func(t *testing.T) {
		pg, err := real.StartPostgres(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pg.Stop)
		url, err := pg.Database(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pruneAudit(t, openWith(t, store.Options{URL: url}))
	})
}

func pruneAudit(t *testing.T, a *Access) {
	ctx := t.Context()
	old := time.Now().Add(-500 * 24 * time.Hour)
	err := a.db.Write(ctx, func(tx store.Tx) error {
		for range 2 * store.Piece {
			if _, err := tx.Exec(ctx, "INSERT INTO audit (at, who, via, line, outcome) VALUES (?, 'alice', 'irc', 'status', 'ok')", old.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = a.Audit(ctx, Record{Who: "bob", Via: "irc", Line: "deploy x", Outcome: "ok"})
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.Prune(ctx, time.Now().Add(-400*24*time.Hour)); n != 2*store.Piece || err != nil {
		t.Errorf("Prune = %d, %v", n, err)
	}
	got, err := a.AuditTail(ctx, AuditFilter{Limit: 10})
	if err != nil || len(got) != 2 || got[0].Who != "bob" || got[1].Outcome != "ok: 2000 rows" {
		t.Errorf("AuditTail = %+v, %v", got, err)
	}
	if err := a.db.Write(ctx, func(tx store.Tx) error { _, err := tx.Exec(ctx, "DELETE FROM audit WHERE who = 'bob'"); return err }); err == nil {
		t.Error("the audit let a young row go")
	}
	if err := a.db.Write(ctx, func(tx store.Tx) error { _, err := tx.Exec(ctx, "UPDATE audit SET who = 'eve'"); return err }); err == nil {
		t.Error("the audit let a row be changed")
	}
}
