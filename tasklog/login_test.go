package tasklog

import (
	"bytes"
	"context"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/gitcmd"
)

func TestWhoLogsInIsNotSaid(t *testing.T) {
	for repo, want := range map[string]struct {
		said, clean string
		login       gitcmd.Login
	}{
		"https://a:b@x/y/z.git":         {"https://•••@x/y/z.git", "https://x/y/z.git", gitcmd.Login{At: "https://x", User: "a", Password: "b"}},
		"https://a:b@c%2Fd@x:81/y.git":  {"https://•••@x:81/y.git", "https://x:81/y.git", gitcmd.Login{At: "https://x:81", User: "a", Password: "b@c/d"}},
		"http://TOKEN@x/y.git":          {"http://•••@x/y.git", "http://x/y.git", gitcmd.Login{At: "http://x", User: "TOKEN"}},
		"https://TOKEN:@x/y.git":        {"https://•••@x/y.git", "https://x/y.git", gitcmd.Login{At: "https://x", User: "TOKEN"}},
		"https://a:1%0ahost=y@x/y.git":  {"https://•••@x/y.git", "https://x/y.git", gitcmd.Login{At: "https://x", User: "a", Password: "1%0ahost=y"}},
		"https://a:50%@x/y.git":         {"https://•••@x/y.git", "https://x/y.git", gitcmd.Login{At: "https://x", User: "a", Password: "50%"}},
		"https://a:b/c@x/y.git":         {"https://•••@x/y.git", "https://x/y.git", gitcmd.Login{At: "https://x", User: "a", Password: "b/c"}},
		"https://x/y.git":               {said: "https://x/y.git", clean: "https://x/y.git"},
		"https://x/@team/y.git":         {said: "https://x/@team/y.git", clean: "https://x/@team/y.git"},
		"git@x:y.git":                   {said: "git@x:y.git", clean: "git@x:y.git"},
		"ssh://git@x/y.git":             {said: "ssh://git@x/y.git", clean: "ssh://git@x/y.git"},
		"ssh://git:b@c@x/y.git":         {said: "ssh://git:•••@x/y.git", clean: "ssh://git:b@c@x/y.git"},
		"/srv/git/with@in/the/name.git": {said: "/srv/git/with@in/the/name.git", clean: "/srv/git/with@in/the/name.git"},
	} {
		if got := hideSecret(repo); got != want.said {
			t.Errorf("hideSecret(%s) = %s", repo, got)
		}
		if clean, login := withoutSecret(repo); clean != want.clean || login != want.login {
			t.Errorf("withoutSecret(%s) = %s, %+v", repo, clean, login)
		}
	}
	if _, err := New([]Config{{Repo: "https://jarvis:s3cret_word@git.example.org"}}, t.TempDir()); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a repository without a name: %v", err)
	}
}

// slowGit serves repositories over HTTP to who has the login, and takes its time, so that one can look meanwhile.
func slowGit(t *testing.T, root, user, password string) (address string, in *atomic.Int32) {
	t.Helper()
	exec, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	back := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(exec)), "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}}
	in = &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, ok := r.BasicAuth()
		if !ok || u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who is it?", http.StatusUnauthorized)
			return
		}
		in.Add(1)
		time.Sleep(150 * time.Millisecond)
		r.Header.Del("Authorization")
		back.Env = append(back.Env[:2:2], "REMOTE_USER="+u)
		back.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), in
}

// arguments gives the command lines of the machine that have one of the words, until stop is called.
func arguments(t *testing.T, words ...string) (stop func() []string) {
	ctx, cancel := context.WithCancel(t.Context())
	found := make(chan []string)
	go func() {
		var out []string
		for ctx.Err() == nil {
			all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, name := range all {
				b, _ := os.ReadFile(name)
				for _, w := range words {
					if bytes.Contains(b, []byte(w)) && len(out) < 10 {
						out = append(out, string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
					}
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		found <- out
	}()
	return func() []string { cancel(); return <-found }
}

// The attack: `ps` while Jarvis fetches. The password was on the command lines of git and git-remote-http, and in chat
// when a branch was not there.
func TestThePasswordOfARepositoryStaysOurs(t *testing.T) {
	w := newWorld(t)
	root := filepath.Dir(w.bare)
	w.sh(`git -C ` + w.bare + ` config http.receivepack true; git init -q --bare -b master ` + root + `/files.git; git clone -q ` + root + `/files.git ../files 2>&1
cd ../files; echo x > x; git add -A; git commit -qm x; git push -q origin HEAD:master
cd ` + w.work + `; git -c protocol.file.allow=always submodule --quiet add -b master ../files.git files; git commit -qm x; git push -q origin HEAD:master`)
	w.list(entries("a", "b"))
	address, in := slowGit(t, root, "jarvis", "s3cret@w/rd")
	stop := arguments(t, "s3cret")
	r := w.repo(func(c *Config) { c.Repo = "http://jarvis:s3cret%40w%2Frd@" + address + "/tasks.git" })
	r.log.Probe(t.Context(), func(_ string, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	if got := waiting(r); got != "a/1 b/2" {
		t.Error(got)
	}
	dir := filepath.Join(t.TempDir(), "checkout")
	if err := r.git.checkout(t.Context(), w.sh("git rev-parse HEAD"), dir); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "files", "x")); string(b) != "x\n" {
		t.Errorf("the submodule has %q, %v", b, err)
	}
	if out, err := exec.Command("grep", "-rlE", "s3cret|w(/|%2F)rd", dir, r.dir).Output(); len(out) > 0 {
		t.Errorf("on disk: %s, %v", out, err)
	}
	if by, err := r.git.claim(t.Context(), strings.Repeat("a", 40)+"-1", "srv1"); by != "srv1" || err != nil {
		t.Errorf("claim = %q, %v", by, err)
	}
	r.finishAll(t)
	w.sh("git push -q origin :done")
	if got := waiting(r); !strings.HasPrefix(got, "trouble: there is no branch done in http://•••@"+address+"/tasks.git, so nobody knows") {
		t.Error(got)
	}
	r.cfg.Branch = "other"
	if got := waiting(r); got != "trouble: there is no branch other in http://•••@"+address+"/tasks.git" {
		t.Error(got)
	}
	r.cfg.Repo = strings.Replace(r.cfg.Repo, "s3cret", "s3cretly", 1)
	if got := waiting(r); !strings.HasPrefix(got, "! git fetch: ") || strings.Contains(got, "s3cret") {
		t.Error(got)
	}
	if found := stop(); len(found) > 0 {
		t.Errorf("every user reads\n%s", strings.Join(found, "\n"))
	}
	if n := in.Load(); n < 8 {
		t.Errorf("the server was asked %d times", n)
	}
}

// TestATokenAlone: a URL with a token and no password logged in nowhere, for git asked for the password.
func TestATokenAlone(t *testing.T) {
	w := newWorld(t)
	w.list(entries("a"))
	address, _ := slowGit(t, filepath.Dir(w.bare), "t0ken", "")
	if got := waiting(w.repo(func(c *Config) { c.Repo = "http://t0ken@" + address + "/tasks.git" })); got != "a/1" {
		t.Error(got)
	}
}
