package model

import (
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
)

// A passive task has no command: programs and people deliver its results. With fresh it is a problem when none has come
// for so long.

const passiveText = "passive"

// passiveSchedule is the schedule of a passive task: it is never due by itself, and says what it is.
func (t *Task) passiveSchedule() Schedule {
	if t.Fresh <= 0 {
		return Schedule{text: passiveText}
	}
	return Schedule{text: passiveText + ", fresh for " + plain.Duration(t.Fresh)}
}

// checkPassive says what a passive task, or one that is not, cannot have.
func (t *Task) checkPassive(wrong *sentence) {
	if !t.Passive {
		if t.Fresh != 0 {
			wrong.add("fresh is for a passive task: say passive: true, or how often it runs as schedule")
		}
		return
	}
	var never []string
	for _, x := range []struct {
		key string
		yes bool
	}{{"command", t.Command != ""}, {"plugin", t.Plugin != ""}, {"args", len(t.Args) > 0}, {"env", len(t.Env) > 0}, {"sudo", t.Sudo}, {"from", t.From != ""},
		{"timeout", t.Timeout != 0}, {"schedule", t.Schedule != ""}, {"jitter", t.Jitter != 0}, {"retry", t.Retry != 0}, {"catch_up", t.CatchUp != ""},
		{"period", t.Period != ""}} {
		if x.yes {
			never = append(never, x.key)
		}
	}
	if len(never) > 0 {
		wrong.add("it is passive: Jarvis runs nothing, so it has no %s", strings.Join(never, ", "))
	}
	if t.Fresh != 0 && t.Fresh < ShortestFresh {
		wrong.add("fresh is %s; it is %s at least", t.Fresh, ShortestFresh)
	}
}

// ShortestFresh is the least that fresh may be.
const ShortestFresh = 10 * time.Second
