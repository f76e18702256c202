package slack

import (
	"fmt"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// Account is by what a person is known on Slack: their user id in the workspace where the app is.
type Account string

var userID = pattern.New(`^[UW][0-9A-Z]{2,}$`)

// Network is access.Account.
func (Account) Network() string { return "slack" }

// Wrong is access.Account.
func (a Account) Wrong() string {
	if a != "" && !userID.MatchString(string(a)) {
		return fmt.Sprintf("is %q; it must be a user id, as in U012AB3CD: his profile on Slack has \"Copy member ID\"", string(a))
	}
	return ""
}

// Folded is access.Account.
func (a Account) Folded() string { return string(a) }

// Is is access.Account.
func (a Account) Is(id access.Identity) bool { return a != "" && string(a) == id.Account }
