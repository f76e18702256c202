package slack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/jarvisops/jarvis/bot"
)

// item is one post, or one change of a post.
type item struct {
	place   string
	text    string // escaped
	choices bot.Choices
	change  string     // the ts of the post that it changes; its buttons go
	notice  unsureKey  // which part of which notice it is
	done    chan error // nil: nobody waits
	tries   int
	id      string    // in the post's metadata
	since   time.Time // not zero: it may have been posted, after that
}

// lanes are an outbox in which each channel has its own pace, and the channels whose time has come take turns. What is
// said later waits until nothing else does. They are safe for concurrent use.
type lanes struct {
	rate Rate

	mu    sync.Mutex
	lanes map[string]*lane // by target
	order []string         // whose turn is first
	later []item
	some  chan struct{} // has one when something changed
}

type lane struct {
	items []item
	pace  *rate.Limiter
	until time.Time // Slack said to wait
}

// maxLane bounds what waits for one channel, maxLater what is said later, and maxLanes how many are remembered that are
// empty.
const (
	maxLane  = 1000
	maxLater = 40
	maxLanes = 1000
)

func newLanes(r Rate) *lanes {
	return &lanes{rate: r, lanes: map[string]*lane{}, some: make(chan struct{}, 1)}
}

// of gives a target's lane. It is called with the lock.
func (l *lanes) of(target string) *lane {
	x := l.lanes[target]
	if x == nil {
		if len(l.lanes) > maxLanes {
			l.order = slices.DeleteFunc(l.order, func(t string) bool {
				empty := len(l.lanes[t].items) == 0
				if empty {
					delete(l.lanes, t)
				}
				return empty
			})
		}
		x = &lane{pace: rate.NewLimiter(rate.Every(l.rate.Interval), l.rate.Burst)}
		l.lanes[target] = x
		l.order = append(l.order, target)
	}
	return x
}

// add puts an item after those of its channel. It reports false when too many wait there.
func (l *lanes) add(it item) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	target, _ := cutPlace(it.place)
	x := l.of(target)
	if len(x.items) >= maxLane {
		return false
	}
	x.items = append(x.items, it)
	l.wake()
	return true
}

// addLater puts an item after all that wait, and all that come while it waits.
func (l *lanes) addLater(it item) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.later) >= maxLater {
		return false
	}
	l.later = append(l.later, it)
	l.wake()
	return true
}

// dropLater empties what is said later, and gives how much it was.
func (l *lanes) dropLater() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = len(l.later)
	l.later = nil
	return n
}

// again puts an item before those of its channel, which waits meanwhile.
func (l *lanes) again(it item, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	target, _ := cutPlace(it.place)
	x := l.of(target)
	x.items = append([]item{it}, x.items...)
	x.until = time.Now().Add(wait)
	l.wake()
}

// next waits for an item whose channel may have it now.
func (l *lanes) next(ctx context.Context) (item, error) {
	for {
		if err := ctx.Err(); err != nil {
			return item{}, err
		}
		it, wait, ok := l.take(time.Now())
		if ok {
			return it, nil
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-l.some:
		case <-t.C:
		}
		t.Stop()
	}
}

// take gives the item whose turn it is, or how long it is until one may be said.
func (l *lanes) take(now time.Time) (it item, wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = time.Hour
	waiting := false
	for i, target := range l.order {
		x := l.lanes[target]
		if len(x.items) == 0 {
			continue
		}
		waiting = true
		if left := x.until.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		if r := x.pace.ReserveN(now, 1); r.DelayFrom(now) > 0 {
			wait = min(wait, r.DelayFrom(now))
			r.CancelAt(now)
			continue
		}
		it, x.items = x.items[0], x.items[1:]
		l.order = append(slices.Delete(l.order, i, i+1), target)
		return it, 0, true
	}
	if !waiting && len(l.later) > 0 {
		it, l.later = l.later[0], l.later[1:]
		return it, 0, true
	}
	return item{}, wait, false
}

// all takes whatever waits.
func (l *lanes) all() (out []item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.lanes {
		out = append(out, x.items...)
		x.items = nil
	}
	return out
}

// wake never blocks: one value says that something changed, however much did.
func (l *lanes) wake() {
	select {
	case l.some <- struct{}{}:
	default:
	}
}

// Say queues lines as one post; when the queue of the channel is full, it is dropped with a log entry.
func (f *Frontend) Say(place string, lines []string) { f.SayChoices(place, lines, bot.Choices{}) }

// SayChoices is Say with buttons under the last line.
func (f *Frontend) SayChoices(place string, lines []string, choices bot.Choices) {
	list := posts(lines)
	for i, text := range list {
		it := item{place: place, text: text}
		if i == len(list)-1 {
			it.choices = choices
		}
		if !f.out.add(it) {
			f.log.Warn("too many lines wait for slack; one is dropped", "app", f.name, "place", place)
		}
	}
}

// SayLater queues lines for somebody whom nobody knows, after all else.
func (f *Frontend) SayLater(place string, lines []string) {
	for _, text := range posts(lines) {
		if !f.out.addLater(item{place: place, text: text}) {
			f.log.Debug("too many lines wait for strangers; one is dropped", "app", f.name, "place", place)
		}
	}
}

// Deliver says a notice, with its buttons under it, and waits until Slack gave its ts. The error wraps bot.ErrRefused
// when Slack is there, but does not take lines for that place. A notice whose answer was lost is not said again when
// the history shows it.
func (f *Frontend) Deliver(ctx context.Context, n bot.Notice) error {
	if _, err := f.link.Wait(ctx); err != nil {
		return err
	}
	list := posts([]string{n.Line})
	for i, text := range list {
		it := item{place: n.Place, text: text, notice: unsureKey{n.ID, n.Place, i}, done: make(chan error, 1)}
		if i == len(list)-1 {
			it.choices = n.Choices
		}
		if !f.out.add(it) {
			return fmt.Errorf("%w: too many lines wait for it", bot.ErrRefused) // and others need not wait
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-it.done:
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// maxTries is how often an answer is tried.
const maxTries = 3

// drain tells whoever still waits that we stop.
func (f *Frontend) drain() {
	for _, it := range f.out.all() {
		it.tell(context.Canceled)
	}
}

// speak is the outbox: the only goroutine that posts.
func (f *Frontend) speak(ctx context.Context) {
	for {
		it, err := f.out.next(ctx)
		if err != nil {
			f.drain()
			return
		}
		f.say(ctx, it)
	}
}

func (it item) tell(err error) {
	if it.done != nil {
		it.done <- err
	}
}

// say posts an item, and does what follows from the answer.
func (f *Frontend) say(ctx context.Context, it item) {
	target, _ := cutPlace(it.place)
	wait, err := f.post(ctx, &it)
	switch {
	case wait > 0:
		f.out.again(it, wait)
		return
	case err == nil:
		f.well("place " + target)
	case ctx.Err() != nil:
	case it.done == nil && !errors.Is(err, bot.ErrRefused) && it.tries < maxTries:
		f.out.again(it, time.Second<<it.tries)
		return
	default:
		f.tell("place "+target, "a line could not be said on slack", err, "place", it.place)
	}
	it.tell(err)
}
