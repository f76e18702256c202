package ldap

import (
	"context"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// Entries are found by the short name, which hosts of two domains may share. Whose an entry is, its full name says.

// fullNames lists the full names that an entry says it is of: jarvisFqdn alone when it is there, or else what cn and
// the clipboard in it say about that short name.
func fullNames(e *goldap.Entry, short string) []string {
	if name := fold(e.GetAttributeValue("jarvisFqdn")); name != "" {
		return []string{name}
	}
	var out []string
	add := func(name string) {
		if name = fold(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, cn := range e.GetAttributeValues("cn") {
		if host, _, dotted := strings.Cut(fold(cn), "."); dotted && host == fold(short) {
			add(cn)
		}
	}
	for _, attr := range []string{"jarvisClipboard", "description"} {
		if c, err := clipboard.Parse(e.GetRawAttributeValue(attr)); err == nil && fold(c.Get("hostname")) == fold(short) {
			add(c.Get("fqdn"))
		}
	}
	return out
}

// fold gives a name in a form in which two can be compared.
func fold(name string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "."))
}

// ofHost reports whether the entry is the host's, whose it is, and whether it says so itself. One that says no full
// name is of the host that its place stands for: cn=loki below dc=example,dc=org (RFC 2247) is loki.example.org, and
// what Jarvis writes for a host that has no full name.
func ofHost(e *goldap.Entry, in clipboard.Instance) (whose string, said, ours bool) {
	if names := fullNames(e, in.Hostname); len(names) > 0 {
		return strings.Join(names, " and "), true, len(names) == 1 && names[0] == fold(in.FQDN)
	}
	name := fold(rdn(e.DN))
	if in.FQDN == in.Hostname {
		return name, false, name == fold(in.Hostname)
	}
	if domain := domainOf(e.DN); domain != "" && !strings.Contains(name, ".") {
		name += "." + domain
	}
	return name, false, name == fold(in.FQDN)
}

// open connects, and gives the host's own entry as entry does. The caller closes the connection.
func (w *Worker) open(ctx context.Context, c *clipboard.Clipboard) (in clipboard.Instance, conn *goldap.Conn, e *goldap.Entry, err error) {
	if in, err = c.Instance(); err != nil {
		return in, nil, nil, pipeline.Permanent(err)
	}
	if conn, err = w.connect(ctx); err != nil {
		return in, nil, nil, err
	}
	if e, err = w.entry(conn, in); err != nil {
		_ = conn.Close()
		return in, nil, nil, err
	}
	return in, conn, e, nil
}

// entry gives the host's own entry, nil when there is none. One that has its short name and is of another host, or of
// more than one, is refused: whoever asks for it means to write.
func (w *Worker) entry(conn *goldap.Conn, in clipboard.Instance) (*goldap.Entry, error) {
	e, err := w.find(conn, w.cfg.Base, in.Hostname)
	if err != nil || e == nil {
		return nil, err
	}
	if whose, _, ours := ofHost(e, in); !ours {
		return nil, pipeline.Permanentf("%s at the directory %s is the entry of %s, not of %s: nothing is written; if it is this host's, set its jarvisFqdn to %s (or have its cn name no other), or else give the host another name",
			e.DN, w.host, whose, in.FQDN, in.FQDN)
	}
	return e, nil
}
