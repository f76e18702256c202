package dns_test

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/workers/dns"
)

// A network smaller than a zone is delegated by aliases (RFC 2317). A server says NOERROR to a PTR at the alias and
// writes nothing (RFC 2136 §3.4.2.2), so it is written where the alias leads.
func TestReverseByAlias(t *testing.T) {
	ours := newBed(t, real.NamedConf{Keys: []string{"k"}, Probe: "k lan.example", Conf: `zone "lan.example" { type primary; file "fwd"; allow-update { key k; }; };
zone "2.0.192.in-addr.arpa" { type primary; file "rev"; allow-update { key k; }; };
zone "0/25.2.0.192.in-addr.arpa" { type primary; file "part"; allow-update { key k; }; };
zone "64-26.100.51.198.in-addr.arpa" { type primary; file "far"; allow-update { key k; }; };`,
		Files: map[string]string{"fwd": "", "part": "6 PTR gone.lan.example.\n", "far": "",
			"rev": "5 CNAME 5.0/25\n6 CNAME 6.0/25\n7 CNAME 7.here\n8 CNAME 8.elsewhere.example.\n9 CNAME 10\n10 CNAME 9\n"}})
	theirs := newBed(t, real.NamedConf{Probe: "- 100.51.198.in-addr.arpa", Conf: `zone "100.51.198.in-addr.arpa" { type primary; file "rev"; };`,
		Files: map[string]string{"rev": "65 CNAME 65.64-26\n64-26 NS ns1.lan.example.\n"}})
	none := dns.TSIG{}
	w := ours.worker(dns.Config{TSIG: key1("k"), Zones: map[string]dns.Zone{
		"100.51.198.in-addr.arpa":       {Server: theirs.named.Addr, TSIG: &none}, // the provider's: it is only asked
		"64-26.100.51.198.in-addr.arpa": {Server: ours.named.Addr},
	}})
	for ip, at := range map[string]string{"192.0.2.5": "5.0/25.2.0.192.in-addr.arpa", "192.0.2.6": "6.0/25.2.0.192.in-addr.arpa", "192.0.2.7": "7.here.2.0.192.in-addr.arpa", "198.51.100.65": "65.64-26.100.51.198.in-addr.arpa"} {
		before, _ := ours.named.DigAs(t.Context(), "-", at, "PTR")
		c := ours.clip("h.lan.example", ip)
		ours.do(w, "dns:update_host", c)
		ours.shows("-", at, "PTR", "h.lan.example.")
		if said := ours.do(w, "dns:update_host", c); !strings.Contains(said, "nothing to do") {
			t.Errorf("%s, the second time: %q", ip, said)
		}
		ours.undo(c, w)
		ours.shows("-", at, "PTR", before)
		ours.do(w, "dns:update_host", c)
		ours.do(w, "dns:remove_host", c)
		ours.shows("-", at, "PTR", "")
	}
	// An alias that leads nowhere is told; a loop ends.
	if said := ours.do(w, "dns:update_host", ours.clip("h.lan.example", "192.0.2.8")); !strings.Contains(said, "has no reverse zone for 192.0.2.8, whose name is an alias for 8.elsewhere.example") {
		t.Errorf("an alias that leads nowhere: %q", said)
	}
	_, err := ours.call(stepOf(t, w, "dns:update_host").Do, ours.clip("loop.lan.example", "192.0.2.9"))
	ours.refused(err, "the reverse name of 192.0.2.9 is an alias of an alias", "look for a loop of CNAMEs")
}
