package bot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/store"
)

// Told is what a webhook is sent, and of what the line after quiet hours is made.
type Told struct {
	ID    string             `json:"id" doc:"the same at each try"`
	Type  string             `json:"type" enum:"event,quiet,summary" doc:"event: one notice; quiet: those of quiet hours in one line; summary: the daily one"`
	Event pipeline.EventKind `json:"event,omitempty" doc:"the kind of notice"`
	Class []string           `json:"classes" doc:"its classes"`
	Run   int64              `json:"run,omitempty"`
	Host  string             `json:"host,omitempty"`
	FQDN  string             `json:"fqdn,omitempty"`
	Verb  string             `json:"verb,omitempty" doc:"what the run does"`
	By    string             `json:"by,omitempty" doc:"who asked for it"`
	At    time.Time          `json:"at"`
	Line  string             `json:"line" doc:"as it is said in chat"`
	URL   string             `json:"url,omitempty" doc:"the page of the run, when http.url is set"`
}

// Types of what is told.
const (
	toldEvent   = "event"
	toldQuiet   = "quiet"
	toldSummary = "summary"
)

// maxLine bounds a line in what a webhook is sent, in bytes.
const maxLine = 4000

// SetRoutes takes other routes, for what happens from now on; what waits is told to whom it was meant. One to a room in
// which this bot is after a restart only is left out until then, which the log says. The error says all that is wrong,
// and then nothing changes. Safe for concurrent use.
func (b *Bot) SetRoutes(list Routes, mail post.MailConfig) error {
	if err := b.notices.setRoutes(list, false, mail); err != nil {
		return err
	}
	b.notices.wakeAll()
	return nil
}

// setRoutes makes the routes of what was written. complete is false when it may name rooms that are not there yet.
func (n *notices) setRoutes(list Routes, complete bool, mail post.MailConfig) error {
	routes, err := n.resolved(list, complete, mail)
	if err != nil {
		return err
	}
	if left := len(list) - len(routes); left > 0 {
		n.b.Log.Warn("routes of notices go to rooms that chat has after a restart only", "routes", left)
	}
	n.routes.Store(&routes)
	return nil
}

// resolved finds the places of routes among those where this bot is.
func (n *notices) resolved(list Routes, complete bool, mail post.MailConfig) ([]route, error) {
	var rooms []Room
	for _, f := range n.b.Frontends {
		rooms = append(rooms, RoomsOf(f)...)
	}
	return list.resolve(rooms, complete, mail)
}

// begin has a record that nobody followed so far be followed from now on: where there was no chat, what happened is no
// news.
func (n *notices) begin(ctx context.Context) error {
	if len(n.b.Frontends) > 0 || n.b.Engine == nil {
		return nil
	}
	last, err := n.b.Engine.LastEvent(ctx)
	if err != nil {
		return err
	}
	return n.b.DB.Write(ctx, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO followers (name, event) VALUES ('notices', ?) ON CONFLICT DO NOTHING", last)
		return err
	})
}

// row is a notice that is to be written.
type row struct {
	source     string // "": its event is one of a run
	event, run int64
	route      string // "": where it was asked
	o          origin
	person     string
	line       string
	body       []byte
	until      time.Time // the end of quiet hours; zero: it is said now
}

// insert puts a notice on record. One that is there already stays as it is, so that an event that is read twice is told
// once.
func (n *notices) insert(ctx context.Context, tx store.Tx, r row, now time.Time) error {
	sent, next, at := 0, int64(0), now.UnixMilli()
	if !r.until.IsZero() {
		sent, next = -1, r.until.UnixMilli()
	}
	if r.o.frontend == byHook || r.o.frontend == byMail {
		at = 0 // nobody moves it to a channel
	}
	_, err := tx.Exec(ctx, "INSERT INTO notices (source, event, route, run, frontend, place, nick, line, sent, direct, person, at, body, next, born) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		r.source, r.event, r.route, r.run, r.o.frontend, r.o.place, r.o.nick, plain.Line(r.line), sent, r.o.direct, r.person, at, string(r.body), next, now.UnixMilli())
	return err
}

// aloud are the notices about what was asked over the API or the command line that are told all the same: who shall
// approve it hears of it, and nobody sits there any more when a planned run does not begin at its time.
var aloud = []pipeline.EventKind{pipeline.EvProposed, pipeline.EvPostponed, pipeline.EvLapsed}

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
	var rows []row
	now := time.Now()
	for _, ev := range evs {
		r, err := n.b.Engine.Get(ctx, ev.Run)
		if err != nil {
			return false, err
		}
		rows = append(rows, n.rowsOf(ctx, r, ev, now)...)
	}
	return true, n.b.DB.Write(ctx, func(tx store.Tx) error {
		for _, r := range rows {
			if err := n.insert(ctx, tx, r, now); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "INSERT INTO followers (name, event) VALUES ('notices', ?) ON CONFLICT (name) DO UPDATE SET event = excluded.event", evs[len(evs)-1].ID)
		return err
	})
}

