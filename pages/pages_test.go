package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/pipeline"
)

func TestWhatAPageShows(t *testing.T) { bothDatabases(t, whatAPageShows) }

func whatAPageShows(t *testing.T, on func(*world)) {
	w := newWorld(t, on)
	w.do("esx:deploy", func(ctx context.Context, c *clipboard.Clipboard) error {
		pipeline.Progress(ctx, "cloning debian12")
		return c.Set("provider_id", "vm-7")
	})
	w.do("dns:update_host", func(context.Context, *clipboard.Clipboard) error {
		return pipeline.Permanent(errors.New(`ns1 refused the update (NOTAUTH, key "jarvis")`))
	})
	failed := w.deploy("loki")
	w.reach(failed, pipeline.Failed)
	w.do("dns:update_host", nil)
	ready := w.deploy("tyr")
	w.reach(ready, pipeline.Ready)
	asked := w.deploy("tyr") // it is in production
	w.reach(asked, pipeline.Proposed)
	a, err := w.table.Do(t.Context(), command.Call{Words: []string{"deploy", "https://gist.example.org/odin", "at", time.Now().Add(48 * time.Hour).Format(time.RFC3339)}, Person: w.access.Person("alice"), Asker: "alice", Via: "test", Free: true})
	w.must(err)
	planned := a.Run.ID
	alice, bob, victor := w.as("alice"), w.as("bob"), w.as("victor")
	run := func(n int64) string { return fmt.Sprintf("/runs/%d", n) }
	for _, c := range []struct {
		name   string
		who    *browser
		path   string
		status int
		has    []string
		not    []string
	}{
		{"the overview", alice, "/", 200, []string{"failed at stage 4/4 dns:update_host", `<b>loki</b>`, ".example.org", "approve?", "it waits for a second person, because tyr is in production", `name="line"`, `data-events="/?live=1"`}, nil},
		{"a run that failed", alice, run(failed), 200, []string{"failed at stage 4/4 dns:update_host: ns1 refused the update (NOTAUTH, key &#34;jarvis&#34;)", "✕ loki failed at 4/4", ">Retry<", "Retry from", "Skip dns:update_host", "Undo run", "Takes back, last first: <code>esx:deploy</code>", "cloning debian12", "2 esx:deploy</a></dt><dd class=\"new\">  provider_id: vm-7", "<dt>alice</dt>", "•••"}, []string{"Approve run"}},
		{"to who may only look", victor, run(failed), 200, []string{"which victor does not have"}, []string{"<button class=\"do\" name=\"verb\"", ">Undo"}},
		{"a run that is ready", alice, run(ready), 200, []string{"✓ tyr ready", "is ready, for"}, []string{">Retry<"}},
		{"a run that waits, to who asked", alice, run(asked), 200, []string{"You asked for it yourself", "Take it back"}, []string{"Approve run"}},
		{"a run that waits, to a second person", bob, run(asked), 200, []string{"Approve run", "‖ tyr waits for a person"}, []string{"Take it back"}},
		{"a run that waits for its time", bob, run(planned), 200, []string{"‖ odin planned", "waits until ", "by alice", "Cancel run 4", "It does not begin; it has done nothing yet"}, []string{">Retry<", ">Undo", "Approve run"}},
		{"the host of a planned run", alice, "/hosts/odin.example.org", 200, []string{"waits until ", "planned"}, nil},
		{"what waits, to a second person", bob, "/approvals", 200, []string{"Approve 3", "Deny 3", `Approvals <b class="wait">1`}, nil},
		{"what waits, to who asked", alice, "/approvals", 200, []string{"Take it back"}, []string{"Approve 3"}},
		{"sessions", alice, "/sessions", 200, []string{"Sign out everywhere", "a link, asked for in irc/libera/alice"}, nil},
		{"no run", alice, "/runs/99", 404, []string{"I have no such run or host on record", "Overview"}, nil},
		{"no number", alice, "/runs/lokki", 404, []string{"lokki"}, nil},
		{"no page", alice, "/frobnicate", 404, []string{"there is nothing at /frobnicate"}, nil},
		{"to who may not look", w.as("nobody"), "/", 403, []string{"needs the role &#34;view&#34;, which nobody does not have"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := c.who.get(c.path)
			if res.status != c.status {
				t.Fatalf("%d, want %d: %s", res.status, c.status, res.body)
			}
			for _, text := range c.has {
				if !strings.Contains(res.body, text) {
					t.Errorf("%q is not in it:\n%s", text, res.body)
				}
			}
			for _, text := range append(c.not, secretValue, "ZgotmplZ") {
				if strings.Contains(res.body, text) {
					t.Errorf("%q is in it", text)
				}
			}
		})
	}
}

