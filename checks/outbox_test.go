package checks

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/store"
)

// recordAlone gives what a part works with: a record of its own, and a clock that stands until it is set.
func recordAlone(t *testing.T) (tools, *time.Time) {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context(), Migrations(false)); err != nil {
		t.Fatal(err)
	}
	now := noon
	return tools{db, func() time.Time { return now }, slog.New(slog.DiscardHandler)}, &now
}

func newOutboxAlone(t *testing.T) (*outbox, *time.Time) {
	o := newOutbox()
	var now *time.Time
	o.tools, now = recordAlone(t)
	return o, now
}

// puts writes rows as the writer does.
func (o *outbox) puts(t *testing.T, rows ...row) {
	t.Helper()
	if err := o.db.Write(t.Context(), func(tx store.Tx) error {
		for _, r := range rows {
			if _, err := r.put(t.Context(), tx, o.now().UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// opens gives the actions of what is to be done now, in order.
func (o *outbox) opens(t *testing.T, kind string) (out []string) {
	t.Helper()
	rows, err := o.open(t.Context(), kind, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		out = append(out, r.action)
	}
	return out
}

const anEvent = `{"task":"disk","host":"loki","on":"problem","status":2,"line":"full"}`

// A row is tried until it is taken, later each time, and given up after a day; one for what is no longer declared at
// once.
func TestTheOutboxTriesUntilItIsTaken(t *testing.T) {
	o, now := newOutboxAlone(t)
	o.puts(t, row{rowDo, "fails", anEvent}, row{rowDo, "works", anEvent}, row{rowDo, "panics", anEvent}, row{rowDo, "gone", anEvent}, row{rowRun, "other", anEvent})
	var tried []string
	try := func() {
		tried = nil
		rows, err := o.open(t.Context(), rowDo, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			_ = o.do(t.Context(), r, func(_ context.Context, r outboxRow) error {
				tried = append(tried, r.action)
				switch r.action {
				case "panics":
					panic("a bug")
				case "gone":
					return &goneError{"it"}
				case "fails":
					return errors.New("nobody is there")
				}
				return nil
			})
		}
	}
	for _, c := range []struct {
		after time.Duration
		want  []string
	}{{0, []string{"fails", "works", "panics", "gone"}}, {actPeriod - time.Millisecond, nil}, {actPeriod, []string{"fails", "panics"}}, {2*actPeriod + time.Second, nil},
		{3 * actPeriod, []string{"fails", "panics"}}, {giveUp + time.Second, []string{"fails", "panics"}}, {3 * giveUp, nil}} {
		*now = noon.Add(c.after)
		if try(); !slices.Equal(tried, c.want) {
			t.Errorf("after %s %q were tried, want %q", c.after, tried, c.want)
		}
	}
	list, err := o.acted(t.Context(), 10)
	if err != nil || len(list) != 5 {
		t.Fatalf("%d actions, %v", len(list), err)
	}
	for _, d := range list {
		switch {
		case d.Action == "other":
			if !d.Done.IsZero() {
				t.Error("a row of another kind was done")
			}
		case d.Done.IsZero(), (d.Error == "") != (d.Action == "works"):
			t.Errorf("%s: done %s, %q", d.Action, d.Done, d.Error)
		}
	}
}

// A run that a row asks for is begun once, and again only when it has ended here.
func TestARunThatIsAskedForIsBegunOnce(t *testing.T) {
	o := newOutbox()
	if !o.begins(7) || o.begins(7) || !o.begins(8) {
		t.Error("a run is not begun once")
	}
	o.ended([]int64{7})
	if !o.begins(7) || o.begins(8) {
		t.Error("it has ended, and is not begun again; or another is")
	}
}

func TestRowsOfRunsAreGivenUp(t *testing.T) {
	o, now := newOutboxAlone(t)
	o.puts(t, row{rowRun, "gone", anEvent}, row{rowRun, "stays", anEvent}, row{rowRun, "", anEvent})
	may := func(r outboxRow) error {
		if r.action == "gone" {
			return &goneError{"the check"}
		}
		return nil
	}
	for _, c := range []struct {
		at   time.Time
		want []string
	}{{noon, []string{"stays", ""}}, {noon.Add(askedFor + time.Second), []string{"stays"}}} { // nobody waits any more
		*now = c.at
		if err := o.giveUpRuns(t.Context(), may); err != nil {
			t.Fatal(err)
		}
		if got := o.opens(t, rowRun); !slices.Equal(got, c.want) {
			t.Errorf("at %s %q are left, want %q", c.at, got, c.want)
		}
	}
}

// A doer gives commands with a key that is the row's, and hands on what is a run.
func TestADoerAlone(t *testing.T) {
	o, _ := newOutboxAlone(t)
	o.puts(t, row{rowDo, "restart", anEvent}, row{rowDo, "look", anEvent}, row{rowDo, "gone", anEvent})
	var lines []string
	asked := 0
	cat := &model.Catalog{Rules: []*model.Rule{{Action: &model.Action{Name: "restart", Run: "restart {task} on {host}"}}, {Action: &model.Action{Name: "look", Task: "inode"}}}}
	d := doer{box: o, catalog: func() *model.Catalog { return cat }, askable: func(outboxRow) error { return nil }, asked: func() { asked++ }}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d.command = func(_ context.Context, line, key string) error {
		lines = append(lines, line+" "+key)
		return nil
	}
	rows, err := o.open(ctx, rowDo, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		_ = o.do(ctx, r, d.action)
	}
	if len(lines) != 1 || lines[0] != "restart disk on loki check-action-1" {
		t.Errorf("commands: %q", lines)
	}
	if got := o.opens(t, rowRun); asked != 1 || len(o.runs) != 1 || !slices.Equal(got, []string{"look"}) {
		t.Errorf("runs that are asked for: %q, told %d times", got, asked)
	}
	if got := o.opens(t, rowDo); len(got) != 0 {
		t.Errorf("%q are left", got)
	}
}

// Notices wait for company, say what belongs together in one line, and are said once.
func TestNoticesAlone(t *testing.T) {
	o, now := newOutboxAlone(t)
	told := 0
	n := notices{box: o, catalog: func() *model.Catalog { return &model.Catalog{} }, gather: func() time.Duration { return 5 * time.Second }, written: func() { told++ }}
	ch, done := n.news.follow()
	defer done()
	o.puts(t, row{rowNotice, "", anEvent}, row{rowNotice, "", strings.Replace(anEvent, "loki", "odin", 1)})
	for _, c := range []struct {
		after, next time.Duration
		lines       int
	}{{time.Second, 4 * time.Second, 0}, {5 * time.Second, 0, 1}, {6 * time.Second, 10 * time.Second, 1}} {
		*now = noon.Add(c.after)
		next, err := n.round(t.Context())
		if err != nil || next != c.next {
			t.Errorf("after %s it looks again in %s, %v", c.after, next, err)
		}
		list, err := n.read(t.Context(), 0, 10)
		if err != nil || len(list) != c.lines || told != c.lines || len(ch) != c.lines {
			t.Errorf("after %s: %d lines, told %d times, followers %d times; %v", c.after, len(list), told, len(ch), err)
		} else if c.lines > 0 && !strings.HasPrefix(list[0].Line, "disk is CRITICAL on 2 hosts: loki,odin") {
			t.Errorf("said: %q", list[0].Line)
		}
	}
}
