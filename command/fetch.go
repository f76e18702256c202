package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// Sources says where a clipboard may be taken from.
type Sources struct {
	URLs []string   `yaml:"urls" doc:"URL prefixes that deploy may fetch; an http:// prefix allows plain HTTP, an address in it allows that address" default:"https://gist.github.com/, https://gist.githubusercontent.com/"`
	LDAP LDAPSource `yaml:"ldap" doc:"for deploy cn=NAME"`
}

// LDAPSource says where hosts are looked for.
type LDAPSource struct {
	Base string `yaml:"base" doc:"where deploy cn=NAME looks; empty: workers.ldap.base"`
}

// DefaultURLs are the prefixes allowed when the configuration names none.
var DefaultURLs = []string{"https://gist.github.com/", "https://gist.githubusercontent.com/"}

const (
	fetchTimeout = 10 * time.Second
	maxRedirects = 5
)

// prefix is one allowed URL prefix.
type prefix struct {
	u       *url.URL
	literal bool // its host is an address, or localhost: private addresses are meant
}

// allows compares whole parts of the cleaned path: neither /a/../b nor /ab is below /a. An address with a user is never
// allowed.
func (p prefix) allows(u *url.URL) bool {
	return p.u.Scheme == u.Scheme && strings.EqualFold(hostPort(p.u), hostPort(u)) && u.User == nil &&
		(strings.HasPrefix(path.Clean("/"+u.Path)+"/", strings.TrimSuffix(path.Clean("/"+p.u.Path), "/")+"/"))
}

// hostPort gives the port that the scheme means where none is written.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// NewFetch gives a function that fetches a clipboard from the listed prefixes and from nowhere else: not by
// redirect, not by a name that leads to a private address. At most clipboard.MaxBytes, at most ten seconds.
func NewFetch(list []string) (func(ctx context.Context, raw string) ([]byte, error), error) {
	if list == nil {
		list = DefaultURLs
	}
	var allowed []prefix
	var wrong mistake.List
	for i, s := range list {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			wrong.At(fmt.Sprintf("sources.urls[%d]", i), ": %q is not the start of an http:// or https:// URL", s)
			continue
		}
		_, err = netip.ParseAddr(u.Hostname())
		allowed = append(allowed, prefix{u, err == nil || u.Hostname() == "localhost"})
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	f := &fetcher{allowed: allowed}
	return f.fetch, nil
}

type fetcher struct {
	allowed  []prefix
	resolver *net.Resolver // nil: the system's
}

// match gives the prefix that allows an address, or a UserError that lists them all.
func (f *fetcher) match(u *url.URL) (prefix, error) {
	for _, p := range f.allowed {
		if p.allows(u) {
			return p, nil
		}
	}
	var have []string
	for _, p := range f.allowed {
		have = append(have, p.u.String())
	}
	return prefix{}, &UserError{Msg: fmt.Sprintf("I do not fetch from %s", clip(u.Scheme+"://"+u.Host+u.Path, 120)), Hint: "I take clipboards from " + strings.Join(have, ", "), Kind: ErrDenied}
}

// fetch gives the text at an address. Of a gist, the API's answer is opened, and a file that it cut short is fetched by
// its own address.
func (f *fetcher) fetch(ctx context.Context, raw string) ([]byte, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, &UserError{Msg: fmt.Sprintf("%q is not a URL", clip(raw, 120)), Kind: ErrUsage}
	}
	if _, err := f.match(u); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	body, ctype, err := f.get(ctx, rawForm(u))
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(ctype, "application/json") {
		if text, raw, ok := gistFile(body); ok {
			if text != nil {
				return text, nil
			}
			next, err := url.Parse(raw)
			if err != nil {
				return nil, &UserError{Msg: "the gist names a file that is not a URL"}
			}
			if _, err := f.match(next); err != nil {
				return nil, err
			}
			body, _, err = f.get(ctx, next)
			return body, err
		}
	}
	return body, nil
}

var gistPage = pattern.New(`^(/[A-Za-z0-9-]+)?/[0-9a-f]{3,40}/?$`)

// rawForm turns the address of a gist's page, which people copy from their browser, into that of its text.
func rawForm(u *url.URL) *url.URL {
	if strings.EqualFold(u.Hostname(), "gist.github.com") && gistPage.MatchString(u.Path) {
		r := *u
		r.Path, r.RawPath, r.RawQuery, r.Fragment = strings.TrimSuffix(u.Path, "/")+"/raw", "", "", ""
		return &r
	}
	return u
}

