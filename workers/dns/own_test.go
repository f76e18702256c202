package dns_test

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/workers/dns"
)

// The attack: a wildcard answers for every name below it. A host may stand there all the same (RFC 4592 §2.2.1), for
// what the wildcard gives is nobody's at that name; but what stands at the name itself is somebody's, even if it says
// the same.
func TestWildcards(t *testing.T) {
	b := newBed(t, real.NamedConf{Keys: []string{"k"}, Probe: "- wild.example", Conf: `zone "wild.example" { type primary; file "fwd"; allow-update { key k; }; allow-transfer { key k; }; };
zone "2.0.192.in-addr.arpa" { type primary; file "rev"; allow-update { key k; }; };`,
		Files: map[string]string{
			"fwd": "*.c CNAME web.c\nweb.c A 203.0.113.80\nalias.c CNAME web.c\n" +
				"*.a A 203.0.113.1\n*.a AAAA 2001:db8::1\n*.a SSHFP 4 2 0000000000000000000000000000000000000000000000000000000000000000\nsame.a A 203.0.113.1\n" +
				"*.s A 192.0.2.99\nbox A 192.0.2.99\n",
			"rev": "* PTR generic.lab.\n",
		}})
	w := b.worker(dns.Config{TSIG: key1("k")})
	update, remove := stepOf(t, w, "dns:update_host"), stepOf(t, w, "dns:remove_host")
	for _, host := range []string{"h.c.wild.example", "deep.down.c.wild.example", "h.a.wild.example", "deep.down.a.wild.example"} {
		t.Run(host, func(t *testing.T) {
			b := b.in(t)
			before, _ := b.named.DigAs(t.Context(), "-", host, "A")
			first := b.clip(host, "192.0.2.5", "hostkeys: ["+key+"]")
			b.do(w, "dns:update_host", first)
			b.shows("-", host, "A", "192.0.2.5")
			b.shows("-", host, "AAAA", "")
			b.shows("-", "5.2.0.192.in-addr.arpa", "PTR", host+".")
			if said := b.do(w, "dns:update_host", first); !strings.Contains(said, "nothing to do") {
				t.Errorf("the second time: %q", said)
			}
			b.undo(first, w)
			b.shows("-", host, "A", before)
			b.shows("-", "5.2.0.192.in-addr.arpa", "PTR", "generic.lab.")
			// Undo wrote nothing of the wildcard's: another host's run finds the name free.
			b.record = map[string][]string{}
			next := b.clip(host, "192.0.2.6")
			b.do(w, "dns:update_host", next)
			b.shows("-", host, "A", "192.0.2.6")
			for range 2 {
				if _, err := b.call(remove.Do, next); err != nil {
					t.Fatal(err)
				}
			}
			b.shows("-", host, "A", before)
		})
	}
	_, err := b.call(update.Do, b.clip("alias.c.wild.example", "192.0.2.5"))
	b.refused(err, "alias.c.wild.example is an alias for web.c.wild.example in DNS")
	_, err = b.call(update.Do, b.clip("same.a.wild.example", "192.0.2.5"))
	b.refused(err, "same.a.wild.example is 203.0.113.1 in DNS already, and no run of this host wrote that")
	b.shows("-", "same.a.wild.example", "A", "203.0.113.1")

	// A service that a wildcard makes cannot be moved by its name; the wildcard can.
	check := stepOf(t, w, "dns:check_unused")
	_, err = b.call(check.Do, b.clip("box.wild.example", "", "services: [shop.s.wild.example]"))
	b.refused(err, "services: shop.s.wild.example is what it is by a wildcard above it; list the wildcard")
	_, err = b.call(check.Do, b.clip("box.wild.example", "", `services: ["*.s.wild.example"]`))
	b.refused(err, "these names still point at box: *.s.wild.example (A)")
}
