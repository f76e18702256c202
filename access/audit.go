package access

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// AuditFilter chooses audit rows.
type AuditFilter struct {
	Who    string   // "": everybody
	With   []string // words that each stand somewhere in the row, in any case
	Before int64    // only rows with a lower id; 0: from the newest on
	Limit  int
}

// auditFar is through how many rows words are looked for at a time, so that a look costs the same in a record of years.
const auditFar = 20_000

// AuditTail gives the newest rows, oldest first.
func (a *Access) AuditTail(ctx context.Context, f AuditFilter) ([]Record, error) {
	list, _, err := a.AuditFind(ctx, f)
	return list, err
}

// AuditFind is AuditTail, and says down to which row it looked when there are older ones; 0: it looked through all, or
// found as many as were asked for.
func (a *Access) AuditFind(ctx context.Context, f AuditFilter) (list []Record, far int64, err error) {
	if f.Before == 0 {
		f.Before = math.MaxInt64
	}
	q, args := "SELECT id, at, who, via, line, outcome FROM audit WHERE id < ?", []any{f.Before}
	if f.Who != "" { // a statement of its own, so that it finds its index
		q += " AND who = ?"
		args = append(args, f.Who)
	}
	if len(f.With) > 0 && f.Who == "" { // those of one person have an index
		var newest int64
		if err := a.db.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM audit WHERE id < ?", f.Before).Scan(&newest); err != nil {
			return nil, 0, err
		}
		if far = max(0, newest-auditFar); far > 0 {
			q += " AND id > ?"
			args = append(args, far)
		}
	}
	for _, w := range f.With {
		q += ` AND lower(who || ' ' || via || ' ' || line || ' ' || outcome) LIKE ? ESCAPE '\'`
		args = append(args, store.Like(w))
	}
	list, err = store.Collect(ctx, a.db, func(row store.Row) (Record, error) {
		var r Record
		var at int64
		err := row.Scan(&r.ID, &at, &r.Who, &r.Via, &r.Line, &r.Outcome)
		r.At = time.UnixMilli(at)
		return r, err
	}, q+" ORDER BY id DESC LIMIT ?", append(args, f.Limit)...)
	slices.Reverse(list)
	if len(list) >= f.Limit {
		far = 0
	}
	return list, far, err
}
