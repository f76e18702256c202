package checks

import (
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

const twoChecks = `
tasks: [{name: disk, command: check_disk, schedule: "@every 1m", attempts: 1}, {name: load, command: check_load, schedule: "@every 1m", attempts: 1}]
host_tasks: [{tasks: ["*"], hosts: [loki]}]
`

// TestACheckThatPanicsHarmsItselfOnly: a plugin's output on which our code panicked ended the server, and all checks of
// all hosts with it.
func TestACheckThatPanicsHarmsItselfOnly(t *testing.T) {
	bubble(t, twoChecks, func(t *testing.T, g *ground) {
		before := guard.Panics()
		g.says(func(k model.Key, _ int) outcome {
			if k.Task == "disk" {
				panic("boom")
			}
			return outcome{stdout: "OK - fine"}
		})
		time.Sleep(5 * time.Minute)
		if guard.Panics() == before {
			t.Fatal("nothing panicked")
		}
		views, err := g.List(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			switch v.Task {
			case "disk":
				if v.Status != model.Unknown || v.Line != bugText {
					t.Errorf("disk is %s: %s", v.Status, v.Line)
				}
			case "load":
				if v.Status != model.OK {
					t.Errorf("load is %s: %s", v.Status, v.Line)
				}
			}
		}
		if a, b := len(g.times(model.Key{Task: "disk", Host: "loki"})), len(g.times(model.Key{Task: "load", Host: "loki"})); a < 4 || b < 4 {
			t.Errorf("they ran %d and %d times", a, b)
		}
	})
}

// TestWhatAPluginSaysIsPlain: it drove the terminals of those who asked for it.
func TestWhatAPluginSaysIsPlain(t *testing.T) {
	const hostile = "a\x1b]52;c;cm0gLXJmIC8=\x07b\u009b2Jc\u202ed\x02e\x0304,12f\rg\x00h M\xfcnchen"
	p := model.Plan{Key: model.Key{Task: "x", Host: "loki"}, Def: &model.Task{Name: "x"}}
	j := judge(&p, outcome{stdout: hostile + "|'\x1b[31mla\x02bel'=1s\n" + hostile + "\nmore\n", stderr: hostile})
	if want := "abcdef gh München"; j.line != want || j.long != want+"\nmore\nstderr: "+want || j.perf != "'label'=1s" {
		t.Errorf("judge() = %q, %q, %q", j.line, j.long, j.perf)
	}
	for _, out := range []outcome{{text: hostile}, {unreachable: true, text: hostile}, {signal: "KILL", stdout: hostile}} {
		if j := judge(&p, out); plain.Line(j.line) != j.line {
			t.Errorf("judge() = %q", j.line)
		}
	}
}
