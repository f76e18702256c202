package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
)

// NewToken is the answer to `token new`: the only time that the secret is seen.
type NewToken struct {
	access.Token
	Secret string `json:"secret"`
}

func token() Verb {
	return worded(Verb{
		Name: "token", Role: access.View, Acts: true,
		Doc:     "makes, lists and revokes your tokens for the HTTP API; with silo, an admin makes one for an agent",
		Example: "token new ci role deploy days 30",
		API: []API{
			{Method: "GET", Path: "/v1/tokens", Prefix: []string{"list"}, Gives: []access.Token{}},
			{Method: "POST", Path: "/v1/tokens", Prefix: []string{"new"}, Gives: NewToken{}, Params: []Param{
				{Name: "name", In: InBody, Doc: "what the token is for", Required: true},
				{Name: "roles", In: InBody, Doc: "of its owner's; without them, all of them", Word: "role", Kind: List},
				{Name: "days", In: InBody, Doc: "how long it lives; 90 without it, 365 at most", Word: "days", Kind: Number},
				{Name: "person", In: InBody, Doc: "whose it is; somebody else's makes only an admin", Word: "for"},
				{Name: "silo", In: InBody, Doc: "for an agent of this silo, and of use for nothing else; an admin makes it", Word: "silo"},
			}},
			{Method: "DELETE", Path: "/v1/tokens/{token}", Prefix: []string{"revoke"}, Gives: access.Token{}, Params: []Param{{Name: "token", In: InPath, Doc: "its number", Required: true, Kind: Number}}},
		},
	},
		Word{Name: "list", Run: ofTokens(listTokens), Doc: "lists your tokens; an admin sees those of all"},
		Word{Name: "new", Usage: "NAME [role ROLE…] [silo SILO] [days N] [for PERSON]", Min: 1, Max: -1, Run: ofTokens(newToken), Doc: "makes one, and prints its secret this one time; with silo, an admin makes one for an agent"},
		Word{Name: "revoke", Usage: "NUMBER", Min: 1, Max: 1, Run: ofTokens(revokeToken), Doc: "has a token open nothing any more"},
	)
}

// ofTokens does what a word of `token` says, where tokens are kept.
func ofTokens(run func(context.Context, *Env, *Call) (Answer, error)) func(context.Context, *Env, *Call, []string) (Answer, error) {
	return func(ctx context.Context, e *Env, c *Call, _ []string) (Answer, error) {
		if e.Access == nil {
			return Answer{}, &UserError{Msg: "no tokens are kept here"}
		}
		return run(ctx, e, c)
	}
}

// newToken gives no token more than its owner has. Somebody else's makes only an admin.
func newToken(ctx context.Context, e *Env, c *Call) (Answer, error) {
	if !c.Secret {
		return Answer{}, &UserError{Msg: "a token is a secret, and chat is no place for one", Hint: "`jarvis token new NAME` on the command line makes it", Kind: ErrDenied}
	}
	t := access.Token{Person: c.Person.Name, Name: clip(c.Args[1], 60), By: c.Person.Name, Operator: c.Person.Operator, Behind: c.Person.Behind, With: c.Person.Token}
	life := time.Duration(0)
	words := c.Args[2:]
	for len(words) > 0 {
		if len(words) == 1 {
			return Answer{}, &UserError{Msg: fmt.Sprintf("%q needs a word after it", clip(words[0], 40)), Hint: "`help token` shows how", Kind: ErrUsage}
		}
		n := 2 // words taken
		switch words[0] {
		case "role", "roles": // one, or several: all words that are roles belong to it
			t.Roles = append(t.Roles, strings.Split(words[1], ",")...)
			for ; n < len(words) && slices.Contains(access.Roles, words[n]); n++ {
				t.Roles = append(t.Roles, words[n])
			}
		case "for":
			t.Person = words[1]
		case "silo":
			t.Silo = words[1]
		case "days":
			const most = int(access.MaxTokenLife / (24 * time.Hour))
			days, err := strconv.Atoi(words[1])
			if err != nil || days < 1 || days > most {
				return Answer{}, &UserError{Msg: fmt.Sprintf("a token lives 1 to %d days, not %q", most, clip(words[1], 20)), Kind: ErrUsage}
			}
			life = time.Duration(days) * 24 * time.Hour
		default:
			return Answer{}, &UserError{Msg: fmt.Sprintf("I do not understand %q there", clip(words[0], 40)), Hint: "`help token` shows how", Kind: ErrUsage}
		}
		words = words[n:]
	}
	if t.Silo != "" {
		return newAgentToken(ctx, e, c, t, cmp.Or(life, access.MaxTokenLife))
	}
	life = cmp.Or(life, access.DefaultTokenLife)
	p := e.Access.Person(t.Person)
	switch {
	case p.Name == "":
		return Answer{}, &UserError{Msg: fmt.Sprintf("%s is not one of `people` in the configuration, so nobody would know the token", clip(t.Person, 60)), Hint: "name one: `token new NAME for PERSON`", Kind: ErrUsage}
	case !strings.EqualFold(p.Name, c.Person.Name) && !c.Person.Has(access.Admin):
		return Answer{}, &UserError{Msg: "a token for somebody else needs the role \"admin\"", Kind: ErrDenied}
	}
	t.Person = p.Name
	if strings.EqualFold(p.Name, c.Person.Name) {
		p = p.Narrow(append(c.Person.Roles, access.View)) // who asks by a token has no more than the token
	}
	if t.Roles == nil {
		t.Roles = p.Roles
	}
	for _, r := range t.Roles {
		if !slices.Contains(access.Roles, r) {
			return Answer{}, &UserError{Msg: fmt.Sprintf("there is no role %q; there are %s", clip(r, 20), strings.Join(access.Roles, ", ")), Kind: ErrUsage}
		}
		if !p.Has(r) {
			return Answer{}, &UserError{Msg: fmt.Sprintf("%s does not have the role %q, so no token of theirs can", p.Name, r), Kind: ErrDenied}
		}
	}
	t.Expires = e.Now().Add(life)
	made, secret, err := e.Access.NewToken(ctx, t)
	if err != nil {
		return Answer{}, err
	}
	a := say("%s", secret)
	a.Lines = append(a.Lines, fmt.Sprintf("token %d for %s, with the %s %s, until %s. It is shown this once.", made.ID, made.Person, plural(len(made.Roles), "role"), strings.Join(made.Roles, ", "), plain.Time(made.Expires)))
	a.Data = NewToken{made, secret}
	return a, nil
}

