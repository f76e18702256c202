package access

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/cafile"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// OIDC is the part of jarvis.yaml about sign-in to the pages by the company's login, a provider of OpenID Connect.
type OIDC struct {
	Issuer string              `yaml:"issuer" doc:"address of the provider, exactly as it calls itself in ISSUER/.well-known/openid-configuration"`
	Client string              `yaml:"client" doc:"what Jarvis is called there (client_id); its redirect address there is http.url with /login/oidc/callback"`
	Secret clipboard.Secret    `yaml:"secret" doc:"of that client"`
	CA     string              `yaml:"ca" path:"relative" doc:"file of the CA that signed the provider's certificate; empty: the system's"`
	Name   string              `yaml:"name" doc:"what people call it, for the button" default:"the issuer's host name"`
	Scopes []string            `yaml:"scopes" doc:"asked for beside openid, as in [profile, groups], where the provider gives claims by scope"`
	Claim  string              `yaml:"claim" doc:"the claim that says who somebody is, and that he cannot choose himself; people[].oidc names its values" default:"sub"`
	Groups string              `yaml:"groups" doc:"the claim with his groups; one inside of another as realm_access.roles" default:"groups"`
	Roles  map[string][]string `yaml:"roles" doc:"roles by group, as in {operators: [view, deploy]}, beside those that people gives; whoever is not in people has these alone, as oidc:VALUE, and is nobody's second person"`
}

// ClaimName is the claim that says who somebody is.
func (c *OIDC) ClaimName() string { return cmp.Or(c.Claim, "sub") }

// GroupsName is the claim with the person's groups.
func (c *OIDC) GroupsName() string { return cmp.Or(c.Groups, "groups") }

// Called is what people call the provider.
func (c *OIDC) Called() string {
	if c.Name != "" {
		return c.Name
	}
	if u, err := url.Parse(c.Issuer); err == nil {
		return u.Hostname()
	}
	return c.Issuer
}

// CAs gives who may sign the provider's certificate; nil: whom the system trusts.
func (c *OIDC) CAs() (*x509.CertPool, error) {
	return cafile.Pool("http.oidc.ca", c.CA)
}

// chosen are claims that people write themselves at many a provider, or that two may share.
var chosen = []string{"email", "mail", "email_verified", "name", "given_name", "family_name", "nickname", "phone_number"}

// Check says what is wrong with it; at is http.url.
func (c *OIDC) Check(at string) error {
	var wrong mistake.List
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		wrong.At("http.oidc.issuer", "is %q; it must be like https://login.example.org/realms/staff", c.Issuer)
	case u.Scheme == "http" && !loopback.Is(u.Hostname()):
		wrong.At("http.oidc.issuer", "is %q; without https, whoever is on the way could sign in as anybody", c.Issuer)
	}
	if c.Client == "" {
		wrong.At("http.oidc.client", "is not set; it is the client_id that the provider gave Jarvis")
	}
	if c.Secret == "" {
		wrong.At("http.oidc.secret", "is not set; it is the secret of that client, as in ${credential:oidc}")
	}
	if at == "" {
		wrong.At("http.oidc", "needs http.url: the provider sends people back there")
	}
	if slices.Contains(chosen, strings.ToLower(c.Claim)) {
		wrong.At("http.oidc.claim", "is %q, which people may write themselves at many a provider, so that anybody could be anybody; take sub, or another that the provider alone gives", c.Claim)
	}
	for i, s := range c.Scopes {
		if s == "" || strings.ContainsAny(s, " ,\"\\") || !fit(s) {
			wrong.At(fmt.Sprintf("http.oidc.scopes[%d]", i), "is %q; it must be one word", s)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(c.Roles)) {
		for i, r := range c.Roles[group] {
			if !slices.Contains(Roles, r) {
				wrong.At(fmt.Sprintf("http.oidc.roles.%s[%d]", group, i), ": the group has the role %q; there are %s", r, strings.Join(Roles, ", "))
			}
		}
	}
	_, err = c.CAs()
	wrong.Add(err)
	return wrong.Err()
}

// Login is what the provider said of somebody. The session keeps it; what they may do is asked of the configuration
// each time.
type Login struct {
	Issuer string   `json:"issuer"`
	Claim  string   `json:"claim"`
	Value  string   `json:"value"`
	Groups []string `json:"groups"`
}

