package remote

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// HostKeys says by which key a host must prove itself.
// Why not a switch that takes any: docs/adr/0026-no-host-key-on-trust.md
type HostKeys interface {
	// Algorithms lists the host key algorithms that what is known about addr can verify, best first; nil when nothing
	// is known. Only these are offered to the host: otherwise it picks one that we cannot check, and a good host
	// looks like a bad one.
	Algorithms(addr string) []string
	// Check gives nil when key is right for addr (host:port, as the Target says it), a *HostKeyError when it is not,
	// and ErrUnknownHost when nothing is known about addr. key may be a certificate.
	Check(addr string, key gossh.PublicKey) error
}

// ErrUnknownHost: nothing here vouches for the host's key.
var ErrUnknownHost = errors.New("no host key is known for it")

// UnknownHostError is ErrUnknownHost of a host, with what to do.
type UnknownHostError struct {
	Addr    string
	KnownAt string // Target.KnownAt
}

// Error implements error.
func (e *UnknownHostError) Error() string {
	todo := ""
	if e.KnownAt != "" {
		todo = "; put its key into " + e.KnownAt
	}
	return e.Short() + todo
}

// Short says it without what to do, for who knows more of that.
func (e *UnknownHostError) Short() string {
	return fmt.Sprintf("connect to %s: %v", e.Addr, ErrUnknownHost)
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *UnknownHostError) Unwrap() error { return ErrUnknownHost }

// vouched says of what a HostKeys gave at which host, and what to do.
func (t Target) vouched(err error) error {
	var told *UnknownHostError
	if errors.Is(err, ErrUnknownHost) && !errors.As(err, &told) {
		return &UnknownHostError{Addr: t.Addr, KnownAt: t.KnownAt}
	}
	return err
}

// HostKeyError: the host offered a key that is none of those it should have. That is an alarm, not a question.
type HostKeyError struct {
	Addr    string
	Got     string // SHA256:… of the key offered; "" when it offers no key of the wanted kinds
	Want    []string
	Revoked bool   // the key is on a list of revoked ones
	Where   string // file and line that says so; may be empty
}

// Error implements error.
func (e *HostKeyError) Error() string {
	where := ""
	if e.Where != "" {
		where = " (" + e.Where + ")"
	}
	switch {
	case e.Revoked:
		return fmt.Sprintf("%s offered the host key %s, which is revoked%s: somebody else may have it", e.Addr, e.Got, where)
	case e.Got == "":
		return fmt.Sprintf("%s offers none of the host keys it should have (%s)%s: it is another machine, or somebody is in between", e.Addr, strings.Join(e.Want, ", "), where)
	}
	return fmt.Sprintf("%s offered the host key %s, but must have %s%s: it is another machine, or somebody is in between", e.Addr, e.Got, strings.Join(e.Want, " or "), where)
}

// Pinned are the keys themselves: the host must offer one of them.
type Pinned []gossh.PublicKey

var _ HostKeys = Pinned(nil)

// Algorithms implements HostKeys.
func (p Pinned) Algorithms(string) []string {
	var out []string
	for _, k := range p {
		out = append(out, algorithmsOf(k.Type())...)
	}
	return out
}

// algorithmsOf gives the signature algorithms of a type of key: SHA-1 is not among them (RFC 8332).
func algorithmsOf(keyType string) []string {
	if keyType == gossh.KeyAlgoRSA {
		return []string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// Check implements HostKeys.
func (p Pinned) Check(addr string, key gossh.PublicKey) error {
	if len(p) == 0 {
		return ErrUnknownHost
	}
	e := &HostKeyError{Addr: addr, Got: gossh.FingerprintSHA256(key)}
	for _, k := range p {
		if bytes.Equal(k.Marshal(), key.Marshal()) {
			return nil
		}
		e.Want = append(e.Want, gossh.FingerprintSHA256(k))
	}
	return e
}

// FirstOf asks several sources in turn; the first that knows anything about a host decides.
type FirstOf []HostKeys

// Algorithms implements HostKeys.
func (f FirstOf) Algorithms(addr string) []string {
	for _, s := range f {
		if a := s.Algorithms(addr); len(a) > 0 {
			return a
		}
	}
	return nil
}

// Check implements HostKeys.
func (f FirstOf) Check(addr string, key gossh.PublicKey) error {
	for _, s := range f {
		if err := s.Check(addr, key); !errors.Is(err, ErrUnknownHost) {
			return err
		}
	}
	return ErrUnknownHost
}

// AcceptNew takes the key of a host of which Known knows nothing and writes it down in File, once; a changed key is
// refused as ever. It is ssh's `StrictHostKeyChecking accept-new`: whoever is in between at the first contact stays.
type AcceptNew struct {
	Known HostKeys
	File  string

	mu  sync.Mutex
	new map[string]Pinned
}

// Algorithms implements HostKeys.
func (a *AcceptNew) Algorithms(addr string) []string { return a.Known.Algorithms(addr) }

// Check implements HostKeys.
func (a *AcceptNew) Check(addr string, key gossh.PublicKey) error {
	err := a.Known.Check(addr, key)
	if !errors.Is(err, ErrUnknownHost) {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.new[addr]; ok {
		if c, isCert := key.(*gossh.Certificate); isCert {
			key = c.Key
		}
		return p.Check(addr, key)
	}
	if c, ok := key.(*gossh.Certificate); ok {
		key = c.Key // nobody here vouches for its authority: the key itself is what will be known
	}
	err = ErrUnknownHost
	werr := locked(a.File, os.O_APPEND|os.O_RDWR, 0o600, func(f *os.File) error {
		// Another process may have met the host meanwhile: then its key is the one.
		if err = NewKnownHosts(a.File).Check(addr, key); !errors.Is(err, ErrUnknownHost) {
			return nil
		}
		err = nil
		return appendKnown(f, knownhosts.Line([]string{knownhosts.Normalize(addr)}, key))
	})
	if werr != nil {
		return fmt.Errorf("write down the new host key: %w", werr)
	}
	if err != nil {
		return err
	}
	if a.new == nil {
		a.new = map[string]Pinned{}
	}
	a.new[addr] = Pinned{key}
	return nil
}

// Alias looks a host up under another name (HostKeyAlias of ssh_config(5)).
type Alias struct {
	Name string // host:port
	Of   HostKeys
}

// Algorithms implements HostKeys.
func (a Alias) Algorithms(string) []string { return a.Of.Algorithms(a.Name) }

// Check implements HostKeys.
func (a Alias) Check(_ string, key gossh.PublicKey) error { return a.Of.Check(a.Name, key) }

// Keys gives the keys that are known for a host, as far as its sources have keys and not only fingerprints.
func (f FirstOf) Keys(addr string) []gossh.PublicKey {
	for _, s := range f {
		if k, ok := s.(interface {
			Keys(addr string) []gossh.PublicKey
		}); ok {
			if list := k.Keys(addr); len(list) > 0 {
				return list
			}
		}
	}
	return nil
}
