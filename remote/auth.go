package remote

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	gossh "golang.org/x/crypto/ssh"
)

// auth gives the ways to log in, in the order of ssh(1): keys, then what a person types.
func (t Target) auth() []gossh.AuthMethod {
	var out []gossh.AuthMethod
	switch {
	case t.Agent != nil:
		out = append(out, gossh.PublicKeysCallback(func() ([]gossh.Signer, error) {
			list, err := t.Agent()
			if err != nil && len(t.Signers) == 0 {
				return nil, err
			}
			return append(list, t.Signers...), nil
		}))
	case len(t.Signers) > 0:
		out = append(out, gossh.PublicKeys(t.Signers...))
	}
	if t.Password != nil {
		ask := sync.OnceValues(t.Password)
		out = append(out, gossh.KeyboardInteractive(func(_, _ string, questions []string, echo []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range questions {
				if echo[i] {
					return nil, errors.New("the host asks for more than a password: " + strings.TrimSpace(questions[i]))
				}
				a, err := ask()
				if err != nil {
					return nil, err
				}
				answers[i] = a
			}
			return answers, nil
		}), gossh.PasswordCallback(ask))
	}
	return out
}

// proofs says what we have to show.
func (t Target) notTaken() string {
	var out []string
	if t.Agent != nil {
		out = append(out, "the keys of the SSH agent")
	}
	switch {
	case len(t.Signers) == 1:
		out = append(out, "our key")
	case len(t.Signers) > 1:
		out = append(out, "our keys")
	}
	if t.Password != nil {
		out = append(out, "the password")
	}
	if len(out) == 0 {
		return fmt.Sprintf("%s wants a key or a password for %s, and there is none here", t.Addr, t.User)
	}
	return fmt.Sprintf("%s does not take %s for %s", t.Addr, strings.Join(out, " or "), t.User)
}
