package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/jarvisops/jarvis/access"
)

// maxBody bounds what an operation reads, and the first line of exec.
const maxBody = 1 << 20

// strangerBody bounds what is read of somebody known who has no role at all: enough for `whoami` and `help`.
const strangerBody = 4 << 10

// A sender has firstBytes to begin, and a second more for every minRate bytes that came.
const (
	firstBytes = 10 * time.Second
	minRate    = 64 << 10
)

// lastBytes is how long the rest of a body that nobody wants is waited for, so that the sender sees the answer
// instead of a reset.
const lastBytes = time.Second

// writeWithin is how long one write of an answer may wait for its reader.
const writeWithin = 30 * time.Second

// intake is the only way to a request's body. The outermost handler puts it in place before any other sees the
// request, so nothing can be read without a bound in bytes and time. It never reads ahead: what a handler refuses
// before its first Read stays with the sender.
type intake struct {
	body     io.Reader
	ctl      *http.ResponseController
	declared int64 // Content-Length; -1: not said
	limit    int64
	patience time.Duration // until the first bytes
	streams  bool          // unbounded: the command of exec reads, or makes the sender wait
	ended    atomic.Bool   // everything was read, or there was nothing

	kept  *budget
	who   string   // whose memory it counts as; "": nobody counts it
	parts [][]byte // what is kept until the answer is out

	began time.Time
	n     int64
	err   error
}

// Read gives the next bytes. What is too long, too slow or too much is a *Problem.
func (in *intake) Read(p []byte) (int, error) {
	if in.streams {
		n, err := in.body.Read(p)
		if errors.Is(err, io.EOF) {
			in.ended.Store(true)
		}
		return n, err
	}
	if in.err != nil {
		return 0, in.err
	}
	if in.declared > in.limit {
		in.err = tooLong(in.limit)
		return 0, in.err
	}
	if in.began.IsZero() {
		in.began = time.Now()
	}
	_ = in.ctl.SetReadDeadline(in.began.Add(in.patience + time.Duration(in.n)*time.Second/minRate))
	if room := in.limit - in.n + 1; int64(len(p)) > room { // one byte more tells what is too long
		p = p[:room]
	}
	n, err := in.body.Read(p)
	in.n += int64(n)
	switch {
	case in.n > in.limit:
		n, err = n-1, tooLong(in.limit)
	case errors.Is(err, io.EOF):
		in.ended.Store(true)
		_ = in.ctl.SetReadDeadline(time.Time{}) // else the connection ends with it, in the middle of a long answer
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = &Problem{Status: http.StatusRequestTimeout, Kind: "failed", Detail: "the request came too slowly", Hint: "send it again over a faster line"}
	}
	in.err = err
	return n, err
}

// Close is io.Closer; the server closes what is below.
func (in *intake) Close() error { return nil }

// stream lifts all bounds, for what is not kept: from here on the reader's pace is the sender's.
func (in *intake) stream() {
	in.streams = true
	_ = in.ctl.SetReadDeadline(time.Time{})
}

// room gives the free end of the last part, or a new part. A *Problem when there is no more memory for them.
func (in *intake) room() ([]byte, error) {
	if n := len(in.parts); n > 0 {
		if last := in.parts[n-1]; len(last) < cap(last) {
			return last[len(last):cap(last)], nil
		}
	}
	part, ok := in.kept.take(in.who)
	if !ok {
		return nil, busy("I hold as much of your requests in memory as I may")
	}
	in.parts = append(in.parts, part)
	return part[:cap(part)], nil
}

// filled says that n bytes of the room are used.
func (in *intake) filled(n int) {
	last := &in.parts[len(in.parts)-1]
	*last = (*last)[:len(*last)+n]
}

// add keeps a copy of b.
func (in *intake) add(b []byte) error {
	for len(b) > 0 {
		room, err := in.room()
		if err != nil {
			return err
		}
		n := copy(room, b)
		in.filled(n)
		b = b[n:]
	}
	return nil
}

func tooLong(limit int64) *Problem {
	return &Problem{Status: http.StatusRequestEntityTooLarge, Kind: "usage", Detail: "the request has more than " + bytesText(limit)}
}

