// Package pages shows the record in a browser, live, and lets people say verbs there. It is made by wire.go, and served
// by web on the same address as the API.
//
//	GET  ──► session ──► role ──► read (a view) ──► layout.html + run.html ──► bytes
//	POST ──► http.CrossOriginProtection ──► session ──► words ──► command.Table.Do ──► the same page, with the answer
//	EventSource ◄── frames ◄── hub (one goroutine) ◄── pipeline.Changed, Events
//
// A page is a file pair, run.go and run.html, and one line in routes. Its read gives a view: parts, each with an id and
// the template that makes it, in the page and on the wire alike. Rules about who may do what are in the verbs, and so
// are sentences. Run owns the hub's goroutine; each open page has that of its request.
//
// Results of checks are no events: their pages are read again every two seconds while they are open. Commands begun at
// /exec have a goroutine each, which Run ends; the last 50, with their output, are in this process alone.
//
// Why not a frontend framework: docs/adr/0015-pages-without-a-framework.md
package pages

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/docs"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of a Site. Table, Engine and Access must be set.
type Config struct {
	Table   *command.Table
	Engine  *pipeline.Engine
	Access  *access.Access
	Checks  *checks.Monitor // nil: no page tells of checks
	URL     string          // http.url; its path is put before every link
	TLS     bool            // listen is served with TLS
	Name    string          // of the bot
	Version string
	Node    string // "": there is one only
	Log     *slog.Logger
}

// Site is the pages. Its ServeHTTP may be used before and after Run, which keeps open pages up to date.
type Site struct {
	Config
	prefix string // "", or "/jarvis"
	origin string // of http.url: "https://example.org"
	cookie http.Cookie
	mux    *http.ServeMux
	cross  *http.CrossOriginProtection
	looks  map[string]*template.Template // by file
	static map[string]*asset             // by name
	hub    *hub
	pages  []*page

	execs execs
	docs  func() ([]docs.Group, error) // read once
	wrong once[[]checks.View]          // for all pages, for a moment
	asked once[[]pipeline.Approval]

	oidcMu            sync.Mutex
	oidc              *company // of the configuration that was in force last
	logins, loginsAll *access.Limiter
}

// maxForm bounds a form: one in which 2,000 checks are ticked is the longest.
const maxForm = 512 << 10

// maxStranger bounds what somebody sends who has not signed in.
const maxStranger = 16 << 10

//go:embed *.html *.css *.js *.svg
var files embed.FS

// page is one kind of page, as data.
type page struct {
	path string // pattern of its address: "/runs/{run}"
	file string // its template: "run.html"
	name string // its entry in the navigation; "": none
	key  string // that goes there, after g
	role string // who may see it
	of   string // the entry of the navigation to which it belongs, when it has none
	slow bool   // it is drawn once a second at most, not twice
	// still: nothing on it changes while it is open.
	still bool
	// checks: it is about checks, and is not there without them.
	checks bool
	// read gives what there is to see, the same for everybody. For an open page, was is what it gave last, and news are
	// all events about it since; else both are nil.
	read func(s *Site, ctx context.Context, q query, was view, news []pipeline.Event) (view, error)
	// about reports whether an event changes what the page of that address shows; nil: each does.
	about func(q query, ev pipeline.Event) bool
	// words makes what to say out of a form of the page, one verb or several; none: the form is of the kinds that every
	// page takes.
	words func(form url.Values) [][]string
	// post answers a form in another way than act does.
	post func(s *Site, p *page) func(http.ResponseWriter, *http.Request)
	// every is how often it is drawn while it is open though no event says so; 0: clockPace.
	every time.Duration
}

// routes are the pages.
func routes() []*page {
	return []*page{homePage(), hostsPage(), hostPage(), runPage(), approvalsPage(), checksPage(), checkPage(), execPage(), execJobPage(), tasksPage(), nodesPage(), auditPage(), docsPage(), docPage(), sessionsPage()}
}

// query is what an address asks for. Two that are equal ask for the same.
type query struct {
	run    int64
	before int64 // of a log: what is older than this event

	host, task, name string // words of the address
	after            string // of a list by name: what comes after this
	find             string // what the list is to match; "": everything
	span             string // of a graph; "": the page's own
	by               string // how a list is put together; "": the page's own way
	page             int64  // of a long list; 0: the first
}

// view is what a page shows.
type view interface {
	title() string
	at() int64                  // the newest event that it tells of
	parts() []part              // what everybody sees alike
	own(p access.Person) []part // what depends on who looks
}

// part is a piece of a page: one element with that id, made by that template of that data. Data that is deeply equal
// looks the same.
type part struct {
	id, template string
	data         any
}

