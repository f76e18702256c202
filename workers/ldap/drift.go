package ldap

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// driftUpdate compares the host's entry with what doUpdate left: that it is there, the host's, and has its attributes.
func (w *Worker) driftUpdate(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, err
	}
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	e, err := w.find(conn, w.cfg.Base, in.Hostname)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return []pipeline.Difference{{What: "the entry cn=" + in.Hostname + " below " + w.cfg.Base, Want: "there", Have: "gone"}}, nil
	}
	if whose, _, ours := ofHost(e, in); !ours {
		return []pipeline.Difference{{What: "the entry " + e.DN, Want: "that of " + in.FQDN, Have: "that of " + whose,
			First: "set its jarvisFqdn to " + in.FQDN + " if it is this host's, or else remove it"}}, nil
	}
	// A directory that does not know the class has no host keys. In one that does, doUpdate gave every entry the class.
	set, err := attributes(c, in, hasValue(e, "objectClass", "jarvisHost"))
	if err != nil {
		return nil, err
	}
	var out []pipeline.Difference
	for _, k := range slices.Sorted(maps.Keys(set)) {
		if have := e.GetAttributeValues(k); !sameValues(have, set[k]) {
			out = append(out, pipeline.Difference{What: k + " of " + e.DN, Want: words(set[k]), Have: words(have)})
		}
	}
	for _, n := range names(in) {
		if !hasValue(e, "cn", n) {
			out = append(out, pipeline.Difference{What: "cn of " + e.DN, Want: "also " + n, Have: words(e.GetAttributeValues("cn"))})
		}
	}
	return out, nil
}

func words(values []string) string {
	if len(values) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(values)), " and ")
}
