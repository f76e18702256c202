package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// notices follows the engine's events and says what people must hear. An event becomes a row in the same transaction
// that moves the cursor past it; the row is claimed before it is said, and marked when a server took the line. So a
// notice is said at least once, whatever dies; where nobody can know whether it was said already, it says so; and an
// outage of one network delays nobody else.
type notices struct {
	b *Bot

	mu    sync.Mutex
	seats map[string]origin        // by person, as written
	wake  map[string]chan struct{} // by frontend, and of the postman

	routes atomic.Pointer[[]route] // changes as a whole
}

// newNotices makes the tables. Its error also tells of routes that are wrong.
func newNotices(ctx context.Context, b *Bot) (*notices, error) {
	n := &notices{b: b, seats: map[string]origin{}, wake: map[string]chan struct{}{}}
	if err := b.DB.Migrate(ctx, Migrations(b.DB.Postgres() != nil)); err != nil {
		return nil, err
	}
	if err := n.setRoutes(b.Routes, true, b.Mail); err != nil {
		return nil, err
	}
	return n, n.begin(ctx)
}

// seen notes where a person spoke last: there they are told what cannot be said where they asked.
func (n *notices) seen(ctx context.Context, f Frontend, m Message, p access.Person) {
	if p.Name == "" || f.Network() == "console" {
		return
	}
	seat := origin{f.Name(), "", plain.Line(m.Nick), m.direct()}
	if seat.String() == "" {
		return
	}
	n.mu.Lock()
	known := n.seats[p.Name] == seat
	n.seats[p.Name] = seat
	n.mu.Unlock()
	if known {
		return
	}
	err := n.b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO seats (person, frontend, nick, direct, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (person) DO UPDATE SET frontend = excluded.frontend, nick = excluded.nick, direct = excluded.direct, at = excluded.at",
			p.Name, seat.frontend, seat.nick, seat.direct, time.Now().UnixMilli())
		return err
	})
	if err != nil {
		n.b.Log.Error("note where somebody is", "err", err)
	}
}

// rerouteAfter is how long a notice is tried where its run was asked for before it goes where the asker is now.
const rerouteAfter = 3 * time.Minute

