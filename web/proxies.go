package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/jarvisops/jarvis/internal/mistake"
)

// proxies are those whose word about who asks is taken.
type proxies []netip.Prefix

// parseProxies reads http.trusted_proxies.
func parseProxies(list []string) (proxies, error) {
	var out proxies
	var wrong mistake.List
	for i, s := range list {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			a = a.Unmap()
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			wrong.At(fmt.Sprintf("http.trusted_proxies[%d]", i), ": %q is neither an address nor a network; write it as 192.0.2.7 or 10.0.0.0/8", s)
			continue
		}
		if p.Addr().Is4In6() { // whoever asks is known by the IPv4 form
			if p.Bits() < 96 {
				wrong.At(fmt.Sprintf("http.trusted_proxies[%d]", i), ": %q is more than IPv4; write a network of IPv4 as 10.0.0.0/8", s)
				continue
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Bits() == 0 {
			wrong.At(fmt.Sprintf("http.trusted_proxies[%d]", i), ": %q is everybody, and everybody could then call himself anybody; name the proxies", s)
		}
		out = append(out, p.Masked())
	}
	return out, wrong.Err()
}

func (p proxies) trusts(a netip.Addr) bool {
	for _, n := range p {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// client gives who asks: the peer, or behind trusted proxies the right-most address that is not one of them. What
// stands left of it was written by nobody we know. The zero Addr is for a peer without an address.
func (p proxies) client(r *http.Request) netip.Addr {
	peer := addrOf(r.RemoteAddr)
	if !p.trusts(peer) {
		return peer
	}
	x, f := r.Header.Values("X-Forwarded-For"), r.Header.Values("Forwarded")
	switch {
	case len(f) == 0:
		return p.walk(peer, strings.Split(strings.Join(x, ","), ","))
	case len(x) == 0:
		return p.walk(peer, forwarded(f))
	}
	// A proxy writes one of them, and hands the other on as it came from the client. Which is which is not to be seen.
	if a := p.walk(peer, strings.Split(strings.Join(x, ","), ",")); a == p.walk(peer, forwarded(f)) {
		return a
	}
	return peer
}

// walk goes from the right while it meets trusted proxies.
func (p proxies) walk(peer netip.Addr, hops []string) netip.Addr {
	at := peer
	for i := len(hops) - 1; i >= 0 && p.trusts(at); i-- {
		a := addrOf(strings.TrimSpace(hops[i]))
		if !a.IsValid() {
			return at // "unknown", or nonsense: the last we know of is the proxy
		}
		at = a
	}
	return at
}

// forwarded gives the for= of each hop (RFC 7239 §4), "" where there is none.
func forwarded(headers []string) []string {
	var out []string
	for _, hop := range strings.Split(strings.Join(headers, ","), ",") {
		at := ""
		for _, pair := range strings.Split(hop, ";") {
			if k, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && strings.EqualFold(k, "for") {
				at = strings.Trim(v, `"`)
			}
		}
		out = append(out, at)
	}
	return out
}

// addrOf reads an address with or without a port.
func addrOf(s string) netip.Addr {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone("")
	}
	host, _, err := net.SplitHostPort(s)
	if err != nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// place is what counts as one sender: an address, or of IPv6 a /64, which is the least that one customer is given.
func place(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
