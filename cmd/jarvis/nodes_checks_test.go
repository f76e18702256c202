package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/contract"
)

// oneAtATime is a check that finds another run of itself on its host, and notes when it ran.
const oneAtATime = `exec 9>>/alone; if ! flock -n 9; then echo twice >> /twice; fi; date +%s >> /ran; sleep 0.5; echo "OK | n=1"`

// TestThreeNodesCheckHosts: real processes, and a real sshd on each host. What one is told to check all know; one is
// killed, one is frozen and wakes up, and each host goes on to be checked, by one at a time. Whatever node is asked
// tells of all.
func TestThreeNodesCheckHosts(t *testing.T) {
	buildJarvis(t) // before newRow, which changes HOME, where Go keeps its modules
	const hosts = 4
	r := newRow(t, hosts, 121)
	n := newNodes(t, "one", "two", "three")
	file := func(name, text string) string {
		f := filepath.Join(n.dir, name)
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	n.says(0, "check", "define", "task", "alone", file("alone.yaml", fmt.Sprintf("command: %q\nschedule: \"@every 2s\"\nattempts: 1\n", oneAtATime)))
	n.says(1, "check", "define", "host_task", "all", file("all.yaml", fmt.Sprintf("tasks: [alone]\nhosts: [\"web[1-%d]\"]\n", hosts)))
	list := func(i int) (out []checks.View) {
		b, err := n.list[i].cli(t.Context(), "check", "list", "*", "--json")
		var a struct {
			Data struct{ Checks []checks.View }
		}
		if err != nil || contract.Unmarshal(b, &a) != nil {
			return nil
		}
		return a.Data.Checks
	}
	fresh := func(i int) bool { // each check ran a moment ago, as this node says
		l := list(i)
		for _, v := range l {
			if v.Status != model.OK || time.Since(v.At) > 5*time.Second {
				return false
			}
		}
		return len(l) == hosts
	}
	for i := range n.list {
		until(t, 60*time.Second, n.name(i)+" tells of all", func() bool { return fresh(i) })
	}
	for i := range n.list {
		for h := range hosts {
			if out := n.says(i, "check", "run", "alone", "on", fmt.Sprint("web", h+1)); !strings.Contains(out, "OK") {
				t.Errorf("asked at %s: %s", n.name(i), out)
			}
		}
	}
	busiest := func() int { // the node that checks most hosts
		count := map[string]int{}
		best := ""
		for _, v := range list(0) {
			if count[v.Node]++; count[v.Node] > count[best] {
				best = v.Node
			}
		}
		for i := range n.list {
			if n.name(i) == best {
				return i
			}
		}
		return 0
	}
	victim := busiest()
	other := (victim + 1) % 3
	n.list[victim].kill()
	died := time.Now()
	until(t, 40*time.Second, "others check what it did", func() bool { return time.Since(died) > 6*time.Second && fresh(other) })
	t.Logf("%s was killed; all hosts are checked again after %s", n.name(victim), time.Since(died).Round(100*time.Millisecond))
	n.list[victim].start()
	n.awake(victim)

	frozen := n.list[other].cmd.Process
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	froze := time.Now()
	third := (other + 1) % 3
	until(t, 40*time.Second, "others check what it did", func() bool { return time.Since(froze) > 6*time.Second && fresh(third) })
	t.Logf("%s was frozen; all hosts are checked again after %s", n.name(other), time.Since(froze).Round(100*time.Millisecond))
	if err := frozen.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := n.list[other].cmd.Wait(); err == nil {
		t.Error("the one that was frozen ended well")
	}
	n.list[other].start()
	n.awake(other)
	until(t, 40*time.Second, "it tells of all again", func() bool { return fresh(other) })

	for h := range hosts {
		if got := r.read(h+1, "twice"); !strings.HasPrefix(got, "! ") {
			t.Errorf("on web%d it ran beside itself: %s", h+1, got)
		}
		was, longest := int64(0), int64(0)
		for _, f := range strings.Fields(r.read(h+1, "ran")) {
			at, _ := strconv.ParseInt(f, 10, 64)
			if was > 0 {
				longest = max(longest, at-was)
			}
			was = at
		}
		t.Logf("web%d: the longest time between two runs is %d s", h+1, longest)
		if longest > 32 {
			t.Errorf("web%d was not checked for %d s", h+1, longest)
		}
	}
}