// addressOf gives where a page is, up to what differs from one to the next; whole: nothing does.
func addressOf(p *page) (at string, whole bool) {
	at, _, differs := strings.Cut(strings.TrimSuffix(p.path, "{$}"), "{")
	return at, !differs
}

// TestEveryPage holds what CONTRIBUTING promises of a page that is added by one line in routes: it opens for those who
// have its role and for nobody else, it stands in the navigation by a key of its own, and howto/pages.md tells of it.
func TestEveryPage(t *testing.T) {
	w := newWorld(t, withAdmin)
	root, victor := w.as("root"), w.as("victor")
	howto, err := os.ReadFile("../docs/howto/pages.md")
	w.must(err)
	keys := map[string]string{}
	for _, p := range routes() {
		at, whole := addressOf(p)
		if !strings.Contains(string(howto), "`"+at) {
			t.Errorf("%s has no line in the table of docs/howto/pages.md: give it one that begins with `%s`", p.file, at)
		}
		if (p.name == "") != (p.key == "") || p.key != "" && keys[p.key] != "" {
			t.Errorf("%s: name %q, key %q: a page in the navigation has both, and the key is not another's (%s)", p.file, p.name, p.key, keys[p.key])
		}
		keys[p.key] = p.file
		if p.role == "" {
			t.Errorf("%s has no role: say who may see it", p.file)
		}
		if !whole || p.checks {
			continue
		}
		res := root.get(at)
		if res.status != http.StatusOK || p.name != "" && !strings.Contains(res.body, fmt.Sprintf(`data-key="%s" aria-current="page">%s<`, p.key, p.name)) {
			t.Errorf("%s for an admin: %d, and in the navigation it is %q by the key %q:\n%s", at, res.status, p.name, p.key, res.body)
		}
		if view := (access.Person{Roles: []string{access.View}}).Has(p.role); (victor.get(at).status == http.StatusOK) != view {
			t.Errorf("%s needs the role %q, and is open for %q: %v", at, p.role, access.View, !view)
		}
	}
}

func TestHeadersOfEveryPage(t *testing.T) {
	w := newWorld(t)
	alice := w.as("alice")
	inline := regexp.MustCompile(`(?i)<[^>]*\s(style|on[a-z]+)\s*=|<script(?: [^>]*)?>[^<]|<style|javascript:`)
	paths := []string{"/login", w.link("bob"), "/runs/7", "/nothing"}
	for _, p := range routes() {
		if at, whole := addressOf(p); whole {
			paths = append(paths, at)
		}
	}
	for _, path := range paths {
		res := alice.get(path)
		want := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
		if got := res.header.Get("Content-Security-Policy"); got != want {
			t.Errorf("%s: CSP %q", path, got)
		}
		for k, v := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY", "Cache-Control": "private, no-store", "Content-Type": "text/html; charset=utf-8"} {
			if got := res.header.Get(k); got != v {
				t.Errorf("%s: %s is %q, want %q", path, k, got, v)
			}
		}
		if m := inline.FindString(res.body); m != "" {
			t.Errorf("%s: inline: %q", path, m)
		}
		for _, m := range regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(res.body, -1) {
			if got := alice.get(m[1]); got.status != 200 || got.header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
				t.Errorf("%s: %d %v", m[1], got.status, got.header)
			}
		}
	}
}

