package command

import (
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks"
)

func TestWhenADowntimeIs(t *testing.T) {
	now := time.Date(2026, 10, 24, 12, 30, 0, 0, time.UTC)
	e := &Env{Zone: "Europe/Berlin", Now: func() time.Time { return now }}
	at := func(text string) time.Time {
		x, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, x := range []struct{ line, from, until, wrong string }{
		{"loki for 2h", "", "2026-10-24T14:30:00Z", ""},
		{"loki until 16:00", "", "2026-10-24T14:00:00Z", ""},
		{"loki until 12:00", "", "2026-10-25T11:00:00Z", ""}, // tomorrow's, and clocks are set back
		{"loki from 2026-12-01 22:00 for 2h because it is moved from 1 to 2", "2026-12-01T21:00:00Z", "2026-12-01T23:00:00Z", ""},
		{"loki from 2026-12-01 22:00 until 02:00", "2026-12-01T21:00:00Z", "2026-12-02T01:00:00Z", ""},
		{"loki from 23:00 until 2026-10-25T06:00:00Z", "2026-10-24T21:00:00Z", "2026-10-25T06:00:00Z", ""},
		{"loki from 2026-10-24 14:00 for 2h", "", "", "is in the past"},
		{"loki until 2026-10-24 14:00", "", "", "it would end at"},
		{"loki from 2026-10-25 02:30 for 1h", "", "", "comes twice in Europe/Berlin"},
		{"loki from 2027-03-28 02:30 for 1h", "", "", "the clocks are set forward over it"},
		{"loki until 2126-01-01 00:00", "", "", "more than ten years"},
		{"loki from soon for 1h", "", "", `"soon" is no time that I know`},
	} {
		_, with, ok := longClauses(strings.Fields(x.line), "on", "from", "for", "until", "because")
		if !ok {
			t.Errorf("%s is not read", x.line)
			continue
		}
		var d checks.Downtime
		err := e.planned(&d, with)
		if x.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), x.wrong) {
				t.Errorf("%s: %v, want %q", x.line, err, x.wrong)
			}
			continue
		}
		if err != nil || !d.Until.Equal(at(x.until)) || x.from == "" != d.From.IsZero() || x.from != "" && !d.From.Equal(at(x.from)) {
			t.Errorf("%s: from %s until %s (%v)", x.line, d.From, d.Until, err)
		}
	}
}
