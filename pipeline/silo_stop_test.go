package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// held is a step of an agent that goes on until it is let go or cancelled, and tells who called it.
type held struct {
	began, told chan pipeline.Facts
	free        chan struct{}
}

func hold() (*held, pipeline.Step) {
	h := &held{began: make(chan pipeline.Facts, 10), told: make(chan pipeline.Facts, 10), free: make(chan struct{})}
	return h, pipeline.Step{Name: "vc:make", Resume: pipeline.Ask, Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
		f := pipeline.FactsOf(ctx)
		if ctx.Err() != nil { // the call is a cancel alone
			h.told <- f
			return ctx.Err()
		}
		h.began <- f
		select {
		case <-h.free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

// TestACancelReachesWhatAnAgentWasSent: the node that had sent it is lost. Whoever takes the run up has the agent stop
// before the run is cancelled; and when nobody can, the run says what may go on.
func TestACancelReachesWhatAnAgentWasSent(t *testing.T) {
	t.Parallel()
	for name, serves := range map[string]bool{"another node has a line to it": true, "no node has": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNodes(t).siloed(inVMware)
			n.goesOn = func(context.Context, store.Querier, int64) ([]string, error) {
				if serves {
					return nil, nil
				}
				return []string{"the agent box may go on"}, nil
			}
			hub, other := n.start("hub"), n.start("other")
			h, step := hold()
			stop, err := other.e.Serve("vmware", "box", []pipeline.Step{step})
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			defer close(h.free)
			r := hub.ask("loki", "vc:make")
			<-h.began
			if serves {
				stop, err := hub.e.Serve("vmware", "box", []pipeline.Step{step})
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
			}
			other.wire.cut.Store(true)
			if !serves {
				hub.waits(r.ID, pipeline.ForSilo)
			}
			if _, err := hub.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "alice"}); err != nil {
				t.Fatal(err)
			}
			got := hub.wait(r.ID, pipeline.Cancelled)
			if serves {
				select {
				case f := <-h.told:
					if !f.Resumed || f.Run != r.ID {
						t.Errorf("the agent was told with the facts %+v", f)
					}
				default:
					t.Errorf("the agent was not told; the run says %q", got.Error)
				}
			} else if want := "cancelled by alice; the agent box may go on; "; !strings.HasPrefix(got.Error, want) {
				t.Errorf("it says %q", got.Error)
			}
			for _, run := range []int64{r.ID, 4711} {
				if wants, err := hub.e.Wants(t.Context(), run, 0, "do"); err != nil || wants {
					t.Errorf("run %d wants its step: %v, %v", run, wants, err)
				}
			}
			if err := hub.e.Correct(t.Context(), r.ID, "the agent box may go on", "it has ended there"); err != nil {
				t.Fatal(err)
			}
			if got, err := hub.e.Get(t.Context(), r.ID); err != nil || !serves && !strings.HasPrefix(got.Error, "cancelled by alice; it has ended there; ") {
				t.Errorf("it says %q, %v", got.Error, err)
			}
		})
	}
}

// TestWhatGoesOnIsSaid: a step that could not be stopped is in the last word of its run.
func TestWhatGoesOnIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timeout time.Duration
		want    string
	}{"cancelled": {time.Minute, "cancelled by alice; "}, "too long": {50 * time.Millisecond, "gave up after 50ms; it may go on"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNodes(t)
			began := make(chan struct{})
			hub := n.start("hub", pipeline.Step{Name: "vc:make", Timeout: c.timeout, Do: func(ctx context.Context, _ *clipboard.Clipboard) error {
				close(began)
				<-ctx.Done()
				return pipeline.GoesOn(context.Cause(ctx), "it may go on")
			}})
			r := hub.ask("loki", "vc:make")
			<-began
			state := pipeline.Failed
			if c.timeout == time.Minute {
				state = pipeline.Cancelled
				if _, err := hub.e.Cancel(t.Context(), r.ID, pipeline.Who{Name: "alice"}); err != nil {
					t.Fatal(err)
				}
			}
			if got := hub.wait(r.ID, state); !strings.HasPrefix(got.Error, c.want) {
				t.Errorf("it says %q, want %q", got.Error, c.want)
			}
		})
	}
}

