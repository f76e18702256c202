// Package ldap is the worker for the directory: it reads a host's clipboard from its entry, and keeps the entry under
// ou=Hosts up to date.
//
// Passwords never cross a network in clear: ldaps://, StartTLS, or a loopback address. Every call has a deadline;
// a connection is opened per step, for the directory may be gone for a while.
package ldap

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/cafile"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
)

// Config of the worker.
type Config struct {
	URL      string           `yaml:"url" doc:"ldap://host:389 or ldaps://host:636; empty: the servers that DNS names for base's domain (_ldap._tcp), with start_tls"`
	StartTLS bool             `yaml:"start_tls" doc:"encrypt an ldap:// connection before anything else is said"`
	CA       string           `yaml:"ca" path:"relative" doc:"file of the CA that signed the server's certificate; empty: the system's"`
	BindDN   string           `yaml:"bind_dn" doc:"who we are to the directory; empty: nobody"`
	Password clipboard.Secret `yaml:"password" doc:"of bind_dn"`
	Base     string           `yaml:"base" doc:"where hosts live, as in ou=Hosts,dc=example,dc=org"`
	DHCP     DHCP             `yaml:"dhcp" doc:"for hosts that boot from the network"`

	// LookupSRV and Resolver ask DNS for servers; nil: the system's.
	LookupSRV func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) `yaml:"-"`
	Resolver  *net.Resolver                                                                      `yaml:"-"`

	// Pointers says what points at the host in DNS, and whether that can be known; Secrets keeps files on hosts. They
	// are wired from the dns and ssh workers; nil: not there.
	Pointers func(ctx context.Context, c *clipboard.Clipboard) (list []string, known bool, err error) `yaml:"-"`
	Secrets  Secrets                                                                                  `yaml:"-"`
}

// Worker offers the steps and ReadClipboard.
type Worker struct {
	cfg  Config
	tls  *tls.Config
	host string
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Worker, error) {
	var wrong mistake.List
	u, err := url.Parse(cfg.URL)
	if cfg.URL == "" {
		if domainOf(cfg.Base) == "" {
			wrong.At("workers.ldap.url", "is empty, and base has no dc= by which DNS could name servers")
		}
		u, err = url.Parse("ldap://" + cmp.Or(domainOf(cfg.Base), "localhost"))
	}
	if err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" {
		u = &url.URL{}
		wrong.At("workers.ldap.url", "is %q; it must be ldap://host or ldaps://host", cfg.URL)
	}
	if _, err := goldap.ParseDN(cfg.Base); err != nil || cfg.Base == "" {
		wrong.At("workers.ldap.base", "is %q; it must be a DN as in ou=Hosts,dc=example,dc=org", cfg.Base)
	}
	if cfg.BindDN != "" && cfg.Password == "" {
		wrong.At("workers.ldap.bind_dn", "is set, but password is not")
	}
	if cfg.Password != "" && u.Scheme == "ldap" && !cfg.StartTLS && !loopback.Is(u.Hostname()) {
		wrong.At("workers.ldap", "would send its password in clear: set start_tls: true, or an ldaps:// url")
	}
	w := &Worker{cfg: cfg, host: u.Host, tls: &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}}
	if w.tls.RootCAs, err = cafile.Pool("workers.ldap.ca", cfg.CA); err != nil {
		wrong.Add(err)
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	return w, nil
}

// Steps lists what the worker offers.
func (w *Worker) Steps() []pipeline.Step {
	return []pipeline.Step{w.checkProduction(), w.checkOwner(), w.dhcpInstall(), w.dhcpLocal(), w.updateHostOU(), w.saveSecret(), w.removeHostOU()}
}

const callTimeout = 10 * time.Second

