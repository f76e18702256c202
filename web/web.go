// Package web is the way in for programs: the same verbs as in chat, over HTTP on the socket DATA/jarvis.sock, which
// only its owner can open. The command line is its client.
//
//	POST /v1/command          {"words": [...], "file": "..."}  ► {"lines": [...], "data": …, "run": …} or {"error", "hint", "kind"}
//	GET  /v1/runs/ID/events   one JSON event a line, from ?after=ID on, until the run needs nobody any more
//	GET  /v1/runs/ID          the run, its progress line and usual times
//	GET  /healthz             200 when the process answers
//
// Who asks is told by the kernel (SO_PEERCRED). The whole HTTP API with tokens comes with its own issue; it will
// stand on the same table.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of a Server. All but Log must be set.
type Config struct {
	Socket string // path of the Unix socket
	Table  *command.Table
	Engine *pipeline.Engine
	Access *access.Access
	Log    *slog.Logger
}

// Server serves the socket.
type Server struct{ Config }

// New gives a server; Run serves.
func New(c Config) *Server {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{c}
}

// CommandRequest is the body of POST /v1/command.
type CommandRequest struct {
	Words []string `json:"words"`
	File  []byte   `json:"file,omitempty"` // base64 in JSON
}

// ErrorBody is what a refused command answers.
type ErrorBody struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
	Kind  string `json:"kind"` // usage, denied, notfound, failed
}

// RunView is a run with what a progress view needs.
type RunView struct {
	pipeline.Run
	Line  string          `json:"line,omitempty"`
	Usual []time.Duration `json:"usual"` // by stage, 0 when unknown
	Total time.Duration   `json:"usual_total"`
}

type peerKey struct{}

// Run serves until ctx ends, then lets answers under way finish for a moment.
func (s *Server) Run(ctx context.Context) error {
	// The store's lock says that no other process serves this folder, so a socket that is there is a dead one's.
	if err := os.Remove(s.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old socket: %w", err)
	}
	old := unix.Umask(0o177)
	l, err := net.Listen("unix", s.Socket)
	unix.Umask(old)
	if err != nil {
		return fmt.Errorf("open the socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/command", s.command)
	mux.HandleFunc("GET /v1/runs/{id}", s.run)
	mux.HandleFunc("GET /v1/runs/{id}/events", s.events)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peer(c))
		}}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve the socket: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	err = srv.Shutdown(end)
	if err != nil {
		err = srv.Close()
	}
	<-done
	return err
}

// peer asks the kernel who opened the connection (unix(7), SO_PEERCRED); "" when it does not say.
func peer(c net.Conn) string {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return ""
	}
	name := ""
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return
		}
		name = strconv.Itoa(int(cred.Uid))
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
	})
	return name
}

// person gives who asks. Whoever runs the server, and root, may do everything: they could read the database, too.
func (s *Server) person(r *http.Request) (access.Person, string) {
	login, _ := r.Context().Value(peerKey{}).(string)
	if login == "" {
		return access.Person{}, "unknown"
	}
	if p := s.Access.Who(access.Identity{Network: "local", Account: login}); p.Name != "" {
		return p, login
	}
	me := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	if login == me || login == "root" {
		return access.Person{Name: login, Roles: []string{access.Admin}}, login
	}
	return access.Person{}, login
}

func (s *Server) command(w http.ResponseWriter, r *http.Request) {
	var q CommandRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil {
		reply(w, http.StatusBadRequest, ErrorBody{Error: "the request is not the JSON that it should be", Kind: "usage"})
		return
	}
	p, login := s.person(r)
	a, err := s.Table.Do(r.Context(), command.Call{Words: q.Words, File: q.File, Person: p, Asker: login, Via: "socket"})
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, a)
}

// fail says a *command.UserError; Table.Do gives no other.
func fail(w http.ResponseWriter, err error) {
	b := ErrorBody{Error: err.Error(), Kind: "failed"}
	code := http.StatusConflict
	var u *command.UserError
	if errors.As(err, &u) {
		b.Error, b.Hint = u.Msg, u.Hint
		switch {
		case errors.Is(u, command.ErrUsage):
			b.Kind, code = "usage", http.StatusBadRequest
		case errors.Is(u, command.ErrDenied):
			b.Kind, code = "denied", http.StatusForbidden
		case errors.Is(u, command.ErrNotFound):
			b.Kind, code = "notfound", http.StatusNotFound
		}
	}
	reply(w, code, b)
}

func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

// view reads a run for somebody who may look.
func (s *Server) view(w http.ResponseWriter, r *http.Request) (RunView, bool) {
	if p, _ := s.person(r); !p.Has(access.View) {
		reply(w, http.StatusForbidden, ErrorBody{Error: `this needs the role "view"`, Kind: "denied"})
		return RunView{}, false
	}
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	var run pipeline.Run
	if err == nil {
		run, err = s.Engine.Get(r.Context(), id)
	}
	if err != nil {
		reply(w, http.StatusNotFound, ErrorBody{Error: "there is no such run", Kind: "notfound"})
		return RunView{}, false
	}
	v := RunView{Run: run, Line: s.Engine.Line(run.ID), Usual: make([]time.Duration, len(run.Steps))}
	if u, err := s.Engine.Usual(r.Context(), run.Pipeline); err == nil {
		v.Total = u.Total
		for i, step := range run.Steps {
			v.Usual[i] = u.Stage(i, step)
		}
	}
	return v, true
}

func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	if v, ok := s.view(w, r); ok {
		reply(w, http.StatusOK, v)
	}
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	v, ok := s.view(w, r)
	if !ok {
		return
	}
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	changed, done := s.Engine.Changed()
	defer done()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	for {
		run, err := s.Engine.Get(r.Context(), v.ID)
		if err != nil {
			return
		}
		evs, err := s.Engine.Events(r.Context(), pipeline.EventFilter{After: after, Run: v.ID})
		if err != nil {
			return
		}
		for _, ev := range evs {
			if enc.Encode(ev) != nil {
				return
			}
			after = ev.ID
		}
		_ = flush.Flush()
		// The state was read before the events: when it is at rest, all its events are out.
		if !run.State.Moving() {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}
