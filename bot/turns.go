package bot

import (
	"context"
	"slices"
	"sync"
)

// Turns is an outbox in which the places take turns, one item each: what one person made us say at length holds up
// no other place. The items of a place keep their order. What is said later waits until nothing else does, however many
// places it is for. The zero Turns is empty; it is safe for concurrent use.
type Turns[T any] struct {
	mu    sync.Mutex
	items map[string][]T
	order []string // the places with items, whose turn is first
	later []laterItem[T]
	busy  map[string]bool // places of which Take gave an item that is not done
	some  chan struct{}   // has one when there may be items
}

type laterItem[T any] struct {
	place string
	item  T
}

// maxTurns bounds what waits for one place; maxLater what is said later, for all places together.
const (
	maxTurns = 1000
	maxLater = 40
)

// Add puts an item after those of its place. It reports false when too many wait there.
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

// AddLater puts an item after all that wait, and all that come while it waits. It reports false when too many do.
func (t *Turns[T]) AddLater(place string, item T) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.later) >= maxLater {
		return false
	}
	t.later = append(t.later, laterItem[T]{place, item})
	t.wake()
	return true
}

// Drop takes out what waits for a place that is gone.
func (t *Turns[T]) Drop(place string) (items []T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	items = t.items[place]
	delete(t.items, place)
	t.order = slices.DeleteFunc(t.order, func(p string) bool { return p == place })
	t.later = slices.DeleteFunc(t.later, func(l laterItem[T]) bool {
		if l.place == place {
			items = append(items, l.item)
		}
		return l.place == place
	})
	return items
}

// DropLater takes out whatever was to be said later, and tells how much that was.
func (t *Turns[T]) DropLater() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = len(t.later)
	t.later = nil
	return n
}

// Next waits for an item and takes it. Its place has its next turn after all others.
func (t *Turns[T]) Next(ctx context.Context) (item T, err error) {
	item, done, err := t.Take(ctx)
	if err == nil {
		done()
	}
	return item, err
}

// Take is Next for several who take at once: until done, nobody gets another item of the same place, so that they keep
// their order.
func (t *Turns[T]) Take(ctx context.Context) (item T, done func(), err error) {
	for {
		if err := ctx.Err(); err != nil {
			return item, nil, err
		}
		item, place, some, ok := t.take()
		if ok {
			return item, func() { t.free(place) }, nil
		}
		select {
		case <-ctx.Done():
		case <-some:
		}
	}
}

// free ends a place's turn, so that its next item may be taken.
func (t *Turns[T]) free(place string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.busy, place)
	t.wake()
}

// take does not wait: where ok is false, some has a value once there may be an item.
func (t *Turns[T]) take() (item T, place string, some <-chan struct{}, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.some == nil {
		t.some = make(chan struct{}, 1)
	}
	if len(t.order) == 0 {
		i := slices.IndexFunc(t.later, func(l laterItem[T]) bool { return !t.busy[l.place] })
		if i < 0 {
			return item, "", t.some, false
		}
		l := t.later[i]
		t.later = slices.Delete(t.later, i, i+1)
		return l.item, t.begin(l.place), nil, true
	}
	i := slices.IndexFunc(t.order, func(p string) bool { return !t.busy[p] })
	if i < 0 {
		return item, "", t.some, false
	}
	place = t.order[i]
	t.order = slices.Delete(t.order, i, i+1)
	list := t.items[place]
	item = list[0]
	if len(list) > 1 {
		t.items[place] = list[1:]
		t.order = append(t.order, place)
	} else {
		delete(t.items, place)
	}
	return item, t.begin(place), nil, true
}

// begin is called with the lock.
func (t *Turns[T]) begin(place string) string {
	if t.busy == nil {
		t.busy = map[string]bool{}
	}
	t.busy[place] = true
	if len(t.order)+len(t.later) > 0 {
		t.wake() // another may take, too
	}
	return place
}

// All takes whatever waits.
func (t *Turns[T]) All() (items []T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.order) > 0 {
		place := t.order[0]
		t.order = t.order[1:]
		items = append(items, t.items[place]...)
		delete(t.items, place)
	}
	for _, l := range t.later {
		items = append(items, l.item)
	}
	t.later = nil
	return items
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