// connect opens, encrypts and binds. What no retry can cure is marked so.
func (w *Worker) connect(ctx context.Context) (*goldap.Conn, error) {
	c, srv, err := w.dial(ctx)
	if err != nil {
		return nil, err
	}
	if w.cfg.StartTLS {
		cfg := w.tls.Clone()
		cfg.ServerName = srv.name
		if err := c.StartTLS(cfg); err != nil {
			_ = c.Close()
			return nil, pipeline.Permanentf("the directory %s does not start TLS: %v", w.host, shorten(err))
		}
	}
	if w.cfg.BindDN != "" {
		if err := c.Bind(w.cfg.BindDN, string(w.cfg.Password)); err != nil {
			_ = c.Close()
			switch {
			case goldap.IsErrorWithCode(err, goldap.LDAPResultInvalidCredentials):
				return nil, pipeline.Permanentf("the directory %s refused %s: wrong password or no such entry", w.host, w.cfg.BindDN)
			case goldap.IsErrorWithCode(err, goldap.LDAPResultConfidentialityRequired):
				return nil, pipeline.Permanentf("the directory %s wants TLS: set workers.ldap.start_tls: true", w.host)
			}
			return nil, w.say("log in", err)
		}
	}
	if ctx.Err() != nil {
		_ = c.Close()
		return nil, ctx.Err()
	}
	return c, nil
}

// shorten takes the innermost cause, without go-ldap's prefix.
func shorten(err error) error {
	var le *goldap.Error
	if errors.As(err, &le) && le.Err != nil {
		return le.Err
	}
	return err
}

// say puts a directory's refusal into words.
func (w *Worker) say(what string, err error) error {
	var le *goldap.Error
	if !errors.As(err, &le) {
		return fmt.Errorf("%s at the directory %s: %w", what, w.host, err)
	}
	switch le.ResultCode {
	case goldap.LDAPResultInsufficientAccessRights:
		return pipeline.Permanentf("%s at the directory %s: %s has no right to", what, w.host, w.cfg.BindDN)
	case goldap.LDAPResultNoSuchObject:
		return pipeline.Permanentf("%s at the directory %s: %s is not there", what, w.host, w.cfg.Base)
	case goldap.LDAPResultBusy, goldap.LDAPResultUnavailable, goldap.ErrorNetwork, goldap.LDAPResultTimeout:
		return fmt.Errorf("%s at the directory %s: %w", what, w.host, shorten(err))
	}
	return pipeline.Permanentf("%s at the directory %s: %s (%v)", what, w.host, goldap.LDAPResultCodeMap[le.ResultCode], shorten(err))
}

// NotFoundError: no entry, or more than one.
type NotFoundError struct {
	Name  string
	Found []string // DNs when there are several
}

// Error implements error.
func (e *NotFoundError) Error() string {
	if len(e.Found) > 1 {
		return fmt.Sprintf("%q is more than one entry; say which: `%s`", e.Name, strings.Join(e.Found, "`, `"))
	}
	return fmt.Sprintf("there is no host %q in the directory", e.Name)
}

// find gives the entry of a host; nil when there is none. The name is escaped: it cannot change the filter.
func (w *Worker) find(c *goldap.Conn, base, cn string) (*goldap.Entry, error) {
	scope, filter := goldap.ScopeWholeSubtree, "(cn="+goldap.EscapeFilter(cn)+")"
	if strings.ContainsRune(cn, ',') { // which of several: the whole DN, and it must be below base
		dn, err := goldap.ParseDN("cn=" + cn)
		below, berr := goldap.ParseDN(base)
		if err != nil || berr != nil || !below.AncestorOfFold(dn) {
			return nil, pipeline.Permanentf("cn=%s is no entry below %s", cn, base)
		}
		base, scope, filter = dn.String(), goldap.ScopeBaseObject, "(objectClass=*)"
	}
	res, err := c.Search(goldap.NewSearchRequest(base, scope, goldap.NeverDerefAliases, 3, int(callTimeout.Seconds()), false, filter, []string{"*"}, nil))
	if goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) && scope == goldap.ScopeBaseObject {
		return nil, nil
	}
	if err != nil && !goldap.IsErrorWithCode(err, goldap.LDAPResultSizeLimitExceeded) {
		return nil, w.say("look for cn="+cn, err)
	}
	switch len(res.Entries) {
	case 0:
		return nil, nil
	case 1:
		return res.Entries[0], nil
	}
	e := &NotFoundError{Name: cn}
	for _, r := range res.Entries {
		e.Found = append(e.Found, r.DN)
	}
	return nil, pipeline.Permanent(e)
}