const (
	// LoginWait is how long somebody may take at the provider.
	LoginWait = 10 * time.Minute
	// LoginLife is how long a session by the company's login lasts: what they may do changes over there.
	LoginLife = 12 * time.Hour
	// StrangerPrefix begins the names of those whom the provider knows, and the configuration does not name.
	StrangerPrefix = "oidc:"

	maxClaim  = 255 // letters of who somebody is; a sub has no more (OpenID Connect Core §2)
	maxGroups = 2000
)

// Errors of logins. Their words are for people.
var (
	ErrLoginForeign = errors.New("this login was not begun in this browser, or more than ten minutes ago; nobody was signed in")
	ErrLoginUsed    = errors.New("this login is over: each is good once; begin again")
	ErrLoginLate    = errors.New("this login took too long: ten minutes are given; begin again")
	ErrLoginValue   = errors.New("the provider says who you are in a way that I cannot use")
)

// NoRoleError refuses somebody whom the provider knows.
type NoRoleError struct {
	At, Value string
	Groups    []string
}

// Error implements error.
func (e *NoRoleError) Error() string {
	groups, or := "you are in no group there", "for a group that has a role here"
	if n := len(e.Groups); n > 0 {
		list := e.Groups[:min(n, 10)]
		groups = "none of your groups there has a role here (" + strings.Join(list, ", ")
		if n > len(list) {
			groups += fmt.Sprintf(", and %d more", n-len(list))
		}
		groups += ")"
		or = "for a role of one of your groups"
	}
	return fmt.Sprintf("%s says that you are %s; you are not one of `people` here, and %s. Ask an admin of mine for an entry in `people` with `oidc: %s`, or %s", e.At, e.Value, groups, e.Value, or)
}

// logins are those that are under way. A session by one has nothing in the column roles: an older program, which does
// not know the column login, gives it nothing.
var logins = store.Migration{Name: "access/9-logins", Stmts: []string{
	`ALTER TABLE sessions ADD COLUMN login TEXT NOT NULL DEFAULT ''`,
	`CREATE TABLE logins (hash TEXT PRIMARY KEY, browser TEXT NOT NULL, issuer TEXT NOT NULL, next TEXT NOT NULL, created BIGINT NOT NULL, used BIGINT NOT NULL)`,
	`CREATE INDEX logins_created ON logins (created)`,
}}

// fit reports whether a word of the provider can stand in our record as it is: two that had to be cleaned could look
// the same.
func fit(s string) bool {
	return s != "" && len(s) <= maxClaim && plain.Line(s) == s && strings.TrimSpace(s) == s
}

// SetOIDC takes another configuration of the company's login, or none. The caller has checked it.
func (a *Access) SetOIDC(c *OIDC) { a.oidc.Store(c) }

// OIDC gives the configuration of the company's login; nil: there is none.
func (a *Access) OIDC() *OIDC { return a.oidc.Load() }

// Began is a login under way. Its two secrets are in the browser alone, and what the provider is given is made of them.
type Began struct {
	State   string // goes to the provider and back
	Browser string // stays in the browser's cookie
	Issuer  string
	Next    string
}

// Verifier is PKCE's, and Nonce that of the ID token. Whoever has the record has neither.
func (b Began) Verifier() string { return b.derive("verifier") }

// Nonce binds the ID token to this login.
func (b Began) Nonce() string { return b.derive("nonce") }

// derive makes one of the values that the provider is given: whoever knows State alone cannot make it.
func (b Began) derive(what string) string {
	m := hmac.New(sha256.New, []byte(b.Browser))
	m.Write([]byte(what + "\n" + b.State))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// Begin puts a login on record.
func (a *Access) Begin(ctx context.Context, issuer, next string) (Began, error) {
	b := Began{State: chance(), Browser: chance(), Issuer: issuer, Next: next}
	now := time.Now()
	err := a.db.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM logins WHERE created < ?", now.Add(-6*LoginWait).UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO logins (hash, browser, issuer, next, created, used) VALUES (?, ?, ?, ?, ?, 0)", hash(b.State), hash(b.Browser), issuer, next, now.UnixMilli())
		return err
	})
	if err != nil {
		return b, fmt.Errorf("store the login: %w", err)
	}
	return b, nil
}