func TestWhatIsSentIsSmall(t *testing.T) {
	for name, most := range map[string]int{"jarvis.css": 12000, "jarvis.js": 5000} {
		if b, err := files.ReadFile(name); err != nil || len(b) >= most {
			t.Errorf("%s has %d bytes, and must have less than %d (%v)", name, len(b), most, err)
		}
	}
}

func TestButtonsSayVerbs(t *testing.T) {
	w := newWorld(t)
	broken := errors.New("broken")
	fail := func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanent(broken) }
	w.do("ssh:wait", fail)
	alice, bob, victor := w.as("alice"), w.as("bob"), w.as("victor")
	res := alice.post("/", url.Values{"line": {"deploy https://gist.example.org/loki"}})
	if res.status != 200 || !strings.Contains(res.body, "loki.example.org on ESX") || !strings.Contains(res.body, `<a href="/runs/1">run 1</a>`) {
		t.Fatalf("deploy: %d %s", res.status, res.body)
	}
	w.reach(1, pipeline.Failed)
	press := func(b *browser, run string, form url.Values, status int, said string) {
		t.Helper()
		form.Set("run", run)
		res := b.post("/runs/"+run, form)
		if res.status != status || !strings.Contains(res.body, said) {
			t.Fatalf("%v: %d, want %d and %q: %s", form, res.status, status, said, res.body)
		}
	}
	press(victor, "1", url.Values{"verb": {"retry"}}, 403, "<code>retry</code> needs the role")
	press(alice, "1", url.Values{"verb": {"destroy"}}, 400, "nothing was said")
	press(alice, "1", url.Values{"verb": {"retry"}, "from": {"esx:deploy"}}, 200, "loki goes on at stage 2/4 esx:deploy.")
	w.reach(1, pipeline.Failed)
	press(alice, "1", url.Values{"verb": {"skip"}}, 200, "ssh:wait is skipped; it goes on at stage 4/4")
	w.reach(1, pipeline.Ready)
	press(bob, "1", url.Values{"verb": {"undo"}}, 200, "It waits for a second person, because loki is in production")
	press(bob, "1", url.Values{"verb": {"approve"}}, 403, "you asked for run 1 yourself")
	press(alice, "1", url.Values{"verb": {"deny"}, "because": {"www points at it; approve 1"}}, 200, "the undo of run 1 will not happen")
	press(bob, "1", url.Values{"verb": {"undo"}}, 200, "It waits for a second person")
	press(alice, "1", url.Values{"verb": {"approve"}, "because": {"agreed"}}, 200, "taking back run 1")
	w.reach(1, pipeline.Undone)
	res = alice.post("/", url.Values{"line": {"frobnicate"}})
	if res.status != 400 || !strings.Contains(res.body, "I do not know") {
		t.Errorf("an unknown word: %d", res.status)
	}
	rows, err := w.access.AuditTail(t.Context(), accessAll)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, strings.Join([]string{r.Who, r.Via, r.Line}, " "))
	}
	for _, want := range []string{"alice page/127.0.0.1 sign in", "alice page/127.0.0.1 deploy https://gist.example.org/loki", "victor page/127.0.0.1 retry 1", "alice page/127.0.0.1 retry 1 from esx:deploy", "alice page/127.0.0.1 deny 1 because www points at it; approve 1", "alice page/127.0.0.1 approve 1 because agreed"} {
		if !strings.Contains(strings.Join(lines, "\n"), want) {
			t.Errorf("%q is not in the audit:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if got := alice.get("/approvals"); !strings.Contains(got.body, "because www points at it; approve 1") {
		t.Error("the reason of an answer is not told")
	}
}

// A GET changes nothing, whatever stands in its query.
func TestGETChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.do("ssh:wait", func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanent(errors.New("broken")) })
	run := w.deploy("loki")
	w.reach(run, pipeline.Failed)
	alice := w.as("alice")
	before, _ := w.engine.LastEvent(t.Context())
	for _, path := range []string{"/?line=undo+loki", "/runs/1?verb=undo&run=1", "/approvals?verb=approve&run=1", "/logout", "/sessions?verb=end&session=all"} {
		alice.get(path)
	}
	if after, _ := w.engine.LastEvent(t.Context()); after != before {
		t.Error("a GET changed something")
	}
	if res := alice.get("/"); res.status != http.StatusOK {
		t.Errorf("a GET signed out: %d", res.status)
	}
}