// rowsOf gives whom an event is told: where the run was asked, and each place of a route once.
func (n *notices) rowsOf(ctx context.Context, r pipeline.Run, ev pipeline.Event, now time.Time) (rows []row) {
	o, ok := parseOrigin(r.Origin)
	person := r.By
	switch {
	case ev.Kind.ForAll():
		// Nobody asked: it is for all, wherever and by whomever the host was deployed.
		o, ok = n.public()
		person = ""
	case !ok && (slices.Contains(aloud, ev.Kind) || r.Origin == pipeline.Everybody):
		o, ok = n.public() // who shall approve what was asked over the API or the command line hears of it here
	}
	asked := n.roomOf(Room{o.frontend, o.place})
	line := n.b.withAddress(ctx, command.Notice(ctx, n.b.Engine, r, ev), ev)
	if ok && line != "" {
		// What it tells of is kept with it, for the quiet hours of this place, or of one where it is moved.
		rows = append(rows, row{event: ev.ID, run: ev.Run, o: o, person: person, line: line, body: n.told(r, ev, line), until: n.hushed(asked, ev.Kind, now)})
	}
	told := []Room{asked}
	if r.Origin != pipeline.Everybody {
		r.Origin = "" // what the answer said where it was asked, nobody else has heard
	}
	line = ""
	for _, to := range *n.routes.Load() {
		until, wanted := n.wanted(to.Room, ev.Kind, now)
		if !wanted || holds(told, to.Room) {
			continue
		}
		told = append(told, to.Room)
		if line == "" {
			if line = n.b.withAddress(ctx, command.Notice(ctx, n.b.Engine, r, ev), ev); line == "" {
				break
			}
		}
		rows = append(rows, row{event: ev.ID, run: ev.Run, route: to.key(), o: origin{frontend: to.Frontend, place: to.Place}, line: line, body: n.told(r, ev, line), until: until})
	}
	return rows
}

// key is what tells the rows of a route's place from those of others.
func (r Room) key() string { return r.Frontend + " " + r.Place }

// is reports whether both are the same place: IRC tells channels in the letters in which somebody wrote them.
func (r Room) is(other Room) bool {
	return r.Frontend == other.Frontend && strings.EqualFold(r.Place, other.Place)
}

// roomOf gives the room of a place that is a thread of it: routes and their quiet hours are of the room.
func (n *notices) roomOf(at Room) Room {
	for _, f := range n.b.Frontends {
		if t, ok := f.(Threader); ok && f.Name() == at.Frontend {
			at.Place = t.RoomOf(at.Place)
		}
	}
	return at
}

func holds(list []Room, r Room) bool {
	for _, x := range list {
		if x.is(r) {
			return true
		}
	}
	return false
}

// wanted reports whether a route to a place wants a kind of notice, and until when it waits there; zero: it is told
// now.
func (n *notices) wanted(at Room, k pipeline.EventKind, now time.Time) (until time.Time, wanted bool) {
	for _, r := range *n.routes.Load() {
		if !r.is(at) || !r.wants(k) {
			continue
		}
		end, quiet := r.quietFor(k, now)
		if !quiet {
			return time.Time{}, true
		}
		if wanted = true; until.IsZero() || end.Before(until) {
			until = end
		}
	}
	return until, wanted
}

// hushed gives until when a notice waits in the place where its run was asked; zero: it does not. What failed never
// does.
func (n *notices) hushed(at Room, k pipeline.EventKind, now time.Time) (until time.Time) {
	if k.Fails() {
		return until
	}
	for _, r := range *n.routes.Load() {
		if !r.is(at) {
			continue
		}
		end, quiet := r.quietFor(k, now)
		switch {
		case !quiet && r.wants(k):
			return time.Time{} // this one, or another beside it, has it told
		case quiet && (until.IsZero() || end.Before(until)):
			until = end
		}
	}
	return until
}

// told gives what happened as JSON.
func (n *notices) told(r pipeline.Run, ev pipeline.Event, line string) []byte {
	x := Told{ID: fmt.Sprintf("%s.%d", n.b.Engine.Installation(), ev.ID), Type: toldEvent, Event: ev.Kind, Class: ev.Kind.ClassesOf(), Run: r.ID, Host: r.Host, FQDN: r.FQDN, Verb: r.Verb, By: r.By, At: ev.At, Line: clip(plain.Line(line))}
	if n.b.Pages != "" {
		x.URL = fmt.Sprintf("%s/runs/%d", n.b.Pages, r.ID)
	}
	return x.json()
}

// json gives the body of a webhook; it is on record before it is sent, so that each try sends the same.
func (x Told) json() []byte {
	b, err := contract.Marshal(x)
	if err != nil {
		return []byte("{}") // a struct of plain values
	}
	return b
}

// clip cuts a line to maxLine, between two characters.
func clip(line string) string {
	if len(line) <= maxLine {
		return line
	}
	return Split(line, maxLine)[0] + " …"
}
