package remote

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// Algorithms of a connection, each a list as in ssh_config(5): names with commas, or with + (more), - (without) or ^
// (first) before the list. "" stands for the usual ones. Names that are not supported here are passed over.
type Algorithms struct {
	HostKeys, KeyExchanges, Ciphers, MACs string
}

// apply sets what a connection offers.
func (a Algorithms) apply(cfg *gossh.ClientConfig) error {
	good, old := gossh.SupportedAlgorithms(), gossh.InsecureAlgorithms()
	var usual gossh.Config
	usual.SetDefaults()
	for _, l := range []struct {
		name, said  string
		usual, more []string
		to          *[]string
	}{
		{"KexAlgorithms", a.KeyExchanges, usual.KeyExchanges, slices.Concat(good.KeyExchanges, old.KeyExchanges), &cfg.KeyExchanges},
		{"Ciphers", a.Ciphers, usual.Ciphers, slices.Concat(good.Ciphers, old.Ciphers), &cfg.Ciphers},
		{"MACs", a.MACs, usual.MACs, slices.Concat(good.MACs, old.MACs), &cfg.MACs},
	} {
		if l.said == "" {
			continue
		}
		if *l.to = algorithms(l.said, l.usual, l.more); len(*l.to) == 0 {
			return fmt.Errorf("none of %s %s is supported here", l.name, l.said)
		}
	}
	if a.HostKeys == "" {
		return nil
	}
	allowed := algorithms(a.HostKeys, good.HostKeys, slices.Concat(good.HostKeys, old.HostKeys))
	if len(cfg.HostKeyAlgorithms) == 0 { // nothing is known about the host
		cfg.HostKeyAlgorithms = allowed
		return nil
	}
	known := cfg.HostKeyAlgorithms
	if slices.Contains(known, gossh.KeyAlgoRSASHA256) {
		known = append(slices.Clone(known), gossh.KeyAlgoRSA) // the same key, with a signature by SHA-1
	}
	cfg.HostKeyAlgorithms = slices.DeleteFunc(slices.Clone(known), func(n string) bool { return !slices.Contains(allowed, n) })
	if len(cfg.HostKeyAlgorithms) == 0 {
		return fmt.Errorf("HostKeyAlgorithms %s allows none of the keys that are known for the host (%s)", a.HostKeys, strings.Join(known, ", "))
	}
	return nil
}

// algorithms reads a list of ssh_config(5).
func algorithms(said string, usual, all []string) []string {
	how, rest := byte(0), said
	if strings.IndexByte("+-^", said[0]) >= 0 {
		how, rest = said[0], said[1:]
	}
	var named []string
	for _, pattern := range strings.Split(rest, ",") {
		for _, name := range all {
			if wildcard(pattern, name) && !slices.Contains(named, name) {
				named = append(named, name)
			}
		}
	}
	in := func(n string) bool { return slices.Contains(named, n) }
	switch how {
	case '+':
		return append(slices.DeleteFunc(slices.Clone(usual), in), named...)
	case '-':
		return slices.DeleteFunc(slices.Clone(usual), in)
	case '^':
		return append(named, slices.DeleteFunc(slices.Clone(usual), in)...)
	}
	return named
}

// notCommon explains a connection in which the two sides have no algorithm in common.
func notCommon(err error, t Target, cfg *gossh.ClientConfig) error {
	var e *gossh.AlgorithmNegotiationError
	if !errors.As(err, &e) {
		return fmt.Errorf("%w: %s", ErrRefused, reason(err))
	}
	if e.What != "host key" {
		return fmt.Errorf("%w: %s and we have no %s in common; it offers %s", ErrRefused, t.Addr, e.What, strings.Join(e.RequestedAlgorithms, ", "))
	}
	// An old server has the right kind of key, and signs with it by SHA-1 alone.
	if slices.Contains(e.RequestedAlgorithms, gossh.KeyAlgoRSA) && slices.Contains(cfg.HostKeyAlgorithms, gossh.KeyAlgoRSASHA256) {
		return fmt.Errorf("%w: %s proves itself by ssh-rsa alone, with SHA-1, which is refused; if that is as it must be, write `HostKeyAlgorithms +ssh-rsa` for it into ~/.ssh/config", ErrRefused, t.Addr)
	}
	if len(cfg.HostKeyAlgorithms) == 0 {
		return fmt.Errorf("%w: %s offers no kind of host key that is supported here, only %s", ErrRefused, t.Addr, strings.Join(e.RequestedAlgorithms, ", "))
	}
	return &HostKeyError{Addr: t.Addr, Want: wanted(t)}
}
