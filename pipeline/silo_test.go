package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

var inVMware = map[string]string{"vc": "vmware"}

// diary notes who did what.
type diary struct {
	mu   sync.Mutex
	said []string
}

func (d *diary) note(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, s)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.said, " ")
}

// step is one that notes who does what of it.
func (d *diary) step(who, name string) pipeline.Step {
	note := func(what string) func(context.Context, *clipboard.Clipboard) error {
		return func(context.Context, *clipboard.Clipboard) error { d.note(who + "." + name + what); return nil }
	}
	return pipeline.Step{Name: name, Doc: "does " + name, Resume: pipeline.Probe, Do: note(""), Undo: note("-undo")}
}

func (n *node) waits(id int64, reason pipeline.Reason) pipeline.Run {
	n.t.Helper()
	var r pipeline.Run
	until(n.t, "the run waits for "+string(reason), func() bool {
		var err error
		if r, err = n.e.Get(n.t.Context(), id); err != nil {
			n.t.Fatal(err)
		}
		return r.Waits == reason
	})
	return r
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 40*time.Second {
			t.Fatalf("after 40 s it is not so that %s", what)
		}
	}
}

// TestARunMovesBetweenSilos: each of its steps runs where its module belongs, also where the hub has the module, too;
// and so does what takes them back.
func TestARunMovesBetweenSilos(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	var d diary
	hub := n.start("hub", d.step("hub", "dns:up"), d.step("hub", "vc:make"))
	vm := n.startIn("vmware", "vm", d.step("vm", "vc:make"), d.step("vm", "vc:tune"))
	until(t, "the hub knows the silo's steps", func() bool {
		_, err := hub.reg.Check([]string{"vc:tune"}, &clipboard.Clipboard{}, "")
		s, _ := hub.reg.Lookup("vc:tune", "")
		return err == nil && s.Doc == "does vc:tune"
	})
	r := hub.ask("loki", "dns:up", "vc:make", "vc:tune", "dns:up")
	vm.wait(r.ID, pipeline.Ready)
	want := "hub.dns:up vm.vc:make vm.vc:tune hub.dns:up"
	if d.String() != want {
		t.Errorf("it went %s, want %s", &d, want)
	}
	d.said = nil
	if _, err := vm.e.Undo(t.Context(), r.ID, "alice"); err != nil {
		t.Fatal(err)
	}
	hub.wait(r.ID, pipeline.Undone)
	if want := "hub.dns:up-undo vm.vc:tune-undo vm.vc:make-undo hub.dns:up-undo"; d.String() != want {
		t.Errorf("the undo went %s, want %s", &d, want)
	}
	// A run that begins in the silo, asked of a node there, which has none of the hub's modules.
	d.said = nil
	vm.wait(vm.ask("thor", "vc:make", "dns:up").ID, pipeline.Ready)
	if want := "vm.vc:make hub.dns:up"; d.String() != want {
		t.Errorf("it went %s, want %s", &d, want)
	}
	var unknown *pipeline.UnknownStepError
	if _, err := hub.reg.Lookup("vc:mak", ""); !errors.As(err, &unknown) || unknown.Nearest != "vc:make" {
		t.Errorf("a step that the silo does not have: %v", err)
	}
}