// reroute moves what could not be said for a while, because the network, the place or the nick is gone, to where the
// asker spoke last, and what was for everybody in a channel that is no longer in the configuration to the first that
// is.
func (n *notices) reroute(ctx context.Context) (moved bool, err error) {
	names := make([]any, 0, len(n.b.Frontends)+2)
	marks := ""
	for _, f := range n.b.Frontends {
		names = append(names, f.Name())
		marks += ", ?"
	}
	at := time.Now()
	now := at.UnixMilli()
	err = n.b.DB.Write(ctx, func(tx store.Tx) error {
		public, err := n.publish(ctx, tx, at)
		if err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE notices SET
			frontend = (SELECT frontend FROM seats WHERE person = notices.person),
			place = (SELECT direct FROM seats WHERE person = notices.person),
			nick = (SELECT nick FROM seats WHERE person = notices.person),
			direct = (SELECT direct FROM seats WHERE person = notices.person), at = ?
			WHERE sent = 0 AND at > 0 AND at < ? AND EXISTS (SELECT 1 FROM seats WHERE seats.person = notices.person
				AND (seats.frontend <> notices.frontend OR seats.direct <> notices.place) AND seats.frontend IN (''`+marks+`))`,
			append([]any{now, now - rerouteAfter.Milliseconds()}, names...)...)
		moved = public || n > 0
		return err
	})
	return moved, err
}

// publish moves what is for everybody, and for a channel that is not there any more. Where it goes it is told as what
// is new there is: in quiet hours it waits for their end, and once.
func (n *notices) publish(ctx context.Context, tx store.Tx, now time.Time) (moved bool, err error) {
	to, ok := n.public()
	if !ok {
		return false, nil
	}
	args := []any{now.Add(-rerouteAfter).UnixMilli()}
	marks := "''"
	for _, f := range n.b.Frontends {
		for _, room := range RoomsOf(f) {
			args = append(args, room.key())
			marks += ", ?"
		}
	}
	type lost struct {
		id, event int64
		source    string
		body      string
	}
	list, err := store.Collect(ctx, tx, func(row store.Row) (l lost, err error) { return l, row.Scan(&l.id, &l.source, &l.event, &l.body) },
		"SELECT id, source, event, body FROM notices WHERE sent = 0 AND at > 0 AND at < ? AND nick = '' AND direct = '' AND frontend || ' ' || place NOT IN ("+marks+") ORDER BY id LIMIT 1000", args...)
	if err != nil {
		return false, err
	}
	for _, l := range list {
		var known int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM notices WHERE source = ? AND event = ? AND id <> ? AND frontend = ? AND place = ?", l.source, l.event, l.id, to.frontend, to.place).Scan(&known); err != nil {
			return false, err
		}
		sent, next := int64(0), int64(0)
		var x Told
		_ = json.Unmarshal([]byte(l.body), &x) // what an older program wrote has none, and is told now
		if until := n.hushed(Room{to.frontend, to.place}, x.Event, now); x.Event != "" && !until.IsZero() {
			sent, next = -1, until.UnixMilli()
		}
		if known > 0 {
			sent = now.UnixMilli()
		}
		if _, err := tx.Exec(ctx, "UPDATE notices SET frontend = ?, place = ?, at = ?, sent = ?, next = ? WHERE id = ?", to.frontend, to.place, now.UnixMilli(), sent, next, l.id); err != nil {
			return false, err
		}
	}
	return len(list) > 0, nil
}

// NoticesWaiting counts the notices that nobody has taken yet; -1 when the database does not answer.
func (b *Bot) NoticesWaiting() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var n float64
	if err := b.DB.QueryRow(ctx, "SELECT count(*) FROM notices WHERE sent = 0").Scan(&n); err != nil {
		return -1
	}
	return n
}

const answerFirst = 100 * time.Millisecond

// run turns what happened into notices, on one node.
func (n *notices) run(ctx context.Context) {
	_ = n.b.DB.InRole(ctx, "notices", func(ctx context.Context) error {
		n.collectAll(ctx)
		return nil
	})
}

// collectAll is the goroutine that makes notices of events. Every 5 s it also looks for what the clock brings, and for
// people who moved.
func (n *notices) collectAll(ctx context.Context) {
	changed, done := n.b.Engine.Changed()
	defer done()
	var checked <-chan struct{}
	if n.b.Checks != nil {
		ch, done := n.b.Checks.NewNotices()
		defer done()
		checked = ch
	}
	again := time.NewTicker(5 * time.Second)
	defer again.Stop()
	for {
		more, err := n.collect(ctx)
		if err == nil && n.b.Checks != nil {
			var also bool
			also, err = n.collectChecks(ctx)
			more = more || also
		}
		if err != nil && ctx.Err() == nil {
			n.b.Log.Error("collect notices", "err", err)
		}
		if more {
			n.tell(ctx)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-checked:
		case <-changed:
			// The answer to a command is said before the notice of what it did.
			select {
			case <-ctx.Done():
			case <-time.After(answerFirst):
			}
		case <-again.C:
			moved, err := n.reroute(ctx)
			if err != nil && ctx.Err() == nil {
				n.b.Log.Error("move notices to where people are", "err", err)
			}
			if n.clocked(ctx, time.Now()) || moved {
				n.tell(ctx)
			}
		}
	}
}

// oneLine is how long a notice with an address may be: IRC cuts a line with its place and a nick at 400 bytes, and half
// an address leads nowhere.
const oneLine = 320

// withAddress has a notice end with the page of what it tells of; a line that would become two is not made longer.
func (b *Bot) withAddress(ctx context.Context, line string, ev pipeline.Event) string {
	if b.Pages == "" || line == "" || ev.Run == 0 {
		return line
	}
	at := fmt.Sprintf(" %s/runs/%d", b.Pages, ev.Run)
	if ev.Kind == pipeline.EvProposed {
		list, err := b.Engine.Approvals(ctx)
		if i := slices.IndexFunc(list, func(a pipeline.Approval) bool { return a.Run == ev.Run }); err == nil && i >= 0 {
			at = fmt.Sprintf(" %s/approvals#a%d", b.Pages, list[i].ID)
		}
	}
	if len(line)+len(at) > oneLine {
		return line
	}
	return line + at
}

// collectChecks does the same with what the checks have to say.
func (n *notices) collectChecks(ctx context.Context) (more bool, err error) {
	var cursor int64
	err = n.b.DB.QueryRow(ctx, "SELECT event FROM followers WHERE name = 'checks'").Scan(&cursor)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return false, err
	}
	list, err := n.b.Checks.Notices(ctx, cursor, 200)
	if err != nil || len(list) == 0 {
		return false, err
	}
	places := make([]origin, len(list))
	for i, x := range list {
		places[i], _ = n.placeOf(ctx, x)
	}
	return true, n.b.DB.Write(ctx, func(tx store.Tx) error {
		for i, x := range list {
			o, now := places[i], time.Now()
			if o.frontend == "" {
				continue // there is no channel at all; `checks` tells
			}
			o.nick = ""
			if err := n.insert(ctx, tx, row{source: sourceChecks, event: x.ID, o: o, person: x.Person, line: x.Line}, now); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO followers (name, event) VALUES ('checks', ?) ON CONFLICT (name) DO UPDATE SET event = excluded.event", list[len(list)-1].ID)
		return err
	})
}

// placeOf gives where a check's notice is said: a person's seat, a channel, or what is for everybody when those are not
// known.
func (n *notices) placeOf(ctx context.Context, x checks.Notice) (origin, bool) {
	if x.Person != "" {
		var o origin
		err := n.b.DB.QueryRow(ctx, "SELECT frontend, nick, direct FROM seats WHERE person = ?", x.Person).Scan(&o.frontend, &o.nick, &o.direct)
		if o.place = o.direct; err == nil && slices.ContainsFunc(n.b.Frontends, func(f Frontend) bool { return f.Name() == o.frontend }) {
			return o, true
		}
	}
	if x.Channel != "" {
		for _, f := range n.b.Frontends {
			if r, ok := f.(Roomer); ok && slices.Contains(r.Rooms(), x.Channel) {
				return origin{f.Name(), x.Channel, "", ""}, true
			}
		}
	}
	return n.public()
}

// public gives the first place that is for everybody.
func (n *notices) public() (origin, bool) {
	for _, f := range n.b.Frontends {
		if r, ok := f.(Roomer); ok && len(r.Rooms()) > 0 {
			return origin{f.Name(), r.Rooms()[0], "", ""}, true
		}
	}
	return origin{}, false
}

// ErrRefused is what Deliver wraps when the server is there, but does not take the line for that place: not in the
// channel, no such nick.
var ErrRefused = errors.New("refused")

// Bodies joins lines to messages of at most n bytes each, for networks whose messages have many lines; the lines are
// cleaned, and cut where one alone is too long.
func Bodies(lines []string, n int) []string {
	var out []string
	var b strings.Builder
	for _, l := range lines {
		for _, part := range Split(plain.Line(l), n) {
			if b.Len() > 0 && b.Len()+len(part) >= n {
				out = append(out, b.String())
				b.Reset()
			}
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(part)
		}
	}
	return append(out, b.String())
}

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
