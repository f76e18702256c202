package pages

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// The server starts, and signs in by all else, while the provider is away; when that is back, so is its button.
func TestTheCompanysLoginIsAway(t *testing.T) {
	w, idp := newCompanyWorld(t)
	idp.Kill()
	const away = "Lab login does not answer me as it should"
	began := time.Now()
	if res := w.browser().get("/login"); res.status != 200 || !strings.Contains(res.body, away) || !strings.Contains(res.body, `name="token"`) {
		t.Errorf("the login page: %d %s", res.status, res.body)
	}
	if d := time.Since(began); d > real.Patience(time.Second) {
		t.Errorf("the login page took %s", d)
	}
	if res := w.browser().post("/login/oidc", nil); res.status != 503 || !strings.Contains(res.body, away) || res.header.Get("Refresh") != "" {
		t.Errorf("the button: %d %s", res.status, res.body)
	}
	if w.as("alice").get("/").status != 200 || w.browser().post("/login", url.Values{"token": {w.token("alice", "view")}}).status != http.StatusSeeOther {
		t.Error("a link or a token does not sign in")
	}
	if !strings.Contains(w.log.String(), "connection refused") {
		t.Errorf("the log does not say why: %s", w.log)
	}
	w.must(idp.Start())
	time.Sleep(1100 * time.Millisecond) // it is asked once a second at most
	if res := w.browser().get("/login"); strings.Contains(res.body, away) {
		t.Error("the login page still says that it is away")
	}
	b := w.company(idp, "bob")
	again := w.company(idp, "bob")
	if res := again.post("/sessions", url.Values{"verb": {"end"}, "session": {"all"}}); res.status != 200 || !strings.Contains(res.body, "you are signed out everywhere: 2 sessions.") || b.get("/").status != http.StatusSeeOther {
		t.Errorf("everywhere: %d %s", res.status, res.body)
	}
	b = w.company(idp, "bob")

	// It dies while somebody is there: the answer comes, and there is nobody to ask what it is worth.
	gone := w.browser()
	back := comes(t, idp, gone.begin("/"), "bob")
	idp.Kill()
	if res := gone.arrive(back); res.status != 503 || !strings.Contains(res.body, "nobody was signed in") || strings.Contains(res.body+w.log.String()+w.auditLines(), back) {
		t.Errorf("%d %s", res.status, res.body)
	}
	if res := b.get("/"); res.status != 200 {
		t.Errorf("a session while the provider is away: %d", res.status)
	}
	w.must(idp.Start())
	time.Sleep(1100 * time.Millisecond)
	w.company(idp, "bob")

	// It says that it is somebody else.
	other := *w.conf.OIDC
	other.Issuer += "/"
	w.access.SetOIDC(&other)
	if res := w.browser().post("/login/oidc", nil); res.status != 503 {
		t.Errorf("a provider that calls itself otherwise: %d", res.status)
	}
}

// The provider signs with a new key from now on.
func TestTheCompanysLoginHasANewKey(t *testing.T) {
	w, idp := newCompanyWorld(t)
	w.company(idp, "bob")
	for range 2 { // the first key is no longer published then
		w.must(idp.Rotate())
		w.company(idp, "bob")
	}
	// Claims may be in userinfo alone.
	idp.Kill()
	idp.UserInfo = true
	w.must(idp.Start())
	if res := w.company(idp, "carol").get("/"); res.status != 200 || !strings.Contains(res.body, ">oidc:carol</a>") {
		t.Errorf("by userinfo: %d", res.status)
	}
	// A wrong secret: the reason is in the log, without what the provider was sent.
	other := *w.conf.OIDC
	other.Secret = "another-secret-another-secret"
	w.access.SetOIDC(&other)
	b := w.browser()
	back := comes(t, idp, b.begin("/"), "bob")
	if res := b.arrive(back); res.status != 503 || !strings.Contains(w.log.String(), "invalid_client") || strings.Contains(w.log.String(), "another-secret") {
		t.Errorf("a wrong secret: %d %s %s", res.status, res.body, w.log)
	}
	// Another claim than what people name: a session of before is nobody's now.
	alice := w.company(idp2(w, idp), "alice")
	named := *w.conf.OIDC
	named.Claim = "preferred_username"
	w.access.SetOIDC(&named)
	if res := alice.get("/"); res.status != http.StatusSeeOther {
		t.Errorf("a session by another claim: %d", res.status)
	}
	if res := w.company(idp, "alice").get("/"); !strings.Contains(res.body, ">alice</a>") {
		t.Error("by preferred_username")
	}
	// One that the provider does not give signs nobody in, also when people could be found by something else.
	none := *w.conf.OIDC
	none.Claim = "employee"
	w.access.SetOIDC(&none)
	b = w.browser()
	if res := b.arrive(comes(t, idp, b.begin("/"), "alice")); res.status != 403 || !strings.Contains(res.body, "no <code>employee</code>") {
		t.Errorf("a claim that is not there: %d %s", res.status, res.body)
	}
}

