package pages

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/guard"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The fault: a bug on what a provider says left who waited with no answer and no error, and nobody asked it again.
func TestABugOnWhatTheProviderSays(t *testing.T) {
	var idp *httptest.Server
	idp = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.ReplaceAll(`{"issuer":"URL","authorization_endpoint":"URL/a","token_endpoint":"URL/t","jwks_uri":"URL/k","id_token_signing_alg_values_supported":["RS256"]}`, "URL", idp.URL)))
	}))
	defer idp.Close()
	var log bytes.Buffer
	c := newCompany(&access.OIDC{Issuer: idp.URL}, slog.New(slog.NewTextHandler(&log, nil)))
	wire, bug := c.http.Transport, true
	c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if bug {
			panic("boom")
		}
		return wire.RoundTrip(r)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	d, err := c.described(ctx, fresh)
	if d != nil || !errors.As(err, new(*guard.Panic)) {
		t.Errorf("who asked first gets %v, %v", d, err)
	}
	if c.trouble() == nil {
		t.Error("the page says that it answers")
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "boom") {
		t.Errorf("the log has %d lines: %s", n, log.String())
	}
	bug = false
	c.mu.Lock()
	c.asked = c.asked.Add(-time.Hour)
	c.mu.Unlock()
	if d, err := c.described(ctx, fresh); d == nil || err != nil {
		t.Errorf("who asks later gets %v, %v", d, err)
	}
}
