package pages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
)

func runPage() *page {
	return &page{path: "/runs/{run}", file: "run.html", role: access.View,
		read: func(s *Site, ctx context.Context, q query, was view, news []pipeline.Event) (view, error) {
			return s.readRun(ctx, q, was, news)
		},
		about: func(q query, ev pipeline.Event) bool { return ev.Run == q.run }}
}

// maxLines is how many lines of a log a page has.
const maxLines = 500

// runView is a run, whole.
type runView struct {
	run      pipeline.Run
	event    int64
	read     time.Time // when all but the lines was read
	sentence string
	remarks  string // at its end
	usual    pipeline.Usual
	now      time.Time
	marks    []pipeline.Event // that are no lines
	said     map[int]string   // the last line of each stage
	tail     []line           // of the log
	older    bool             // there is more before the tail
	news     []line           // of the tail, since the view before
	yaml     []yamlLine

	site         *Site
	pending      *pipeline.Approval
	stands       bool // the host stands by it
	takes, stays []string
}

// line is one of the log.
type line struct {
	ID    int64
	At    time.Time
	Stage int // from 1; 0: of none
	Text  string
	Class string // "bad", or "dim" for what is said about a step, not by it
}

// lineOf gives an event as a line of the log: what a step said in full, what is said about it in our words.
func lineOf(ev pipeline.Event) line {
	l := line{ID: ev.ID, At: ev.At, Text: ev.Text}
	if ev.Step != "" {
		l.Stage = ev.Stage + 1
	}
	switch ev.Kind {
	case pipeline.EvProgress, pipeline.EvLog:
		return l
	case pipeline.EvFailed, pipeline.EvAsking, pipeline.EvUndoFailed, pipeline.EvUndoStuck:
		l.Class = "bad"
	default:
		l.Class = "dim"
	}
	if l.Text = command.EventText(ev); ev.Step != "" && ev.Kind == pipeline.EvStep {
		l.Text = ev.Step + " begins"
	}
	return l
}

// isLine parts what steps say from what is said about them, which a page needs all of.
func isLine(ev pipeline.Event) bool {
	return ev.Kind == pipeline.EvProgress || ev.Kind == pipeline.EvLog
}

// readRun reads a run. After the first time it reads what events move alone.
func (s *Site) readRun(ctx context.Context, q query, before view, news []pipeline.Event) (view, error) {
	v := &runView{site: s, said: map[int]string{}, now: time.Now()}
	was, again := before.(*runView)
	if !again {
		// The newest event first: what comes meanwhile is read a second time, and not missed.
		evs, err := s.Engine.Events(ctx, pipeline.EventFilter{Run: q.run, Before: q.before, Newest: true, Limit: maxLines + 1})
		if err != nil {
			return nil, err
		}
		if len(evs) > maxLines {
			v.older, evs = true, evs[1:]
		}
		for _, ev := range evs {
			v.take(ev)
		}
		if v.marks, err = s.allMarks(ctx, q.run); err != nil {
			return nil, err
		}
	} else {
		*v = *was
		v.now, v.news, v.said = time.Now(), nil, maps.Clone(was.said)
		v.marks = was.marks[:len(was.marks):len(was.marks)]
		v.takeAll(news)
		if len(v.marks) == len(was.marks) && v.now.Sub(v.read) < clockPace {
			v.sentence = s.Table.StatusLine(ctx, v.run) + v.remarks
			return v, nil // lines alone change nothing else: whatever moves a run is an event
		}
	}
	return v, s.readRest(ctx, q.run, v)
}

