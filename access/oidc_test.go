package access

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/store"
)

// both runs a test on either database.
func both(t *testing.T, f func(*testing.T, *Access)) {
	t.Run("sqlite", func(t *testing.T) { f(t, open(t)) })
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
		f(t, openWith(t, store.Options{URL: url}))
	})
}

const issuer = "https://login.example.org"

func TestALoginComesBackOnce(t *testing.T) {
	both(t, func(t *testing.T, a *Access) {
		ctx := t.Context()
		b, err := a.Begin(ctx, issuer, "/runs/12")
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Verifier()) != 43 || b.Verifier() == b.Nonce() || b.Nonce() == b.Browser {
			t.Errorf("verifier %q, nonce %q", b.Verifier(), b.Nonce())
		}
		for _, bad := range [][2]string{{b.State, "guessed"}, {"guessed", b.Browser}, {b.Browser, b.State}, {"", ""}} {
			if _, err := a.Arrive(ctx, bad[0], bad[1]); !errors.Is(err, ErrLoginForeign) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		errs := make(chan error, 8)
		for range cap(errs) {
			go func() {
				got, err := a.Arrive(ctx, b.State, b.Browser)
				if err == nil && (got.Next != "/runs/12" || got.Issuer != issuer || got.Verifier() != b.Verifier()) {
					err = errors.New("it is another one")
				}
				errs <- err
			}()
		}
		in := 0
		for range cap(errs) {
			if err := <-errs; err == nil {
				in++
			} else if !errors.Is(err, ErrLoginUsed) {
				t.Errorf("a second time: %v", err)
			}
		}
		if in != 1 {
			t.Errorf("%d came in", in)
		}
		late, _ := a.Begin(ctx, issuer, "/")
		exec(t, a, "UPDATE logins SET created = created - ?", LoginWait.Milliseconds()+1)
		if _, err := a.Arrive(ctx, late.State, late.Browser); !errors.Is(err, ErrLoginLate) {
			t.Errorf("late: %v", err)
		}
		exec(t, a, "UPDATE logins SET created = created - ?", 10*LoginWait.Milliseconds())
		if _, err := a.Begin(ctx, issuer, "/"); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := a.db.QueryRow(ctx, "SELECT count(*) FROM logins").Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows stay, %v", n, err)
		}
	})
}

func TestASessionByTheCompanysLogin(t *testing.T) {
	both(t, func(t *testing.T, a *Access) {
		ctx := t.Context()
		conf := &OIDC{Issuer: issuer, Roles: map[string][]string{"ops": {Run, View}, "dev": {View}}}
		a.SetOIDC(conf)
		listed := append(slices.Clone(people), PersonConfig{Name: "kim", OIDC: "K-1", Roles: []string{Deploy}})
		if err := a.SetPeople(listed); err != nil {
			t.Fatal(err)
		}
		l := Login{Issuer: issuer, Claim: "sub", Value: "K-1", Groups: []string{"ops", "bad\x00one", strings.Repeat("g", 300)}}
		s, secret, err := a.SignInAs(ctx, l, Session{From: "192.0.2.1"})
		if err != nil || s.Person != "kim" || s.Life() != LoginLife {
			t.Fatalf("%+v %v", s, err)
		}
		if _, p, err := a.Session(ctx, secret); err != nil || p.Name != "kim" || p.Unnamed || !slices.Equal(p.Roles, []string{Deploy, View, Run}) {
			t.Errorf("one of people: %+v %v", p, err)
		}
		// The value is the provider's, and is compared exactly; a name of people is nothing to it.
		for _, value := range []string{"k-1", "kim", "alice"} {
			l := l
			if l.Value = value; value == "alice" {
				l.Groups = []string{"dev", "dev"}
			}
			if p, err := a.ByLogin(l); err != nil || p.Name != "oidc:"+value || !p.Unnamed || p.Has(Deploy) || p.Has(Admin) {
				t.Errorf("%s: %+v %v", value, p, err)
			}
		}
		var none *NoRoleError
		if _, _, err := a.SignInAs(ctx, Login{Issuer: issuer, Claim: "sub", Value: "eve", Groups: []string{"sales"}}, Session{}); !errors.As(err, &none) || !strings.Contains(err.Error(), "(sales)") {
			t.Errorf("without a role: %v", err)
		}
		for _, bad := range []string{"", "a\nb", " a", "a\u200bb", strings.Repeat("x", 256)} {
			if _, err := a.ByLogin(Login{Issuer: issuer, Claim: "sub", Value: bad, Groups: []string{"dev"}}); !errors.Is(err, ErrLoginValue) {
				t.Errorf("%.20q: %v", bad, err)
			}
		}
		// The configuration of now counts.
		for what, c := range map[string]*OIDC{"none": nil, "another provider": {Issuer: "https://other.example.org", Roles: conf.Roles}, "another claim": {Issuer: issuer, Claim: "upn", Roles: conf.Roles}} {
			a.SetOIDC(c)
			if _, _, err := a.Session(ctx, secret); !errors.Is(err, ErrSessionOther) {
				t.Errorf("%s: %v", what, err)
			}
		}
		a.SetOIDC(&OIDC{Issuer: issuer})
		if _, p, err := a.Session(ctx, secret); err != nil || !slices.Equal(p.Roles, []string{Deploy}) {
			t.Errorf("a group without a role: %+v %v", p, err)
		}
		a.SetOIDC(conf)
		if err := a.SetPeople(people); err != nil {
			t.Fatal(err)
		}
		if _, _, err := a.Session(ctx, secret); !errors.Is(err, ErrSessionOther) {
			t.Errorf("who left people: %v", err)
		}
		if err := a.SetPeople(listed); err != nil {
			t.Fatal(err)
		}
		// 12 hours after login it ends, however much it is used, and is on no list.
		exec(t, a, "UPDATE sessions SET created = created - ?", LoginLife.Milliseconds()+1)
		if _, _, err := a.Session(ctx, secret); !errors.Is(err, ErrSessionExpired) {
			t.Errorf("12 hours after login: %v", err)
		}
		if list, err := a.Sessions(ctx, "kim"); err != nil || len(list) != 0 {
			t.Errorf("listed: %v %v", list, err)
		}
		// To a program of before, which does not look at login, it has no role.
		var roles string
		if err := a.db.QueryRow(ctx, "SELECT roles FROM sessions WHERE person = 'kim'").Scan(&roles); err != nil || roles != "" {
			t.Errorf("roles on record: %q %v", roles, err)
		}
		// Nor does it stumble over the table: it writes rows without what is new.
		exec(t, a, "INSERT INTO sessions (hash, person, roles, behind, token, how, address, browser, created, used) VALUES (?, 'alice', '*', '', 0, 'a link', '', '', ?, ?)", hash("older"), time.Now().UnixMilli(), time.Now().UnixMilli())
		if _, p, err := a.Session(ctx, "older"); err != nil || p.Name != "alice" {
			t.Errorf("a session that it made: %+v %v", p, err)
		}
		_, err = a.Begin(ctx, issuer, "/")
		if err := errors.Join(err, a.db.Write(ctx, func(tx store.Tx) error { return EndAllSessions(ctx, tx) })); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := a.db.QueryRow(ctx, "SELECT (SELECT count(*) FROM logins) + (SELECT count(*) FROM sessions)").Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows after all sessions ended, %v", n, err)
		}
	})
}

