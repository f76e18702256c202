package clipboard_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
)

// TestLoginPort: what a person says of the port wins; without it, the port is the one that the provider told.
func TestLoginPort(t *testing.T) {
	for _, c := range []struct {
		lines string
		want  clipboard.Login
		err   string
	}{
		{"", clipboard.Login{}, ""},
		{"  ssh_port: 2222\n", clipboard.Login{Port: 2222}, ""},
		{"  ssh_port: 2222\n  login: {user: admin}\n", clipboard.Login{User: "admin", Port: 2222}, ""},
		{"  ssh_port: 2222\n  login: {port: 2200}\n", clipboard.Login{Port: 2200}, ""},
		{"  ssh_port: 70000\n", clipboard.Login{}, `"70000" is not a port between 1 and 65535`},
		{"  ssh_port: here\n", clipboard.Login{}, `"here" is not a port`},
	} {
		doc, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n" + c.lines))
		if err != nil {
			t.Fatal(err)
		}
		l, err := doc.Login()
		if c.err != "" {
			if err == nil || !strings.Contains(fmt.Sprint(err), c.err) {
				t.Errorf("%q: %v, want %s", c.lines, err, c.err)
			}
		} else if err != nil || l != c.want {
			t.Errorf("%q: %+v, %v, want %+v", c.lines, l, err, c.want)
		}
	}
}
