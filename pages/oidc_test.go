package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// newCompanyWorld is a world beside a real provider of OpenID Connect, which is another site.
func newCompanyWorld(t *testing.T, set ...func(*world)) (*world, *real.OIDC) {
	t.Helper()
	return newCompanyWorldAt(t, "", set...)
}

// newCompanyWorldAt is one below a path.
func newCompanyWorldAt(t *testing.T, below string, set ...func(*world)) (*world, *real.OIDC) {
	t.Helper()
	port, err := real.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	base := "http://127.0.0.1:" + strconv.Itoa(port) + below
	idp, err := real.StartOIDC(t.Context(), base+"/login/oidc/callback")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(idp.Stop)
	w := newWorld(t, append([]func(*world){func(w *world) {
		w.listen = "127.0.0.1:" + strconv.Itoa(port)
		w.conf.URL = base
		w.conf.OIDC = &access.OIDC{Issuer: idp.Issuer, Client: real.OIDCClient, Secret: clipboard.Secret(real.OIDCSecret), CA: idp.CA, Name: "Lab login", Scopes: []string{"profile", "groups"},
			Roles: map[string][]string{"dev": {access.View, access.Deploy}, "audit": {access.View}}}
		w.must(w.conf.OIDC.Check(base))
		w.people[0].OIDC = "alice"
	}}, set...)...)
	return w, idp
}

// begin presses the button, and gives the address at the provider to which the browser is sent.
func (b *browser) begin(next string) string {
	b.w.t.Helper()
	res := b.post("/login/oidc", url.Values{"next": {next}})
	to, ok := strings.CutPrefix(res.header.Get("Refresh"), "0;url=")
	if res.status != http.StatusOK || !ok {
		b.w.t.Fatalf("begin: %d %v %s", res.status, res.header, res.body)
	}
	return to
}

// comes gives the path with which the provider sends somebody back.
func comes(t *testing.T, idp *real.OIDC, at, user string) string {
	t.Helper()
	there, err := idp.Browser()
	if err != nil {
		t.Fatal(err)
	}
	back, err := there.Login(t.Context(), at, user)
	if err != nil {
		t.Fatal(err)
	}
	return back.RequestURI()
}

// arrive opens an address as a browser does that another site sends.
func (b *browser) arrive(path string) result {
	b.w.t.Helper()
	return b.get(path, "Sec-Fetch-Site", "cross-site")
}

// company signs in by the company's login.
func (w *world) company(idp *real.OIDC, user string) *browser {
	w.t.Helper()
	b := w.browser()
	if res := b.arrive(comes(w.t, idp, b.begin("/"), user)); res.status != http.StatusOK || !strings.HasPrefix(res.header.Get("Refresh"), "0;url=/") {
		w.t.Fatalf("sign in as %s: %d %v %s", user, res.status, res.header, res.body)
	}
	return b
}

func (w *world) auditLines() string {
	w.t.Helper()
	rows, err := w.access.AuditTail(w.t.Context(), accessAll)
	w.must(err)
	var out strings.Builder
	for _, r := range rows {
		fmt.Fprintln(&out, r.Who, r.Via, r.Line, "=>", r.Outcome)
	}
	return out.String()
}

