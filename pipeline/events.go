package pipeline

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// EventFilter chooses events.
type EventFilter struct {
	After  int64 // only those with a higher id
	Before int64 // only those with a lower id; 0: all
	Run    int64 // 0: of every run
	Kinds  []EventKind
	Limit  int // 0 means 1000

	Stage  int  // only what the steps of one stage did, counted from 1; 0: all
	Newest bool // the last ones of those that fit, not the first
	Marks  bool // none of the lines of steps: a long log costs nothing
}

// Events gives events in the order of their ids. A follower that asks for what comes after the last id it saw misses
// none.
func (e *Engine) Events(ctx context.Context, f EventFilter) ([]Event, error) {
	q, args := "SELECT id, run, at, kind, stage, step, text, diff, took FROM events WHERE id > ? AND "+notGoing, []any{f.After}
	if e.db.Postgres() != nil {
		settled, err := e.settled.upTo(ctx, e.db)
		if err != nil {
			return nil, err
		}
		q += " AND id <= ?"
		args = append(args, settled)
	}
	if f.Before > 0 {
		q += " AND id < ?"
		args = append(args, f.Before)
	}
	if f.Marks {
		q += " AND " + noLines
	}
	if f.Run != 0 {
		q += " AND run = ?"
		args = append(args, f.Run)
	}
	if len(f.Kinds) > 0 {
		q += " AND kind IN (?" + strings.Repeat(", ?", len(f.Kinds)-1) + ")"
		for _, k := range f.Kinds {
			args = append(args, k)
		}
	}
	if f.Limit == 0 {
		f.Limit = 1000
	}
	if f.Stage > 0 {
		q += " AND stage = ? AND step <> ''"
		args = append(args, f.Stage-1)
	}
	if !f.Newest {
		return store.Collect(ctx, e.db, scanEvent, q+" ORDER BY id LIMIT ?", append(args, f.Limit)...)
	}
	list, err := store.Collect(ctx, e.db, scanEvent, q+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...)
	slices.Reverse(list)
	return list, err
}

// noLines is the condition of the index events_marks; a query must have it word for word.
const noLines = "kind NOT IN ('log', 'progress')"

func scanEvent(row store.Row) (Event, error) {
	var ev Event
	var when, took int64
	err := row.Scan(&ev.ID, &ev.Run, &when, &ev.Kind, &ev.Stage, &ev.Step, &ev.Text, &ev.Diff, &took)
	ev.At, ev.Took = time.UnixMilli(when), time.Duration(took)*time.Millisecond
	return ev, err
}

// AllOut reports whether a run has no event after the one with that id, also none that Events holds back because a
// transaction is open that may have an earlier one.
func (e *Engine) AllOut(ctx context.Context, run, after int64) (bool, error) {
	var last int64
	err := e.db.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM events WHERE run = ? AND id > ? AND "+notGoing, run, after).Scan(&last)
	return last == 0, err
}

// LastEvent gives the id of the newest event, 0 when there is none.
func (e *Engine) LastEvent(ctx context.Context) (id int64, err error) {
	err = e.db.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM events").Scan(&id)
	return id, err
}
