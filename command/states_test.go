package command

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// walk is a house in which a run can be brought into every state. What a step of a host does is said by words.
type walk struct {
	*testing.T
	*house
}

type house struct {
	e     *pipeline.Engine
	table *Table

	mu   sync.Mutex
	n    int               // hosts so far
	does map[string]string // by host and step, as in "h1 toy:deploy" and "h1 undo toy:deploy"
}

func (w *walk) on(host, what, does string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.does[host+" "+what] = does
}

func (w *walk) play(ctx context.Context, c *clipboard.Clipboard, what string) error {
	w.mu.Lock()
	does := w.does[c.Get("hostname")+" "+what]
	w.mu.Unlock()
	switch does {
	case "fail":
		return pipeline.Permanent(errors.New("it cannot"))
	case "ask":
		return pipeline.AskPerson(errors.New("it may have half happened"))
	case "wait":
		return pipeline.Wait(time.Hour, "it takes its time")
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (w *walk) step(name string, more func(*pipeline.Step)) pipeline.Step {
	act := func(what string) func(context.Context, *clipboard.Clipboard) error {
		return func(ctx context.Context, c *clipboard.Clipboard) error { return w.play(ctx, c, what) }
	}
	s := pipeline.Step{Name: name, Check: act("check " + name), Do: act(name)}
	if more != nil {
		s.Undo = act("undo " + name)
		more(&s)
	}
	return s
}

func newWalk(t *testing.T) *walk {
	t.Helper()
	w := &walk{t, &house{does: map[string]string{}}}
	reg := pipeline.NewRegistry()
	reg.Add(w.step("toy:first", nil), w.step("toy:destroy", nil), w.step("toy:last", func(s *pipeline.Step) {
		s.Release = func(ctx context.Context, c *clipboard.Clipboard) error { return w.play(ctx, c, "release toy:last") }
	}), w.step("toy:deploy", func(s *pipeline.Step) {
		s.Gives = []string{"provider_id"}
		s.Do = func(ctx context.Context, c *clipboard.Clipboard) error {
			if err := c.Set("provider_id", "vm-7"); err != nil {
				return err
			}
			return w.play(ctx, c, "toy:deploy")
		}
	}))
	ctx, cancel := context.WithCancel(context.Background())
	db, err := store.Open(ctx, store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if w.e, err = pipeline.New(ctx, pipeline.Config{DB: db, Registry: reg, Key: key, Retry: []time.Duration{}}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, db.Close()); err != nil {
			t.Error(err)
		}
	})
	deploy := []string{"toy:first", "toy:deploy", "toy:last"}
	w.table = NewTable(&Env{Name: "jarvis", Engine: w.e, Limiter: access.NewLimiter(access.LimitConfig{Burst: 1 << 30}), Pipelines: map[string]map[string][]string{
		"deploy": {"toy": deploy}, "redeploy": {"toy": append([]string{"toy:destroy"}, deploy...)}, "destroy": {"toy": {"toy:destroy"}}}})
	return w
}

var (
	people = map[string]access.Person{"alice": {Name: "alice", Roles: []string{access.View, access.Deploy, access.Run}}, "bob": {Name: "bob", Roles: []string{access.View, access.Deploy, access.Run}}}
	inTick = regexp.MustCompile("`([^`]+)`")
)

// say says a line as somebody; "deploy FILE" and "redeploy FILE", also with a time, bring the host's clipboard.
func (w *walk) say(who, host, line string) (string, error) {
	c := Call{Words: strings.Fields(line), Person: people[who], Asker: who, Via: "test"}
	if len(c.Words) >= 2 && c.Words[1] == "FILE" {
		c.File = fmt.Appendf(nil, "instance:\n  hostname: %s\n  provider: toy\n", host)
	}
	a, err := w.table.Do(w.Context(), c)
	if err != nil {
		return err.Error(), err
	}
	return strings.Join(a.Lines, "\n"), nil
}

func (w *walk) must(who, host, line string) {
	w.Helper()
	if said, err := w.say(who, host, line); err != nil {
		w.Fatalf("%s: %s", line, said)
	}
}

// until waits for the newest run of a host to be in a state.
func (w *walk) until(host string, ok func(pipeline.Run) bool) pipeline.Run {
	w.Helper()
	var r pipeline.Run
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(2 * time.Millisecond) {
		var err error
		if r, err = w.e.Newest(w.Context(), host); err == nil && ok(r) {
			return r
		}
	}
	w.Fatalf("%s is %s (%s): %s", host, r.State, r.Ending, r.Error)
	return r
}

func (w *walk) is(host string, s pipeline.State) pipeline.Run {
	w.Helper()
	return w.until(host, func(r pipeline.Run) bool { return r.State == s })
}

func (w *walk) ready(host string) {
	w.Helper()
	w.must("alice", host, "deploy FILE")
	w.is(host, pipeline.Ready)
}

// inPart brings a run to where its undo is stuck.
func (w *walk) inPart(host string) {
	w.Helper()
	w.on(host, "toy:last", "fail")
	w.on(host, "undo toy:deploy", "fail")
	w.must("alice", host, "deploy FILE")
	w.is(host, pipeline.Failed)
	w.must("alice", host, "undo "+host)
	w.until(host, func(r pipeline.Run) bool { return r.Ending == pipeline.EndUndonePart })
}

func (w *walk) approve(host string) {
	w.Helper()
	r := w.until(host, func(pipeline.Run) bool { return true })
	w.must("bob", host, "approve "+strconv.FormatInt(r.ID, 10))
}

// TestNoStateIsATrap: whatever state a run is in and whatever somebody says about its host, each command that the
// answer names in reply is taken, and so is each that the state's notice and its status name. The accident: an undo
// that was stuck held its host, and all three verbs that the bot named were refused.
func TestNoStateIsATrap(t *testing.T) {
	all := newWalk(t)
	fails := func(what, does string, state pipeline.State) func(*walk, string) {
		return func(w *walk, h string) {
			w.on(h, what, does)
			w.must("alice", h, "deploy FILE")
			w.is(h, state)
		}
	}
	states := []struct {
		name string
		to   func(w *walk, host string)
	}{
		{"nothing on record", func(*walk, string) {}},
		{"imported", func(w *walk, h string) {
			if _, err := w.e.Import(w.Context(), []pipeline.Import{{Host: h, FQDN: h}}, pipeline.Who{Name: "root"}, false); err != nil {
				w.Fatal(err)
			}
		}},
		{"a check fails", fails("check toy:deploy", "fail", pipeline.Failed)},
		{"the first stage fails", fails("toy:first", "fail", pipeline.Failed)},
		{"a later stage fails", fails("toy:last", "fail", pipeline.Failed)},
		{"what is held cannot be given back", fails("release toy:last", "fail", pipeline.Failed)},
		{"it asks", fails("toy:deploy", "ask", pipeline.Asking)},
		{"it waits", fails("toy:deploy", "wait", pipeline.Waiting)},
		{"it runs", fails("toy:deploy", "hang", pipeline.Running)},
		{"ready", (*walk).ready},
		{"an undo is asked for", func(w *walk, h string) { w.ready(h); w.must("alice", h, "undo "+h) }},
		{"a stage is to be done again", func(w *walk, h string) { w.ready(h); w.must("alice", h, "retry "+h+" from toy:last") }},
		{"proposed", func(w *walk, h string) { w.ready(h); w.must("alice", h, "destroy "+h); w.is(h, pipeline.Proposed) }},
		{"planned", func(w *walk, h string) { w.must("alice", h, "deploy FILE at 03:00"); w.is(h, pipeline.Planned) }},
		{"planned on what is in production", func(w *walk, h string) {
			w.ready(h)
			w.must("alice", h, "redeploy "+h+" at 03:00")
			w.is(h, pipeline.Proposed)
			w.approve(h)
			w.is(h, pipeline.Planned)
		}},
		{"planned, and cancelled", func(w *walk, h string) {
			w.must("alice", h, "deploy FILE at 03:00")
			w.must("bob", h, "cancel "+h)
			w.is(h, pipeline.Cancelled)
		}},
		{"denied", func(w *walk, h string) {
			w.ready(h)
			w.must("alice", h, "destroy "+h)
			r := w.is(h, pipeline.Proposed)
			w.must("bob", h, fmt.Sprintf("deny %d", r.ID))
		}},
		{"destroyed", func(w *walk, h string) {
			w.ready(h)
			w.must("alice", h, "destroy "+h)
			w.approve(h)
			w.until(h, func(r pipeline.Run) bool { return r.Ending == pipeline.EndDestroyed })
		}},
		{"cancelled", func(w *walk, h string) {
			fails("toy:deploy", "wait", pipeline.Waiting)(w, h)
			w.must("alice", h, "cancel "+h)
			w.is(h, pipeline.Cancelled)
		}},
		{"it is being undone", func(w *walk, h string) {
			w.on(h, "undo toy:deploy", "wait")
			fails("toy:last", "fail", pipeline.Failed)(w, h)
			w.must("alice", h, "undo "+h)
			w.is(h, pipeline.Undoing)
		}},
		{"undone", func(w *walk, h string) {
			fails("toy:last", "fail", pipeline.Failed)(w, h)
			w.must("alice", h, "undo "+h)
			w.is(h, pipeline.Undone)
		}},
		{"undone in part", (*walk).inPart},
		{"undone in part, to be given up", func(w *walk, h string) { w.inPart(h); w.must("alice", h, "cancel "+h) }},
		{"undone in part, not given up", func(w *walk, h string) {
			w.inPart(h)
			w.must("alice", h, "cancel "+h)
			r := w.until(h, func(pipeline.Run) bool { return true })
			w.must("bob", h, fmt.Sprintf("deny %d", r.ID))
		}},
		{"given up", func(w *walk, h string) {
			w.inPart(h)
			w.must("alice", h, "cancel "+h)
			w.approve(h)
			w.is(h, pipeline.Cancelled)
		}},
		{"undone in part, in production", func(w *walk, h string) {
			w.ready(h)
			w.on(h, "undo toy:deploy", "fail")
			w.must("alice", h, "undo "+h)
			w.approve(h)
			w.until(h, func(r pipeline.Run) bool { return r.Ending == pipeline.EndUndonePart })
		}},
	}
	t.Run("states", func(t *testing.T) { // the engine outlives them
		for _, s := range states {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				(&walk{t, all.house}).round(s.to)
			})
		}
	})
}

