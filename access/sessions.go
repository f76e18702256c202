package access

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Session is a browser in which somebody has signed in. Only the hash of its secret is on record, as with a token.
//
//	link ── taken once, within LinkLife ──────┐
//	token ────────────────────────────────────┼──► session ──► person, asked again at each request
//	what the company's login said (oidc.go) ──┘
type Session struct {
	ID      int64     `json:"session"`
	Person  string    `json:"person"`
	How     string    `json:"how"`     // by what they signed in, for people
	From    string    `json:"from"`    // the address
	Browser string    `json:"browser"` // as it calls itself
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"` // to the minute
	Expires time.Time `json:"expires"`

	basis `json:"-"`
	login string // what the company's login said of who it is, as JSON; "": it was another way in
}

// basis is what a link or a session rests on.
type basis struct {
	roles  string // allRoles, or those that it is bound to
	behind string
	token  int64 // 0: none; else it must still be good
}

// allRoles says that a session has whatever roles its person has now.
const allRoles = "*"

// Lifetimes of links and sessions.
const (
	LinkLife    = 2 * time.Minute
	SessionIdle = 12 * time.Hour
	SessionLife = 7 * 24 * time.Hour
)

// Link lets its reader sign in once.
type Link struct {
	Person  string
	Via     string // where it was asked for
	Created time.Time
	Expires time.Time
	Roles   []string // to which it is bound; nil: whatever the person has

	basis
}

// Errors of links and sessions. Their words are for people.
var (
	ErrNoLink         = errors.New("this link is not known here, or older than a day")
	ErrLinkUsed       = errors.New("this link was used already: it is good once")
	ErrLinkLate       = errors.New("this link is too old: it is good for two minutes")
	ErrNoSession      = errors.New("nobody is signed in here")
	ErrSessionExpired = errors.New("you were signed out, because it is too long ago that you signed in or did something")
	ErrSessionOrphan  = errors.New("you were signed out: you are no longer in the configuration")
	ErrSessionOther   = errors.New("you were signed out: by the configuration, your login is somebody else now, or another provider's; sign in again")
)

// sessions and links; they are the same on both databases.
var sessions = store.Migration{Name: "access/8-sessions", Stmts: []string{
	`CREATE TABLE sessions (
	id {{id}},
	hash TEXT NOT NULL UNIQUE, person TEXT NOT NULL, roles TEXT NOT NULL, behind TEXT NOT NULL, token BIGINT NOT NULL,
	how TEXT NOT NULL, address TEXT NOT NULL, browser TEXT NOT NULL, created BIGINT NOT NULL, used BIGINT NOT NULL
)`,
	`CREATE TABLE links (
	hash TEXT PRIMARY KEY, person TEXT NOT NULL, roles TEXT NOT NULL, behind TEXT NOT NULL, token BIGINT NOT NULL,
	via TEXT NOT NULL, created BIGINT NOT NULL, used BIGINT NOT NULL
)`,
}}

// chance gives a secret of 256 bits.
func chance() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// basisOf says on what a person stands: by a token with its roles, else with those that the configuration gives them.
func basisOf(p Person) basis {
	b := basis{roles: allRoles, behind: strings.Join(p.Behind, "\n"), token: p.Token}
	if p.Token != 0 {
		b.roles = strings.Join(p.Roles, " ")
	}
	return b
}

// NewLink makes a link for a person of the configuration, and gives its secret.
func (a *Access) NewLink(ctx context.Context, p Person, via string) (Link, string, error) {
	now := time.Now()
	l := Link{Person: p.Name, Via: plain.Line(via), Created: now, Expires: now.Add(LinkLife), basis: basisOf(p)}
	secret := chance()
	err := a.db.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM links WHERE created < ?", now.Add(-24*time.Hour).UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO links (hash, person, roles, behind, token, via, created, used) VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
			hash(secret), l.Person, l.roles, l.behind, l.token, l.Via, now.UnixMilli())
		return err
	})
	if err != nil {
		return l, "", fmt.Errorf("store the link: %w", err)
	}
	return l, secret, nil
}

