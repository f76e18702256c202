package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/store"
)

// What an agent was sent may go on there when the run does not: these are what whoever keeps book of that asks, and
// says.

// Wants reports whether a function of a step, "do", "undo" or another, is still what a run is at, or may join.
func (e *Engine) Wants(ctx context.Context, run int64, stage int, function string) (bool, error) {
	r, err := e.load(ctx, run)
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return true, err
	case r.State == Undoing:
		return function == "undo" && stage <= r.undoAt, nil
	case r.State == Ready, r.State == Cancelled, r.State == Undone:
		return false, nil
	case function == "undo": // half of one that is left alone is better than one that is cut off
		return r.State == Failed, nil
	case function == "do":
		return stage >= r.Stage, nil
	}
	return true, nil
}

// Correct puts something else in the place of what the last word of a run says, when it says that: it is no longer so.
func (e *Engine) Correct(ctx context.Context, run int64, was, is string) error {
	return e.write(ctx, func(tx store.Tx) error {
		r, err := lock(ctx, tx, run)
		if errors.Is(err, ErrNotFound) || err == nil && !strings.Contains(r.Error, was) {
			return nil
		} else if err != nil {
			return err
		}
		next := r
		next.Error = strings.ReplaceAll(r.Error, was, is)
		return save(ctx, tx, &r, &next, Event{Kind: EvLog, Stage: r.shown(), Step: r.Step(), Text: is})
	})
}

// ServedElsewhere reports whether another node that lives has a line to an agent of a silo, by the agent's name.
func (e *Engine) ServedElsewhere(ctx context.Context, silo, who string) (bool, error) {
	if !e.db.Shared() {
		return false, nil
	}
	nodes, err := e.Nodes(ctx)
	for _, n := range nodes {
		if slices.Contains(n.Serves[silo], who) {
			return true, err
		}
	}
	return false, err
}