// idp2 puts the configuration of the beginning back.
func idp2(w *world, idp *real.OIDC) *real.OIDC { w.access.SetOIDC(w.conf.OIDC); return idp }

// A page that is open when the configuration is read again, and gives his group less.
func TestAPageThatIsOpenWhenAGroupsRoleIsTakenAway(t *testing.T) {
	w, idp := newCompanyWorld(t)
	w.do("dns:update_host", func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanent(errors.New("broken")) })
	w.reach(w.deploy("loki"), pipeline.Failed)
	bob := w.company(idp, "bob")
	f := bob.watch("/runs/1?live=1&last=1")
	f.until("the buttons", has("part", `id="acts"`, ">Retry<"))
	set := func(roles map[string][]string) time.Time {
		c := *w.conf.OIDC
		c.Roles = roles
		w.access.SetOIDC(&c)
		return time.Now()
	}
	at := set(map[string][]string{"dev": {access.View}})
	if res := bob.post("/runs/1", url.Values{"verb": {"retry"}, "run": {"1"}}); res.status != 403 {
		t.Errorf("a button that is still drawn: %d", res.status)
	}
	f.until("the buttons to go", has("part", `id="acts"`, "which oidc:bob does not have"))
	if d := time.Since(at); d > real.Patience(6*time.Second) {
		t.Errorf("the buttons went after %s", d)
	}
	at = set(nil)
	f.until("the page to end", has("part", "signed out", `href="/login"`))
	if d := time.Since(at); d > real.Patience(6*time.Second) {
		t.Errorf("the page ended after %s", d)
	}
	for e := range f.in {
		t.Errorf("and then %+v", e)
	}
	// A group that is given a role later has it, without a new sign-in; of somebody who is named, beside his own.
	set(map[string][]string{"dev": {access.View}, "ops": {access.Admin}})
	alice := w.company(idp, "alice")
	if res := alice.post("/", url.Values{"line": {"audit"}}); res.status != 200 {
		t.Errorf("by the group ops: %d %s", res.status, res.body)
	}
	set(nil)
	if res := alice.post("/", url.Values{"line": {"audit"}}); res.status != 403 {
		t.Errorf("without it: %d", res.status)
	}
	if res := alice.get("/"); res.status != 200 {
		t.Errorf("her own roles: %d", res.status)
	}
	// Whoever leaves people is out, also where his groups have roles: he was somebody else.
	set(map[string][]string{"dev": {access.View}})
	w.must(w.access.SetPeople(w.people[1:]))
	if res := alice.get("/"); res.status != http.StatusSeeOther {
		t.Errorf("of who left: %d", res.status)
	}
	if res := w.company(idp, "alice").get("/"); !strings.Contains(res.body, ">oidc:alice</a>") {
		t.Error("who left, by her groups")
	}
	w.access.SetOIDC(nil)
	if res := w.browser().get("/login"); strings.Contains(res.body, "/login/oidc") {
		t.Error("the button without a configuration")
	}
	if res := w.browser().post("/login/oidc", nil); res.status != http.StatusSeeOther {
		t.Errorf("without a configuration: %d", res.status)
	}
}

// Any node takes what another began, and once only.
func TestALoginIsTakenByAnyNode(t *testing.T) {
	pg, err := real.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Stop)
	at, err := pg.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w, idp := newCompanyWorld(t, func(w *world) { w.database = at })
	other := &world{t: t, dir: t.TempDir(), does: w.does, log: &syncBuffer{}, people: w.people, conf: w.conf, listen: "127.0.0.1:0", database: at, key: w.key}
	other.start(other.listen)
	t.Cleanup(func() { other.stop() })
	b := w.browser()
	back := comes(t, idp, b.begin("/approvals"), "bob")
	u, err := url.Parse(w.base)
	w.must(err)
	there := other.browser()
	there.Jar.SetCookies(u, b.Jar.Cookies(&url.URL{Scheme: "http", Host: u.Host, Path: "/login/oidc/callback"}))
	codes := make(chan int, 2)
	for _, b := range []*browser{b, there} {
		go func() { codes <- b.arrive(back).status }()
	}
	if one, two := <-codes, <-codes; one+two != 200+401 {
		t.Errorf("of two nodes that are asked at once, one signs in: %d, %d", one, two)
	}
	there.Jar.SetCookies(u, b.Jar.Cookies(u)) // whichever it was
	if res := there.get("/approvals"); res.status != 200 {
		t.Errorf("the session at the other node: %d", res.status)
	}
	if list, err := other.access.Sessions(t.Context(), "oidc:bob"); err != nil || len(list) != 1 {
		t.Errorf("sessions: %v %v", list, err)
	}
}
