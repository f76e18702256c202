package checks

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// Done is an action that was done, or is to be.
type Done struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Action string    `json:"action"`
	Event
	Contact  string            `json:"contact,omitempty"` // who is told by it, outside of chat
	Events   int               `json:"events,omitempty"`  // of how many events; this is the first
	Perf     []model.PerfValue `json:"perf,omitempty"`    // Perfdata, value by value
	Perfdata string            `json:"perfdata,omitempty" doc:"performance data, as the plugin wrote it"`
	Done     time.Time         `json:"done,omitzero"`
	Tries    int               `json:"tries,omitempty"`
	Error    string            `json:"error,omitempty"`
}

// Acted gives the last actions, the newest first.
func (m *Monitor) Acted(ctx context.Context, limit int) ([]Done, error) {
	return m.outbox.acted(ctx, limit)
}

// acted gives the newest first. Runs that a person or an API asked for are no actions, and left out.
func (o *outbox) acted(ctx context.Context, limit int) ([]Done, error) {
	rows, err := o.db.Query(ctx, "SELECT id, at, action, event, done, tries, err FROM check_outbox WHERE kind <> ? OR action <> '' ORDER BY id DESC LIMIT ?", rowRun, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := []Done{}
	for rows.Next() {
		var d Done
		var at, done int64
		var event string
		if err := rows.Scan(&d.ID, &at, &d.Action, &event, &done, &d.Tries, &d.Error); err != nil {
			return nil, err
		}
		var l letter
		if err := json.Unmarshal([]byte(event), &l); err != nil {
			return nil, err
		}
		d.Event, d.Contact, d.Events = l.Event, l.Contact, len(l.Events)
		d.At, d.Perf, d.Perfdata = time.UnixMilli(at), model.Values(d.Event.Perf), d.Event.Perf
		if done > 0 {
			d.Done = time.UnixMilli(done)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

// Restored is for a record that comes from a backup: an action that was to be done then was done by whoever went on
// from there, or would come too late, and is not done. It gives how many there were.
func (m *Monitor) Restored(ctx context.Context, tx store.Tx) (int64, error) {
	return m.outbox.restored(ctx, tx, m.now())
}

// restored ends all that waits in a backup: it was done long ago, or is of no use now.
func (o *outbox) restored(ctx context.Context, tx store.Tx, now time.Time) (int64, error) {
	return tx.Exec(ctx, "UPDATE check_outbox SET done = ?, err = 'not done: the record was restored from a backup' WHERE done = 0", now.UnixMilli())
}
