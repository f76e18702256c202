// Package dns is the worker for names: RFC 2136 updates signed with TSIG (RFC 8945).
//
//	dns:update_host    A, AAAA, PTR and SSHFP of the host; the host's own are replaced, what is somebody else's stays
//	dns:move_services  names of services go to the standby, and back when the host is ready
//	dns:check_unused, dns:remove_host  before and after a host is destroyed
//
// The zone of a name is found by asking the server for its SOA. Every update is read back: a server may answer
// NOERROR and change nothing (RFC 2136 §3.4.2.2, an address where a CNAME is).
package dns

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of the worker.
type Config struct {
	Server string `yaml:"server" doc:"host:port of the primary server that takes updates" default:"127.0.0.1:53"`
	TTL    uint32 `yaml:"ttl" doc:"seconds for the records we write" default:"300"`
	TSIG   TSIG   `yaml:"tsig" doc:"the key that signs updates, and reads the zone"`
	// Drain is nil for the longest TTL of what was moved, at most 15 minutes.
	Drain *time.Duration `yaml:"drain" doc:"how long to wait after services moved away, until old answers have run out; empty: their longest TTL, at most 15m"`
	// OnStandby runs commands on the standby, each once. It is wired from the ssh worker.
	OnStandby func(ctx context.Context, c *clipboard.Clipboard, host string, commands []string) error `yaml:"-"`
}

// TSIG is a shared key.
type TSIG struct {
	Name      string           `yaml:"name" doc:"the key's name, as in the server's configuration; empty: updates are not signed"`
	Algorithm string           `yaml:"algorithm" doc:"hmac-sha256, hmac-sha384 or hmac-sha512" default:"hmac-sha256"`
	Secret    clipboard.Secret `yaml:"secret" doc:"base64, as in the server's configuration"`
}

// Worker offers the steps.
type Worker struct {
	cfg  Config
	algo string
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Worker, error) {
	if cfg.Server == "" {
		cfg.Server = "127.0.0.1:53"
	}
	if _, _, err := net.SplitHostPort(cfg.Server); err != nil {
		cfg.Server = net.JoinHostPort(cfg.Server, "53")
	}
	if cfg.TTL == 0 {
		cfg.TTL = 300
	}
	if cfg.TSIG.Algorithm == "" {
		cfg.TSIG.Algorithm = "hmac-sha256"
	}
	w := &Worker{cfg: cfg}
	switch strings.ToLower(cfg.TSIG.Algorithm) {
	case "hmac-sha256":
		w.algo = godns.HmacSHA256
	case "hmac-sha384":
		w.algo = godns.HmacSHA384
	case "hmac-sha512":
		w.algo = godns.HmacSHA512
	default:
		return nil, fmt.Errorf("workers.dns.tsig.algorithm is %q; hmac-sha256, hmac-sha384 or hmac-sha512", cfg.TSIG.Algorithm)
	}
	if cfg.TSIG.Name != "" {
		if _, err := base64.StdEncoding.DecodeString(string(cfg.TSIG.Secret)); err != nil || cfg.TSIG.Secret == "" {
			return nil, errors.New("workers.dns.tsig.secret must be base64, as in the server's key file")
		}
	}
	return w, nil
}

// Steps lists what the worker offers.
func (w *Worker) Steps() []pipeline.Step {
	return []pipeline.Step{w.moveServices(), w.updateHost(), w.checkUnused(), w.removeHost()}
}

const callTimeout = 5 * time.Second

// query asks the server itself, over TCP: an answer is never cut short.
func (w *Worker) query(ctx context.Context, name string, kind uint16) (*godns.Msg, error) {
	m := new(godns.Msg)
	m.SetQuestion(godns.Fqdn(name), kind)
	m.RecursionDesired = false
	return w.exchange(ctx, m, false)
}

