package ldap

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/jarvisops/jarvis/clipboard"
)

// clipboardKeys are the attributes of examples/ldap/jarvis.schema, with the clipboard's keys.
var clipboardKeys = []struct{ attribute, key string }{
	{"jarvisProvider", "provider"}, {"jarvisFqdn", "fqdn"}, {"jarvisGuestid", "guestid"}, {"jarvisDatacenter", "datacenter"},
	{"jarvisSize", "size"}, {"jarvisSshPubKey", "sshpubkey"},
}

// ReadClipboard gives the clipboard of a host's entry: the YAML in jarvisClipboard, or in description, or one made of
// the entry's attributes when it has jarvisProvider. For `deploy cn=loki`; cn may go on as a whole DN. base is where
// to look; empty: where hosts live.
func (w *Worker) ReadClipboard(ctx context.Context, base, cn string) ([]byte, error) {
	if base == "" {
		base = w.cfg.Base
	}
	c, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	e, err := w.find(c, base, cn)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, &NotFoundError{Name: cn}
	}
	if v := e.GetRawAttributeValue("jarvisClipboard"); len(v) > 0 {
		return v, nil
	}
	if v := e.GetRawAttributeValue("description"); strings.Contains(string(v), "instance:") {
		return v, nil
	}
	if e.GetAttributeValue("jarvisProvider") != "" {
		return ofAttributes(e)
	}
	return nil, fmt.Errorf("the entry %s holds no clipboard: give it jarvisProvider and the like, or YAML in jarvisClipboard or description", e.DN)
}

// ofAttributes makes a clipboard of an entry that holds none, from the attributes of jarvisHost.
func ofAttributes(e *goldap.Entry) ([]byte, error) {
	name := e.GetAttributeValue("cn")
	c, err := clipboard.Parse([]byte("instance:\n  hostname: x\n"))
	if err != nil {
		return nil, err
	}
	short, _, dotted := strings.Cut(name, ".")
	errs := []error{c.Set("hostname", short)}
	if dotted {
		errs = append(errs, c.Set("fqdn", name))
	}
	for _, a := range clipboardKeys {
		v := e.GetAttributeValue(a.attribute)
		if v == "" {
			continue
		}
		if n, err := strconv.Atoi(v); err == nil {
			errs = append(errs, c.Set(a.key, n))
			continue
		}
		errs = append(errs, c.Set(a.key, v))
	}
	return []byte(c.Text()), errors.Join(errs...)
}
