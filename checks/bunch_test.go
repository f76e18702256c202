package checks

import (
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

func TestTimesAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{45 * time.Second: "45s", 12*time.Minute + 3*time.Second: "12m", time.Hour: "1h", 90 * time.Minute: "1h30m", 3*time.Hour + 20*time.Minute: "3h20m", 10*time.Hour + time.Second: "10h", 52 * time.Hour: "2d4h"} {
		if got := short(d); got != want {
			t.Errorf("%s is said as %s, want %s", d, got, want)
		}
	}
}

// TestOneIsNotMany: a subject read "on 1 hosts: 1 problems (backup), 1 checks are OK again".
func TestOneIsNotMany(t *testing.T) {
	row := outboxRow{Event: Event{Key: model.Key{Task: "backup", Host: "loki"}}}
	one := func(on model.Transition) *bunch {
		return &bunch{on: string(on), task: "backup", rows: []outboxRow{row}}
	}
	if got, want := tally([]*bunch{one(model.Problem), one(model.Recovery)}), "on 1 host: 1 problem (backup), 1 check is OK again (backup)"; got != want {
		t.Errorf("one problem is told as %q, want %q", got, want)
	}
}
