package irc

import (
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

// Account is by what a person is known on IRC: their account at the services, or "nick:NAME" for who trusts the bare
// nick.
type Account string

// Network is access.Account.
func (Account) Network() string { return "irc" }

// Wrong is access.Account.
func (a Account) Wrong() string {
	if strings.ContainsAny(string(a), " ,@") {
		return fmt.Sprintf("is %q; it must be an account, or nick:NAME", string(a))
	}
	return ""
}

// Folded is access.Account.
func (a Account) Folded() string { return fold(string(a)) }

// Is is access.Account.
func (a Account) Is(id access.Identity) bool {
	if nick, ok := strings.CutPrefix(string(a), "nick:"); ok {
		return fold(nick) == fold(id.Nick)
	}
	return a != "" && id.Account != "" && a.Folded() == fold(id.Account)
}

// fold compares names as servers do (RFC 1459 §2.2: {}|^ are the lower case of []\~).
func fold(s string) string {
	return strings.NewReplacer("[", "{", "]", "}", `\`, "|", "~", "^").Replace(strings.ToLower(s))
}
