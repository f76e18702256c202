package checks

import (
	"context"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/checks/model"
)

// Where a variable is set by nobody nothing is run: an empty threshold could pass for a good one.
func TestAVariableThatNobodySets(t *testing.T) {
	m := &Monitor{run: func(context.Context, job) outcome { t.Error("it was run"); return outcome{} }}
	task := model.Task{Name: "disk", Command: `check_disk -w "$JARVIS_VAR_warn"`}
	p := model.Plan{Key: model.Key{Task: "disk", Host: "loki"}, Def: &task}
	out := m.runGuarded(t.Context(), job{Key: p.Key, task: task, lacks: p.MissingText()})
	if j := judge(&p, out); j.status != model.Unknown || !strings.HasPrefix(j.line, "nobody sets warn for disk on loki; ") {
		t.Errorf("%s: %s", j.status, j.line)
	}
}

// A value is put in as it is: what looks like a variable in it is text.
func TestVariablesInArguments(t *testing.T) {
	env := map[string]string{"JARVIS_VAR_a": "$JARVIS_VAR_b", "JARVIS_VAR_b": "x", "JARVIS_HOST": "loki"}
	args := []string{"$JARVIS_VAR_a", "${JARVIS_VAR_b}MB", "$JARVIS_VAR_bc", "$JARVIS_HOST"}
	if got, want := strings.Join(arguments(model.Task{Args: args}, env), " "), "$JARVIS_VAR_b xMB $JARVIS_VAR_bc $JARVIS_HOST"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
