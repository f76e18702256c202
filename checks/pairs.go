package checks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

const (
	sqlMakePair  = "INSERT INTO check_pairs (task, host, state) VALUES (?, ?, ?) "
	sqlMakePairs = "INSERT INTO check_pairs (task, host, state, tx) SELECT t, h, ?, txid_current() FROM unnest(?::text[], ?::text[]) AS x (t, h) "
	sqlMadePair  = "ON CONFLICT (host, task) DO UPDATE SET task = excluded.task RETURNING id, task, host, rev, state"
)

// addPairs gives pairs their numbers; those that have one already, because a try before this one broke off or another
// node was first, keep it.
func (l *ledger) addPairs(ctx context.Context, keys []model.Key) ([]*pair, error) {
	state, err := json.Marshal(Standing{Made: l.now()})
	if err != nil {
		return nil, err
	}
	var out []*pair
	for part := range slices.Chunk(keys, 1000) {
		var list []*pair
		err := l.db.Write(ctx, func(tx store.Tx) (err error) {
			list = nil
			if l.shared {
				tasks, hosts := make([]string, len(part)), make([]string, len(part))
				for i, k := range part {
					tasks[i], hosts[i] = k.Task, k.Host
				}
				list, err = store.Collect(ctx, tx, madePair, sqlMakePairs+sqlMadePair, string(state), tasks, hosts)
				return err
			}
			for _, k := range part {
				p, err := madePair(tx.QueryRow(ctx, sqlMakePair+sqlMadePair, k.Task, k.Host, string(state)))
				if err != nil {
					return err
				}
				list = append(list, p)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// madePair reads what sqlMadePair gives.
func madePair(row store.Row) (*pair, error) {
	p := &pair{}
	var state string
	if err := row.Scan(&p.id, &p.Task, &p.Host, &p.rev, &state); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(state), &p.stand); err != nil {
		return nil, fmt.Errorf("the state of %s on record: %w", p.Key, err)
	}
	return p, nil
}