func TestSignInByTheCompanysLogin(t *testing.T) {
	w, idp := newCompanyWorld(t)
	b := w.browser()
	if res := b.get("/login?next=/approvals"); !strings.Contains(res.body, `>Sign in with Lab login</button>`) || !strings.Contains(res.body, `name="next" value="/approvals"`) || strings.Contains(res.body, "does not answer") {
		t.Errorf("the login page: %s", res.body)
	}
	at := b.begin("/approvals?x=1")
	u, err := url.Parse(at)
	if err != nil || !strings.HasPrefix(at, idp.Issuer+"/") {
		t.Fatal(at, err)
	}
	if q := u.Query(); q.Get("code_challenge_method") != "S256" || len(q.Get("nonce")) < 43 || len(q.Get("state")) < 43 || q.Get("response_type") != "code" || q.Get("scope") != "openid profile groups" || q.Get("redirect_uri") != w.conf.URL+"/login/oidc/callback" {
		t.Errorf("it is asked for %v", q)
	}
	step := b.post("/login/oidc", nil)
	if csp := step.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self';") || step.header.Get("Cache-Control") != "private, no-store" || !strings.Contains(step.body, ">Go on to Lab login</a>") {
		t.Errorf("the page between: %v %s", step.header, step.body)
	}
	res := b.arrive(comes(t, idp, at, "alice"))
	if res.status != 200 || res.header.Get("Refresh") != "0;url=/approvals?x=1" || !strings.Contains(res.body, "Signed in as alice") {
		t.Fatalf("%d %v %s", res.status, res.header, res.body)
	}
	for _, c := range res.header.Values("Set-Cookie") {
		if strings.HasPrefix(c, "jarvis=") && (!strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Strict")) {
			t.Errorf("the session's cookie: %s", c)
		}
	}
	if res := b.get("/approvals?x=1"); res.status != 200 || !strings.Contains(res.body, ">alice</a>") {
		t.Errorf("after it: %d", res.status)
	}
	list, err := w.access.Sessions(t.Context(), "alice")
	if err != nil || len(list) != 1 || list[0].How != "Lab login (OpenID Connect), as alice" || list[0].Life() != 12*time.Hour {
		t.Errorf("on record: %+v %v", list, err)
	}
	if res := b.get("/sessions"); !strings.Contains(res.body, "Lab login (OpenID Connect), as alice") {
		t.Error("the page of sessions does not say how")
	}

	// Whom nobody listed has the roles of his groups, under the provider's name for him.
	bob, carol := w.company(idp, "bob"), w.company(idp, "carol")
	if res := bob.get("/"); res.status != 200 || !strings.Contains(res.body, ">oidc:bob</a>") {
		t.Errorf("bob: %d %s", res.status, res.body)
	}
	if res := bob.post("/", url.Values{"line": {"page"}}); res.status != 403 || !strings.Contains(res.body, "oidc: bob") {
		t.Errorf("a link of somebody whom nobody listed: %d %s", res.status, res.body)
	}
	if res := bob.post("/", url.Values{"line": {"token new ci"}}); res.status < 400 || strings.Contains(res.body, access.TokenPrefix) {
		t.Errorf("a token of his: %d", res.status)
	}
	if res := carol.post("/", url.Values{"line": {"deploy https://gist.example.org/loki"}}); res.status != 403 {
		t.Errorf("carol, who may look: %d", res.status)
	}
	for user, want := range map[string]string{
		"mallory": "Lab login says that you are mallory; you are not one of <code>people</code> here, and you are in no group there. Ask an admin of mine for an entry in <code>people</code> with <code>oidc: mallory</code>",
		"eve":     "none of your groups there has a role here (&lt;script&gt;alert(1)&lt;/script&gt;, a<code>b",
		"locked":  "Lab login did not let you in (access_denied: account is locked); nobody was signed in.",
	} {
		b := w.browser()
		res := b.arrive(comes(t, idp, b.begin("/"), user))
		if res.status != 401 && res.status != 403 || !strings.Contains(res.body, want) || res.header.Get("Refresh") != "" || b.get("/").status != http.StatusSeeOther {
			t.Errorf("%s: %d %s", user, res.status, res.body)
		}
	}
	audit := w.auditLines()
	for _, want := range []string{"alice page/127.0.0.1 sign in by Lab login (OpenID Connect), as alice => ok", "oidc:bob page/127.0.0.1 sign in by Lab login (OpenID Connect), as bob => ok",
		"oidc:mallory page/127.0.0.1 sign in by Lab login (OpenID Connect) => Lab login says that you are mallory", "stranger 127.0.0.1 page/127.0.0.1 sign in by Lab login (OpenID Connect) => Lab login did not let you in"} {
		if !strings.Contains(audit, want) {
			t.Errorf("%q is not in the audit:\n%s", want, audit)
		}
	}
}