// TestASlashAtTheEnd: people write addresses as they are used to, and an address leads nowhere else for it.
func TestASlashAtTheEnd(t *testing.T) {
	w := newWorld(t)
	alice := w.as("alice")
	for path, to := range map[string]string{"/docs/": "/docs", "/hosts/?q=web%26": "/hosts?q=web%26", "/frobnicate/": "", "/runs/": ""} {
		res := alice.get(path)
		if got := res.header.Get("Location"); got != to || (to != "") != (res.status == http.StatusPermanentRedirect) {
			t.Errorf("%s: %d to %q, want %q", path, res.status, got, to)
		}
	}
	if got := alice.get("//evil.example/docs/").header.Get("Location"); strings.HasPrefix(got, "//") {
		t.Errorf("it leads to %s", got)
	}
}

// TestAFormMeansWhatWasSeen: one that is older than what it means does nothing, and says so.
func TestAFormMeansWhatWasSeen(t *testing.T) {
	w := newWorld(t)
	w.do("esx:deploy", func(context.Context, *clipboard.Clipboard) error { return pipeline.Permanent(errors.New("no")) })
	run := w.deploy("loki")
	w.reach(run, pipeline.Failed)
	alice := w.as("alice")
	path := fmt.Sprintf("/runs/%d", run)
	if res := alice.get(path); !strings.Contains(res.body, `name="at" value="2"`) {
		t.Errorf("the form does not say which stage: %s", res.body)
	}
	skip := url.Values{"verb": {"skip"}, "run": {fmt.Sprint(run)}, "at": {"1"}}
	if res := alice.post(path, skip); res.status != http.StatusConflict || !strings.Contains(res.body, "it is at stage 2/4 esx:deploy by now") {
		t.Errorf("%d %s", res.status, res.body)
	}
	skip.Set("at", "2")
	if res := alice.post(path, skip); res.status != http.StatusOK {
		t.Errorf("%d %s", res.status, res.body)
	}
	w.reach(run, pipeline.Ready)
	if res := alice.post("/", url.Values{"line": {"status loki\ndestroy loki"}}); res.status != http.StatusBadRequest || !strings.Contains(res.body, "more than one line, and nothing was done") {
		t.Errorf("%d %s", res.status, res.body)
	}
	res := alice.post("/exec", url.Values{"hosts": {"lokki"}, "line": {`echo "a b"`}})
	for _, want := range []string{`value="lokki"`, `value="echo &#34;a b&#34;"`} {
		if !strings.Contains(res.body, want) {
			t.Errorf("what was typed is gone: no %s in %s", want, res.body)
		}
	}
}

// TestSessionsGoIntoJSON: what a session rests on stays inside, and the rest is an answer of the API.
func TestSessionsGoIntoJSON(t *testing.T) {
	w := newWorld(t)
	w.as("alice")
	a, err := w.table.Do(t.Context(), command.Call{Words: []string{"page", "list"}, Person: w.access.Person("alice"), Asker: "alice", Via: "test", Free: true})
	if err != nil {
		t.Fatal(err)
	}
	b, err := contract.Marshal(a.Data)
	if err != nil || !strings.Contains(string(b), `"person":"alice"`) || strings.Contains(string(b), "behind") {
		t.Errorf("%s, %v", b, err)
	}
}
