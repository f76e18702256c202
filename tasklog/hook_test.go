package tasklog

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
)

func hookLog(t *testing.T, secrets ...string) *Log {
	t.Helper()
	l := &Log{}
	for i, s := range secrets {
		l.repos = append(l.repos, &Repo{log: l, cfg: Config{Name: string(rune('a' + i)), HookSecret: clipboard.Secret(s)}, poke: make(chan struct{}, 1)})
	}
	return l
}

func sum(h func() hash.Hash, secret, body string) string {
	m := hmac.New(h, []byte(secret))
	_, _ = m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

// Nobody listens where there is no secret: a stranger could only make us work.
func TestThereIsNoHookWithoutASecret(t *testing.T) {
	for _, l := range []*Log{hookLog(t), hookLog(t, "", "")} {
		if l.Hook() != nil {
			t.Error("there is a webhook, and no secret that could sign for it")
		}
	}
	if hookLog(t, "", "secret").Hook() == nil {
		t.Error("there is a secret, and no webhook")
	}
}

func TestAHookTakesTheSignaturesOfGitServers(t *testing.T) {
	const body = `{"ref":"refs/heads/main"}`
	good := sum(sha256.New, "two", body)
	for _, c := range []struct {
		name, header, value string
		code                int
	}{
		{"GitHub", "X-Hub-Signature-256", "sha256=" + good, 200},
		{"the older header with SHA-256", "X-Hub-Signature", "sha256=" + good, 200},
		{"Gitea", "X-Gitea-Signature", good, 200},
		{"Gogs", "X-Gogs-Signature", good, 200},
		{"GitLab", "X-Gitlab-Token", "two", 200},
		{"SHA-1, as it was", "X-Hub-Signature", "sha1=" + sum(sha1.New, "two", body), 403},
		{"SHA-1 under another name", "X-Hub-Signature-256", "sha256=" + sum(sha1.New, "two", body), 403},
		{"SHA-1 of Gogs", "X-Gogs-Signature", sum(sha1.New, "two", body), 403},
		{"another secret", "X-Hub-Signature-256", "sha256=" + sum(sha256.New, "three", body), 403},
		{"no secret at all", "X-Hub-Signature-256", "sha256=" + sum(sha256.New, "", body), 403},
		{"half of the signature", "X-Gitea-Signature", good[:32], 403},
		{"another token", "X-Gitlab-Token", "tw", 403},
		{"nothing", "X-Other", "x", 403},
	} {
		l := hookLog(t, "one", "two", "")
		req := httptest.NewRequest(http.MethodPost, "/hooks/git", strings.NewReader(body))
		req.Header.Set(c.header, c.value)
		w := httptest.NewRecorder()
		l.Hook().ServeHTTP(w, req)
		if w.Code != c.code {
			t.Errorf("%s: %d %s; want %d", c.name, w.Code, w.Body, c.code)
		}
		if poked := len(l.repos[1].poke) == 1; poked != (c.code == 200) || len(l.repos[0].poke)+len(l.repos[2].poke) > 0 {
			t.Errorf("%s: fetched by the right one %v, by others %d", c.name, poked, len(l.repos[0].poke)+len(l.repos[2].poke))
		}
	}
}

// The attack: send five megabytes with no signature, or slowly, a hundred times; each was read and kept before anybody
// looked whether it is signed. What no secret can have signed is not read at all now.
func TestAHookReadsNothingThatIsNotSigned(t *testing.T) {
	for _, header := range []string{"", "X-Hub-Signature-256=sha1=00", "X-Hub-Signature-256=sha256=zz", "X-Gitea-Signature=00", "X-Gitlab-Token=guess"} {
		l := hookLog(t, "secret")
		req := httptest.NewRequest(http.MethodPost, "/hooks/git", readFunc(func([]byte) (int, error) {
			t.Errorf("with %q the body is read", header)
			return 0, io.EOF
		}))
		if k, v, ok := strings.Cut(header, "="); ok {
			req.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		l.Hook().ServeHTTP(w, req)
		if w.Code != http.StatusForbidden {
			t.Errorf("%q = %d", header, w.Code)
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// What is signed is hashed as it comes: 24 MiB of it take no memory. What is more than 25 MiB is refused.
func TestAHookKeepsNoBody(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 24<<20)
	l := hookLog(t, "one", "two")
	post := func(body io.Reader, sig string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodPost, "/hooks/git", body)
		req.Header.Set("X-Hub-Signature-256", "sha256="+sig)
		w := httptest.NewRecorder()
		l.Hook().ServeHTTP(w, req)
		return w
	}
	sig := sum(sha256.New, "two", string(body))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := post(bytes.NewReader(body), sig)
	runtime.ReadMemStats(&after)
	if w.Code != http.StatusOK {
		t.Errorf("24 MiB: %d %s", w.Code, w.Body)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("it took %d KiB of memory", took>>10)
	}
	if w := post(io.MultiReader(bytes.NewReader(body), bytes.NewReader(body)), sig); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("48 MiB: %d %s", w.Code, w.Body)
	}
	if w := post(readFunc(func([]byte) (int, error) { return 0, errors.New("gone") }), sig); w.Code != http.StatusBadRequest {
		t.Errorf("broken off: %d %s", w.Code, w.Body)
	}
}
