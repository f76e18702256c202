package dns

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// updateHost can be undone: what the name had before is on record before anything is written.
func (w *Worker) updateHost() pipeline.Step {
	return pipeline.Step{
		Name:    "dns:update_host",
		Doc:     "writes the host's A, AAAA, PTR and SSHFP records",
		Needs:   []string{"hostname", "fqdn", "ipaddress", "ip6address?", "hostkeys?", "dns?", "dns_before?", "dns_written?", "dns_left?"},
		Gives:   []string{"dns_before", "dns_written", "dns_left"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Check:   w.checkUpdate,
		Plan:    w.planUpdate,
		Do:      w.doUpdate,
		Undo:    w.undoUpdate,
		Drift:   w.driftUpdate,
	}
}

// doUpdate reads what it wrote, for a server may take an update and not show it.
func (w *Worker) doUpdate(ctx context.Context, c *clipboard.Clipboard) error {
	j, err := w.job(ctx, c)
	if err != nil {
		return err
	}
	want, addrs, err := wanted(c, j.fqdn, j.wish)
	if err != nil {
		return err
	}
	// All that can be refused is asked for before the first write, so that none stops the run halfway.
	if err := settle(func() error { return j.survey(ctx, c, addrs, want) }); err != nil {
		return err
	}
	changed := false
	if err = settle(func() (err error) {
		changed, err = j.putRecords(ctx, c, want, addrs)
		return err
	}); err != nil {
		return err
	}
	for _, t := range j.types() {
		have, err := w.records(ctx, j.fqdn, t)
		if err != nil {
			return err
		}
		if !sameSet(have, want[t], j.wish.ttl) {
			return fmt.Errorf("%s took the update of %s, but does not show the %s records", w.at(j.fqdn).addr, j.fqdn, godns.TypeToString[t])
		}
	}
	pointed, err := j.putPointers(ctx, c, addrs)
	if err != nil {
		return err
	}
	if err := j.noteLeft(c); err != nil {
		return err
	}
	if changed || pointed {
		j.done(ctx, j.fqdn+" is "+addrs[0].String())
	} else {
		j.done(ctx, "nothing to do: "+j.fqdn+" is right already")
	}
	return nil
}

// noteLeft puts on record which kinds the servers let nobody write, so that nobody looks for them later.
func (j *job) noteLeft(c *clipboard.Clipboard) error {
	if len(j.kinds) == 0 {
		return c.Delete("dns_left")
	}
	return c.Set("dns_left", strings.Join(j.kinds, " "))
}

// types lists those that are the host's at its own name, but for what is not wished or not to be had.
func (j *job) types() []uint16 {
	if j.wish.sshfp == off {
		return []uint16{godns.TypeA, godns.TypeAAAA}
	}
	return hostTypes
}

// putRecords makes the records at the host's name right in one update, if what stands there is the host's.
func (j *job) putRecords(ctx context.Context, c *clipboard.Clipboard, want map[uint16][]godns.RR, addrs []netip.Addr) (changed bool, err error) {
	have, err := j.standing(ctx, j.fqdn)
	if err != nil {
		return false, err
	}
	ours, _, err := j.ours(ctx, c)
	if err != nil {
		return false, err
	}
	if others := without(without(addresses(have), ours), addrs); len(others) > 0 {
		return false, j.foreign(j.fqdn, others, without(addresses(have), others), false)
	}
	if !sameSet(have[godns.TypeSSHFP], want[godns.TypeSSHFP], j.wish.ttl) {
		if err := j.foreignPrints(ctx, c, have); err != nil {
			return false, err
		}
	}
	// Before the write: should its answer be lost, the next try knows it for ours.
	if err := j.remember(ctx, c, have, addrs, ours); err != nil {
		return false, err
	}
	next := maps.Clone(have)
	for _, t := range j.types() {
		if !sameSet(have[t], want[t], j.wish.ttl) {
			// The type at the host's own name is the host's: all of it is replaced. Other types stay.
			next[t], changed = want[t], true
		}
	}
	if !changed {
		return false, nil
	}
	return true, j.replace(ctx, j.zone, j.fqdn, have, next)
}

// putPointers points the host's addresses back at it, and takes the pointers from those that it no longer has.
func (j *job) putPointers(ctx context.Context, c *clipboard.Clipboard, addrs []netip.Addr) (changed bool, err error) {
	was, _, err := before(c, j.fqdn)
	if err != nil {
		return false, err
	}
	for _, a := range without(append(addresses(was), parse(c.Get("dns_written"))...), addrs) {
		if err := j.dropPTR(ctx, a); err != nil {
			return false, err
		}
	}
	for _, a := range addrs {
		if j.wish.reverse == off || contains(j.noPTR, a) {
			continue
		}
		did, err := j.setPTR(ctx, a)
		passed, err := j.pass(ctx, "reverse", j.wish.reverse, "no PTR", err)
		if err != nil {
			return false, err
		}
		changed = changed || did && !passed
	}
	return changed, nil
}
