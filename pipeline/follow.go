package pipeline

import "context"

// Follower reads events as they come, each once and in their order. Where it stopped, by an error or a panic of Take,
// it goes on after the last that was taken.
type Follower struct {
	After  int64                              // id of the last event that was taken
	Kinds  func() []EventKind                 // which are read; asked before each reading, nil: all
	Failed func(error)                        // is told when the record cannot be read; that is tried again with the next event
	Take   func(ctx context.Context, e Event) // not called twice at once
}

// Follow runs until ctx ends, and returns nil then.
func (f *Follower) Follow(ctx context.Context, e *Engine) error {
	changed, done := e.Changed()
	defer done()
	for {
		evs, err := e.Events(ctx, EventFilter{After: f.After, Kinds: f.Kinds()})
		if err != nil && ctx.Err() == nil {
			f.Failed(err)
		}
		for _, ev := range evs {
			f.After = ev.ID
			f.Take(ctx, ev)
		}
		if len(evs) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