// readRest reads what is not in the events.
func (s *Site) readRest(ctx context.Context, run int64, v *runView) (err error) {
	v.read = v.now
	if v.run, err = s.Engine.Get(ctx, run); err != nil {
		return err
	}
	if v.remarks, err = s.Table.StatusRemarks(ctx, v.run); err != nil {
		return err
	}
	v.sentence = s.Table.StatusLine(ctx, v.run) + v.remarks
	if v.usual, err = s.Engine.Usual(ctx, v.run.Pipeline); err != nil {
		return err
	}
	if v.yaml == nil {
		text, err := s.Engine.Clipboard(ctx, run)
		if err != nil {
			return err
		}
		v.yaml = blame(text, v.run.By, v.marks)
	}
	v.pending = nil
	a, err := s.Engine.Pending(ctx, run)
	switch {
	case err == nil:
		v.pending = &a
	case !errors.Is(err, pipeline.ErrNotFound):
		return err
	}
	if h, err := s.Engine.FindHost(ctx, v.run.FQDN); err == nil {
		v.stands = h.ID == run
	}
	v.takes, v.stays = s.Engine.Left(v.run)
	return nil
}

// take adds an event to the end of the log.
func (v *runView) take(ev pipeline.Event) {
	v.event = max(v.event, ev.ID)
	v.tail = append(v.tail, lineOf(ev))
	if isLine(ev) && ev.Text != "" {
		v.said[ev.Stage] = ev.Text
	} else if ev.Kind == pipeline.EvStep {
		delete(v.said, ev.Stage)
	}
}

// takeAll adds what has come since the view before.
func (v *runView) takeAll(news []pipeline.Event) {
	had := len(v.tail)
	v.tail = v.tail[:had:had]
	for _, ev := range news {
		if ev.ID <= v.event {
			continue // the first reading had it
		}
		v.take(ev)
		if isLine(ev) {
			continue
		}
		v.marks = append(v.marks, ev)
		if ev.Diff != "" || ev.Kind == pipeline.EvStepUndone || ev.Kind == pipeline.EvKept {
			v.yaml = nil // it is another one
		}
	}
	v.news = v.tail[had:]
	if len(v.news) > maxLines {
		v.news = v.news[len(v.news)-maxLines:]
	}
	if over := len(v.tail) - maxLines; over > 0 {
		v.tail, v.older = slices.Clone(v.tail[over:]), true
	}
}

// allMarks reads the events that are no lines.
func (s *Site) allMarks(ctx context.Context, run int64) (all []pipeline.Event, err error) {
	after := int64(0)
	for {
		evs, err := s.Engine.Events(ctx, pipeline.EventFilter{Run: run, After: after, Marks: true})
		if err != nil || len(evs) == 0 {
			return all, err
		}
		all, after = append(all, evs...), evs[len(evs)-1].ID
	}
}

func (v *runView) fresh() []line { return v.news }

// since gives the lines after an event; true when those are all of the tail, for something before them may be missing.
func (v *runView) since(event int64) ([]line, bool) {
	i := slices.IndexFunc(v.tail, func(l line) bool { return l.ID > event })
	switch {
	case event <= 0 || i == 0 && v.older:
		return v.tail, true
	case i < 0:
		return nil, false
	}
	return v.tail[i:], false
}

func (v *runView) at() int64 { return v.event }

func (v *runView) title() string {
	_, sign, word := look(v.run)
	where := fmt.Sprintf("%d/%d", min(v.run.Stage+1, len(v.run.Steps)), len(v.run.Steps))
	switch {
	case v.pending != nil:
		return "‖ " + v.run.Host + " waits for a person"
	case v.run.State.Moving() && v.run.State != pipeline.Undoing:
		return sign + " " + where + " " + v.run.Host
	case v.run.State == pipeline.Failed:
		return sign + " " + v.run.Host + " failed at " + where
	}
	return sign + " " + v.run.Host + " " + word
}

// say is for who hears the page: stages and ends, not lines.
func (v *runView) say(before view) string {
	was, ok := before.(*runView)
	if !ok || was.run.State == v.run.State && was.run.Stage == v.run.Stage {
		return ""
	}
	return v.sentence
}

// Run, Tail and the others are for run.html.
func (v *runView) Run() pipeline.Run { return v.run }

// Tail gives the end of the log.
func (v *runView) Tail() []line { return v.tail }

// Older gives the event before which the log goes on; 0 when this is all.
func (v *runView) Older() int64 {
	if !v.older || len(v.tail) == 0 {
		return 0
	}
	return v.tail[0].ID
}

