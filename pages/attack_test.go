package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// Another site's page has the browser send a form of ours, with the cookie of who is signed in. (SameSite would keep it
// back; the test sends it all the same.)
func TestAnotherSiteCannotPressAButton(t *testing.T) {
	w := newWorld(t, func(w *world) { w.conf.URL = "https://jarvis.example.org" })
	b := w.browser()
	res := b.post(w.link("alice"), nil)
	cookie := strings.Split(res.header.Get("Set-Cookie"), ";")[0]
	form := url.Values{"line": {"deploy https://gist.example.org/loki"}}
	for _, c := range []struct {
		name   string
		header []string
		status int
	}{
		{"a form on another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		{"a form on another host of ours", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://wiki.example.org"}, 403},
		{"the same from a browser without Sec-Fetch-Site", []string{"Origin", "https://evil.example"}, 403},
		{"without any origin that it would name", []string{"Origin", "null"}, 403},
		{"a host that begins as ours", []string{"Origin", "https://jarvis.example.org.evil.example"}, 403},
		{"our own page", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://jarvis.example.org"}, 200},
		{"our own page in an old browser, behind a proxy that writes another Host", []string{"Origin", "https://jarvis.example.org"}, 200},
	} {
		before, _ := w.engine.LastEvent(t.Context())
		got := b.post("/", form, append(c.header, "Cookie", cookie)...)
		after, _ := w.engine.LastEvent(t.Context())
		if got.status != c.status && !(c.status == 200 && got.status == 409) || c.status == 403 && before != after {
			t.Errorf("%s: %d, want %d", c.name, got.status, c.status)
		}
	}
	// Nor can it sign somebody in as the attacker, who would read what he types then.
	link := w.link("bob")
	if got := b.post(link, nil, "Sec-Fetch-Site", "cross-site"); got.status != 403 || got.header.Get("Set-Cookie") != "" {
		t.Errorf("login from another site: %d", got.status)
	}
	if _, err := w.access.FindLink(t.Context(), strings.TrimPrefix(link, "/login/")); err != nil {
		t.Errorf("the refused login used the link: %v", err)
	}
}

const markup = `<script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`" + `</li></ol></span>`

// Whatever comes from outside is text: of steps, clipboards, reasons, lines that are refused, addresses.
func TestNothingFromOutsideIsMarkup(t *testing.T) {
	w := newWorld(t)
	w.do("esx:deploy", func(ctx context.Context, c *clipboard.Clipboard) error {
		pipeline.Progress(ctx, "progress "+markup)
		pipeline.Log(ctx, "log "+markup+"\r\nevent: part\rdata: x")
		return errors.Join(c.Set("provider_id", "id "+markup), c.Set("<b onclick=x>key", markup))
	})
	w.do("dns:update_host", func(context.Context, *clipboard.Clipboard) error {
		return pipeline.Permanent(errors.New("failed " + markup))
	})
	run := w.deploy("loki")
	r := w.reach(run, pipeline.Failed)
	alice := w.as("alice")
	page := fmt.Sprintf("/runs/%d", run)
	bodies := map[string]string{
		"the run": alice.get(page).body, "the overview": alice.get("/").body, "the approvals": alice.get("/approvals").body,
		"a refused line":    alice.post("/", url.Values{"line": {markup}}).body,
		"a refused button":  alice.post(page, url.Values{"verb": {markup}, "run": {markup}}).body,
		"a stage":           alice.post(page, url.Values{"verb": {"retry"}, "run": {"1"}, "from": {markup}}).body,
		"a reason":          alice.post(page, url.Values{"verb": {"deny"}, "run": {"1"}, "because": {markup}}).body,
		"an address":        alice.get("/runs/"+url.PathEscape(markup)).body + alice.get("/"+url.PathEscape(markup)).body,
		"where to go then":  w.browser().get("/login?next=" + url.QueryEscape("/"+markup)).body,
		"a token":           w.browser().post("/login", url.Values{"token": {markup}, "next": {markup}}).body,
		"a name of browser": w.as("alice").get("/sessions").body,
	}
	f := alice.watch(page + "?live=1")
	for _, e := range f.until("everything", func(e sent) bool { return e.kind == "at" }) {
		bodies["the stream"] += e.data
		if e.kind == "x" || strings.HasPrefix(e.data, "x\n") {
			t.Errorf("a line of a step became an event: %+v", e)
		}
	}
	for name, body := range bodies {
		for _, bad := range []string{"<script>", "<img", "<b onclick", "onerror=alert(2)>\"", "</ol></span>\"", secretValue} {
			if strings.Contains(body, bad) {
				t.Errorf("%s holds %s", name, bad)
			}
		}
	}
	if !strings.Contains(bodies["the run"], "progress &lt;script&gt;") || r.Error == "" {
		t.Error("what the step said is not shown")
	}
}