// FindLink gives a link that is still good, and changes nothing. ErrNoLink, ErrLinkUsed or ErrLinkLate.
func (a *Access) FindLink(ctx context.Context, secret string) (Link, error) {
	return findLink(ctx, a.db, secret)
}

// findLink is FindLink by any Querier: TakeLink looks and uses the link up in one transaction.
func findLink(ctx context.Context, q store.Querier, secret string) (Link, error) {
	var l Link
	var created, used int64
	err := q.QueryRow(ctx, "SELECT person, roles, behind, token, via, created, used FROM links WHERE hash = ?", hash(secret)).Scan(&l.Person, &l.roles, &l.behind, &l.token, &l.Via, &created, &used)
	if l.Created = time.UnixMilli(created); l.roles != allRoles {
		l.Roles = strings.Fields(l.roles)
	}
	l.Expires = l.Created.Add(LinkLife)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return l, ErrNoLink
	case err != nil:
		return l, err
	case used != 0:
		return l, ErrLinkUsed
	case time.Now().After(l.Expires):
		return l, ErrLinkLate
	}
	return l, nil
}

// TakeLink signs in by a link, which is used up. The secret of the session is seen this once. The errors are those of
// FindLink.
func (a *Access) TakeLink(ctx context.Context, link string, s Session) (Session, string, error) {
	secret := ""
	err := a.db.Write(ctx, func(tx store.Tx) error {
		l, err := findLink(ctx, tx, link)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "UPDATE links SET used = ? WHERE hash = ? AND used = 0", time.Now().UnixMilli(), hash(link))
		if err == nil && n != 1 { // another browser, in the same moment
			err = ErrLinkUsed
		}
		if err != nil {
			return err
		}
		s.Person, s.basis, s.How = l.Person, l.basis, "a link, asked for in "+l.Via
		secret, err = insertSession(ctx, tx, &s)
		return err
	})
	return s, secret, err
}

// SignIn signs in by a token. The errors are those of Bearer.
func (a *Access) SignIn(ctx context.Context, token string, s Session) (Session, string, error) {
	p, err := a.Bearer(ctx, token)
	if err != nil {
		return s, "", err
	}
	s.Person, s.basis, s.How = p.Name, basisOf(p), fmt.Sprintf("token %d", p.Token)
	secret := ""
	err = a.db.Write(ctx, func(tx store.Tx) error {
		secret, err = insertSession(ctx, tx, &s)
		return err
	})
	return s, secret, err
}

// insertSession also removes the sessions that are over, so that nothing else has to. It fills in s, and gives the
// secret, of which the record has the hash alone.
func insertSession(ctx context.Context, tx store.Tx, s *Session) (secret string, err error) {
	now := time.Now()
	s.Created, s.Used, s.Expires = now, now, now.Add(SessionIdle)
	s.From, s.Browser = plain.Line(s.From), cut(plain.Line(s.Browser), 200)
	if _, err := tx.Exec(ctx, "DELETE FROM sessions WHERE created < ? OR used < ?", now.Add(-SessionLife).UnixMilli(), now.Add(-SessionIdle).UnixMilli()); err != nil {
		return "", err
	}
	secret = chance()
	return secret, tx.QueryRow(ctx, "INSERT INTO sessions (hash, person, roles, behind, token, login, how, address, browser, created, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
		hash(secret), s.Person, s.roles, s.behind, s.token, s.login, s.How, s.From, s.Browser, now.UnixMilli(), now.UnixMilli()).Scan(&s.ID)
}

// cut takes n bytes at most, and leaves no half character at the end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

const sessionColumns = "id, person, roles, behind, token, login, how, address, browser, created, used"

