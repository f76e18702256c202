package bot

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// Where buttons stand is on record, with the approval that they are for. When that is decided, wherever and by
// whomever, or by nobody in time, they are taken away and the line says how it was decided; after a restart, too. What
// dies between the post and the record leaves buttons that stay until somebody presses one.

// shownTimeout bounds how long the outbox of a frontend waits for our record.
const shownTimeout = 5 * time.Second

// shown gives what puts on record where the buttons of an approval stand.
func (b *Bot) shown(f Frontend, approval int64) func(Post) {
	return func(p Post) {
		ctx, cancel := context.WithTimeout(context.Background(), shownTimeout)
		defer cancel()
		b.noteButtons(ctx, f, p, approval)
	}
}

// noteButtons puts on record where buttons stand, so that they go once the approval is decided, whoever decides and
// wherever.
func (b *Bot) noteButtons(ctx context.Context, f Frontend, p Post, approval int64) {
	err := b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO buttons (frontend, at, line, approval) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", f.Name(), p.At, p.Text, approval)
		return err
	})
	if err != nil {
		b.Log.Warn("note where buttons stand; they stay until somebody presses one", "frontend", f.Name(), "err", err)
		return
	}
	b.notices.wakeAll() // it may be decided by now
}

// pressed is for buttons that are not on record, and for which nothing waits.
func (b *Bot) pressed(ctx context.Context, f Frontend, p Post, run int64) {
	list, err := b.Engine.Approvals(ctx)
	if err != nil || slices.ContainsFunc(list, func(a pipeline.Approval) bool { return a.Run == run }) {
		return
	}
	b.noteButtons(ctx, f, p, 0)
}

// settler takes away the buttons of a frontend for which nothing waits. It belongs to the deliverer's goroutine.
type settler struct {
	b     *Bot
	f     Frontend
	tries int // in a row that did not go well
	until time.Time
}

type button struct {
	id, approval int64
	post         Post
}

// rest gives how long it is until the next try; 0: there is none to come.
func (s *settler) rest(now time.Time) time.Duration {
	if s.until.IsZero() {
		return 0
	}
	return max(s.until.Sub(now), time.Millisecond)
}

// round settles what is decided. What does not go well is tried again later.
func (s *settler) round(ctx context.Context) {
	c, ok := s.f.(Chooser)
	if !ok || time.Now().Before(s.until) {
		return
	}
	s.until = time.Time{}
	err := s.all(ctx, c)
	if err == nil {
		s.tries = 0
		return
	}
	s.until = time.Now().Add(min(time.Second<<min(s.tries, 10), maxHeld))
	s.tries++
	if ctx.Err() == nil {
		s.b.Log.Debug("take buttons away; it is tried again", "frontend", s.f.Name(), "err", err)
	}
}

// all takes away the buttons of every approval that waits no longer. The first error of the network ends it: the rest
// has its turn in the next round.
func (s *settler) all(ctx context.Context, c Chooser) error {
	list, err := store.Collect(ctx, s.b.DB, func(row store.Row) (x button, err error) {
		return x, row.Scan(&x.id, &x.approval, &x.post.At, &x.post.Text)
	}, "SELECT id, approval, at, line FROM buttons WHERE settled = 0 AND frontend = ? ORDER BY id", s.f.Name())
	if err != nil || len(list) == 0 {
		return err
	}
	waiting, err := s.b.Engine.Approvals(ctx)
	if err != nil {
		return err
	}
	for _, x := range list {
		if slices.ContainsFunc(waiting, func(a pipeline.Approval) bool { return a.ID == x.approval }) {
			continue
		}
		how, err := s.b.decision(ctx, x.approval)
		if err == nil {
			err = c.Settle(ctx, x.post, how)
		}
		if err != nil && !errors.Is(err, ErrRefused) {
			return err
		}
		err = s.b.DB.Write(context.WithoutCancel(ctx), func(tx store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE buttons SET settled = ? WHERE id = ?", time.Now().UnixMilli(), x.id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// decision says how an approval was decided; "": nobody knows any more.
func (b *Bot) decision(ctx context.Context, approval int64) (string, error) {
	d, err := b.Engine.Decision(ctx, approval)
	if errors.Is(err, pipeline.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	because := ""
	if d.Because != "" {
		because = " because " + d.Because
	}
	switch pipeline.Ending(d.Outcome) {
	case pipeline.EndExpired:
		return "Nobody approved it in time.", nil
	case pipeline.EndWithdrawn:
		return plain.Line("Withdrawn by " + d.Decider + because + "."), nil
	case pipeline.EndDenied:
		return plain.Line("Denied by " + d.Decider + because + "."), nil
	}
	return plain.Line("Approved by " + d.Decider + because + "."), nil
}
