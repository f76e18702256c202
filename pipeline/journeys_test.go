package pipeline_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

// journeys counts how often the transactions that write runs or events have something sent to the server and wait for
// it. Those of River and of the lease write other tables.
type journeys struct {
	mu    sync.Mutex
	open  map[*pgx.Conn]*journey
	total int
}

// journey is of a transaction under way.
type journey struct {
	n    int
	ours bool
}

func (j *journeys) count(c *pgx.Conn, sent ...string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.open[c]
	if now == nil {
		now = &journey{}
	}
	now.n++
	ends := sent[0] != "begin"
	if j.open[c] != nil {
		ends = false
	}
	for _, q := range sent {
		now.ours = now.ours || strings.Contains(q, "UPDATE runs SET") || strings.Contains(q, "INSERT INTO events")
		ends = ends || q == "commit" || q == "rollback"
	}
	if !ends {
		j.open[c] = now
		return
	}
	delete(j.open, c)
	if now.ours {
		j.total += now.n
	}
}

func (j *journeys) so() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.total
}

func (j *journeys) TraceQueryStart(ctx context.Context, c *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	j.count(c, d.SQL)
	return ctx
}

func (j *journeys) TraceBatchStart(ctx context.Context, c *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	var sent []string
	for _, q := range d.Batch.QueuedQueries {
		sent = append(sent, q.SQL)
	}
	j.count(c, sent...)
	return ctx
}

func (j *journeys) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData)     {}
func (j *journeys) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (j *journeys) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// TestAStepIsOneJourney: what a step costs on PostgreSQL is the wait for the server, which may be a network away. A
// step that ends, and the next that begins, are written in one journey that begins, writes and commits.
func TestAStepIsOneJourney(t *testing.T) {
	t.Parallel()
	url, err := postgres.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	j := journeys{open: map[*pgx.Conn]*journey{}}
	w := &world{t: t, key: key, reg: pipeline.NewRegistry()}
	w.opts.URL, w.opts.Tracer = url, &j
	const stages = 100
	first, last, n := 0, 0, 0
	w.reg.Add(pipeline.Step{Name: "test:step", Do: func(_ context.Context, c *clipboard.Clipboard) error {
		switch n++; n {
		case 1:
			first = j.so()
		case stages:
			last = j.so()
		}
		return c.Set("count", strconv.Itoa(n))
	}})
	w.start()
	defer w.stop()
	steps := slices.Repeat([]string{"test:step"}, stages)
	r := w.deploy(steps...)
	w.wait(r.ID, pipeline.Ready)
	if got := last - first; got != stages-1 {
		t.Errorf("%d steps cost %d journeys", stages-1, got)
	}
}
