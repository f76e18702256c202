package pages

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/jarvisops/jarvis/lab/real"
)

// chromium starts a real browser, and gives its context and all that it complained of. It trusts any certificate: the lab's CA
// is nobody's.
func chromium(t *testing.T) (context.Context, func() []string) {
	t.Helper()
	bin, err := real.Chromium()
	if err != nil {
		t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(bin), chromedp.NoSandbox, chromedp.Flag("headless", "new"), chromedp.Flag("ignore-certificate-errors", true), chromedp.UserDataDir(t.TempDir()))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, over := context.WithTimeout(ctx, real.Patience(90*time.Second))
	t.Cleanup(over)
	var mu sync.Mutex
	var said []string
	chromedp.ListenTarget(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && e.Entry.Level == log.LevelError {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, e.Entry.Text+" "+e.Entry.URL)
		}
	})
	if err := chromedp.Run(ctx, log.Enable(), network.Enable()); err != nil {
		t.Fatal(err)
	}
	return ctx, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string{}, said...) }
}

// The CSP lets forms go to us alone, and the session's cookie is SameSite=Strict: a real browser comes through all the same, by
// a form there, by a login that the other site still has, and without the script.
func TestARealBrowserSignsInByTheCompanysLogin(t *testing.T) {
	w, idp := newCompanyWorld(t)
	ctx, said := chromium(t)
	const button = `//button[text()="Sign in with Lab login"]`
	var at, who string
	run := func(what string, actions ...chromedp.Action) {
		t.Helper()
		began := time.Now()
		if err := chromedp.Run(ctx, actions...); err != nil {
			var body string
			_ = chromedp.Run(ctx, chromedp.Location(&at), chromedp.OuterHTML("html", &body))
			t.Fatalf("%s: %v, at %s: %s\nit said %q", what, err, at, body, said())
		}
		t.Logf("%s: %s", what, time.Since(began).Round(time.Millisecond))
	}
	run("to the provider", chromedp.Navigate(w.base+"/approvals"), chromedp.Click(button), chromedp.WaitVisible(`input[name=password]`), chromedp.Location(&at))
	if !strings.HasPrefix(at, idp.Issuer+"/") {
		t.Errorf("the form is at %s", at)
	}
	run("back", chromedp.SendKeys(`input[name=user]`, "alice"), chromedp.SendKeys(`input[name=password]`, "pw-alice"), chromedp.Click(`button`), chromedp.WaitVisible(`.me a`), chromedp.Location(&at), chromedp.Text(`.me a`, &who))
	if at != w.base+"/approvals" || who != "alice" {
		t.Errorf("it ends at %s, as %q", at, who)
	}
	run("again, by what the provider remembers", chromedp.Navigate(w.base+"/sessions"), chromedp.Click(`form[action$="/logout"] button`), chromedp.WaitVisible(button), chromedp.Click(button), chromedp.WaitVisible(`.me a`), chromedp.Location(&at))
	if at != w.base+"/" {
		t.Errorf("it ends at %s", at)
	}
	run("without the script", emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(w.base+"/sessions"), chromedp.Click(`form[action$="/logout"] button`), chromedp.WaitVisible(button), chromedp.Click(button), chromedp.WaitVisible(`.me a`))
	for _, s := range said() {
		if !strings.HasSuffix(s, idp.Issuer+"/favicon.ico") {
			t.Errorf("the browser said: %s", s)
		}
	}
}
