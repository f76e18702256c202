package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// guarded serves a handler behind the guard.
func guarded(t *testing.T, h http.HandlerFunc) (*Server, string) {
	t.Helper()
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.guard(h))
	t.Cleanup(srv.Close)
	return s, srv.Listener.Addr().String()
}

// speak sends raw text and gives the connection.
func speak(t *testing.T, addr, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func readWhole(w http.ResponseWriter, r *http.Request) {
	b, err := whole(r.Body)
	var p *Problem
	if errors.As(err, &p) {
		http.Error(w, p.Detail, p.Status)
		return
	}
	_, _ = fmt.Fprintf(w, "%d bytes", len(b))
}

// The attack: say that a body has a gigabyte, or do not say it, and send.
func TestNoBodyIsLongerThanItsBound(t *testing.T) {
	_, addr := guarded(t, readWhole)
	for _, c := range []struct {
		name string
		body io.Reader
		code int
		want string
	}{
		{"none", nil, 200, "0 bytes"},
		{"a small one", strings.NewReader("abc"), 200, "3 bytes"},
		{"the longest", strings.NewReader(strings.Repeat("a", maxBody)), 200, "1048576 bytes"},
		{"the longest, in pieces", io.LimitReader(endless{}, maxBody), 200, "1048576 bytes"},
		{"a byte more", strings.NewReader(strings.Repeat("a", maxBody+1)), 413, "more than 1 MiB"},
		{"a byte more, in pieces", io.LimitReader(endless{}, maxBody+1), 413, "more than 1 MiB"},
		{"without an end", io.LimitReader(endless{}, 64<<20), 413, "more than 1 MiB"},
	} {
		res, err := http.Post("http://"+addr, "text/plain", c.body)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != c.code || !strings.Contains(string(b), c.want) {
			t.Errorf("%s: %d %s; want %d %s", c.name, res.StatusCode, b, c.code, c.want)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// The attack: begin a body, and send a byte now and then.
func TestASlowSenderIsCut(t *testing.T) {
	t.Parallel()
	s, addr := guarded(t, func(w http.ResponseWriter, r *http.Request) {
		bounded(maxBody, time.Second, http.HandlerFunc(readWhole)).ServeHTTP(w, r)
	})
	began := time.Now()
	c, in := speak(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			if _, err := c.Write([]byte("a")); err != nil {
				return
			}
		}
	}()
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusRequestTimeout || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %v %v", time.Since(began), res, err)
	}
	if b := s.kept; b.n != 0 {
		t.Errorf("%d parts are still kept", b.n)
	}
}

// The attack: a body that nobody wants, so slow that the answer, which is no, waits for it; and what is left of it
// looks like a request.
func TestARefusalDoesNotWaitForTheBody(t *testing.T) {
	asked := make(chan string, 10)
	_, addr := guarded(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		w.WriteHeader(http.StatusForbidden)
	})
	for _, length := range []string{"Content-Length: 1000", "Content-Length: 1000000000", "Transfer-Encoding: chunked"} {
		began := time.Now()
		c, in := speak(t, addr, "POST /one HTTP/1.1\r\nHost: x\r\n"+length+"\r\n\r\n")
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != http.StatusForbidden || !res.Close || time.Since(began) > 2*time.Second {
			t.Errorf("%s: after %s: %+v %v", length, time.Since(began), res, err)
		}
		_, _ = io.WriteString(c, "GET /two HTTP/1.1\r\nHost: x\r\n\r\n")
		if rest, _ := io.ReadAll(in); len(rest) > 0 {
			t.Errorf("%s: more than one answer: %q", length, rest)
		}
		if path := <-asked; path != "/one" || len(asked) > 0 {
			t.Errorf("%s: %s and %d more were asked for", length, path, len(asked))
		}
	}
}

// A body that was read leaves a connection that works, with no deadline of the body on the answer.
func TestAConnectionGoesOnAfterABody(t *testing.T) {
	t.Parallel()
	_, addr := guarded(t, func(w http.ResponseWriter, r *http.Request) {
		bounded(maxBody, 300*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := whole(r.Body)
			select {
			case <-r.Context().Done():
				err = r.Context().Err()
			case <-time.After(900 * time.Millisecond):
			}
			_, _ = fmt.Fprintf(w, "%v", err)
		})).ServeHTTP(w, r)
	})
	text := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
	c, in := speak(t, addr, text)
	for i := range 2 {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(res.Body); string(b) != "<nil>" || res.Close {
			t.Errorf("%d: %s %v", i, b, res.Close)
		}
		if i == 0 {
			_, _ = io.WriteString(c, text)
		}
	}
}

// A stream has no bound: what follows the first line of exec is as long and as slow as the person at the other end.
func TestAStreamHasNoBound(t *testing.T) {
	_, addr := guarded(t, func(w http.ResponseWriter, r *http.Request) {
		r.Body.(*intake).stream()
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d %v", n, err)
	})
	res, err := http.Post("http://"+addr, "text/plain", io.LimitReader(endless{}, 8<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if b, _ := io.ReadAll(res.Body); string(b) != "8388608 <nil>" {
		t.Errorf("%s", b)
	}
}