func TestWhoIsCertainlyNotAStranger(t *testing.T) {
	a := open(t)
	if err := a.SetPeople([]PersonConfig{{Name: "kim", OIDC: "K-1"}, {Name: "lee"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		person, stranger string
		apart            bool
	}{{"kim", "oidc:other", true}, {"KIM", "oidc:other", true}, {"kim", "oidc:K-1", false}, {"lee", "oidc:other", false}, {"lee", "kim", true}, {"nobody", "oidc:other", false}} {
		if got := a.KnownApart(c.person, c.stranger); got != c.apart {
			t.Errorf("%s and %s: %v", c.person, c.stranger, got)
		}
	}
}

func TestConfigOfTheCompanysLogin(t *testing.T) {
	good := OIDC{Issuer: issuer, Client: "jarvis", Secret: "s", Roles: map[string][]string{"ops": {View}}}
	for name, c := range map[string]struct {
		set  func(*OIDC)
		at   string
		want string
	}{
		"good":             {func(*OIDC) {}, "https://j.example.org", ""},
		"no http.url":      {func(*OIDC) {}, "", "http.oidc needs http.url"},
		"plain":            {func(c *OIDC) { c.Issuer = "http://login.example.org" }, "https://j", "without https"},
		"plain, here":      {func(c *OIDC) { c.Issuer = "http://127.0.0.1:8080" }, "https://j", ""},
		"a query":          {func(c *OIDC) { c.Issuer += "?x=1" }, "https://j", "http.oidc.issuer is"},
		"e-mail":           {func(c *OIDC) { c.Claim = "Email" }, "https://j", "people may write themselves"},
		"a name":           {func(c *OIDC) { c.Claim = "name" }, "https://j", "people may write themselves"},
		"preferred":        {func(c *OIDC) { c.Claim = "preferred_username" }, "https://j", ""},
		"no secret":        {func(c *OIDC) { c.Secret = "" }, "https://j", "http.oidc.secret is not set"},
		"a role":           {func(c *OIDC) { c.Roles["ops"][0] = "root" }, "https://j", "http.oidc.roles.ops[0]: the group has the role \"root\""},
		"a CA that is not": {func(c *OIDC) { c.CA = "/nothing" }, "https://j", "http.oidc.ca cannot be read"},
	} {
		conf := good
		conf.Roles = map[string][]string{"ops": {View}}
		c.set(&conf)
		err := conf.Check(c.at)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
