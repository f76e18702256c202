package bot

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// Heard gives the event up to which notices have been made: what came after it is still to be said. Where there
// is neither chat nor a route, nobody waits for anything.
func (b *Bot) Heard(ctx context.Context) (event int64, err error) {
	if len(b.Frontends) == 0 && len(*b.notices.routes.Load()) == 0 {
		return math.MaxInt64, nil
	}
	err = b.DB.QueryRow(ctx, "SELECT event FROM followers WHERE name = 'notices'").Scan(&event)
	if errors.Is(err, store.ErrNoRows) {
		err = nil
	}
	return event, err
}

// Prune removes the notices that a server took before a time, and gives how many. What nobody has taken stays.
func (b *Bot) Prune(ctx context.Context, before time.Time) (int64, error) {
	n, err := b.DB.Sweep(ctx, store.Sweep{Table: "notices", Old: "sent > 0 AND sent < ?", Arg: before.UnixMilli(), All: true})
	if err == nil {
		_, err = b.DB.Sweep(ctx, store.Sweep{Table: "buttons", Old: "settled > 0 AND settled < ?", Arg: before.UnixMilli(), All: true})
	}
	if err == nil {
		_, err = b.DB.Sweep(ctx, store.Sweep{Table: "tallies", Old: "over > 0 AND over < ?", Arg: before.UnixMilli(), All: true})
	}
	if err != nil {
		err = fmt.Errorf("remove old notices: %w", err)
	}
	return n, err
}
