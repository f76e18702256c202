package pages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
	"github.com/jarvisops/jarvis/web"
)

// visit is a request of somebody who has signed in.
type visit struct {
	person  access.Person
	session access.Session
	via     string // for the audit: "page/192.0.2.1"
	query   query
}

// isStream reports whether an EventSource asks.
func isStream(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Get("live") != ""
}

// clip shortens what is repeated.
func clip(s string, n int) string {
	return plain.Clip(plain.Line(s), n)
}

// secretOf gives the secret in the cookie; "" when there is none.
func (s *Site) secretOf(r *http.Request) string {
	c, err := r.Cookie(s.cookie.Name)
	if err != nil || len(c.Value) > 100 {
		return ""
	}
	return c.Value
}

// via is the way in that the audit record names.
func via(r *http.Request) string { return "page/" + web.VisitorOf(r.Context()).Addr.String() }

// enter gives who asks, or sends them to the login. It asks again each time.
func (s *Site) enter(w http.ResponseWriter, r *http.Request) (*visit, bool) {
	secret := s.secretOf(r)
	err := error(access.ErrNoSession)
	v := &visit{via: via(r)}
	if secret != "" {
		v.session, v.person, err = s.Access.Session(r.Context(), secret)
	}
	switch {
	case err == nil:
		return v, true
	case !signedOut(err):
		s.fail(w, r, nil, err)
	case isStream(r):
		s.deafen(w, "signed out")
	case secret == "" && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Site") == "cross-site":
		// A link in another site's page: the cookie is SameSite=Strict, and did not come along. From here on it does.
		w.Header().Set("Refresh", "0")
		s.drawLogin(w, r, http.StatusOK, loginPage{Next: r.URL.RequestURI()}, false)
	case r.Method == http.MethodGet:
		http.Redirect(w, r, s.prefix+"/login?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
	default:
		s.drawLogin(w, r, http.StatusUnauthorized, loginPage{Why: err.Error() + "; nothing was done"}, false)
	}
	return nil, false
}

// signedOut reports whether an error says that nobody is signed in, and not that something is broken.
func signedOut(err error) bool {
	var stranger *access.NoRoleError
	if errors.As(err, &stranger) {
		return true
	}
	for _, is := range []error{access.ErrNoSession, access.ErrSessionExpired, access.ErrSessionOrphan, access.ErrSessionOther, access.ErrLoginValue, access.ErrTokenUnknown, access.ErrTokenExpired, access.ErrTokenRevoked, access.ErrTokenOrphan, access.ErrTokenAgent} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// open lets a visitor in who may see a page, and reads what it asks for.
func (s *Site) open(w http.ResponseWriter, r *http.Request, p *page) (*visit, func(), bool) {
	v, ok := s.enter(w, r)
	if !ok {
		return nil, nil, false
	}
	if !v.person.Has(p.role) {
		u := &command.UserError{Msg: fmt.Sprintf("this needs the role %q, which %s does not have", p.role, v.person.Name), Kind: command.ErrDenied}
		s.Table.Record(r.Context(), access.Record{Who: v.person.Name, Via: v.via, Line: r.Method + " " + r.URL.Path, Outcome: u.Msg})
		s.fail(w, r, v, u)
		return nil, nil, false
	}
	if u := v.query.read(r); u != nil {
		s.fail(w, r, v, u)
		return nil, nil, false
	}
	leave, ok := web.VisitorOf(r.Context()).Enter(v.person.Name, isStream(r))
	if !ok {
		s.fail(w, r, v, &command.UserError{Msg: "too many pages of yours are open", Hint: "close some", Kind: command.ErrLimited})
		return nil, nil, false
	}
	return v, leave, true
}

// read takes what an address asks for: numbers in range, words as text from outside.
func (q *query) read(r *http.Request) *command.UserError {
	asked := r.URL.Query()
	for _, n := range []struct {
		word string
		to   *int64
	}{{r.PathValue("run"), &q.run}, {asked.Get("before"), &q.before}, {asked.Get("page"), &q.page}} {
		if n.word == "" {
			continue
		}
		var err error
		if *n.to, err = strconv.ParseInt(n.word, 10, 64); err != nil || *n.to <= 0 {
			return &command.UserError{Msg: fmt.Sprintf("I have no host or run %q on record", clip(n.word, 80)), Hint: "the first page lists what there is", Kind: command.ErrNotFound}
		}
	}
	for key, to := range map[string]*string{"host": &q.host, "task": &q.task, "name": &q.name} {
		*to = clip(r.PathValue(key), maxWord)
	}
	q.find, q.span = strings.TrimSpace(clip(asked.Get("q"), maxWord)), clip(asked.Get("span"), maxWord)
	q.by = clip(asked.Get("by"), maxWord)
	q.after = clip(asked.Get("after"), maxWord)
	return nil
}

// maxWord bounds a word of an address.
const maxWord = 300

// live gives the address of the stream that keeps the page of this request up to date.
func (s *Site) live(r *http.Request) string {
	asked := r.URL.Query()
	asked.Set("live", "1")
	return s.prefix + r.URL.EscapedPath() + "?" + asked.Encode()
}

// show answers a GET: with the page, or with its stream.
func (s *Site) show(p *page) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		v, leave, ok := s.open(w, r, p)
		if !ok {
			return
		}
		defer leave()
		if isStream(r) {
			s.stream(w, r, p, v)
			return
		}
		if r.URL.Query().Get("part") != "" {
			s.showParts(w, r, p, v)
			return
		}
		s.page(w, r, http.StatusOK, p, v, nil)
	}
}

