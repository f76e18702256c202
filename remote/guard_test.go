package remote_test

import (
	"errors"
	"io"
	"testing"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/remote"
)

// panics is a reader and a writer with a bug.
type panics struct{}

func (panics) Read([]byte) (int, error)  { panic("boom") }
func (panics) Write([]byte) (int, error) { panic("boom") }

// TestACallerThatPanicsEndsHisCommandOnly: the library calls whoever reads a command's output in a goroutine of its
// own, so a bug of his ended the process. His command is an error now, it does not hang on what nobody reads, and the
// connection is as good as before.
func TestACallerThatPanicsEndsHisCommandOnly(t *testing.T) {
	_, c := dialSandbox(t)
	const many = "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done"
	for name, cmd := range map[string]remote.Command{
		"lines":  {Args: []string{"sh", "-c", many}, Stdout: func(string) { panic("boom") }},
		"stderr": {Args: []string{"sh", "-c", many + " >&2"}, Stderr: func(string) { panic("boom") }},
		"bytes":  {Args: []string{"sh", "-c", many}, Output: io.Writer(panics{})},
		"tail":   {Args: []string{"sh", "-c", "printf tail"}, Stdout: func(string) { panic("boom") }},
	} {
		t.Run(name, func(t *testing.T) {
			var p *guard.Panic
			if res, err := c.Run(t.Context(), cmd); !errors.As(err, &p) {
				t.Errorf("Run = %v, %v", res, err)
			}
		})
	}
	if res, err := c.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", "while read -r x; do :; done"}, Stdin: panics{}}); err != nil || res.Exit != 0 {
		t.Errorf("a stdin that panics: %v, %v; want an end of it", res, err)
	}
	if res, err := c.Run(t.Context(), remote.Command{Args: []string{"sh", "-c", "echo fine"}}); err != nil || res.Stdout != "fine\n" {
		t.Errorf("after it: %v, %v", res, err)
	}
}
