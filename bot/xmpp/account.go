package xmpp

import (
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

// Account is by what a person is known on Jabber: their bare JID (RFC 7622).
type Account string

// Network is access.Account.
func (Account) Network() string { return "xmpp" }

// Wrong is access.Account.
func (a Account) Wrong() string {
	if a != "" && (strings.Count(string(a), "@") != 1 || strings.ContainsAny(string(a), "/ ")) {
		return fmt.Sprintf("is %q; it must be a bare JID, as in alice@example.org", string(a))
	}
	return ""
}

// Folded is access.Account.
func (a Account) Folded() string { return strings.ToLower(string(a)) }

// Is is access.Account.
func (a Account) Is(id access.Identity) bool {
	return a != "" && strings.EqualFold(string(a), id.Account)
}
