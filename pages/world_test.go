package pages

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
	"github.com/jarvisops/jarvis/web"
)

// world is a real server on a real record, whose steps do what the test says.
type world struct {
	t      *testing.T
	dir    string
	conf   web.HTTP
	people []access.PersonConfig

	listen   string // "": a free port
	database string // "": SQLite in dir

	mu   sync.Mutex
	does map[string]func(context.Context, *clipboard.Clipboard) error // by step

	db     *store.DB
	defs   *model.Defs     // nil: there are no checks
	mon    *checks.Monitor // then it is nil, too
	key    *clipboard.Key
	engine *pipeline.Engine
	access *access.Access
	table  *command.Table
	site   *Site
	base   string // http://127.0.0.1:port
	addr   string
	stop   func()
	log    *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const secretValue = "correct-horse-battery"

var steps = []string{"keys:create", "esx:deploy", "ssh:wait", "dns:update_host"}

// bothDatabases has a test see the pages of a record in SQLite, and of one in PostgreSQL.
func bothDatabases(t *testing.T, f func(t *testing.T, on func(*world))) {
	t.Run("SQLite", func(t *testing.T) { f(t, func(*world) {}) })
	t.Run("PostgreSQL", func(t *testing.T) {
		pg, err := real.StartPostgres(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pg.Stop)
		at, err := pg.Database(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f(t, func(w *world) { w.database, w.listen = at, "127.0.0.1:0" })
	})
}

func newWorld(t *testing.T, set ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), does: map[string]func(context.Context, *clipboard.Clipboard) error{}, log: &syncBuffer{}, people: []access.PersonConfig{
		{Name: "alice", Roles: []string{"deploy", "run"}}, {Name: "bob", Roles: []string{"deploy"}}, {Name: "victor", Roles: []string{"view"}}, {Name: "nobody"}}}
	for _, f := range set {
		f(w)
	}
	var err error
	if w.key, err = clipboard.NewKey(); err != nil {
		t.Fatal(err)
	}
	w.start(cmp.Or(w.listen, "127.0.0.1:0"))
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// do has a step do something else from now on.
func (w *world) do(step string, f func(context.Context, *clipboard.Clipboard) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.does[step] = f
}

func (w *world) step(name string) pipeline.Step {
	st := pipeline.Step{Name: name, Doc: "plays " + name, Do: func(ctx context.Context, c *clipboard.Clipboard) error {
		w.mu.Lock()
		f := w.does[name]
		w.mu.Unlock()
		if f == nil {
			return nil
		}
		return f(ctx, c)
	}}
	if name == "esx:deploy" {
		st.Undo = func(context.Context, *clipboard.Clipboard) error { return nil }
		st.Gives = []string{"provider_id"}
	}
	if name == "keys:create" {
		st.Gives = []string{"root_password"}
	}
	return st
}

// start starts a server on the record of w.dir, as wire.go does.
func (w *world) start(listen string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(w.log, nil))
	var err error
	w.db, err = store.Open(ctx, store.Options{Dir: w.dir, URL: w.database, Shared: w.database != "", Node: store.Node{Name: w.listen}})
	w.must(err)
	reg := pipeline.NewRegistry()
	reg.Name("esx", "ESX")
	for _, s := range steps {
		reg.Add(w.step(s))
	}
	w.engine, err = pipeline.New(ctx, pipeline.Config{DB: w.db, Registry: reg, Key: w.key, Log: log, Retry: []time.Duration{}})
	w.must(err)
	w.access, err = access.New(ctx, w.people, w.db)
	w.must(err)
	w.access.SetOIDC(w.conf.OIDC)
	limiter := access.NewLimiter(access.LimitConfig{Burst: 10000})
	services := []func(context.Context) error{w.engine.Run}
	if w.defs != nil {
		w.mon, err = checks.New(model.Config{Defs: *w.defs})
		w.must(err)
		w.must(w.mon.Open(ctx, checks.World{DB: w.db, Engine: w.engine, Log: log, Pool: remote.NewPool(remote.PoolConfig{}), Target: func(context.Context, string) (remote.Target, error) {
			return remote.Target{}, errors.New("no <b>way</b> there <script>alert(1)</script>")
		}}))
		services = append(services, w.mon.Run)
	}
	w.table = command.NewTable(&command.Env{Name: "jarvis", Version: "test", Engine: w.engine, Access: w.access, Checks: w.mon, Limiter: limiter, Log: log,
		Pages:     func() string { return w.base + w.site.prefix },
		Pipelines: map[string]map[string][]string{"deploy": {"esx": steps}, "destroy": {"esx": {"esx:deploy"}}},
		Fetch: func(_ context.Context, u string) ([]byte, error) {
			host := u[strings.LastIndexByte(u, '/')+1:]
			return fmt.Appendf(nil, "instance:\n  hostname: %s\n  fqdn: %s.example.org\n  provider: ESX\n  token: !secret %s\n", host, host, secretValue), nil
		}})
	w.site, err = New(Config{Table: w.table, Engine: w.engine, Access: w.access, Checks: w.mon, URL: w.conf.URL, TLS: w.conf.TLS.Cert != "", Name: "jarvis", Version: "test", Log: log})
	w.must(err)
	long, err := web.NewPages(ctx, w.db, "")
	w.must(err)
	addr := make(chan string, 1)
	srv, err := web.New(web.Config{Listen: listen, HTTP: w.conf, Table: w.table, Engine: w.engine, Access: w.access, Limiter: limiter, Pages: long, Site: w.site, Version: "test", Log: log, Listened: func(a string) { addr <- a }})
	w.must(err)
	var wg sync.WaitGroup
	for _, run := range append(services, srv.Run, w.site.Run) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := run(ctx); err != nil {
				w.t.Errorf("a service: %v", err)
			}
		}()
	}
	select {
	case w.addr = <-addr:
	case <-time.After(20 * time.Second):
		w.t.Fatal("the server does not listen")
	}
	w.base = "http://" + w.addr
	w.stop = func() {
		cancel()
		wg.Wait()
		if err := w.db.Close(); err != nil {
			w.t.Error(err)
		}
		w.stop = func() {}
	}
}

