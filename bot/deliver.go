package bot

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

type notice struct {
	id, event, run            int64
	source                    string // what event is one of; "": of a run
	place, nick, direct, line string
	person                    string // whom it is for; "": everybody, or a stranger
	holder                    string // the life of a node that was saying it; "": nobody was
}

// held is a place that did not take a line: nothing is said there until the time has come, and no other place waits.
type held struct {
	times int // in a row
	lost  int // in a row: that the whole frontend had an error here, which may be of this place alone
	until time.Time
}

// What one round of deliveries takes.
const (
	placesAtOnce = 50
	linesAtOnce  = 20 // of one place
	maxHeld      = 30 * time.Second
	// privateAfter is how often a place may refuse before the askers are told in private.
	privateAfter = 3
)

// deliverer says what waits for one frontend. It belongs to one goroutine.
type deliverer struct {
	n    *notices
	f    Frontend
	held map[string]held
	// warned has the places, with for whom, of which it was said that they are somebody else's now.
	warned  map[string]bool
	said    []int64 // said, and the record does not have it yet
	buttons settler
	tallies tallier
}

// deliver says what waits for one frontend, in the order of each place. A place that does not take a line is tried
// again later, and meanwhile the askers are told in private; other places do not wait for it.
func (n *notices) deliver(ctx context.Context, f Frontend, wake <-chan struct{}) {
	d := &deliverer{n: n, f: f, held: map[string]held{}, warned: map[string]bool{}, buttons: settler{b: n.b, f: f}, tallies: tallier{b: n.b, f: f}}
	pause := time.Second
	for ctx.Err() == nil {
		d.buttons.round(ctx)
		d.tallies.round(ctx)
		said, err := d.round(ctx)
		if said > 0 {
			pause = time.Second
		}
		wait := d.rest(time.Now())
		switch {
		case ctx.Err() != nil:
			return
		case err != nil: // the network, or our database: it is there for no place
			wait, pause = pause, min(pause*2, maxHeld)
		case said > 0:
			continue
		}
		d.sleep(ctx, wait, wake)
	}
}

// sleep waits for something new, and no longer than the time; 0 is no bound.
func (d *deliverer) sleep(ctx context.Context, wait time.Duration, wake <-chan struct{}) {
	var retry <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		retry = t.C
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-retry:
	}
}

// rest gives how long it is until the next place may be tried; 0: none is held.
func (d *deliverer) rest(now time.Time) (wait time.Duration) {
	for _, h := range d.held {
		if left := max(h.until.Sub(now), time.Millisecond); wait == 0 || left < wait {
			wait = left
		}
	}
	for _, left := range []time.Duration{d.buttons.rest(now), d.tallies.rest(now)} {
		if left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	return wait
}

// round says the oldest lines of each place that is not held. The error is the frontend's, which has no link, or the
// database's.
func (d *deliverer) round(ctx context.Context) (said int, err error) {
	if err := d.record(ctx); err != nil {
		return 0, err
	}
	list, err := d.ready(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.n.b.Log.Error("read notices", "err", err)
		}
		return 0, err
	}
	refused, back := map[string]bool{}, map[string]bool{} // in this round
	for _, x := range list {
		if back[x.place] {
			continue // the next round has what waits for it in its order
		}
		told := false
		if !refused[x.place] {
			_, wasHeld := d.held[x.place]
			if err := d.claim(ctx, &x); err != nil {
				return said, err
			}
			told, err = d.say(ctx, x.place, lineFor(x), x)
			d.note(x.place, told, err)
			back[x.place] = told && wasHeld
		}
		if refused[x.place] = !told; !told && err == nil && x.direct != "" && x.direct != x.place && d.held[x.place].times >= privateAfter && !refused[x.direct] {
			told, err = d.say(ctx, x.direct, again(x)+plain.Line(x.line), x)
			refused[x.direct] = !told
		}
		if !told {
			d.unclaim(ctx, x)
		}
		if err != nil {
			return said, err
		}
		if !told {
			continue
		}
		said++
		d.said = append(d.said, x.id)
		if err := d.record(ctx); err != nil {
			return said, err
		}
	}
	return said, nil
}

// record puts on record what was said, also while we stop: otherwise it is said again. What the database does not take
// is kept, and nothing else is said before it is there.
func (d *deliverer) record(ctx context.Context) error {
	for len(d.said) > 0 {
		if err := d.n.mark(context.WithoutCancel(ctx), d.said[0]); err != nil {
			d.n.b.Log.Error("mark a notice", "err", err)
			return err
		}
		d.said = d.said[1:]
	}
	return nil
}

// claim puts on record that this node is about to say a notice. That also proves that nobody has taken us for dead.
func (d *deliverer) claim(ctx context.Context, x *notice) error {
	me := d.n.b.DB.Holder()
	if x.holder == me {
		x.holder = "" // we know that it was not said
		return nil
	}
	err := d.n.hold(ctx, x.id, me)
	if err != nil && ctx.Err() == nil {
		d.n.b.Log.Error("claim a notice", "err", err)
	}
	return err
}

// unclaim takes that back: nobody was told. A claim that cannot be taken back makes a later line more careful than it
// need be.
func (d *deliverer) unclaim(ctx context.Context, x notice) {
	if err := d.n.hold(context.WithoutCancel(ctx), x.id, ""); err != nil {
		d.n.b.Log.Debug("take back the claim of a notice", "err", err)
	}
}

