package dns_test

import (
	"context"
	"net"
	"strings"
	"testing"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/dns"
)

// bed is a BIND of the test's own, and the record of what was written through its workers.
type bed struct {
	t      *testing.T
	named  *real.Named
	record map[string][]string
}

func newBed(t *testing.T, c real.NamedConf) *bed {
	t.Helper()
	named, err := real.StartNamedWith(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(named.Stop)
	return &bed{t: t, named: named, record: map[string][]string{}}
}

// in gives the same server to a test below.
func (b *bed) in(t *testing.T) *bed { return &bed{t: t, named: b.named, record: b.record} }

func key1(name string) dns.TSIG { return dns.TSIG{Name: name, Secret: real.TSIGSecret} }

func (b *bed) worker(cfg dns.Config) *dns.Worker {
	b.t.Helper()
	if cfg.Server == "" {
		cfg.Server = b.named.Addr
	}
	cfg.TTL = 60
	w, err := dns.New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

// clip makes the clipboard of a host; more are further lines of the instance.
func (b *bed) clip(fqdn, ip string, more ...string) *clipboard.Clipboard {
	b.t.Helper()
	host, _, _ := strings.Cut(fqdn, ".")
	text := "instance:\n  hostname: " + host + "\n  fqdn: " + fqdn + "\n  provider: ESX\n"
	if ip != "" {
		text += "  ipaddress: " + ip + "\n"
	}
	for _, l := range more {
		text += "  " + l + "\n"
	}
	c, err := clipboard.Parse([]byte(text))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// call runs one function of a step and gives all that it said, the done line last.
func (b *bed) call(do func(context.Context, *clipboard.Clipboard) error, c *clipboard.Clipboard) (string, error) {
	s := &said{record: b.record, host: c.Get("hostname")}
	err := do(pipeline.WithHost(b.t.Context(), s), c)
	return strings.Join(s.lines, "\n"), err
}

func (b *bed) do(w *dns.Worker, step string, c *clipboard.Clipboard) string {
	b.t.Helper()
	said, err := b.call(stepOf(b.t, w, step).Do, c)
	if err != nil {
		b.t.Fatalf("%s of %s: %v", step, c.Get("fqdn"), err)
	}
	return said
}

func (b *bed) undo(c *clipboard.Clipboard, w *dns.Worker) {
	b.t.Helper()
	for range 2 { // it is safe to repeat
		if _, err := b.call(stepOf(b.t, w, "dns:update_host").Undo, c); err != nil {
			b.t.Fatalf("undo of %s: %v", c.Get("fqdn"), err)
		}
	}
}

// shows checks what a name answers, asked with a key or none ("-").
func (b *bed) shows(key, name, kind, want string) {
	b.t.Helper()
	got, err := b.named.DigAs(b.t.Context(), key, name, kind)
	if err != nil {
		b.t.Fatal(err)
	}
	if got != want {
		b.t.Errorf("%s %s is %q, want %q", name, kind, got, want)
	}
}

func (b *bed) refused(err error, words ...string) {
	b.t.Helper()
	if err == nil || !pipeline.IsPermanent(err) {
		b.t.Errorf("not refused: %v", err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			b.t.Errorf("the refusal does not say %q: %v", w, err)
		}
	}
}

// BIND chooses the view by the key of the question. Asked without it, Jarvis would read the outer zone and write the
// inner.
func TestViewsByKey(t *testing.T) {
	view := func(name, match string) string {
		return `view "` + name + `" { match-clients { ` + match + ` }; zone "view.example" { type primary; file "` + name + `.db"; allow-update { key inner; }; allow-transfer { key inner; }; };
zone "2.0.192.in-addr.arpa" { type primary; file "` + name + `.rev"; allow-update { key inner; }; }; };
`
	}
	b := newBed(t, real.NamedConf{Keys: []string{"inner"}, Probe: "inner view.example", Conf: view("in", "key inner;") + view("out", "any;"),
		Files: map[string]string{"in.db": "", "out.db": "loki A 203.0.113.1\n", "in.rev": "", "out.rev": ""}})
	w := b.worker(dns.Config{TSIG: key1("inner")})
	c := b.clip("loki.view.example", "192.0.2.5")
	b.do(w, "dns:update_host", c)
	b.shows("inner", "loki.view.example", "A", "192.0.2.5")
	b.shows("inner", "5.2.0.192.in-addr.arpa", "PTR", "loki.view.example.")
	b.shows("-", "loki.view.example", "A", "203.0.113.1")
	if said := b.do(w, "dns:update_host", c); !strings.Contains(said, "nothing to do") {
		t.Errorf("the second time: %q", said)
	}
	b.undo(c, w)
	b.shows("inner", "loki.view.example", "A", "")
	b.shows("inner", "5.2.0.192.in-addr.arpa", "PTR", "")
	b.shows("-", "loki.view.example", "A", "203.0.113.1")
}

// Each zone has its server and its key; what the plain server holds under the same names is never looked at.
func TestServersByZone(t *testing.T) {
	zone := func(name, key string) string {
		return `zone "` + name + `" { type primary; file "` + name + `"; allow-update { key ` + key + `; }; allow-transfer { key ` + key + `; }; };
`
	}
	one := newBed(t, real.NamedConf{Keys: []string{"one"}, Probe: "one corp.example", Conf: zone("corp.example", "one") + zone("prod.example", "one") + zone("dev.prod.example", "one"),
		Files: map[string]string{"corp.example": "www CNAME h.prod.example.\nstandby A 198.51.100.9\n", "prod.example": "h A 203.0.113.7\n", "dev.prod.example": ""}})
	two := newBed(t, real.NamedConf{Keys: []string{"two", "three"}, Probe: "two prod.example", Conf: zone("prod.example", "two") + zone("2.0.192.in-addr.arpa", "three"),
		Files: map[string]string{"prod.example": "standby A 198.51.100.9\n", "2.0.192.in-addr.arpa": ""}})
	three, inner := key1("three"), key1("two")
	none := dns.TSIG{}
	w := one.worker(dns.Config{TSIG: key1("one"), Zones: map[string]dns.Zone{
		"prod.example":          {Server: two.named.Addr, TSIG: &inner},
		"Dev.prod.example.":     {Server: one.named.Addr}, // longer: back at the plain server, with the plain key
		"2.0.192.in-addr.arpa.": {Server: two.named.Addr, TSIG: &three},
		"bare.example":          {Server: two.named.Addr, TSIG: &none},
	}})
	c := one.clip("h.prod.example", "192.0.2.5", "services: [www.corp.example]", "standby: standby", "moved_at: 2020-01-01T00:00:00Z")
	one.do(w, "dns:update_host", c)
	two.shows("-", "h.prod.example", "A", "192.0.2.5")
	two.shows("-", "5.2.0.192.in-addr.arpa", "PTR", "h.prod.example.")
	one.shows("-", "h.prod.example", "A", "203.0.113.7")
	d := one.clip("d.dev.prod.example", "198.51.100.1")
	one.do(w, "dns:update_host", d)
	one.shows("-", "d.dev.prod.example", "A", "198.51.100.1")

	_, err := one.call(stepOf(t, w, "dns:check_unused").Do, c)
	one.refused(err, "www.corp.example (CNAME)")
	move := stepOf(t, w, "dns:move_services")
	if _, err := one.call(move.Do, c); err != nil {
		if _, _, waits := pipeline.AsWait(err); !waits {
			t.Fatal(err)
		}
	}
	one.shows("-", "www.corp.example", "CNAME", "standby.prod.example.")
	if _, err := one.call(move.Release, c); err != nil {
		t.Fatal(err)
	}
	one.shows("-", "www.corp.example", "CNAME", "h.prod.example.")
	one.do(w, "dns:remove_host", c)
	two.shows("-", "h.prod.example", "A", "")
	two.shows("-", "5.2.0.192.in-addr.arpa", "PTR", "")
	_, err = one.call(stepOf(t, w, "dns:update_host").Do, one.clip("x.bare.example", "192.0.2.6"))
	one.refused(err, two.named.Addr+" has no zone for x.bare.example")
}

// Wrong keys are told by what is wrong with them, and an answer that nobody signed is no answer.
func TestKeysThatAreWrong(t *testing.T) {
	b := newBed(t, real.NamedConf{Keys: []string{"good"}, Probe: "- plain.example", Conf: `zone "plain.example" { type primary; file "plain.db"; allow-update { key good; }; };`, Files: map[string]string{"plain.db": ""}})
	ask := func(cfg dns.Config) error {
		_, err := b.call(stepOf(t, b.worker(cfg), "dns:update_host").Do, b.clip("h.plain.example", "192.0.2.5"))
		return err
	}
	b.refused(ask(dns.Config{TSIG: key1("other")}), `does not know the key "other", or takes it for nothing of this zone (BADKEY); check workers.dns.tsig.name`)
	b.refused(ask(dns.Config{TSIG: dns.TSIG{Name: "good", Secret: "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmch"}}), `another secret for the key "good" (BADSIG); check workers.dns.tsig.secret`)
	b.refused(ask(dns.Config{TSIG: dns.TSIG{Name: "good", Algorithm: "hmac-sha512", Secret: real.TSIGSecret}}), `(BADKEY); check workers.dns.tsig.name and algorithm`)
	b.refused(ask(dns.Config{}), `(REFUSED, no key; set workers.dns.tsig)`)
	other := key1("other")
	b.refused(ask(dns.Config{TSIG: key1("good"), Zones: map[string]dns.Zone{"plain.example": {TSIG: &other}}}), `check workers.dns.zones.plain.example.tsig.name`)

	// The attack: somebody in between answers a signed question without a signature, and says that the name is free.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	liar := &godns.Server{Listener: l, Handler: godns.HandlerFunc(func(w godns.ResponseWriter, q *godns.Msg) {
		r := new(godns.Msg)
		r.SetReply(q)
		r.Authoritative = true
		r.Ns = []godns.RR{&godns.SOA{Hdr: godns.RR_Header{Name: "plain.example.", Rrtype: godns.TypeSOA, Class: godns.ClassINET}, Ns: "a.", Mbox: "b."}}
		_ = w.WriteMsg(r)
	})}
	go func() { _ = liar.ActivateAndServe() }()
	t.Cleanup(func() { _ = liar.Shutdown() })
	b.refused(ask(dns.Config{Server: l.Addr().String(), TSIG: key1("good")}), `answered a signed question without a signature (NOERROR), which is not trusted; does it know the key "good"?`)
}