// An approval is a second person's: whom nobody listed is nobody's, and what he asked for approves nobody who may be
// he.
func TestASecondPersonBesideTheCompanysLogin(t *testing.T) {
	w, idp := newCompanyWorld(t)
	run := w.deploy("loki")
	w.reach(run, pipeline.Ready)
	bob := w.company(idp, "bob")
	if _, err := w.table.Do(t.Context(), command.Call{Words: []string{"undo", "loki"}, Person: w.access.Person("alice"), Asker: "alice", Via: "test", Free: true}); err != nil {
		t.Fatal(err)
	}
	if res := bob.post("/approvals", url.Values{"verb": {"approve"}, "run": {"1"}}); res.status != 403 || !strings.Contains(res.body, "oidc:bob may be anybody") || !strings.Contains(res.body, "oidc: bob") {
		t.Errorf("approve: %d %s", res.status, res.body)
	}
	for _, path := range []string{"/runs/1", "/approvals"} {
		if res := bob.get(path); strings.Contains(res.body, `value="approve"`) || !strings.Contains(res.body, `value="deny"`) || !strings.Contains(res.body, "oidc:bob may be anybody") {
			t.Errorf("%s to oidc:bob: %s", path, res.body)
		}
		if res := w.as("bob").get(path); !strings.Contains(res.body, `value="approve"`) {
			t.Errorf("%s to bob", path)
		}
	}
	if res := w.as("bob").post("/approvals", url.Values{"verb": {"deny"}, "run": {"1"}}); res.status != 200 {
		t.Fatalf("deny: %d", res.status)
	}
	if res := bob.post("/", url.Values{"line": {"undo loki"}}); res.status != 200 || !strings.Contains(res.body, "waits for a second person") {
		t.Fatalf("undo: %d %s", res.status, res.body)
	}
	if res := w.as("bob").post("/approvals", url.Values{"verb": {"approve"}, "run": {"1"}}); res.status != 403 || !strings.Contains(res.body, "nothing proves that it was not you") {
		t.Errorf("bob of people, who may be oidc:bob: %d %s", res.status, res.body)
	}
	for _, path := range []string{"/runs/1", "/approvals"} {
		if res := w.as("bob").get(path); strings.Contains(res.body, `value="approve"`) || !strings.Contains(res.body, "nothing proves that it was not you") {
			t.Errorf("%s to bob: %s", path, res.body)
		}
		if res := w.as("alice").get(path); !strings.Contains(res.body, `value="approve"`) {
			t.Errorf("%s to alice", path)
		}
	}
	people := slices.Clone(w.people)
	people[1].OIDC = "bob"
	w.must(w.access.SetPeople(people))
	if res := w.as("bob").post("/approvals", url.Values{"verb": {"approve"}, "run": {"1"}}); res.status != 403 {
		t.Errorf("bob of people, who is oidc:bob: %d %s", res.status, res.body)
	}
	if res := bob.get("/"); res.status != http.StatusSeeOther {
		t.Errorf("the session of oidc:bob, who has a name now: %d", res.status)
	}
	if res := w.as("alice").post("/approvals", url.Values{"verb": {"approve"}, "run": {"1"}}); res.status != 200 {
		t.Errorf("alice, who is known there: %d %s", res.status, res.body)
	}
}

