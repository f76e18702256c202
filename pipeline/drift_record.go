package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// The table `drift` has the last look at each host by the clock, when the next is due, and what people were told of.
// All of its SQL stands here.

// stands chooses hosts that are what their run left; see Standing.comparable.
const stands = "hosts.task = 0 AND runs.state = 'ready' AND runs.ending = 'ready' AND runs.began > 0 AND runs.verb <> 'import'"

// dueLooks lists the hosts to look at, those first that wait longest.
func (e *Engine) dueLooks(ctx context.Context, now time.Time, limit int) ([]Standing, error) {
	return e.standing(ctx, stands+" AND hosts.fqdn IN (SELECT fqdn FROM drift WHERE next <= ?) ORDER BY (SELECT next FROM drift WHERE drift.fqdn = hosts.fqdn), hosts.fqdn LIMIT ?", ms(now), limit)
}

// candidate is a host that may be looked at by the clock.
type candidate struct {
	fqdn, ending string
	known, stand int // 1: it is in the table; it is what its run left
}

// fresh: it is as its run left it, and the clock does not look at it yet.
func (o candidate) fresh() bool { return o.known == 0 && o.stand == 1 }

// gone: the clock looks at it, and it was destroyed or undone.
func (o candidate) gone() bool {
	return o.known == 1 && (o.ending == string(EndDestroyed) || o.ending == string(EndUndone))
}

// enrolPage is how many hosts one enrol goes through.
const enrolPage = 500

// enrol goes through the hosts that come after a name: those that stand and are not in the table are put there, each
// due at the time that when gives; those that are no more are taken out. It gives the name to go on after, "" for the
// beginning.
func (e *Engine) enrol(ctx context.Context, after string, when func(fqdn string) time.Time) (next string, err error) {
	page, err := store.Collect(ctx, e.db, func(r store.Row) (o candidate, err error) { return o, r.Scan(&o.fqdn, &o.ending, &o.known, &o.stand) },
		"SELECT hosts.fqdn, runs.ending, CASE WHEN drift.fqdn IS NULL THEN 0 ELSE 1 END, CASE WHEN "+stands+" THEN 1 ELSE 0 END"+
			" FROM hosts JOIN runs ON runs.id = hosts.run LEFT JOIN drift ON drift.fqdn = hosts.fqdn WHERE hosts.fqdn > ? ORDER BY hosts.fqdn LIMIT ?", after, enrolPage)
	if err != nil {
		return after, fmt.Errorf("find hosts to look at: %w", err)
	}
	if len(page) == enrolPage {
		next = page[len(page)-1].fqdn
	}
	page = slices.DeleteFunc(page, func(o candidate) bool { return !o.fresh() && !o.gone() })
	if len(page) == 0 {
		return next, nil
	}
	return next, e.write(ctx, func(tx store.Tx) error {
		for _, o := range page {
			q, args := "DELETE FROM drift WHERE fqdn = ?", []any{o.fqdn}
			if o.fresh() {
				q, args = "INSERT INTO drift (fqdn, run, at, next, took, asked, found, differs, unknown, told) VALUES (?, 0, 0, ?, 0, 0, 0, '[]', '[]', '[]') ON CONFLICT DO NOTHING", []any{o.fqdn, ms(when(o.fqdn))}
			}
			if _, err := tx.Exec(ctx, q, args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// reschedule brings what is due in line with the configuration: its period may have become longer or shorter.
func (e *Engine) reschedule(ctx context.Context, now time.Time, every time.Duration) error {
	return e.write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE drift SET next = CASE WHEN at > 0 THEN at + ? ELSE ? END WHERE next > ? OR at > 0 AND next < at + ?",
			every.Milliseconds(), ms(now), ms(now.Add(every)), every.Milliseconds())
		return err
	})
}

// postpone has a host looked at later; nothing of it is known again.
func (e *Engine) postpone(ctx context.Context, fqdn string, until time.Time) error {
	return e.write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE drift SET next = ? WHERE fqdn = ?", ms(until), fqdn)
		return err
	})
}

// storeLook puts a look on record, and says what changed since the last one, in one transaction. ErrMoved when the host
// does no longer stand as it did.
func (e *Engine) storeLook(ctx context.Context, h Standing, l Look, next time.Time) error {
	return e.write(ctx, func(tx store.Tx) error {
		r, err := lock(ctx, tx, h.ID)
		if err != nil {
			return err
		}
		var stands, run int64
		var text string
		err = tx.QueryRow(ctx, "SELECT hosts.run, drift.run, drift.told FROM hosts JOIN drift ON drift.fqdn = hosts.fqdn WHERE hosts.fqdn = ?", l.FQDN).Scan(&stands, &run, &text)
		if errors.Is(err, store.ErrNoRows) || err == nil && (stands != r.ID || r.epoch != h.epoch || r.State != Ready) {
			return ErrMoved
		} else if err != nil {
			return err
		}
		var told []Difference
		if run == r.ID { // of an earlier machine nothing counts
			if err := json.Unmarshal([]byte(text), &told); err != nil {
				return fmt.Errorf("read what was told of %s: %w", l.FQDN, err)
			}
		}
		after := l.standing(told)
		var cols []any
		for _, v := range []any{l.Differs, l.Unknown, after} {
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			cols = append(cols, string(b))
		}
		args := append([]any{r.ID, ms(l.At), ms(next), l.Took.Milliseconds(), l.Asked, flag(len(l.Differs)+len(l.Unknown) > 0)}, append(cols, l.FQDN)...)
		if _, err := tx.Exec(ctx, "UPDATE drift SET run = ?, at = ?, next = ?, took = ?, asked = ?, found = ?, differs = ?, unknown = ?, told = ? WHERE fqdn = ?", args...); err != nil {
			return err
		}
		if ev, ok := changed(told, after, l.Unknown); ok {
			ev.Run, ev.At, ev.Stage = r.ID, l.At, r.shown()
			return insertAll(ctx, tx, []Event{ev})
		}
		return nil
	})
}

