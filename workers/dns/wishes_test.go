package dns_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/dns"
)

// partial is a server whose keys have different rights.
func partial(t *testing.T) *bed {
	return newBed(t, real.NamedConf{Keys: []string{"full", "addr", "none", "six"}, Probe: "- part.example", Conf: `zone "part.example" { type primary; file "fwd"; update-policy { grant full zonesub ANY; grant addr zonesub A AAAA; grant six zonesub AAAA SSHFP; }; };
zone "2.0.192.in-addr.arpa" { type primary; file "rev"; update-policy { grant full zonesub PTR; }; };`,
		Files: map[string]string{"fwd": "taken A 203.0.113.9\nalias CNAME taken\n", "rev": "7 PTR gone.part.example.\n"}})
}

const fingerprints = "hostkeys: [" + key + "]"

func TestWishes(t *testing.T) {
	b := partial(t)
	addr, full := b.worker(dns.Config{TSIG: key1("addr")}), b.worker(dns.Config{TSIG: key1("full")})
	update := stepOf(t, addr, "dns:update_host")
	serial := func() string { s, _ := b.named.DigAs(t.Context(), "-", "part.example", "SOA"); return s }

	// try, the default: what is refused is said, in the last line too, and the rest is there.
	c := b.clip("try.part.example", "192.0.2.5", fingerprints)
	for range 2 {
		said := b.do(addr, "dns:update_host", c)
		last := said[strings.LastIndex(said, "\n")+1:]
		for _, want := range []string{"no SSHFP: " + b.named.Addr + ` refused to write SSHFP of try.part.example in the zone part.example (REFUSED, key "addr")`,
			"no PTR: " + b.named.Addr + ` refused to write PTR of 5.2.0.192.in-addr.arpa in the zone 2.0.192.in-addr.arpa (REFUSED, key "addr")`} {
			if !strings.Contains(last, want) || strings.Count(said, want) != 2 {
				t.Errorf("%q is not in the log and in the last line:\n%s", want, said)
			}
		}
	}
	b.shows("-", "try.part.example", "A", "192.0.2.5")
	b.undo(c, addr)
	b.shows("-", "try.part.example", "A", "")

	// must: it stops before the address is written, in the configuration as in the clipboard.
	for _, more := range [][]string{{fingerprints, "dns: {reverse: must}"}, {fingerprints, "dns: {reverse: off, sshfp: must}"}} {
		before := serial()
		c := b.clip("must.part.example", "192.0.2.5", more...)
		_, err := b.call(update.Do, c)
		b.refused(err, "refused to write", `(REFUSED, key "addr")`, ": must` asks for it", "under workers.dns")
		b.shows("-", "must.part.example", "A", "")
		if c.Has("dns_before") || serial() != before {
			t.Error("something was written")
		}
	}
	strict := b.worker(dns.Config{TSIG: key1("addr"), Reverse: "must", SSHFP: "off"})
	_, err := b.call(stepOf(t, strict, "dns:update_host").Do, b.clip("must.part.example", "198.51.100.1"))
	b.refused(err, "has no reverse zone for 198.51.100.1; `reverse: must` asks for it")
	b.do(strict, "dns:update_host", b.clip("must.part.example", "198.51.100.1", "dns: {reverse: try}")) // the clipboard wins

	// off: what stands there stays, through update, undo and remove.
	if err := b.named.UpdateAs(t.Context(), "full", "add off.part.example 60 SSHFP 4 2 0000000000000000000000000000000000000000000000000000000000000000"); err != nil {
		t.Fatal(err)
	}
	sshfp, _ := b.named.DigAs(t.Context(), "-", "off.part.example", "SSHFP")
	c = b.clip("off.part.example", "192.0.2.7", fingerprints, "dns: {reverse: off, sshfp: off, ttl: 77}")
	for _, step := range []string{"do", "again", "undo", "do", "remove", "remove"} {
		switch step {
		case "undo":
			b.undo(c, full)
		case "remove":
			if said := b.do(full, "dns:remove_host", c); !strings.Contains(said, "its SSHFP records stay as they are (sshfp: off)") {
				t.Errorf("remove: %q", said)
			}
		default:
			if said := b.do(full, "dns:update_host", c); step == "again" && !strings.Contains(said, "nothing to do") {
				t.Errorf("again: %q", said)
			}
		}
		b.shows("-", "off.part.example", "SSHFP", sshfp)
		b.shows("-", "7.2.0.192.in-addr.arpa", "PTR", "gone.part.example.")
	}
	b.shows("-", "off.part.example", "A", "")

	// A right that is gone by the time of undo or remove: what can be taken back is, and what stays is said.
	for _, name := range []string{"undo", "remove"} {
		c := b.clip(name+".part.example", "192.0.2.8", fingerprints)
		b.do(full, "dns:update_host", c)
		var said string
		if name == "undo" {
			_, err := b.call(update.Undo, c)
			what, stays := pipeline.AsStays(err)
			if said = what; !stays {
				t.Errorf("undo: %v", err)
			}
		} else {
			said = b.do(addr, "dns:remove_host", c)
		}
		if !strings.Contains(said, "SSHFP of "+name+".part.example stays as it is: ") || !strings.Contains(said, "the PTR of 192.0.2.8 stays as it is: ") {
			t.Errorf("%s: %q", name, said)
		}
		b.shows("-", name+".part.example", "A", "")
		b.shows("-", "8.2.0.192.in-addr.arpa", "PTR", name+".part.example.")
		if err := b.named.UpdateAs(t.Context(), "full", "delete 8.2.0.192.in-addr.arpa PTR"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWishesThatMakeNoSense(t *testing.T) {
	b := partial(t)
	w := b.worker(dns.Config{TSIG: key1("full")})
	for more, want := range map[string]string{
		"dns: {reverse: maybe}":  `instance.dns.reverse is "maybe"; off, try or must`,
		"dns: {sshfp: true}":     `instance.dns.sshfp is "true"; off, try or must`,
		"dns: {rverse: off}":     `there is no key "rverse" in instance.dns; there are reverse, sshfp and ttl`,
		"dns: {ttl: 1h}":         `instance.dns.ttl is "1h"; a whole number of seconds`,
		"dns: {ttl: 0}":          `instance.dns.ttl is 0; from 1 to 2147483647 seconds`,
		"dns: {ttl: 4294967297}": `instance.dns.ttl is 4294967297; from 1`,
		"dns: [reverse]":         `dns`,
		"dns: {sshfp: must}":     "`sshfp: must`, and no host key of bad.part.example is known",
	} {
		_, err := b.call(stepOf(t, w, "dns:update_host").Do, b.clip("bad.part.example", "192.0.2.5", more))
		b.refused(err, want)
	}
	b.shows("-", "bad.part.example", "A", "")
	for want, cfg := range map[string]dns.Config{
		`workers.dns.reverse is "no"; off, try or must`:    {Reverse: "no"},
		`workers.dns.sshfp is "always"; off, try or must`:  {SSHFP: "always"},
		`workers.dns.ttl is 4294967295; from 1 to 2147483`: {TTL: 1<<32 - 1},
	} {
		if _, err := dns.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Before a machine is made: the zone, the name and the key's rights are looked at, and nothing is changed by that.
func TestCheckBeforeAnythingIsMade(t *testing.T) {
	b := partial(t)
	zones := func() string {
		one, _ := b.named.DigAs(t.Context(), "-", "part.example", "SOA")
		two, _ := b.named.DigAs(t.Context(), "-", "2.0.192.in-addr.arpa", "SOA")
		return one + two
	}
	before := zones()
	check := func(key string, c *clipboard.Clipboard) (said string, err error) {
		step := stepOf(t, b.worker(dns.Config{TSIG: key1(key)}), "dns:update_host")
		said, err = b.call(step.Check, c)
		// plan says the same.
		var text string
		_, planErr := b.call(func(ctx context.Context, c *clipboard.Clipboard) (err error) {
			text, err = step.Plan(ctx, c)
			return err
		}, c)
		if (err == nil) != (planErr == nil) || err != nil && err.Error() != planErr.Error() {
			t.Errorf("check says %v, plan says %v", err, planErr)
		}
		for _, l := range strings.Split(said, "\n") {
			if !strings.Contains(text, l) && err == nil {
				t.Errorf("plan does not say %q: %q", l, text)
			}
		}
		return text, err
	}
	text, err := check("full", b.clip("new.part.example", ""))
	if err != nil || text != "would write A, PTR and SSHFP of new.part.example in the zone part.example at "+b.named.Addr+"; its PTR can be checked once the address is known" {
		t.Errorf("a free name: %q, %v", text, err)
	}
	if _, err := check("full", b.clip("new.part.example", "192.0.2.7")); err != nil {
		t.Errorf("a known address: %v", err)
	}
	if text, err := check("addr", b.clip("new.part.example", "192.0.2.7")); err != nil || !strings.HasPrefix(text, "would write A of new.part.example in ") || !strings.Contains(text, "; no SSHFP: ") || !strings.Contains(text, "; no PTR: ") {
		t.Errorf("rights to some: %q, %v", text, err)
	}
	if _, err := check("six", b.clip("new.part.example", "")); err != nil {
		t.Errorf("a host that may have IPv6 alone: %v", err)
	}
	_, err = check("six", b.clip("new.part.example", "192.0.2.7"))
	b.refused(err, b.named.Addr+` refused to write A of new.part.example in the zone part.example (REFUSED, key "six")`)
	_, err = check("none", b.clip("new.part.example", ""))
	b.refused(err, b.named.Addr+` refused to write A of new.part.example in the zone part.example (REFUSED, key "none")`)
	_, err = check("addr", b.clip("new.part.example", "", "dns: {sshfp: must}"))
	b.refused(err, `refused to write SSHFP of new.part.example in the zone part.example (REFUSED, key "addr")`)
	_, err = check("addr", b.clip("new.part.example", "192.0.2.7", "dns: {reverse: must}"))
	b.refused(err, `refused to write PTR of 7.2.0.192.in-addr.arpa in the zone 2.0.192.in-addr.arpa (REFUSED, key "addr")`)
	_, err = check("unknown", b.clip("new.part.example", ""))
	b.refused(err, `does not know the key "unknown"`)
	_, err = check("full", b.clip("new.other.example", ""))
	b.refused(err, b.named.Addr+" has no zone for new.other.example")
	_, err = check("full", b.clip("alias.part.example", ""))
	b.refused(err, "alias.part.example is an alias for taken.part.example")
	_, err = check("full", b.clip("taken.part.example", ""))
	b.refused(err, "taken.part.example is 203.0.113.9 in DNS already", "say so in the clipboard: `ipaddress: 203.0.113.9`")
	if _, err := check("full", b.clip("taken.part.example", "203.0.113.9")); err != nil {
		t.Errorf("the address that the machine will have: %v", err)
	}
	_, err = check("none", b.clip("taken.part.example", "203.0.113.9")) // also where a record stands
	b.refused(err, "refused to write A of taken.part.example")
	if after := zones(); after != before {
		t.Errorf("the checks changed a zone: %s, before %s", after, before)
	}
	// The host's own is free for it.
	c := b.clip("own.part.example", "192.0.2.9", fingerprints)
	full := b.worker(dns.Config{TSIG: key1("full")})
	b.do(full, "dns:update_host", c)
	before = zones()
	if _, err := check("full", b.clip("own.part.example", "")); err != nil {
		t.Errorf("its own address: %v", err)
	}
	if _, err := check("full", b.clip("own.part.example", "192.0.2.9", "dns: {reverse: must, sshfp: must}")); err != nil {
		t.Errorf("its own records: %v", err)
	}
	if after := zones(); after != before {
		t.Errorf("the checks changed a zone: %s, before %s", after, before)
	}
}