func TestWhatSignsNobodyIn(t *testing.T) {
	w, idp := newCompanyWorld(t)
	refused := func(what string, b *browser, res result, status int, why string) {
		t.Helper()
		signed := slices.ContainsFunc(res.header.Values("Set-Cookie"), func(c string) bool { return strings.HasPrefix(c, "jarvis=") })
		if res.status != status || signed || res.header.Get("Refresh") != "" || !strings.Contains(res.body, why) || b.get("/").status != http.StatusSeeOther {
			t.Errorf("%s: %d %v %s", what, res.status, res.header, res.body)
		}
	}
	const foreign = "was not begun in this browser"
	victim, mallory := w.browser(), w.browser()
	// Login CSRF: mallory's answer in the victim's browser would sign him in as her.
	back := comes(t, idp, mallory.begin("/"), "bob")
	refused("an answer to another's login", victim, victim.arrive(back), 401, foreign)
	victim.begin("/")
	refused("the same, while a login of his own is under way", victim, victim.arrive(back), 401, foreign)
	if res := mallory.arrive(back); res.status != 200 {
		t.Errorf("it was not used up by that: %d %s", res.status, res.body)
	}
	again := w.browser()
	again.Jar = mallory.Jar
	if res := again.arrive(back); res.status != 401 || !strings.Contains(res.body, foreign) { // its cookie is gone
		t.Errorf("the answer again: %d %s", res.status, res.body)
	}

	// The same answer twice, with the cookie: as two nodes may be sent it.
	b := w.browser()
	res := b.post("/login/oidc", nil)
	cookie := strings.Split(res.header.Get("Set-Cookie"), ";")[0]
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Max-Age=600"} {
		if !strings.Contains(res.header.Get("Set-Cookie"), want) {
			t.Errorf("the login's cookie %q has no %s", res.header.Get("Set-Cookie"), want)
		}
	}
	back = comes(t, idp, strings.TrimPrefix(res.header.Get("Refresh"), "0;url="), "bob")
	if res := b.arrive(back); res.status != 200 {
		t.Fatalf("%d %s", res.status, res.body)
	}
	fresh := w.browser()
	if res := fresh.get(back, "Cookie", cookie); res.status != 401 || !strings.Contains(res.body, "each is good once") {
		t.Errorf("a replay with the cookie: %d %s", res.status, res.body)
	}

	late := w.browser()
	back = comes(t, idp, late.begin("/"), "bob")
	w.must(w.db.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.Exec(t.Context(), "UPDATE logins SET created = created - ?", access.LoginWait.Milliseconds()+1)
		return err
	}))
	refused("late", late, late.arrive(back), 401, "took too long")

	for what, change := range map[string]func(url.Values){
		"another provider's answer":       func(q url.Values) { q.Set("iss", "https://evil.example") },
		"an answer that names nobody":     func(q url.Values) { q.Del("iss") },
		"a guessed code":                  func(q url.Values) { q.Set("code", "guessed-guessed-guessed-guessed-guessed-gue") },
		"no code":                         func(q url.Values) { q.Del("code") },
		"an error with markup":            func(q url.Values) { q.Set("error", markup); q.Set("error_description", markup) },
		"an answer with a guessed state":  func(q url.Values) { q.Set("state", strings.Repeat("x", 43)) },
		"an answer with a state's length": func(q url.Values) { q.Set("state", "../../"+markup) },
		"an answer without a state":       func(q url.Values) { q.Del("state") },
	} {
		b := w.browser()
		u, err := url.Parse(comes(t, idp, b.begin("/"), "bob"))
		w.must(err)
		q := u.Query()
		change(q)
		res := b.arrive(u.Path + "?" + q.Encode())
		refused(what, b, res, 401, "nobody was signed in")
		for _, bad := range []string{"<script>", "<img", q.Get("code") + "x", q.Get("state") + "x"} {
			if len(bad) > 5 && strings.Contains(res.body, bad) {
				t.Errorf("%s holds %s", what, bad)
			}
		}
	}

	// A code of another login: PKCE and the nonce are this one's.
	one, two := w.browser(), w.browser()
	first, err := url.Parse(comes(t, idp, one.begin("/"), "bob"))
	w.must(err)
	second, err := url.Parse(comes(t, idp, two.begin("/"), "carol"))
	w.must(err)
	q := first.Query()
	q.Set("code", second.Query().Get("code"))
	refused("a code of another's login", one, one.arrive(first.Path+"?"+q.Encode()), 401, "invalid_grant")

	// From another site nobody presses the button, and a GET begins nothing.
	if res := w.browser().post("/login/oidc", nil, "Sec-Fetch-Site", "cross-site"); res.status != 403 || res.header.Get("Set-Cookie") != "" {
		t.Errorf("the button, pressed by another site: %d", res.status)
	}
	if res := w.browser().get("/login/oidc"); res.header.Get("Location") != "/login" || res.header.Get("Set-Cookie") != "" {
		t.Errorf("a GET of the button: %d %v", res.status, res.header)
	}
	// What stood in the browser before is worth nothing after.
	fixed := w.browser()
	planted := strings.Split(w.as("victor").post("/", url.Values{}).header.Get("Set-Cookie"), ";")[0]
	back = comes(t, idp, fixed.begin("/"), "bob")
	u, _ := url.Parse(w.base)
	fixed.Jar.SetCookies(u, []*http.Cookie{{Name: "jarvis", Value: "known-to-mallory", Path: "/"}})
	if res := fixed.arrive(back); res.status != 200 || strings.Contains(strings.Join(res.header.Values("Set-Cookie"), " "), "known-to-mallory") {
		t.Errorf("fixation: %d %v (%s)", res.status, res.header, planted)
	}
	for next, want := range map[string]string{"https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/", "/runs/12": "/runs/12", "/login/oidc/callback?code=1": "/", "/x;url=https://evil.example": "/x;url=https://evil.example"} {
		b := w.browser()
		if res := b.arrive(comes(t, idp, b.begin(next), "bob")); res.header.Get("Refresh") != "0;url="+want {
			t.Errorf("next=%q goes to %q", next, res.header.Get("Refresh"))
		}
	}
	// Nothing that proves something is anywhere.
	all := w.auditLines() + w.log.String()
	for name, secret := range map[string]string{"code": first.Query().Get("code"), "state": first.Query().Get("state"), "cookie": strings.Split(cookie, "=")[1], "client's secret": real.OIDCSecret} {
		if len(secret) < 20 || strings.Contains(all, secret) {
			t.Errorf("the %s %q is somewhere", name, secret)
		}
	}
}

