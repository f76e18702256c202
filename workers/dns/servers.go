package dns

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// server is a DNS server, and the key that it knows us by. Everything about a name is asked of, and written at, the one
// server that the configuration names for it.
type server struct {
	addr   string // host:port
	key    string // the key's name, fully qualified and in small letters; "": nothing is signed
	algo   string
	secret string
	where  string // its place in the configuration, for people
}

// as says in words which key is used.
func (s *server) as() string {
	if s.key == "" {
		return "no key; set " + s.where + ".tsig"
	}
	return fmt.Sprintf("key %q", strings.TrimSuffix(s.key, "."))
}

// at gives the server of a name: that of the longest zone that is configured above it, or the plain one.
func (w *Worker) at(name string) *server {
	best, long := w.rest, 0
	for zone, s := range w.zones {
		if godns.IsSubDomain(zone, godns.Fqdn(name)) && len(zone) > long {
			best, long = s, len(zone)
		}
	}
	return best
}

// zoneName allows what stands in zones' names: hosts' letters, the slash of RFC 2317 §4, the underscore of RFC 8552.
var zoneName = pattern.New(`^[a-z0-9_/-]+(\.[a-z0-9_/-]+)*\.$`)

// servers reads the configuration: the plain server, and those of zones. A zone takes from the plain one what it does
// not say itself.
func servers(cfg Config) (rest *server, zones map[string]*server, err error) {
	if cfg.Server == "" {
		cfg.Server = "127.0.0.1:53"
	}
	var wrong mistake.List
	if rest, err = newServer("workers.dns", cfg.Server, cfg.TSIG); err != nil {
		wrong.Add(err)
		rest = &server{}
	}
	zones = map[string]*server{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Zones)) {
		z, where := cfg.Zones[name], "workers.dns.zones."+name
		zone := godns.CanonicalName(name)
		if _, ok := godns.IsDomainName(zone); !ok || !zoneName.MatchString(zone) {
			wrong.At(where, ": %q is not a zone's name; write it as in prod.example or 2.0.192.in-addr.arpa", name)
			continue
		}
		if zones[zone] != nil {
			wrong.At(where, ": the zone is there twice; letters and the final dot make no difference")
			continue
		}
		if z.Server == "" && z.TSIG == nil {
			wrong.At(where, "names neither `server` nor `tsig`; leave the zone out, or say what is different for it")
			continue
		}
		if z.Server == "" {
			z.Server = cfg.Server
		}
		if z.TSIG == nil {
			same := *rest
			same.addr, err = address(where, z.Server)
			wrong.Add(err)
			zones[zone] = &same // its key is the plain one's, and so is the place to correct it
			continue
		}
		zones[zone], err = newServer(where, z.Server, *z.TSIG)
		wrong.Add(err)
	}
	return rest, zones, wrong.Err()
}

// newServer gives all that is wrong with an entry of the configuration at once. Without a key nothing is signed.
func newServer(where, addr string, key TSIG) (*server, error) {
	var wrong mistake.List
	addr, err := address(where, addr)
	wrong.Add(err)
	s := &server{addr: addr, where: where}
	switch strings.ToLower(key.Algorithm) {
	case "hmac-sha256", "":
		s.algo = godns.HmacSHA256
	case "hmac-sha384":
		s.algo = godns.HmacSHA384
	case "hmac-sha512":
		s.algo = godns.HmacSHA512
	default:
		wrong.At(where+".tsig.algorithm", "is %q; hmac-sha256, hmac-sha384 or hmac-sha512", key.Algorithm)
	}
	if key.Name == "" {
		if key.Secret != "" {
			wrong.At(where+".tsig.name", "is missing: a secret signs nothing without its key's name")
		}
		return s, wrong.Err()
	}
	if _, ok := godns.IsDomainName(key.Name); !ok || strings.ContainsAny(key.Name, " \t\n\"") {
		wrong.At(where+".tsig.name", "is %q, which is no key's name; write it as in the server's configuration", key.Name)
	}
	if _, err := base64.StdEncoding.DecodeString(string(key.Secret)); err != nil || key.Secret == "" {
		wrong.At(where+".tsig.secret", "must be base64, as in the server's key file")
	}
	s.key, s.secret = godns.CanonicalName(key.Name), string(key.Secret)
	return s, wrong.Err()
}

// address completes host[:port].
func address(where, addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]"), "53"
	}
	_, notIP := netip.ParseAddr(host)
	n, notPort := strconv.ParseUint(port, 10, 16)
	if notIP != nil && clipboard.CheckName(strings.ToLower(strings.TrimSuffix(host, "."))) != nil || notPort != nil || n == 0 {
		return "", mistake.At(where+".server", "is %q; write host:port, as in ns1.example.org:53", addr)
	}
	return net.JoinHostPort(host, port), nil
}
