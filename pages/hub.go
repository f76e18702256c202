package pages

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// hub keeps open pages up to date. It follows the record once for all of them, reads each topic once per change, and
// makes each part once for all who see the same. All drawing is done by its one goroutine; join and leave may come from
// any.
//
//	Changed ──► events ──► topics they are about ──► read ──► parts that differ ──► frames ──► readers
type hub struct {
	s    *Site
	wake chan struct{} // holds a value when somebody has joined, or sees otherwise

	mu     sync.Mutex
	topics map[address]*topic

	following bool  // last counts; the hub's goroutine alone, as last
	last      int64 // newest event that was looked at
}

// address is what one topic is about.
type address struct {
	path  string // pattern
	query query
}

// topic is an address that somebody has open. All but readers is the hub's goroutine's alone.
type topic struct {
	page  *page
	query query

	readers map[*reader]struct{} // hub.mu

	view  view
	news  []pipeline.Event            // about it, since the view
	drawn map[string]drawn            // what all see, by id
	owns  map[string]map[string]drawn // what sights see, by sight and id
	due   time.Time                   // it is to be drawn then; zero: nothing has happened
	next  time.Time                   // not before
	sick  time.Time                   // it cannot be read since then; zero: it can
}

// drawn is a part as it was sent last.
type drawn struct {
	data any
	html []byte
}

// reader is an open page.
type reader struct {
	out  chan []byte   // frames
	gone chan struct{} // closed when it does not keep up

	person access.Person // hub.mu
	fresh  bool          // it is to be sent everything; hub.mu
	after  int64         // it has the lines of the log up to this event; hub.mu
	lost   bool          // gone is closed; the hub's goroutine
}

// How often open pages are drawn: at least two changes are told as one.
const (
	pace     = 500 * time.Millisecond
	slowPace = time.Second
	// clockPace is how often what moves is drawn though nothing has happened: it says how long it has taken.
	clockPace = 10 * time.Second
	restFor   = 50 * time.Millisecond
	// sickPace is the pause before what could not be read is read again.
	sickPace = 2 * time.Second
)

// maxNews is how many events wait for a topic before it is read again.
const maxNews = 5000

// outbox is how many frames wait for a slow reader before it is let go: it comes back by itself.
const outbox = 32

func newHub(s *Site) *hub {
	return &hub{s: s, wake: make(chan struct{}, 1), topics: map[address]*topic{}}
}

// join adds an open page, which has the log up to an event. Call leave when it is closed.
func (h *hub) join(p *page, q query, who access.Person, after int64) (r *reader, leave func()) {
	r = &reader{out: make(chan []byte, outbox), gone: make(chan struct{}), person: who, fresh: true, after: after}
	key := address{p.path, q}
	h.mu.Lock()
	t := h.topics[key]
	if t == nil {
		t = &topic{page: p, query: q, readers: map[*reader]struct{}{}, drawn: map[string]drawn{}, owns: map[string]map[string]drawn{}}
		h.topics[key] = t
	}
	t.readers[r] = struct{}{}
	h.mu.Unlock()
	h.poke()
	return r, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if delete(t.readers, r); len(t.readers) == 0 && h.topics[key] == t {
			delete(h.topics, key)
		}
	}
}

// sees says that a reader is, or may do, something else now.
func (h *hub) sees(r *reader, who access.Person) {
	h.mu.Lock()
	r.person, r.fresh = who, true
	h.mu.Unlock()
	h.poke()
}

// poke never waits: one that is still to be heard is enough.
func (h *hub) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run draws until ctx ends.
func (h *hub) run(ctx context.Context) error {
	logged := guard.Log(h.s.Log, "keep pages up to date")
	caught := func(p *guard.Panic) { logged(p); h.restart() }
	return guard.Loop(ctx, caught, func(ctx context.Context) error {
		changed, done := h.s.Engine.Changed()
		defer done()
		timer := time.NewTimer(0)
		defer timer.Stop()
		rest := time.NewTimer(restFor)
		defer rest.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			case <-h.wake:
			case <-timer.C:
			}
			h.follow(ctx)
			timer.Reset(h.turn(ctx, time.Now()))
			rest.Reset(restFor)
			select {
			case <-ctx.Done():
				return nil
			case <-rest.C: // many changes are one
			}
		}
	})
}

// restart has all be read and sent from the beginning: nobody knows which events were looked at, and by whom.
func (h *hub) restart() {
	h.following = false
	for _, t := range h.open() {
		t.view, t.news = nil, nil
		all, fresh := h.readersOf(t)
		h.again(slices.Concat(all, fresh))
	}
}

