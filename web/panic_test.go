package web

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// served gives a server whose /hooks/git is a handler of the test.
func served(t *testing.T, hook http.HandlerFunc) (*httptest.Server, *Metrics) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	e, err := pipeline.New(t.Context(), pipeline.Config{DB: db, Registry: pipeline.NewRegistry(), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	acc, err := access.New(t.Context(), nil, db)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMetrics(e, "v1", slog.New(slog.DiscardHandler))
	s, err := New(Config{Table: command.NewTable(&command.Env{Name: "jarvis", Engine: e, Access: acc}), Engine: e, Access: acc, Metrics: m, Hook: hook})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.handler)
	t.Cleanup(srv.Close)
	return srv, m
}

func post(t *testing.T, url string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res, b, err
}

// TestARequestThatPanicsIsAProblem: net/http would cut the connection, and nobody would know why.
func TestARequestThatPanicsIsAProblem(t *testing.T) {
	srv, m := served(t, func(http.ResponseWriter, *http.Request) { panic("boom") })
	before := guard.Panics()
	res, b, err := post(t, srv.URL+"/hooks/git")
	if err != nil {
		t.Fatal(err)
	}
	var p Problem
	if err := json.Unmarshal(b, &p); err != nil || res.StatusCode != 500 || p.Kind != "failed" || !strings.Contains(p.Detail, "a bug of mine") || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %s: %s", res.Status, res.Header.Get("Content-Type"), b)
	}
	if n := guard.Panics(); n != before+1 {
		t.Errorf("%d panics are counted", n-before)
	}
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := -1.0
	for _, f := range families {
		if f.GetName() == "jarvis_panics_total" {
			counted = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if counted != float64(guard.Panics()) {
		t.Errorf("jarvis_panics_total is %v", counted)
	}
	m.Gauge("jarvis_broken", "A gauge with a bug.", nil, func() float64 { panic("boom") })
	if _, err := m.reg.Gather(); err != nil { // in goroutines of Prometheus's
		t.Error(err)
	}
}

// TestAHalfAnswerIsBrokenOff: what has begun must not look whole.
func TestAHalfAnswerIsBrokenOff(t *testing.T) {
	srv, _ := served(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic("boom")
	})
	if _, b, err := post(t, srv.URL+"/hooks/git"); err == nil {
		t.Errorf("the answer looked whole: %q", b)
	}
}

// TestAbortIsNoBug: net/http's own way to break an answer off passes, and counts for nothing.
func TestAbortIsNoBug(t *testing.T) {
	srv, _ := served(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	before := guard.Panics()
	if res, b, err := post(t, srv.URL+"/hooks/git"); err == nil {
		t.Errorf("%s %q", res.Status, b)
	}
	if guard.Panics() != before {
		t.Error("it was counted as a bug")
	}
}
