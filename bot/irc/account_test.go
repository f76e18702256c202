package irc

import (
	"testing"

	"github.com/jarvisops/jarvis/access"
)

func TestAccountsAreFoldedAsServersDo(t *testing.T) {
	for _, c := range []struct {
		name    string
		account Account
		id      access.Identity
		want    bool
	}{
		{"an account", "alice", access.Identity{Account: "Alice", Nick: "whoever"}, true},
		{"the attack: a nick that looks like an account", "alice", access.Identity{Nick: "alice"}, false},
		{"a nick the configuration trusts", "nick:bob[x]", access.Identity{Nick: "BOB{X}"}, true},
		{"an account of that name is not that nick", "nick:bob[x]", access.Identity{Account: "bob[x]", Nick: "z"}, false},
		{"nobody", "", access.Identity{}, false},
	} {
		if got := c.account.Is(c.id); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for text, wrong := range map[string]bool{"alice": false, "nick:alice": false, "alice@example.org": true, "a b": true} {
		if got := Account(text).Wrong(); (got != "") != wrong {
			t.Errorf("%q is wrong: %q", text, got)
		}
	}
}