// again says of a notice that was being said when its node ended that it may be the second time.
func again(x notice) string {
	if x.holder == "" {
		return ""
	}
	return "(perhaps again) "
}

// lineFor gives the line of a notice as it is said in its place.
func lineFor(x notice) string {
	line := again(x) + plain.Line(x.line) // an old record may not be clean
	if x.place != x.direct && x.nick != "" {
		line = x.nick + ": " + line
	}
	return line
}

// say reports whether the place took the line. An error says that the whole frontend takes none.
func (d *deliverer) say(ctx context.Context, place, line string, x notice) (told bool, err error) {
	if p, ok := d.f.(Prover); ok && x.person != "" {
		if id, ok := p.Holder(ctx, place); ok && d.n.b.Access.Who(id).Name != x.person {
			if key := place + "\x00" + x.person; !d.warned[key] { // it is tried again and again
				d.warned[key] = true
				d.n.b.Log.Warn("a notice waits: who has that name now is somebody else", "frontend", d.f.Name(), "place", place, "for", x.person)
			}
			return false, nil
		}
	}
	out := Notice{ID: x.id, Place: place, Line: line}
	if _, ok := d.f.(Chooser); ok {
		out.Choices = d.n.b.choicesUnder(ctx, d.f, x)
	}
	err = d.f.Deliver(ctx, out)
	if errors.Is(err, ErrRefused) {
		return false, nil
	}
	return err == nil, err
}

// note keeps what a place did with a line.
func (d *deliverer) note(place string, told bool, err error) {
	switch {
	case told:
		delete(d.held, place)
	case err == nil:
		h := d.held[place]
		h.until = time.Now().Add(min(time.Second<<min(h.times, 10), maxHeld))
		h.times++
		d.held[place] = h
	default: // the next round begins with other places, or nobody would hear anything for the sake of this one
		h := d.held[place]
		if h.lost++; h.lost > 1 {
			h.until = time.Now().Add(min(time.Second<<min(h.lost, 10), maxHeld))
		}
		d.held[place] = h
	}
}

// ready gives what may be said now: of each place that is not held the oldest lines, in the order in which they came.
// Of a place that keeps refusing it is one line, to ask whether it still does, and those that can be told in private.
func (d *deliverer) ready(ctx context.Context) ([]notice, error) {
	places, err := d.n.waiting(ctx, d.f.Name())
	if err != nil {
		return nil, err
	}
	for place := range d.held {
		if !slices.Contains(places, place) {
			delete(d.held, place) // what waited for it went elsewhere
		}
	}
	now := time.Now()
	places = slices.DeleteFunc(places, func(p string) bool { return now.Before(d.held[p].until) })
	var out []notice
	for _, place := range places[:min(len(places), placesAtOnce)] {
		which := ""
		if d.held[place].times >= privateAfter-1 {
			more, err := d.n.unsent(ctx, d.f.Name(), place, 1, "")
			if err != nil {
				return nil, err
			}
			out, which = append(out, more...), " AND (direct <> '' OR person = '' AND nick <> '')"
		}
		more, err := d.n.unsent(ctx, d.f.Name(), place, linesAtOnce, which)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	slices.SortFunc(out, func(a, b notice) int { return cmp.Compare(a.id, b.id) })
	return slices.CompactFunc(out, func(a, b notice) bool { return a.id == b.id }), nil
}

// waiting gives the places for which something waits, the longest waiting first.
func (n *notices) waiting(ctx context.Context, frontend string) (places []string, err error) {
	rows, err := n.b.DB.Query(ctx, "SELECT place, min(id) FROM notices WHERE sent = 0 AND frontend = ? GROUP BY place ORDER BY 2", frontend)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var place string
		var first int64
		if err := rows.Scan(&place, &first); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		places = append(places, place)
	}
	return places, errors.Join(rows.Err(), rows.Close())
}

// unsent gives the oldest notices of a place. which is a further condition, in our own words.
func (n *notices) unsent(ctx context.Context, frontend, place string, limit int, which string) ([]notice, error) {
	rows, err := n.b.DB.Query(ctx, "SELECT id, source, event, run, place, nick, CASE WHEN direct = '' AND person = '' THEN nick ELSE direct END, line, holder, person FROM notices WHERE sent = 0 AND frontend = ? AND place = ?"+which+" ORDER BY id LIMIT ?", frontend, place, limit)
	if err != nil {
		return nil, err
	}
	var out []notice
	for rows.Next() {
		var x notice
		if err := rows.Scan(&x.id, &x.source, &x.event, &x.run, &x.place, &x.nick, &x.direct, &x.line, &x.holder, &x.person); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, x)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// hold puts on record who is saying a notice; "": nobody.
func (n *notices) hold(ctx context.Context, id int64, holder string) error {
	return n.b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE notices SET holder = ? WHERE id = ? AND sent = 0", holder, id)
		return err
	})
}

// mark notes that a server took the notice: from then on it is not said again.
func (n *notices) mark(ctx context.Context, id int64) error {
	return n.b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE notices SET sent = ? WHERE id = ?", time.Now().UnixMilli(), id)
		return err
	})
}
