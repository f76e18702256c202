package pages

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/web"
)

// loginEach and loginAll bound the logins that are begun: each is a row, and whoever begins one is nobody yet.
var (
	loginEach = access.LimitConfig{Burst: 30, Interval: 2 * time.Second} // from one place
	loginAll  = access.LimitConfig{Burst: 1000, Interval: 20 * time.Millisecond}
)

// goPage sends the browser on. It is a page and no redirect: what comes of it is a navigation of our own page, for
// which the CSP needs no site of others, and with which the session's cookie comes.
type goPage struct {
	Title, Text, To, Where string
}

// goOn goes on without a script: the header does it, and the link in the page where a browser does not.
func (s *Site) goOn(w http.ResponseWriter, r *http.Request, p goPage) {
	w.Header().Set("Refresh", "0;url="+p.To)
	s.draw(w, r, http.StatusOK, "go.html", p, nil)
}

// company gives the company's login as the configuration has it now; nil: there is none.
func (s *Site) company() *company {
	conf := s.Access.OIDC()
	s.oidcMu.Lock()
	defer s.oidcMu.Unlock()
	switch {
	case conf == nil:
		s.oidc = nil
	case s.oidc == nil || s.oidc.conf != conf:
		s.oidc = newCompany(conf, s.Log)
	}
	return s.oidc
}

// drawLogin draws the ways in. With look the company's login is asked whether it is there, for a moment.
func (s *Site) drawLogin(w http.ResponseWriter, r *http.Request, status int, d loginPage, look bool) {
	if c := s.company(); c != nil {
		d.Company = c.conf.Called()
		if look {
			c.look(r.Context())
		}
		if d.Why == "" && c.trouble() != nil {
			d.Why = c.away()
		}
	}
	s.draw(w, r, status, "login.html", d, nil)
}

// loginCookie is the cookie of one login under way: its name is its own, so that two windows do not take each other's.
func (s *Site) loginCookie(state string) http.Cookie {
	c := http.Cookie{Name: s.cookie.Name + "-login-" + state[:8], Path: s.cookie.Path, HttpOnly: true, Secure: s.cookie.Secure, SameSite: http.SameSiteLaxMode}
	if !strings.HasPrefix(c.Name, "__Host-") { // which is for the whole host, always
		c.Path += "login/oidc"
	}
	return c
}

// stateForm is that of our states.
var stateForm = pattern.New(`^[A-Za-z0-9_-]{43}$`)

// beginOIDC sends somebody to the company's login.
func (s *Site) beginOIDC(w http.ResponseWriter, r *http.Request) {
	next := ours(r.PostFormValue("next"))
	c := s.company()
	if c == nil {
		http.Redirect(w, r, s.prefix+"/login", http.StatusSeeOther)
		return
	}
	if s.logins.Take(web.VisitorOf(r.Context()).Place()) > 0 || s.loginsAll.Take("all") > 0 {
		s.fail(w, r, nil, &command.UserError{Msg: "that is too fast for me", Hint: "try again a moment later", Kind: command.ErrLimited})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), callWithin)
	defer cancel()
	d, err := c.described(ctx, fresh)
	if err != nil {
		s.drawLogin(w, r, http.StatusServiceUnavailable, loginPage{Next: next, Why: c.away()}, false)
		return
	}
	b, err := s.Access.Begin(r.Context(), c.conf.Issuer, next)
	if err != nil {
		s.fail(w, r, nil, err)
		return
	}
	cookie := s.loginCookie(b.State)
	cookie.Value, cookie.MaxAge = b.Browser, int(access.LoginWait/time.Second)
	http.SetCookie(w, &cookie)
	to := c.client(d, s.callback()).AuthCodeURL(b.State, oidc.Nonce(b.Nonce()), oauth2.S256ChallengeOption(b.Verifier()))
	s.goOn(w, r, goPage{Title: "Sign in", Text: "On to " + c.conf.Called() + ".", To: to, Where: c.conf.Called()})
}

// askOIDC is for whoever opens the address of a form.
func (s *Site) askOIDC(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, s.prefix+"/login", http.StatusSeeOther)
}

// arriveOIDC takes what comes back from the company's login.
func (s *Site) arriveOIDC(w http.ResponseWriter, r *http.Request) {
	c := s.company()
	if c == nil {
		s.askOIDC(w, r)
		return
	}
	q := r.URL.Query()
	state := q.Get("state")
	if !stateForm.MatchString(state) {
		s.refuseOIDC(w, r, c, access.ErrLoginForeign)
		return
	}
	cookie := s.loginCookie(state)
	has, err := r.Cookie(cookie.Name)
	if err != nil || !stateForm.MatchString(has.Value) {
		s.refuseOIDC(w, r, c, access.ErrLoginForeign)
		return
	}
	b, err := s.Access.Arrive(r.Context(), state, has.Value)
	if err == nil && b.Issuer != c.conf.Issuer {
		err = access.ErrLoginForeign // the configuration is another by now
	}
	if err != nil {
		s.refuseOIDC(w, r, c, err)
		return
	}
	cookie.MaxAge = -1
	http.SetCookie(w, &cookie)
	ctx, cancel := context.WithTimeout(r.Context(), 3*callWithin)
	defer cancel()
	l, err := c.arrive(ctx, q, b, s.callback())
	if err != nil {
		s.refuseOIDC(w, r, c, err)
		return
	}
	session, secret, err := s.Access.SignInAs(r.Context(), l, browserOf(r))
	if err != nil {
		s.refuseOIDC(w, r, c, err)
		return
	}
	s.begin(w, r, session, secret)
	s.goOn(w, r, goPage{Title: "Signed in as " + session.Person, To: s.prefix + ours(b.Next), Where: ours(b.Next)})
}

// callback is the address to which the provider sends people back.
func (s *Site) callback() string { return s.origin + s.prefix + "/login/oidc/callback" }

// refuseOIDC says that nobody was signed in, and why; it is on record, without anything that the provider or the
// browser sent to prove something.
func (s *Site) refuseOIDC(w http.ResponseWriter, r *http.Request, c *company, err error) {
	var said *sayError
	var stranger *access.NoRoleError
	status, who := http.StatusUnauthorized, "stranger "+web.VisitorOf(r.Context()).Addr.String()
	switch {
	case errors.As(err, &stranger):
		status, who = http.StatusForbidden, access.StrangerPrefix+stranger.Value
	case errors.As(err, &said):
		status = said.status
	case !errors.Is(err, access.ErrLoginForeign) && !errors.Is(err, access.ErrLoginUsed) && !errors.Is(err, access.ErrLoginLate) && !errors.Is(err, access.ErrLoginValue) && !errors.Is(err, access.ErrSessionOther):
		s.fail(w, r, nil, err)
		return
	}
	if web.VisitorOf(r.Context()).Refused(access.Record{Who: who, Via: via(r), Line: "sign in by " + c.conf.Called() + " (OpenID Connect)", Outcome: err.Error()}) {
		s.fail(w, r, nil, &command.UserError{Msg: "that is too fast for me", Hint: "try again a moment later", Kind: command.ErrLimited})
		return
	}
	s.drawLogin(w, r, status, loginPage{Why: err.Error()}, false)
}

// same compares what somebody may guess at.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
