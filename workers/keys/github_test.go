package keys

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// githubLab answers like GitHub's REST API for deploy keys, version 2022-11-28
// (https://docs.github.com/en/rest/deploy-keys/deploy-keys): statuses, fields and refusals are those of its examples.
type githubLab struct {
	mu    sync.Mutex
	next  int64
	repos map[string][]map[string]any
}

func (g *githubLab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	refuse := func(code int, v any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	if r.Header.Get("Authorization") != "Bearer ghp_lab" {
		refuse(http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		return
	}
	if r.Header.Get("X-GitHub-Api-Version") != "2022-11-28" {
		refuse(http.StatusBadRequest, map[string]string{"message": "no API version"})
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // repos OWNER NAME keys [ID]
	repo := ""
	if len(parts) >= 4 {
		repo = parts[1] + "/" + parts[2]
	}
	keys, known := g.repos[repo]
	switch {
	case !known || parts[3] != "keys":
		refuse(http.StatusNotFound, map[string]string{"message": "Not Found"})
	case r.Method == http.MethodGet:
		size, page := 30, 1 // https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
		_, _ = fmt.Sscan(r.URL.Query().Get("per_page"), &size)
		_, _ = fmt.Sscan(r.URL.Query().Get("page"), &page)
		size = min(size, 100)
		from := min((page-1)*size, len(keys))
		_ = json.NewEncoder(w).Encode(append([]map[string]any{}, keys[from:min(from+size, len(keys))]...))
	case r.Method == http.MethodPost:
		var k map[string]any
		_ = json.NewDecoder(r.Body).Decode(&k)
		for _, list := range g.repos {
			for _, have := range list {
				if have["key"] == k["key"] { // one deploy key serves one repository
					refuse(http.StatusUnprocessableEntity, map[string]any{"message": "Validation Failed", "errors": []any{map[string]string{"resource": "PublicKey", "code": "custom", "field": "key", "message": "key is already in use"}}})
					return
				}
			}
		}
		g.next++
		made := map[string]any{"id": g.next, "key": k["key"], "url": fmt.Sprintf("https://api.github.com/repos/%s/keys/%d", repo, g.next), "title": k["title"], "verified": true,
			"created_at": "2014-12-10T15:53:42Z", "read_only": k["read_only"], "added_by": "octocat", "last_used": nil, "enabled": true}
		g.repos[repo] = append(keys, made)
		refuse(http.StatusCreated, made)
	case r.Method == http.MethodDelete && len(parts) == 5:
		for i, k := range keys {
			if fmt.Sprint(k["id"]) == parts[4] {
				g.repos[repo] = append(keys[:i:i], keys[i+1:]...)
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		refuse(http.StatusNotFound, map[string]string{"message": "Not Found"})
	}
}

const keyA, keyB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFWxtNYPBvqVOXtCHLFdLw56QTmUad2FM9h/2WFTJP6L", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC0LTt4F5VzFkxyqe3QXeQkoNF2g3l6erC3FcnzwxPkE"

// said collects what a step says.
type said struct {
	pipeline.Host
	line string
}

func (s *said) Progress(line string)                             { s.line = line }
func (s *said) Facts() pipeline.Facts                            { return pipeline.Facts{Token: "jarvis-0-1", By: "alice"} }
func (s *said) Keep(context.Context, *clipboard.Clipboard) error { return nil }
func (s *said) Log(string)                                       {}
func (s *said) run(t *testing.T, f func(context.Context, *clipboard.Clipboard) error, c *clipboard.Clipboard) error {
	t.Helper()
	s.line = ""
	return f(pipeline.WithHost(t.Context(), s), c)
}

func TestGitHubDeployKeys(t *testing.T) {
	lab := &githubLab{repos: map[string][]map[string]any{"acme/app": {{"id": 7, "title": "somebody's", "key": "ssh-rsa AAAA", "read_only": true}}}}
	srv := httptest.NewServer(lab)
	t.Cleanup(srv.Close)
	w, err := New(Config{GitHub: GitHub{Token: "ghp_lab", URL: srv.URL}})
	if err != nil {
		t.Fatal(err)
	}
	step := w.updateDeployKey()
	clip := func(key, repo string) *clipboard.Clipboard {
		c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: EC2\n  repos: " + repo + "\n  root_pubkey: " + key + " root@loki\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var s said
	has := func(want ...string) {
		t.Helper()
		var got []string
		for _, k := range lab.repos["acme/app"] {
			got = append(got, fmt.Sprintf("%s=%s", k["title"], k["key"]))
		}
		if strings.Join(got, ", ") != strings.Join(append([]string{"somebody's=ssh-rsa AAAA"}, want...), ", ") {
			t.Errorf("GitHub has %q", got)
		}
	}
	c := clip(keyA, "acme/app")
	if err := s.run(t, step.Do, c); err != nil || s.line != "acme/app has the host's key" {
		t.Fatalf("%v, said %q", err, s.line)
	}
	has("jarvis: root@loki.websages.com=" + keyA)
	if err := s.run(t, step.Do, c); err != nil || !strings.HasPrefix(s.line, "nothing to do") {
		t.Errorf("the second time: %v, said %q", err, s.line)
	}
	// The host was made again: its new key takes the old one's place.
	renewed := clip(keyB, "acme/app")
	if err := s.run(t, step.Do, renewed); err != nil {
		t.Fatal(err)
	}
	has("jarvis: root@loki.websages.com=" + keyB)
	if err := s.run(t, step.Undo, renewed); err != nil {
		t.Fatal(err)
	}
	has()
	if err := s.run(t, w.removeDeployKey().Do, renewed); err != nil || !strings.HasPrefix(s.line, "nothing to do") {
		t.Errorf("removing what is gone: %v, said %q", err, s.line)
	}
	for repo, want := range map[string]string{"acme/nothing": "Not Found", "../../user": `repos holds "../../user"`, "acme/app/keys": "must be like owner/name"} {
		if err := s.run(t, step.Do, clip(keyA, repo)); err == nil || !strings.Contains(err.Error(), want) || !pipeline.IsPermanent(err) {
			t.Errorf("%s: %v", repo, err)
		}
	}
	lab.repos["acme/other"] = []map[string]any{{"id": 9, "title": "x", "key": keyA, "read_only": true}}
	if err := s.run(t, step.Do, clip(keyA, "acme/app")); err == nil || !strings.Contains(err.Error(), "key is already in use") {
		t.Errorf("a key that serves another repository: %v", err)
	}
}

// TestGitHubListsByPages: of a repository with more than a hundred deploy keys the host's own was not seen: it was
// added again, which GitHub refuses, and could not be taken away.
func TestGitHubListsByPages(t *testing.T) {
	for _, before := range []int{0, 99, 100, 250} {
		lab := &githubLab{next: 1000, repos: map[string][]map[string]any{"acme/app": {}}}
		for i := range before {
			lab.repos["acme/app"] = append(lab.repos["acme/app"], map[string]any{"id": i + 1, "title": "somebody's", "key": fmt.Sprint("ssh-rsa AAAA", i), "read_only": true})
		}
		srv := httptest.NewServer(lab)
		t.Cleanup(srv.Close)
		w, err := New(Config{GitHub: GitHub{Token: "ghp_lab", URL: srv.URL}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := clipboard.Parse([]byte("instance: {hostname: loki, fqdn: loki.websages.com, repos: acme/app, root_pubkey: " + keyA + "}"))
		if err != nil {
			t.Fatal(err)
		}
		var s said
		step := w.updateDeployKey()
		if err := s.run(t, step.Do, c); err != nil || len(lab.repos["acme/app"]) != before+1 {
			t.Errorf("after %d keys: %v, %d keys", before, err, len(lab.repos["acme/app"]))
		}
		if err := s.run(t, step.Do, c); err != nil || !strings.HasPrefix(s.line, "nothing to do") {
			t.Errorf("after %d keys, the second time: %v, said %q", before, err, s.line)
		}
		if err := s.run(t, step.Undo, c); err != nil || len(lab.repos["acme/app"]) != before {
			t.Errorf("after %d keys: %v, %d keys are left", before, err, len(lab.repos["acme/app"]))
		}
	}
}

// TestTooManyRequestsPass: also those that GitHub answers with 403.
func TestTooManyRequestsPass(t *testing.T) {
	for _, tt := range []struct {
		name, header, value, message string
		status                       int
		permanent                    bool
	}{
		{"no request is left", "X-RateLimit-Remaining", "0", "API rate limit exceeded for user ID 1.", 403, false},
		{"a pause is asked for", "Retry-After", "60", "You have exceeded a secondary rate limit.", 403, false},
		{"too many at once", "X-RateLimit-Remaining", "4711", "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", 403, false},
		{"too many requests", "", "", "", 429, false},
		{"GitHub is broken", "", "", "", 502, false},
		{"a right is missing", "X-RateLimit-Remaining", "4711", "Resource not accessible by personal access token", 403, true},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tt.header != "" {
				w.Header().Set(tt.header, tt.value)
			}
			w.WriteHeader(tt.status)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": tt.message})
		}))
		t.Cleanup(srv.Close)
		w, err := New(Config{GitHub: GitHub{Token: "ghp_lab", URL: srv.URL}})
		if err != nil {
			t.Fatal(err)
		}
		err = w.callGitHub(t.Context(), http.MethodGet, "/user", nil, nil)
		if err == nil || pipeline.IsPermanent(err) != tt.permanent || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s: %v, for good is %v", tt.name, err, pipeline.IsPermanent(err))
		}
	}
}
