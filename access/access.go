// Package access says who somebody is and what they may do, and keeps the audit record. It decides nothing about
// pipelines: command asks it before it runs a verb, and tells it the outcome.
package access

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Roles, from the least to the most.
const (
	View   = "view"   // look at runs, hosts, records
	Deploy = "deploy" // start, retry, skip, cancel and undo runs
	Run    = "run"    // run commands on hosts, bring own steps
	Admin  = "admin"  // everything
)

// Roles that a configuration may name.
var Roles = []string{View, Deploy, Run, Admin}

// PersonConfig is one of `people`.
type PersonConfig struct {
	Name  string
	Chat  []Account // by what they are known on chat networks
	Local string    // login name on this machine
	OIDC  string    // value of http.oidc.claim
	Roles []string
}

// Account is by what one person is known on one chat network: an entry of people, in the type of the network that
// proves it.
type Account interface {
	Network() string  // as in Identity, and its key in people
	Wrong() string    // what is wrong with how it is written, as "is …; it must be …"; "" nothing
	Folded() string   // two that are equal in this form are the same account; "" is none
	Is(Identity) bool // whether who speaks is the account
}

// Person is who asks. The zero Person is a stranger: no name, no role.
type Person struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
	// Behind are others who speak through this one: who made the token that is used, and for whom. Who approves what
	// somebody asked for must be none of them.
	Behind []string `json:"behind,omitempty"`
	// Unnamed says that the configuration names nobody with this login: whoever runs the server, and root, or who has
	// roles by a group at the company's login. That may be anybody, so it is nobody's second person.
	Unnamed bool `json:"unnamed,omitempty"`
	// Operator says that they keep the machine and the configuration names nobody with their login: on the socket the
	// kernel says so. The tokens that they make for others are their owners'.
	Operator bool `json:"-"`
	// Token is the number of the token that was shown; 0: none was. What is made by it ends with it.
	Token int64 `json:"-"`
}

// Has reports whether the person has a role: admin has every role, deploy and run can view, and "" everybody has.
func (p Person) Has(role string) bool {
	if role == "" || slices.Contains(p.Roles, Admin) || slices.Contains(p.Roles, role) {
		return true
	}
	return role == View && (slices.Contains(p.Roles, Deploy) || slices.Contains(p.Roles, Run))
}

// Identity is what a way in knows about who speaks.
type Identity struct {
	Network string // "local", or the name of a chat network: "irc", "xmpp", "console"
	Account string // services account, bare JID, login name: proven by the server; "" when it is not
	Nick    string // what they call themselves
}

// Access knows the people. It is safe for concurrent use.
type Access struct {
	people atomic.Pointer[[]PersonConfig]
	oidc   atomic.Pointer[OIDC]
	db     *store.DB
}

// New checks the people and makes the audit table.
func New(ctx context.Context, people []PersonConfig, db *store.DB) (*Access, error) {
	a := &Access{db: db}
	if err := a.SetPeople(people); err != nil {
		return nil, err
	}
	return a, db.Migrate(ctx, Migrations(db.Postgres() != nil))
}

// SetPeople takes others in place of the people there are; with an error those stay.
func (a *Access) SetPeople(people []PersonConfig) error {
	if err := Check(people); err != nil {
		return err
	}
	a.people.Store(&people)
	return nil
}

// Check says all that is wrong with a list of people.
func Check(people []PersonConfig) error {
	var wrong mistake.List
	seen := map[string]string{}
	names := map[string]string{}
	for i, p := range people {
		key := fmt.Sprintf("people[%d]", i)
		if p.Name == "" {
			wrong.At(key, "has no name")
			continue
		}
		if plain.Line(p.Name) != p.Name {
			wrong.At(key+".name", ": the name %q has characters that nobody sees; write it without, for two could look the same", p.Name)
		}
		if strings.HasPrefix(strings.ToLower(p.Name), StrangerPrefix) {
			wrong.At(key+".name", "is %q; names that begin with %s are those of people whom nobody listed", p.Name, StrangerPrefix)
		}
		if strings.HasPrefix(strings.ToLower(p.Name), operator) {
			wrong.At(key+".name", "is %q; names that begin with %s are those of who keeps the machine", p.Name, operator)
		}
		if p.OIDC != "" && !fit(p.OIDC) {
			wrong.At(key+".oidc", "has characters that nobody sees, or more than %d letters; write it as the provider gives it", maxClaim)
		}
		if other, dup := names[strings.ToLower(p.Name)]; dup {
			wrong.At(key+".name", ": two entries are named %s, and would count as one person; write one entry with all that they are", bothNames(other, p.Name))
		}
		names[strings.ToLower(p.Name)] = p.Name
		for n, r := range p.Roles {
			if !slices.Contains(Roles, r) {
				wrong.At(fmt.Sprintf("%s.roles[%d]", key, n), ": %s has the role %q; there are %s", p.Name, r, strings.Join(Roles, ", "))
			}
		}
		ids := []struct{ key, what string }{{"local", p.Local}, {"oidc", p.OIDC}}
		for _, a := range p.Chat {
			ids = append(ids, struct{ key, what string }{a.Network(), a.Folded()})
			if why := a.Wrong(); why != "" {
				wrong.At(key+"."+a.Network(), "%s", why)
			}
		}
		for _, id := range ids {
			if id.what == "" {
				continue
			}
			way := id.key + " " + id.what
			if other, dup := seen[way]; dup {
				wrong.At(key+"."+id.key, ": %s and %s are both %s", other, p.Name, way)
				continue
			}
			seen[way] = p.Name
		}
		if strings.ContainsAny(p.Local, " :/@") {
			wrong.At(key+".local", "is %q; it must be a login name of this machine", p.Local)
		}
	}
	return wrong.Err()
}