// TestASiloThatNobodyServes: the run waits, says for whom, and goes on when somebody comes; an agent as well.
func TestASiloThatNobodyServes(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	var d diary
	hub, other := n.start("hub", d.step("hub", "dns:up")), n.start("other", d.step("other", "dns:up"))
	r := hub.ask("loki", "dns:up", "vc:make", "dns:up")
	r = other.waits(r.ID, pipeline.ForSilo)
	if r.State != pipeline.Waiting || r.Stage != 1 || !strings.Contains(r.Why, "waits for the silo vmware, which nobody serves") {
		t.Errorf("the run is %s at %s: %s", r.State, r.Where(), r.Why)
	}
	silos, err := hub.e.Silos(t.Context(), nil)
	if err != nil || len(silos) != 1 || silos[0].Served || silos[0].Waiting != 1 {
		t.Errorf("Silos = %+v, %v", silos, err)
	}
	gone := hub.ask("thor", "dns:up", "vc:make")
	hub.waits(gone.ID, pipeline.ForSilo)
	if _, err := other.e.Cancel(t.Context(), gone.ID, pipeline.Who{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	hub.wait(gone.ID, pipeline.Cancelled)

	stop, err := other.e.Serve("vmware", "box", []pipeline.Step{d.step("agent", "vc:make"), d.step("agent", "dns:up")})
	if err != nil {
		t.Fatal(err)
	}
	hub.wait(r.ID, pipeline.Ready)
	if s := d.String(); !strings.Contains(s, " agent.vc:make ") || strings.Contains(s, "agent.dns:up") {
		t.Errorf("it went %s", s)
	}
	nodes, err := hub.e.Nodes(t.Context())
	if err != nil || nodes[1].Name != "other" || strings.Join(nodes[1].Serves["vmware"], " ") != "box" || len(nodes[0].Serves) != 0 {
		t.Errorf("Nodes = %+v, %v", nodes, err)
	}
	stop()
	stop()
	r = hub.ask("odin", "vc:make")
	if r.Waits != pipeline.ForSilo {
		t.Errorf("a run that begins in a silo that nobody serves is %s, waiting for %q", r.State, r.Waits)
	}
	// One that its cluster, or a person, takes back waits there as well, and goes on.
	for _, steps := range [][]pipeline.Step{{d.step("agent", "dns:up")}, nil} {
		if _, err := other.e.Serve("vmware", "box", steps); err == nil {
			t.Error("an agent without a step of the silo serves it")
		}
	}
	if _, err := other.e.Serve("moon", "box", []pipeline.Step{d.step("agent", "vc:make")}); err == nil {
		t.Error("an agent serves a silo that the configuration does not have")
	}
	stop, err = hub.e.Serve("vmware", "box", []pipeline.Step{d.step("agent", "vc:make")})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	other.wait(r.ID, pipeline.Ready)
}

// TestAServedStep: it is cancelled from another node; a stop waits for it; and one that was under way when its process
// died is repeated by whoever serves the silo next, who is told.
func TestAServedStep(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	hub, other := n.start("hub"), n.start("other")
	began, facts, free := make(chan struct{}, 10), make(chan pipeline.Facts, 10), make(chan struct{})
	step := pipeline.Step{Name: "vc:make", Resume: pipeline.Probe, Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
		facts <- pipeline.FactsOf(ctx)
		began <- struct{}{}
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	stop, err := other.e.Serve("vmware", "box", []pipeline.Step{step})
	if err != nil {
		t.Fatal(err)
	}
	r := hub.ask("loki", "vc:make")
	<-began
	if f := <-facts; f.Resumed {
		t.Error("the first try counts as resumed")
	}
	if _, err := hub.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "alice"}); err != nil {
		t.Fatal(err)
	}
	hub.wait(r.ID, pipeline.Cancelled)

	r = hub.ask("thor", "vc:make")
	<-began
	<-facts
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	late := hub.ask("odin", "vc:make") // nobody takes it any more
	hub.waits(late.ID, pipeline.ForSilo)
	select {
	case <-stopped:
		t.Error("stop returned with a step in hand")
	default:
	}
	close(free)
	<-stopped
	hub.wait(r.ID, pipeline.Ready)

	// The node to which the agent is connected is cut off in the middle of the step.
	free = make(chan struct{})
	if stop, err = other.e.Serve("vmware", "box", []pipeline.Step{step}); err != nil {
		t.Fatal(err)
	}
	defer stop()
	<-began
	<-facts
	other.wire.cut.Store(true)
	got := hub.waits(late.ID, pipeline.ForSilo)
	if got.State != pipeline.Waiting {
		t.Errorf("the run is %s", got.State)
	}
	if stop, err = hub.e.Serve("vmware", "box", []pipeline.Step{step}); err != nil {
		t.Fatal(err)
	}
	defer stop()
	<-began
	if f := <-facts; !f.Resumed || f.Run != late.ID {
		t.Errorf("the repeat has the facts %+v", f)
	}
	close(free)
	hub.wait(late.ID, pipeline.Ready)
}

// TestChecksOfSilosAreAskedFirst: before its first stage a run visits the silos of the stages to come, whose Checks may
// fail it.
func TestChecksOfSilosAreAskedFirst(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	var d diary
	check := func(s pipeline.Step, who string, err error) pipeline.Step {
		s.Check = func(context.Context, *clipboard.Clipboard) error { d.note(who + "?"); return err }
		return s
	}
	hub := n.start("hub", check(d.step("hub", "dns:up"), "hub", nil))
	n.startIn("vmware", "vm", check(d.step("vm", "vc:make"), "vm", nil), check(d.step("vm", "vc:tune"), "tune", pipeline.Permanentf("no right to tune")))
	until(t, "the hub knows the silo's checks", func() bool { s, _ := hub.reg.Lookup("vc:tune", ""); return s.Check != nil })
	hub.wait(hub.ask("loki", "dns:up", "vc:make").ID, pipeline.Ready)
	if want := "vm? hub? hub.dns:up vm.vc:make"; d.String() != want {
		t.Errorf("it went %s, want %s", &d, want)
	}
	d.said = nil
	r := hub.wait(hub.ask("thor", "dns:up", "vc:make", "vc:tune").ID, pipeline.Failed)
	if want := "vm? tune?"; d.String() != want || !strings.Contains(r.Error, "not begun, because stage 3 vc:tune would fail: no right to tune") {
		t.Errorf("it went %s, want %s; and says %s", &d, want, r.Error)
	}
}

// TestReleaseInSilos: what steps hold is given back where each of them runs.
func TestReleaseInSilos(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	var d diary
	holding := func(who, name string) pipeline.Step {
		s := d.step(who, name)
		s.Release = func(context.Context, *clipboard.Clipboard) error { d.note(who + "-release"); return nil }
		return s
	}
	hub := n.start("hub", holding("hub", "dns:up"))
	n.startIn("vmware", "vm", holding("vm", "vc:make"))
	until(t, "the hub knows the silo's steps", func() bool { s, _ := hub.reg.Lookup("vc:make", ""); return s.Release != nil })
	hub.wait(hub.ask("loki", "dns:up", "vc:make", "dns:up").ID, pipeline.Ready)
	if want := "hub.dns:up vm.vc:make hub.dns:up hub-release vm-release hub-release"; d.String() != want {
		t.Errorf("it went %s, want %s", &d, want)
	}
}

// TestALoneServerWithAnAgent: one server, also on SQLite, whose silo an agent serves and leaves; over a restart, and in
// an undo.
func TestALoneServerWithAnAgent(t *testing.T) {
	bothDatabases(t, func(t *testing.T, w *world) {
		w.silos = inVMware
		var d diary
		w.reg.Add(d.step("hub", "dns:up"))
		w.start()
		n := &node{world: w}
		serve := func() func() {
			stop, err := w.e.Serve("vmware", "box", []pipeline.Step{d.step("agent", "vc:make")})
			if err != nil {
				t.Fatal(err)
			}
			return stop
		}
		r := n.ask("loki", "dns:up", "vc:make", "dns:up")
		n.waits(r.ID, pipeline.ForSilo)
		w.stop()
		w.start()
		if r = n.waits(r.ID, pipeline.ForSilo); r.Stage != 1 || r.State != pipeline.Waiting {
			t.Errorf("after a restart it is %s at %s", r.State, r.Where())
		}
		stop := serve()
		w.wait(r.ID, pipeline.Ready)
		if want := "hub.dns:up agent.vc:make hub.dns:up"; d.String() != want {
			t.Errorf("it went %s, want %s", &d, want)
		}
		stop()
		if _, err := w.e.Undo(t.Context(), r.ID, "alice"); err != nil {
			t.Fatal(err)
		}
		if r = n.waits(r.ID, pipeline.ForSilo); r.State != pipeline.Undoing || strings.Contains(r.Why, "cancel") {
			t.Errorf("the undo is %s: %s", r.State, r.Why)
		}
		stop = serve()
		w.wait(r.ID, pipeline.Undone)
		stop()
	})
}

// TestServersWithOtherSilosAreNamed: between two that disagree, a run may wait for what nobody does.
func TestServersWithOtherSilosAreNamed(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	var d diary
	hub := n.start("hub", d.step("hub", "dns:up"))
	n.start("same", d.step("same", "dns:up"))
	n.siloed(map[string]string{"vc": "berlin"}).start("other", d.step("other", "dns:up"))
	n.siloed(nil).start("none", d.step("none", "dns:up"))
	until(t, "those that differ are named", func() bool {
		list, err := hub.e.Nodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, node := range list {
			got[node.Name] = node.Differs
		}
		return len(got) == 4 && !got["hub"] && !got["same"] && got["other"] && got["none"]
	})
}

// TestServersOfOneNameAreNamed: a word for one would be for both, so neither is drained for the other.
func TestServersOfOneNameAreNamed(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	a := n.start("twin")
	n.start("twin")
	n.start("other")
	list, err := a.e.Nodes(t.Context())
	if err != nil || len(list) != 3 || list[0].Twin || !list[1].Twin || !list[2].Twin {
		t.Errorf("Nodes = %+v, %v", list, err)
	}
	var twin *pipeline.AmbiguousNodeError
	if err := a.e.Drain(t.Context(), "twin"); !errors.As(err, &twin) {
		t.Errorf("Drain = %v", err)
	}
}

// TestTheLastServerOfItsPlaceIsNotDrained: one in a silo does nothing of the hub's, nor of another silo's, so it takes
// over nothing of theirs.
func TestTheLastServerOfItsPlaceIsNotDrained(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	hub := n.start("hub")
	n.startIn("vmware", "vm1")
	n.startIn("dmz", "dmz1")
	refuses := func(name, want string) {
		t.Helper()
		var last *pipeline.LastNodeError
		if err := hub.e.Drain(t.Context(), name); !errors.As(err, &last) || !strings.Contains(err.Error(), want) {
			t.Errorf("drain %s = %v, want %q", name, err, want)
		}
	}
	refuses("hub", "hub is the only server that works outside of the silos")
	refuses("vm1", "vm1 is the only server that works in the silo vmware")
	hub2 := n.start("hub2")
	n.startIn("vmware", "vm2")
	for _, name := range []string{"hub", "vm1"} {
		if err := hub2.e.Drain(t.Context(), name); err != nil {
			t.Errorf("drain %s, and another of its place works: %v", name, err)
		}
	}
	refuses("hub2", "hub2 is the only server that works outside of the silos")
	// An agent of the silo with a line to a server that works goes on with what belongs there.
	stop, err := hub2.e.Serve("vmware", "box", []pipeline.Step{{Name: "vc:make", Do: func(context.Context, *clipboard.Clipboard) error { return nil }}})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := hub2.e.Drain(t.Context(), "vm2"); err != nil {
		t.Errorf("drain vm2, and an agent is there: %v", err)
	}
}

// TestEveryServerTellsTheLastLine: behind a load balancer, what a step says must not come and go.
func TestEveryServerTellsTheLastLine(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	end := make(chan struct{})
	step := pipeline.Step{Name: "test:talk", Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
		pipeline.Progress(ctx, "half of it")
		select {
		case <-end:
		case <-ctx.Done():
		}
		return context.Cause(ctx)
	}}
	a, b := n.start("a", step), n.start("b", step)
	r := a.ask("loki", "test:talk")
	for _, x := range []*node{a, b} {
		until(t, "it tells the line", func() bool {
			now, err := x.e.Get(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			return x.e.Line(t.Context(), now) == "half of it"
		})
	}
	close(end)
	a.wait(r.ID, pipeline.Ready)
}

// TestASiloThatLeavesBetweenTwoStages: nobody is there for the next stage, of the run or of its undo. That is no
// failure of either: both wait for who comes.
func TestASiloThatLeavesBetweenTwoStages(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	var d diary
	hub := n.start("hub", d.step("hub", "dns:up"))
	var stop func()
	leave := func(f func(context.Context, *clipboard.Clipboard) error) func(context.Context, *clipboard.Clipboard) error {
		return func(ctx context.Context, c *clipboard.Clipboard) error {
			if stop != nil {
				go stop()
				stop = nil
				time.Sleep(300 * time.Millisecond)
			}
			return f(ctx, c)
		}
	}
	serve := func(what string, leaves bool) {
		last := d.step(what, "vc:tune")
		first := d.step(what, "vc:make")
		first.Do, last.Undo = leave(first.Do), leave(last.Undo)
		s, err := hub.e.Serve("vmware", "box", []pipeline.Step{first, last})
		if err != nil {
			t.Fatal(err)
		}
		if leaves {
			stop = s
		} else {
			t.Cleanup(s)
		}
	}
	serve("one", true)
	r := hub.ask("loki", "vc:make", "vc:tune")
	hub.waits(r.ID, pipeline.ForSilo)
	serve("two", true)
	hub.wait(r.ID, pipeline.Ready)
	if _, err := hub.e.Undo(t.Context(), r.ID, "alice"); err != nil {
		t.Fatal(err)
	}
	hub.waits(r.ID, pipeline.ForSilo)
	serve("three", false)
	hub.wait(r.ID, pipeline.Undone)
	if s := d.String(); s != "one.vc:make two.vc:tune two.vc:tune-undo three.vc:make-undo" {
		t.Errorf("it went %s", s)
	}
}
