package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// Downtime is a time in which nothing is told of some checks. They run all the same. One that comes again and again has
// the name of its definition, and no number.
type Downtime struct {
	ID    int64     `json:"id"`
	Name  string    `json:"name,omitempty"`
	Every string    `json:"every,omitempty"` // the period in which it comes
	Task  string    `json:"task"`            // a name or pattern; "*": all
	Host  string    `json:"host"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"`
	By    string    `json:"by"`
	Why   string    `json:"why,omitempty"`
}

// covers counts From in, and Until out.
func (d *Downtime) covers(k model.Key, now time.Time) bool {
	return !now.Before(d.From) && now.Before(d.Until) && model.Match(d.Host, k.Host) && model.Match(d.Task, k.Task)
}

// downtimes is when people want to hear nothing of some checks. It owns the table check_downtimes, and what of it
// counts here. It needs the record and a clock.
type downtimes struct {
	tools
	tell func() // other nodes are to read them again

	reading sync.Mutex // held while they are read; taken before mu
	mu      sync.Mutex // taken after every other
	list    []Downtime
}

// read takes over what is on record. One at a time: an earlier answer would hide a later downtime.
func (d *downtimes) read(ctx context.Context) error {
	d.reading.Lock()
	defer d.reading.Unlock()
	list, err := store.Collect(ctx, d.db, func(row store.Row) (x Downtime, err error) {
		var from, until int64
		err = row.Scan(&x.ID, &x.Task, &x.Host, &from, &until, &x.By, &x.Why)
		x.From, x.Until = time.UnixMilli(from), time.UnixMilli(until)
		return x, err
	}, "SELECT id, task, host, begins, ends, by_whom, why FROM check_downtimes WHERE ends > ? ORDER BY id", d.now().UnixMilli())
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = list
	return nil
}

// begin writes downtimes: all of them, or none.
func (d *downtimes) begin(ctx context.Context, list []Downtime) ([]Downtime, error) {
	list = slices.Clone(list)
	for i := range list {
		x := &list[i]
		x.Task, x.Host = cmp.Or(x.Task, "*"), cmp.Or(x.Host, "*")
		if err := errors.Join(model.Glob(x.Task), model.Glob(x.Host)); err != nil {
			return nil, fmt.Errorf("%w: %w", model.ErrInvalid, err)
		}
		if x.From.IsZero() {
			x.From = d.now()
		}
		if now := d.now(); !x.Until.After(x.From) || !x.Until.After(now) {
			return nil, fmt.Errorf("%w: a downtime from %s until %s has no time to come", model.ErrInvalid, plain.Time(x.From), plain.Time(x.Until))
		}
		x.Why = clip(x.Why, maxLine)
	}
	err := d.db.Write(ctx, func(tx store.Tx) error {
		for i := range list {
			x := &list[i]
			if err := tx.QueryRow(ctx, "INSERT INTO check_downtimes (task, host, begins, ends, by_whom, why) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
				x.Task, x.Host, x.From.UnixMilli(), x.Until.UnixMilli(), x.By, x.Why).Scan(&x.ID); err != nil {
				return err
			}
		}
		return changed(ctx, tx, markDowntimes)
	})
	if err != nil {
		return nil, err
	}
	d.tell()
	return list, d.read(ctx)
}

// end ends one now.
func (d *downtimes) end(ctx context.Context, id int64) (Downtime, error) {
	if err := d.read(ctx); err != nil { // another node may have begun it
		return Downtime{}, err
	}
	list := d.from(d.now())
	i := slices.IndexFunc(list, func(x Downtime) bool { return x.ID == id })
	if i < 0 {
		return Downtime{}, fmt.Errorf("%w: downtime %d", ErrNotFound, id)
	}
	err := d.db.Write(ctx, func(tx store.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE check_downtimes SET ends = ? WHERE id = ?", d.now().UnixMilli(), id); err != nil {
			return err
		}
		return changed(ctx, tx, markDowntimes)
	})
	if err != nil {
		return list[i], err
	}
	d.tell()
	return list[i], d.read(ctx)
}

// from gives those that are, or are to come.
func (d *downtimes) from(now time.Time) []Downtime {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []Downtime{}
	for _, x := range d.list {
		if now.Before(x.Until) {
			out = append(out, x)
		}
	}
	return out
}

// why says why nothing is told of a check; "": no downtime is the reason.
func (d *downtimes) why(k model.Key, now time.Time) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.list {
		if x := &d.list[i]; x.covers(k, now) {
			return fmt.Sprintf("downtime %d by %s until %s", x.ID, x.By, plain.Time(x.Until))
		}
	}
	return ""
}

// planned gives those of a time, also those that are over.
func (d *downtimes) planned(ctx context.Context, all model.Interval) ([]planned, error) {
	return store.Collect(ctx, d.db, func(row store.Row) (planned, error) {
		var task, host string
		var from, until int64
		err := row.Scan(&task, &host, &from, &until)
		concerns := func(k model.Key) bool { return model.Match(host, k.Host) && model.Match(task, k.Task) }
		return planned{concerns, []model.Interval{{From: time.UnixMilli(from), Until: time.UnixMilli(until)}}}, err
	}, "SELECT task, host, begins, ends FROM check_downtimes WHERE ends > begins AND ends > ? AND begins < ? ORDER BY id", all.From.UnixMilli(), all.Until.UnixMilli())
}

// Silence begins downtimes: all of them, or none.
func (m *Monitor) Silence(ctx context.Context, list ...Downtime) ([]Downtime, error) {
	return m.downtimes.begin(ctx, list)
}

// EndSilence ends a downtime now.
func (m *Monitor) EndSilence(ctx context.Context, id int64) (Downtime, error) {
	return m.downtimes.end(ctx, id)
}

// Downtimes gives those that are, or are to come; of those that come again and again the time that is, or is next.
func (m *Monitor) Downtimes() []Downtime {
	now := m.now()
	out := m.downtimes.from(now)
	for _, q := range m.catalog().Quiets {
		d := Downtime{Name: q.Name, Every: q.Period, Task: cmp.Or(strings.Join(q.Tasks, ","), "*"), Host: cmp.Or(strings.Join(q.Hosts, ","), "*"), Why: q.Because}
		if d.From = q.When.Begin(now); d.From.IsZero() {
			continue
		}
		d.Until = q.When.Next(d.From)
		out = append(out, d)
	}
	return out
}