// browser is one with cookies, which follows no redirect.
type browser struct {
	w *world
	*http.Client
	origin string // what stands before paths
}

func (w *world) browser() *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{w, &http.Client{Jar: jar, Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, w.base}
}

// link gives the path of a login link.
func (w *world) link(person string) string {
	w.t.Helper()
	_, secret, err := w.access.NewLink(w.t.Context(), w.access.Person(person), "irc/libera/"+person)
	w.must(err)
	return "/login/" + secret
}

func (w *world) token(person string, roles ...string) string {
	w.t.Helper()
	_, secret, err := w.access.NewToken(w.t.Context(), access.Token{Person: person, Roles: roles, By: person, Expires: time.Now().Add(time.Hour)})
	w.must(err)
	return secret
}

// as gives a browser in which somebody is signed in.
func (w *world) as(person string) *browser {
	w.t.Helper()
	b := w.browser()
	if res := b.post(w.link(person), nil); res.status != http.StatusSeeOther {
		w.t.Fatalf("sign in: %d %s", res.status, res.body)
	}
	return b
}

type result struct {
	status int
	header http.Header
	body   string
}

func (b *browser) send(method, path string, form url.Values, header ...string) result {
	b.w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.w.t.Context(), method, b.origin+path, body)
	b.w.must(err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "text/html")
	for i := 0; i+1 < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	res, err := b.Do(req)
	b.w.must(err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	b.w.must(err)
	return result{res.StatusCode, res.Header, string(text)}
}

func (b *browser) get(path string, header ...string) result {
	b.w.t.Helper()
	return b.send(http.MethodGet, path, nil, header...)
}

func (b *browser) post(path string, form url.Values, header ...string) result {
	b.w.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	if len(header) == 0 {
		header = []string{"Sec-Fetch-Site", "same-origin"}
	}
	return b.send(http.MethodPost, path, form, header...)
}

// frames is an open page.
type frames struct {
	w    *world
	res  *http.Response
	in   chan sent
	last string
	stop func()
}

type sent struct{ id, kind, data string }

// watch opens the stream of a page.
func (b *browser) watch(path string, header ...string) *frames {
	b.w.t.Helper()
	ctx, cancel := context.WithCancel(b.w.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.origin+path, nil)
	b.w.must(err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.Do(req)
	b.w.must(err)
	f := &frames{w: b.w, res: res, in: make(chan sent, 10000), stop: cancel}
	go func() {
		defer close(f.in)
		defer func() { _ = res.Body.Close() }()
		var e sent
		sc := bufio.NewScanner(res.Body)
		sc.Buffer(nil, 8<<20)
		for sc.Scan() {
			key, value, _ := strings.Cut(sc.Text(), ": ")
			switch key {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				e.data += value + "\n"
			case "":
				if e.kind != "" {
					f.in <- e
				}
				e = sent{}
			}
		}
	}()
	b.w.t.Cleanup(cancel)
	return f
}

var errSlow = errors.New("it did not come")

// until reads frames until one is as it should be, and gives all of them.
func (f *frames) until(what string, ok func(sent) bool) (all []sent) {
	f.w.t.Helper()
	limit := time.After(20 * time.Second)
	began := time.Now()
	defer func() {
		if d := time.Since(began); d > 2*time.Second {
			f.w.t.Logf("%s took %s", what, d)
		}
	}()
	for {
		select {
		case e, open := <-f.in:
			if !open {
				f.w.t.Fatalf("the stream ended before %s; it sent %v", what, all)
			}
			if e.id != "" {
				f.last = e.id
			}
			if all = append(all, e); ok(e) {
				return all
			}
		case <-limit:
			f.w.t.Fatalf("%v: %s; there was %v", errSlow, what, all)
		}
	}
}

// part gives a test for a part that holds a text.
func has(kind string, texts ...string) func(sent) bool {
	return func(e sent) bool {
		for _, t := range texts {
			if !strings.Contains(e.data, t) {
				return false
			}
		}
		return e.kind == kind
	}
}

// deploy starts a run, and gives its number.
func (w *world) deploy(host string) int64 {
	w.t.Helper()
	a, err := w.table.Do(w.t.Context(), command.Call{Words: []string{"deploy", "https://gist.example.org/" + host}, Person: w.access.Person("alice"), Asker: "alice", Via: "test", Free: true})
	w.must(err)
	return a.Run.ID
}

// reach waits until a run is in a state.
func (w *world) reach(run int64, state pipeline.State) pipeline.Run {
	w.t.Helper()
	var r pipeline.Run
	for range 1000 {
		var err error
		r, err = w.engine.Get(w.t.Context(), run)
		w.must(err)
		if r.State == state {
			return r
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("run %d is %s at %s (%s), not %s", run, r.State, r.Where(), r.Error, state)
	return r
}

var accessAll = access.AuditFilter{Limit: 1000}
