package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// Token is a secret that stands for a person at the HTTP API. Only its hash is on record: the secret has 256 bits of
// chance, so a fast hash is enough.
type Token struct {
	ID     int64    `json:"token"`
	Person string   `json:"person"`
	Name   string   `json:"name"` // what it is for
	Roles  []string `json:"roles"`
	By     string   `json:"by"` // who made it
	// By is who keeps the machine, as Person.Operator: noted when it is made, for not to be in `people` proves nothing.
	Operator bool      `json:"operator,omitempty"`
	Behind   []string  `json:"behind,omitempty"`    // who made the token that made it, and so on
	With     int64     `json:"made_with,omitempty"` // the number of the token by which it was made; 0: by none
	Silo     string    `json:"silo,omitempty"`      // of an agent's: it opens the line of one there, and nothing else
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires"`
	Used     time.Time `json:"used,omitzero"` // to the minute
	Revoked  time.Time `json:"revoked,omitzero"`
}

// Token lifetimes.
const (
	DefaultTokenLife = 90 * 24 * time.Hour
	MaxTokenLife     = 365 * 24 * time.Hour
)

// operator begins the name of whoever keeps the machine and made a token without being one of the people. No name in
// the configuration begins so.
const operator = "local:"

// TokenPrefix begins every secret, so that scanners of repositories and pastes know one when they see it.
const TokenPrefix = "jarvis_"

// Errors of tokens. Their words are for people.
var (
	ErrNoToken      = errors.New("no such token")
	ErrTokenUnknown = errors.New("this token is not known here")
	ErrTokenExpired = errors.New("this token has expired")
	ErrTokenRevoked = errors.New("this token was revoked")
	ErrTokenOrphan  = errors.New("this token is of somebody who is no longer in the configuration")
	ErrTokenAgent   = errors.New("this token is an agent's: it opens the line of one, and nothing else")
	ErrTokenPerson  = errors.New("this token is not an agent's; `jarvis token new NAME silo SILO` makes one that is")
)

// Person gives one of the configuration by name; the zero Person when there is none.
func (a *Access) Person(name string) Person {
	for _, p := range *a.people.Load() {
		if strings.EqualFold(p.Name, name) {
			return Person{Name: p.Name, Roles: p.Roles}
		}
	}
	return Person{}
}

// NewToken makes a token and gives its secret, which nobody can read again. The caller has checked who may.
func (a *Access) NewToken(ctx context.Context, t Token) (Token, string, error) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	secret := TokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	t.Created = time.Now()
	maker := makerPerson
	if t.Operator {
		maker = makerOperator
	}
	err := a.db.Write(ctx, func(tx store.Tx) error {
		return tx.QueryRow(ctx, "INSERT INTO tokens (person, name, hash, roles, by_whom, behind, silo, made_with, maker, created, expires, used, revoked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0) RETURNING id",
			t.Person, t.Name, hash(secret), strings.Join(t.Roles, " "), t.By, strings.Join(t.Behind, "\n"), t.Silo, t.With, maker, t.Created.UnixMilli(), t.Expires.UnixMilli()).Scan(&t.ID)
	})
	if err != nil {
		return t, "", fmt.Errorf("store the token: %w", err)
	}
	return t, secret, nil
}

