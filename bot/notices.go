package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// notices follows the engine's events and says what people must hear. An event becomes a row in the same transaction
// that moves the cursor past it; the row is claimed before it is said, and marked when a server took the line. So a notice
// is said at least once, whatever dies; where nobody can know whether it was said already, it says so; and an outage of
// one network delays nobody else.
type notices struct {
	b *Bot

	mu    sync.Mutex
	seats map[string]origin        // by person, as written
	wake  map[string]chan struct{} // by frontend
}

func newNotices(ctx context.Context, b *Bot) (*notices, error) {
	return &notices{b: b, seats: map[string]origin{}, wake: map[string]chan struct{}{}}, b.DB.Migrate(ctx, Migrations(b.DB.Postgres() != nil))
}

// Migrations of the tables of what is to be said; they are the same on both databases.
func Migrations(bool) []store.Migration {
	return []store.Migration{{Name: "bot/1", Stmts: []string{
		`CREATE TABLE notices (id {{id}}, event BIGINT NOT NULL UNIQUE, run BIGINT NOT NULL, frontend TEXT NOT NULL, place TEXT NOT NULL, nick TEXT NOT NULL, line TEXT NOT NULL, sent BIGINT NOT NULL)`,
		`CREATE INDEX notices_unsent ON notices (frontend, id) WHERE sent = 0`,
		`CREATE TABLE followers (name TEXT PRIMARY KEY, event BIGINT NOT NULL)`,
	}}, {Name: "bot/2-seats", Stmts: []string{
		`ALTER TABLE notices ADD COLUMN direct TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE notices ADD COLUMN person TEXT NOT NULL DEFAULT ''`,
		`ALTER TABLE notices ADD COLUMN at BIGINT NOT NULL DEFAULT 0`,
		`CREATE TABLE seats (person TEXT PRIMARY KEY, frontend TEXT NOT NULL, nick TEXT NOT NULL, direct TEXT NOT NULL, at BIGINT NOT NULL)`,
	}}, {Name: "bot/3-claims", Stmts: []string{
		`ALTER TABLE notices ADD COLUMN holder TEXT NOT NULL DEFAULT ''`, // the life of a node that is saying it
	}}, {Name: "bot/4-buttons", Stmts: []string{
		// Where buttons stand that decide an approval; approval 0: an older program posted them. settled is when they were taken away.
		`CREATE TABLE buttons (id {{id}}, frontend TEXT NOT NULL, at TEXT NOT NULL, line TEXT NOT NULL, approval BIGINT NOT NULL, settled BIGINT NOT NULL DEFAULT 0, UNIQUE (frontend, at))`,
		`CREATE INDEX buttons_unsettled ON buttons (frontend, id) WHERE settled = 0`,
	}}}
}

// seen notes where a person spoke last: there he is told what can not be said where he asked.
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
// asker spoke last, and what was for everybody in a channel that is no longer in the configuration to the first that is.
func (n *notices) reroute(ctx context.Context) (moved bool, err error) {
	names := make([]any, 0, len(n.b.Frontends)+2)
	marks := ""
	for _, f := range n.b.Frontends {
		names = append(names, f.Name())
		marks += ", ?"
	}
	now := time.Now().UnixMilli()
	err = n.b.DB.Write(ctx, func(tx store.Tx) error {
		public, err := n.publish(ctx, tx, now)
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

// publish moves what is for everybody, and for a channel that is not there any more.
func (n *notices) publish(ctx context.Context, tx store.Tx, now int64) (moved bool, err error) {
	to, ok := n.public()
	if !ok {
		return false, nil
	}
	args := []any{to.frontend, to.place, now, now - rerouteAfter.Milliseconds()}
	marks := "''"
	for _, f := range n.b.Frontends {
		if r, ok := f.(Roomer); ok {
			for _, room := range r.Rooms() {
				args = append(args, f.Name()+" "+room)
				marks += ", ?"
			}
		}
	}
	count, err := tx.Exec(ctx, `UPDATE notices SET frontend = ?, place = ?, at = ?
		WHERE sent = 0 AND at > 0 AND at < ? AND nick = '' AND direct = '' AND frontend || ' ' || place NOT IN (`+marks+`)`, args...)
	return count > 0, err
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
			if moved {
				n.tell(ctx)
			}
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
		ev     pipeline.Event
		o      origin
		person string
		line   string
	}
	var rows []row
	for _, ev := range evs {
		r, err := n.b.Engine.Get(ctx, ev.Run)
		if err != nil {
			return false, err
		}
		o, ok := parseOrigin(r.Origin)
		person := r.By
		switch {
		case ev.Kind.ForAll():
			// Nobody asked: it is for all, wherever and by whomever the host was deployed.
			o, ok = n.public()
			person = ""
		case !ok && (slices.Contains(aloud, ev.Kind) || r.Origin == pipeline.Everybody):
			o, ok = n.public()
		}
		line := n.b.withAddress(ctx, command.Notice(ctx, n.b.Engine, r, ev), ev)
		if ok && line != "" {
			rows = append(rows, row{ev, o, person, line})
		}
	}
	return true, n.b.DB.Write(ctx, func(tx store.Tx) error {
		for _, r := range rows {
			if _, err := tx.Exec(ctx, "INSERT INTO notices (event, run, frontend, place, nick, line, sent, direct, person, at) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?) ON CONFLICT DO NOTHING",
				r.ev.ID, r.ev.Run, r.o.frontend, r.o.place, r.o.nick, plain.Line(r.line), r.o.direct, r.person, time.Now().UnixMilli()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO followers (name, event) VALUES ('notices', ?) ON CONFLICT (name) DO UPDATE SET event = excluded.event", evs[len(evs)-1].ID)
		return err
	})
}

// aloud are the notices about what was asked over the API or the command line that are told all the same: who shall approve it
// hears of it, and nobody sits there any more when a planned run does not begin at its time.
var aloud = []pipeline.EventKind{pipeline.EvProposed, pipeline.EvPostponed, pipeline.EvLapsed}

// oneLine is how long a notice with an address may be: IRC cuts a line with its place and a nick at 400 bytes, and half an
// address leads nowhere.
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

// collectChecks does the same with what the checks have to say. The ids of their rows are negative: they are of no event.
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
			o := places[i]
			if o.frontend == "" {
				continue // there is no channel at all; `checks` tells
			}
			if _, err := tx.Exec(ctx, "INSERT INTO notices (event, run, frontend, place, nick, line, sent, direct, person, at) VALUES (?, 0, ?, ?, '', ?, 0, ?, ?, ?) ON CONFLICT DO NOTHING",
				-x.ID, o.frontend, o.place, plain.Line(x.Line), o.direct, x.Person, time.Now().UnixMilli()); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO followers (name, event) VALUES ('checks', ?) ON CONFLICT (name) DO UPDATE SET event = excluded.event", list[len(list)-1].ID)
		return err
	})
}

// placeOf gives where a check's notice is said: a person's seat, a channel, or what is for everybody when those are not known.
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