// New makes the site.
func New(c Config) (*Site, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Site{Config: c, mux: http.NewServeMux(), looks: map[string]*template.Template{}, cross: http.NewCrossOriginProtection(), logins: access.NewLimiter(loginEach), loginsAll: access.NewLimiter(loginAll)}
	s.cookie = http.Cookie{Name: "jarvis", Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.TLS}
	if c.URL != "" {
		u, err := url.Parse(c.URL)
		if err != nil {
			return nil, fmt.Errorf("http.url: %w", err)
		}
		if p := strings.Trim(u.Path, "/"); p != "" {
			s.prefix = "/" + p
		}
		s.origin = u.Scheme + "://" + u.Host
		s.cookie.Secure = u.Scheme == "https"
		s.cookie.Path = s.prefix + "/"
		if err := s.cross.AddTrustedOrigin(s.origin); err != nil { // a proxy may write another Host
			return nil, fmt.Errorf("http.url: %w", err)
		}
	}
	if s.cookie.Secure && s.prefix == "" {
		s.cookie.Name = "__Host-jarvis" // no other host, and no page without TLS, can set it
	}
	if err := s.readAssets(); err != nil {
		return nil, err
	}
	s.hub = newHub(s)
	s.docs = s.loadDocs()
	s.pages = routes()
	base, err := template.New("").Funcs(s.words()).ParseFS(files, "layout.html", "parts*.html")
	if err != nil {
		return nil, fmt.Errorf("read the pages: %w", err)
	}
	names := []string{"login.html", "link.html", "go.html", "error.html"}
	for _, p := range s.pages {
		names = append(names, p.file)
	}
	for _, name := range names {
		t, err := template.Must(base.Clone()).ParseFS(files, name)
		if err != nil {
			return nil, fmt.Errorf("read the pages: %w", err)
		}
		s.looks[name] = t
	}
	for _, p := range s.pages {
		if p.checks && s.Checks == nil {
			continue
		}
		s.handle("GET "+p.path, s.show(p))
		post := s.act
		if p.post != nil {
			post = func(p *page) func(http.ResponseWriter, *http.Request) { return p.post(s, p) }
		}
		s.handle("POST "+p.path, post(p))
	}
	s.handle("GET /login", s.askLogin)
	s.handle("POST /login", s.login)
	s.handle("GET /login/{link}", s.askLink)
	s.handle("POST /login/{link}", s.takeLink)
	s.handle("GET /login/oidc", s.askOIDC)
	s.handle("POST /login/oidc", s.beginOIDC)
	s.handle("GET /login/oidc/callback", s.arriveOIDC)
	s.handle("POST /logout", s.logout)
	s.mux.HandleFunc("GET /static/{hash}/{name}", s.serveStatic)
	s.handle("GET /docs/pictures/{name}", http.StripPrefix("/docs/", http.FileServerFS(docs.Pictures)).ServeHTTP) // they are public
	return s, nil
}

// Run keeps open pages up to date until ctx ends.
func (s *Site) Run(ctx context.Context) error {
	defer s.execs.stop()
	if _, err := s.docs(); err != nil { // so that nobody waits for it
		s.Log.Error("read the documentation", "err", err)
	}
	return s.hub.run(ctx)
}

// Serves is web.Site.
func (s *Site) Serves(r *http.Request) bool {
	_, pattern := s.mux.Handler(r)
	return pattern != "" || s.without(r) != ""
}

// without gives where a page is whose address somebody wrote with a slash at its end; "" for all others.
func (s *Site) without(r *http.Request) string {
	p := path.Clean(r.URL.Path)
	if r.Method != http.MethodGet || p == "/" || !strings.HasSuffix(r.URL.Path, "/") {
		return ""
	}
	u := url.URL{Path: p, RawQuery: r.URL.RawQuery}
	if _, pattern := s.mux.Handler(&http.Request{Method: http.MethodGet, Host: r.Host, URL: &u}); pattern == "" {
		return ""
	}
	u.Path = s.prefix + p
	return u.String()
}

// ServeHTTP is http.Handler.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// With no-referrer a browser calls the origin of our own forms "null".
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cache-Control", "private, no-store")
	if r.Body != nil {
		most := int64(maxForm)
		if strings.HasPrefix(r.URL.Path, "/login") {
			most = maxStranger
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
	}
	if to := s.without(r); to != "" {
		http.Redirect(w, r, to, http.StatusPermanentRedirect)
		return
	}
	if !s.Serves(r) {
		s.fail(w, r, nil, &command.UserError{Msg: "there is nothing at " + plain.Line(r.URL.Path), Hint: "the navigation lists what there is", Kind: command.ErrNotFound})
		return
	}
	if err := s.cross.Check(r); err != nil {
		s.fail(w, r, nil, &command.UserError{Msg: "this was sent by another site's page, and nothing was done", Hint: "open the page here, and press its button", Kind: command.ErrDenied})
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Site) handle(pattern string, f func(http.ResponseWriter, *http.Request)) {
	s.mux.HandleFunc(pattern, f)
}
