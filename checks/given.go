package checks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Given is a result of a passive check that somebody delivers.
type Given struct {
	model.Key
	Status *model.Status // nil: as Exit says, and what the task expects of it
	Exit   int           // the exit code of what was run
	Output string        // as a plugin prints it
	Perf   string        // performance data that Output does not have
	At     time.Time     // when it was so; zero: now
	// ID of the delivery: with the same one a result of a check counts once, however often it comes. "": it counts each
	// time. Hash is of what was delivered.
	ID, Hash string
}

// PassiveError: the check cannot be run, for its results are delivered.
type PassiveError struct{ Key model.Key }

// Error implements error.
func (e *PassiveError) Error() string {
	return fmt.Sprintf("%s is passive: Jarvis does not run it, its results are delivered", e.Key)
}

// NotPassiveError: the result of a check was delivered that Jarvis runs itself.
type NotPassiveError struct{ Key model.Key }

// Error implements error.
func (e *NotPassiveError) Error() string {
	return fmt.Sprintf("%s is not passive: Jarvis runs it itself, and takes no other's result", e.Key)
}

// ErrOtherGiven: a delivery came with the ID of another one.
var ErrOtherGiven = errors.New("this idempotency key came with another result before")

// errGiven: a delivery came that was taken before.
var errGiven = errors.New("it was delivered before")

// oldestGiven is how old a delivered result may be: results stand in the order of their time.
const oldestGiven = lateResults

// Give takes a result that was delivered, at any node, and gives the check as it stands then. It is on record when Give
// returns. again: it was taken before, and counts once. An error that wraps model.ErrInvalid is the caller's.
func (m *Monitor) Give(ctx context.Context, g Given) (v View, again bool, err error) {
	if err := m.give(ctx, &g); errors.Is(err, errGiven) {
		again = true
	} else if err != nil {
		return View{}, false, err
	}
	v, err = m.Show(ctx, g.Key)
	return v, again, err
}