// freely says who can say a command: what waits is approved by a second person.
func freely(line string) string {
	if strings.HasPrefix(line, "approve") {
		return "bob"
	}
	return "alice"
}

// bring makes a new host in a state.
func (w *walk) bring(to func(*walk, string)) (host string, run int64) {
	w.Helper()
	w.mu.Lock()
	w.n++
	host = fmt.Sprintf("h%dx", w.n)
	w.mu.Unlock()
	to(w, host)
	return host, w.newest(host)
}

func (w *walk) newest(host string) int64 {
	r, err := w.e.Newest(w.Context(), host)
	if err != nil {
		return 0
	}
	return r.ID
}

// round says every line to hosts in one state, and then what the answer names.
func (w *walk) round(to func(*walk, string)) {
	lines := []string{"deploy FILE", "deploy FILE at 03:00", "redeploy FILE", "redeploy HOST", "destroy HOST", "retry HOST", "retry HOST from toy:last", "skip HOST", "cancel HOST", "undo HOST",
		"approve RUN", "deny RUN", "status HOST", "drift HOST", ""}
	for _, line := range lines {
		said, hints := w.reply(to, line, "")
		for _, hint := range hints {
			if reply, _ := w.reply(to, line, hint); reply != "" {
				w.Errorf("to %q it says %q, and to %q then %q", line, said, hint, reply)
			}
		}
	}
}

