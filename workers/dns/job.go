package dns

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// job is the work of one call for one host: what is wished, and what of it was left undone.
type job struct {
	*Worker
	fqdn  string
	zone  string // of the host's name
	wish  wishes
	noPTR []netip.Addr // whose pointers the server lets nobody write
	left  []string     // what was left undone, in words, each once
	kinds []string     // of what was left undone: reverse, sshfp
}

// job fails for good when the server has no zone for the host.
func (w *Worker) job(ctx context.Context, c *clipboard.Clipboard) (*job, error) {
	in, err := c.Instance()
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	j := &job{Worker: w, fqdn: in.FQDN}
	if j.wish, err = w.wishes(c); err != nil {
		return nil, err
	}
	j.zone, err = w.zone(ctx, in.FQDN)
	return j, w.noZone(in.FQDN, err)
}

// leave keeps a sentence about what was left undone for the step's last line.
func (j *job) leave(ctx context.Context, said string) {
	if !slices.Contains(j.left, said) {
		j.left = append(j.left, said)
		pipeline.Log(ctx, said)
	}
}

// done says how the step ended, and all that it left undone.
func (j *job) done(ctx context.Context, said string) {
	pipeline.Progress(ctx, strings.Join(append([]string{said}, j.left...), "; "))
}

// pass lets a refusal pass when its kind is only tried; what says what is missing then ("no PTR"). Any other error is
// given back: a server that is away may be there at the next try.
func (j *job) pass(ctx context.Context, kind string, w wish, what string, err error) (passed bool, _ error) {
	switch {
	case !isRefusal(err) && !isNoReverse(err):
		return false, err
	case w == must:
		return false, pipeline.Permanentf("%w; `%s: must` asks for it: allow it there, or write `dns: {%s: try}` into the clipboard, or %s: try under workers.dns", err, kind, kind, kind)
	}
	j.leave(ctx, what+": "+err.Error())
	if !slices.Contains(j.kinds, kind) {
		j.kinds = append(j.kinds, kind)
	}
	return true, nil
}

// write makes the records at the host's name what they shall be. When the server refuses fingerprints that are only
// tried, all but them is written.
func (j *job) write(ctx context.Context, have, want map[uint16][]godns.RR) error {
	if j.wish.sshfp == off {
		want = maps.Clone(want)
		want[godns.TypeSSHFP] = have[godns.TypeSSHFP]
	}
	err := j.replace(ctx, j.zone, j.fqdn, have, want)
	if !isRefusal(err) || j.wish.sshfp != try || identical(have[godns.TypeSSHFP], want[godns.TypeSSHFP]) {
		return err
	}
	rest := maps.Clone(want)
	rest[godns.TypeSSHFP] = have[godns.TypeSSHFP]
	if again := j.replace(ctx, j.zone, j.fqdn, have, rest); again != nil {
		return again
	}
	_, err = j.pass(ctx, "sshfp", try, "SSHFP of "+j.fqdn+" stays as it is", err)
	return err
}
