package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/pipeline"
)

// findAny gives the newest run of a host, or the cluster of that name when no host has it.
func findAny(ctx context.Context, e *Env, name string) (pipeline.Run, *pipeline.Cluster, error) {
	r, err := find(ctx, e, name)
	if !errors.Is(err, ErrNotFound) {
		return r, nil, err
	}
	c, cerr := e.Engine.FindCluster(ctx, name)
	if cerr != nil {
		return r, nil, err
	}
	return r, &c, nil
}

// findLive is findAny for words that end something: about a host, they mean what waits for an approval, if anything
// does.
func findLive(ctx context.Context, e *Env, name string) (pipeline.Run, *pipeline.Cluster, error) {
	r, cl, err := findAny(ctx, e, name)
	if _, nerr := strconv.ParseInt(name, 10, 64); err != nil || cl != nil || nerr == nil {
		return r, cl, err
	}
	h, err := e.Engine.FindHost(ctx, r.FQDN)
	if err != nil {
		return r, nil, err
	}
	if p, perr := e.Engine.Proposal(ctx, h); perr == nil {
		return p, nil, nil
	}
	return r, nil, nil
}

// clusterLine says in one line where a cluster and each of its hosts stand.
func clusterLine(c pipeline.Cluster) string {
	ready := 0
	var each []string
	for _, r := range c.Runs {
		switch {
		case r.State == pipeline.Ready:
			ready++
			each = append(each, r.Host+" ready")
		case r.State == pipeline.Failed:
			each = append(each, fmt.Sprintf("%s failed at %s", r.Host, r.Where()))
		case r.State == pipeline.Asking:
			each = append(each, fmt.Sprintf("%s waits for you at %s", r.Host, r.Where()))
		case r.State == pipeline.Waiting && r.Waits == pipeline.ForBarrier:
			each = append(each, fmt.Sprintf("%s %s at the barrier", r.Host, r.Where()))
		case r.State == pipeline.Waiting && r.Waits == pipeline.ForHold:
			each = append(each, fmt.Sprintf("%s held before %s", r.Host, r.Where()))
		case r.State.Moving() && r.State != pipeline.Undoing:
			each = append(each, r.Host+" "+r.Where())
		default:
			each = append(each, r.Host+" "+string(r.State))
		}
	}
	waits := ""
	if i := slices.IndexFunc(c.Runs, func(r pipeline.Run) bool { return r.State == pipeline.Planned }); i >= 0 {
		waits = " It " + sentence(waitsToBegin(c.Runs[i]))
	}
	return fmt.Sprintf("%s: %d of %d ready: %s. By %s.%s", c.Name, ready, len(c.Runs), strings.Join(each, ", "), c.By, waits)
}

// eachMember does something with every member for which it makes sense, and says with which.
func eachMember(c pipeline.Cluster, what string, f func(pipeline.Run) (pipeline.Run, error)) (Answer, error) {
	var did, not []string
	for _, r := range c.Runs {
		_, err := f(r)
		var state *pipeline.StateError
		var held *pipeline.HeldError
		switch {
		case err == nil:
			did = append(did, r.Host)
		case errors.As(err, &held):
			not = append(not, fmt.Sprintf("%s is held by %s", r.Host, held.By))
		case len(did) > 0: // the answer tells what was done, for that stands
			not = append(not, fmt.Sprintf("%s: %v", r.Host, err))
		case errors.As(err, &state):
			not = append(not, fmt.Sprintf("%s is %s", r.Host, r.State))
		default:
			return Answer{}, err
		}
	}
	if len(did) == 0 {
		return Answer{}, &UserError{Msg: fmt.Sprintf("%s: %s no host: %s", c.Name, what, strings.Join(not, ", "))}
	}
	line := fmt.Sprintf("%s: %s %s.", c.Name, what, strings.Join(did, ", "))
	if len(not) > 0 {
		line += " Not " + strings.Join(not, ", ") + "."
	}
	a := say("%s", line)
	a.Data, a.Cluster = c, &c
	return a, nil
}
