package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/store"
)

const (
	rolePost = "post"
	// postFor is how long a notice is tried, at least.
	postFor     = 48 * time.Hour
	postAtOnce  = 8  // receivers
	lettersOnce = 20 // of one receiver in a round
	lastRetry   = 10 * time.Minute
	// droppedFor is how long it is told that something was given up.
	droppedFor = 7 * 24 * time.Hour
)

// postman sends what waits for webhooks and mails. It is one server's, and belongs to one goroutine, but for what is
// carried to each receiver.
type postman struct {
	n      *notices
	routes *[]route // of the last round

	carriers guard.Group
	room     chan struct{} // for as many receivers as are sent to at once
	done     chan struct{} // somebody took something

	mu   sync.Mutex
	held map[string]held // by route.key(): receivers that are away
	busy map[string]bool // by route.key(): those that are sent something now
}

// post sends what waits, on one server at a time, until ctx ends.
func (n *notices) post(ctx context.Context) {
	_ = n.b.DB.InRole(ctx, rolePost, func(ctx context.Context) error {
		p := &postman{n: n, routes: n.routes.Load(), room: make(chan struct{}, postAtOnce), done: make(chan struct{}, 1), held: map[string]held{}, busy: map[string]bool{}}
		defer p.carriers.Wait()
		wake := n.waker(rolePost)
		for {
			if err := p.round(ctx); err != nil && ctx.Err() == nil {
				n.b.Log.Error("send notices", "err", err)
			}
			look := time.NewTimer(p.rest(time.Now()))
			select {
			case <-ctx.Done():
			case <-wake:
			case <-p.done:
			case <-look.C:
			}
			if look.Stop(); ctx.Err() != nil {
				return nil
			}
		}
	})
}

// lookPost is how often it is looked for what waits, where nobody said that there is something.
const lookPost = 5 * time.Second

// rest gives how long it is until a receiver that was away may be tried, or it is time to look.
func (p *postman) rest(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := lookPost
	for key, h := range p.held {
		if !p.busy[key] {
			wait = min(wait, max(h.until.Sub(now), time.Millisecond))
		}
	}
	return wait
}

// round has the oldest carried to each receiver that is not away. It waits for none of them.
func (p *postman) round(ctx context.Context) error {
	if err := p.renew(ctx); err != nil {
		return err
	}
	places, err := store.Collect(ctx, p.n.b.DB, func(row store.Row) (r Room, err error) { return r, row.Scan(&r.Frontend, &r.Place) },
		"SELECT DISTINCT frontend, place FROM notices WHERE sent = 0 AND frontend IN (?, ?)", byHook, byMail)
	if err != nil {
		return err
	}
	var errs []error
	wanted := map[string]bool{}
	for _, at := range places {
		to := p.n.routeTo(at)
		if to == nil {
			errs = append(errs, p.n.drop(ctx, at, at.Place, errors.New("it is in no route any more")))
			continue
		}
		wanted[to.key()] = true
		if !p.take(to) {
			continue
		}
		p.carriers.Go(guard.Log(p.n.b.Log, "send notices", "to", to.shown), func() {
			took := false
			defer func() { p.give(to, took) }()
			select {
			case p.room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			defer func() { <-p.room }()
			var err error
			if took, err = p.carry(ctx, to); err != nil && ctx.Err() == nil {
				p.n.b.Log.Error("send notices", "to", to.shown, "err", err)
			}
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.held, func(key string, _ held) bool { return !wanted[key] && !p.busy[key] })
	return errors.Join(errs...)
}

// renew has all be tried now when the routes are others: whoever mended one does not wait.
func (p *postman) renew(ctx context.Context) error {
	now := p.n.routes.Load()
	if now == p.routes {
		return nil
	}
	err := p.n.b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE notices SET next = 0 WHERE sent = 0 AND next > 0 AND frontend IN (?, ?)", byHook, byMail)
		return err
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes = now
	clear(p.held)
	return nil
}

// take reports whether a receiver is there and free; it is busy then until give.
func (p *postman) take(to *route) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[to.key()] || time.Now().Before(p.held[to.key()].until) {
		return false
	}
	p.busy[to.key()] = true
	return true
}

// give ends a receiver's turn. took: it was sent something, so the next look is at once.
func (p *postman) give(to *route, took bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, to.key())
	if took {
		select {
		case p.done <- struct{}{}:
		default:
		}
	}
}

// routeTo gives a route to a place; nil when there is none now.
func (n *notices) routeTo(at Room) *route {
	for _, r := range *n.routes.Load() {
		if r.Room == at {
			return &r
		}
	}
	return nil
}

// note keeps whether a receiver is there, and gives how often in a row it was not.
func (p *postman) note(to *route, there bool) (times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.held[to.key()]
	if there {
		delete(p.held, to.key())
		return h.times
	}
	h.until = time.Now().Add(backOff(h.times))
	h.times++
	p.held[to.key()] = h
	return h.times
}

// backOff gives how long to wait after so many failures before one.
func backOff(times int) time.Duration { return min(time.Second<<min(times, 20), lastRetry) }

// letter is a row that is to be sent.
type letter struct {
	id, tries, born int64
	line, body      string
}

// carry sends the oldest of one receiver, until one fails for a reason that is the receiver's.
func (p *postman) carry(ctx context.Context, to *route) (took bool, err error) {
	list, err := store.Collect(ctx, p.n.b.DB, func(row store.Row) (l letter, err error) {
		return l, row.Scan(&l.id, &l.tries, &l.born, &l.line, &l.body)
	}, "SELECT id, tries, born, line, body FROM notices WHERE sent = 0 AND frontend = ? AND place = ? AND next <= ? ORDER BY id LIMIT ?", to.Frontend, to.Place, time.Now().UnixMilli(), lettersOnce)
	if err != nil {
		return false, err
	}
	for _, l := range list {
		// The claim proves that nobody has taken us for dead, and another server sends it.
		if err := p.n.hold(ctx, l.id, p.n.b.DB.Holder()); err != nil {
			return took, err
		}
		serr := p.send(ctx, to, l)
		switch {
		case serr == nil:
			took = true
			if times := p.note(to, true); times > 0 {
				p.n.b.Log.Info("notices are taken again", "to", to.shown, "tries", times)
			}
			if err := p.n.mark(context.WithoutCancel(ctx), l.id); err != nil {
				return took, err // it is sent again, with the same id
			}
		case ctx.Err() != nil:
			return took, nil
		default:
			refused := errors.Is(serr, post.ErrRefused)
			if err := p.failed(ctx, to, l, serr); err != nil || !refused {
				return took, err
			}
		}
	}
	return took, nil
}

// send carries one letter. One that cannot be read is refused for good: no later try can mend it.
func (p *postman) send(ctx context.Context, to *route, l letter) error {
	var x Told
	if err := json.Unmarshal([]byte(l.body), &x); err != nil {
		return fmt.Errorf("read notice %d: %w: %w", l.id, err, post.ErrRefused)
	}
	text := l.line + "\n"
	if x.Type == toldEvent {
		text += fmt.Sprintf("\nRun %d, %s, asked for by %s.\n", x.Run, x.FQDN, x.By)
	}
	if x.URL != "" {
		text += x.URL + "\n"
	}
	return to.via.Send(ctx, post.Message{ID: x.ID, At: x.At, Body: []byte(l.body), Subject: Split("["+p.n.b.Name+"] "+plain.Line(l.line), 150)[0], Text: text})
}

// failed notes that a letter was not taken. A receiver that is away is left alone for a while; so is a letter that is
// refused.
func (p *postman) failed(ctx context.Context, to *route, l letter, why error) error {
	next := int64(0)
	first := l.tries == 0
	if errors.Is(why, post.ErrRefused) {
		p.note(to, true)
		next = time.Now().Add(backOff(int(l.tries))).UnixMilli()
	} else {
		first = p.note(to, false) == 1
	}
	if first {
		p.n.b.Log.Warn("a notice was not taken; it is tried again", "to", to.shown, "err", plain.Line(why.Error()))
	}
	err := p.n.b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE notices SET tries = tries + 1, next = ?, why = ?, holder = '' WHERE id = ? AND sent = 0", next, clip(plain.Line(why.Error())), l.id)
		return err
	})
	if err != nil {
		return err
	}
	if !errors.Is(why, post.ErrRefused) {
		return p.n.drop(ctx, to.Room, to.shown, why)
	}
	if l.born >= time.Now().Add(-postFor).UnixMilli() {
		return nil
	}
	return p.n.dropOf(ctx, to.shown, why, "id = ?", l.id)
}