// gistFile takes the first YAML file, or the only file, out of the API's answer
// (https://docs.github.com/en/rest/gists/gists#get-a-gist). A file cut short by the API is named by its raw URL.
func gistFile(body []byte) (text []byte, raw string, ok bool) {
	var g struct {
		Files map[string]struct {
			Content   string `json:"content"`
			RawURL    string `json:"raw_url"`
			Truncated bool   `json:"truncated"`
		} `json:"files"`
	}
	if json.Unmarshal(body, &g) != nil || len(g.Files) == 0 {
		return nil, "", false
	}
	best := ""
	for name := range g.Files {
		ext := path.Ext(name)
		yamlFile := ext == ".yaml" || ext == ".yml"
		bestYAML := strings.HasSuffix(best, ".yaml") || strings.HasSuffix(best, ".yml")
		if best == "" || yamlFile && !bestYAML || yamlFile == bestYAML && name < best {
			best = name
		}
	}
	file := g.Files[best]
	if file.Truncated {
		return nil, file.RawURL, true
	}
	return []byte(file.Content), "", true
}

// get follows redirects by hand, each checked against the list like the first address.
func (f *fetcher) get(ctx context.Context, u *url.URL) (body []byte, contentType string, err error) {
	for range maxRedirects {
		p, err := f.match(u)
		if err != nil {
			return nil, "", err
		}
		body, ctype, next, err := f.once(ctx, u, p)
		if err != nil || next == nil {
			return body, ctype, err
		}
		if _, err := f.match(next); err != nil {
			return nil, "", &UserError{Msg: fmt.Sprintf("%s sends me on to %s, which is not on my list", u.Host, clip(next.Host, 80)), Kind: ErrDenied}
		}
		u = next
	}
	return nil, "", &UserError{Msg: fmt.Sprintf("%s sends me on more than %d times", u.Host, maxRedirects)}
}

// once makes one request. next is where the answer leads on to; nil: this is the answer. The caller checks next.
func (f *fetcher) once(ctx context.Context, u *url.URL, p prefix) (body []byte, ctype string, next *url.URL, err error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Resolver: f.resolver}
	if !p.literal {
		// Checked when the name is resolved already, so that a name that changes its mind gains nothing.
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil || !public(ap.Addr()) {
				return errPrivate
			}
			return nil
		}
	}
	tr := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, TLSHandshakeTimeout: 5 * time.Second} // no proxy: behind one, the address could not be checked
	client := &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, "", nil, &UserError{Msg: fmt.Sprintf("%q is not a URL", clip(u.String(), 120)), Kind: ErrUsage}
	}
	req.Header.Set("User-Agent", "jarvis")
	req.Header.Set("Accept", "text/plain, application/x-yaml, application/json;q=0.9, */*;q=0.1")
	res, err := client.Do(req)
	if err != nil {
		return nil, "", nil, fetchError(u, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		loc, err := res.Location()
		if err != nil {
			return nil, "", nil, &UserError{Msg: fmt.Sprintf("%s sends me on, but not where", u.Host)}
		}
		return nil, "", loc, nil
	}
	if res.StatusCode == http.StatusNotFound {
		return nil, "", nil, &UserError{Msg: fmt.Sprintf("there is nothing at %s (404)", clip(u.String(), 200)), Kind: ErrNotFound}
	}
	if res.StatusCode != http.StatusOK {
		return nil, "", nil, &UserError{Msg: fmt.Sprintf("%s answered %s", u.Host, res.Status)}
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, clipboard.MaxBytes+1))
	if err != nil {
		return nil, "", nil, fetchError(u, err)
	}
	if len(b) > clipboard.MaxBytes {
		return nil, "", nil, &UserError{Msg: fmt.Sprintf("%s has more than %d KiB, which is no clipboard", clip(u.String(), 200), clipboard.MaxBytes>>10)}
	}
	return b, res.Header.Get("Content-Type"), nil, nil
}

var errPrivate = errors.New("private address")

// public reports whether an address is on the open internet: not loopback, private, link-local (cloud metadata),
// shared (RFC 6598), multicast or unspecified.
func public(a netip.Addr) bool {
	a = a.Unmap()
	shared := netip.MustParsePrefix("100.64.0.0/10")
	nat64 := netip.MustParsePrefix("64:ff9b::/96")
	return a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !shared.Contains(a) && !nat64.Contains(a) && a != netip.MustParseAddr("255.255.255.255")
}

// fetchError names the host alone: what net/http says has the whole address.
func fetchError(u *url.URL, err error) error {
	var dns *net.DNSError
	var uerr *url.Error
	switch {
	case errors.Is(err, errPrivate):
		return &UserError{Msg: fmt.Sprintf("%s leads to a private address", u.Host), Hint: "list that address itself under sources.urls if it is meant", Kind: ErrDenied}
	case errors.Is(err, context.DeadlineExceeded):
		return &UserError{Msg: fmt.Sprintf("%s took longer than %s", u.Host, fetchTimeout), Hint: "try again"}
	case errors.As(err, &dns):
		return &UserError{Msg: fmt.Sprintf("there is no host %s", dns.Name)}
	case errors.As(err, &uerr):
		err = uerr.Err
	}
	return &UserError{Msg: fmt.Sprintf("cannot fetch from %s: %s", u.Host, clip(err.Error(), 200)), Hint: "try again"}
}
