package pages

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/guard"
)

// company is the provider of the company's login. What it says of itself is asked for when somebody wants to sign in,
// and again after each failure: the server needs it for nothing else.
type company struct {
	conf *access.OIDC
	http *http.Client
	err  error // of the configuration
	log  *slog.Logger

	mu     sync.Mutex
	last   *description  // nil: none yet
	failed error         // of the last time; nil: it answered
	asked  time.Time     // when that was
	flight chan struct{} // closed when who asks now is done; nil: nobody does
}

// description is what the provider says of itself.
type description struct {
	*oidc.Provider
	Post   bool // the client's secret goes into the form
	HasIss bool // its answers name it (RFC 9207)
}

const (
	callWithin = 10 * time.Second
	fresh      = time.Minute            // so long a description is believed by who begins a login
	lookEvery  = 10 * time.Second       // how often it is asked by who only opens the login page
	lookWithin = 300 * time.Millisecond // how long that one waits
	maxReply   = 1 << 20
)

// sayError is a sentence for who signs in. The cause is in the log.
type sayError struct {
	msg    string
	status int
}

func (e *sayError) Error() string { return e.msg }

// newCompany keeps a mistake in the configuration for describe: the login does not work then, and the server starts all
// the same.
func newCompany(conf *access.OIDC, log *slog.Logger) *company {
	pool, err := conf.CAs()
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	// No redirect: the code and the secret are for the addresses that the provider gave, and for no others.
	return &company{conf: conf, err: err, log: log, http: &http.Client{Timeout: callWithin, Transport: bounded{t}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// bounded reads no more of an answer than one can have.
type bounded struct{ http.RoundTripper }

// RoundTrip is http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxReply), res.Body}
	}
	return res, err
}

// trouble gives why the provider did not answer the last time it was asked; nil: it did, or was not asked yet.
func (c *company) trouble() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// away says that it does not answer.
func (c *company) away() string {
	return c.conf.Called() + " does not answer me as it should, and nobody can sign in by it just now; a link from `page` and a token work as ever"
}

// look asks the provider whether it is there, if that is not known, and waits no longer than a reader of the page may.
func (c *company) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	_, _ = c.described(ctx, lookEvery)
}

// described gives what the provider says of itself, not older than age. Those who ask at once share the answer.
func (c *company) described(ctx context.Context, age time.Duration) (*description, error) {
	c.mu.Lock()
	if c.failed != nil {
		age = min(age, time.Second) // it may be back
	}
	if time.Since(c.asked) < age {
		defer c.mu.Unlock()
		return c.last, c.failed
	}
	done := c.flight
	if done == nil {
		done = make(chan struct{})
		c.flight = done
		guard.Go(guard.Log(c.log, "ask the company's login"), func() {
			defer close(done)
			var d *description
			// A bug is an answer too: who waits must not get nothing, nor who comes later this flight.
			err := guard.Call(func() (err error) { d, err = c.describe(); return err })
			c.mu.Lock()
			defer c.mu.Unlock()
			var bug *guard.Panic
			switch {
			case errors.As(err, &bug):
				guard.Log(c.log, "ask the company's login", "issuer", c.conf.Issuer)(bug)
			case err != nil:
				c.log.Warn("the company's login does not answer as it should; links and tokens still sign in", "issuer", c.conf.Issuer, "err", err)
			case c.failed != nil:
				c.log.Info("the company's login answers again", "issuer", c.conf.Issuer)
			}
			if c.failed, c.asked, c.flight = err, time.Now(), nil; err == nil {
				c.last = d
			}
		})
	}
	c.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.failed
}

// describe asks the provider, and refuses addresses that would send secrets over plain HTTP.
func (c *company) describe() (*description, error) {
	if c.err != nil {
		return nil, c.err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(context.Background(), c.http), callWithin)
	defer cancel()
	p, err := oidc.NewProvider(ctx, c.conf.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		Auth []string `json:"token_endpoint_auth_methods_supported"`
		Iss  bool     `json:"authorization_response_iss_parameter_supported"`
		JWKS string   `json:"jwks_uri"`
	}
	if err := p.Claims(&more); err != nil {
		return nil, err
	}
	for name, at := range map[string]string{"authorization_endpoint": p.Endpoint().AuthURL, "token_endpoint": p.Endpoint().TokenURL, "jwks_uri": more.JWKS, "userinfo_endpoint": p.UserInfoEndpoint()} {
		if u, err := url.Parse(at); at == "" && name == "userinfo_endpoint" {
			continue
		} else if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(c.conf.Issuer, "https:")) {
			return nil, fmt.Errorf("it says of itself that its %s is %q, which is no address that can be trusted", name, at)
		}
	}
	return &description{Provider: p, HasIss: more.Iss, Post: len(more.Auth) > 0 && !slices.Contains(more.Auth, "client_secret_basic") && slices.Contains(more.Auth, "client_secret_post")}, nil
}

// TryOIDC asks the provider of a configuration whether it is there, and is the one that it says.
func TryOIDC(conf *access.OIDC) (string, error) {
	if _, err := newCompany(conf, slog.New(slog.DiscardHandler)).describe(); err != nil {
		return "", err
	}
	return conf.Issuer + " is there; whether it knows this client and its secret shows when somebody signs in", nil
}

