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

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHmsXB8UmyDRG5BtT69cTBkmSITs9hRTGAwgwpCA5frO"

// said keeps what a step reports, and is the record of what steps gave dns_written, by host.
type said struct {
	lines  []string
	host   string
	record map[string][]string
	kept   func(*clipboard.Clipboard) // at each Keep; may be nil
}

func (s *said) Progress(l string) { s.lines = append(s.lines, l) }
func (s *said) Log(l string)      { s.lines = append(s.lines, l) }
func (s *said) Facts() pipeline.Facts {
	return pipeline.Facts{Token: "jarvis-test-1"}
}

func (s *said) Keep(_ context.Context, c *clipboard.Clipboard) error {
	if v := c.Get("dns_written"); v != "" && s.record != nil {
		s.record[s.host] = append([]string{v}, s.record[s.host]...)
	}
	if s.kept != nil {
		s.kept(c)
	}
	return nil
}

func (s *said) Given(_ context.Context, task, key string) ([]string, error) {
	if task != "update_host" || key != "dns_written" {
		return nil, nil
	}
	return s.record[s.host], nil
}

// TestUpdateHostOnBIND proves each promise of dns:update_host on a real server.
func TestUpdateHostOnBIND(t *testing.T) {
	named, err := real.StartNamed(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(named.Stop)
	w, err := dns.New(dns.Config{Server: named.Addr, TTL: 60, TSIG: dns.TSIG{Name: real.TSIGName, Secret: real.TSIGSecret}})
	if err != nil {
		t.Fatal(err)
	}
	step := stepOf(t, w, "dns:update_host")
	record := map[string][]string{}
	dig := func(name, kind string) string {
		t.Helper()
		out, err := named.Dig(t.Context(), name, kind)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	call := func(do func(context.Context, *clipboard.Clipboard) error, host, ip string) (string, error) {
		t.Helper()
		c, err := clipboard.Parse([]byte("instance:\n  hostname: " + host + "\n  fqdn: " + host + ".websages.com\n  provider: ESX\n  ipaddress: " + ip + "\n  hostkeys: [" + key + "]\n"))
		if err != nil {
			t.Fatal(err)
		}
		s := &said{record: record, host: host}
		err = do(pipeline.WithHost(t.Context(), s), c)
		return strings.Join(s.lines, "; "), err
	}

	if _, err := call(step.Do, "loki", "127.10.0.1"); err != nil {
		t.Fatal(err)
	}
	if dig("loki.websages.com", "A") != "127.10.0.1" || dig("1.0.10.127.in-addr.arpa", "PTR") != "loki.websages.com." || !strings.HasPrefix(dig("loki.websages.com", "SSHFP"), "4 ") {
		t.Error("the records are not there")
	}
	if said, err := call(step.Do, "loki", "127.10.0.1"); err != nil || !strings.Contains(said, "nothing to do") {
		t.Errorf("the second time: %q, %v", said, err)
	}
	// A new address: the old one and its pointer are stale.
	if _, err := call(step.Do, "loki", "127.10.0.2"); err != nil {
		t.Fatal(err)
	}
	if got := dig("loki.websages.com", "A"); got != "127.10.0.2" {
		t.Errorf("A = %q", got)
	}
	if got := dig("1.0.10.127.in-addr.arpa", "PTR"); got != "" {
		t.Errorf("the old pointer stays: %q", got)
	}
	// An alias: BIND would say NOERROR and change nothing (RFC 2136 §3.4.2.2).
	if _, err := call(step.Do, "alias", "127.10.0.3"); err == nil || !strings.Contains(err.Error(), "alias.websages.com is an alias for ns1.websages.com in DNS") {
		t.Errorf("an alias: %v", err)
	}
	// An address whose pointer is another's, and in use: it stays, beside ours.
	if said, err := call(step.Do, "vali", "127.9.9.9"); err != nil || !strings.Contains(said, "127.9.9.9 is also shared.websages.com") {
		t.Errorf("a shared address: %q, %v", said, err)
	}
	if got := dig("9.9.9.127.in-addr.arpa", "PTR"); !strings.Contains(got, "shared.websages.com.") || !strings.Contains(got, "vali.websages.com.") {
		t.Errorf("PTR = %q", got)
	}
	// A pointer to a name that no longer has the address is stale.
	if _, err := call(step.Do, "odin", "127.9.9.8"); err != nil {
		t.Fatal(err)
	}
	if got := dig("8.9.9.127.in-addr.arpa", "PTR"); got != "odin.websages.com." {
		t.Errorf("PTR = %q", got)
	}
	// Undo takes its own, twice without harm, and leaves the neighbour's.
	for range 2 {
		if _, err := call(step.Undo, "vali", "127.9.9.9"); err != nil {
			t.Fatal(err)
		}
	}
	if got := dig("9.9.9.127.in-addr.arpa", "PTR") + dig("vali.websages.com", "A") + dig("vali.websages.com", "SSHFP"); got != "shared.websages.com." {
		t.Errorf("after undo: %q", got)
	}
	// A zone that is not here; a record type that the key may not write.
	if _, err := call(step.Do, "x.example", "127.10.0.1"); err == nil {
		t.Error("a host name with a dot was taken")
	}
	bad, err := dns.New(dns.Config{Server: named.Addr, TSIG: dns.TSIG{Name: real.TSIGName, Secret: "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmch"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(stepOf(t, bad, "dns:update_host").Do, "loki", "127.10.0.9"); err == nil || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `has another secret for the key "jarvis-key" (BADSIG); check workers.dns.tsig.secret`) {
		t.Errorf("a wrong secret: %v", err)
	}
}

func stepOf(t *testing.T, w *dns.Worker, name string) pipeline.Step {
	t.Helper()
	for _, s := range w.Steps() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no step %s", name)
	return pipeline.Step{}
}