// A login that is begun is a row, and whoever begins one is nobody yet.
func TestLoginsAreBegunSlowly(t *testing.T) {
	w, _ := newCompanyWorld(t)
	fast := 0
	for range 2 * loginEach.Burst {
		if res := w.browser().post("/login/oidc", nil); res.status == http.StatusTooManyRequests {
			fast++
		}
	}
	var rows int
	w.must(w.db.QueryRow(t.Context(), "SELECT count(*) FROM logins").Scan(&rows))
	if fast < loginEach.Burst/2 || rows+fast != 2*loginEach.Burst {
		t.Errorf("of %d, %d were too fast, and there are %d rows", 2*loginEach.Burst, fast, rows)
	}
}

// Below a path of http.url, whether a proxy cuts it off or hands it on.
func TestTheCompanysLoginBelowAPath(t *testing.T) {
	w, idp := newCompanyWorldAt(t, "/jarvis")
	for _, at := range []string{"", "/jarvis"} {
		b := w.browser()
		b.origin += at
		res := b.post("/login/oidc", url.Values{"next": {"/approvals"}})
		cookie := res.header.Get("Set-Cookie")
		if res.status != 200 || !strings.Contains(cookie, "Path=/jarvis/login/oidc;") {
			t.Fatalf("at %q: %d %q %s", at, res.status, cookie, res.body)
		}
		back := comes(t, idp, strings.TrimPrefix(res.header.Get("Refresh"), "0;url="), "alice")
		if !strings.HasPrefix(back, "/jarvis/login/oidc/callback?") {
			t.Errorf("the provider sends people to %q", back)
		}
		res = b.get(strings.TrimPrefix(back, "/jarvis"), "Cookie", strings.Split(cookie, ";")[0], "Sec-Fetch-Site", "cross-site")
		if res.status != 200 || res.header.Get("Refresh") != "0;url=/jarvis/approvals" {
			t.Errorf("at %q: %d %v", at, res.status, res.header)
		}
	}
}

// With TLS no other host, and no page without TLS, can put the cookie of a login into a browser.
func TestTheCookieOfALoginWithTLS(t *testing.T) {
	w, _ := newCompanyWorld(t, func(w *world) { w.conf.URL = "https://jarvis.example.org" })
	res := w.browser().post("/login/oidc", nil)
	if c := res.header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-jarvis-login-") || !strings.Contains(c, "; Path=/;") || !strings.Contains(c, "Secure") || !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") {
		t.Errorf("%q", c)
	}
	if to := res.header.Get("Refresh"); !strings.Contains(to, url.QueryEscape("https://jarvis.example.org/login/oidc/callback")) {
		t.Errorf("the provider is told %q", to)
	}
}