// newAgentToken makes the token of an agent. It lives as long as a token can: nobody sits beside an agent to give it a
// new one.
func newAgentToken(ctx context.Context, e *Env, c *Call, t access.Token, life time.Duration) (Answer, error) {
	switch {
	case !c.Person.Has(access.Admin):
		return Answer{}, &UserError{Msg: "an agent does steps with secrets of hosts, so its token needs the role \"admin\"", Kind: ErrDenied}
	case len(t.Roles) > 0:
		return Answer{}, &UserError{Msg: "an agent's token has no roles: it opens the line of an agent, and nothing else", Kind: ErrUsage}
	case !strings.EqualFold(t.Person, c.Person.Name):
		return Answer{}, &UserError{Msg: "an agent's token is for nobody else", Kind: ErrUsage}
	case t.Silo != plain.Line(t.Silo) || strings.ContainsAny(t.Silo, " \t'\"@,:") || len(t.Silo) > 60:
		return Answer{}, &UserError{Msg: fmt.Sprintf("a silo is one word, not %q", clip(t.Silo, 60)), Kind: ErrUsage}
	}
	t.Roles, t.Expires = []string{}, e.Now().Add(life)
	made, secret, err := e.Access.NewToken(ctx, t)
	if err != nil {
		return Answer{}, err
	}
	a := say("%s", secret)
	a.Lines = append(a.Lines, fmt.Sprintf("token %d for an agent of the silo %s, until %s. It is shown this once, and opens nothing else.", made.ID, made.Silo, plain.Time(made.Expires)))
	if known := e.Engine.SiloNames(); !slices.Contains(known, made.Silo) {
		have := "it names none"
		if len(known) > 0 {
			have = "it names " + strings.Join(known, ", ")
		}
		a.Lines = append(a.Lines, fmt.Sprintf("The configuration has no silo %s (%s), so no agent is taken for it: name it under `silos` at every server, or revoke this token.", made.Silo, have))
	}
	a.Data = NewToken{made, secret}
	return a, nil
}

// listTokens shows an admin everybody's, and anybody else their own.
func listTokens(ctx context.Context, e *Env, c *Call) (Answer, error) {
	list, err := e.Access.Tokens(ctx, ownOrAll(c))
	if err != nil {
		return Answer{}, err
	}
	if len(list) == 0 {
		return none(list, "there are no tokens; `token new NAME` makes one"), nil
	}
	a := Answer{Data: list}
	for _, t := range list {
		used := "never used"
		if !t.Used.IsZero() {
			used = "used " + Short(e.Now().Sub(t.Used)) + " ago"
		}
		state := "until " + plain.Time(t.Expires)
		switch {
		case !t.Revoked.IsZero():
			state = "revoked " + plain.Time(t.Revoked)
		case e.Now().After(t.Expires):
			state = "expired " + plain.Time(t.Expires)
		}
		may := strings.Join(t.Roles, ", ")
		if t.Silo != "" {
			may = "agent of the silo " + t.Silo
		}
		if t.With != 0 {
			used += fmt.Sprintf(", made with token %d", t.With)
		}
		a.Lines = append(a.Lines, fmt.Sprintf("token %d of %s (%s): %s, %s, %s", t.ID, t.Person, t.Name, may, state, used))
	}
	return a, nil
}

// revokeToken names the tokens that were made with this one: they still count. A token of somebody else is answered as
// one that is not there.
func revokeToken(ctx context.Context, e *Env, c *Call) (Answer, error) {
	id, err := strconv.ParseInt(c.Args[1], 10, 64)
	if err == nil {
		var t access.Token
		if t, err = e.Access.Revoke(ctx, id, ownOrAll(c)); err == nil {
			a := say("token %d of %s (%s) is revoked.", t.ID, t.Person, t.Name)
			made, err := e.Access.MadeWith(ctx, t.ID)
			if err != nil {
				return Answer{}, err
			}
			for _, m := range made {
				a.Lines = append(a.Lines, fmt.Sprintf("token %d of %s (%s) was made with it, and still counts: `token revoke %d` ends it, too.", m.ID, m.Person, m.Name, m.ID))
			}
			a.Data = t
			return a, nil
		}
		if !errors.Is(err, access.ErrNoToken) {
			return Answer{}, err
		}
	}
	return Answer{}, &UserError{Msg: fmt.Sprintf("you have no token %s", clip(c.Args[1], 20)), Hint: "`token list` shows them", Kind: ErrNotFound}
}

// ownOrAll is whose tokens one may see: an admin everybody's.
func ownOrAll(c *Call) string {
	if c.Person.Has(access.Admin) {
		return ""
	}
	return c.Person.Name
}
