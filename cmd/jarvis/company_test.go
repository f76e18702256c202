package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestThePageAboutTheCompanysLogin follows docs/howto/pages.md: its example, with the lab's provider in the place of
// the one that nobody has, signs alice in; and what it says of a reload is so.
func TestThePageAboutTheCompanysLogin(t *testing.T) {
	doc := string(must[[]byte](t)(os.ReadFile("../../docs/howto/pages.md")))
	_, doc, _ = strings.Cut(doc, "## Signing in with your company's login")
	_, example, ok := strings.Cut(doc, "```yaml\n")
	example, _, ok2 := strings.Cut(example, "```")
	if !ok || !ok2 {
		t.Fatal("docs/howto/pages.md has no example")
	}
	example = strings.ReplaceAll("\n"+example, "\n   ", "\n")
	port := strconv.Itoa(must[int](t)(real.FreePort()))
	base := "http://127.0.0.1:" + port
	idp := must[*real.OIDC](t)(real.StartOIDC(t.Context(), base+"/login/oidc/callback"))
	t.Cleanup(idp.Stop)
	for old, lab := range map[string]string{"127.0.0.1:8080": "127.0.0.1:" + port, "https://jarvis.example.org": base, "issuer: https://login.example.org/realms/staff": "issuer: " + idp.Issuer + "\n    ca: " + idp.CA, "client: jarvis\n": "client: " + real.OIDCClient + "\n"} {
		if strings.Count(example, old) != 1 {
			t.Fatalf("the example has not one %q:\n%s", old, example)
		}
		example = strings.Replace(example, old, lab, 1)
	}
	conf := serviceConf[strings.Index(serviceConf, "\n")+1:] + example
	s := newService(t, conf)
	writeIn(t, s.dir)("credentials/oidc", real.OIDCSecret+"\n", 0o600)
	if out, code := s.cli("config", "check"); code != 0 || strings.Contains(out, "http has no oidc") {
		t.Fatalf("config check: %d %s", code, out)
	}
	if out, _ := s.cli("config", "show"); strings.Contains(out, real.OIDCSecret) {
		t.Errorf("config show: %s", out)
	}
	if out, _ := s.cli("config", "check", "--online"); !strings.Contains(out, "ok    http.oidc: "+idp.Issuer+" is there") {
		t.Errorf("config check --online: %s", out)
	}
	s.start(filepath.Join(s.dir, "notify"))
	s.hears("READY=1")

	jar := must[*cookiejar.Jar](t)(cookiejar.New(nil))
	b := &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	read := func(res *http.Response, err error) (string, string, int) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text := must[[]byte](t)(io.ReadAll(res.Body))
		_ = res.Body.Close()
		return string(text), strings.TrimPrefix(res.Header.Get("Refresh"), "0;url="), res.StatusCode
	}
	if text, _, _ := read(b.Get(base + "/login")); !strings.Contains(text, "Sign in with Example login") {
		t.Fatalf("the login page: %s", text)
	}
	come := func(user string) (string, string, int) {
		_, to, _ := read(b.PostForm(base+"/login/oidc", url.Values{"next": {"/sessions"}}))
		there := must[*real.OIDCBrowser](t)(idp.Browser())
		back := must[*url.URL](t)(there.Login(t.Context(), to, user))
		return read(b.Get(back.String()))
	}
	if text, to, code := come("alice"); to != "/sessions" || code != 200 {
		t.Fatalf("sign in: %d %s", code, text)
	}
	if text, _, _ := read(b.Get(base + "/sessions")); !strings.Contains(text, "Example login (OpenID Connect), as alice") {
		t.Errorf("sessions: %s", text)
	}
	if out, _ := s.cli("audit"); !strings.Contains(out, "sign in by Example login (OpenID Connect), as alice") {
		t.Errorf("audit: %s", out)
	}
	// alice has run by herself, deploy by her group.
	roles := func() string {
		text, _, _ := read(b.PostForm(base+"/", url.Values{"line": {"whoami"}}))
		return regexp.MustCompile(`(?s)<div class="answer.*?</div>`).FindString(text)
	}
	if got := roles(); !strings.Contains(got, "run") || !strings.Contains(got, "deploy") {
		t.Errorf("whoami: %s", got)
	}
	s.write(strings.Replace(conf, "ops: [view, deploy]", "ops: [view]", 1))
	s.reload("taken over: http.oidc", 0)
	if got := roles(); strings.Contains(got, "deploy") {
		t.Errorf("whoami after the reload: %s", got)
	}
	s.write(strings.Replace(strings.Replace(conf, "ops: [view, deploy]", "ops: [view]", 1), "http:\n", "http:\n  plain: true\n", 1))
	s.reload("needs a restart: http\n", 0)
	s.write(conf + "# as it was\n")
	s.reload("taken over: http.oidc", 0)
	s.write(strings.Replace(conf, "scopes:", "claim: email\n    scopes:", 1))
	s.reload(`http.oidc.claim is "email", which people may write themselves`, exitUsage)

	s.write(conf)
	if text, to, code := come("mallory"); to != "" || code != 403 || !strings.Contains(text, "oidc: mallory") {
		t.Errorf("mallory: %d %s", code, text)
	}
	if out, _ := s.cli("audit"); !strings.Contains(out, "you are mallory") {
		t.Errorf("audit: %s", out)
	}
	idp.Kill()
	if out, _ := s.cli("config", "check", "--online"); !strings.Contains(out, "wrong http.oidc: ") || !strings.Contains(out, "connection refused") {
		t.Errorf("config check --online, without a provider: %s", out)
	}
	for _, l := range s.all {
		if strings.Contains(l, real.OIDCSecret) {
			t.Errorf("the secret is in the log: %s", l)
		}
	}
}
