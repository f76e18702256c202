package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// maxDrain bounds the wait for old answers to run out.
const maxDrain = 15 * time.Minute

// moveServices gives the names back by its Release, when the host is ready. What it moves is on record before it does
// so.
func (w *Worker) moveServices() pipeline.Step {
	return pipeline.Step{
		Name:    "dns:move_services",
		Doc:     "points the names of the host's services at the `standby`, until the host is ready again",
		Needs:   []string{"hostname", "fqdn", "services?", "standby?", "standby_commands?", "moved_services?", "moved_to?", "moved_at?", "destroyed?", "ipaddress?", "ip6address?"},
		Gives:   []string{"moved_services", "moved_to", "moved_at"},
		Timeout: time.Hour,
		Resume:  pipeline.Again,
		Plan: func(ctx context.Context, c *clipboard.Clipboard) (string, error) {
			rrs, err := w.pointers(ctx, c)
			if err != nil {
				return "", err
			}
			if len(rrs) == 0 {
				return "would find nothing to do: nothing points at the host", nil
			}
			to, _, err := w.standby(ctx, c, rrs)
			return fmt.Sprintf("would point %s at %s", describeAll(rrs), to), err
		},
		Do:      w.doMove,
		Release: w.moveBack,
		Undo: func(ctx context.Context, c *clipboard.Clipboard) error {
			if c.Has("moved_services") && c.Has("destroyed") {
				return pipeline.Stays(fmt.Sprintf("%s stays with %s, for the machine it was on is deleted", strings.Join(movedNames(c), ", "), c.Get("moved_to")))
			}
			return w.moveBack(ctx, c)
		},
	}
}

func describeAll(rrs []godns.RR) string {
	var out []string
	for _, rr := range rrs {
		out = append(out, describe(rr))
	}
	return strings.Join(out, ", ")
}

// movedNames reads the names out of moved_services, where a line is a record as in a zone file.
func movedNames(c *clipboard.Clipboard) []string {
	list, _ := c.Strings("moved_services")
	var out []string
	for _, l := range list {
		name, _, _ := strings.Cut(l, ".\t")
		out = append(out, name)
	}
	return out
}

// standby gives the standby's full name and addresses; an error when services need one and it cannot take them.
func (w *Worker) standby(ctx context.Context, c *clipboard.Clipboard, rrs []godns.RR) (string, []netip.Addr, error) {
	in, err := c.Instance()
	if err != nil {
		return "", nil, pipeline.Permanent(err)
	}
	to := strings.ToLower(strings.TrimSuffix(c.Get("standby"), "."))
	if to == "" {
		return "", nil, pipeline.Permanentf("%s points at %s, and the clipboard names no `standby` to take over", describeAll(rrs), in.Hostname)
	}
	if !strings.Contains(to, ".") {
		_, domain, _ := strings.Cut(in.FQDN, ".")
		to += "." + domain
	}
	if err := clipboard.CheckName(to); err != nil || to == in.FQDN {
		return "", nil, pipeline.Permanentf("\"standby\" is %q: it must be another host's name", c.Get("standby"))
	}
	var addrs []netip.Addr
	for _, kind := range []uint16{godns.TypeA, godns.TypeAAAA} {
		have, err := w.records(ctx, to, kind)
		if err != nil {
			return "", nil, err
		}
		for _, rr := range have {
			addrs = append(addrs, addrOf(rr))
		}
	}
	if len(addrs) == 0 {
		return "", nil, pipeline.Permanentf("the standby %s has no address at %s", to, w.at(to).addr)
	}
	return to, addrs, nil
}

// retarget gives the records that stand for rr when its service is on another host. An address record has as many as
// that host has addresses of its kind; none is possible.
func retarget(rr godns.RR, name string, addrs []netip.Addr) []godns.RR {
	switch rr := godns.Copy(rr).(type) {
	case *godns.CNAME:
		rr.Target = godns.Fqdn(name)
		return []godns.RR{rr}
	case *godns.SRV:
		rr.Target = godns.Fqdn(name)
		return []godns.RR{rr}
	case *godns.MX:
		rr.Mx = godns.Fqdn(name)
		return []godns.RR{rr}
	case *godns.A:
		var out []godns.RR
		for _, a := range addrs {
			if a.Is4() {
				out = append(out, &godns.A{Hdr: rr.Hdr, A: a.AsSlice()})
			}
		}
		return out
	case *godns.AAAA:
		var out []godns.RR
		for _, a := range addrs {
			if a.Is6() {
				out = append(out, &godns.AAAA{Hdr: rr.Hdr, AAAA: a.AsSlice()})
			}
		}
		return out
	}
	return nil
}

