package command

import (
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/pipeline"
)

// Tally says in one line how far a cluster is: "web: 7 of 20 ready, 12 under way, 1 failed (web3)." It is "" for one
// that is so small that each of its hosts is told by itself.
func Tally(c pipeline.Cluster) string {
	if len(c.Runs) <= foldAbove {
		return ""
	}
	ready, moving, ahead := 0, 0, 0
	var failed, asking, gone []string
	for _, r := range c.Runs {
		switch r.State {
		case pipeline.Ready:
			ready++
		case pipeline.Failed:
			failed = append(failed, r.Host)
		case pipeline.Asking:
			asking = append(asking, r.Host)
		case pipeline.Cancelled, pipeline.Undone:
			gone = append(gone, r.Host)
		case pipeline.Proposed, pipeline.Planned:
			ahead++
		default:
			moving++
		}
	}
	parts := []string{fmt.Sprintf("%d of %d ready", ready, len(c.Runs))}
	for _, p := range []struct {
		n    int
		what string
	}{{moving, "under way"}, {ahead, "yet to begin"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	for _, p := range []struct {
		hosts     []string
		one, many string
	}{{failed, "failed", "failed"}, {asking, "waits for somebody", "wait for somebody"}, {gone, "given up", "given up"}} {
		if len(p.hosts) > 0 {
			parts = append(parts, counted(p.hosts, p.one, p.many))
		}
	}
	return c.Name + ": " + strings.Join(parts, ", ") + "."
}
