package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// TestFollowingOnesOwnRunIsNotLimited: a deployment over --server that went well ended with 3, because its client asked
// too often how it stood; every job of a CI failed.
func TestFollowingOnesOwnRunIsNotLimited(t *testing.T) {
	dir := t.TempDir()
	write := writeIn(t, dir)
	write("w/toy", "#!/bin/sh\n[ \"$1\" = --steps ] && exit 64\nfor i in 1 2 3 4 5; do sleep 0.3; echo \"$1 $i\" >&2; done\n[ \"$1\" != fail ]\n", 0o755)
	conf := write("jarvis.yaml", "data: ./data\nlisten: 127.0.0.1:0\nlimit: {burst: 3, interval: 1h}\npeople: [{name: ci, roles: [deploy]}, {name: eve, roles: [view]}]\nworkers: {external: {dir: w}}\n"+
		"pipelines: {deploy: {toy: [\"toy:a\", \"toy:b\", \"toy:c\"], bad: [\"toy:fail\"]}}\n", 0o600)
	good, bad := write("loki.yaml", "instance: {hostname: loki, provider: toy}\n", 0o600), write("thor.yaml", "instance: {hostname: thor, provider: bad}\n", 0o600)
	_, log := serveInProcess(t, conf)
	m := regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatal(log)
	}
	token := func(person string) string {
		_, out, errs := jarvis(t, "", "--config", conf, "token", "new", "x"+person, "for", person)
		secret, _, _ := strings.Cut(out, "\n")
		if secret == "" {
			t.Fatal(errs)
		}
		return secret
	}
	t.Setenv("JARVIS_TOKEN", token("ci"))
	for _, c := range []struct {
		clip string
		code int
		last string
	}{{good, exitOK, "loki is ready"}, {bad, exitFailed, "thor failed"}} {
		code, out, errs := jarvis(t, "", "--server", "http://"+m[1], "deploy", c.clip)
		if code != c.code || !strings.Contains(out+errs, c.last) {
			t.Errorf("deploy %s = %d: %s%s", filepath.Base(c.clip), code, out, errs)
		}
	}
	// What is somebody else's is counted.
	t.Setenv("JARVIS_TOKEN", token("eve"))
	refused := false
	for range 5 {
		code, _, errs := jarvis(t, "", "--server", "http://"+m[1], "status", "loki")
		refused = refused || code != exitOK && strings.Contains(errs, "too fast")
	}
	if !refused {
		t.Error("eve asked five times in a row, and three are free")
	}
}

// ticking is a view that asks how the run stands all the time.
type ticking struct{}

func (ticking) event(pipeline.Event, web.RunView) {}
func (ticking) tick(web.RunView)                  {}
func (ticking) every() time.Duration              { return time.Microsecond }
func (ticking) end(web.RunView)                   {}

// TestTheEndOfFollowingBesideALook: the run is given back while it is looked at. The race detector looks at it.
func TestTheEndOfFollowingBesideALook(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			time.Sleep(3 * time.Millisecond)
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"status": 403, "detail": "no more"}`)
			return
		}
		_, _ = io.WriteString(w, `{"id": 1, "host": "loki", "state": "running"}`)
	}))
	defer srv.Close()
	cl := must[*web.Client](t)(web.NewRemoteClient(srv.URL, "x"))
	for range 50 {
		if r, err := watch(t.Context(), cl, 1, 0, ticking{}); r.Host != "loki" || !isVerdict(err) {
			t.Fatalf("watch = %+v, %v", r, err)
		}
	}
}
