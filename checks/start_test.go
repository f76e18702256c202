package checks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

// A server that starts beside a broken file runs what the others declare, says so, and takes the file when it is
// mended.
func TestAStartBesideABrokenFile(t *testing.T) {
	bubble(t, "tasks: [{name: disk, command: x}]\nhost_tasks: [{tasks: [disk], hosts: [loki]}]\n", func(t *testing.T, g *ground) {
		g.stop()
		file := filepath.Join(g.cfg.Dir, "more.yaml")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Error(err)
			}
		}
		write("tasks: [{name: load, command: x}\n")
		g.start()
		time.Sleep(5 * time.Minute)
		disk, load := model.Key{Task: "disk", Host: "loki"}, model.Key{Task: "load", Host: "loki"}
		if n := len(g.times(disk)); n < 4 {
			t.Errorf("the other file's check ran %d times", n)
		}
		if s := g.Stats(t.Context()); !strings.Contains(s.Trouble, "left out at the start: ") || !strings.Contains(s.Trouble, "more.yaml, line ") {
			t.Errorf("the trouble is %q", s.Trouble)
		}
		write("tasks: [{name: load, command: x}]\nhost_tasks: [{tasks: [load], hosts: [loki]}]\n")
		time.Sleep(5 * time.Minute)
		if s := g.Stats(t.Context()); s.Trouble != "" || len(g.times(load)) == 0 {
			t.Errorf("the trouble is %q; it ran %d times", s.Trouble, len(g.times(load)))
		}
		write("tasks: [{name: load, command: x}\n")
		time.Sleep(5 * time.Minute)
		if s := g.Stats(t.Context()); s.Trouble == "" || strings.Contains(s.Trouble, "left out") {
			t.Errorf("the trouble is %q", s.Trouble)
		}
	})
}
