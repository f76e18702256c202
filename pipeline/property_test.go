package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// office is a record that two people work with, and what they were allowed.
type office struct {
	w *world
	t *rapid.T

	mu       sync.Mutex
	outcome  string           // of the step toy:work, until it is changed
	allowed  map[int64]string // by run: who approved it
	asked    map[int64]string
	destroys []string // what ran without anybody's yes
}

var hosts = []string{"web", "db"}

// TestNobodyPassesAlone: whatever two people say, in whatever order, and whenever the server stops: nothing that
// destroys runs without the yes of the other one, given to that very run; a host stands by what was made of it; and no
// two runs hold one host.
func TestNobodyPassesAlone(t *testing.T) {
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := &office{t: rt, outcome: "ok", allowed: map[int64]string{}, asked: map[int64]string{}}
		o.w = &world{t: t, key: key, reg: pipeline.NewRegistry(), opts: store.Options{Dir: t.TempDir()}}
		o.w.reg.Add(
			pipeline.Step{Name: "toy:deploy", Gives: []string{"ipaddress", "hostkeys"}, Do: func(_ context.Context, c *clipboard.Clipboard) error {
				return errors.Join(c.Set("ipaddress", "192.0.2.1"), c.Set("hostkeys", []string{"ssh-ed25519 AAAA"}))
			}, Undo: func(context.Context, *clipboard.Clipboard) error { return nil }},
			pipeline.Step{Name: "toy:work", Do: o.work},
			pipeline.Step{Name: "toy:destroy", Do: o.destroy})
		o.w.start()
		defer func() { o.w.stop() }()
		for range rapid.IntRange(5, 30).Draw(rt, "words") {
			o.say()
			o.settle()
			o.check()
		}
	})
}

func (o *office) work(context.Context, *clipboard.Clipboard) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch o.outcome {
	case "fails":
		return pipeline.Permanentf("no")
	case "asks":
		return pipeline.AskPerson(errors.New("nobody knows"))
	case "waits":
		return pipeline.Wait(time.Hour, "not yet")
	}
	return nil
}

func (o *office) destroy(ctx context.Context, _ *clipboard.Clipboard) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	run := pipeline.FactsOf(ctx).Run
	if who := o.allowed[run]; who == "" || who == o.asked[run] {
		o.destroys = append(o.destroys, fmt.Sprintf("run %d, asked by %q, approved by %q", run, o.asked[run], who))
	}
	return nil
}

// say has somebody say one word about some host, or the world change.
func (o *office) say() {
	ctx := context.Background()
	who := rapid.SampledFrom([]string{"alice", "bob"}).Draw(o.t, "who")
	host := rapid.SampledFrom(hosts).Draw(o.t, "host")
	word := rapid.SampledFrom([]string{"deploy", "redeploy", "destroy", "approve", "approve", "deny", "cancel", "retry", "skip", "undo", "fails", "asks", "waits", "ok", "ok", "expire", "restart"}).Draw(o.t, "word")
	var id, newest int64
	if h, err := o.w.e.FindHost(ctx, host); err == nil {
		id, newest = h.ID, h.Newest
	}
	if rapid.Bool().Draw(o.t, "the newest") {
		id = newest
	}
	by := pipeline.Who{Name: who}
	switch word {
	case "deploy", "redeploy", "destroy":
		steps := map[string][]string{"deploy": {"toy:deploy", "toy:work"}, "redeploy": {"toy:work", "toy:destroy", "toy:deploy", "toy:work"}, "destroy": {"toy:work", "toy:destroy"}}[word]
		c, err := clipboard.Parse([]byte("instance: {hostname: " + host + "}"))
		if err != nil {
			o.t.Fatal(err)
		}
		q := pipeline.Request{Clipboard: c, Kind: pipeline.Kind{Verb: word, Provider: "toy"}, Steps: steps, By: who}
		if word != "deploy" {
			q.Approval = &pipeline.NeedApproval{Why: "it destroys", For: rapid.SampledFrom([]time.Duration{time.Hour, time.Nanosecond}).Draw(o.t, "for")}
		}
		o.mu.Lock() // the step waits for what we write down
		if r, err := o.w.e.Start(ctx, q); err == nil {
			o.asked[r.ID] = who
		}
		o.mu.Unlock()
	case "approve":
		o.mu.Lock()
		if r, a, err := o.w.e.Approve(ctx, id, by, ""); err == nil && a.What == pipeline.ToStart {
			o.allowed[r.ID] = who
		}
		o.mu.Unlock()
	case "deny":
		_, _ = o.w.e.Deny(ctx, id, by, "")
	case "cancel":
		_, _ = o.w.e.Cancel(ctx, id, by)
	case "retry":
		_, _ = o.w.e.Retry(ctx, id, rapid.SampledFrom([]string{"", "toy:work", "toy:destroy"}).Draw(o.t, "from"), who)
	case "skip":
		_, _ = o.w.e.Skip(ctx, id, who)
	case "undo":
		_, _ = o.w.e.Undo(ctx, id, who)
	case "restart":
		o.w.stop()
		o.w.start()
	case "expire":
		time.Sleep(time.Millisecond)
	default:
		o.mu.Lock()
		o.outcome = word
		o.mu.Unlock()
	}
}