func TestALinkIsUsedByItsButtonAlone(t *testing.T) {
	w := newWorld(t)
	link := w.link("alice")
	for range 3 { // the preview of a chat program
		res := w.browser().get(link)
		if res.status != 200 || res.header.Get("Set-Cookie") != "" || !strings.Contains(res.body, "Sign in as alice?") {
			t.Fatalf("GET: %d %v", res.status, res.header)
		}
	}
	b := w.browser()
	res := b.post(link, nil)
	if res.status != http.StatusSeeOther || res.header.Get("Location") != "/" {
		t.Fatalf("POST: %d %s", res.status, res.header.Get("Location"))
	}
	cookie := res.header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q has no %s", cookie, want)
		}
	}
	if b.get("/").status != 200 {
		t.Error("it did not sign in")
	}
	for _, do := range []func() result{func() result { return w.browser().post(link, nil) }, func() result { return w.browser().get(link) }} {
		if res := do(); res.status != 401 || !strings.Contains(res.body, "was used already") || res.header.Get("Set-Cookie") != "" {
			t.Errorf("a second time: %d", res.status)
		}
	}
	if res := w.browser().post("/login/"+strings.Repeat("x", 43), nil); res.status != 401 {
		t.Errorf("a guessed link: %d", res.status)
	}
}