// Arrive takes a login that comes back, once: by its state, and the secret of the browser in which it was begun.
// Whoever has only one of them uses nothing up. ErrLoginForeign, ErrLoginUsed or ErrLoginLate.
func (a *Access) Arrive(ctx context.Context, state, browser string) (Began, error) {
	b := Began{State: state, Browser: browser}
	late := false
	err := a.db.Write(ctx, func(tx store.Tx) error {
		var created, used int64
		now := time.Now()
		err := tx.QueryRow(ctx, "SELECT issuer, next, created, used FROM logins WHERE hash = ? AND browser = ?", hash(state), hash(browser)).Scan(&b.Issuer, &b.Next, &created, &used)
		switch {
		case errors.Is(err, store.ErrNoRows):
			return ErrLoginForeign
		case err != nil:
			return err
		case used != 0:
			return ErrLoginUsed
		}
		late = now.After(time.UnixMilli(created).Add(LoginWait))
		n, err := tx.Exec(ctx, "UPDATE logins SET used = ? WHERE hash = ? AND used = 0", now.UnixMilli(), hash(state))
		if err == nil && n != 1 { // at another node, in the same moment
			err = ErrLoginUsed
		}
		return err
	})
	if err == nil && late {
		err = ErrLoginLate
	}
	return b, err
}

// ByLogin gives who somebody is by what the provider said of them, as the configuration is now: one of people, with the
// roles of their groups beside their own, or a stranger with those alone. ErrSessionOther when the configuration names
// another provider or claim; ErrLoginValue; a NoRoleError.
func (a *Access) ByLogin(l Login) (Person, error) {
	c := a.oidc.Load()
	if c == nil || l.Issuer != c.Issuer || l.Claim != c.ClaimName() {
		return Person{}, ErrSessionOther
	}
	if !fit(l.Value) {
		return Person{}, ErrLoginValue
	}
	out := Person{Name: StrangerPrefix + l.Value, Unnamed: true}
	for _, p := range *a.people.Load() {
		if p.OIDC == l.Value { // exactly: it is the provider's, and no name
			out = Person{Name: p.Name, Roles: slices.Clone(p.Roles)}
		}
	}
	for _, r := range Roles { // in one order, so that two who may do the same see the same
		if !slices.Contains(out.Roles, r) && slices.ContainsFunc(l.Groups, func(g string) bool { return slices.Contains(c.Roles[g], r) }) {
			out.Roles = append(out.Roles, r)
		}
	}
	if out.Unnamed && len(out.Roles) == 0 {
		return Person{}, &NoRoleError{At: c.Called(), Value: l.Value, Groups: l.Groups}
	}
	return out, nil
}

// SignInAs signs in whom the provider vouches for. The errors are those of ByLogin.
func (a *Access) SignInAs(ctx context.Context, l Login, s Session) (Session, string, error) {
	l.Groups = slices.DeleteFunc(slices.Clone(l.Groups), func(g string) bool { return !fit(g) })
	l.Groups = l.Groups[:min(len(l.Groups), maxGroups)]
	p, err := a.ByLogin(l)
	if err != nil {
		return s, "", err
	}
	b, err := json.Marshal(l)
	if err != nil {
		return s, "", err
	}
	s.Person, s.basis, s.login = p.Name, basis{}, string(b)
	s.How = fmt.Sprintf("%s (OpenID Connect), as %s", a.oidc.Load().Called(), l.Value)
	secret := ""
	err = a.db.Write(ctx, func(tx store.Tx) error {
		secret, err = insertSession(ctx, tx, &s)
		return err
	})
	return s, secret, err
}

// byLogin gives the person of a session that rests on what the provider said. It stays who it was: an entry of people
// that comes or goes makes it somebody else's, and they sign in again.
func (a *Access) byLogin(s Session) (Person, error) {
	var l Login
	if err := json.Unmarshal([]byte(s.login), &l); err != nil {
		return Person{}, fmt.Errorf("read session %d: %w", s.ID, err)
	}
	p, err := a.ByLogin(l)
	if err == nil && p.Name != s.Person {
		return Person{}, ErrSessionOther
	}
	return p, err
}

// Entry is what an entry of people has to say so that this login is named.
func (p Person) Entry() string {
	if value, ok := strings.CutPrefix(p.Name, StrangerPrefix); ok {
		return "oidc: " + value
	}
	return "local: " + p.Name
}

// KnownApart reports whether a person of the configuration is certainly not the stranger of that name: the
// configuration says who they are at the provider, so they would have come by their own name. So is another stranger.
// Of a name that is no such stranger's it is true.
func (a *Access) KnownApart(person, stranger string) bool {
	value, is := strings.CutPrefix(stranger, StrangerPrefix)
	if other, too := strings.CutPrefix(person, StrangerPrefix); is && too {
		return !strings.EqualFold(other, value)
	}
	return !is || slices.ContainsFunc(*a.people.Load(), func(p PersonConfig) bool {
		return strings.EqualFold(p.Name, person) && p.OIDC != "" && !strings.EqualFold(p.OIDC, value)
	})
}
