package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/agent"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/tasklog"
)

// muxer is a ServeMux that knows its patterns, so that a test can ask whether each is described.
type muxer struct {
	*http.ServeMux
	patterns *[]string
}

// Handle is http.ServeMux's.
func (m muxer) Handle(pattern string, h http.Handler) {
	*m.patterns = append(*m.patterns, pattern)
	m.ServeMux.Handle(pattern, h)
}

// HandleFunc is http.ServeMux's.
func (m muxer) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.Handle(pattern, http.HandlerFunc(h))
}

// routes wraps handlers from the inside out: what comes first in its last line sees a request first.
func (s *Server) routes() http.Handler {
	inner := muxer{http.NewServeMux(), &s.patterns}
	api := humago.New(inner, apiConfig())
	s.operations(api)
	mux := muxer{http.NewServeMux(), &s.patterns}
	for _, r := range s.plainRoutes(api.OpenAPI().Components.Schemas) {
		if r.serve == nil {
			continue
		}
		api.OpenAPI().AddOperation(r.op)
		on := mux
		if strings.HasPrefix(r.op.Path, "/v1/") && r.op.Path != agent.Path { // an agent has a token of its own kind
			on = inner
		}
		on.Handle(r.op.Method+" "+r.op.Path, r.serve)
	}
	finish(api.OpenAPI())
	operations := operationsOf(api.OpenAPI())
	known := s.authenticate(s.strict(inner.ServeMux, operations, s.found(inner.ServeMux)))
	mux.ServeMux.Handle("/v1/", known)
	mux.ServeMux.Handle("/v1", known) // else the library sends the client to /v1/, with a page of HTML
	mux.ServeMux.Handle("POST /v1/command", s.authenticate(s.strict(inner.ServeMux, operations, s.readFirst(inner))))
	if s.Checks != nil {
		alf := http.NewServeMux()
		s.alf(alf)
		known := s.authenticate(s.found(alf))
		mux.ServeMux.Handle("/alf/", known)
		mux.ServeMux.Handle("/alf", known)
	}
	for path, b := range map[string]*described{
		"/openapi.json":     describe("json", func() ([]byte, error) { return json.Marshal(api.OpenAPI()) }),
		"/openapi.yaml":     describe("yaml", api.OpenAPI().YAML),
		"/openapi-3.0.json": describe("json", api.OpenAPI().Downgrade),
	} {
		mux.ServeMux.Handle("GET "+path, b)
	}
	return s.guarded(s.HTTP.below(s.straight(s.site(s.found(mux.ServeMux)))))
}

// straight refuses a path with a segment that is empty or made of dots. The library would clean it, and send the client
// to whatever operation the rest names: a script whose variable is empty must not undo, or read, something else.
func (s *Server) straight(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		segments := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		if n := len(segments); n > 0 && segments[n-1] == "" {
			segments = segments[:n-1] // a slash at the end
		}
		for _, seg := range segments {
			if seg == "" || seg == "." || seg == ".." {
				s.problem(w, r, &Problem{Status: http.StatusNotFound, Kind: "notfound", Detail: fmt.Sprintf("a part of the path %s is empty or dots", r.URL.Path), Hint: "a name is missing there, perhaps an empty variable"})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// found answers in our form what no pattern is for.
func (s *Server) found(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		said := headerOnly{}
		h.ServeHTTP(said, r) // the library says what it would: nothing, or other methods
		if allow := said.Header().Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			s.problem(w, r, &Problem{Status: http.StatusMethodNotAllowed, Kind: "usage", Detail: fmt.Sprintf("%s takes no %s", r.URL.Path, r.Method), Hint: "it takes " + allow})
			return
		}
		s.problem(w, r, &Problem{Status: http.StatusNotFound, Kind: "notfound", Detail: "there is nothing at " + r.URL.Path, Hint: "/openapi.json lists what there is"})
	})
}

// headerOnly keeps the headers of an answer, which is not sent.
type headerOnly http.Header

func (h headerOnly) Header() http.Header         { return http.Header(h) }
func (h headerOnly) Write(b []byte) (int, error) { return len(b), nil }
func (h headerOnly) WriteHeader(int)             {}

