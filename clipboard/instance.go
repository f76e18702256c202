package clipboard

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Instance is what a run must know of its host before it starts.
type Instance struct {
	Hostname string   // one DNS label, lower case
	FQDN     string   // hostname.domain; Hostname when the clipboard gives none
	Provider string   // the module of its steps, lower case; "" when the clipboard names none
	Steps    []string // the clipboard's own pipeline; nil when it names none
}

var label = pattern.New(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) // RFC 1123 §2.1

// Instance reads and checks the keys that every deployment needs. The error names the first key that is wrong and
// what to write instead.
func (c *Clipboard) Instance() (Instance, error) {
	var in Instance
	if child(c.tree(), "instances") != nil {
		return in, &SyntaxError{Msg: "this clipboard lists `instances`, and one host is wanted here", Hint: "`instance:` describes one host"}
	}
	n := c.instance()
	if n == nil {
		hint := "write `instance:` and indent the host's keys below it"
		if slices.Contains(c.TopKeys(), "hostname") {
			hint = "indent hostname and the other keys below `instance:`"
		}
		return in, &SyntaxError{Msg: "the key `instance` is missing", Hint: hint}
	}
	if c.Keys() == nil {
		return in, &SyntaxError{Line: n.Line, Column: n.Column, Msg: "`instance` must be a mapping", Hint: "indent the host's keys below it"}
	}
	if err := c.refuseSecretNames(); err != nil {
		return in, err
	}
	host, err := c.String("hostname")
	if err != nil {
		return in, err
	}
	in.Hostname = strings.ToLower(host)
	if !label.MatchString(in.Hostname) {
		return in, c.wrong("hostname", fmt.Sprintf("%q is not a host name: letters, digits and - only, at most 63, no dots", host))
	}
	in.FQDN = in.Hostname
	if c.Has("fqdn") {
		f, err := c.String("fqdn")
		if err != nil {
			return in, err
		}
		in.FQDN = strings.TrimSuffix(strings.ToLower(f), ".")
		if err := CheckName(in.FQDN); err != nil {
			return in, c.wrong("fqdn", err.Error())
		}
		if first, _, _ := strings.Cut(in.FQDN, "."); first != in.Hostname {
			return in, c.wrong("fqdn", fmt.Sprintf("%q does not start with the hostname %q", f, host))
		}
	}
	if c.Has("provider") {
		p, err := c.String("provider")
		if err != nil {
			return in, err
		}
		in.Provider = strings.ToLower(p)
		if !plainKey.MatchString(in.Provider) {
			return in, c.wrong("provider", fmt.Sprintf("%q is not a provider's name: letters and digits, as in Linode", p))
		}
	}
	if c.Has("sshpubkey") {
		keys, err := c.Strings("sshpubkey")
		if err != nil {
			return in, err
		}
		for _, k := range keys {
			if reference.MatchString(k) {
				continue // another member's, which is not there yet
			}
			if err := CheckPublicKey(k); err != nil {
				return in, c.wrong("sshpubkey", err.Error())
			}
		}
	}
	for _, word := range []string{"steps", "actions"} { // `actions` is the old word
		if child(c.tree(), word) == nil {
			continue
		}
		if in.Steps != nil {
			return in, &SyntaxError{Msg: "there are both `steps` and `actions`", Hint: "keep `steps`"}
		}
		if in.Steps, err = c.TopStrings(word); err != nil {
			return in, err
		}
		if len(in.Steps) == 0 {
			return in, &SyntaxError{Msg: fmt.Sprintf("the list `%s` is empty", word), Hint: "leave it out to take the provider's pipeline"}
		}
	}
	return in, nil
}

// openKeys are the keys that are read by everybody, in chat and in names of things: none can be a secret.
var openKeys = []string{"hostname", "fqdn", "provider", "sshpubkey"}

// refuseSecretNames keeps those keys readable: names stand in chat, in logs and in what is made, where no secret can
// stay one.
func (c *Clipboard) refuseSecretNames() error {
	for _, key := range openKeys {
		if n := c.node(key); n != nil && (isSecret(n) || slices.ContainsFunc(n.Content, isSecret)) {
			return c.wrong(key, "it cannot be a secret, for everybody who works with the host sees it; leave out `!secret`")
		}
	}
	return nil
}

// NoProvider is what a pipeline says that needs a provider when the clipboard names none.
func NoProvider() error {
	return &KeyError{Key: "provider", Err: fmt.Errorf("%w: the steps to take are the provider's", ErrMissing)}
}

// wrong gives a KeyError with the line of the key; 0 when there is none.
func (c *Clipboard) wrong(key, msg string) error {
	line := 0
	if n := c.node(key); n != nil {
		line = n.Line
	}
	return &KeyError{Key: key, Line: line, Err: errors.New("is wrong: " + msg)}
}

// CheckName checks a DNS host name (RFC 1123 §2.1), without a final dot.
func CheckName(name string) error {
	if len(name) > 253 {
		return fmt.Errorf("the name has %d characters; DNS takes 253", len(name))
	}
	for _, l := range strings.Split(name, ".") {
		if !label.MatchString(l) {
			return fmt.Errorf("%q is not a host name: letters, digits and - only, in parts of 63", name)
		}
	}
	return nil
}

// CheckPublicKey checks one line of authorized_keys, and says what to do about the kinds that sshd no longer takes.
func CheckPublicKey(line string) error {
	fields := strings.Fields(line)
	if slices.Contains(fields, "ssh-dss") {
		return errors.New("OpenSSH refuses DSA keys since 7.0; give an ed25519 or rsa key")
	}
	if strings.ContainsAny(strings.TrimSpace(line), "\n\r") {
		return errors.New("an SSH public key is one line")
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return errors.New("this is not an SSH public key; paste the one line of ~/.ssh/id_ed25519.pub")
	}
	if pub.Type() == "ssh-dss" {
		return errors.New("OpenSSH refuses DSA keys since 7.0; give an ed25519 or rsa key")
	}
	return nil
}
