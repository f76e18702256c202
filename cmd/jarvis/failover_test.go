//go:build !race

package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// TestThePrimaryFails: the primary of two PostgreSQL servers dies while hosts are deployed, the standby takes over, and
// the address leads to it. A step that may be repeated is; one that may not is never begun twice unasked, also when the
// standby had not heard that it began.
func TestThePrimaryFails(t *testing.T) {
	for _, sync := range []bool{true, false} {
		t.Run(map[bool]string{true: "with all that it had", false: "and the last commits are lost"}[sync], func(t *testing.T) {
			t.Parallel()
			n := newNodes(t, "one", "two")
			alice := must[*real.IRCClient](t)(real.DialIRC(t.Context(), n.ircd.Addr, "alice", "#ops"))
			t.Cleanup(alice.Close)
			n.speaker(0)
			if _, err := alice.Next("( JOIN|353 ).*jarvis|jarvis!.* JOIN", time.Minute); err != nil {
				t.Fatal(err)
			}
			standby := must[*real.Postgres](t)(n.pg.Standby(t.Context(), sync))
			t.Cleanup(standby.Stop)
			if sync { // what was set is noted once a minute, and at a start
				for _, p := range n.list {
					p.kill()
					p.start()
				}
				n.awake(0)
				n.awake(1)
				n.speaker(0)
				if _, err := alice.Next("jarvis!.* JOIN", time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			alice.Say("#ops", "jarvis: deploy "+n.gist+"again") // toy: no step of it asks
			n.deploy(0, "late", "asks")
			until(t, 30*time.Second, "both wait", func() bool { return n.began("again") == "make wait" && n.began("asks") == "wait" })
			if !sync {
				standby.Shut()
			}
			n.openStep("wait", "asks")
			until(t, 30*time.Second, "the step that asks has begun", func() bool { return n.began("asks") == "wait once" })

			n.pg.Crash()
			if !sync {
				if err := standby.Launch(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := standby.Promote(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.turn(standby)
			for i, p := range n.list { // as a service manager does
				n.ended(i)
				p.start()
			}
			n.awake(0)
			n.awake(1)
			log := "replication was not synchronous, so the last moments of the record may be lost"
			if sync {
				log = "replication was synchronous, so the record is whole"
			}
			said := ""
			for _, p := range n.list {
				b, _ := os.ReadFile(p.log.Name())
				said += string(b)
			}
			if strings.Count(said, log) != 1 {
				t.Errorf("the logs say %d times %q", strings.Count(said, log), log)
			}
			until(t, time.Minute, "it asks", func() bool {
				return strings.Contains(n.says(1, "status", "asks"), "asks") && n.state("asks") == pipeline.Asking
			})
			n.open("again")
			until(t, time.Minute, "the other is ready", func() bool { return n.state("again") == pipeline.Ready })
			if _, err := alice.Wait("alice: .*again is ready", time.Minute); err != nil {
				t.Errorf("%v; she saw:\n%s", err, strings.Join(alice.Lines(), "\n"))
			}
			if got := n.began("asks"); got != "wait once" {
				t.Errorf("nobody said it, and there began: %s", got)
			}
			if out := n.says(0, "status", "asks"); !sync && !strings.Contains(out, "another PostgreSQL server has taken over") {
				t.Errorf("status: %s", out)
			}
			n.open("asks")
			n.says(0, "retry", "asks")
			until(t, time.Minute, "it is ready", func() bool { return n.state("asks") == pipeline.Ready })
		})
	}
}

// turn has the nodes' address lead to another server, as a failover does.
func (n *nodes) turn(to *real.Postgres) {
	n.t.Helper()
	n.wire.Stop()
	n.wire.Upstream = to.Addr()
	if err := n.wire.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// ended waits until a node has ended by itself.
func (n *nodes) ended(i int) {
	n.t.Helper()
	p := n.list[i]
	over := make(chan struct{})
	go func() { defer close(over); _ = p.cmd.Wait() }()
	select {
	case <-over:
	case <-time.After(40 * time.Second):
		n.t.Fatal("a node whose lease was with the old server lives on")
	}
}

func (n *nodes) openStep(step, host string) {
	n.t.Helper()
	if err := os.WriteFile(n.dir+"/gate."+step+"."+host, nil, 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// state of a host's run.
func (n *nodes) state(host string) pipeline.State {
	n.t.Helper()
	out, err := n.list[0].cli(n.t.Context(), "hosts", "--json")
	var a struct{ Data []pipeline.Run }
	if err != nil || contract.Unmarshal(out, &a) != nil {
		return ""
	}
	for _, r := range a.Data {
		if r.Host == host {
			return r.State
		}
	}
	return ""
}
