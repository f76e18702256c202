package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// newPlainSite is a server with nothing but people: alice may run commands, victor may look.
func newPlainSite(t *testing.T, extra string) (s *apiSite, stop func()) {
	t.Helper()
	s = &apiSite{conf: filepath.Join(t.TempDir(), "jarvis.yaml")}
	text := "data: ./data\nlisten: 127.0.0.1:0\npeople:\n  - {name: alice, roles: [deploy, run]}\n  - {name: victor, roles: [view]}\n" + extra
	if err := os.WriteFile(s.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, log := serveInProcess(t, s.conf)
	m := regexp.MustCompile(`the API is served" address=(\S+)`).FindStringSubmatch(log.String())
	if m == nil {
		t.Fatal(log)
	}
	s.url = "http://" + m[1]
	s.token = s.newToken(t, "alice")
	return s, stop
}

// begin sends the head of a request and what body there is, and gives the answer that comes without the rest.
func (s *apiSite) begin(t *testing.T, head, token, body string) (int, string) {
	t.Helper()
	c := must[net.Conn](t)(net.Dial("tcp", strings.TrimPrefix(s.url, "http://")))
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 3000000000\r\n\r\n%s", head, token, body); err != nil {
		t.Error(err)
		return 0, ""
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err.Error()
	}
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// The attack: a token that may only look sends three gigabytes without a line's end to exec, which read the line before
// it looked at the role. Who may not is refused now before a byte is read, and who may has a bound.
func TestNothingIsReadForWhoMayNot(t *testing.T) {
	t.Parallel()
	s, _ := newPlainSite(t, "")
	victor := s.newToken(t, "victor")
	for _, c := range []struct {
		name, head, token, body string
		code                    int
		want                    string
	}{
		{"exec, without the role", "POST /v1/exec", victor, "a", 403, "needs the role"},
		{"exec, a line of two megabytes", "POST /v1/exec", s.token, strings.Repeat("a", 2<<20), 413, "the first line has more than 1 MiB"},
		{"an operation, without the role", "POST /v1/deploy", victor, "a", 403, "needs the role"},
		{"an operation, three gigabytes", "POST /v1/deploy", s.token, "a", 413, "more than 1 MiB"},
		{"the command line's operation", "POST /v1/command", s.token, "a", 413, "more than 1 MiB"},
		{"Alf's host, without the role", "POST /alf/host", victor, "a", 403, "needs the role"},
		{"Alf's host, three gigabytes", "POST /alf/host", s.token, "a", 413, "more than 1 MiB"},
		{"a token that is none", "POST /v1/exec", "jarvis_guess", "a", 401, "not known"},
		{"a webhook, and nobody has a secret", "POST /hooks/git", "", "a", 404, "nothing at /hooks/git"},
	} {
		if code, text := s.begin(t, c.head, c.token, c.body); code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %.200s; want %d %s", c.name, code, text, c.code, c.want)
		}
	}
	for who, want := range map[string]int{"victor": 1, "alice": 1} {
		if n := s.count(t, "SELECT count(*) FROM audit WHERE line = 'exec' AND who = '"+who+"'"); n != want {
			t.Errorf("%d refusals of %s at exec are on record, want %d", n, who, want)
		}
	}
}

// The attack: guess tokens from an address that others share, until the good token there is "too fast" as well. And
// fill the record with it.
func TestGuessesDoNotLockAGoodTokenOut(t *testing.T) {
	t.Parallel()
	s, stop := newPlainSite(t, "")
	slowed := 0
	for i := range 100 {
		if code, _, _ := s.call(t, "GET", "/v1/runs", fmt.Sprintf("jarvis_guess%d", i), ""); code == http.StatusTooManyRequests {
			slowed++
		}
	}
	if slowed < 50 {
		t.Errorf("only %d of 100 guesses were slowed down", slowed)
	}
	if code, _, body := s.call(t, "GET", "/v1/whoami", s.token, ""); code != http.StatusOK {
		t.Errorf("the good token is answered with %d %s", code, body)
	}
	stop()
	if n := s.count(t, "SELECT count(*) FROM audit WHERE who = 'stranger 127.0.0.1'"); n != 2 {
		t.Errorf("%d rows for 100 guesses", n)
	}
	if n := s.count(t, "SELECT count(*) FROM audit WHERE outcome LIKE 'this token is not known here, 99 times more within %'"); n != 1 {
		t.Error("their sum is not on record")
	}
}

