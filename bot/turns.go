package bot

import (
	"context"
	"sync"
)

// Turns is an outbox in which the places take turns, one item each: what one person made us say at length holds up
// no other place. The items of a place keep their order. The zero Turns is empty; it is safe for concurrent use.
type Turns[T any] struct {
	mu    sync.Mutex
	items map[string][]T
	order []string      // the places with items, whose turn is first
	some  chan struct{} // has one when there may be items
}

// maxTurns bounds what waits for one place.
const maxTurns = 1000

// Add puts an item behind those of its place. It reports false when too many wait there.
func (t *Turns[T]) Add(place string, item T) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.items == nil {
		t.items = map[string][]T{}
	}
	list, waits := t.items[place]
	if len(list) >= maxTurns {
		return false
	}
	if !waits {
		t.order = append(t.order, place)
	}
	t.items[place] = append(list, item)
	t.wake()
	return true
}

// Next waits for an item and takes it. Its place has its next turn behind all others.
func (t *Turns[T]) Next(ctx context.Context) (item T, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return item, err
		}
		item, some, ok := t.take()
		if ok {
			return item, nil
		}
		select {
		case <-ctx.Done():
		case <-some:
		}
	}
}

func (t *Turns[T]) take() (item T, some <-chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		if t.some == nil {
			t.some = make(chan struct{}, 1)
		}
		return item, t.some, false
	}
	place := t.order[0]
	t.order = t.order[1:]
	list := t.items[place]
	item = list[0]
	if len(list) > 1 {
		t.items[place] = list[1:]
		t.order = append(t.order, place)
	} else {
		delete(t.items, place)
	}
	return item, nil, true
}

// All takes whatever waits.
func (t *Turns[T]) All() (items []T) {
	for {
		item, _, ok := t.take()
		if !ok {
			return items
		}
		items = append(items, item)
	}
}

// wake is called with the lock.
func (t *Turns[T]) wake() {
	if t.some == nil {
		t.some = make(chan struct{}, 1)
	}
	select {
	case t.some <- struct{}{}:
	default:
	}
}