// Rest is what follows the short name in the host's full one.
func (v *runView) Rest() string { _, rest := named(v.run); return rest }

// What says what the run does, and where.
func (v *runView) What() string {
	if v.run.Provider == "" {
		return v.run.Verb
	}
	return v.run.Verb + " on " + v.run.Provider
}

// runSentence is the first part of the page.
type runSentence struct {
	Kind, Text string
	Tinted     bool
}

func (v *runView) parts() []part {
	kind, _, _ := look(v.run)
	first := runSentence{kind, strings.TrimPrefix(v.sentence, v.run.Host+": "), v.run.State == pipeline.Failed || v.run.State == pipeline.Asking || v.pending != nil}
	if v.pending != nil {
		first.Kind = "wait"
		if v.run.State == pipeline.Proposed { // why it waits is not in the sentence
			first.Text = asksFor(v.run, *v.pending)
		}
	}
	list := []part{{"sentence", "run-sentence", first}, {"timeline", "timeline", drawTimeline(v.run, v.usual, v.now)}, {"done", "stages-done", min(v.run.Stage, len(v.run.Steps))}}
	for _, st := range stages(v.run, v.marks, v.said, v.usual, v.now) {
		list = append(list, part{fmt.Sprintf("stage-%d", st.N), "stage", st})
	}
	return append(list, part{"yaml", "yaml", v.yaml})
}

// acts are the buttons of a run.
type acts struct {
	Run          int64
	Host         string
	Until        time.Time
	Approve      string // what is approved; "" when nothing waits for this person
	Only         string // why they may deny it, and not approve
	Self         bool   // what waits is their own
	Whose        string // why it is
	Retry        string // where it would go on
	From         []string
	Skip         string
	SkipAt       int // its stage, from 1
	Cancel       bool
	Planned      bool // and then it has done nothing yet
	Undo         bool
	Takes, Stays []string
	Refused      string // why there is no button
}

func (v *runView) own(p access.Person) []part {
	return []part{{"acts", "acts", v.acts(p)}}
}

// acts says which buttons make sense, of those that the person may press. Whether a verb does it, the verb decides.
func (v *runView) acts(p access.Person) acts {
	r := v.run
	a := acts{Run: r.ID, Host: r.Host}
	if v.pending != nil {
		a.Until = v.pending.Expires
		a.Whose = whoseIs(p, *v.pending)
		if a.Self = v.pending.AskedBy(pipeline.Who{Name: p.Name, Behind: p.Behind}); !a.Self {
			a.Approve, a.Only = asksFor(r, *v.pending), v.site.onlyDeny(p, *v.pending)
		}
	} else if r.State == pipeline.Planned { // also when its host stands by another
		a.Cancel, a.Planned = true, true
	} else if v.stands && !tasklog.IsTask(r) && !r.IsImport() {
		rests := r.State.Resting() && r.HasBegun()
		if stopped := r.State == pipeline.Failed && r.Ending != pipeline.EndUndonePart || r.State == pipeline.Asking || r.State == pipeline.Cancelled; stopped && rests {
			a.Retry = r.Where()
			for i := min(r.Stage, len(r.Steps)-1); i >= 0; i-- {
				a.From = append(a.From, r.Steps[i])
			}
		}
		if (r.State == pipeline.Failed || r.State == pipeline.Asking) && r.Ending != pipeline.EndUndonePart {
			a.Skip, a.SkipAt = r.Step(), r.Stage+1
		}
		a.Cancel = r.State.Live() && r.State != pipeline.Undoing
		if a.Undo = rests && r.State != pipeline.Undone && r.Ending != pipeline.EndDestroyed && len(v.takes) > 0; a.Undo {
			a.Takes, a.Stays = v.takes, v.stays
		}
	}
	if any := a.Approve != "" || a.Self || a.Retry != "" || a.Skip != "" || a.Cancel || a.Undo; any && !p.Has(access.Deploy) {
		return acts{Run: r.ID, Host: r.Host, Refused: fmt.Sprintf("To move it needs the role %q, which %s does not have.", access.Deploy, p.Name)}
	}
	return a
}
