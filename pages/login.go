package pages

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/web"
)

// loginPage asks for a token, or sends to the company's login.
type loginPage struct {
	Next    string // where to go then
	Why     string // why it is asked, or what was wrong
	Company string // what the company's login is called; "": there is none
}

// linkPage asks whether to take a link.
type linkPage struct {
	access.Link
	May []string // roles
}

func (s *Site) askLogin(w http.ResponseWriter, r *http.Request) {
	s.drawLogin(w, r, http.StatusOK, loginPage{Next: ours(r.URL.Query().Get("next"))}, true)
}

// login takes a token.
func (s *Site) login(w http.ResponseWriter, r *http.Request) {
	next, token := ours(r.PostFormValue("next")), strings.TrimSpace(r.PostFormValue("token"))
	if !strings.HasPrefix(token, access.TokenPrefix) || len(token) > 200 {
		s.drawLogin(w, r, http.StatusUnauthorized, loginPage{Next: next, Why: "this is no token: one begins with " + access.TokenPrefix}, false)
		return
	}
	session, secret, err := s.Access.SignIn(r.Context(), token, browserOf(r))
	if err != nil {
		s.refuse(w, r, err, loginPage{Next: next, Why: err.Error()})
		return
	}
	s.begin(w, r, session, secret)
	http.Redirect(w, r, s.prefix+ours(next), http.StatusSeeOther)
}

// askLink shows a button: whatever looks at a link beforehand uses nothing.
func (s *Site) askLink(w http.ResponseWriter, r *http.Request) {
	l, err := s.Access.FindLink(r.Context(), r.PathValue("link"))
	if err != nil {
		s.refuse(w, r, err, loginPage{Why: err.Error()})
		return
	}
	p := s.Access.Person(l.Person)
	if l.Roles != nil {
		p = p.Narrow(l.Roles)
	}
	s.draw(w, r, http.StatusOK, "link.html", linkPage{l, p.Roles}, nil)
}

// takeLink answers a POST: what only looks at a link, as a chat's preview does, must not use it up.
func (s *Site) takeLink(w http.ResponseWriter, r *http.Request) {
	session, secret, err := s.Access.TakeLink(r.Context(), r.PathValue("link"), browserOf(r))
	if err != nil {
		s.refuse(w, r, err, loginPage{Why: err.Error()})
		return
	}
	s.begin(w, r, session, secret)
	http.Redirect(w, r, s.prefix+"/", http.StatusSeeOther)
}

// refuse says that nobody was signed in, and slows down who tries often.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request, err error, d loginPage) {
	if _, _, status := s.explainLogin(err); status != http.StatusUnauthorized {
		s.fail(w, r, nil, err)
		return
	}
	at := web.VisitorOf(r.Context())
	if at.Refused(access.Record{Who: "stranger " + at.Addr.String(), Via: via(r), Line: "sign in", Outcome: err.Error()}) {
		s.fail(w, r, nil, &command.UserError{Msg: "that is too fast for me", Hint: "try again a moment later", Kind: command.ErrLimited})
		return
	}
	s.drawLogin(w, r, http.StatusUnauthorized, d, false)
}

// explainLogin tells what is wrong with a link or a token. Anything else is our fault, and is not told here.
func (s *Site) explainLogin(err error) (msg, hint string, status int) {
	if signedOut(err) || isLink(err) {
		return err.Error(), "", http.StatusUnauthorized
	}
	return "", "", http.StatusInternalServerError
}

func isLink(err error) bool {
	return err == access.ErrNoLink || err == access.ErrLinkUsed || err == access.ErrLinkLate
}

// begin gives the browser its session, which is always a new one: what stood in its cookie before is worth nothing now.
func (s *Site) begin(w http.ResponseWriter, r *http.Request, session access.Session, secret string) {
	if old := s.secretOf(r); old != "" {
		if was, _, err := s.Access.Session(r.Context(), old); err == nil {
			_, _ = s.Access.EndSessions(r.Context(), was.Person, was.ID) // it expires by itself
		}
	}
	s.Table.Record(r.Context(), access.Record{Who: session.Person, Via: via(r), Line: "sign in by " + session.How, Outcome: "ok"})
	s.setCookie(w, secret, session.Created.Add(session.Life()))
}

// setCookie takes the cookie away when secret is "".
func (s *Site) setCookie(w http.ResponseWriter, secret string, until time.Time) {
	c := s.cookie
	c.Value = secret
	if c.Expires = until; secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, &c)
}

// logout ends the session of this browser, by the verb, so that it is on record.
func (s *Site) logout(w http.ResponseWriter, r *http.Request) {
	if v, ok := s.enter(w, r); ok {
		if _, err := s.Access.EndSessions(r.Context(), v.person.Name, v.session.ID); err != nil {
			s.fail(w, r, v, err)
			return
		}
		s.Table.Record(r.Context(), access.Record{Who: v.person.Name, Via: v.via, Line: "sign out", Outcome: "ok"})
		s.setCookie(w, "", time.Unix(1, 0))
		http.Redirect(w, r, s.prefix+"/login", http.StatusSeeOther)
	}
}

// browserOf says which browser it is, as far as one can know.
func browserOf(r *http.Request) access.Session {
	return access.Session{From: web.VisitorOf(r.Context()).Addr.String(), Browser: r.UserAgent()}
}

// ours gives a path of this site, whatever somebody wrote where one is to stand: of an address elsewhere, "/".
func ours(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\t\r\n") ||
		strings.HasPrefix(u.Path, "//") || strings.HasPrefix(u.Path, "/logout") || strings.HasPrefix(u.Path, "/login") {
		return "/"
	}
	return u.RequestURI()
}
