package command

import (
	"testing"

	"github.com/jarvisops/jarvis/pipeline"
)

// TestWhyATaskWaits: what stands before it, and what frees it.
func TestWhyATaskWaits(t *testing.T) {
	for _, c := range []struct {
		before *pipeline.Run
		first  bool
		want   string
	}{
		{nil, true, ""},
		{nil, false, " for the task before it"},
		{&pipeline.Run{ID: 4, State: pipeline.Running}, true, " until run 4 is over"},
		{&pipeline.Run{ID: 4, State: pipeline.Proposed}, true, " until run 4 is approved: `approve 4`"},
		{&pipeline.Run{ID: 4, State: pipeline.Failed}, true, " until somebody says `task retry` or `task done` of run 4"},
		{&pipeline.Run{ID: 4, State: pipeline.Asking}, false, " until somebody says `task retry` or `task done` of run 4"},
		{&pipeline.Run{ID: 4, State: pipeline.Ready}, false, " for the task before it"},
	} {
		if got := taskWaits(c.before, c.first); got != c.want {
			t.Errorf("taskWaits(%+v, %v) = %q, want %q", c.before, c.first, got, c.want)
		}
	}
	if got, want := waitingState(pipeline.Run{ID: 4, State: pipeline.Waiting, Why: "web3: unreachable"}), "waiting: web3: unreachable; `cancel 4` gives up"; got != want {
		t.Errorf("waitingState = %q, want %q", got, want)
	}
}

// TestImportOfChecksIsOnTheCommandLine alone, and chat says so.
func TestImportOfChecksIsOnTheCommandLine(t *testing.T) {
	_, err := check().do(t.Context(), &Env{}, &Call{}, "import", nil)
	if want := "`check import` is only on the command line; as in `jarvis check import nagios /etc/nagios4`"; err == nil || err.Error() != want {
		t.Errorf("check import = %v, want %s", err, want)
	}
}
