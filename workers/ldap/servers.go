package ldap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"
)

// server is one to try.
type server struct {
	url  string
	host string // for messages
	name string // what its certificate must be for
}

// servers gives the one that the configuration names, or those of the domain's SRV records, best first (RFC 2782).
// What DNS says can be forged: only hosts of the domain itself count, and their certificates are checked.
func (w *Worker) servers(ctx context.Context) ([]server, error) {
	if w.cfg.URL != "" {
		u, err := url.Parse(w.cfg.URL)
		if err != nil {
			return nil, err
		}
		return []server{{w.cfg.URL, u.Host, u.Hostname()}}, nil
	}
	lookup := w.cfg.LookupSRV
	if lookup == nil {
		lookup = net.DefaultResolver.LookupSRV
	}
	domain := domainOf(w.cfg.Base)
	_, list, err := lookup(ctx, "ldap", "tcp", domain)
	if err != nil {
		return nil, fmt.Errorf("workers.ldap.url is empty, and DNS names no server for _ldap._tcp.%s: %w", domain, err)
	}
	var out []server
	for _, r := range list {
		name := strings.TrimSuffix(strings.ToLower(r.Target), ".")
		if name == domain || strings.HasSuffix(name, "."+domain) {
			host := net.JoinHostPort(name, strconv.Itoa(int(r.Port)))
			out = append(out, server{"ldap://" + host, host, name})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("_ldap._tcp.%s names no server of %s itself; set workers.ldap.url", domain, domain)
	}
	return out, nil
}

// domainOf gives example.org for ou=Hosts,dc=example,dc=org (RFC 2247); "" when the DN has no dc.
func domainOf(base string) string {
	dn, err := goldap.ParseDN(base)
	if err != nil {
		return ""
	}
	var parts []string
	for _, rdn := range dn.RDNs {
		for _, a := range rdn.Attributes {
			if strings.EqualFold(a.Type, "dc") {
				parts = append(parts, strings.ToLower(a.Value))
			}
		}
	}
	return strings.Join(parts, ".")
}

// dial connects to the first server that answers.
func (w *Worker) dial(ctx context.Context) (*goldap.Conn, server, error) {
	list, err := w.servers(ctx)
	if err != nil {
		return nil, server{}, err
	}
	var errs []error
	for _, s := range list {
		cfg := w.tls.Clone()
		cfg.ServerName = s.name
		d := &net.Dialer{Timeout: callTimeout, Resolver: w.cfg.Resolver}
		c, err := goldap.DialURL(s.url, goldap.DialWithDialer(d), goldap.DialWithTLSConfig(cfg))
		if err == nil {
			c.SetTimeout(callTimeout)
			return c, s, nil
		}
		errs = append(errs, fmt.Errorf("the directory %s does not answer: %w", s.host, shorten(err)))
	}
	return nil, list[0], errors.Join(errs...)
}
