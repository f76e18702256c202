package pipeline_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// TestWhatWaitsGoesOnWhenItIsTime: the queue looks twice a second for what is due, which would be a quarter of a second
// late on average.
func TestWhatWaitsGoesOnWhenItIsTime(t *testing.T) {
	t.Parallel()
	n := newNodes(t)
	waits := &late{due: map[string]time.Time{}}
	step := pipeline.Step{Name: "test:wait", Do: func(_ context.Context, c *clipboard.Clipboard) error {
		if waits.now(c.Get("hostname"), 300*time.Millisecond) {
			return pipeline.Wait(300*time.Millisecond, "not there yet")
		}
		return nil
	}}
	a := n.start("a", step)
	n.start("b", step)
	for i := range 21 { // one after the other: what comes for one would have the queue look for others
		r := a.ask(fmt.Sprint("host", i), "test:wait")
		a.waitFor(20*time.Second, r.ID, pipeline.Ready)
	}
	if late := waits.at(50); late > 120*time.Millisecond {
		t.Errorf("half of them went on %s late", late)
	}
}

// TestNobodyIsRiversLeader: what sleeps for longer than five seconds was given out by River's leader alone, and slept
// on when that node was dead.
func TestNobodyIsRiversLeader(t *testing.T) {
	t.Parallel()
	url, err := postgres.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, key: key, reg: pipeline.NewRegistry(), opts: store.Options{URL: url}}
	var asked atomic.Int64
	w.reg.Add(pipeline.Step{Name: "test:sleep", Do: func(context.Context, *clipboard.Clipboard) error {
		if asked.Add(1) == 1 {
			return pipeline.Wait(7*time.Second, "not yet")
		}
		return nil
	}})
	w.start()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	for gone := false; !gone; time.Sleep(100 * time.Millisecond) { // somebody leads who does nothing, as one that was cut off
		tag, err := c.Exec(t.Context(), "UPDATE river_leader SET leader_id = 'nobody', elected_at = now(), expires_at = now() + interval '1 hour'")
		if err != nil {
			t.Fatal(err)
		}
		gone = tag.RowsAffected() == 1
	}
	time.Sleep(7 * time.Second) // who led finds out
	began := time.Now()
	w.wait(w.deploy("test:sleep").ID, pipeline.Ready)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it went on after %s, and it was to be 7 s", took)
	}
	w.stop()
}