// client is what we are to the provider.
func (c *company) client(d *description, callback string) *oauth2.Config {
	e := d.Endpoint()
	if e.AuthStyle = oauth2.AuthStyleInHeader; d.Post { // never tried out: a code that is sent twice is void
		e.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{ClientID: c.conf.Client, ClientSecret: string(c.conf.Secret), Endpoint: e, RedirectURL: callback, Scopes: append([]string{oidc.ScopeOpenID}, c.conf.Scopes...)}
}

// refusals are the provider's errors that people meet (RFC 6749 §4.1.2.1), in words.
var refusals = map[string]string{
	"access_denied":           "did not let you in",
	"login_required":          "wants you to log in there first",
	"temporarily_unavailable": "is too busy just now; try again in a moment",
	"server_error":            "has broken; try again in a moment",
}

// arrive makes of what came back who somebody is. The errors are a *sayError.
func (c *company) arrive(ctx context.Context, q url.Values, b access.Began, callback string) (access.Login, error) {
	say := func(status int, format string, args ...any) (access.Login, error) {
		return access.Login{}, &sayError{c.conf.Called() + " " + fmt.Sprintf(format, args...), status}
	}
	cannot := func(what string, err error) (access.Login, error) {
		c.log.Warn("sign in by the company's login", "issuer", c.conf.Issuer, "what", what, "err", forLog(err))
		return say(http.StatusServiceUnavailable, "does not answer me as it should, and nobody was signed in; begin again, and if it stays, an admin of mine finds the reason in my log")
	}
	d, err := c.described(ctx, 24*time.Hour)
	if err != nil {
		return cannot("ask it for its description", err)
	}
	if iss := q.Get("iss"); iss != "" && iss != c.conf.Issuer || iss == "" && d.HasIss {
		return say(http.StatusUnauthorized, "is not where this answer comes from; nobody was signed in")
	}
	if code := q.Get("error"); code != "" {
		why := clip(code, 60)
		if more := clip(q.Get("error_description"), 200); more != "" {
			why += ": " + more
		}
		return say(http.StatusUnauthorized, "%s (%s); nobody was signed in", cmp.Or(refusals[code], "refused"), why)
	}
	if q.Get("code") == "" {
		return say(http.StatusUnauthorized, "sent an answer without a code; nobody was signed in: begin again")
	}
	ctx = oidc.ClientContext(ctx, c.http)
	tok, err := c.client(d, callback).Exchange(ctx, q.Get("code"), oauth2.VerifierOption(b.Verifier()))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode == "invalid_grant":
		return say(http.StatusUnauthorized, "does not know this answer as its own, or no longer (invalid_grant); nobody was signed in: begin again")
	case err != nil:
		return cannot("change the code for an ID token", err)
	}
	raw, _ := tok.Extra("id_token").(string)
	id, err := d.Verifier(&oidc.Config{ClientID: c.conf.Client}).Verify(ctx, raw)
	if err != nil {
		return cannot("look at the ID token", err)
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return cannot("read the ID token", err)
	}
	switch azp, _ := claims["azp"].(string); {
	case !same(id.Nonce, b.Nonce()):
		return cannot("look at the ID token", errors.New("its nonce is another login's"))
	case len(id.Audience) > 1 && azp != c.conf.Client:
		return cannot("look at the ID token", errors.New("it is for several clients, and was not given to us"))
	case id.AccessTokenHash != "":
		if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
			return cannot("look at the access token", err)
		}
	}
	claim, groups := c.conf.ClaimName(), c.conf.GroupsName()
	if (lookUp(claims, claim) == nil || lookUp(claims, groups) == nil) && d.UserInfoEndpoint() != "" {
		info, err := d.UserInfo(ctx, oauth2.StaticTokenSource(tok))
		if err != nil {
			return cannot("ask for the groups", err)
		}
		if info.Subject != id.Subject { // OpenID Connect Core §5.3.2
			return cannot("ask for the groups", errors.New("userinfo is about somebody else"))
		}
		more := map[string]any{}
		if err := info.Claims(&more); err != nil {
			return cannot("read userinfo", err)
		}
		for k, v := range more {
			if _, is := claims[k]; !is { // what is signed counts
				claims[k] = v
			}
		}
	}
	l := access.Login{Issuer: c.conf.Issuer, Claim: claim}
	if l.Value, _ = lookUp(claims, claim).(string); l.Value == "" {
		return say(http.StatusForbidden, "does not say who you are: there is no `%s` in what it gives me; nobody was signed in. An admin of mine finds in docs/howto/pages.md what to set there", clip(claim, 60))
	}
	switch g := lookUp(claims, groups).(type) {
	case string:
		l.Groups = []string{g}
	case []any:
		for _, v := range g {
			if name, ok := v.(string); ok {
				l.Groups = append(l.Groups, name)
			}
		}
	}
	return l, nil
}

// lookUp finds a claim: by its name, or by the names of those that it is inside of, as realm_access.roles.
func lookUp(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	first, rest, ok := strings.Cut(name, ".")
	inner, is := claims[first].(map[string]any)
	if !ok || !is {
		return nil
	}
	return lookUp(inner, rest)
}

// forLog gives an error for the log. What the provider wrote may hold what it was sent, so of that only the code of the
// error (RFC 6749 §5.2) is told.
func forLog(err error) string {
	var r *oauth2.RetrieveError
	if errors.As(err, &r) {
		status := 0
		if r.Response != nil {
			status = r.Response.StatusCode
		}
		return fmt.Sprintf("it answered %d %s", status, clip(r.ErrorCode, 60))
	}
	return clip(err.Error(), 300)
}