// scanSession works Expires out, which has no column.
func scanSession(row store.Row) (Session, error) {
	var s Session
	var created, used int64
	err := row.Scan(&s.ID, &s.Person, &s.roles, &s.behind, &s.token, &s.login, &s.How, &s.From, &s.Browser, &created, &used)
	s.Created, s.Used = time.UnixMilli(created), time.UnixMilli(used)
	s.Expires = s.Used.Add(SessionIdle)
	if last := s.Created.Add(s.Life()); last.Before(s.Expires) {
		s.Expires = last
	}
	return s, err
}

// Life is how long it lasts from login on, however much it is used.
func (s Session) Life() time.Duration {
	if s.login != "" {
		return LoginLife
	}
	return SessionLife
}

// Session gives the session of a secret, and its person as the configuration has them now. ErrNoSession,
// ErrSessionExpired, ErrSessionOrphan, ErrSessionOther, a NoRoleError, or an error of Bearer when its token is no
// longer good.
func (a *Access) Session(ctx context.Context, secret string) (Session, Person, error) {
	s, err := scanSession(a.db.QueryRow(ctx, "SELECT "+sessionColumns+" FROM sessions WHERE hash = ?", hash(secret)))
	switch {
	case errors.Is(err, store.ErrNoRows):
		return s, Person{}, ErrNoSession
	case err != nil:
		return s, Person{}, err
	case time.Now().After(s.Expires):
		return s, Person{}, ErrSessionExpired
	}
	p, err := a.standsFor(ctx, s)
	if err != nil {
		return s, Person{}, err
	}
	if now := time.Now(); now.Sub(s.Used) > time.Minute {
		_ = a.db.Write(ctx, func(tx store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE sessions SET used = ? WHERE id = ?", now.UnixMilli(), s.ID)
			return err
		})
	}
	return s, p, nil
}

// standsFor gives the person of a session: with a token, the one that it stands for; never with a role that the session
// has not.
func (a *Access) standsFor(ctx context.Context, s Session) (Person, error) {
	if s.login != "" {
		return a.byLogin(s)
	}
	p := a.Person(s.Person)
	if p.Name == "" {
		return Person{}, ErrSessionOrphan
	}
	if s.token != 0 {
		t, err := scanToken(a.db.QueryRow(ctx, "SELECT "+tokenColumns+" FROM tokens WHERE id = ?", s.token))
		if errors.Is(err, store.ErrNoRows) {
			return Person{}, ErrTokenUnknown
		} else if err != nil {
			return Person{}, err
		}
		return a.bearerOf(t)
	}
	if s.behind != "" {
		p.Behind = strings.Split(s.behind, "\n")
	}
	if s.roles != allRoles {
		return p.Narrow(strings.Fields(s.roles)), nil
	}
	return p, nil
}

// Sessions lists a person's sessions that are good, the newest first.
func (a *Access) Sessions(ctx context.Context, person string) ([]Session, error) {
	now := time.Now()
	list, err := store.Collect(ctx, a.db, scanSession, "SELECT "+sessionColumns+" FROM sessions WHERE lower(person) = lower(?) AND created > ? AND used > ? ORDER BY id DESC",
		person, now.Add(-SessionLife).UnixMilli(), now.Add(-SessionIdle).UnixMilli())
	return slices.DeleteFunc(list, func(s Session) bool { return now.After(s.Expires) }), err
}

// EndSessions signs a person out: of one session, or of all for 0. It says of how many.
func (a *Access) EndSessions(ctx context.Context, person string, id int64) (n int64, err error) {
	err = a.db.Write(ctx, func(tx store.Tx) (err error) {
		n, err = tx.Exec(ctx, "DELETE FROM sessions WHERE lower(person) = lower(?) AND (? = 0 OR id = ?)", person, id, id)
		return err
	})
	return n, err
}

// EndAllSessions signs everybody out, in a transaction: what a backup brings back is of before.
func EndAllSessions(ctx context.Context, tx store.Tx) error {
	for _, q := range []string{"DELETE FROM sessions", "DELETE FROM links", "DELETE FROM logins"} {
		if _, err := tx.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}
