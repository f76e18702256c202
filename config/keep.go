package config

import (
	"time"

	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
)

// KeepConfig says how long the record is kept; 0 is for ever. Results of checks have checks.keep.
type KeepConfig struct {
	Events  time.Duration `yaml:"events" doc:"what steps did and said, from the end of their run on, as in 400d, 1d at least; the run itself stays"`
	Runs    time.Duration `yaml:"runs" doc:"runs, from their end on, with their clipboards, events and approvals; 1d at least"`
	Audit   time.Duration `yaml:"audit" doc:"who said what; 30d at least"`
	Notices time.Duration `yaml:"notices" doc:"notices, from when a chat server took them; 1d at least"`
	Timings time.Duration `yaml:"timings" doc:"how long stages took, 1d at least; those of the last 20 runs of each pipeline always stay"`
}

const day = 24 * time.Hour

// Shortest times: whoever writes less has slipped, and nothing brings back what is removed.
const (
	leastKeep  = day
	leastAudit = 30 * day
)

// Check says what is wrong with it.
func (c KeepConfig) Check() error {
	var wrong mistake.List
	for _, k := range []struct {
		key   string
		d     time.Duration
		least time.Duration
	}{{"events", c.Events, leastKeep}, {"runs", c.Runs, leastKeep}, {"audit", c.Audit, leastAudit}, {"notices", c.Notices, leastKeep}, {"timings", c.Timings, leastKeep}} {
		if k.d != 0 && k.d < k.least {
			wrong.At("keep."+k.key, "is %s, which is less than %s; write days as in 400d, or leave it out and nothing is removed", plain.Duration(k.d), plain.Duration(k.least))
		}
	}
	for key, d := range map[string]time.Duration{"events": c.Events, "timings": c.Timings} {
		if c.Runs > 0 && d > c.Runs {
			wrong.At("keep."+key, "is longer than keep.runs, and a run takes its %s with it; give at most that", key)
		}
	}
	return wrong.Err()
}