// showParts answers a form that filters while somebody types: with the parts alone, which the script puts in their
// places.
func (s *Site) showParts(w http.ResponseWriter, r *http.Request, p *page, v *visit) {
	what, err := p.read(s, r.Context(), v.query, nil, nil)
	if err != nil {
		s.fail(w, r, v, err)
		return
	}
	var body bytes.Buffer
	for _, x := range append(what.parts(), what.own(v.person)...) {
		b, err := s.render(x)
		if err != nil {
			s.fail(w, r, v, err)
			return
		}
		body.Write(b)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	write(w, r, http.StatusOK, body.Bytes(), zipped)
}

// page reads and draws a page.
func (s *Site) page(w http.ResponseWriter, r *http.Request, status int, p *page, v *visit, answer *answer) {
	what, err := p.read(s, r.Context(), v.query, nil, nil)
	if err != nil {
		s.fail(w, r, v, err)
		return
	}
	f := &frame{Page: p, Visit: v, View: what, Answer: answer}
	if v.query.before == 0 && !p.still { // what is older does not change
		f.Live = s.live(r)
	}
	s.draw(w, r, status, p.file, nil, f)
}

// frame is what the layout needs.
type frame struct {
	Site   *Site
	Page   *page
	Visit  *visit // nil: nobody is signed in
	View   view
	Answer *answer
	Live   string // address of the stream
	Title  string
	Now    time.Time
	Data   any // of the page

	made map[string]template.HTML
	ids  []string
}

// Person is who looks; the zero Person when nobody is signed in.
func (f *frame) Person() access.Person {
	if f.Visit == nil {
		return access.Person{}
	}
	return f.Visit.person
}

// At is the event up to which the page tells.
func (f *frame) At() int64 { return f.View.at() }

// Session is the number of the reader's session; 0 when there is none.
func (f *frame) Session() int64 {
	if f.Visit == nil {
		return 0
	}
	return f.Visit.session.ID
}

// Find is what the reader filters by.
func (f *frame) Find() string {
	if f.Visit == nil {
		return ""
	}
	return f.Visit.query.find
}

// Keys are those that go, after g, to a page that the reader may see.
func (f *frame) Keys() (keys []string) {
	for _, p := range f.Site.pages {
		if p.key != "" && f.Person().Has(p.role) && (!p.checks || f.Site.Checks != nil) {
			keys = append(keys, p.key)
		}
	}
	return keys
}

// By is how the reader wants a list put together.
func (f *frame) By() string {
	if f.Visit == nil {
		return ""
	}
	return f.Visit.query.by
}

// Part gives the part with that id.
func (f *frame) Part(id string) template.HTML { return f.made[id] }

// Parts gives all parts whose ids begin so, in their order.
func (f *frame) Parts(prefix string) template.HTML {
	var all strings.Builder
	for _, id := range f.ids {
		if strings.HasPrefix(id, prefix) {
			all.WriteString(string(f.made[id]))
		}
	}
	return template.HTML(all.String())
}

// draw writes a page. What goes wrong in a template is an error page, for nothing is sent before the page is whole.
func (s *Site) draw(w http.ResponseWriter, r *http.Request, status int, file string, data any, f *frame) {
	if f == nil {
		f = &frame{}
	}
	f.Site, f.Data, f.Now = s, data, time.Now().UTC()
	var body bytes.Buffer
	err := s.makeParts(r.Context(), f)
	if err == nil {
		err = s.looks[file].ExecuteTemplate(&body, "layout", f)
	}
	if err != nil {
		if file == "error.html" {
			s.Log.Error("draw a page", "page", file, "err", err)
			http.Error(w, "Something broke on my side.", http.StatusInternalServerError)
			return
		}
		s.fail(w, r, f.Visit, fmt.Errorf("draw %s: %w", file, err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	zip := zipped
	if r.Method != http.MethodGet { // the answer to a verb may hold a secret, which the length of what is compressed would tell of
		zip = nil
	}
	write(w, r, status, body.Bytes(), zip)
}

// makeParts draws all parts before the page, so that a mistake in one is an error page and not half a page.
func (s *Site) makeParts(ctx context.Context, f *frame) error {
	f.made = map[string]template.HTML{}
	if f.Visit == nil {
		return nil
	}
	var list []part
	if f.View != nil {
		list = append(f.View.parts(), f.View.own(f.Visit.person)...)
	}
	for _, p := range append(list, s.nav(ctx, f.Page, f.Visit.person)) {
		b, err := s.render(p)
		if err != nil {
			return err
		}
		f.made[p.id] = template.HTML(b)
		f.ids = append(f.ids, p.id)
	}
	return nil
}

// render makes one part, as it stands in the page and goes over the wire.
func (s *Site) render(p part) ([]byte, error) {
	var b bytes.Buffer
	if err := s.looks["error.html"].ExecuteTemplate(&b, p.template, p.data); err != nil { // all parts are in parts*.html
		return nil, fmt.Errorf("draw the part %s: %w", p.id, err)
	}
	return b.Bytes(), nil
}

// errorPage says what is wrong, what is not touched by that, and what to do.
type errorPage struct {
	Msg, Hint, Asked string
	Status           int
}

func (f *frame) title() string {
	switch d := f.Data.(type) {
	case errorPage:
		return d.Msg
	case loginPage:
		return "sign in"
	case goPage:
		return d.Title
	case linkPage:
		return "sign in as " + d.Person + "?"
	}
	return f.View.title()
}

// TitleText is the title of the tab.
func (f *frame) TitleText() string { return f.title() + " — " + f.Site.Name }

// fail answers with an error page. v is nil when nobody is known to be signed in.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	d := errorPage{Asked: r.URL.Path}
	d.Msg, d.Hint, d.Status = s.explain(err)
	if isStream(r) {
		http.Error(w, d.Msg, d.Status)
		return
	}
	s.draw(w, r, d.Status, "error.html", d, &frame{Visit: v})
}

// explain gives an error in words for people, and its status.
func (s *Site) explain(err error) (msg, hint string, status int) {
	var u *command.UserError
	var t *store.Trouble
	switch {
	case errors.As(err, &u):
		status = map[string]int{"usage": http.StatusBadRequest, "denied": http.StatusForbidden, "notfound": http.StatusNotFound, "toofast": http.StatusTooManyRequests, "lost": http.StatusServiceUnavailable}[command.KindOf(u).Name]
		if status == 0 {
			status = http.StatusConflict
		}
		return u.Msg, u.Hint, status
	case errors.Is(err, pipeline.ErrNotFound):
		return "I have no such run or host on record", "the first page lists what there is", http.StatusNotFound
	case errors.Is(err, context.Canceled): // who asked has gone, or this server stops
		return "this server is stopping", "runs that are under way go on; try again in a moment", http.StatusServiceUnavailable
	case errors.As(err, &t):
		s.Log.Error("show a page", "err", err)
		return t.What, "runs that are under way go on; try again in a moment", http.StatusServiceUnavailable
	}
	id := command.LogID()
	s.Log.Error("show a page", "id", id, "err", err)
	return "something broke on my side", "nothing has changed, and runs that are under way go on; if it stays, give an admin this number: " + id, http.StatusInternalServerError
}
