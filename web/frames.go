package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/guard"
)

// What exec and files have in common: who may, what goes on record, a first line that says what is wanted, and an
// answer of frames that comes while the rest of the request is still read.

// recorder puts on record what somebody asks for, when it begins, and what became of it.
type recorder struct {
	c     caller
	line  string
	table *command.Table
	ctx   context.Context // of the request, which does not end when the caller goes away
	begun string          // the name of what has begun; "": nothing has, or it has ended
}

func (r *recorder) row(outcome string) access.Record {
	return access.Record{Who: who(r.c), Via: r.c.via, Line: r.line, Outcome: outcome}
}

// begin says that the work begins. Its end is on record too, whatever becomes of this server.
func (r *recorder) begin() { r.begun = r.table.RecordBegin(r.ctx, r.row("")) }

// add says what became of it.
func (r *recorder) add(outcome string) {
	if name := r.begun; name != "" {
		r.begun = ""
		r.table.RecordEnd(r.ctx, name, r.row(outcome))
		return
	}
	r.table.Record(r.ctx, r.row(outcome))
}

// workEnd is how work on hosts ended.
type workEnd struct {
	err     error // of fleet.Work
	refused error // the work was asked for what it does not do
	cut     bool  // in the middle of the work, with the request
	failed  int   // hosts
	all     int
}

// ended puts on record how work on hosts ended. It is one for exec and for files.
func (r *recorder) ended(ctx context.Context, e workEnd) {
	switch {
	case e.err != nil && ctx.Err() != nil:
		r.add("broken off by the caller before it began")
	case e.err != nil:
		r.add(e.err.Error())
	case e.refused != nil:
		r.add(e.refused.Error())
	case e.cut:
		r.add("broken off by the caller")
	case e.failed > 0:
		r.add(fmt.Sprintf("failed on %d of %d hosts", e.failed, e.all))
	default:
		r.add("ok")
	}
}

// admit lets in who may run commands on hosts, and is not too fast; nil: they have got their answer. Nothing of the
// body is read before that, so the record names the request by what alone.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, what, needs string) *recorder {
	c := callerOf(r.Context())
	ctx := context.WithoutCancel(r.Context())
	rec := &recorder{c: c, line: what, table: s.Table, ctx: ctx}
	if !c.person.Has(access.Run) {
		rec.add("needs the role \"run\"")
		s.problem(w, r, problemOf(&command.UserError{Msg: fmt.Sprintf("%s the role %q, which %s does not have", needs, access.Run, who(c)), Kind: command.ErrDenied}))
		return nil
	}
	if !c.free {
		if wait := s.Limiter.Take(c.person.Name); wait > 0 {
			rec.add("too fast")
			s.problem(w, r, tooFast(wait))
			return nil
		}
	}
	return rec
}

// turnDown answers with an error, and puts it on record.
func (s *Server) turnDown(w http.ResponseWriter, r *http.Request, rec *recorder, err error) {
	said := err.Error()
	if r.Context().Err() != nil {
		said = "broken off by the caller before it began"
	}
	rec.add(said)
	s.problem(w, r, problemOf(err))
}

// hostsOf finds the hosts that somebody names.
func (s *Server) hostsOf(ctx context.Context, c caller, list []ExecHost) ([]fleet.Host, error) {
	if c.via != viaSocket {
		// From elsewhere the server goes to hosts of its record only: nobody sends it, and its key, to an address of
		// their choice.
		for i := range list {
			list[i].Addr, list[i].Keys = "", nil
		}
	}
	for _, h := range list {
		if strings.ContainsFunc(h.Name+h.Addr, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
			return nil, &command.UserError{Msg: fmt.Sprintf("%q is no name of a host", h.Name), Kind: command.ErrUsage}
		}
	}
	hosts, err := s.Hosts(ctx, list)
	for i := range list {
		if slices.ContainsFunc(hosts, func(h fleet.Host) bool {
			return (h.Name == list[i].Name || h.FQDN == list[i].Name) && h.Target.Addr != list[i].Addr
		}) {
			list[i].Addr = "" // the record knows better
		}
	}
	return hosts, err
}