// viewers lets those in who may look: the names of hosts are not for everybody, as /metrics is.
func (s *Server) viewers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := callerOf(r.Context()); !c.person.Has(access.View) {
			s.problem(w, r, problemOf(&command.UserError{Msg: fmt.Sprintf("this needs the role %q", access.View), Kind: command.ErrDenied}))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// plainRoute is a route that is neither a verb's nor a read beside them: a stream of its own, or for machines.
type plainRoute struct {
	op    *huma.Operation
	serve http.Handler // nil: not served here
}

// plainRoutes are all of them, described whether they are served or not.
func (s *Server) plainRoutes(reg huma.Registry) []plainRoute {
	var list []plainRoute
	add := func(op *huma.Operation, served bool, h http.Handler) {
		if !served {
			h = nil
		}
		list = append(list, plainRoute{op, h})
	}
	add(told(reg, "exec", "POST", "/v1/exec", "runs a command on hosts, with its streams: each line of the answer is a frame. After the first line of the request comes stdin for the command. Needs the role `run`.", "application/x-ndjson", ExecRequest{}, ExecFrame{}), s.Hosts != nil, http.HandlerFunc(s.exec))
	add(told(reg, "files", "POST", "/v1/files", "brings files to hosts and from them, in steps: each line of the request after the first is a step or says how many bytes follow, and each line of the answer is a frame. For `jarvis upload`, `sync` and `fetch`. Needs the role `run`.", "application/x-ndjson", FilesRequest{}, FilesFrame{}), s.Hosts != nil, http.HandlerFunc(s.files))
	add(told(reg, "exec-hosts", "POST", "/v1/exec/hosts", "says what names mean to the record, for who connects by himself. Needs the role `run`.", "application/json", WhereRequest{}, []Where{}), s.Hosts != nil, http.HandlerFunc(s.where))
	add(told(reg, "agent", "GET", agent.Path, "opens the line of an agent, as a WebSocket. Needs an agent's token.", "application/octet-stream", nil, nil), s.Agents != nil, http.HandlerFunc(s.agents))
	add(told(reg, "reload", "POST", "/v1/reload", "reads the configuration again. Needs the role `admin`.", "application/json", nil, Reloaded{}), s.Reload != nil, http.HandlerFunc(s.reload))
	var checks, metrics, page, hook http.Handler
	if s.Checks != nil {
		own := prometheus.NewRegistry()
		own.MustRegister(s.Checks.Collector())
		checks = s.viewers(promhttp.HandlerFor(own, promhttp.HandlerOpts{}))
	}
	if s.Metrics != nil {
		metrics = s.Metrics.Handler()
	}
	if s.Pages != nil {
		page = s.shared(s.pages, http.HandlerFunc(s.Pages.serve))
	}
	if s.Hook != nil {
		// Who may call it proves that by a signature.
		hook = bounded(tasklog.MaxHook, hookPatience, s.shared(s.hooks, s.Hook))
	}
	add(told(reg, "checks-metrics", "GET", "/v1/checks-metrics", "gives figures of the checks, for Prometheus. Needs the role `view`.", "text/plain", nil, nil), checks != nil, checks)
	add(unguarded(told(reg, "metrics", "GET", "/metrics", "gives figures of the server, for Prometheus", "text/plain", nil, nil)), metrics != nil, metrics)
	add(unguarded(told(reg, "healthz", "GET", "/healthz", "answers while the server runs", "text/plain", nil, nil)), true, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") }))
	add(unguarded(told(reg, "readyz", "GET", "/readyz", "says whether the database takes writes", "text/plain", nil, nil)), true, s.readiness())
	long := unguarded(told(reg, "long-answer", "GET", "/p/{key}", "shows an answer that was too long for chat", "text/plain", nil, nil))
	long.Parameters = []*huma.Param{{Name: "key", In: "path", Required: true, Description: "from the link in chat", Schema: &huma.Schema{Type: huma.TypeString}}}
	add(long, page != nil, page)
	add(unguarded(told(reg, "hook-git", "POST", "/hooks/git", "tells that a repository of tasks has new commits; signed, as GitHub, Gitea and GitLab do", "application/json", nil, nil)), hook != nil, hook)
	return list
}

// told describes an operation that the library does not serve.
func told(reg huma.Registry, id, method, path, doc, ctype string, in, out any) *huma.Operation {
	op := &huma.Operation{OperationID: id, Method: method, Path: path, Summary: doc, Tags: []string{"server"}, Responses: map[string]*huma.Response{
		"200": {Description: "OK", Content: map[string]*huma.MediaType{ctype: {Schema: &huma.Schema{Type: huma.TypeString}}}}, "default": problemResponse(reg)}}
	if in != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: reg.Schema(reflect.TypeOf(in), true, "")}}}
	}
	if out != nil {
		op.Responses["200"].Content[ctype].Schema = reg.Schema(reflect.TypeOf(out), true, camel(id))
	}
	return op
}

// unguarded is an operation that needs no token.
func unguarded(op *huma.Operation) *huma.Operation {
	op.Security = []map[string][]string{{}}
	return op
}

// Patterns are the routes that are served, as in "GET /v1/runs/{run}".
func (s *Server) Patterns() []string { return slices.Clone(s.patterns) }