// reply brings a new host into the state, says the line, and then the hint of an answer: all with HOST and RUN for
// names. It gives what the line was answered, and the commands that the answer names; or why the hint was refused. The
// empty line stands for the notice of the state.
func (w *walk) reply(to func(*walk, string), line, hint string) (said string, hints []string) {
	w.Helper()
	host, run := w.bring(to)
	fill := func(s string, run int64) string {
		return strings.NewReplacer("HOST", host, "RUN", strconv.FormatInt(run, 10)).Replace(s)
	}
	if line == "" {
		said = w.notice(run)
	} else {
		said, _ = w.say(freely(line), host, fill(line, run))
	}
	now := w.newest(host)
	if hint != "" {
		reply, err := w.say(freely(hint), host, fill(hint, max(run, now)))
		if err != nil {
			return reply, nil
		}
		return "", nil
	}
	for _, m := range inTick.FindAllStringSubmatch(said, -1) {
		h := strings.ReplaceAll(m[1], host, "HOST")
		for _, id := range []int64{now, run} {
			h = regexp.MustCompile(`\b`+strconv.FormatInt(id, 10)+`\b`).ReplaceAllString(h, "RUN")
		}
		switch {
		case strings.Contains(h, "STEP"), strings.HasPrefix(h, "hosts"):
			continue
		case !strings.Contains(h, " "): // a verb alone is said of this host
			h += " HOST"
		}
		hints = append(hints, h)
	}
	return said, hints
}

// notice is what people were told last about a run, when that is how it stands.
func (w *walk) notice(run int64) string {
	r, err := w.e.Get(w.Context(), run)
	if err != nil || r.State.Moving() {
		return ""
	}
	evs, err := w.e.Events(w.Context(), pipeline.EventFilter{Run: run, Kinds: pipeline.Notices})
	if err != nil || len(evs) == 0 {
		return ""
	}
	return Notice(w.Context(), w.e, r, evs[len(evs)-1])
}
