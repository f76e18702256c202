package pages

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
)

var lineText = regexp.MustCompile(`line \d+ of`)

// talk has a step say lines when it is told, until told to end.
func talk(w *world, step string) (say chan int) {
	say = make(chan int)
	w.do(step, func(ctx context.Context, _ *clipboard.Clipboard) error {
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case n, ok := <-say:
				if !ok {
					return nil
				}
				pipeline.Log(ctx, fmt.Sprintf("line %d of the step", n))
			}
		}
	})
	return say
}

func (f *frames) lines(all []sent) (list []string) {
	for _, e := range all {
		if e.kind == "log" || e.kind == "part" && strings.Contains(e.data, `id="lines"`) {
			list = append(list, lineText.FindAllString(e.data, -1)...)
		}
	}
	return list
}

func TestAPageMoves(t *testing.T) {
	w := newWorld(t)
	say := talk(w, "ssh:wait")
	run := w.deploy("loki")
	w.reach(run, pipeline.Running)
	alice := w.as("alice")
	page := alice.get("/runs/1").body
	last := regexp.MustCompile(`data-last="(\d+)"`).FindStringSubmatch(page)[1]
	f := alice.watch("/runs/1?live=1&last=" + last)
	first := f.until("the page to be live", has("part", `<span id="live" class="on"`))
	if n := f.lines(first); len(n) > 0 {
		t.Errorf("the page had all lines, and is sent %v", n)
	}
	say <- 1
	got := f.until("the line", has("log", "line 1 of"))
	say <- 2
	got = append(got, f.until("the next line", has("log", "line 2 of"))...)
	if n := f.lines(got); len(n) != 2 {
		t.Errorf("lines: %v", n)
	}
	close(say)
	got = f.until("the end", func(e sent) bool {
		return e.kind == "part" && strings.Contains(e.data, `id="sentence"`) && strings.Contains(e.data, "is ready, for")
	})
	all := ""
	for _, e := range append(got, f.until("its id", func(e sent) bool { return e.kind == "at" })...) {
		all += e.kind + " " + e.data
	}
	for _, want := range []string{`title ✓ loki ready — jarvis`, "say loki: is ready", `id="stage-4"`, `id="acts"`, ">Undo …<"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q was not sent: %s", want, all)
		}
	}
	for _, e := range got { // a browser drops a <tr> that follows something else
		if e.kind == "part" && strings.Contains(e.data, "<tr") && (!strings.HasPrefix(e.data, "<tr") || strings.Count(e.data, "<tr") != 1) {
			t.Errorf("a row is not by itself: %s", e.data)
		}
	}
	// What is on the wire is what the page would be.
	body := alice.get("/runs/1").body
	for _, e := range got {
		if e.kind == "part" && strings.Contains(e.data, `<tr id="stage-4"`) && strings.Contains(e.data, `aria-label="done"`) {
			row := regexp.MustCompile(`(?s)<tr id="stage-4".*?</tr>`)
			if row.FindString(e.data) != row.FindString(body) {
				t.Errorf("the row is sent as %s and stands in the page as %s", row.FindString(e.data), row.FindString(body))
			}
		}
	}
	if strings.Contains(all, secretValue) {
		t.Error("the secret went over the wire")
	}
}

// A stream that breaks goes on where it was, by Last-Event-ID, and by ?last= of a tab that was hidden.
func TestAStreamGoesOnWhereItWas(t *testing.T) {
	w := newWorld(t)
	say := talk(w, "ssh:wait")
	run := w.deploy("loki")
	w.reach(run, pipeline.Running)
	alice := w.as("alice")
	f := alice.watch("/runs/1?live=1&last=1")
	var all []sent
	for n := range 3 {
		say <- n
	}
	all = append(all, f.until("three lines", has("log", "line 2 of"))...)
	all = append(all, f.until("their id", func(e sent) bool { return e.id != "" })...)
	f.stop()
	for n := 3; n < 6; n++ {
		say <- n
	}
	again := alice.watch("/runs/1?live=1&last=1", "Last-Event-ID", f.last)
	all = append(all, again.until("what was missed", has("log", "line 5 of"))...)
	all = append(all, again.until("its id", func(e sent) bool { return e.id != "" })...)
	again.stop()
	say <- 6
	hidden := alice.watch("/runs/1?live=1&last=" + again.last)
	all = append(all, hidden.until("what was missed while hidden", has("log", "line 6 of"))...)
	got := strings.Join(f.lines(all), " ")
	if want := "line 0 of line 1 of line 2 of line 3 of line 4 of line 5 of line 6 of"; got != want {
		t.Errorf("the lines are %q, want %q", got, want)
	}
	close(say)
}