// The attack: who may look opens a thousand streams of events, each of which asks the record at every change.
func TestStreamsOfOnePersonAreBounded(t *testing.T) {
	t.Parallel()
	s, _ := newPlainSite(t, "")
	open := func(token string) int {
		req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/events", nil))
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", "text/event-stream")
		res := must[*http.Response](t)((&http.Transport{DisableKeepAlives: true}).RoundTrip(req))
		t.Cleanup(func() { _ = res.Body.Close() })
		return res.StatusCode
	}
	victor := s.newToken(t, "victor")
	for i := range 16 {
		if code := open(victor); code != http.StatusOK {
			t.Fatalf("stream %d = %d", i+1, code)
		}
	}
	if code := open(victor); code != http.StatusServiceUnavailable {
		t.Errorf("the seventeenth = %d", code)
	}
	if code := open(s.token); code != http.StatusOK {
		t.Errorf("another person's first = %d", code)
	}
	if code, _, _ := s.call(t, "GET", "/v1/whoami", victor, ""); code != http.StatusOK {
		t.Errorf("and what he asks besides = %d", code)
	}
}

// The attack: call oneself somebody else. Behind a proxy that is trusted, the address that it wrote itself is on
// record.
func TestTheRecordHasTheClientBehindAProxy(t *testing.T) {
	t.Parallel()
	for extra, want := range map[string]string{"": "stranger 127.0.0.1", "http: {trusted_proxies: [127.0.0.0/8]}\n": "stranger 203.0.113.9"} {
		s, _ := newPlainSite(t, extra)
		s.call(t, "GET", "/v1/runs", "jarvis_guess", "", "X-Forwarded-For", "1.1.1.1, 203.0.113.9")
		if n := s.count(t, "SELECT count(*) FROM audit WHERE who = '"+want+"' AND via = 'api/"+strings.TrimPrefix(want, "stranger ")+"'"); n != 1 {
			t.Errorf("with %q, %q is not on record", extra, want)
		}
	}
}

// What is for everybody is worked out once for many: its cost for us is that of sending it.
func TestWhatIsForEverybodyIsCheap(t *testing.T) {
	t.Parallel()
	s, _ := newPlainSite(t, "")
	first := map[string]string{}
	for _, path := range []string{"/openapi.json", "/openapi.yaml", "/openapi-3.0.json", "/readyz", "/metrics", "/healthz"} {
		_, _, first[path] = s.call(t, "GET", path, "", "", "Accept-Encoding", "gzip")
		if first[path] == "" {
			t.Errorf("%s is empty", path)
		}
	}
	// Connections are kept, as by any client that asks often: the door bounds how many come from one address.
	keeps := &http.Transport{MaxIdleConnsPerHost: 100}
	defer keeps.CloseIdleConnections()
	client := &http.Client{Transport: keeps}
	began := time.Now()
	var wg sync.WaitGroup
	for path, want := range first {
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range 25 {
					res, err := client.Get(s.url + path)
					if err != nil {
						t.Error(err)
						return
					}
					b, _ := io.ReadAll(res.Body)
					_ = res.Body.Close()
					if res.StatusCode != http.StatusOK || path != "/metrics" && string(b) != want {
						t.Errorf("%s = %s, %d bytes of %d", path, res.Status, len(b), len(want))
					}
				}
			}()
		}
	}
	wg.Wait()
	t.Logf("1200 answers in %s", time.Since(began).Round(time.Millisecond))
	for _, key := range []string{"x", strings.Repeat("x", 22), strings.Repeat("x", 5000)} {
		if code, _, _ := s.call(t, "GET", "/p/"+key, "", ""); code != http.StatusNotFound {
			t.Errorf("the page %.30s = %d", key, code)
		}
	}
}
