package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	gossh "golang.org/x/crypto/ssh"
)

// SSHFP finds the fingerprints of host keys in DNS (RFC 4255, RFC 6594). It trusts an answer only when a resolver on
// this machine says that it validated it (the AD bit, RFC 4035 §3.2.3): over a network anybody can set that bit. Only
// SHA-256 counts.
type SSHFP struct {
	// Server is the resolver, host:port; empty: the first of /etc/resolv.conf. Unless it is on a loopback address,
	// nothing is known.
	Server string

	mu    sync.Mutex
	known map[string]func() []*dns.SSHFP // by host, answered once
}

var _ HostKeys = (*SSHFP)(nil)

// sshfpTimeout bounds a question to the resolver on this machine.
const sshfpTimeout = 2 * time.Second

// sshfpAlgorithms are the numbers of the registry "SSHFP RR Types for public key algorithms".
var sshfpAlgorithms = map[uint8][]string{
	1: {gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256},
	3: {gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521},
	4: {gossh.KeyAlgoED25519},
}

// SSHFPAlgorithm gives a key's number in that registry (RFC 4255, RFC 6594, RFC 7479); 0 when it has none there.
func SSHFPAlgorithm(k gossh.PublicKey) uint8 {
	for n, algorithms := range sshfpAlgorithms {
		if slices.Contains(algorithms, k.Type()) || n == 1 && k.Type() == gossh.KeyAlgoRSA {
			return n
		}
	}
	return 0
}

// records asks once for each host, however many wait for it. Of an IP address there are none.
func (s *SSHFP) records(addr string) []*dns.SSHFP {
	host, _, err := net.SplitHostPort(addr)
	if _, isIP := netip.ParseAddr(host); err != nil || isIP == nil {
		return nil
	}
	s.mu.Lock()
	if s.known == nil {
		s.known = map[string]func() []*dns.SSHFP{}
	}
	ask := s.known[host]
	if ask == nil {
		ask = sync.OnceValue(func() []*dns.SSHFP { return s.ask(host) })
		s.known[host] = ask
	}
	s.mu.Unlock()
	return ask()
}

// ask gives nothing unless a resolver on this machine validated it; see SSHFP.
func (s *SSHFP) ask(host string) []*dns.SSHFP {
	server := s.Server
	if server == "" {
		conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil || len(conf.Servers) == 0 {
			return nil
		}
		server = net.JoinHostPort(conf.Servers[0], conf.Port)
	}
	ap, err := netip.ParseAddrPort(server)
	if err != nil || !ap.Addr().IsLoopback() {
		return nil
	}
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(host), dns.TypeSSHFP)
	m.AuthenticatedData = true
	m.SetEdns0(4096, true)
	ctx, cancel := context.WithTimeout(context.Background(), sshfpTimeout)
	defer cancel()
	c := &dns.Client{Timeout: sshfpTimeout}
	in, _, err := c.ExchangeContext(ctx, m, server)
	if err == nil && in.Truncated {
		c.Net = "tcp"
		in, _, err = c.ExchangeContext(ctx, m, server)
	}
	if err != nil || in.Rcode != dns.RcodeSuccess || !in.AuthenticatedData {
		return nil
	}
	var out []*dns.SSHFP
	for _, rr := range in.Answer {
		if r, ok := rr.(*dns.SSHFP); ok && r.Type == 2 && sshfpAlgorithms[r.Algorithm] != nil {
			out = append(out, r)
		}
	}
	return out
}

// Algorithms implements HostKeys.
func (s *SSHFP) Algorithms(addr string) []string {
	var out []string
	for _, r := range s.records(addr) {
		for _, a := range sshfpAlgorithms[r.Algorithm] {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// Check implements HostKeys.
func (s *SSHFP) Check(addr string, key gossh.PublicKey) error {
	records := s.records(addr)
	if len(records) == 0 {
		return ErrUnknownHost
	}
	sum := sha256.Sum256(key.Marshal())
	got := hex.EncodeToString(sum[:])
	e := &HostKeyError{Addr: addr, Got: gossh.FingerprintSHA256(key), Where: "SSHFP in signed DNS"}
	for _, r := range records {
		if strings.EqualFold(r.FingerPrint, got) && slices.ContainsFunc(sshfpAlgorithms[r.Algorithm], func(a string) bool { return slices.Contains(algorithmsOf(key.Type()), a) }) {
			return nil
		}
		e.Want = append(e.Want, fmt.Sprintf("SSHFP %d 2 %s…", r.Algorithm, r.FingerPrint[:min(16, len(r.FingerPrint))]))
	}
	return e
}
