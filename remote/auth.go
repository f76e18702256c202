package remote

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// auth gives the ways to log in, in the order of ssh(1): keys, then what a person types.
func (t Target) auth() []gossh.AuthMethod {
	var out []gossh.AuthMethod
	if t.Agent != nil || len(t.Named)+len(t.Signers) > 0 {
		out = append(out, gossh.PublicKeysCallback(t.keys))
	}
	if t.Password == nil && t.Ask == nil {
		return out
	}
	password := t.Password
	if password != nil {
		password = sync.OnceValues(password)
	}
	out = append(out, gossh.KeyboardInteractive(func(_, _ string, questions []string, echo []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i, q := range questions {
			var err error
			if answers[i], err = t.answer(q, echo[i], password); err != nil {
				return nil, err
			}
		}
		return answers, nil
	}))
	if password != nil {
		out = append(out, gossh.PasswordCallback(password))
	}
	return out
}

// aPassword is how hosts ask for one (pam_unix, and the kin of it), and aCode how they ask for a second factor.
var (
	aPassword = pattern.New(`(?i)pass(word|phrase)|kennwort|passwort|mot de passe|contraseña`)
	aCode     = pattern.New(`(?i)one-time|verification|token|code|otp|factor`)
)

// answer answers a question of the host: the password where it is asked for, and a person for the rest.
func (t Target) answer(question string, echo bool, password func() (string, error)) (string, error) {
	question = strings.TrimSpace(question)
	ours := password != nil && !echo && (t.Ask == nil || aPassword.MatchString(question) && !aCode.MatchString(question))
	switch {
	case ours:
		return password()
	case t.Ask != nil:
		return t.Ask(t.User+"@"+t.Addr, question, echo)
	}
	return "", fmt.Errorf("%w: the host asks for more than a password: %s", ErrRefused, question)
}

// keys gives all keys in the order in which they are tried, each once: a host counts them (MaxAuthTries).
func (t Target) keys() ([]gossh.Signer, error) {
	var held []gossh.Signer
	if t.Agent != nil {
		var err error
		if held, err = t.Agent(); err != nil && len(t.Named)+len(t.Signers) == 0 {
			return nil, err
		}
	}
	var out []gossh.Signer
	index := map[string]int{}
	for i, s := range slices.Concat(t.Named, held, t.Signers) {
		key := string(s.PublicKey().Marshal())
		at, twice := index[key]
		if !twice {
			index[key] = len(out)
			out = append(out, s)
		} else if i < len(t.Named)+len(held) {
			out[at] = s // the agent signs without asking for a passphrase
		}
	}
	return out, nil
}

// LoginError: the host does not take what we have to show, or there is nothing. It wraps ErrRefused.
type LoginError struct {
	Addr, User string
	Shown      []string // what it does not take, as "our key"; none: there was nothing
	Password   bool     // a password was among it
	Missing    []string // what could not be offered, and why
	PublicKey  string   // Target.PublicKey
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *LoginError) Unwrap() error { return ErrRefused }

// Error implements error.
func (e *LoginError) Error() string { return e.Of(e.Addr, false) }

// Of says the same of hosts by another name than the address; many: of several, who need the same.
func (e *LoginError) Of(who string, many bool) string {
	verb, there := "does not take", "there"
	if many {
		verb, there = "do not take", "on each"
	}
	missing := ""
	if len(e.Missing) > 0 {
		missing = " (" + strings.Join(e.Missing, "; ") + ")"
	}
	if len(e.Shown) == 0 {
		if verb = "wants"; many {
			verb = "want"
		}
		return fmt.Sprintf("%v: %s %s a key or a password for %s, and there is none here%s", ErrRefused, who, verb, e.User, missing)
	}
	todo := ""
	if e.PublicKey != "" {
		todo = fmt.Sprintf("; put %s, into the authorized_keys of %s %s", e.PublicKey, e.User, there)
	}
	return fmt.Sprintf("%v: %s %s %s for %s%s%s", ErrRefused, who, verb, strings.Join(e.Shown, " or "), e.User, missing, todo)
}

// notTaken says what we had to show.
func (t Target) notTaken() error {
	e := &LoginError{Addr: t.Addr, User: t.User, Password: t.Password != nil, Missing: t.Missing, PublicKey: t.PublicKey}
	if t.Agent != nil {
		e.Shown = append(e.Shown, "the keys of the SSH agent")
	}
	switch n := len(t.Named) + len(t.Signers); {
	case n == 1:
		e.Shown = append(e.Shown, "our key")
	case n > 1:
		e.Shown = append(e.Shown, "our keys")
	}
	if t.Password != nil {
		e.Shown = append(e.Shown, "the password")
	}
	return e
}