// hash needs neither salt nor many rounds: every secret is random and too long to be guessed.
func hash(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

const tokenColumns = "id, person, name, roles, by_whom, behind, silo, made_with, maker, created, expires, used, revoked"

func scanToken(row interface{ Scan(...any) error }) (Token, error) {
	var t Token
	var roles, behind string
	var maker, created, expires, used, revoked int64
	err := row.Scan(&t.ID, &t.Person, &t.Name, &roles, &t.By, &behind, &t.Silo, &t.With, &maker, &created, &expires, &used, &revoked)
	t.Roles = strings.Fields(roles)
	if behind != "" {
		t.Behind = strings.Split(behind, "\n")
	}
	t.Operator = maker == makerOperator
	if maker == makerUnsaid { // of a program that took everybody for the operator who was not in `people`
		for i, name := range t.Behind {
			t.Behind[i] = strings.TrimPrefix(name, operator)
		}
	}
	t.Created, t.Expires = time.UnixMilli(created), time.UnixMilli(expires)
	if used > 0 {
		t.Used = time.UnixMilli(used)
	}
	if revoked > 0 {
		t.Revoked = time.UnixMilli(revoked)
	}
	return t, err
}

// Tokens lists a person's tokens, or everybody's for "", oldest first.
func (a *Access) Tokens(ctx context.Context, person string) ([]Token, error) {
	rows, err := a.db.Query(ctx, "SELECT "+tokenColumns+" FROM tokens WHERE ? = '' OR lower(person) = lower(?) ORDER BY id", person, person)
	if err != nil {
		return nil, err
	}
	var out []Token
	for rows.Next() {
		t, err := scanToken(rows)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, t)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// MadeWith gives the tokens that were made with a token, or with one of those, and that still count.
func (a *Access) MadeWith(ctx context.Context, id int64) ([]Token, error) {
	all, err := a.Tokens(ctx, "")
	if err != nil {
		return nil, err
	}
	from := map[int64]bool{id: true}
	var out []Token
	for _, t := range all { // by their numbers, so what made one stands before it
		if from[t.With] {
			if from[t.ID] = true; t.good() == nil {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

// Revoke ends a token of a person, or anybody's for "". ErrNoToken when they have none of that number.
func (a *Access) Revoke(ctx context.Context, id int64, person string) (Token, error) {
	var t Token
	err := a.db.Write(ctx, func(tx store.Tx) error {
		var err error
		t, err = scanToken(tx.QueryRow(ctx, "UPDATE tokens SET revoked = CASE WHEN revoked = 0 THEN ? ELSE revoked END WHERE id = ? AND (? = '' OR lower(person) = lower(?)) RETURNING "+tokenColumns, time.Now().UnixMilli(), id, person, person))
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return t, ErrNoToken
	}
	return t, err
}

// Bearer gives the person that a token stands for, with those of their roles that the token has. ErrTokenUnknown,
// ErrTokenExpired, ErrTokenRevoked or ErrTokenOrphan when it stands for nobody.
func (a *Access) Bearer(ctx context.Context, secret string) (Person, error) {
	t, err := scanToken(a.db.QueryRow(ctx, "SELECT "+tokenColumns+" FROM tokens WHERE hash = ?", hash(secret)))
	if errors.Is(err, store.ErrNoRows) {
		return Person{}, ErrTokenUnknown
	} else if err != nil {
		return Person{}, err
	}
	p, err := a.bearerOf(t)
	if err == nil {
		a.use(ctx, t)
	}
	return p, err
}

// bearerOf gives the person that a token stands for now.
func (a *Access) bearerOf(t Token) (Person, error) {
	p := a.Person(t.Person)
	if err := t.good(); err != nil {
		return Person{}, err
	}
	switch {
	case t.Silo != "":
		return Person{}, ErrTokenAgent
	case p.Name == "":
		return Person{}, ErrTokenOrphan
	}
	out := p.Narrow(t.Roles)
	out.Token = t.ID
	by := strings.TrimPrefix(t.By, operator)
	if t.Operator {
		by = operator + by
	}
	for _, name := range append([]string{by}, t.Behind...) {
		if !strings.EqualFold(name, p.Name) {
			out.Behind = append(out.Behind, name)
		}
	}
	return out, nil
}

// good says why a token counts no more; nil when it does.
func (t Token) good() error {
	switch {
	case !t.Revoked.IsZero():
		return fmt.Errorf("%w (token %d, %s)", ErrTokenRevoked, t.ID, t.Name)
	case time.Now().After(t.Expires):
		return fmt.Errorf("%w (token %d, %s)", ErrTokenExpired, t.ID, t.Name)
	}
	return nil
}

// use notes that a token was used, to the minute.
func (a *Access) use(ctx context.Context, t Token) {
	now := time.Now()
	if now.Sub(t.Used) <= time.Minute {
		return
	}
	_ = a.db.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE tokens SET used = ? WHERE id = ?", now.UnixMilli(), t.ID)
		return err
	})
}

// AgentToken gives the token of an agent by its secret. ErrTokenUnknown, ErrTokenExpired, ErrTokenRevoked, or
// ErrTokenPerson for one that is not an agent's. It is nobody's: who made it may leave, and the agent stays until it is
// revoked.
func (a *Access) AgentToken(ctx context.Context, secret string) (Token, error) {
	t, err := scanToken(a.db.QueryRow(ctx, "SELECT "+tokenColumns+" FROM tokens WHERE hash = ?", hash(secret)))
	switch {
	case errors.Is(err, store.ErrNoRows):
		return t, ErrTokenUnknown
	case err != nil:
		return t, err
	case t.Silo == "":
		return Token{}, ErrTokenPerson
	}
	if err := t.good(); err != nil {
		return Token{}, err
	}
	a.use(ctx, t)
	return t, nil
}

// Narrow gives the person with only those of the roles that they have.
func (p Person) Narrow(roles []string) Person {
	out := Person{Name: p.Name, Roles: []string{}, Behind: p.Behind, Unnamed: p.Unnamed, Token: p.Token}
	for _, r := range roles {
		if p.Has(r) && !slices.Contains(out.Roles, r) {
			out.Roles = append(out.Roles, r)
		}
	}
	return out
}