// settle waits until nothing moves but what waits.
func (o *office) settle() {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		live, err := o.w.e.Live(context.Background(), 10)
		if err != nil {
			o.t.Fatal(err)
		}
		busy := false
		for _, r := range live {
			busy = busy || r.State == pipeline.Running || r.State == pipeline.Undoing
		}
		if !busy {
			return
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("it does not settle: %+v", live)
		}
	}
}

func (o *office) check() {
	o.mu.Lock()
	wrong := o.destroys
	o.mu.Unlock()
	if len(wrong) > 0 {
		o.t.Fatalf("it was destroyed: %v", wrong)
	}
	for _, host := range hosts {
		runs, err := o.w.e.History(context.Background(), host, 1000)
		if err != nil {
			o.t.Fatal(err)
		}
		if len(runs) == 0 {
			continue
		}
		live := 0
		for _, r := range runs {
			if r.State.Live() {
				live++
			}
			if never := o.asked[r.ID] != "" && r.Verb != "deploy" && o.allowed[r.ID] == ""; never == r.HasBegun() {
				o.t.Fatalf("run %d was never approved: %v; it began at %v", r.ID, never, r.Began)
			}
		}
		if live > 1 {
			o.t.Fatalf("%d runs hold %s", live, host)
		}
		h, err := o.w.e.FindHost(context.Background(), host)
		if err != nil {
			o.t.Fatal(err)
		}
		if want := stands(runs); h.ID != want.ID && (h.Ending != pipeline.EndUndone || want.Ending != pipeline.EndUndone) {
			o.t.Fatalf("%s stands by run %d (%s %s), want run %d (%s %s) of %+v", host, h.ID, h.State, h.Ending, want.ID, want.State, want.Ending, runs)
		}
	}
}

// stands is the model: the newest run that began; when that is undone and had taken nothing down, the one before it
// that is not undone, also when that destroyed the host; and without any, the newest.
func stands(newestFirst []pipeline.Run) pipeline.Run {
	var began []pipeline.Run
	for _, r := range newestFirst {
		if r.HasBegun() {
			began = append(began, r)
		}
	}
	if len(began) == 0 {
		return newestFirst[0]
	}
	for _, r := range began {
		if r.Ending == pipeline.EndUndone && tookDown(r) {
			return r
		}
		if r.Ending == pipeline.EndUndone {
			continue
		}
		return r
	}
	return began[0]
}

func tookDown(r pipeline.Run) bool {
	for _, s := range r.Steps[:min(r.Stage, len(r.Steps))] {
		if s == "toy:destroy" {
			return true
		}
	}
	return false
}
