package dns

import (
	"context"
	"fmt"
	"slices"
	"strings"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// driftUpdate compares the records at the host's name, and the pointers at its addresses, with what doUpdate left.
// Times to live are not compared: another one in the configuration is no drift of every host.
func (w *Worker) driftUpdate(ctx context.Context, c *clipboard.Clipboard) ([]pipeline.Difference, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, err
	}
	wish, err := w.wishes(c)
	if err != nil {
		return nil, err
	}
	left := strings.Fields(c.Get("dns_left"))
	if slices.Contains(left, "sshfp") {
		wish.sshfp = off
	}
	if slices.Contains(left, "reverse") {
		wish.reverse = off
	}
	want, addrs, err := wanted(c, in.FQDN, wish)
	if err != nil {
		return nil, err
	}
	have, err := w.standing(ctx, in.FQDN)
	if err != nil {
		return nil, err
	}
	ours, _, err := w.ours(ctx, c)
	if err != nil {
		return nil, err
	}
	first := ""
	if others := without(without(addresses(have), ours), addrs); len(others) > 0 {
		first = fmt.Sprintf("remove %s at %s, which no run of this host wrote", strings.ReplaceAll(words(others), " ", " and "), w.at(in.FQDN).addr)
	}
	var out []pipeline.Difference
	for _, t := range hostTypes {
		if t == godns.TypeSSHFP && wish.sshfp == off {
			continue
		}
		if !sameData(have[t], want[t]) {
			d := pipeline.Difference{What: godns.TypeToString[t] + " of " + in.FQDN + " in DNS", Want: values(want[t]), Have: values(have[t]), First: first}
			if t == godns.TypeSSHFP { // its numbers say nothing to people
				d.Want, d.Have = count(want[t], nil), count(have[t], want[t])
			}
			out = append(out, d)
		}
	}
	for _, a := range addrs {
		if wish.reverse == off {
			break
		}
		at, err := w.reverse(ctx, a)
		if isNoReverse(err) {
			continue // none was written
		} else if err != nil {
			return nil, err
		}
		there, err := w.own(ctx, at.name, godns.TypePTR)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(there, func(rr godns.RR) bool { return strings.EqualFold(rr.(*godns.PTR).Ptr, godns.Fqdn(in.FQDN)) }) {
			out = append(out, pipeline.Difference{What: "PTR of " + a.String() + " in DNS", Want: in.FQDN, Have: values(there)})
		}
	}
	return out, nil
}

// sameData compares record sets by data, whatever their order and their times to live.
func sameData(a, b []godns.RR) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x godns.RR) bool {
		return !slices.ContainsFunc(b, func(y godns.RR) bool { return godns.IsDuplicate(x, y) })
	})
}

// values gives what records say, without names and numbers.
func values(rrs []godns.RR) string {
	var out []string
	for _, rr := range rrs {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(rr.String(), rr.Header().String()), "."))
	}
	if len(out) == 0 {
		return "none"
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}

// count says how many fingerprints there are, and how many of them are others than wanted.
func count(rrs, want []godns.RR) string {
	others := 0
	for _, rr := range rrs {
		if !slices.ContainsFunc(want, func(y godns.RR) bool { return godns.IsDuplicate(rr, y) }) {
			others++
		}
	}
	switch {
	case len(rrs) == 0:
		return "none"
	case want == nil || others == 0:
		return fmt.Sprintf("%d fingerprints", len(rrs))
	}
	return fmt.Sprintf("%d fingerprints, %d of them of other keys", len(rrs), others)
}
