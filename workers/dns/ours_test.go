package dns_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/dns"
)

// The attack: a host is deployed, undone or destroyed under a name at which somebody else's record stands. That record
// is there afterwards as it was, whatever the clipboard says, and also when it comes between our look and our write.
func TestRecordsOfOthersStay(t *testing.T) {
	named, err := real.StartNamed(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(named.Stop)
	w, err := dns.New(dns.Config{Server: named.Addr, TTL: 60, TSIG: dns.TSIG{Name: real.TSIGName, Secret: real.TSIGSecret}})
	if err != nil {
		t.Fatal(err)
	}
	update, remove := stepOf(t, w, "dns:update_host"), stepOf(t, w, "dns:remove_host")
	shows := func(host string) string {
		t.Helper()
		var out []string
		for _, kind := range []string{"A", "AAAA", "SSHFP"} {
			s, err := named.Dig(t.Context(), host+".websages.com", kind)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(s, "\n") // in any order
			slices.Sort(lines)
			out = append(out, strings.Fields(strings.Join(lines, " "))...)
		}
		return strings.Join(out, " ")
	}
	ptr := func(name string) string {
		t.Helper()
		s, err := named.Dig(t.Context(), name+".127.in-addr.arpa", "PTR")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	others := func(lines ...string) {
		t.Helper()
		if err := named.Update(t.Context(), lines...); err != nil {
			t.Fatal(err)
		}
	}
	record := map[string][]string{}
	clip := func(host, ip, more string) *clipboard.Clipboard {
		t.Helper()
		c, err := clipboard.Parse([]byte("instance:\n  hostname: " + host + "\n  fqdn: " + host + ".websages.com\n  provider: ESX\n  ipaddress: " + ip + "\n" + more))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	call := func(do func(context.Context, *clipboard.Clipboard) error, c *clipboard.Clipboard, kept func(*clipboard.Clipboard)) (string, error) {
		s := &said{record: record, host: c.Get("hostname"), kept: kept}
		err := do(pipeline.WithHost(t.Context(), s), c)
		return strings.Join(s.lines, "; "), err
	}
	refused := func(t *testing.T, err error, addr string) {
		t.Helper()
		if err == nil || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), " is "+addr+" in DNS already, and no run of this host wrote that: nothing is written; ") {
			t.Errorf("not refused: %v", err)
		}
	}
	stand := func(t *testing.T, host, want string) {
		t.Helper()
		if got := shows(host); got != want {
			t.Errorf("%s is %q, want %q", host, got, want)
		}
	}

	t.Run("an address of somebody else", func(t *testing.T) {
		c := clip("thor", "127.9.9.3", "")
		_, err := call(update.Do, c, nil)
		refused(t, err, "127.9.9.2")
		if c.Has("dns_before") || c.Has("dns_written") {
			t.Error("something is on record")
		}
		if _, err := call(update.Undo, c, nil); err != nil {
			t.Error(err)
		}
		stand(t, "thor", "127.9.9.2")
	})
	t.Run("of the other family", func(t *testing.T) {
		others("add six.websages.com 60 AAAA fd00::66")
		_, err := call(update.Do, clip("six", "127.9.8.1", ""), nil)
		refused(t, err, "fd00::66")
		stand(t, "six", "fd00::66")
	})
	t.Run("a person wrote that it is ours", func(t *testing.T) {
		for _, more := range []string{"  dns_written: 127.9.9.2\n", "  dns_written: 127.9.9.2\n  dns_before: [none]\n", "  dns_before: [\"thor.websages.com. 60 IN A 127.9.9.2\", \"thor.websages.com. 60 IN AAAA fd00::1\"]\n"} {
			c := clip("thor", "127.9.9.3", more)
			_, err := call(update.Do, c, nil)
			refused(t, err, "127.9.9.2")
			if _, err := call(update.Undo, c, nil); err != nil {
				if _, stays := pipeline.AsStays(err); !stays {
					t.Error(err)
				}
			}
			stand(t, "thor", "127.9.9.2")
		}
	})
	t.Run("the clipboard wants what stands there", func(t *testing.T) {
		c := clip("thor", "127.9.9.2", "")
		for range 2 {
			if _, err := call(update.Do, c, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := call(update.Undo, c, nil); err != nil {
			t.Fatal(err)
		}
		stand(t, "thor", "127.9.9.2")
		if said, err := call(remove.Do, c, nil); err != nil || !strings.Contains(said, "left as it is") {
			t.Errorf("remove: %q, %v", said, err)
		}
		stand(t, "thor", "127.9.9.2")
	})
	t.Run("beside our own", func(t *testing.T) {
		c := clip("both", "127.9.8.20", "")
		if _, err := call(update.Do, c, nil); err != nil {
			t.Fatal(err)
		}
		others("add both.websages.com 60 A 127.9.8.21")
		_, err := call(update.Do, c, nil)
		if want := "both.websages.com is 127.9.8.21 in DNS already (beside 127.9.8.20, which is the host's own), and no run of this host wrote that: nothing is written; if 127.9.8.21 is not needed, remove it at "; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	})
	t.Run("undo of a removal says what stays", func(t *testing.T) {
		c := clip("away", "127.9.8.30", "")
		for range 2 {
			if _, err := call(update.Do, c, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := call(remove.Undo, c, nil); err != nil {
			t.Errorf("nothing was removed: %v", err)
		}
		for range 2 { // a repeat finds nothing, and forgets nothing
			if _, err := call(remove.Do, c, nil); err != nil {
				t.Fatal(err)
			}
		}
		_, err := call(remove.Undo, c, nil)
		if what, stays := pipeline.AsStays(err); !stays || what != "the DNS records of away.websages.com stay removed (127.9.8.30)" {
			t.Errorf("undo: %v", err)
		}
	})
	t.Run("it comes between look and write", func(t *testing.T) {
		_, err := call(update.Do, clip("race", "127.9.8.2", ""), func(*clipboard.Clipboard) { others("add race.websages.com 60 A 127.9.8.9") })
		refused(t, err, "127.9.8.9")
		stand(t, "race", "127.9.8.9")
		// And where our own stood.
		if _, err := call(update.Do, clip("race2", "127.9.8.3", ""), nil); err != nil {
			t.Fatal(err)
		}
		_, err = call(update.Do, clip("race2", "127.9.8.4", ""), func(*clipboard.Clipboard) {
			others("delete race2.websages.com A", "add race2.websages.com 60 A 127.9.8.9")
		})
		refused(t, err, "127.9.8.9")
		stand(t, "race2", "127.9.8.9")
	})
	t.Run("undo gives back what was there", func(t *testing.T) {
		others("add 1.7.9.127.in-addr.arpa 60 PTR gone.websages.com.")
		first := clip("undo", "127.9.7.1", "  ip6address: fd00::7\n  hostkeys: ["+key+"]\n")
		if _, err := call(update.Do, first, nil); err != nil {
			t.Fatal(err)
		}
		whole := shows("undo")
		if !strings.HasPrefix(whole, "127.9.7.1 fd00::7 4 ") || ptr("1.7.9") != "undo.websages.com." {
			t.Fatalf("undo is %q, %q", whole, ptr("1.7.9"))
		}
		next := clip("undo", "127.9.7.2", "")
		var stored string // the answer to the write is lost: the next try begins with what was kept
		if _, err := call(update.Do, next, func(c *clipboard.Clipboard) { stored = c.Text() }); err != nil {
			t.Fatal(err)
		}
		stand(t, "undo", "127.9.7.2")
		again, err := clipboard.Parse([]byte(stored))
		if err != nil {
			t.Fatal(err)
		}
		if said, err := call(update.Do, again, nil); err != nil || !strings.Contains(said, "nothing to do") {
			t.Errorf("after a lost answer: %q, %v", said, err)
		}
		for range 2 {
			if _, err := call(update.Undo, again, nil); err != nil {
				t.Fatal(err)
			}
			stand(t, "undo", whole)
			if got := ptr("1.7.9") + ptr("2.7.9"); got != "undo.websages.com." {
				t.Errorf("the pointers are %q", got)
			}
		}
		for range 2 { // and of the first run: nothing, but for the pointer that was there
			if _, err := call(update.Undo, first, nil); err != nil {
				t.Fatal(err)
			}
			stand(t, "undo", "")
			if got := ptr("1.7.9"); got != "gone.websages.com." {
				t.Errorf("the pointer is %q", got)
			}
		}
	})
	t.Run("undo after somebody else's write", func(t *testing.T) {
		c := clip("late", "127.9.6.1", "")
		if _, err := call(update.Do, c, nil); err != nil {
			t.Fatal(err)
		}
		others("delete late.websages.com A", "add late.websages.com 60 A 127.9.6.9")
		_, err := call(update.Undo, c, nil)
		if what, stays := pipeline.AsStays(err); !stays || !strings.Contains(what, "late.websages.com is 127.9.6.9 in DNS by now") {
			t.Errorf("undo: %v", err)
		}
		stand(t, "late", "127.9.6.9")
		// Ours beside somebody else's: only ours goes.
		others("add late.websages.com 60 A 127.9.6.1")
		if said, err := call(remove.Do, c, nil); err != nil || !strings.Contains(said, "127.9.6.9, which no run of this host wrote, is left as it is") {
			t.Errorf("remove: %q, %v", said, err)
		}
		stand(t, "late", "127.9.6.9")
	})
	t.Run("fingerprints of somebody else", func(t *testing.T) {
		const print = "4 2 0102030405060708090A0B0C0D0E0F101112131415161718191A1B1C 1D1E1F20"
		others("add ghost.websages.com 60 SSHFP " + print)
		c := clip("ghost", "127.9.4.1", "  hostkeys: ["+key+"]\n")
		_, err := call(update.Do, c, nil)
		if err == nil || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "ghost.websages.com has SSHFP in DNS already, without an address, and no run of this host wrote that") {
			t.Errorf("not refused: %v", err)
		}
		if err := update.Check(pipeline.WithHost(t.Context(), &said{record: record, host: "ghost"}), c); err == nil {
			t.Error("the look before the first stage says nothing")
		}
		if said, err := call(remove.Do, c, nil); err != nil || !strings.Contains(said, "left as they are") {
			t.Errorf("remove: %q, %v", said, err)
		}
		stand(t, "ghost", print)
		// It may stay there, and then it is nobody's affair here, to the end.
		c = clip("ghost", "127.9.4.1", "  dns: {sshfp: off}\n  hostkeys: ["+key+"]\n")
		for _, do := range []func(context.Context, *clipboard.Clipboard) error{update.Do, remove.Do} {
			if _, err := call(do, c, nil); err != nil {
				t.Fatal(err)
			}
		}
		stand(t, "ghost", print)
		// The host's own stay its own when its address is taken away by hand.
		c = clip("own2", "127.9.4.2", "  hostkeys: ["+key+"]\n")
		if _, err := call(update.Do, c, nil); err != nil {
			t.Fatal(err)
		}
		others("delete own2.websages.com A")
		if _, err := call(remove.Do, c, nil); err != nil {
			t.Fatal(err)
		}
		stand(t, "own2", "")
	})
	t.Run("the host's own goes", func(t *testing.T) {
		c := clip("own", "127.9.5.1", "  ip6address: fd00::5\n  hostkeys: ["+key+"]\n")
		if _, err := call(update.Do, c, nil); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := call(remove.Do, c, nil); err != nil {
				t.Fatal(err)
			}
		}
		stand(t, "own", "")
		if got := ptr("1.5.9"); got != "" {
			t.Errorf("the pointer is %q", got)
		}
	})
}