// busy is an answer to somebody who takes more than their share; it says nothing about the request.
func busy(why string) *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, Kind: "toofast", Detail: why, Hint: "try again a moment later", wait: time.Second}
}

// whole reads a body to its end. The error is a *Problem.
func whole(r io.Reader) ([]byte, error) {
	in, ok := r.(*intake)
	if !ok {
		return nil, nil // http.NoBody
	}
	for {
		room, err := in.room()
		if err != nil {
			return nil, err
		}
		n, err := in.Read(room)
		in.filled(n)
		switch {
		case errors.Is(err, io.EOF):
			return bytes.Join(in.parts, nil), nil
		case err != nil:
			var p *Problem
			if errors.As(err, &p) {
				return nil, p
			}
			return nil, &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: "the request broke off"}
		}
	}
}

// early refuses before a body is read who is too fast in any case.
func (s *Server) early(ctx context.Context, c caller, line string) error {
	if c.free {
		return nil
	}
	wait := s.Limiter.Peek(c.person.Name)
	if wait <= 0 {
		return nil
	}
	s.Table.Record(ctx, access.Record{Who: who(c), Via: c.via, Line: line, Outcome: "that is too fast for me"})
	return tooFast(wait)
}

// readFirst reads the body before the handler does, in our way instead of its own.
func (s *Server) readFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := s.early(r.Context(), callerOf(r.Context()), "POST "+r.URL.Path)
		var b []byte
		if err == nil {
			b, err = whole(r.Body)
		}
		if err != nil {
			s.problem(w, r, problemOf(err))
			return
		}
		own := r.WithContext(r.Context())
		own.Body = io.NopCloser(bytes.NewReader(b))
		next.ServeHTTP(w, own)
	})
}

// guard is the outermost handler: it puts intake and answer in the place of what the server gives.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctl := http.NewResponseController(w)
		in := &intake{body: r.Body, ctl: ctl, declared: r.ContentLength, limit: maxBody, patience: firstBytes, kept: s.kept}
		defer func() { in.kept.give(in.who, in.parts) }()
		own := r.WithContext(r.Context()) // the server looks at its own request afterwards
		if r.Body == nil || r.Body == http.NoBody {
			in.ended.Store(true)
		} else {
			own.Body = in
		}
		a := &answer{ResponseWriter: w, ctl: ctl, in: in, one: r.ProtoMajor == 1}
		if a.one {
			_ = ctl.SetWriteDeadline(time.Time{}) // of the request before this one
		}
		next.ServeHTTP(a, own)
		if !in.ended.Load() && a.one {
			a.begin()
			_ = ctl.SetReadDeadline(time.Now().Add(lastBytes))
		}
	})
}

// bounded gives a route a bound of its own.
func bounded(limit int64, patience time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if in, ok := r.Body.(*intake); ok {
			in.limit, in.patience = limit, patience
		}
		next.ServeHTTP(w, r)
	})
}

// answer is a ResponseWriter whose reader cannot make it wait for ever, and that closes a connection with an unread
// body instead of reading the body first, as net/http would.
type answer struct {
	http.ResponseWriter
	ctl   *http.ResponseController
	in    *intake
	one   bool // HTTP/1
	begun bool
	waits bool // as long as it takes: exec
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// begin has HTTP/1 close the connection when the body was not read.
func (a *answer) begin() {
	if a.begun {
		return
	}
	a.begun = true
	if a.one && !a.in.ended.Load() { // what is left of it must never be taken for the next request
		a.Header().Set("Connection", "close")
	}
}

// hurry bounds the next write: who does not read is not waited for.
func (a *answer) hurry() {
	if !a.waits {
		_ = a.ctl.SetWriteDeadline(time.Now().Add(writeWithin))
	}
}

// WriteHeader is http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.begin()
	a.hurry()
	a.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.begin()
	a.hurry()
	return a.ResponseWriter.Write(b)
}

// Flush is http.Flusher.
func (a *answer) Flush() {
	a.begin()
	a.hurry()
	_ = a.ctl.Flush()
}

// patient lets an answer wait for its reader, as a command's output does.
func patient(w http.ResponseWriter) {
	if a, ok := w.(*answer); ok {
		a.waits = true
		_ = a.ctl.SetWriteDeadline(time.Time{})
	}
}