// Each mistake in the configuration is named with its key.
func TestConfigOfZones(t *testing.T) {
	bad := dns.TSIG{Name: "k", Secret: "not base64!"}
	for want, cfg := range map[string]dns.Config{
		`workers.dns.server is "https://ns1"; write host:port`:                          {Server: "https://ns1"},
		`workers.dns.server is "ns1:99999"`:                                             {Server: "ns1:99999"},
		`workers.dns.tsig.name is missing`:                                              {TSIG: dns.TSIG{Secret: real.TSIGSecret}},
		`workers.dns.zones.a b: "a b" is not a zone's name`:                             {Zones: map[string]dns.Zone{"a b": {Server: "ns1"}}},
		`workers.dns.zones.a.example names neither`:                                     {Zones: map[string]dns.Zone{"a.example": {}}},
		`workers.dns.zones.a.example.server is "ns1:x"`:                                 {Zones: map[string]dns.Zone{"a.example": {Server: "ns1:x"}}},
		`workers.dns.zones.a.example.tsig.secret must be base64`:                        {Zones: map[string]dns.Zone{"a.example": {TSIG: &bad}}},
		`workers.dns.zones.a.example.tsig.algorithm is "md5"`:                           {Zones: map[string]dns.Zone{"a.example": {TSIG: &dns.TSIG{Algorithm: "md5"}}}},
		`workers.dns.zones.a.example.: the zone is there twice`:                         {Zones: map[string]dns.Zone{"A.example": {Server: "ns1"}, "a.example.": {Server: "ns2"}}},
		`workers.dns.zones.a.example.tsig.name is "k k", which is no key's name; write`: {Zones: map[string]dns.Zone{"a.example": {TSIG: &dns.TSIG{Name: "k k", Secret: real.TSIGSecret}}}},
	} {
		if _, err := dns.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, right := range []string{"", "ns1", "ns1.example.org:53", "::1", "[::1]:5353", "[::1]", "127.0.0.1"} {
		if _, err := dns.New(dns.Config{Server: right}); err != nil {
			t.Errorf("%q: %v", right, err)
		}
	}
}
