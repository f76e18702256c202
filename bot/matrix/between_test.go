package matrix_test

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jarvisops/jarvis/bot/matrix"
	"github.com/jarvisops/jarvis/lab/real"
)

// between is a proxy in front of the homeserver that plays what happens on the way.
type between struct {
	*httptest.Server
	mu    sync.Mutex
	play  func(w http.ResponseWriter, r *http.Request, next http.Handler) bool // true: it has answered
	count map[string]int                                                       // requests by the last part of their path
}

func (b *between) set(play func(w http.ResponseWriter, r *http.Request, next http.Handler) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.play = play
}

func (b *between) requests(part string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count[part]
}

// proxy puts one between, and a config that goes through it.
func proxy(t *testing.T, s *real.Dendrite) (*between, matrix.Config) {
	t.Helper()
	u := must(url.Parse(s.Plain))(t)
	next := httputil.NewSingleHostReverseProxy(u)
	own := &http.Transport{}
	next.Transport, next.ErrorLog = own, log.New(io.Discard, "", 0) // clients that leave are no news
	b := &between{count: map[string]int{}}
	b.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		play := b.play
		b.count[filepath.Base(r.URL.Path)]++
		if strings.Contains(r.URL.Path, "/send/") {
			b.count["send"]++
		}
		b.mu.Unlock()
		if play == nil || !play(w, r, next) {
			next.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() { b.CloseClientConnections(); b.Close(); own.CloseIdleConnections() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, s)
	cfg.Homeserver, cfg.CA = b.URL, ca
	return b, cfg
}

// drop ends a connection in the middle of an answer.
func drop() { panic(http.ErrAbortHandler) }

func isSend(r *http.Request) bool { return strings.Contains(r.URL.Path, "/send/m.room.message/") }
func isSync(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/sync") }
