package checks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/store"
)

const (
	actPeriod = 5 * time.Second // tried again so often, where it is due
	actAtOnce = 8
	// giveUp is how long an action is tried.
	giveUp       = 24 * time.Hour
	longestRetry = time.Hour
)

type outboxRow struct {
	id     int64
	at     time.Time
	action string
	tries  int
	body   string // all that stands there
	Event
}

// act does what is in the outbox, each at least once, until ctx ends.
func (m *Monitor) act(ctx context.Context) {
	again := time.NewTicker(actPeriod)
	defer again.Stop()
	for {
		rows, err := m.openRows(ctx, rowDo, 64)
		if err == nil {
			err = m.gone(ctx)
		}
		if err != nil && ctx.Err() == nil {
			m.Log.Error("read what is to be done", "err", err)
		}
		var wg guard.Group
		room := make(chan struct{}, actAtOnce)
		did := false
		for _, r := range rows {
			did = true
			room <- struct{}{}
			wg.Go(guard.Log(m.Log, "do what follows on a result", "check", r.Key.String()), func() {
				defer func() { <-room }()
				_ = m.doRow(ctx, r, m.doAction) // it is noted
			})
		}
		wg.Wait()
		if did && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-m.outbox:
		case <-again.C:
		}
	}
}

func (m *Monitor) openRows(ctx context.Context, kind string, limit int) ([]outboxRow, error) {
	return store.Collect(ctx, m.DB, scanOutbox, "SELECT id, at, action, tries, event FROM check_outbox WHERE done = 0 AND kind = ? AND next <= ? ORDER BY next, id LIMIT ?", kind, m.now().UnixMilli(), limit)
}

// outboxRow reads one.
func (m *Monitor) outboxRow(ctx context.Context, id int64) (outboxRow, error) {
	return scanOutbox(m.DB.QueryRow(ctx, "SELECT id, at, action, tries, event FROM check_outbox WHERE id = ?", id))
}

func scanOutbox(row store.Row) (r outboxRow, err error) {
	var at int64
	if err := row.Scan(&r.id, &at, &r.action, &r.tries, &r.body); err != nil {
		return r, err
	}
	if err := json.Unmarshal([]byte(r.body), &r.Event); err != nil {
		return r, fmt.Errorf("row %d of the outbox: %w", r.id, err)
	}
	r.at = time.UnixMilli(at)
	return r, nil
}

// ids gives those of rows.
func ids(rows []outboxRow) []int64 {
	out := make([]int64, len(rows))
	for i := range rows {
		out[i] = rows[i].id
	}
	return out
}

func outboxDone(ctx context.Context, tx store.Tx, id, now int64, err string) error {
	_, xerr := tx.Exec(ctx, "UPDATE check_outbox SET done = ?, err = ? WHERE id = ?", now, err, id)
	return xerr
}

var errLater = errors.New("its result says that it is done")

