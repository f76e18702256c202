package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/jarvisops/jarvis/store"
)

// RepeatError: a key that was used before, for something else.
type RepeatError struct{ Run Run }

// Error implements error.
func (e *RepeatError) Error() string {
	return fmt.Sprintf("this idempotency key was used for run %d, which asked for something else", e.Run.ID)
}

// Began reports whether a request with that key began a run before; a *RepeatError when it asked for something else.
func (e *Engine) Began(ctx context.Context, key, hash string) (bool, error) {
	r, err := e.repeated(ctx, Request{Key: key, Hash: hash})
	return r != nil, err
}

// repeated gives the run that an earlier request with the same key began, nil when there is none.
func (e *Engine) repeated(ctx context.Context, q Request) (*Run, error) {
	if q.Key == "" {
		return nil, nil
	}
	var id int64
	var hash string
	err := e.db.QueryRow(ctx, "SELECT id, request_hash FROM runs WHERE request_key = ? AND request_key <> ''", q.Key).Scan(&id, &hash)
	if errors.Is(err, store.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	r, err := e.load(ctx, id)
	if err == nil && hash != q.Hash {
		return nil, &RepeatError{*r}
	}
	return r, err
}
