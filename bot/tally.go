package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// A large cluster is told as one. Where a network can change what was posted, there is one line more in the room where
// it was asked for, which is changed as its hosts become ready: people see how far it is, and are not disturbed. Where
// that line stands is on record, so that it is right in the end, after a restart too. It is no notice: what went wrong,
// and that all are ready, is told by lines of their own.

// Editor is a Frontend that can change what it posted. Its Deliver tells Choices.Shown where a line stands, also
// without buttons.
type Editor interface {
	// Edit has a post say something else. It may be done again. The error wraps ErrRefused when it will never be done.
	Edit(ctx context.Context, p Post, line string) error
}

const (
	tallyEvery = 5 * time.Second
	// tallyAfter is how old a cluster is before it has such a line: most that happens fast needs none.
	tallyAfter = 10 * time.Second
)

// tallier keeps those lines of one frontend. It belongs to the deliverer's goroutine.
type tallier struct {
	b    *Bot
	f    Frontend
	next time.Time
}

// tally is one of them.
type tally struct {
	cluster int64
	post    Post // At "": it was about to be posted when its node died
	over    bool
}

// rest gives how long it is until the next look; 0: there is none to come.
func (t *tallier) rest(now time.Time) time.Duration {
	if _, ok := t.f.(Editor); !ok {
		return 0
	}
	return max(t.next.Sub(now), time.Millisecond)
}

// round does nothing before tallyEvery has passed, or where posts cannot be changed.
func (t *tallier) round(ctx context.Context) {
	ed, ok := t.f.(Editor)
	if now := time.Now(); !ok || now.Before(t.next) {
		return
	}
	t.next = time.Now().Add(tallyEvery)
	if err := t.all(ctx, ed); err != nil && ctx.Err() == nil {
		t.b.Log.Debug("tell how far a cluster is; it is tried again", "frontend", t.f.Name(), "err", err)
	}
}

// all begins a line for each cluster that moves for long enough, changes those that are there, and ends those of
// clusters at rest.
func (t *tallier) all(ctx context.Context, ed Editor) error {
	moving, err := t.b.Engine.ClustersMoving(ctx)
	if err != nil {
		return err
	}
	had, err := store.Collect(ctx, t.b.DB, func(row store.Row) (x tally, err error) {
		over := int64(0)
		err = row.Scan(&x.cluster, &x.post.At, &x.post.Text, &over)
		x.over = over > 0
		return x, err
	}, "SELECT cluster, at, line, over FROM tallies WHERE frontend = ? AND (over = 0 OR cluster >= ?) ORDER BY cluster", t.f.Name(), first(moving))
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range moving {
		i := slices.IndexFunc(had, func(x tally) bool { return x.cluster == c.ID })
		switch {
		case i >= 0 && had[i].post.At != "":
			errs = append(errs, t.change(ctx, ed, had[i], c, false))
		case i >= 0 && had[i].over: // the room takes none, or somebody deleted it
		case time.Since(c.Started) >= tallyAfter:
			errs = append(errs, t.begin(ctx, c, i >= 0))
		}
	}
	for _, x := range had {
		if x.over || slices.ContainsFunc(moving, func(c pipeline.Cluster) bool { return c.ID == x.cluster }) {
			continue
		}
		c, err := t.b.Engine.ClusterOf(ctx, pipeline.Run{Cluster: x.cluster})
		if err == nil {
			err = t.change(ctx, ed, x, c, true)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// first gives the lowest id; of none, one above all: then no line that is over is read.
func first(list []pipeline.Cluster) int64 {
	if len(list) == 0 {
		return 1 << 62
	}
	return list[0].ID
}

// begin posts the line of a cluster that was asked for in a room of this frontend. Its row is there before it, so that
// whoever comes after us knows that there may be one.
func (t *tallier) begin(ctx context.Context, c pipeline.Cluster, again bool) error {
	line := command.Tally(c)
	o, ok := parseOrigin(c.Runs[0].Origin)
	at := t.b.notices.roomOf(Room{o.frontend, o.place})
	if line == "" || !ok || o.frontend != t.f.Name() || !holds(RoomsOf(t.f), at) {
		return nil
	}
	if until := t.b.notices.hushed(at, pipeline.EvReady, time.Now()); !until.IsZero() {
		return nil
	}
	if again {
		line = "(perhaps again) " + line
	}
	if err := t.note(ctx, tally{cluster: c.ID, post: Post{Text: line}}); err != nil {
		return err
	}
	shown := func(p Post) {
		p.Text = line
		ctx, cancel := context.WithTimeout(context.Background(), shownTimeout)
		defer cancel()
		if err := t.note(ctx, tally{cluster: c.ID, post: p}); err != nil {
			t.b.Log.Warn("note where the line of a cluster stands; there may be a second one", "frontend", t.f.Name(), "cluster", c.Name, "err", err)
		}
	}
	err := t.f.Deliver(ctx, Notice{ID: -c.ID, Place: o.place, Line: plain.Line(line), Choices: Choices{Shown: shown}})
	if errors.Is(err, ErrRefused) {
		return t.note(ctx, tally{cluster: c.ID, over: true})
	}
	return err
}

// change has the line say how far the cluster is now.
func (t *tallier) change(ctx context.Context, ed Editor, x tally, c pipeline.Cluster, over bool) error {
	line := command.Tally(c)
	x.over = over
	if x.post.At != "" && line != x.post.Text {
		err := ed.Edit(ctx, x.post, plain.Line(line))
		if errors.Is(err, ErrRefused) { // somebody deleted it
			x.over, x.post.At = true, ""
		} else if err != nil {
			return fmt.Errorf("cluster %s: %w", c.Name, err)
		}
		x.post.Text = line
	} else if !over {
		return nil
	}
	return t.note(ctx, x)
}

// note is not cut off by a stop: a line that stands in the room and is not on record would be posted again.
func (t *tallier) note(ctx context.Context, x tally) error {
	over := int64(0)
	if x.over {
		over = time.Now().UnixMilli()
	}
	return t.b.DB.Write(context.WithoutCancel(ctx), func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO tallies (cluster, frontend, at, line, over) VALUES (?, ?, ?, ?, ?) ON CONFLICT (frontend, cluster) DO UPDATE SET at = excluded.at, line = excluded.line, over = excluded.over",
			x.cluster, t.f.Name(), x.post.At, x.post.Text, over)
		return err
	})
}
