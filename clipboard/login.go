package clipboard

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Login says how to log in on the host: `login: {user: admin, port: 2222}`.
type Login struct {
	User string `yaml:"user"` // "" for the configured one
	Port int    `yaml:"port"` // 0 for the configured one
}

// userName is what useradd(8) takes for sure.
var userName = pattern.New(`^[a-z_][a-z0-9_-]{0,31}$`)

// CheckUser says what is wrong with a login name.
func CheckUser(name string) error {
	if !userName.MatchString(name) {
		return fmt.Errorf("%q is not a login name: lower-case letters, digits, - and _, at most 32, not beginning with a digit", name)
	}
	return nil
}

// Login reads the key `login`, and where it names no port, `ssh_port`: the provider's, where that listens for the host.
func (c *Clipboard) Login() (Login, error) {
	l, err := c.login()
	if err != nil || l.Port != 0 || !c.Has("ssh_port") {
		return l, err
	}
	port := c.Get("ssh_port")
	if l.Port, err = strconv.Atoi(port); err != nil || l.Port < 1 || l.Port > 65535 {
		return l, c.wrong("ssh_port", fmt.Sprintf("%q is not a port between 1 and 65535", port))
	}
	return l, nil
}

// login refuses a key that it does not know: a misspelt port would count for nothing.
func (c *Clipboard) login() (Login, error) {
	var l Login
	if !c.Has("login") {
		return l, nil
	}
	keys := map[string]any{}
	if err := c.Decode("login", &keys); err != nil {
		return l, err
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains([]string{"user", "port"}, k) {
			return l, c.wrong("login", fmt.Sprintf("%q is not a key of login: user, port", k))
		}
	}
	if err := c.Decode("login", &l); err != nil {
		return l, err
	}
	if l.User != "" {
		if err := CheckUser(l.User); err != nil {
			return l, c.wrong("login", err.Error())
		}
	}
	if l.Port < 0 || l.Port > 65535 {
		return l, c.wrong("login", fmt.Sprintf("the port %d is not between 1 and 65535", l.Port))
	}
	return l, nil
}
