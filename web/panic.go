package web

import (
	"errors"
	"net/http"

	"github.com/jarvisops/jarvis/internal/guard"
)

// guarded answers a request on which a handler panicked. Where the answer has begun it is broken off, so that nobody
// takes a part for the whole.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := &begunWriter{ResponseWriter: w}
		err := guard.CallBut(http.ErrAbortHandler, func() error { next.ServeHTTP(begun, r); return nil })
		var p *guard.Panic
		if !errors.As(err, &p) {
			return
		}
		guard.Log(s.Log, "answer a request", "method", r.Method, "path", r.URL.Path)(p)
		if begun.yes {
			panic(http.ErrAbortHandler) // net/http closes the connection, and says nothing
		}
		s.problem(w, r, &Problem{Status: http.StatusInternalServerError, Kind: "failed", Detail: "this is a bug of mine, and it is in my log", Hint: "nothing else is harmed"})
	})
}

// begunWriter notes whether an answer has begun. http.ResponseController finds what it wraps by Unwrap.
type begunWriter struct {
	http.ResponseWriter
	yes bool
}

func (b *begunWriter) WriteHeader(status int) {
	b.yes = b.yes || status >= http.StatusOK
	b.ResponseWriter.WriteHeader(status)
}

func (b *begunWriter) Write(p []byte) (int, error) {
	b.yes = true
	return b.ResponseWriter.Write(p)
}

// Flush is for those who ask for an http.Flusher.
func (b *begunWriter) Flush() {
	b.yes = true
	_ = http.NewResponseController(b.ResponseWriter).Flush()
}

// Unwrap gives the writer below.
func (b *begunWriter) Unwrap() http.ResponseWriter { return b.ResponseWriter }
