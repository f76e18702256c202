package remote_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/remote"
)

// TestACommandCutShortIsNotStarted tells a failure that the crash test found: the connection broke while the command
// travelled, the host got an empty one, ran it, and its exit code 0 passed for the real one's.
func TestACommandCutShortIsNotStarted(t *testing.T) {
	host, cl := dialSandbox(t)
	res, err := startCut(t.Context(), cl, "job1", "puppet agent --test", "puppet")
	if err != nil || res != 92 {
		t.Fatalf("start of a cut command = %d, %v; want 92", res, err)
	}
	var lines []string
	exit, err := cl.Job(t.Context(), remote.Job{ID: "job1", Command: "puppet agent --test", Line: func(l string) { lines = append(lines, l) }})
	if err != nil || exit != 0 || !strings.Contains(strings.Join(lines, "\n"), "Applied catalog") {
		t.Errorf("Job = %d, %v, %q", exit, err, lines)
	}
	if n := host.Ran()["puppet agent --test"]; n != 1 {
		t.Errorf("puppet ran %d times", n)
	}
}

func TestAJobRunsOnceHoweverOftenItIsAskedFor(t *testing.T) {
	host, cl := dialSandbox(t)
	done := make(chan error, 10)
	for range 10 {
		go func() {
			exit, err := cl.Job(context.Background(), remote.Job{ID: "job2", Command: "apt-get update; exit 7"})
			if err == nil && exit != 7 {
				t.Errorf("exit = %d", exit)
			}
			done <- err
		}()
	}
	for range 10 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := host.Ran()["apt-get update"]; n != 1 {
		t.Errorf("it ran %d times", n)
	}
}