func (w *Worker) exchange(ctx context.Context, m *godns.Msg, sign bool) (*godns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c := &godns.Client{Net: "tcp", Timeout: callTimeout}
	if sign && w.cfg.TSIG.Name != "" {
		key := godns.Fqdn(strings.ToLower(w.cfg.TSIG.Name))
		c.TsigSecret = map[string]string{key: string(w.cfg.TSIG.Secret)}
		m.SetTsig(key, w.algo, 300, time.Now().Unix())
	}
	r, _, err := c.ExchangeContext(ctx, m, w.cfg.Server)
	if r != nil && r.Rcode != godns.RcodeSuccess && sign {
		// The refusal counts, signed or not: a server that does not know our key can not sign.
		return r, nil
	}
	if err != nil {
		if errors.Is(err, godns.ErrSig) || errors.Is(err, godns.ErrSecret) || errors.Is(err, godns.ErrAuth) || errors.Is(err, godns.ErrTime) {
			return nil, pipeline.Permanentf("%s answered, but not signed with the key %q; check its name and secret", w.cfg.Server, w.cfg.TSIG.Name)
		}
		return nil, fmt.Errorf("ask the DNS server %s: %w", w.cfg.Server, err)
	}
	return r, nil
}

// records gives the server's own records of a type; none for a name that does not exist.
func (w *Worker) records(ctx context.Context, name string, kind uint16) ([]godns.RR, error) {
	r, err := w.query(ctx, name, kind)
	if err != nil {
		return nil, err
	}
	if r.Rcode != godns.RcodeSuccess && r.Rcode != godns.RcodeNameError {
		return nil, fmt.Errorf("ask %s for %s: %s", w.cfg.Server, name, godns.RcodeToString[r.Rcode])
	}
	var out []godns.RR
	for _, rr := range r.Answer {
		if rr.Header().Rrtype == kind && strings.EqualFold(rr.Header().Name, godns.Fqdn(name)) {
			out = append(out, rr)
		}
	}
	return out, nil
}

// errNoZone: the server is not authoritative for any zone above the name.
var errNoZone = errors.New("no zone here")

// zone finds the zone of a name by its SOA: in the answer when the name is the zone's apex, otherwise in the
// authority section of a negative answer.
func (w *Worker) zone(ctx context.Context, name string) (string, error) {
	r, err := w.query(ctx, name, godns.TypeSOA)
	if err != nil {
		return "", err
	}
	if r.Rcode == godns.RcodeRefused || r.Rcode == godns.RcodeNotAuth || !r.Authoritative {
		return "", errNoZone
	}
	for _, rr := range append(r.Answer, r.Ns...) {
		if soa, ok := rr.(*godns.SOA); ok && godns.IsSubDomain(soa.Hdr.Name, godns.Fqdn(name)) {
			return soa.Hdr.Name, nil
		}
	}
	// A name that is a CNAME gives the alias instead of the SOA; its zone is that of its parent.
	if _, parent, ok := strings.Cut(strings.TrimSuffix(name, "."), "."); ok && len(r.Answer) > 0 {
		return w.zone(ctx, parent)
	}
	return "", errNoZone
}

// update sends one RFC 2136 message and says a refusal in words.
func (w *Worker) update(ctx context.Context, zone string, build func(*godns.Msg)) error {
	m := new(godns.Msg)
	m.SetUpdate(zone)
	build(m)
	if len(m.Ns) == 0 {
		return nil
	}
	r, err := w.exchange(ctx, m, true)
	if err != nil {
		return err
	}
	switch r.Rcode {
	case godns.RcodeSuccess:
		return nil
	case godns.RcodeYXRrset, godns.RcodeNXRrset: // a prerequisite does not hold
		return fmt.Errorf("write the zone %s at %s: %w", zone, w.cfg.Server, errChanged)
	case godns.RcodeServerFailure:
		return fmt.Errorf("%s could not write the zone %s (SERVFAIL)", w.cfg.Server, zone)
	}
	why := godns.RcodeToString[r.Rcode]
	if t := r.IsTsig(); t != nil && t.Error != 0 {
		why += ", " + godns.RcodeToString[int(t.Error)]
	}
	if w.cfg.TSIG.Name == "" {
		return pipeline.Permanentf("%s refused the update of %s (%s, no key; set workers.dns.tsig)", w.cfg.Server, zone, why)
	}
	return pipeline.Permanentf("%s refused the update of %s (%s, key %q)", w.cfg.Server, zone, why, w.cfg.TSIG.Name)
}
