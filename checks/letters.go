package checks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/store"
)

// letter is what one contact outside of chat is told in one round, as it stands in its row of the outbox: what `check
// actions` shows, and all of it.
type letter struct {
	Event
	Contact string  `json:"contact"`
	Events  []told  `json:"events"`
	Replies []int64 `json:"replies,omitempty"` // the letters that told of the same problems first
}

const (
	maxReplies = 20  // of one letter: its header names them
	maxSubject = 150 // bytes
	maxDetails = 100 // events that a letter tells one by one
)

// letter writes a row with what a contact is told, and notes in which threads it stands.
func (h *hearing) letter(ctx context.Context, tx store.Tx, now int64) error {
	l := letter{Contact: h.contact.Name}
	for _, r := range h.rows {
		same := func(x told) bool {
			return x.Key == r.Key && x.On == r.On && x.Status == r.Status && x.Checked.Equal(r.Checked)
		}
		if !slices.ContainsFunc(l.Events, same) { // two actions may tell it
			l.Events = append(l.Events, r.asTold())
		}
	}
	slices.SortStableFunc(l.Events, func(a, b told) int {
		return cmp.Or(strings.Compare(a.Task, b.Task), strings.Compare(a.Host, b.Host))
	})
	l.Event = l.Events[0].Event
	opens, err := l.follow(ctx, tx)
	if err != nil {
		return err
	}
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	id, err := (&row{kind: rowLetter, action: h.rows[0].action, event: string(body)}).put(ctx, tx, now)
	if err != nil {
		return err
	}
	for _, e := range opens {
		if _, err := tx.Exec(ctx, "INSERT INTO check_threads (contact, task, host, bad, letter, at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (contact, host, task) DO UPDATE SET bad = excluded.bad, letter = excluded.letter, at = excluded.at",
			l.Contact, e.Task, e.Host, e.Bad.UnixMilli(), id, now); err != nil {
			return err
		}
	}
	return nil
}

// follow finds the letters that this one belongs to, and gives the problems that it is the first to tell of. A problem
// that is over needs its thread no more.
func (l *letter) follow(ctx context.Context, tx store.Tx) (opens []Event, err error) {
	for _, e := range l.Events {
		if e.Bad.IsZero() {
			continue
		}
		first, err := store.Collect(ctx, tx, func(row store.Row) (id int64, err error) { return id, row.Scan(&id) },
			"SELECT letter FROM check_threads WHERE contact = ? AND host = ? AND task = ? AND bad = ?", l.Contact, e.Host, e.Task, e.Bad.UnixMilli())
		if err != nil {
			return nil, err
		}
		if len(first) == 0 {
			if e.On != string(model.Recovery) {
				opens = append(opens, e.Event)
			}
			continue
		}
		if !slices.Contains(l.Replies, first[0]) && len(l.Replies) < maxReplies {
			l.Replies = append(l.Replies, first[0])
		}
		if e.On == string(model.Recovery) {
			if _, err := tx.Exec(ctx, "DELETE FROM check_threads WHERE contact = ? AND host = ? AND task = ?", l.Contact, e.Host, e.Task); err != nil {
				return nil, err
			}
		}
	}
	return opens, nil
}

// bunches gives what it says, as chat would say it.
func (l *letter) bunches() []*bunch {
	rows := make([]outboxRow, len(l.Events))
	for i, e := range l.Events {
		rows[i] = outboxRow{id: e.ID, action: e.Action, Event: e.Event}
	}
	return bunches(rows)
}

// subject is one line of what happened.
func (l *letter) subject() string {
	list := l.bunches()
	if len(list) > 1 {
		return clip(plain.Line(tally(list)), maxSubject)
	}
	head, _ := list[0].sentence()
	return clip(plain.Line(head), maxSubject)
}

// text is what a person reads.
func (l *letter) text(id string) string {
	var b []byte
	details := 0
	for _, x := range l.bunches() {
		b = fmt.Appendf(b, "%s\n", x.line())
		if len(x.rows) == 1 {
			continue
		}
		for _, r := range x.rows {
			if details++; details > maxDetails {
				break
			}
			b = fmt.Appendf(b, "  %s: %s\n", r.Host, r.Line)
		}
	}
	if details > maxDetails {
		b = append(b, "  … `checks` lists the rest\n"...)
	}
	b = fmt.Appendf(b, "\n-- \n%s to %s by Jarvis", id, l.Contact)
	if a := l.Events[0].Action; a != "" {
		b = fmt.Appendf(b, ", for the action %s", a)
	}
	if e := l.Events[0]; len(l.Events) == 1 && e.Status != model.OK {
		b = fmt.Appendf(b, ". `ack %s on %s` says that you know", e.Task, e.Host)
	}
	return plain.Text(string(append(b, '\n')))
}