// namesOf gives hosts as they go on record, and the addresses that the caller says: what they call such a host is no
// proof of anything.
func namesOf(list []ExecHost) string {
	var names, at []string
	for _, h := range list {
		names = append(names, h.Name)
		if addr := strings.TrimSuffix(h.Addr, ":22"); addr != "" && !strings.Contains(h.Name, addr) {
			at = append(at, addr)
		}
	}
	if len(at) == 0 {
		return fleet.Fold(names)
	}
	return fleet.Fold(names) + " (" + fleet.Fold(at) + ")"
}

// readHead reads the first line of the body into v, and gives what follows it. The error is a *Problem.
func readHead(body io.Reader, what string, v any) (*bufio.Reader, error) {
	bad := &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: "the first line is not JSON with " + what}
	guarded, ok := body.(*intake)
	if !ok {
		return nil, bad
	}
	in := bufio.NewReader(body)
	guarded.declared, guarded.limit = -1, int64(maxBody+in.Size()) // the bound is the line's; after it comes a stream
	size := 0
	for {
		part, err := in.ReadSlice('\n')
		if size += len(part); size > maxBody {
			return nil, &Problem{Status: http.StatusRequestEntityTooLarge, Kind: "usage", Detail: "the first line has more than " + bytesText(maxBody), Hint: "name fewer hosts at once; what a command reads comes after the line"}
		}
		if err := guarded.add(part); err != nil {
			return nil, err
		}
		var p *Problem
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.As(err, &p):
			return nil, p
		case err != nil && !errors.Is(err, io.EOF):
			return nil, &Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: "the request broke off in its first line"}
		}
		break
	}
	if p := readStrict(bytes.Join(guarded.parts, nil), v, bad); p != nil {
		return nil, p
	}
	return in, nil
}

// frames is an answer of frames, while what is read goes on.
type frames struct {
	w      http.ResponseWriter
	ctl    *http.ResponseController
	cancel func() // nobody listens

	mu    sync.Mutex
	dirty bool

	ended, flushed chan struct{}
}

// flushEvery is how late a line may be.
const flushEvery = 5 * time.Millisecond

// beginFrames begins the answer, and lifts the bounds of the request: whoever reads it makes the sender wait. Close it.
func (s *Server) beginFrames(w http.ResponseWriter, r *http.Request, cancel func()) *frames {
	f := &frames{w: w, ctl: http.NewResponseController(w), cancel: cancel, ended: make(chan struct{}), flushed: make(chan struct{})}
	_ = f.ctl.EnableFullDuplex() // HTTP/2 is so anyway
	if body, ok := r.Body.(*intake); ok {
		body.stream()
	}
	patient(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	f.dirty = true
	// Not every line goes out by itself: many hosts say many.
	guard.Go(guard.Log(s.Log, "flush the output of commands"), func() {
		defer close(f.flushed)
		t := time.NewTicker(flushEvery)
		defer t.Stop()
		for {
			select {
			case <-f.ended:
				return
			case <-t.C:
			}
			f.mu.Lock()
			if f.dirty && f.ctl.Flush() != nil {
				f.cancel()
			}
			f.dirty = false
			f.mu.Unlock()
		}
	})
	return f
}

// emit writes a frame, and the bytes that it announces.
func (f *frames) emit(v any, bytes []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = true
	err := contract.Write(f.w, v)
	if err == nil && len(bytes) > 0 {
		_, err = f.w.Write(bytes)
	}
	if err != nil {
		f.cancel() // what runs ends
	}
	return err
}

// close waits for the last flush: nothing may touch the answer after the handler has returned.
func (f *frames) close() {
	close(f.ended)
	<-f.flushed
}