// TestAnAgentThatIsAwayHoldsUpNoOther: one whose line is cut has a step in hand; others of the silo come and go
// meanwhile.
func TestAnAgentThatIsAwayHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	n := newNodes(t).siloed(inVMware)
	hub := n.start("hub")
	h, step := hold()
	serve := func(step pipeline.Step) (stop func()) {
		t.Helper()
		served := make(chan struct{})
		go func() {
			defer close(served)
			var err error
			if stop, err = hub.e.Serve("vmware", "box", []pipeline.Step{step}); err != nil {
				t.Error(err)
			}
		}()
		select {
		case <-served:
		case <-time.After(9 * time.Second):
			t.Fatal("it is not served for nine seconds")
		}
		return stop
	}
	away := serve(step)
	first := hub.ask("loki", "vc:make")
	<-h.began
	left := make(chan struct{})
	go func() { away(); close(left) }()
	var d diary
	come := d.step("second", "vc:make")
	serve(come)()
	stop := serve(come)
	hub.wait(hub.ask("thor", "vc:make").ID, pipeline.Ready)
	stop()
	late := hub.ask("odin", "vc:make")
	hub.waits(late.ID, pipeline.ForSilo)
	close(h.free)
	<-left
	hub.wait(first.ID, pipeline.Ready)
	stop = serve(come)
	defer stop()
	hub.wait(late.ID, pipeline.Ready)
}

// TestAnUndoThatAsksEndsThere: what the stages below made may be in use where that one goes on. The next undo goes on
// with it.
func TestAnUndoThatAsksEndsThere(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	var d diary
	asks := d.step("up", "vc:tune")
	answer := make(chan error, 2)
	asks.Undo = func(context.Context, *clipboard.Clipboard) error { return <-answer }
	hub := n.start("hub", d.step("low", "vc:make"), asks)
	r := hub.ask("loki", "vc:make", "vc:tune")
	hub.wait(r.ID, pipeline.Ready)
	for _, c := range []struct {
		err    error
		state  pipeline.State
		says   string
		lowers int
	}{
		{pipeline.AskPerson(errors.New("it may go on elsewhere")), pipeline.Failed, "could not undo vc:tune (it may go on elsewhere)", 0},
		{nil, pipeline.Undone, "", 1},
	} {
		answer <- c.err
		if _, err := hub.e.Undo(t.Context(), r.ID, "alice"); err != nil {
			t.Fatal(err)
		}
		got := hub.wait(r.ID, c.state)
		if lowers := strings.Count(d.String(), "low.vc:make-undo"); !strings.Contains(got.Error, c.says) || lowers != c.lowers {
			t.Errorf("it says %q, and the stage below was taken back %d times", got.Error, lowers)
		}
	}
}

// TestWhatARunWants: its step, what it may join, and nothing that it has passed.
func TestWhatARunWants(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	var d diary
	h, asks := hold()
	hub := n.start("hub", d.step("low", "vc:tune"), asks)
	r := hub.ask("loki", "vc:tune", "vc:make")
	<-h.began
	for _, c := range []struct {
		stage    int
		function string
		want     bool
	}{{0, "do", false}, {1, "do", true}, {1, "undo", false}, {1, "release", true}} {
		if got, err := hub.e.Wants(t.Context(), r.ID, c.stage, c.function); err != nil || got != c.want {
			t.Errorf("%s of stage %d: %v, %v", c.function, c.stage, got, err)
		}
	}
	close(h.free)
	hub.wait(r.ID, pipeline.Ready)
	if got, err := hub.e.Wants(t.Context(), r.ID, 1, "do"); err != nil || got {
		t.Errorf("a run that is ready wants its step: %v, %v", got, err)
	}
}
