package model

import (
	"strings"
	"testing"
	"time"
)

// What a listener hears, step by step: the moment, the status that counts, and what it is told.
func TestListener(t *testing.T) {
	type step struct {
		after  string // since the problem was told
		status Status
		acked  bool
		flaps  bool
		want   string
	}
	for _, c := range []struct {
		name, action string
		steps        []step
	}{
		{"after a while, and its end", "{name: a, notify: [x], after: 30m}", []step{{"0s", Critical, false, false, ""}, {"29m", Critical, false, false, ""}, {"30m", Critical, false, false, "problem"}, {"31m", Critical, false, false, ""}, {"40m", Warning, false, false, "change"}, {"50m", OK, false, false, "recovery"}}},
		{"what was over before is not told", "{name: a, notify: [x], after: 30m}", []step{{"0s", Critical, false, false, ""}, {"29m", OK, false, false, ""}}},
		{"acknowledged", "{name: a, notify: [x], after: 30m, every: 1h}", []step{{"30m", Critical, true, false, ""}, {"31m", OK, false, false, ""}}},
		{"acknowledged when it was told", "{name: a, notify: [x], after: 30m, every: 1h}", []step{{"30m", Critical, false, false, "problem"}, {"2h", Critical, true, false, ""}, {"3h", OK, false, false, "recovery"}}},
		{"again and again", "{name: a, notify: [x], every: 1h}", []step{{"0s", Critical, false, false, "problem"}, {"59m", Critical, false, false, ""}, {"1h", Critical, false, false, "stays"}, {"119m", Critical, false, false, ""}, {"3h", Critical, false, false, "stays"}, {"4h", OK, false, false, "recovery"}}},
		{"of what is critical", "{name: a, notify: [x], after: 30m, status: [critical]}", []step{{"1h", Warning, false, false, ""}, {"2h", Critical, false, false, "problem"}, {"3h", Warning, false, false, ""}, {"4h", OK, false, false, "recovery"}}},
		{"what acts, acts on problems", "{name: a, run: \"exec x {host}\", after: 30m}", []step{{"30m", Critical, false, false, "problem"}, {"40m", Warning, false, false, ""}, {"50m", OK, false, false, ""}}},
		{"unless it says otherwise", "{name: a, run: \"exec x {host}\", after: 30m, on: [problem, recovery]}", []step{{"30m", Critical, false, false, "problem"}, {"40m", Warning, false, false, ""}, {"50m", OK, false, false, "recovery"}}},
		{"on leaves the end out", "{name: a, notify: [x], after: 30m, on: [problem]}", []step{{"30m", Critical, false, false, "problem"}, {"50m", OK, false, false, ""}}},
		{"it flaps", "{name: a, notify: [x], every: 1h}", []step{{"0s", Critical, false, true, "flapping"}, {"2h", OK, false, true, ""}, {"3h", Critical, false, false, "steady problem"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d Defs
			if err := readYAML([]byte("tasks: [{name: disk, command: x}]\nhost_tasks: [{tasks: [disk], hosts: [loki]}]\ncontacts: [{name: x, person: x}]\nactions: ["+c.action+"]\n"), &d); err != nil {
				t.Fatal(err)
			}
			if err := d.Check(""); err != nil {
				t.Fatal(err)
			}
			cat, err := NewCatalog(&d, Record{}, "")
			if err != nil || len(cat.Listeners) != 1 || !cat.Rules[0].Silent {
				t.Fatal(err, cat.Listeners)
			}
			known := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			var h *Heard
			for _, s := range c.steps {
				after, err := time.ParseDuration(s.after)
				if err != nil {
					t.Fatal(err)
				}
				st := Stand{State: State{Hard: s.status, Told: s.status, Flapping: s.flaps}, Known: known, Acked: s.acked}
				var on []string
				if on, h = cat.Listeners[0].Hear(Key{"disk", "loki"}, st, h, known.Add(after)); strings.Join(on, " ") != s.want {
					t.Errorf("after %s: %q, want %q", s.after, on, s.want)
				}
				if s.status == OK && !s.flaps && h != nil {
					t.Errorf("after %s it remembers %+v", s.after, *h)
				}
			}
		})
	}
}

func TestMistakesOfListeners(t *testing.T) {
	for action, want := range map[string]string{
		"after: -1m":                         "after and every cannot be negative",
		"every: 10s":                         "every is 10s; it is a minute at least",
		"period: office":                     "there is no period office",
		"after: 5m, on: [stays], stays: 3":   "on: [stays] counts results, and after and every are times",
		"after: 5m, on: [recovery]":          "on must have problem",
		"after: 5m, on: [problem, flapping]": "on cannot have flapping and steady",
	} {
		var d Defs
		if err := readYAML([]byte("contacts: [{name: x, person: x}]\nactions: [{name: a, notify: [x], "+action+"}]\n"), &d); err != nil {
			t.Fatal(err)
		}
		if err := d.Check(""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", action, err, want)
		}
	}
}