// Who gives the person behind an identity. A name that nobody proved counts only where the configuration says so.
func (a *Access) Who(id Identity) Person {
	for _, p := range *a.people.Load() {
		if id.Network == "local" && p.Local != "" && p.Local == id.Account ||
			slices.ContainsFunc(p.Chat, func(a Account) bool { return a.Network() == id.Network && a.Is(id) }) {
			return Person{Name: p.Name, Roles: p.Roles}
		}
	}
	return Person{}
}

// Record is one audit row.
type Record struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Who     string    `json:"who"` // the person's name, or what the stranger called themselves
	Via     string    `json:"via"`
	Line    string    `json:"line"`
	Outcome string    `json:"outcome"` // "ok", or the refusal or error as it was said
}

// Audit writes one row. Rows are never changed: the table refuses it.
func (a *Access) Audit(ctx context.Context, r Record) error {
	return a.audit(ctx, r, func(store.Tx) error { return nil })
}

// Migrations of the audit record, the tokens and the sessions.
func Migrations(postgres bool) []store.Migration {
	list := []store.Migration{{Name: "access/1", Stmts: []string{`CREATE TABLE audit (id {{id}}, at BIGINT NOT NULL, who TEXT NOT NULL, via TEXT NOT NULL, line TEXT NOT NULL, outcome TEXT NOT NULL)`}}}
	list = append(list, store.Migration{Name: "access/3-tokens", Stmts: []string{
		`CREATE TABLE tokens (
	id {{id}},
	person TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, roles TEXT NOT NULL, by_whom TEXT NOT NULL,
	created BIGINT NOT NULL, expires BIGINT NOT NULL, used BIGINT NOT NULL, revoked BIGINT NOT NULL
)`,
		`CREATE INDEX audit_who ON audit (who, id)`,
	}})
	list = append(list, store.Migration{Name: "access/4-behind", Stmts: []string{`ALTER TABLE tokens ADD COLUMN behind TEXT NOT NULL DEFAULT ''`}})
	if postgres {
		list = append(list, store.Migration{Name: "access/2", Stmts: []string{
			`CREATE FUNCTION audit_is_for_ever() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'audit rows are never changed'; END $$ LANGUAGE plpgsql`,
			`CREATE TRIGGER audit_is_for_ever BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_for_ever()`,
		}}, store.Migration{Name: "access/5-truncate", Stmts: []string{`CREATE TRIGGER audit_stays_whole BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_for_ever()`}})
		return append(list, letGo(postgres), agents, sessions, logins, parents, unended, makers)
	}
	list = append(list, store.Migration{Name: "access/2", Stmts: []string{
		`CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END`,
		`CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END`,
	}}, store.Migration{Name: "access/5-replace", Stmts: []string{
		// INSERT OR REPLACE deletes a row without a word to the trigger above.
		`CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END`,
	}})
	return append(list, letGo(postgres), agents, sessions, logins, parents, unended, makers)
}

// agents is the silo to which an agent's token is bound.
var agents = store.Migration{Name: "access/7-agents", Stmts: []string{`ALTER TABLE tokens ADD COLUMN silo TEXT NOT NULL DEFAULT ''`}}

// parents is by which token a token was made.
var parents = store.Migration{Name: "access/10-parents", Stmts: []string{`ALTER TABLE tokens ADD COLUMN made_with BIGINT NOT NULL DEFAULT 0`}}

// makers is whether whoever keeps the machine made a token: one of the numbers below. An older program, which does not
// know the column, gives none.
var makers = store.Migration{Name: "access/12-makers", Stmts: []string{`ALTER TABLE tokens ADD COLUMN maker BIGINT NOT NULL DEFAULT 0`}}

const (
	makerUnsaid   = 0
	makerPerson   = 1
	makerOperator = 2
)

// bothNames names two people whose names count as one.
func bothNames(a, b string) string {
	if a == b {
		return a
	}
	return a + " and " + b
}
