package web

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/jarvisops/jarvis/store"
)

// What is served to everybody is worked out once for many.

// fresh is how long an answer to everybody is good for.
const fresh = time.Second

// hookPatience is how long a webhook may take to send its body: git servers themselves give up after 10 seconds.
const hookPatience = 10 * time.Second

// described is one form of the description of the API. It is made at the first request and kept.
type described struct {
	ctype string
	text  func() ([]byte, error)
}

// describe works the text out at the first request.
func describe(form string, text func() ([]byte, error)) *described {
	return &described{"application/openapi+" + form, sync.OnceValues(text)}
}

// ServeHTTP is http.Handler.
func (d *described) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	b, err := d.text()
	if err != nil {
		http.Error(w, "something broke on my side", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", d.ctype)
	_, _ = w.Write(b)
}

// readiness asks whether the database takes writes, at most once for each time that an answer is fresh.
func (s *Server) readiness() http.Handler {
	ask := once(func() (struct{}, error) {
		if s.Healthy == nil {
			return struct{}{}, nil
		}
		err := s.Healthy(context.Background()) // it bounds itself
		if err != nil {
			s.Log.Error("not ready", "err", err)
		}
		return struct{}{}, err
	})
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := ask(); err != nil {
			http.Error(w, notReady(err), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
}

// notReady gives one sentence, without the paths of this machine.
func notReady(err error) string {
	var t *store.Trouble
	if errors.As(err, &t) {
		return t.What
	}
	return "the database takes no writes"
}

// gatherOnce collects for all who scrape within a moment.
func gatherOnce(g prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(once(g.Gather))
}

// once gives what f gave last while that is fresh. Who comes meanwhile waits for the same answer.
func once[T any](f func() (T, error)) func() (T, error) {
	var mu sync.Mutex
	var at time.Time
	var v T
	var err error
	return func() (T, error) {
		mu.Lock()
		defer mu.Unlock()
		if at.IsZero() || time.Since(at) >= fresh {
			v, err = f()
			at = time.Now()
		}
		return v, err
	}
}

// shared serves as many at a time as there are seats, in all and for one place.
func (s *Server) shared(seats *seats, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, ok := seats.take(place(s.proxies.client(r)))
		if !ok {
			s.problem(w, r, busy("too many ask for this at once"))
			return
		}
		defer leave()
		next.ServeHTTP(w, r)
	})
}
