// Package dns is the worker for names: RFC 2136 updates signed with TSIG (RFC 8945).
//
//	dns:update_host    A, AAAA, PTR and SSHFP of the host; the host's own are replaced, what is somebody else's stays
//	dns:move_services  names of services go to the standby, and back when the host is ready
//	dns:check_unused, dns:remove_host  before and after a host is destroyed
//
// A name belongs to the server of the longest configured zone above it; all about it is asked and written there, signed
// with that zone's key. The zone of a name is found by asking the server for its SOA. Every update is read back: a
// server may answer NOERROR and change nothing (RFC 2136 §3.4.2.2, an address where a CNAME is). What a wildcard
// answers at a name is nobody's there; pointers stand where the reverse name leads (RFC 2317). What would be refused is
// found before the first write, and by the Check of dns:update_host before a machine is made.
package dns

import (
	"context"
	"errors"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of the worker.
type Config struct {
	Server  string `yaml:"server" doc:"host:port of the primary server that takes updates" default:"127.0.0.1:53"`
	TTL     uint32 `yaml:"ttl" doc:"seconds for the records we write" default:"300"`
	TSIG    TSIG   `yaml:"tsig" doc:"the key that signs updates and questions, and reads the zone"`
	Reverse string `yaml:"reverse" doc:"PTR records: off; try: a refusal is said and the run goes on; must: it stops the run, if it can before anything is made" default:"try"`
	SSHFP   string `yaml:"sshfp" doc:"the fingerprints of the host's keys: off, try or must, as with reverse" default:"try"`
	// Zones are served elsewhere, or with another key. The longest that holds a name counts.
	Zones map[string]Zone `yaml:"zones" doc:"zones with a server or key of their own, by name; all others are at server"`
	// Drain is nil for the longest TTL of what was moved, at most 15 minutes.
	Drain *time.Duration `yaml:"drain" doc:"how long to wait after services moved away, until old answers have run out; empty: their longest TTL, at most 15m"`
	// OnStandby runs commands on the standby, each once. It is wired from the ssh worker.
	OnStandby func(ctx context.Context, c *clipboard.Clipboard, host string, commands []string) error `yaml:"-"`
}

// Zone is a zone with a server or a key of its own.
type Zone struct {
	Server string `yaml:"server" doc:"host:port of its primary server; empty: workers.dns.server"`
	TSIG   *TSIG  `yaml:"tsig" doc:"its key; left out: workers.dns.tsig; {}: nothing is signed"`
}

// TSIG is a shared key.
type TSIG struct {
	Name      string           `yaml:"name" doc:"the key's name, as in the server's configuration; empty: nothing is signed"`
	Algorithm string           `yaml:"algorithm" doc:"hmac-sha256, hmac-sha384 or hmac-sha512" default:"hmac-sha256"`
	Secret    clipboard.Secret `yaml:"secret" doc:"base64, as in the server's configuration"`
}

// Worker offers the steps.
type Worker struct {
	cfg      Config
	defaults wishes
	rest     *server            // of every name that no configured zone holds
	zones    map[string]*server // by canonical name
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Worker, error) {
	w := &Worker{cfg: cfg}
	var one, two error
	w.defaults, one = defaults(cfg)
	w.rest, w.zones, two = servers(cfg)
	if err := errors.Join(one, two); err != nil {
		return nil, err
	}
	return w, nil
}

// Steps lists what the worker offers.
func (w *Worker) Steps() []pipeline.Step {
	return []pipeline.Step{w.moveServices(), w.updateHost(), w.checkUnused(), w.removeHost()}
}