// same reports whether two differences are one to people, though their words of what to do may be others by now.
func (d Difference) same(o Difference) bool {
	return d.Step == o.Step && d.What == o.What && d.Want == o.Want && d.Have == o.Have
}

// minus gives the differences of a that are not in b.
func minus(a, b []Difference) []Difference {
	return slices.DeleteFunc(slices.Clone(a), func(d Difference) bool { return slices.ContainsFunc(b, d.same) })
}

// standing gives what people know of once they are told of this look: what differs, and what differed where it is not
// known now, which is neither gone nor new.
func (l Look) standing(told []Difference) []Difference {
	out := slices.Clone(l.Differs)
	for _, d := range minus(told, l.Differs) {
		if slices.ContainsFunc(l.Unknown, func(n NotKnown) bool { return n.Step == d.Step }) {
			out = append(out, d)
		}
	}
	return out
}

// changed gives the event that tells what is new, or gone; ok is false when neither is anything.
func changed(told, now []Difference, unknown []NotKnown) (ev Event, ok bool) {
	fresh, gone := minus(now, told), minus(told, now)
	switch {
	case len(fresh) > 0:
		text := fresh[0].Said()
		if n := len(now) - 1; n > 0 {
			text += fmt.Sprintf("; and %d more", n)
		}
		return Event{Kind: EvDrift, Step: fresh[0].Step, Text: text}, true
	case len(gone) == 0:
		return Event{}, false
	case len(now) == 0 && len(unknown) == 0:
		return Event{Kind: EvDriftOver, Text: "as it was deployed again"}, true
	}
	var what []string
	for _, d := range gone[:min(len(gone), 3)] {
		what = append(what, d.What)
	}
	text := "right again about " + strings.Join(what, ", ")
	switch {
	case len(now) > 0:
		text += fmt.Sprintf("; what still differs: %d", len(now))
	case len(unknown) > 0:
		text += "; not everything could be read"
	}
	return Event{Kind: EvDriftOver, Text: text}, true
}

// Drifted is what the looks by the clock have found.
type Drifted struct {
	Every  time.Duration `json:"every"`           // 0: nothing is looked at by the clock
	Hosts  int           `json:"hosts"`           // that could be looked at
	Looked int           `json:"looked"`          // of them, since they were deployed
	Oldest time.Time     `json:"oldest,omitzero"` // look of those
	Newest time.Time     `json:"newest,omitzero"`
	Looks  []Look        `json:"looks"` // those that differ or are not known wholly, by name
	More   bool          `json:"more"`  // than limit
}

// Drifted gives what the last looks by the clock found, at most limit hosts.
func (e *Engine) Drifted(ctx context.Context, limit int) (Drifted, error) {
	d := Drifted{Every: e.drift.cfg.Every, Looks: []Look{}}
	var oldest, newest int64
	const from = " FROM hosts JOIN runs ON runs.id = hosts.run LEFT JOIN drift ON drift.fqdn = hosts.fqdn AND drift.run = hosts.run AND drift.at > 0 WHERE " + stands
	err := e.db.QueryRow(ctx, "SELECT count(*), count(drift.fqdn), coalesce(min(drift.at), 0), coalesce(max(drift.at), 0)"+from).Scan(&d.Hosts, &d.Looked, &oldest, &newest)
	if err != nil {
		return d, err
	}
	d.Oldest, d.Newest = at(oldest), at(newest)
	d.Looks, err = store.Collect(ctx, e.db, scanLook, "SELECT "+lookColumns+from+
		" AND drift.found = 1 ORDER BY drift.fqdn LIMIT ?", limit+1)
	if d.More = len(d.Looks) > limit; d.More {
		d.Looks = d.Looks[:limit]
	}
	return d, err
}

// LookOf gives what the look by the clock found last on a host; ErrNotFound when none has been there since it was
// deployed.
func (e *Engine) LookOf(ctx context.Context, fqdn string) (Look, error) {
	l, err := scanLook(e.db.QueryRow(ctx, "SELECT "+lookColumns+" FROM hosts JOIN runs ON runs.id = hosts.run JOIN drift ON drift.fqdn = hosts.fqdn AND drift.run = hosts.run AND drift.at > 0 WHERE hosts.fqdn = ?", fqdn))
	if errors.Is(err, store.ErrNoRows) {
		err = ErrNotFound
	}
	return l, err
}

// lookColumns are what scanLook scans.
const lookColumns = "runs.host, drift.fqdn, drift.run, drift.at, drift.took, drift.asked, drift.differs, drift.unknown, drift.told"

// scanLook gives as Before what was told earlier and differs no longer.
func scanLook(row store.Row) (Look, error) {
	var l Look
	var when, took int64
	var differs, unknown, told string
	err := row.Scan(&l.Host, &l.FQDN, &l.Run, &when, &took, &l.Asked, &differs, &unknown, &told)
	l.At, l.Took = at(when), time.Duration(took)*time.Millisecond
	if err != nil {
		return l, err
	}
	var all []Difference
	err = errors.Join(json.Unmarshal([]byte(differs), &l.Differs), json.Unmarshal([]byte(unknown), &l.Unknown), json.Unmarshal([]byte(told), &all))
	l.Before = minus(all, l.Differs)
	return l, err
}
