package matrix

import (
	"fmt"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// Account is by what a person is known on Matrix: their full user id
// (https://spec.matrix.org/v1.11/appendices/#user-identifiers).
type Account string

// userID is the form of one, those of the early days included: the localpart of printable ASCII but a colon, then the
// server's name.
var userID = pattern.New(`^@[!-9;-~]+:([0-9A-Za-z.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// Network is access.Account.
func (Account) Network() string { return "matrix" }

// Wrong is access.Account.
func (a Account) Wrong() string {
	if a != "" && !wellFormed(string(a)) {
		return fmt.Sprintf("is %q; it must be a full user id, as in @alice:example.org", string(a))
	}
	return ""
}

// wellFormed checks form and length (255 bytes), not whether there is such a user.
func wellFormed(id string) bool { return len(id) <= 255 && userID.MatchString(id) }

// Folded is access.Account: nothing is folded, for the ids of the early days differ in case alone.
func (a Account) Folded() string { return string(a) }

// Is is access.Account.
func (a Account) Is(id access.Identity) bool { return a != "" && string(a) == id.Account }
