package dns

import (
	"context"
	"fmt"
	"strings"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// undoUpdate gives back what stood there before this run, when what stands there is what it wrote.
func (w *Worker) undoUpdate(ctx context.Context, c *clipboard.Clipboard) error {
	if !c.Has("dns_before") && !c.Has("ipaddress") {
		return nil // it wrote nothing
	}
	j, err := w.job(ctx, c)
	if err != nil {
		return err
	}
	if !c.Has("dns_before") {
		return j.undoWanted(ctx, c)
	}
	was, pointers, err := before(c, j.fqdn)
	if err != nil {
		return err
	}
	ours, _, err := w.ours(ctx, c)
	if err != nil {
		return err
	}
	written, had := parse(c.Get("dns_written")), addresses(was)
	written = without(written, without(written, ours))
	var left string
	err = settle(func() error {
		left = ""
		have, err := w.standing(ctx, j.fqdn)
		if err != nil {
			return err
		}
		there := addresses(have)
		// An address that stood there before and stands there still is nobody's affair.
		switch others := without(there, written); {
		case len(others) > 0 && len(without(others, had))+len(without(had, there)) > 0:
			left = fmt.Sprintf("%s is %s in DNS by now, which this run did not write: left as it is", j.fqdn, words(others))
			return nil
		case len(there) == 0 && len(had) > 0:
			left = fmt.Sprintf("somebody has removed the address of %s from DNS: left as it is", j.fqdn)
			return nil
		}
		return j.write(ctx, have, was)
	})
	if err != nil {
		return err
	}
	if err := j.giveBack(ctx, append(written, without(had, written)...), pointers, left == ""); err != nil {
		return err
	}
	if left != "" {
		j.leave(ctx, left)
	}
	switch {
	case len(j.left) > 0:
		return pipeline.Stays(strings.Join(j.left, "; "))
	case len(had) > 0:
		pipeline.Progress(ctx, j.fqdn+" is "+words(had)+" again")
	default:
		pipeline.Progress(ctx, "removed the records of "+j.fqdn)
	}
	return nil
}

// undoWanted is for runs that have nothing on record, as those of an earlier version: it removes exactly the records
// that this clipboard asks for, unless the record knows nothing of their addresses.
func (j *job) undoWanted(ctx context.Context, c *clipboard.Clipboard) error {
	want, addrs, err := wanted(c, j.fqdn, j.wish)
	if err != nil {
		return err
	}
	ours, known, err := j.ours(ctx, c)
	if err != nil {
		return err
	}
	if known && len(without(addrs, ours)) > 0 {
		pipeline.Progress(ctx, "nothing to do: no run of this host wrote "+j.fqdn)
		return nil
	}
	err = j.at(j.fqdn).update(ctx, j.zone, "the records of "+j.fqdn, func(m *godns.Msg) {
		for _, rrs := range want {
			m.Remove(rrs)
		}
	})
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err := j.dropPTR(ctx, a); err != nil {
			return err
		}
	}
	j.done(ctx, "removed the records of "+j.fqdn)
	return nil
}