// give writes a delivered result and the id of its delivery in one transaction; when another node wrote the state
// meanwhile, it judges again on that.
func (m *Monitor) give(ctx context.Context, g *Given) error {
	m.commit.Lock()
	defer m.commit.Unlock()
	if err := givenBefore(ctx, m.DB, g); err != nil {
		return err
	}
	for {
		if err := m.readChanged(ctx); err != nil {
			return err
		}
		s, err := m.settleGiven(g)
		if err != nil {
			return err
		}
		err = m.ledger.write(ctx, []settled{s}, func(tx store.Tx) error { return noteGiven(ctx, tx, g, m.now()) })
		if ids, stale := isStale(err); stale { // another node wrote its state meanwhile: it is judged again on that
			if err := m.reread(ctx, ids); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.takeOver([]settled{s})
		m.stats.committed(time.Now(), 1)
		if p := s.p; !p.busy && m.ours(p.where) {
			m.due.at(p, p.next(m.now()))
		}
		m.mu.Unlock()
		m.town.tell(newsStates)
		return nil
	}
}

// settleGiven judges what was delivered. commit is held.
func (m *Monitor) settleGiven(g *Given) (settled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.roster.pair(g.Key)
	switch {
	case p == nil || !p.live:
		return settled{}, m.unknown(g.Key)
	case !p.passive():
		return settled{}, &NotPassiveError{g.Key}
	}
	now := m.now()
	at := g.At.Round(0)
	switch {
	case at.IsZero(), at.After(now) && at.Sub(now) < smallStep: // clocks differ a little
		at = now
	case at.After(now):
		return settled{}, fmt.Errorf("%w: %s is in the future: it is %s here; set the clock of who delivers it, or leave out at", model.ErrInvalid, plain.Time(at), plain.Time(now))
	case now.Sub(at) > oldestGiven:
		return settled{}, fmt.Errorf("%w: %s is more than %s ago; deliver results as they come, or leave out at", model.ErrInvalid, plain.Time(at), plain.Duration(oldestGiven))
	}
	if err := p.tooLate(at, now); err != nil {
		return settled{}, err
	}
	out := outcome{exit: g.Exit, stdout: g.Output}
	if g.Status != nil {
		out.exit = int(*g.Status)
	}
	s := m.settleResult(&finished{p: p, due: at, at: at, out: out, given: g}, now)
	return s, nil
}

// tooLate says why a result of some time is no news: it counts no more, or what came after it is on record. It would
// end a problem that was found since, or begin one that is over.
func (p *pair) tooLate(at, now time.Time) error {
	last := p.stand.At
	switch fresh := p.Def.Fresh; {
	case fresh > 0 && !now.Before(at.Add(fresh)):
		return fmt.Errorf("%w: this result is of %s, and a result counts for %s (fresh), which is over: it is %s here; deliver results as they come, leave out at, or give the task a longer fresh", model.ErrInvalid, plain.Time(at), plain.Duration(fresh), plain.Time(now))
	case !at.Before(last) || last.After(now):
		return nil
	}
	return fmt.Errorf("%w: a result of %s is on record (%s), which is newer than this one of %s; it does not count. Deliver results as they come, or leave out at", model.ErrInvalid, plain.Time(last), p.stand.Status, plain.Time(at))
}

// unknown says why a result cannot be taken of a check that is not declared. mu is held.
func (m *Monitor) unknown(k model.Key) error {
	for _, t := range m.cat.Defs.Tasks {
		if t.Name != k.Task {
			continue
		}
		if !t.Passive {
			return &NotPassiveError{k}
		}
		return &NoCheckError{Key: k, Elsewhere: true}
	}
	return &NoCheckError{Key: k}
}

// hear is judge for any result. What was said to be a status is that.
func (p *pair) hear(f *finished) judged {
	g := f.given
	if g == nil {
		return judge(&p.Plan, f.out)
	}
	judging := p.Plan
	if g.Status != nil {
		judging.Def, judging.Expect = nil, nil
	}
	j := judge(&judging, f.out)
	if g.Output == "" {
		j.line = j.status.String()
	}
	if perf := plain.Line(g.Perf); perf != "" {
		j.perf = strings.TrimSpace(perfText(perf + " " + j.perf))
	}
	return j
}

// id gives that under which a delivery is on record: one of another check is another one. Older ones stand there by
// their ID alone, which never begins with a slash.
func (g *Given) id() string { return "/" + g.Host + "/" + g.Task + "/" + g.ID }

// givenBefore gives errGiven when a delivery was taken before, and ErrOtherGiven when another one of the check had its
// ID.
func givenBefore(ctx context.Context, db store.Querier, g *Given) error {
	if g.ID == "" {
		return nil
	}
	var hash string
	err := db.QueryRow(ctx, "SELECT hash FROM check_given WHERE id = ? OR id = ? AND hash = ? ORDER BY id LIMIT 1", g.id(), g.ID, g.Hash).Scan(&hash)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil
	case err != nil:
		return err
	case hash != g.Hash:
		return fmt.Errorf("%w: %w", model.ErrInvalid, ErrOtherGiven)
	}
	return errGiven
}

// noteGiven notes a delivery in the transaction of its result.
func noteGiven(ctx context.Context, tx store.Tx, g *Given, now time.Time) error {
	if g.ID == "" {
		return nil
	}
	n, err := tx.Exec(ctx, "INSERT INTO check_given (id, hash, at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING", g.id(), g.Hash, now.UnixMilli())
	if err == nil && n == 0 { // another node has just taken it
		err = givenBefore(ctx, tx, g)
	}
	return err
}

// keepGiven is how long the ID of a delivery is known.
const keepGiven = 7 * day

// beginMissed notes that a passive check should have had a result by now. mu is held.
func (m *Monitor) beginMissed(p *pair, now time.Time) {
	if late := now.Sub(p.due()); late > smallStep { // this machine slept, or its clock was set: who delivers is given that long
		m.due.at(p, now.Add(min(late, p.Def.Fresh)))
		return
	}
	if !p.stale(now) {
		m.due.at(p, p.next(now))
		return
	}
	p.busy = true
	m.done.add(finished{p: p, due: p.due(), at: now, missed: true})
}

// dropHeard takes off what was missed of checks that had a result meanwhile. commit and mu are held.
func (m *Monitor) dropHeard(now time.Time) {
	for _, p := range m.done.drop(func(_ int, f *finished) bool { return f.missed && !(f.p.passive() && f.p.stale(now)) }) {
		m.reschedule(p)
	}
}