// follow looks which topics new events are about.
func (h *hub) follow(ctx context.Context) {
	open := h.open()
	if len(open) == 0 {
		h.following = false
		return
	}
	if !h.following { // who has joined since is fresh, and reads all there is
		last, err := h.s.Engine.LastEvent(ctx)
		if err != nil {
			return
		}
		h.last, h.following = last, true
	}
	for {
		evs, err := h.s.Engine.Events(ctx, pipeline.EventFilter{After: h.last})
		if err != nil { // they are looked for again; whoever cannot be drawn meanwhile is told
			for _, t := range open {
				t.stir(time.Now())
			}
			return
		}
		for _, ev := range evs {
			h.last = ev.ID
			decides := slices.Contains([]pipeline.EventKind{pipeline.EvProposed, pipeline.EvApproved, pipeline.EvDenied}, ev.Kind)
			if decides { // the navigation of every page counts what waits
				h.s.asked.forget()
			}
			for _, t := range open {
				if t.page.about == nil || decides {
					t.stir(time.Now())
				}
				if t.page.about != nil && t.page.about(t.query, ev) {
					t.news = append(t.news, ev)
					t.stir(time.Now())
				}
			}
		}
		if len(evs) < 1000 {
			return
		}
	}
}

// stir has a topic drawn, as soon as its pace allows.
func (t *topic) stir(now time.Time) {
	if t.due.IsZero() || t.due.After(now) {
		t.due = now
	}
	if t.due.Before(t.next) {
		t.due = t.next
	}
}

// open gives the topics that somebody reads.
func (h *hub) open() (list []*topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.topics {
		list = append(list, t)
	}
	return list
}

// turn draws what is due, and says how long to wait for the next.
func (h *hub) turn(ctx context.Context, now time.Time) time.Duration {
	wait := clockPace
	for _, t := range h.open() {
		all, fresh := h.readersOf(t)
		if len(fresh) > 0 || !t.due.IsZero() && !t.due.After(now) {
			h.draw(ctx, t, all, fresh, now)
		}
		if !t.due.IsZero() {
			wait = min(wait, max(0, time.Until(t.due)))
		}
	}
	return wait
}

// readerNow is a reader as it was when the drawing began.
type readerNow struct {
	*reader
	person access.Person
	after  int64
}

// readersOf gives the readers that are up to date, and those that are to be sent everything, who then count as sent.
func (h *hub) readersOf(t *topic) (all, fresh []readerNow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range t.readers {
		now := readerNow{r, r.person, r.after}
		if r.fresh {
			r.fresh = false
			fresh = append(fresh, now)
		} else {
			all = append(all, now)
		}
	}
	return all, fresh
}

// draw reads a topic, and sends each reader what is new to it. The id of the record's newest event goes with the last
// frame alone: whoever has it has everything before it.
func (h *hub) draw(ctx context.Context, t *topic, old, fresh []readerNow, now time.Time) {
	if len(t.news) > maxNews { // it could not be drawn for long
		t.view, t.news = nil, nil
		old, fresh = nil, slices.Concat(old, fresh)
	}
	var next view
	err := guard.Call(func() (err error) { // a bug in one page leaves the others as they are
		if next, err = t.page.read(h.s, ctx, t.query, t.view, t.news); err == nil {
			err = h.drawView(ctx, t, next, old, fresh)
		}
		return err
	})
	t.next, t.due = now.Add(pace), now.Add(cmp.Or(t.page.every, clockPace))
	if t.page.slow {
		t.next = now.Add(slowPace)
	}
	if err != nil {
		h.fail(ctx, t, slices.Concat(old, fresh), now, err)
		return
	}
	t.sick, t.view, t.news = time.Time{}, next, nil
}

// fail says in open pages that they do not hear, for what stands there may be over. They are sent everything once it
// can be read again.
func (h *hub) fail(ctx context.Context, t *topic, all []readerNow, now time.Time, err error) {
	if errors.Is(err, pipeline.ErrNotFound) { // it was removed from the record
		for _, r := range all {
			r.send(liveFrame("lost", "this is no longer on record"))
			r.letGo()
		}
		return
	}
	if t.sick.IsZero() {
		t.sick = now
	}
	why := "the record cannot be read"
	var bug *guard.Panic
	isBug := errors.As(err, &bug)
	if isBug {
		why = "a bug of mine; the stack is in my log"
	}
	switch first := ctx.Err() == nil && t.sick.Equal(now); {
	case first && isBug:
		guard.Log(h.s.Log, "keep a page up to date", "page", t.page.path)(bug)
	case first:
		h.s.Log.Error("keep a page up to date", "page", t.page.path, "err", err)
	}
	t.next, t.due = now.Add(sickPace), now.Add(sickPace)
	frame := liveFrame("lost", "no news since "+plain.Clock(t.sick)+" UTC: "+why)
	for _, r := range all {
		r.send(frame)
	}
	h.again(all)
}

// again makes readers fresh once more: nobody knows what they have.
func (h *hub) again(list []readerNow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range list {
		r.fresh = true
	}
}

// send gives a reader a frame, or lets it go when too many wait.
func (r readerNow) send(frame []byte) {
	if r.lost {
		return
	}
	select {
	case r.out <- frame:
	default:
		r.letGo()
	}
}

// letGo has the stream end.
func (r readerNow) letGo() {
	if !r.lost {
		r.lost = true
		close(r.gone)
	}
}