// doMove can be done again after any point: the clipboard has what is moved, and since when, before it is.
func (w *Worker) doMove(ctx context.Context, c *clipboard.Clipboard) error {
	again := c.Has("moved_services")
	if !again {
		rrs, err := w.pointers(ctx, c)
		if err != nil {
			return err
		}
		if len(rrs) == 0 {
			pipeline.Progress(ctx, "nothing to do: nothing points at the host")
			return nil
		}
		to, _, err := w.standby(ctx, c, rrs)
		if err != nil {
			return err
		}
		if c.Has("standby_commands") {
			cmds, err := c.Strings("standby_commands")
			if err != nil {
				return pipeline.Permanent(err)
			}
			if w.cfg.OnStandby == nil {
				return pipeline.Permanentf("standby_commands cannot run: the SSH worker is not wired")
			}
			if err := w.cfg.OnStandby(ctx, c, to, cmds); err != nil {
				return err
			}
		}
		var lines []string
		for _, rr := range rrs {
			lines = append(lines, rr.String())
		}
		// moved_at is there until the move is over, so that whoever dies meanwhile waits for the caches all the same.
		if err := errors.Join(c.Set("moved_services", lines), c.Set("moved_to", to), c.Set("moved_at", time.Now().UTC().Format(time.RFC3339)), pipeline.Keep(ctx, c)); err != nil {
			return err
		}
	}
	old, err := moved(c)
	if err != nil {
		return err
	}
	to, addrs, err := w.standby(ctx, c, old)
	if err != nil {
		return err
	}
	changed := false
	ttl := uint32(0)
	for _, rr := range old {
		did, err := w.swap(ctx, rr, []godns.RR{rr}, retarget(rr, to, addrs))
		if err != nil {
			return err
		}
		changed = changed || did
		ttl = max(ttl, rr.Header().Ttl)
	}
	if changed {
		if err := errors.Join(c.Set("moved_at", time.Now().UTC().Format(time.RFC3339)), pipeline.Keep(ctx, c)); err != nil {
			return err
		}
	}
	drain := min(time.Duration(ttl)*time.Second, maxDrain)
	if w.cfg.Drain != nil {
		drain = *w.cfg.Drain
	}
	if t, err := time.Parse(time.RFC3339, c.Get("moved_at")); err == nil {
		if left := drain - time.Since(t); left > 0 {
			return pipeline.Wait(min(left, 10*time.Second), fmt.Sprintf("%s is with %s; waiting until the old answers have run out of every cache (%s)", describeAll(old), to, drain))
		}
	}
	if again && !changed && !c.Has("moved_at") {
		pipeline.Progress(ctx, "nothing to do: "+strings.Join(movedNames(c), ", ")+" is with "+to)
		return nil
	}
	pipeline.Progress(ctx, strings.Join(movedNames(c), ", ")+" moved to "+to)
	return c.Delete("moved_at")
}

// moved reads the records on record.
func moved(c *clipboard.Clipboard) ([]godns.RR, error) {
	lines, err := c.Strings("moved_services")
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	var out []godns.RR
	for _, l := range lines {
		rr, err := godns.NewRR(l)
		if err != nil || rr == nil {
			return nil, pipeline.Permanentf("moved_services holds %q, which is no record", l)
		}
		out = append(out, rr)
	}
	return out, nil
}

// swap puts the records to in place of from, at the name and type of rr, in one update. It does nothing when to is
// there already, and leaves alone what somebody else has changed meanwhile.
func (w *Worker) swap(ctx context.Context, rr godns.RR, from, to []godns.RR) (changed bool, err error) {
	name, kind := rr.Header().Name, rr.Header().Rrtype
	have, err := w.records(ctx, name, kind)
	if err != nil {
		return false, err
	}
	holds := func(list []godns.RR) bool {
		for _, want := range list {
			found := false
			for _, h := range have {
				found = found || godns.IsDuplicate(h, want)
			}
			if !found {
				return false
			}
		}
		return true
	}
	if len(to) > 0 && holds(to) || len(to) == 0 && !holds(from) {
		return false, nil
	}
	if !holds(from) {
		pipeline.Log(ctx, fmt.Sprintf("%s was changed by somebody else meanwhile, and stays as it is", describe(rr)))
		return false, nil
	}
	zone, err := w.zone(ctx, strings.TrimSuffix(name, "."))
	if err != nil {
		return false, w.noZone(name, err)
	}
	err = w.at(name).update(ctx, zone, describe(rr), func(m *godns.Msg) {
		// Only if it is still what we read (RFC 2136 §2.4.2).
		exact := make([]godns.RR, len(have))
		for i := range have {
			exact[i] = godns.Copy(have[i])
		}
		m.Used(exact)
		m.Remove(from)
		m.Insert(to)
	})
	return err == nil, err
}

// moveBack is the Release: the services go back to the host, at the address that it has now.
func (w *Worker) moveBack(ctx context.Context, c *clipboard.Clipboard) error {
	if !c.Has("moved_services") {
		return nil
	}
	in, err := c.Instance()
	if err != nil {
		return pipeline.Permanent(err)
	}
	old, err := moved(c)
	if err != nil {
		return err
	}
	_, theirs, err := w.standby(ctx, c, old)
	if err != nil {
		return err
	}
	to := c.Get("moved_to")
	var ours []netip.Addr
	for _, key := range []string{"ipaddress", "ip6address"} {
		if a, err := c.Addr(key); err == nil {
			ours = append(ours, a)
		}
	}
	names := movedNames(c)
	for _, rr := range old {
		back := []godns.RR{rr}
		if addrOf(rr).IsValid() && len(ours) > 0 {
			back = retarget(rr, in.FQDN, ours)
		}
		if _, err := w.swap(ctx, rr, retarget(rr, to, theirs), back); err != nil {
			return err
		}
	}
	pipeline.Progress(ctx, strings.Join(names, ", ")+" moved back")
	return errors.Join(c.Delete("moved_services"), c.Delete("moved_to"), c.Delete("moved_at"))
}
