//go:build !race

// Not under the race detector: what is looked at is Chromium's.

package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

var digits = regexp.MustCompile(`\d+`)

// TestEveryPageLooksWell goes by the links of the pages to every kind of page, from a record with something of
// everything, and looks at each wide and narrow, light and dark: axe-core finds nothing, none is wider than its window,
// and the browser complains of nothing, above all not that something went against the Content-Security-Policy. With
// -artifacts the pictures are kept.
func TestEveryPageLooksWell(t *testing.T) {
	s := newAPISite(t, 206, "approvals: {expires: 1h}\n")
	dir := t.TempDir()
	say := func(args ...string) string {
		t.Helper()
		code, out, errs := jarvis(t, "", append([]string{"--config", s.conf}, args...)...)
		if code == exitUsage {
			t.Fatalf("%q: %d %s%s", args, code, out, errs)
		}
		return out
	}
	clip := func(host, more string) string {
		file := filepath.Join(dir, host+".yaml")
		must[any](t)(nil, os.WriteFile(file, []byte(lab.Clipboard(host)+more), 0o600))
		return file
	}
	token := s.newToken(t, "ada")
	t.Setenv("JARVIS_TOKEN", token)
	say("deploy", clip("loki", ""))
	say("deploy", clip("odin", ""))
	say("deploy", clip("thor", "  commands: [\"echo before; exit 3\"]\nsteps: [keys:create, esx:deploy, esx:get_pub_ip, ssh:wait, ssh:run]\n"))
	must[any](t)(nil, os.WriteFile(filepath.Join(dir, "load.yaml"), []byte("command: \"echo 'OK load is 0.3 | load=0.3;1;2'\"\nschedule: \"@every 1s\"\nattempts: 1\n"), 0o600))
	must[any](t)(nil, os.WriteFile(filepath.Join(dir, "disk.yaml"), []byte("command: \"echo '/ is 97% full, <b>really</b> | /=97%;80;90'; exit 2\"\nschedule: \"@every 1s\"\nattempts: 1\n"), 0o600))
	must[any](t)(nil, os.WriteFile(filepath.Join(dir, "all.yaml"), []byte("tasks: [load, disk]\nhosts: [\"loki\", \"odin\"]\n"), 0o600))
	say("check", "define", "task", "load", filepath.Join(dir, "load.yaml"))
	say("check", "define", "task", "disk", filepath.Join(dir, "disk.yaml"))
	say("check", "define", "host_task", "all", filepath.Join(dir, "all.yaml"))
	last := ""
	t.Cleanup(func() { t.Log(last) })
	until(t, time.Minute, "checks have run", func() bool {
		last = say("check", "list", "disk")
		return strings.Count(last, "CRITICAL") >= 2
	})
	say("destroy", "odin", "--no-wait")
	until(t, time.Minute, "it waits for a second person", func() bool { return strings.Contains(say("status", "odin"), "second person") })

	browser := must[*real.Browser](t)(real.StartBrowser())
	t.Cleanup(browser.Stop)
	w := must[*real.Window](t)(browser.Window())
	t.Cleanup(w.Close)
	kept := t.ArtifactDir()
	kindOf := func(at string) string {
		u := must[*url.URL](t)(url.Parse(at))
		kind := digits.ReplaceAllString(u.Path, "N")
		if parts := strings.Split(kind, "/"); len(parts) > 2 && parts[1] != "docs" { // a host, a check
			for i := 2; i < len(parts); i++ {
				parts[i] = "N"
			}
			kind = strings.Join(parts, "/")
		}
		if u.RawQuery != "" {
			kind += "?"
		}
		return kind
	}
	between := func(at string) { // a phone and a wide window are not all there is
		for _, width := range []int{360, 600, 800, 1000} {
			must[any](t)(nil, w.Look(width, false))
			if wide := must[string](t)(w.Wide()); wide != "" {
				t.Errorf("%s: %s", at, wide)
			}
		}
	}
	look := func(at, kind string) {
		between(at)
		name := strings.Trim(strings.NewReplacer("/", "-", "?", "-asked").Replace(kind), "-")
		if name == "" {
			name = "overview"
		}
		for _, as := range []struct {
			width int
			dark  bool
		}{{1280, false}, {390, true}, {360, false}} {
			must[any](t)(nil, w.Look(as.width, as.dark))
			bad, err := w.Axe()
			if err != nil || len(bad) > 0 {
				t.Errorf("%s, %d wide, dark %v: %q %v", at, as.width, as.dark, bad, err)
			}
			if as.width != 360 {
				must[any](t)(nil, w.Shot(filepath.Join(kept, fmt.Sprintf("%s-%d.png", name, as.width))))
			}
		}
		if bad := w.Wrong(); len(bad) > 0 {
			t.Errorf("%s: the browser complains: %q", at, bad)
		}
	}
	open := func(at string) {
		t.Helper()
		if err := w.Do(30*time.Second, chromedp.Navigate(at), chromedp.WaitReady("main")); err != nil {
			t.Fatalf("open %s: %v", at, err)
		}
	}
	open(s.url + "/login")
	look(s.url+"/login", "/login")
	link := regexp.MustCompile(`http://\S+/login/\S+`).FindString(say("--server", s.url, "page"))
	open(link)
	look(link, "/login/link")
	open(s.url + "/login")
	must[any](t)(nil, w.Do(20*time.Second, chromedp.SendKeys("input[name=token]", token+"\r", chromedp.ByQuery), chromedp.WaitVisible(".me a", chromedp.ByQuery)))
	exec := func(hosts, line string) {
		t.Helper()
		open(s.url + "/exec")
		must[any](t)(nil, w.Do(20*time.Second, chromedp.SendKeys("input[name=hosts]", hosts, chromedp.ByQuery), chromedp.SendKeys("input[name=line]", line+"\r", chromedp.ByQuery)))
	}
	exec("lok* check:critical", `sh -c "echo the same; sleep 2"`)
	must[any](t)(nil, w.Until(20*time.Second, "#sentence", "2 of 2 hosts answered."))
	if text := w.Text("#out"); !strings.Contains(text, "2 hosts") || !strings.Contains(text, "loki, odin") || !strings.Contains(text, "the same") {
		t.Errorf("the outputs are not folded: %q", text)
	}
	exec("loki,odin", "sleep 600")
	must[any](t)(nil, w.Until(20*time.Second, "#sentence", "0 of 2 hosts answered."))
	must[any](t)(nil, w.Do(20*time.Second, chromedp.Click("#acts button", chromedp.ByQuery)))
	must[any](t)(nil, w.Until(20*time.Second, "#sentence", "2 of 2 hosts answered, 2 failed."))
	exec("nowhere", "uptime")
	must[any](t)(nil, w.Until(20*time.Second, ".answer", `I have no host or run "nowhere" on record`))
	w.Wrong() // that this was refused

	docs := map[string]bool{}
	seen, next := map[string]bool{}, []string{s.url + "/", s.url + "/runs/1", s.url + "/runs/3", s.url + "/runs/4", s.url + "/sessions"}
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		kind := kindOf(at)
		if kind == "/runs/N" {
			kind = must[*url.URL](t)(url.Parse(at)).Path // each of them is in another state
		}
		if seen[kind] || strings.Contains(kind, "/docs/") && len(seen) > 0 && seen["/docs/*"] && !strings.HasSuffix(kind, "/docs/pages") {
			continue
		}
		seen[kind] = true
		if strings.Contains(kind, "/docs/") {
			seen["/docs/*"] = true
		}
		open(at)
		time.Sleep(300 * time.Millisecond) // for its script
		look(at, kind)
		var links []string
		must[any](t)(nil, w.Do(10*time.Second, chromedp.Evaluate(`[...document.querySelectorAll("a[href]")].map(a => a.href.split("#")[0]).filter(h => h.startsWith(location.origin) && !h.includes("/logout"))`, &links)))
		next = append(next, links...)
		for _, l := range links {
			if strings.Contains(l, "/docs/") {
				docs[l] = true
			}
		}
	}
	for at := range docs {
		open(at)
		between(at)
	}
	// What is not there is said in a page, too, which the browser notes as a request that failed.
	must[any](t)(nil, w.Do(30*time.Second, chromedp.Navigate(s.url+"/nothing")))
	if text := w.Text("main"); !strings.Contains(text, "there is nothing at") {
		t.Errorf("the error page says %q", text)
	}
	w.Wrong()
	look(s.url+"/nothing", "/error")
	t.Logf("%d kinds of pages, pictures in %s", len(seen), kept)
	for kind := range seen {
		t.Log(kind)
	}
}
