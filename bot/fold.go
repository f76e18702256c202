package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/store"
)

// What the clock brings: the end of quiet hours, and summaries. It is looked at every few seconds, by who collects
// notices.

// clocked writes what is due by now, and reports whether there is something new to be said.
func (n *notices) clocked(ctx context.Context, now time.Time) (some bool) {
	folded, err := n.foldAll(ctx, now)
	if err != nil && ctx.Err() == nil {
		n.b.Log.Error("tell what came in quiet hours", "err", err)
	}
	summed, err := n.summaries(ctx, now)
	if err != nil && ctx.Err() == nil {
		n.b.Log.Error("write a daily summary", "err", err)
	}
	return folded || summed
}

// quieted is a place where something waits for the end of quiet hours.
type quieted struct {
	Room
	until time.Time // the first
}

// foldAll has every place hear in one line what came in quiet hours that are over.
func (n *notices) foldAll(ctx context.Context, now time.Time) (some bool, err error) {
	list, err := store.Collect(ctx, n.b.DB, func(row store.Row) (q quieted, err error) {
		var until int64
		err = row.Scan(&q.Frontend, &q.Place, &until)
		q.until = time.UnixMilli(until)
		return q, err
	}, "SELECT frontend, place, min(next) FROM notices WHERE sent = -1 GROUP BY frontend, place")
	if err != nil {
		return false, err
	}
	for _, q := range list {
		due := now.UnixMilli()
		if !n.isQuiet(q.Room, now) {
			due = math.MaxInt64 // nothing is to wait there any more
		} else if q.until.After(now) {
			continue
		}
		if err := n.fold(ctx, q.Room, due, now); err != nil {
			return some, err
		}
		some = true
	}
	return some, nil
}

// isQuiet reports whether a place has quiet hours now: they may have been changed since something was kept back.
func (n *notices) isQuiet(at Room, now time.Time) bool {
	at = n.roomOf(at)
	for _, r := range *n.routes.Load() {
		if _, quiet := r.quiet.at(now); quiet && r.is(at) {
			return true
		}
	}
	return false
}

// maxFolded bounds what goes into one line; more become several.
const maxFolded = 1000

// fold ends what a place was not told and is to be by due, and has it told in one line: what waits for the end of
// another route's quiet hours goes on to wait.
func (n *notices) fold(ctx context.Context, at Room, due int64, now time.Time) error {
	type kept struct {
		id, run    int64
		line, body string
	}
	list, err := store.Collect(ctx, n.b.DB, func(row store.Row) (k kept, err error) {
		return k, row.Scan(&k.id, &k.run, &k.line, &k.body)
	}, "SELECT id, run, line, body FROM notices WHERE sent = -1 AND frontend = ? AND place = ? AND next <= ? ORDER BY id LIMIT ?", at.Frontend, at.Place, due, maxFolded)
	if err != nil || len(list) == 0 {
		return err
	}
	var happened []command.Happened
	for _, k := range list {
		var x Told
		if err := json.Unmarshal([]byte(k.body), &x); err != nil {
			return fmt.Errorf("read notice %d: %w", k.id, err)
		}
		happened = append(happened, command.Happened{Kind: x.Event, Host: x.Host, Line: k.line})
	}
	last := list[len(list)-1]
	line := command.Folded(happened)
	x := Told{ID: fmt.Sprintf("%s.quiet.%d", n.b.Engine.Installation(), last.id), Type: toldQuiet, At: now, Line: clip(line)}
	if len(list) == 1 {
		x.Run = last.run
	}
	return n.b.DB.Write(ctx, func(tx store.Tx) error {
		if err := n.insert(ctx, tx, row{source: sourceQuiet, event: last.id, run: x.Run, route: "folded " + at.key(), o: origin{frontend: at.Frontend, place: at.Place}, line: line, body: x.json()}, now); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE notices SET sent = ? WHERE sent = -1 AND frontend = ? AND place = ? AND next <= ? AND id <= ?", now.UnixMilli(), at.Frontend, at.Place, due, last.id)
		return err
	})
}

// summaries writes the daily ones that are due. One that was due while no server lived is written when one does, and
// tells of all since the last.
func (n *notices) summaries(ctx context.Context, now time.Time) (some bool, err error) {
	if err := n.forget(ctx); err != nil {
		return false, err
	}
	for _, r := range *n.routes.Load() {
		if r.daily == nil {
			continue
		}
		did, err := n.summary(ctx, r, now)
		if err != nil {
			return some, err
		}
		some = some || did
	}
	return some, nil
}

// forget drops up to where summaries told that are in no route any more: one that comes back begins to count.
func (n *notices) forget(ctx context.Context) error {
	args, marks := []any{}, "''"
	for _, r := range *n.routes.Load() {
		if r.daily != nil {
			args = append(args, r.summaryName(), "after "+r.summaryName())
			marks += ", ?, ?"
		}
	}
	which := "(name LIKE 'summary %' OR name LIKE 'after summary %') AND name NOT IN (" + marks + ")"
	var old int
	if err := n.b.DB.QueryRow(ctx, "SELECT count(*) FROM followers WHERE "+which, args...).Scan(&old); err != nil || old == 0 {
		return err
	}
	return n.b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM followers WHERE "+which, args...)
		return err
	})
}

// summaryName is what tells the cursor of a route's summary from those of others.
func (r *route) summaryName() string {
	return fmt.Sprintf("summary %s %02d:%02d %s", r.key(), r.daily.hour, r.daily.minute, r.zone)
}

// summary writes the daily summary of a route when it is due; did reports whether. A route that is new begins to count,
// and tells nothing yet.
func (n *notices) summary(ctx context.Context, r route, now time.Time) (did bool, err error) {
	due := r.daily.last(now, r.zone)
	name := r.summaryName()
	const q = "SELECT event FROM followers WHERE name = ?"
	var told, after int64
	err = n.b.DB.QueryRow(ctx, q, name).Scan(&told)
	first := errors.Is(err, store.ErrNoRows)
	if err != nil && !first || !first && told >= due.UnixMilli() {
		return false, err
	}
	var x row
	upTo := due
	if first { // it begins to count
		upTo = now
		after, err = n.b.Engine.LastEvent(ctx)
	} else {
		if err := n.b.DB.QueryRow(ctx, q, "after "+name).Scan(&after); err != nil {
			return false, err
		}
		var line string
		line, after, err = n.b.Table.Summary(ctx, after, time.UnixMilli(told).In(r.zone))
		told := Told{ID: fmt.Sprintf("%s.summary.%d", n.b.Engine.Installation(), due.Unix()), Type: toldSummary, At: now, Line: clip(line)}
		x = row{source: sourceSummary, event: due.Unix(), route: name, o: origin{frontend: r.Frontend, place: r.Place}, line: line, body: told.json()}
	}
	if err != nil {
		return false, err
	}
	return !first, n.b.DB.Write(ctx, func(tx store.Tx) error {
		if !first {
			if err := n.insert(ctx, tx, x, now); err != nil {
				return err
			}
		}
		for name, to := range map[string]int64{name: upTo.UnixMilli(), "after " + name: after} {
			if _, err := tx.Exec(ctx, "INSERT INTO followers (name, event) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET event = excluded.event", name, to); err != nil {
				return err
			}
		}
		return nil
	})
}
