package all_test

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/workers/keys"
	"github.com/jarvisops/jarvis/workers/ldap"
	"github.com/jarvisops/jarvis/workers/linode"
	"github.com/jarvisops/jarvis/workers/monitor"
)

// TestNoPasswordGoesInClear: 127.example.org begins like an address of this machine, and whoever has that name would
// have been sent passwords and tokens.
func TestNoPasswordGoesInClear(t *testing.T) {
	for name, try := range map[string]func(host string) error{
		"icinga": func(h string) error {
			_, err := monitor.New(monitor.Config{Icinga: monitor.Icinga{URL: "http://" + h, User: "u", Password: "p"}})
			return err
		},
		"alertmanager": func(h string) error {
			_, err := monitor.New(monitor.Config{Alertmanager: monitor.Alertmanager{URL: "http://" + h, User: "u", Pass: "p"}})
			return err
		},
		"linode": func(h string) error {
			_, err := linode.New(linode.Config{URL: "http://" + h, Token: "t"})
			return err
		},
		"github": func(h string) error {
			_, err := keys.New(keys.Config{GitHub: keys.GitHub{URL: "http://" + h, Token: "t"}})
			return err
		},
		"ldap": func(h string) error {
			_, err := ldap.New(ldap.Config{URL: "ldap://" + h, Base: "dc=example,dc=org", BindDN: "cn=x", Password: "p"})
			return err
		},
	} {
		refused := func(host string) bool {
			err := try(host)
			return err != nil && (strings.Contains(err.Error(), "in clear") || strings.Contains(err.Error(), "api.github.com"))
		}
		for _, host := range []string{"127.example.org", "127.0.0.1.example.org", "192.0.2.1"} {
			if !refused(host) {
				t.Errorf("%s takes %s", name, host)
			}
		}
		for _, host := range []string{"127.0.0.1:8080", "localhost:8080", "[::1]:8080"} {
			if refused(host) {
				t.Errorf("%s refuses %s", name, host)
			}
		}
	}
}
