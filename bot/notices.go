package bot

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// notices follows the engine's events and says what people must hear. An event becomes a row in the same transaction
// that moves the cursor past it; the row is marked when a server took the line. So a notice is said at least once,
// whatever dies, and an outage of one network delays nobody else.
type notices struct{ b *Bot }

func newNotices(ctx context.Context, b *Bot) (*notices, error) {
	return &notices{b}, b.DB.Migrate(ctx, []store.Migration{{Name: "bot/1", SQL: `
CREATE TABLE notices (id {{id}}, event BIGINT NOT NULL UNIQUE, run BIGINT NOT NULL, frontend TEXT NOT NULL, place TEXT NOT NULL, nick TEXT NOT NULL, line TEXT NOT NULL, sent BIGINT NOT NULL);

CREATE INDEX notices_unsent ON notices (frontend, id) WHERE sent = 0;

CREATE TABLE followers (name TEXT PRIMARY KEY, event BIGINT NOT NULL)`}})
}

func (n *notices) run(ctx context.Context) {
	changed, done := n.b.Engine.Changed()
	defer done()
	wake := map[string]chan struct{}{}
	var wg sync.WaitGroup
	for _, f := range n.b.Frontends {
		ch := make(chan struct{}, 1)
		wake[f.Name()] = ch
		wg.Add(1)
		go func() {
			defer wg.Done()
			n.deliver(ctx, f, ch)
		}()
	}
	defer wg.Wait()
	again := time.NewTicker(5 * time.Second)
	defer again.Stop()
	for {
		more, err := n.collect(ctx)
		if err != nil && ctx.Err() == nil {
			n.b.Log.Error("collect notices", "err", err)
		}
		if more {
			for _, ch := range wake {
				select {
				case ch <- struct{}{}:
				default:
				}
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-again.C:
		}
	}
}

// collect turns new events into rows. more reports whether it found any.
func (n *notices) collect(ctx context.Context) (more bool, err error) {
	var cursor int64
	err = n.b.DB.QueryRow(ctx, "SELECT event FROM followers WHERE name = 'notices'").Scan(&cursor)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return false, err
	}
	evs, err := n.b.Engine.Events(ctx, pipeline.EventFilter{After: cursor, Kinds: pipeline.Notices, Limit: 200})
	if err != nil || len(evs) == 0 {
		return false, err
	}
	type row struct {
		ev   pipeline.Event
		o    origin
		line string
	}
	var rows []row
	for _, ev := range evs {
		r, err := n.b.Engine.Get(ctx, ev.Run)
		if err != nil {
			return false, err
		}
		o, ok := parseOrigin(r.Origin)
		line := command.Notice(ctx, n.b.Engine, r, ev)
		if ok && line != "" {
			rows = append(rows, row{ev, o, line})
		}
	}
	return true, n.b.DB.Write(ctx, func(tx store.Tx) error {
		for _, r := range rows {
			if _, err := tx.Exec(ctx, "INSERT INTO notices (event, run, frontend, place, nick, line, sent) VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING",
				r.ev.ID, r.ev.Run, r.o.frontend, r.o.place, r.o.nick, r.line); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO followers (name, event) VALUES ('notices', ?) ON CONFLICT (name) DO UPDATE SET event = excluded.event", evs[len(evs)-1].ID)
		return err
	})
}

type notice struct {
	id                int64
	place, nick, line string
}

// deliver says what waits for one frontend, in order. A place that does not take a line is tried again later, and
// meanwhile the asker is told in private; other places do not wait for it.
func (n *notices) deliver(ctx context.Context, f Frontend, wake <-chan struct{}) {
	pause := time.Second
	refused := map[int64]int{}
	for ctx.Err() == nil {
		list, err := n.unsent(ctx, f.Name())
		if err != nil && ctx.Err() == nil {
			n.b.Log.Error("read notices", "err", err)
		}
		failed := false
		for _, x := range list {
			line := x.line
			place := x.place
			if place != x.nick {
				line = x.nick + ": " + line
			}
			err := f.Deliver(ctx, place, line)
			if errors.Is(err, ErrRefused) {
				if refused[x.id]++; refused[x.id] >= 3 {
					err = f.Deliver(ctx, x.nick, x.line)
				}
			}
			if err != nil && ctx.Err() != nil {
				return
			}
			if err != nil {
				failed = true
				if errors.Is(err, ErrRefused) {
					continue
				}
				break
			}
			delete(refused, x.id)
			pause = time.Second
			// It was said, so it is marked, also while we stop: otherwise the next start says it again.
			if err := n.mark(context.WithoutCancel(ctx), x.id); err != nil {
				n.b.Log.Error("mark a notice", "err", err)
			}
		}
		var retry <-chan time.Time
		var t *time.Timer
		if failed {
			t = time.NewTimer(pause)
			retry = t.C
			pause = min(pause*2, 30*time.Second)
		} else if len(list) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-retry:
		}
		if t != nil {
			t.Stop()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (n *notices) unsent(ctx context.Context, frontend string) ([]notice, error) {
	rows, err := n.b.DB.Query(ctx, "SELECT id, place, nick, line FROM notices WHERE sent = 0 AND frontend = ? ORDER BY id LIMIT 50", frontend)
	if err != nil {
		return nil, err
	}
	var out []notice
	for rows.Next() {
		var x notice
		if err := rows.Scan(&x.id, &x.place, &x.nick, &x.line); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, x)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

func (n *notices) mark(ctx context.Context, id int64) error {
	return n.b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE notices SET sent = ? WHERE id = ?", time.Now().UnixMilli(), id)
		return err
	})
}

// ErrRefused is what Deliver wraps when the server is there, but does not take the line for that place: not in the
// channel, no such nick.
var ErrRefused = errors.New("refused")

// Split cuts a line into pieces of at most n bytes, between words where it can and never inside a character.
func Split(line string, n int) []string {
	var out []string
	line = strings.ToValidUTF8(line, "�")
	for len(line) > n {
		cut := n
		for cut > 0 && line[cut]&0xC0 == 0x80 {
			cut--
		}
		if i := strings.LastIndexByte(line[:cut+1], ' '); i > n/2 {
			cut = i
		}
		if cut == 0 {
			break // n is smaller than one character
		}
		out = append(out, strings.TrimRight(line[:cut], " "))
		line = strings.TrimLeft(line[cut:], " ")
	}
	return append(out, line)
}
