//go:build !race

// Not under the race detector: the process that is killed is not the test's.

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestTheMainJobInABrowser does in Chromium what a person does: signs in by a link from IRC, deploys by the form,
// watches all stages to the end while the server is killed with -9, sees another host fail, presses Retry, and has a
// second person, in a second browser, approve a destroy. What the pages say is what chat says, and nothing is missing
// in the end.
func TestTheMainJobInABrowser(t *testing.T) {
	world := must[*lab.World](t)(lab.Start(t.Context(), lab.Options{Block: 205, Port: must[int](t)(freePort())}))
	t.Cleanup(world.Stop)
	// A deployment takes three seconds here; this one waits long enough to be killed while it is watched.
	slow := filepath.Join(t.TempDir(), "slow")
	must[any](t)(nil, os.WriteFile(slow, []byte("#!/bin/sh\n[ \"$1\" = --steps ] && exit 64\nfor i in 1 2 3 4 5; do sleep 1; echo \"second $i\" >&2; done\n"), 0o755))
	bodies := map[string]string{"/loki": lab.Clipboard("loki") + "steps: [keys:create, \"slow:a\", esx:deploy, esx:get_pub_ip, dns:update_host, \"slow:b\", ssh:wait]\n",
		"/thor": lab.Clipboard("thor") + "  commands: [\"mkdir /tmp/again || exit 0; exit 3\"]\nsteps: [keys:create, esx:deploy, esx:get_pub_ip, dns:update_host, ssh:wait, ssh:run]\n"}
	gist := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, bodies[r.URL.Path]) }))
	t.Cleanup(gist.Close)
	chat := &ircWay{}
	own, dir, listen := chat.config(), t.TempDir(), freeAddr(t)
	t.Cleanup(chat.stop)
	text := strings.NewReplacer("approvals: {off: true}\n", "", "listen: \"\"\n", fmt.Sprintf("listen: %s\nhttp: {url: \"http://%[1]s\"}\n", listen)).
		Replace(world.Config(filepath.Join(dir, "data"), fmt.Sprintf("  external: {dir: %q}\nsources: {urls: [%q]}\n", filepath.Dir(slow), gist.URL+"/"))) + own
	conf := filepath.Join(dir, "jarvis.yaml")
	must[any](t)(nil, os.WriteFile(conf, []byte(text), 0o600))
	p := &process{t: t, bin: buildJarvis(t), conf: conf, log: must[*os.File](t)(os.Create(filepath.Join(dir, "log")))}
	p.start()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Log(p.said())
		}
	})
	browser := must[*real.Browser](t)(real.StartBrowser())
	t.Cleanup(browser.Stop)
	base := "http://" + listen

	chats := map[string]*real.IRCClient{}
	enter := func(who string) *real.Window {
		t.Helper()
		c := must[*real.IRCClient](t)(real.DialIRC(t.Context(), chat.addr, who, "#ops"))
		t.Cleanup(c.Close)
		must[string](t)(c.Wait(`jarvis.* JOIN|353 .*jarvis`, time.Minute))
		chats[who] = c
		c.Say("jarvis", "page")
		line := must[string](t)(c.Next(`/login/`, time.Minute))
		w := must[*real.Window](t)(browser.Window())
		t.Cleanup(w.Close)
		must[any](t)(nil, w.Do(30*time.Second, chromedp.Navigate(regexp.MustCompile(`http://\S+/login/\S+`).FindString(line)), chromedp.Click("main button", chromedp.ByQuery)))
		must[any](t)(nil, w.Until(20*time.Second, ".me a", who))
		return w
	}
	say := func(w *real.Window, line string) {
		t.Helper()
		must[any](t)(nil, w.Do(20*time.Second, chromedp.Navigate(base+"/"), chromedp.SendKeys(".talk input", line+"\r", chromedp.ByQuery)))
		must[any](t)(nil, w.Until(20*time.Second, ".answer", line))
	}
	press := func(w *real.Window, button string) {
		t.Helper()
		must[any](t)(nil, w.Do(20*time.Second, chromedp.Click(fmt.Sprintf(`//main//button[contains(., %q)]`, button), chromedp.BySearch)))
	}

	alice := enter("alice")
	say(alice, "deploy "+gist.URL+"/loki")
	must[any](t)(nil, alice.Do(20*time.Second, chromedp.Click(`.answer a`, chromedp.ByQuery)))
	must[any](t)(nil, alice.Until(20*time.Second, "#live", "live"))
	must[any](t)(nil, alice.Do(time.Second, chromedp.Evaluate(`window.stayed = 1`, nil)))
	must[any](t)(nil, alice.Until(time.Minute, "#lines", "second 2"))
	if bad := alice.Wrong(); len(bad) > 0 {
		t.Errorf("the browser complains: %q", bad)
	}
	p.kill()
	must[any](t)(nil, alice.Until(20*time.Second, "#live", "no news since"))
	p.start()
	must[any](t)(nil, alice.Until(time.Minute, "#sentence", "waits for you at stage 2/7 slow:a"))
	stayed := 0
	must[any](t)(nil, alice.Do(5*time.Second, chromedp.Evaluate(`window.stayed`, &stayed)))
	if stayed != 1 {
		t.Error("the page is not the one that was open when the server was killed")
	}
	press(alice, "Retry")
	must[any](t)(nil, alice.Until(2*time.Minute, "#sentence", "ready"))
	must[any](t)(nil, alice.Until(20*time.Second, "#live", "live"))
	alice.Wrong() // that nothing listened for a moment
	var there []*cdp.Node
	must[any](t)(nil, alice.Do(5*time.Second, chromedp.Nodes("#lines li", &there, chromedp.ByQueryAll)))
	lines := func(nodes []*cdp.Node) (ids []string) {
		for _, n := range nodes {
			ids = append(ids, n.AttributeValue("id"))
		}
		return ids
	}
	seen := lines(there)
	must[any](t)(nil, alice.Do(20*time.Second, chromedp.Reload(), chromedp.Nodes("#lines li", &there, chromedp.ByQueryAll)))
	if onRecord := lines(there); !slices.Equal(seen, onRecord) || len(seen) < 20 {
		t.Errorf("the open page has %d lines %v, and the record %d %v", len(seen), seen, len(onRecord), onRecord)
	}
	ages := regexp.MustCompile(`for \S+,|\S+ ago`) // they go on meanwhile
	page, status := ages.ReplaceAllString(alice.Text("#sentence"), ""), ages.ReplaceAllString(string(must[[]byte](t)(p.cli(t.Context(), "status", "loki"))), "")
	if page == "" || strings.TrimSpace(status) != "loki: "+strings.TrimSpace(page) {
		t.Errorf("the page says %q, and status %q", page, status)
	}

	say(alice, "deploy "+gist.URL+"/thor")
	must[any](t)(nil, alice.Do(20*time.Second, chromedp.Click(`.answer a`, chromedp.ByQuery)))
	must[any](t)(nil, alice.Until(time.Minute, "#sentence", "failed"))
	press(alice, "Retry")
	must[any](t)(nil, alice.Until(time.Minute, "#sentence", "ready"))

	say(alice, "destroy thor")
	must[any](t)(nil, alice.Do(20*time.Second, chromedp.Click(`.answer a`, chromedp.ByQuery)))
	must[any](t)(nil, alice.Until(20*time.Second, "#acts", "You asked for it yourself"))
	if strings.Contains(alice.Text("#acts"), "Approve") {
		t.Error("who asked is offered to approve it")
	}
	bob := enter("bob")
	must[any](t)(nil, bob.Do(20*time.Second, chromedp.Navigate(base+"/approvals"), chromedp.SendKeys(`input[name=because]`, "it is <b>mine</b>", chromedp.ByQuery)))
	press(bob, "Approve")
	must[any](t)(nil, bob.Until(20*time.Second, ".answer", "approve"))
	must[any](t)(nil, alice.Until(2*time.Minute, "#sentence", "destroyed"))
	for who, w := range map[string]*real.Window{"alice": alice, "bob": bob} {
		if bad := w.Wrong(); len(bad) > 0 {
			t.Errorf("the browser of %s complains: %q", who, bad)
		}
	}
	if got := world.VSphere.Machines(); !slices.Equal(got, []string{"loki"}) {
		t.Errorf("machines are %v", got)
	}
	// What is said in chat links to the page.
	chats["alice"].Say("#ops", "jarvis: deploy "+gist.URL+"/thor")
	must[string](t)(chats["alice"].Next(`PRIVMSG #ops :alice: thor failed at .* http://`+regexp.QuoteMeta(listen)+`/runs/4$`, time.Minute))
}
