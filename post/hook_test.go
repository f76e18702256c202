package post_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/post"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// TestASignatureIsThatOfTheStandard: the example of Standard Webhooks' own libraries, so that they can verify ours.
func TestASignatureIsThatOfTheStandard(t *testing.T) {
	type got struct {
		head http.Header
		body string
	}
	said := make(chan got, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		said <- got{r.Header, string(b)}
	}))
	defer s.Close()
	h, err := post.NewHook(s.URL, hookSecret, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Send(t.Context(), post.Message{ID: "msg_1", Body: []byte(`{"test": 2432232314}`)}); err != nil {
		t.Fatal(err)
	}
	x := <-said
	if x.head.Get(post.HeaderID) != "msg_1" || x.body != `{"test": 2432232314}` {
		t.Errorf("it was sent %v %s", x.head, x.body)
	}
	key := []byte("\x31\xf2\x90\xf6\xbf\x06\x29\x8a\xab\x4f\x08\xd4\x3c\x3f\x08\x2c\xf6\x48\xa3\x62\xda\x2d\xa4\xb0")
	if want := post.Signature(key, "msg_1", x.head.Get(post.HeaderTimestamp), []byte(x.body)); x.head.Get(post.HeaderSignature) != want {
		t.Errorf("signed %q, want %q", x.head.Get(post.HeaderSignature), want)
	}
	const published = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got := post.Signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != published {
		t.Errorf("Signature = %s, want %s", got, published)
	}
}

// TestWhatAReceiverDoes: each failure is told for what it is, and never with the URL.
func TestWhatAReceiverDoes(t *testing.T) {
	var followed atomic.Bool
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			w.WriteHeader(http.StatusAccepted)
		case "/500":
			w.WriteHeader(http.StatusInternalServerError)
		case "/422":
			w.WriteHeader(http.StatusUnprocessableEntity)
		case "/401":
			w.WriteHeader(http.StatusUnauthorized)
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case "/elsewhere":
			followed.Store(true)
		case "/hang":
			<-hang
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/long":
			_, _ = io.Copy(w, io.LimitReader(endless{}, 1<<30))
		}
	}))
	defer s.Close()
	defer close(hang)
	for _, c := range []struct {
		path, want string
		refused    bool
	}{
		{"/ok", "", false},
		{"/long", "", false},
		{"/500", "the webhook answered 500", false},
		{"/401", "the webhook answered 401", false},
		{"/422", "the webhook answered 422", true},
		{"/redirect", "the webhook answered 307", false},
		{"/hang", "no answer in time", false},
		{"/cut", "it closed the connection", false},
	} {
		h, err := post.NewHook(s.URL+c.path+"?token=hunter22", "", "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err = h.Send(ctx, post.Message{ID: "1", Body: []byte("{}")})
		cancel()
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		case errors.Is(err, post.ErrRefused) != c.refused:
			t.Errorf("%s: refused alone: %v", c.path, !c.refused)
		case err != nil && strings.Contains(err.Error(), "hunter22"):
			t.Errorf("%s: the error tells the URL: %v", c.path, err)
		}
	}
	if followed.Load() {
		t.Error("it followed a redirect, with what was signed for another")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestAReceiverIsWhoItSays: a certificate of nobody whom we trust is refused.
func TestAReceiverIsWhoItSays(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	send := func(ca string, secret clipboard.Secret) error {
		h, err := post.NewHook(s.URL, secret, ca)
		if err != nil {
			t.Fatal(err)
		}
		return h.Send(t.Context(), post.Message{ID: "1", Body: []byte("{}")})
	}
	if err := send("", hookSecret); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a stranger was told: %v", err)
	}
	if err := send(ca, hookSecret); err != nil {
		t.Error(err)
	}
}