// Somebody puts his own session into another's browser beforehand, or a secret that he knows: after login it is
// another.
func TestASessionIsNewAtEachLogin(t *testing.T) {
	w := newWorld(t)
	mallory := w.browser()
	res := mallory.post(w.link("bob"), nil)
	planted := strings.Split(res.header.Get("Set-Cookie"), ";")[0]
	victim := w.browser()
	for _, cookie := range []string{planted, "jarvis=known-to-mallory"} {
		got := victim.post(w.link("alice"), nil, "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
		if now := strings.Split(got.header.Get("Set-Cookie"), ";")[0]; now == cookie || now == "" {
			t.Errorf("the session stayed %q", now)
		}
	}
	if got := w.browser().get("/", "Cookie", planted); got.status != http.StatusSeeOther {
		t.Errorf("what stood in the browser before is still good: %d", got.status)
	}
}

func TestWhereLoginGoes(t *testing.T) {
	w := newWorld(t)
	for next, want := range map[string]string{
		"/runs/12": "/runs/12", "/approvals?x=1": "/approvals?x=1", "": "/", "https://evil.example/": "/", "//evil.example/": "/", `/\evil.example`: "/", `\\evil.example`: "/",
		"/\t/evil.example": "/", "javascript:alert(1)": "/", "/logout": "/", "/login": "/", "http:evil.example": "/", "/%2f/evil.example": "/", "///evil.example": "/", "\x00/": "/", "/%0d%0aSet-Cookie:x=y": "/%0d%0aSet-Cookie:x=y",
	} {
		res := w.browser().post("/login", url.Values{"token": {w.token("alice", "view")}, "next": {next}})
		got := res.header.Get("Location")
		if res.status != http.StatusSeeOther || got != want && !(want != "/" && strings.EqualFold(got, want)) {
			t.Errorf("next=%q goes to %q, want %q (%d)", next, got, want, res.status)
		}
		if c := res.header.Values("Set-Cookie"); len(c) != 1 {
			t.Errorf("next=%q: %d cookies", next, len(c))
		}
	}
	if res := w.browser().get("/runs/12"); res.header.Get("Location") != "/login?next=%2Fruns%2F12" {
		t.Errorf("who is not signed in goes to %q", res.header.Get("Location"))
	}
	// A link in another site's page comes without the cookie: the page asks once more by itself, and is ours then.
	if res := w.as("alice").get("/runs/12", "Sec-Fetch-Site", "cross-site", "Cookie", "none=1"); res.status == http.StatusSeeOther {
		t.Errorf("from another site, with the cookie: %d", res.status)
	}
	if res := w.browser().get("/", "Sec-Fetch-Site", "cross-site"); res.status != 200 || res.header.Get("Refresh") != "0" {
		t.Errorf("from another site, without: %d %v", res.status, res.header)
	}
}

// A token's session is no more than the token, and ends with it; nobody approves by it what its maker asked for.
func TestASessionByTokenIsNoMoreThanTheToken(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	token := w.token("alice", access.View)
	if res := b.post("/login", url.Values{"token": {token}}); res.status != http.StatusSeeOther {
		t.Fatal(res.status)
	}
	if res := b.post("/", url.Values{"line": {"deploy https://gist.example.org/loki"}}); res.status != 403 {
		t.Errorf("by a token for looking, deploy: %d", res.status)
	}
	if strings.Contains(b.get("/").body, token) {
		t.Error("the token is in a page")
	}
	list, _ := w.access.Tokens(t.Context(), "alice")
	if _, err := w.access.Revoke(t.Context(), list[0].ID, ""); err != nil {
		t.Fatal(err)
	}
	if res := b.get("/"); res.status != http.StatusSeeOther {
		t.Errorf("after the token was revoked: %d", res.status)
	}
	for _, bad := range []string{"", "jarvis_", "jarvis_" + strings.Repeat("x", 300), strings.Repeat("x", 5000)} {
		if res := w.browser().post("/login", url.Values{"token": {bad}}); res.status != 401 || res.header.Get("Set-Cookie") != "" {
			t.Errorf("%.20q: %d", bad, res.status)
		}
	}
}

func TestCookieWithTLSAndBelowAPath(t *testing.T) {
	for _, c := range []struct{ url, name, path string }{
		{"https://jarvis.example.org", "__Host-jarvis", "Path=/"}, {"https://example.org/jarvis/", "jarvis", "Path=/jarvis/"}, {"http://10.0.0.1:8080", "jarvis", "Path=/"},
	} {
		w := newWorld(t, func(w *world) { w.conf = web.HTTP{URL: c.url} })
		res := w.browser().post(w.link("alice"), nil)
		cookie := res.header.Get("Set-Cookie")
		if !strings.HasPrefix(cookie, c.name+"=") || !strings.Contains(cookie, "; "+c.path+";") || strings.Contains(cookie, "Secure") != strings.HasPrefix(c.url, "https") {
			t.Errorf("%s: %q", c.url, cookie)
		}
		if c.path == "Path=/jarvis/" { // whether the proxy cuts it off or not
			for _, at := range []string{"", "/jarvis"} {
				res := w.browser().get(at+"/login", "Cookie", strings.Split(cookie, ";")[0])
				if res.status != 200 || !strings.Contains(res.body, `action="/jarvis/login"`) || !strings.Contains(res.body, `href="/jarvis/static/`) {
					t.Errorf("at %q: %d %s", at, res.status, res.body)
				}
			}
			if res := w.browser().get("/jarvis/healthz"); res.status != 200 {
				t.Errorf("the rest of the server below the path: %d", res.status)
			}
			if res := w.browser().get("/jarvis/runs/1"); res.header.Get("Location") != "/jarvis/login?next=%2Fruns%2F1" {
				t.Errorf("to the login: %q", res.header.Get("Location"))
			}
		}
		w.stop()
	}
}

func TestAPageThatIsOpenWhenARoleIsTakenAway(t *testing.T) {
	w := newWorld(t)
	w.do("dns:update_host", func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanent(errors.New("broken")) })
	run := w.deploy("loki")
	w.reach(run, pipeline.Failed)
	bob := w.as("bob")
	f := bob.watch("/runs/1?live=1&last=1")
	f.until("the buttons", has("part", `id="acts"`, ">Retry<"))
	others := []access.PersonConfig{{Name: "alice", Roles: []string{"deploy"}}}
	if err := w.access.SetPeople(append(others, access.PersonConfig{Name: "bob", Roles: []string{"view"}})); err != nil {
		t.Fatal(err)
	}
	if res := bob.post("/runs/1", url.Values{"verb": {"retry"}, "run": {"1"}}); res.status != 403 {
		t.Errorf("a button that is still drawn: %d", res.status)
	}
	f.until("the buttons to go", has("part", `id="acts"`, "which bob does not have"))
	if err := w.access.SetPeople(append(others, access.PersonConfig{Name: "bob"})); err != nil {
		t.Fatal(err)
	}
	f.until("the page to say so", has("part", `id="live" class="lost"`, "you may no longer see this"))
	for range f.in { // it ends
	}
	if err := w.access.SetPeople(others); err != nil {
		t.Fatal(err)
	}
	f = bob.watch("/runs/1?live=1&last=1")
	f.until("the page of who left", has("part", "signed out", `href="/login"`))
	for e := range f.in {
		t.Errorf("and then %+v", e)
	}
}

