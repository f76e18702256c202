package pages

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
)

// timeline is a whole run in time: each stage as wide as it usually takes, so that half of the line is half of the
// time.
type timeline struct {
	Label string
	Bars  []bar
	Tick  string // where the stage under way usually ends, when it takes longer; ""
	Began time.Time
	Text  string // how long it has to go, when that is known
}

// bar is a piece of it, in per cent; Kind "" is to come.
type bar struct{ Kind, X, W string }

// gapShare is the room between two stages.
const gapShare = 0.25

func percent(f float64) string { return fmt.Sprintf("%.1f%%", f) }

// timelineOf draws a run by the usual times of its pipeline alone.
func (s *Site) timelineOf(ctx context.Context, r pipeline.Run) *timeline {
	usual, err := s.Engine.Usual(ctx, r.Pipeline)
	if err != nil {
		usual = pipeline.Usual{}
	}
	return drawTimeline(r, usual, time.Now())
}

// drawTimeline gives a stage room by its usual time, or the mean of the others where that is not known. The stage under
// way grows when it takes longer.
func drawTimeline(r pipeline.Run, usual pipeline.Usual, now time.Time) *timeline {
	n := len(r.Steps)
	if n == 0 {
		return &timeline{}
	}
	took := make([]time.Duration, n)
	known, total := 0, time.Duration(0)
	for i, step := range r.Steps {
		if took[i] = usual.Stage(i, step); took[i] > 0 {
			known++
			total += took[i]
		}
	}
	mean := time.Second
	if known > 0 {
		mean = total / time.Duration(known)
	}
	for i := range took {
		if took[i] == 0 {
			took[i] = mean
		}
	}
	here, tick, left := r.Stage, "", time.Duration(0)
	moving := r.State == pipeline.Running || r.State == pipeline.Waiting
	elapsed := now.Sub(r.StageAt)
	over := time.Duration(0)
	if moving && here < n {
		over = max(0, elapsed-took[here])
		took[here] += over
	}
	sum := time.Duration(0)
	for i, d := range took {
		took[i] = max(d, time.Millisecond)
		sum += took[i]
	}
	room := 100 - gapShare*float64(n-1)
	t := &timeline{Label: fmt.Sprintf("%d of %d stages done", min(here, n), n), Began: r.Began}
	x := 0.0
	for i, d := range took {
		w := room * float64(d) / float64(sum)
		kind := ""
		switch {
		case i < here:
			kind = "done"
		case i > here:
			left += d
		default:
			kind, _, _ = look(r)
			if moving {
				part := min(1, float64(elapsed)/float64(d))
				left += max(0, d-elapsed)
				if over > 0 && usual.Stage(i, r.Steps[i]) > 0 {
					tick = percent(x + w*float64(d-over)/float64(d))
				}
				t.Bars = append(t.Bars, bar{"", percent(x), percent(w)}, bar{kind, percent(x), percent(max(0.2, w*part))})
				kind = "-"
			}
		}
		if kind != "-" {
			t.Bars = append(t.Bars, bar{kind, percent(x), percent(max(0.2, w))})
		}
		x += w + gapShare
	}
	t.Tick = tick
	if moving && known == n {
		left = left.Round(5 * time.Second)
		t.Text = "about " + command.Short(left) + " to go"
		if over > 5*time.Second {
			t.Text = command.Short(over.Round(5*time.Second)) + " over usual, " + t.Text
		}
	}
	return t
}

// stage is a row of the table of stages.
type stage struct {
	N           int
	Step        string
	Kind, Label string
	Bar, Tick   string // widths in per cent; "" for none
	Took        string
	Since       time.Time // of the stage under way
	Usual       string
	Say         string // what it said last
	Now         bool
}

// stages reads out of the events of a run that are no lines what became of its stages.
func stages(r pipeline.Run, marks []pipeline.Event, said map[int]string, usual pipeline.Usual, now time.Time) []stage {
	out := make([]stage, len(r.Steps))
	took := make([]time.Duration, len(out))
	for i, step := range r.Steps {
		out[i] = stage{N: i + 1, Step: step, Kind: "todo", Label: "to come", Say: said[i]}
		if u := usual.Stage(i, step); u > 0 {
			out[i].Usual = command.Short(u)
		}
	}
	for _, ev := range marks {
		if ev.Stage < 0 || ev.Stage >= len(out) {
			continue
		}
		st := &out[ev.Stage]
		switch ev.Kind {
		case pipeline.EvStep:
			st.Kind, st.Label, took[ev.Stage] = "todo", "to come", 0
		case pipeline.EvDone:
			st.Kind, st.Label, took[ev.Stage] = "good", "done", ev.Took
			if st.Say == "" {
				if keys := command.Wrote(ev.Diff); keys != "" {
					st.Say = "wrote " + keys
				}
			}
		case pipeline.EvSkipped:
			st.Kind, st.Label = "skip", "skipped"
		case pipeline.EvStepUndone:
			st.Kind, st.Label = "off", "taken back"
		case pipeline.EvStays:
			st.Kind, st.Label, st.Say = "warn", "stays", ev.Text
		case pipeline.EvUndoStuck:
			st.Kind, st.Label, st.Say = "bad", "could not be taken back", ev.Text
		}
	}
	for i := range out {
		st := &out[i]
		switch {
		case i < r.Stage && st.Kind == "todo":
			st.Kind, st.Label = "good", "done" // its events are no longer on record
		case i == r.Stage && r.State != pipeline.Undone && r.State != pipeline.Undoing && r.HasBegun():
			st.Kind, _, st.Label = look(r)
			st.Now = r.State.Live()
			switch r.State {
			case pipeline.Running, pipeline.Waiting:
				st.Since, took[i] = r.StageAt, now.Sub(r.StageAt)
			case pipeline.Failed, pipeline.Asking:
				st.Say = r.Error
			}
		case i > r.Stage && r.State.Live() && r.State != pipeline.Undoing:
			st.Kind, st.Label, took[i] = "todo", "to come", 0
		}
	}
	scale := time.Second
	for i, step := range r.Steps {
		scale = max(scale, took[i], usual.Stage(i, step))
	}
	full := math.Pow(1.25, math.Ceil(math.Log(scale.Seconds())/math.Log(1.25))) // by steps, so that rows stay as they are
	for i, step := range r.Steps {
		if took[i] > 0 {
			out[i].Bar = percent(max(0.6, 100*took[i].Seconds()/full))
			if out[i].Since.IsZero() {
				out[i].Took = command.Short(took[i])
			}
		}
		if u := usual.Stage(i, step); u > 0 {
			out[i].Tick = percent(100 * u.Seconds() / full)
		}
		out[i].Say = clip(out[i].Say, 120)
	}
	return out
}
