package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestARunGoesThroughASilo: three real processes, two of them in the silo. The hub has none of its modules. The server
// of the silo that has the step in hand is killed, the other takes it up; when that is killed, too, the run waits and
// says for whom, and goes on when one is back.
func TestARunGoesThroughASilo(t *testing.T) {
	n := newNodes(t, "hub", "vm1", "vm2")
	silos := "silos: {vmware: [toy]}\n"
	for i, p := range n.list {
		b := must[[]byte](t)(os.ReadFile(p.conf))
		text := silos + string(b)
		if i == 0 { // what it has beside the silo's module is always there
			text = strings.Replace(text, "workers: {external: {dir: w}}\n", "", 1)
		} else {
			text = strings.Replace(text, "node: {name: ", "node: {silo: vmware, name: ", 1)
		}
		if err := os.WriteFile(p.conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n.list {
		n.list[i].kill()
		n.list[i].start()
	}
	for i := range n.list {
		n.awake(i)
	}
	until(t, 60*time.Second, "the silo is served by both", func() bool {
		out, err := n.list[0].cli(t.Context(), "nodes")
		return err == nil && strings.Contains(string(out), "silo vmware (toy): served by the servers vm1, vm2")
	})
	until(t, 60*time.Second, "the hub lists the silo's steps", func() bool {
		return strings.Contains(n.says(0, "steps"), "toy:wait (silo vmware)")
	})
	n.deploy(0, "toy", "loki")
	until(t, 60*time.Second, "the silo is at its second step", func() bool { return n.began("loki") == "make wait" })
	first := 0
	until(t, 60*time.Second, "a node of the silo has the run in hand", func() bool {
		for i, name := range []string{"hub", "vm1", "vm2"} {
			for _, w := range n.who(0) {
				if w.Name == name && w.Runs > 0 {
					first = i
				}
			}
		}
		return first != 0
	})
	n.list[first].kill()
	until(t, 60*time.Second, "the other one of the silo begins it again", func() bool { return n.began("loki") == "make wait wait" })
	n.list[3-first].kill()
	until(t, 60*time.Second, "the run waits for the silo", func() bool {
		return strings.Contains(n.says(0, "status", "loki"), "waits for the silo vmware, which nobody serves")
	})
	if s := n.says(0, "nodes"); !strings.Contains(s, "silo vmware (toy): nobody serves it") || !strings.Contains(s, "1 run waits for it") {
		t.Errorf("nodes: %s", s)
	}
	n.open("loki")
	n.list[first].start()
	until(t, 60*time.Second, "the run is ready", func() bool {
		out, err := n.list[0].cli(t.Context(), "status", "loki")
		return err == nil && strings.Contains(string(out), "is ready")
	})
}