// Of a long log a page has the end, and the rest by links; whoever missed much is sent the end.
func TestALongLog(t *testing.T) {
	w := newWorld(t)
	const n = 3000
	w.do("esx:deploy", func(ctx context.Context, _ *clipboard.Clipboard) error {
		for i := range n {
			pipeline.Log(ctx, fmt.Sprintf("line %d of the step", i))
			if i%500 == 499 { // as fast as they can be kept
				for range 100 {
					if evs, err := w.engine.Events(ctx, pipeline.EventFilter{Newest: true, Limit: 1}); err != nil || strings.HasPrefix(evs[0].Text, fmt.Sprintf("line %d ", i)) {
						break
					}
				}
			}
		}
		return nil
	})
	run := w.deploy("loki")
	w.reach(run, pipeline.Ready)
	alice := w.as("alice")
	seen := map[string]bool{}
	path := "/runs/1"
	older := regexp.MustCompile(`<a href="(\?before=\d+)#log-h">older lines</a>`)
	pages := 0
	for ; path != "" && pages < 20; pages++ {
		body := alice.get(path).body
		if c := strings.Count(body, `<li id="L`); c > maxLines {
			t.Errorf("%s has %d lines", path, c)
		}
		for _, l := range lineText.FindAllString(body, -1) {
			seen[l] = true
		}
		if strings.Contains(body, "data-events") != (pages == 0) {
			t.Errorf("%s: only the end is live", path)
		}
		path = ""
		if m := older.FindStringSubmatch(body); m != nil {
			path = "/runs/1" + m[1]
		}
	}
	if len(seen) < n || pages < n/maxLines {
		t.Errorf("%d of %d lines on %d pages", len(seen), n, pages)
	}
	f := alice.watch("/runs/1?live=1&last=2")
	got := f.until("the end of the log", has("part", `id="lines"`))
	if c := len(f.lines(got)); c == 0 || c > maxLines {
		t.Errorf("%d lines were sent to who missed %d", c, n)
	}
	if body := alice.get("/runs/1").body; !strings.Contains(body, `id="stage-4"`) || strings.Count(body, `aria-label="done"`) != 4 {
		t.Error("the stages are not known beside a long log")
	}
}

// The server goes while a page is open, and comes back: the page misses nothing.
func TestTheServerIsStartedAgain(t *testing.T) {
	w := newWorld(t)
	say := talk(w, "ssh:wait")
	run := w.deploy("loki")
	w.reach(run, pipeline.Running)
	alice := w.as("alice")
	f := alice.watch("/runs/1?live=1&last=1")
	say <- 1
	all := f.until("a line", has("log", "line 1 of"))
	all = append(all, f.until("its id", func(e sent) bool { return e.id != "" })...)
	w.stop()
	for range f.in { // it ends
	}
	w.start(w.addr)
	say <- 2 // the step is done again, by the run that was taken up
	close(say)
	w.reach(run, pipeline.Ready)
	again := alice.watch("/runs/1?live=1&last="+f.last, "Last-Event-ID", f.last)
	all = append(all, again.until("what was missed", has("log", "line 2 of"))...)
	got := strings.Join(f.lines(all), " ")
	if got != "line 1 of line 2 of" {
		t.Errorf("the lines are %q", got)
	}
	if res := alice.get("/runs/1"); res.status != 200 || !strings.Contains(res.body, "✓ loki ready") {
		t.Errorf("the session did not outlive the server: %d", res.status)
	}
}

func TestListsMove(t *testing.T) {
	w := newWorld(t)
	say := talk(w, "ssh:wait")
	alice := w.as("alice")
	home, asked := alice.watch("/?live=1&last=0"), w.as("bob").watch("/approvals?live=1&last=0")
	home.until("the overview", has("part", `id="live-runs"`, "Nothing is under way"))
	asked.until("the approvals", has("part", `id="asked"`, "Nothing waits"))
	run := w.deploy("loki")
	home.until("the run", has("part", `id="live-runs"`, `id="run-1"`, "3/4"))
	close(say)
	w.reach(run, pipeline.Ready)
	home.until("its end", has("part", `id="ended"`, `id="run-1"`))
	w.do("ssh:wait", nil)
	w.deploy("loki")
	asked.until("what waits", has("part", `id="asked"`, "Approve 2"))
	home.until("the navigation", has("part", `id="nav"`, `Approvals <b class="wait">1`))
}