// Who signs out everywhere is out in every window.
func TestLogoutEverywhere(t *testing.T) {
	w := newWorld(t)
	one, two := w.as("alice"), w.as("alice")
	f := two.watch("/?live=1")
	f.until("the page", has("part", `class="on"`))
	if res := one.post("/sessions", url.Values{"verb": {"end"}, "session": {"all"}}); res.status != 200 || !strings.Contains(res.body, "you are signed out everywhere: 2 sessions.") {
		t.Fatalf("%d %s", res.status, res.body)
	}
	if res := two.get("/"); res.status != http.StatusSeeOther {
		t.Errorf("the other window: %d", res.status)
	}
	f.until("the open page to say so", has("part", "signed out"))
	three := w.as("alice")
	if res := three.post("/logout", nil); res.status != http.StatusSeeOther || three.get("/").status != http.StatusSeeOther {
		t.Error("logout")
	}
}

// The secret of a session or a link is in no page, no row and no line of the log.
func TestSecretsOfLoginAreNowhere(t *testing.T) {
	w := newWorld(t)
	alice := w.browser()
	link := w.link("alice")
	res := alice.post(link, nil)
	session := strings.TrimPrefix(strings.Split(res.header.Get("Set-Cookie"), ";")[0], "jarvis=")
	token := w.token("alice", "view")
	w.browser().post("/login", url.Values{"token": {token}})
	var all strings.Builder
	for _, path := range []string{"/", "/sessions", "/approvals", "/nothing"} {
		all.WriteString(alice.get(path).body)
	}
	rows, err := w.access.AuditTail(t.Context(), accessAll)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&all, "%+v %s", rows, w.log)
	for name, secret := range map[string]string{"session": session, "link": strings.TrimPrefix(link, "/login/"), "token": token} {
		if len(secret) < 40 {
			t.Fatalf("%s: %q", name, secret)
		}
		if strings.Contains(all.String(), secret) {
			t.Errorf("the secret of the %s is somewhere", name)
		}
	}
}

// What a verb shows once, as a new token, is in that answer alone, and is never compressed with what others may have
// written.
func TestAnAnswerIsShownOnce(t *testing.T) {
	w := newWorld(t)
	alice := w.as("alice")
	res := alice.post("/", url.Values{"line": {"token new ci"}}, "Sec-Fetch-Site", "same-origin", "Accept-Encoding", "gzip")
	if !strings.Contains(res.body, access.TokenPrefix) || res.header.Get("Content-Encoding") != "" {
		t.Errorf("%v %s", res.header, res.body)
	}
	if strings.Contains(alice.get("/").body, access.TokenPrefix) {
		t.Error("it is shown again")
	}
}

// Whoever stands behind an asker cannot approve in a browser either.
func TestApprovalInABrowserIsASecondPersons(t *testing.T) {
	w := newWorld(t)
	run := w.deploy("loki")
	w.reach(run, pipeline.Ready)
	if _, err := w.table.Do(t.Context(), command.Call{Words: []string{"undo", "loki"}, Person: w.access.Person("alice"), Asker: "alice", Via: "test", Free: true}); err != nil {
		t.Fatal(err)
	}
	_, secret, err := w.access.NewToken(t.Context(), access.Token{Person: "bob", Roles: []string{"deploy"}, By: "alice", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	b.post("/login", url.Values{"token": {secret}})
	if body := b.get("/runs/1").body; strings.Contains(body, "Approve run") {
		t.Error("the button is there")
	}
	if res := b.post("/approvals", url.Values{"verb": {"approve"}, "run": {"1"}}); res.status != 403 {
		t.Errorf("%d %s", res.status, res.body)
	}
}

// A stranger's form is read up to a bound, and no further.
func TestAFormHasABound(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/login", w.link("alice"), "/"} {
		res := w.browser().post(path, url.Values{"token": {strings.Repeat("x", 900<<10)}})
		if res.status < 300 || res.status > 499 || strings.Contains(res.body, "xxxxxxxxxx") {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	if res := w.as("alice").post("/", url.Values{"line": {strings.Repeat("x", 900<<10)}}); res.status != 400 {
		t.Errorf("of who has signed in: %d", res.status)
	}
}

// A host that is forgotten has no page any more, and an open one says so.
func TestAPageOfWhatIsForgotten(t *testing.T) {
	w := newWorld(t)
	run := w.deploy("loki")
	w.reach(run, pipeline.Ready)
	alice := w.as("alice")
	f := alice.watch("/runs/1?live=1&last=1")
	f.until("the page", has("part", `class="on"`))
	if _, err := w.engine.Forget(t.Context(), "loki.example.org"); err != nil {
		t.Fatal(err)
	}
	f.until("the page to say so", has("part", `class="lost"`, "no longer on record"))
	for range f.in { // it ends
	}
	if res := alice.get("/runs/1"); res.status != 404 || !strings.Contains(res.body, "I have no such run or host on record") {
		t.Errorf("%d %s", res.status, res.body)
	}
}