// drop gives up what a receiver has not taken in time.
func (n *notices) drop(ctx context.Context, at Room, shown string, why error) error {
	return n.dropOf(ctx, shown, why, "frontend = ? AND place = ? AND born < ?", at.Frontend, at.Place, time.Now().Add(-postFor).UnixMilli())
}

// dropOf gives up some of what waits, and says so. which is a condition in our own words.
func (n *notices) dropOf(ctx context.Context, shown string, why error, which string, args ...any) error {
	var dropped int64
	err := n.b.DB.Write(ctx, func(tx store.Tx) (err error) {
		dropped, err = tx.Exec(ctx, "UPDATE notices SET sent = ?, dropped = 1, why = ? WHERE sent = 0 AND "+which, append([]any{time.Now().UnixMilli(), clip(plain.Line(why.Error()))}, args...)...)
		return err
	})
	if err == nil && dropped > 0 {
		n.b.Log.Error("notices were given up: nobody took them in "+plain.Duration(postFor), "to", shown, "notices", dropped, "err", plain.Line(why.Error()))
	}
	return err
}

// NoticesDropped counts those that were given up in the last week; -1 when the database does not answer.
func (b *Bot) NoticesDropped() float64 {
	return b.number("SELECT count(*) FROM notices WHERE dropped = 1 AND sent > ?", time.Now().Add(-droppedFor).UnixMilli())
}

// NoticesLate gives for how many seconds the oldest has waited for a webhook or a mail that failed already; 0: none
// has, -1: the database does not answer.
func (b *Bot) NoticesLate() float64 {
	args, marks := []any{byHook, byMail}, "''"
	for _, r := range *b.notices.routes.Load() { // nobody is late who is in no route any more
		args = append(args, r.key())
		marks += ", ?"
	}
	born := b.number("SELECT coalesce(min(born), 0) FROM notices WHERE sent = 0 AND frontend IN (?, ?) AND tries > 0 AND frontend || ' ' || place IN ("+marks+")", args...)
	if born <= 0 {
		return born
	}
	return time.Since(time.UnixMilli(int64(born))).Seconds()
}

// number is what a metric's query counts; -1 when the database does not answer.
func (b *Bot) number(q string, args ...any) float64 {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var n float64
	if err := b.DB.QueryRow(ctx, q, args...).Scan(&n); err != nil {
		return -1
	}
	return n
}
