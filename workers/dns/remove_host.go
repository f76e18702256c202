package dns

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// removeHost is for hosts that are destroyed.
func (w *Worker) removeHost() pipeline.Step {
	return pipeline.Step{
		Name:    "dns:remove_host",
		Doc:     "removes the host's A, AAAA, SSHFP and PTR records; addresses that no run of the host wrote stay",
		Needs:   []string{"hostname", "fqdn", "ipaddress?", "ip6address?", "dns?", "dns_written?", "dns_removed?"},
		Gives:   []string{"dns_removed"},
		Timeout: 5 * time.Minute,
		Resume:  pipeline.Again,
		Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			j, err := w.job(ctx, c)
			if err != nil {
				return err
			}
			return settle(func() error { return j.remove(ctx, c) })
		},
		Undo: func(_ context.Context, c *clipboard.Clipboard) error {
			if gone := c.Get("dns_removed"); gone != "" {
				return pipeline.Stays("the DNS records of " + c.Get("fqdn") + " stay removed (" + gone + ")")
			}
			return nil
		},
	}
}

// remove deletes what a run of this host wrote, and leaves the rest.
func (j *job) remove(ctx context.Context, c *clipboard.Clipboard) error {
	have, err := j.standing(ctx, j.fqdn)
	if err != nil {
		return err
	}
	ours, _, err := j.ours(ctx, c, "ipaddress", "ip6address")
	if err != nil {
		return err
	}
	there := addresses(have)
	others := without(there, ours)
	mine := without(there, others)
	strange, err := j.strangers(ctx, c, have, mine)
	if err != nil {
		return err
	}
	prints := len(have[godns.TypeSSHFP]) - len(strange)
	if prints > 0 && j.wish.sshfp == off {
		prints = 0
		j.leave(ctx, "its SSHFP records stay as they are (sshfp: off)")
	}
	switch {
	case len(there)+prints == 0 && len(strange) > 0:
		j.done(ctx, "nothing to do: "+j.fqdn+" has SSHFP records alone, which no run of this host wrote: left as they are")
		return nil
	case len(there)+prints == 0:
		j.done(ctx, "nothing to do: "+j.fqdn+" has no records")
		return nil
	case len(others) > 0 && len(mine) == 0:
		pipeline.Progress(ctx, fmt.Sprintf("nothing to do: %s is %s in DNS, and no run of this host wrote that: left as it is", j.fqdn, words(others)))
		return nil
	}
	// On record before it happens, for an undo to say.
	gone := strings.ReplaceAll(words(mine), " ", " and ")
	if gone == "" {
		gone = "SSHFP"
	}
	if err := errors.Join(c.Set("dns_removed", gone), pipeline.Keep(ctx, c)); err != nil {
		return err
	}
	// The pointers first: without the addresses a repeat would not know where they are.
	for _, a := range mine {
		if err := j.dropPTR(ctx, a); err != nil {
			return err
		}
	}
	rest := map[uint16][]godns.RR{}
	if len(others) > 0 {
		rest[godns.TypeSSHFP] = have[godns.TypeSSHFP] // whose it is, nobody can tell
		for _, t := range []uint16{godns.TypeA, godns.TypeAAAA} {
			rest[t] = slices.DeleteFunc(slices.Clone(have[t]), func(rr godns.RR) bool { return contains(mine, addrOf(rr)) })
		}
	}
	if err := j.write(ctx, have, rest); err != nil {
		return errors.Join(err, c.Delete("dns_removed"), pipeline.Keep(ctx, c))
	}
	said := "removed the records of " + j.fqdn
	if len(others) > 0 {
		said += "; " + words(others) + ", which no run of this host wrote, is left as it is"
	}
	j.done(ctx, said)
	return nil
}