// doRow does one, and notes what came of it. It gives the error of do.
func (m *Monitor) doRow(ctx context.Context, r outboxRow, do func(context.Context, outboxRow) error) error {
	err := guard.Call(func() error { return do(ctx, r) }) // it is tried again, and given up in the end
	if p := (*guard.Panic)(nil); errors.As(err, &p) {
		guard.Log(m.Log, "do what follows on a result", "action", r.action, "check", r.Key.String())(p)
	}
	if errors.Is(err, errLater) || ctx.Err() != nil {
		return err
	}
	now := m.now()
	text := ""
	if err != nil {
		text = clip(model.OneLine(err), maxLine)
	}
	var gone *goneError
	over := err == nil || errors.As(err, &gone) || now.Sub(r.at) > giveUp
	if err != nil && over {
		m.Log.Error("an action was given up", "action", r.action, "check", r.Key.String(), "err", text)
	} else if err != nil && r.tries == 0 {
		m.Log.Warn("an action failed; it is tried again", "action", r.action, "check", r.Key.String(), "err", text)
	}
	werr := m.DB.Write(ctx, func(tx store.Tx) error {
		if over {
			return outboxDone(ctx, tx, r.id, now.UnixMilli(), text)
		}
		wait := min(actPeriod<<min(r.tries, 20), longestRetry)
		_, err := tx.Exec(ctx, "UPDATE check_outbox SET tries = tries + 1, next = ?, err = ? WHERE id = ?", now.Add(wait).UnixMilli(), text, r.id)
		return err
	})
	if werr != nil && ctx.Err() == nil {
		m.Log.Error("note what came of an action", "err", werr)
		t := time.NewTimer(time.Second) // the database is away; it is done again
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return err
}

// goneError: what an action was to do is no longer declared.
type goneError struct{ what string }

func (e *goneError) Error() string { return e.what + " is no longer declared" }

func (m *Monitor) doAction(ctx context.Context, r outboxRow) error {
	m.mu.Lock()
	var a *model.Rule
	for _, x := range m.cat.Rules {
		if x.Name == r.action {
			a = x
		}
	}
	m.mu.Unlock()
	switch {
	case a == nil:
		return &goneError{"the action " + r.action}
	case a.Task != "": // of a Jarvis for which that was no kind of its own
		if err := m.DB.Write(ctx, func(tx store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE check_outbox SET kind = ? WHERE id = ?", rowRun, r.id)
			return err
		}); err != nil {
			return err
		}
		poke(m.asked)
		m.tellNodes(newsDo)
		return errLater
	case a.Run != "":
		if m.Do == nil {
			return errors.New("this bot takes no commands from actions")
		}
		return m.Do(ctx, strings.ReplaceAll(strings.ReplaceAll(a.Run, "{host}", r.Host), "{task}", r.Task), fmt.Sprintf("check-action-%d", r.id))
	case a.Webhook != "":
		return postEvent(ctx, string(a.Webhook), r)
	}
	return &goneError{"what the action " + r.action + " did"}
}

// told is what is told of a row, as it stands on record in a letter. The same id may come again.
type told struct {
	ID     int64  `json:"id"`
	Action string `json:"action"`
	Word   string `json:"word"` // the status as a word
	Event
}

// spelled is the same for programs: what a webhook, a contact's program, and a task that an action runs, are told.
type spelled struct {
	told
	Perf     []model.PerfValue `json:"perf"` // Perfdata, value by value
	Perfdata string            `json:"perfdata"`
}

func (t told) spelled() spelled { return spelled{t, model.Values(t.Perf), t.Perf} }

func (r *outboxRow) asTold() told {
	return told{ID: r.id, Action: r.action, Word: r.Status.String(), Event: r.Event}
}

func (r *outboxRow) told() ([]byte, error) { return contract.Marshal(r.asTold().spelled()) }

// environment tells a task of an action what it is about. The words are of a host: a shell must quote them.
func (r *outboxRow) environment() map[string]string {
	return map[string]string{"JARVIS_ACTION": r.action, "JARVIS_EVENT": r.On, "JARVIS_EVENT_HOST": r.Host, "JARVIS_EVENT_TASK": r.Task, "JARVIS_EVENT_STATUS": r.Status.String(),
		"JARVIS_EVENT_OUTPUT": r.Line, "JARVIS_EVENT_PERFDATA": r.Perf, "JARVIS_EVENT_ATTEMPT": strconv.Itoa(r.Attempt), "JARVIS_EVENT_COUNT": strconv.Itoa(r.Count)}
}

func postEvent(ctx context.Context, url string, r outboxRow) error {
	body, err := r.told()
	if err != nil {
		return err
	}
	h, err := post.NewHook(url, "", "")
	if err != nil {
		return errors.New("the webhook: its URL is none") // the URL is a secret
	}
	return h.Send(ctx, post.Message{ID: fmt.Sprintf("check-%d", r.id), At: r.at, Body: body})
}
