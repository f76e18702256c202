package dns

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"

	godns "github.com/miekg/dns"
	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// wanted gives the records that the clipboard asks for at the host's own name, by type.
func wanted(c *clipboard.Clipboard, fqdn string, wish wishes) (map[uint16][]godns.RR, []netip.Addr, error) {
	hdr := func(t uint16) godns.RR_Header {
		return godns.RR_Header{Name: godns.Fqdn(fqdn), Rrtype: t, Class: godns.ClassINET, Ttl: wish.ttl}
	}
	want := map[uint16][]godns.RR{}
	var addrs []netip.Addr
	for _, key := range []string{"ipaddress", "ip6address"} {
		if key == "ip6address" && !c.Has(key) {
			continue
		}
		a, err := c.Addr(key)
		if err != nil {
			return nil, nil, pipeline.Permanent(err)
		}
		if contains(addrs, a) {
			continue // a host with IPv6 only has it under both keys
		}
		addrs = append(addrs, a)
		if a.Is4() {
			want[godns.TypeA] = append(want[godns.TypeA], &godns.A{Hdr: hdr(godns.TypeA), A: a.AsSlice()})
		} else {
			want[godns.TypeAAAA] = append(want[godns.TypeAAAA], &godns.AAAA{Hdr: hdr(godns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	switch {
	case wish.sshfp == must && !c.Has("hostkeys"):
		return nil, nil, pipeline.Permanentf("`sshfp: must`, and no host key of %s is known: a step that gives `hostkeys` comes first, as keys:create", fqdn)
	case wish.sshfp != off && c.Has("hostkeys"):
		lines, err := c.Strings("hostkeys")
		if err != nil {
			return nil, nil, pipeline.Permanent(err)
		}
		for _, l := range lines {
			rrs, err := sshfp(hdr(godns.TypeSSHFP), l)
			if err != nil {
				return nil, nil, pipeline.Permanent(err)
			}
			want[godns.TypeSSHFP] = append(want[godns.TypeSSHFP], rrs...)
		}
	}
	return want, addrs, nil
}

// sshfp gives the fingerprint records of one host key (RFC 4255); none when SSHFP has no number for it.
func sshfp(hdr godns.RR_Header, line string) ([]godns.RR, error) {
	k, _, _, _, err := gossh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, fmt.Errorf("%q in hostkeys is not a host key", line)
	}
	algo := remote.SSHFPAlgorithm(k)
	if algo == 0 {
		return nil, nil
	}
	s1, s256 := sha1.Sum(k.Marshal()), sha256.Sum256(k.Marshal())
	return []godns.RR{
		&godns.SSHFP{Hdr: hdr, Algorithm: algo, Type: 1, FingerPrint: hex.EncodeToString(s1[:])},
		&godns.SSHFP{Hdr: hdr, Algorithm: algo, Type: 2, FingerPrint: hex.EncodeToString(s256[:])},
	}, nil
}

func contains(list []netip.Addr, a netip.Addr) bool {
	for _, x := range list {
		if x == a {
			return true
		}
	}
	return false
}

// addrOf gives the zero Addr for a record that is no address.
func addrOf(rr godns.RR) netip.Addr {
	switch rr := rr.(type) {
	case *godns.A:
		a, _ := netip.AddrFromSlice(rr.A.To4())
		return a
	case *godns.AAAA:
		a, _ := netip.AddrFromSlice(rr.AAAA.To16())
		return a
	}
	return netip.Addr{}
}

// sameSet compares record sets by data and TTL, whatever their order.
func sameSet(a, b []godns.RR, ttl uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		found := false
		for _, y := range b {
			found = found || godns.IsDuplicate(x, y)
		}
		if !found || x.Header().Ttl != ttl {
			return false
		}
	}
	return true
}
