package checks

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/store"
)

// waiting is a letter that is not sent yet.
type waiting struct {
	id      int64
	contact string
	next    time.Time // when it is to be tried; zero: at once
}

// letterOrder says which letter is sent next: each contact has one under way, and its letters go in the order in which
// they were made, so that nobody reads of an end before the beginning. One that its receiver refuses, and no other, is
// passed by those after it.
type letterOrder struct {
	mu   sync.Mutex
	busy map[string]bool // contacts to which one is under way
	// refused has what this server tried in vain, and whether it was refused. What another tried is tried at once.
	refused map[int64]bool
}

func newLetterOrder() *letterOrder {
	return &letterOrder{busy: map[string]bool{}, refused: map[int64]bool{}}
}

// begin gives the letters that are to be sent now, one for each contact, of those that read gives, in order. A contact
// that was busy when the reading began waits for the next one: its letter may have been read as open, and be sent by
// now.
func (o *letterOrder) begin(now time.Time, read func() ([]waiting, error)) (out []waiting, err error) {
	o.mu.Lock()
	was := maps.Clone(o.busy)
	o.mu.Unlock()
	list, err := read()
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(list)
	ahead := map[string]bool{}  // one that was refused stands before it
	closed := map[string]bool{} // nothing more of it goes now
	for _, w := range list {
		refused, tried := o.refused[w.id]
		switch {
		case was[w.contact], o.busy[w.contact], closed[w.contact], refused && ahead[w.contact]:
		case !tried, !w.next.After(now):
			o.busy[w.contact] = true
			out = append(out, w)
		case refused:
			ahead[w.contact] = true
		default:
			closed[w.contact] = true
		}
	}
	return out, nil
}

// forget drops what is known of letters that are no longer open. mu is held.
func (o *letterOrder) forget(open []waiting) {
	if len(o.refused) == 0 {
		return
	}
	ids := make(map[int64]bool, len(open))
	for _, w := range open {
		ids[w.id] = true
	}
	maps.DeleteFunc(o.refused, func(id int64, _ bool) bool { return !ids[id] })
}

// end notes what became of a letter.
func (o *letterOrder) end(w waiting, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.busy, w.contact)
	if err != nil {
		o.refused[w.id] = errors.Is(err, post.ErrRefused)
	}
}

// openLetters gives all letters that are not sent, in the order in which they were made. known has whom each is to:
// that is read once.
func (o *outbox) openLetters(ctx context.Context, known map[int64]string) ([]waiting, error) {
	list, err := store.Collect(ctx, o.db, func(row store.Row) (w waiting, err error) {
		var next int64
		err = row.Scan(&w.id, &next)
		w.next = time.UnixMilli(next)
		return w, err
	}, "SELECT id, next FROM check_outbox WHERE done = 0 AND kind = ? ORDER BY id", rowLetter)
	if err != nil {
		return nil, err
	}
	open := make(map[int64]bool, len(list))
	for i := range list {
		w := &list[i]
		to, ok := known[w.id]
		if !ok {
			var body string
			if err := o.db.QueryRow(ctx, "SELECT event FROM check_outbox WHERE id = ?", w.id).Scan(&body); err != nil {
				return nil, err
			}
			to = contactOf(body)
			known[w.id] = to
		}
		w.contact, open[w.id] = to, true
	}
	maps.DeleteFunc(known, func(id int64, _ string) bool { return !open[id] })
	return list, nil
}
