package pages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func withAdmin(w *world) {
	w.people = append(w.people, access.PersonConfig{Name: "root", Roles: []string{"admin"}})
}

func TestPagesByRole(t *testing.T) {
	w := newWorld(t, withAdmin)
	for _, c := range []struct {
		who, path string
		status    int
		has, not  []string
	}{
		{"victor", "/nodes", 200, []string{">lives<", "it is the one that answers", `href="/docs"`, `aria-current="page"`}, []string{`data-key="u"`, ">Drain"}},
		{"root", "/nodes", 200, []string{`href="/audit"`}, nil},
		{"alice", "/audit", 403, []string{"needs the role &#34;admin&#34;"}, []string{`data-key="u"`}},
		{"root", "/audit", 200, []string{"<b>alice</b>", "needs the role"}, nil},
		{"victor", "/exec", 403, []string{"needs the role &#34;run&#34;"}, []string{`data-key="e"`, `name="hosts"`}},
		{"bob", "/exec", 403, nil, []string{`name="hosts"`}},
		{"alice", "/exec", 200, []string{`name="hosts"`}, nil},
		{"victor", "/exec/1", 403, nil, nil},
		{"alice", "/exec/1", 404, nil, nil},
		{"victor", "/tasks", 200, []string{"Tasks"}, []string{`value="task retry"`}},
		{"victor", "/docs", 200, []string{`href="/docs/howto/pages"`}, nil},
		{"victor", "/docs/howto/pages", 200, []string{`<h2 id="doc-signing-in">`}, nil},
		{"victor", "/docs/design/pages", 200, []string{"Pages: the design"}, nil},
		{"victor", "/docs?q=behind+a+proxy", 200, []string{`href="/docs/howto/pages#doc-behind-a-proxy"`}, nil},
		{"victor", "/docs/../jarvis.yaml", 404, nil, nil},
		{"victor", "/docs/nothing", 404, []string{"the documentation has no page nothing"}, nil},
	} {
		res := w.as(c.who).get(c.path)
		if res.status != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.who, c.path, res.status, c.status, res.body)
		}
		for _, text := range c.has {
			if !strings.Contains(res.body, text) {
				t.Errorf("%s %s: %q is not in it:\n%s", c.who, c.path, text, res.body)
			}
		}
		for _, text := range append(c.not, "ZgotmplZ", " style=") {
			if strings.Contains(res.body, text) {
				t.Errorf("%s %s: %q is in it", c.who, c.path, text)
			}
		}
	}
}

// TestExecIsByRole: a form that somebody kept, or made, is judged like the page.
func TestExecIsByRole(t *testing.T) {
	w := newWorld(t)
	for _, who := range []string{"victor", "bob"} {
		if res := w.as(who).post("/exec", url.Values{"hosts": {"loki"}, "line": {"uptime"}}); res.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", who, res.status, res.body)
		}
	}
}

func TestAuditIsReadByPages(t *testing.T) {
	w := newWorld(t, withAdmin)
	for i := range 250 {
		w.must(w.access.Audit(context.Background(), access.Record{Who: "eve", Via: `irc/<b>`, Line: fmt.Sprintf(`status <script>alert(%d)</script>`, i), Outcome: `"><img src=x>`}))
	}
	root, path, lines := w.as("root"), "/audit?q=eve", 0
	older := regexp.MustCompile(`href="/audit(\?before=\d+&amp;q=eve)"`)
	for range 3 {
		res := root.get(path)
		for _, bad := range []string{"<script>alert", "<img", "irc/<b>"} {
			if strings.Contains(res.body, bad) {
				t.Fatalf("%q is markup", bad)
			}
		}
		lines += strings.Count(res.body, "<b>eve</b>")
		m := older.FindStringSubmatch(res.body)
		if m == nil {
			break
		}
		path = "/audit" + strings.ReplaceAll(m[1], "&amp;", "&")
	}
	if lines != 250 {
		t.Errorf("%d lines of eve on all pages, want 250", lines)
	}
}

func TestDrainIsTheVerb(t *testing.T) {
	w := newWorld(t, withAdmin)
	form := url.Values{"verb": {"drain"}, "node": {"x; audit"}}
	if res := w.as("victor").post("/nodes", form); res.status != 403 {
		t.Errorf("victor drains: %d %s", res.status, res.body)
	}
	if res := w.as("root").post("/nodes", form); res.status != 404 || !strings.Contains(res.body, "no server x; audit lives") {
		t.Errorf("%d %s", res.status, res.body)
	}
}

// TestAHostHasItsButtons: what can be done about a host that stands, by role; and none of them once it is gone.
func TestAHostHasItsButtons(t *testing.T) {
	w := newWorld(t)
	w.reach(w.deploy("loki"), pipeline.Ready)
	victor, alice := w.as("victor"), w.as("alice")
	const look, destroy = `<button name="verb" value="drift">Look for drift`, `<button class="harm" name="verb" value="destroy">Destroy loki`
	if res := victor.get("/hosts/loki"); !strings.Contains(res.body, look) || strings.Contains(res.body, destroy) {
		t.Errorf("victor sees %s", res.body)
	}
	if res := alice.get("/hosts/loki"); !strings.Contains(res.body, look) || !strings.Contains(res.body, destroy) {
		t.Errorf("alice sees %s", res.body)
	}
	if res := victor.post("/hosts/loki", url.Values{"verb": {"drift"}, "host": {"loki.example.org"}}); res.status != http.StatusOK || !strings.Contains(res.body, "drift loki.example.org") {
		t.Errorf("drift: %d %s", res.status, res.body)
	}
	hold := url.Values{"verb": {"hold"}, "host": {"loki.example.org"}, "because": {"of the fair"}}
	if res := victor.post("/hosts/loki", hold); res.status != http.StatusForbidden {
		t.Errorf("hold by a viewer: %d %s", res.status, res.body)
	}
	if res := alice.post("/hosts/loki", hold); res.status != http.StatusOK || !strings.Contains(res.body, "of the fair") || strings.Contains(res.body, destroy) || !strings.Contains(res.body, ">Release loki<") {
		t.Errorf("hold: %d %s", res.status, res.body)
	}
	if res := alice.post("/hosts/loki", url.Values{"verb": {"release"}, "host": {"loki.example.org"}}); res.status != http.StatusOK || !strings.Contains(res.body, ">Hold loki<") {
		t.Errorf("release: %d %s", res.status, res.body)
	}
	form := url.Values{"verb": {"destroy"}, "host": {"loki.example.org"}}
	if res := victor.post("/hosts/loki", form); res.status != http.StatusForbidden {
		t.Errorf("destroy by a viewer: %d %s", res.status, res.body)
	}
	res := alice.post("/hosts/loki", form)
	if !strings.Contains(res.body, "destroy loki.example.org") {
		t.Errorf("destroy: %d %s", res.status, res.body)
	}
	t.Logf("%d %s", res.status, regexp.MustCompile(`(?s)<section class="answer.*?</section>|class="answer".*?</`).FindString(res.body))
}

// TestASessionKnowsItself: the list of sessions says which is this browser's.
func TestASessionKnowsItself(t *testing.T) {
	w := newWorld(t)
	w.as("alice")
	second := w.as("alice")
	if res := second.get("/sessions"); !strings.Contains(res.body, `This browser's is <a href="#session-2">session 2</a>`) {
		t.Errorf("%s", res.body)
	}
}
