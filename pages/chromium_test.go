package pages

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"github.com/jarvisops/jarvis/lab/real"
)

// The CSP lets forms go to us alone, and the session's cookie is SameSite=Strict: a real browser comes through all the
// same, by a form there, by a login that the other site still has, and without the script.
func TestARealBrowserSignsInByTheCompanysLogin(t *testing.T) {
	w, idp := newCompanyWorld(t)
	browser, err := real.StartBrowser()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(browser.Stop)
	win, err := browser.Window()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(win.Close)
	const button = `//button[text()="Sign in with Lab login"]`
	var at string
	do := func(what string, actions ...chromedp.Action) {
		t.Helper()
		began := time.Now()
		if err := win.Do(40*time.Second, append(actions, chromedp.Location(&at))...); err != nil {
			var body string
			_ = win.Do(5*time.Second, chromedp.Location(&at), chromedp.OuterHTML("html", &body))
			t.Fatalf("%s: %v, at %s: %s\nit said %q", what, err, at, body, win.Wrong())
		}
		t.Logf("%s: %s", what, time.Since(began).Round(time.Millisecond))
	}
	axe := func(what string) {
		t.Helper()
		if bad, err := win.Axe(); err != nil || len(bad) > 0 {
			t.Errorf("%s: %q %v", what, bad, err)
		}
	}
	out := chromedp.Tasks{chromedp.Navigate(w.base + "/sessions"), chromedp.Click(`form[action$="/logout"] button`), chromedp.WaitVisible(button)}
	// The lab's CA is nobody's, and no browser knows it.
	do("the login page", security.SetIgnoreCertificateErrors(true), chromedp.Navigate(w.base+"/approvals"), chromedp.WaitVisible(button))
	axe("the login page")
	do("to the provider", chromedp.Click(button), chromedp.WaitVisible(`input[name=password]`))
	if !strings.HasPrefix(at, idp.Issuer+"/") {
		t.Errorf("the form is at %s", at)
	}
	do("back", chromedp.SendKeys(`input[name=user]`, "alice"), chromedp.SendKeys(`input[name=password]`, "pw-alice"), chromedp.Click(`button`), chromedp.WaitVisible(`.me a`))
	if who := win.Text(".me a"); at != w.base+"/approvals" || who != "alice" {
		t.Errorf("it ends at %s, as %q", at, who)
	}
	do("again, by what the provider remembers", out, chromedp.Click(button), chromedp.WaitVisible(`.me a`))
	if at != w.base+"/" {
		t.Errorf("it ends at %s", at)
	}
	do("without the script", emulation.SetScriptExecutionDisabled(true), out, chromedp.Click(button), chromedp.WaitVisible(`.me a`))
	for _, s := range win.Wrong() {
		if !strings.HasSuffix(s, idp.Issuer+"/favicon.ico") {
			t.Errorf("the browser said: %s", s)
		}
	}
}
