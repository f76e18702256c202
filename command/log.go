package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

func logOf() Verb {
	return Verb{
		Name: "log", Usage: "HOST [STAGE]", Role: access.View, Min: 1, Max: 2,
		Doc:     "shows what a host's last run did, line by line",
		Example: "log loki 4",
		API:     []API{{Method: "GET", Path: "/v1/runs/{run}/log", Params: []Param{runParam(byHostName), {Name: "stage", In: InQuery, Doc: "number or step of one stage"}}, Gives: []pipeline.Event{}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			r, err := find(ctx, e, c.Args[0])
			if err != nil {
				return Answer{}, err
			}
			f := pipeline.EventFilter{Run: r.ID, Newest: true, Limit: maxLog + 1}
			if len(c.Args) == 2 {
				if f.Stage, err = StageOf(r, c.Args[1]); err != nil {
					return Answer{}, err
				}
			}
			evs, err := e.Engine.Events(ctx, f)
			if err != nil {
				return Answer{}, err
			}
			if len(evs) == 0 {
				if last, err := e.Engine.Events(ctx, pipeline.EventFilter{Run: r.ID, Newest: true, Limit: 1}); err == nil && len(last) == 0 && r.State.Resting() {
					return none(evs, "the events of run %d are older than keep.events: they are no longer on record; `show %s` shows what it left", r.ID, c.Args[0]), nil
				}
				return none(evs, "nothing is on record for that stage yet"), nil
			}
			a := Answer{Run: &r}
			if len(evs) > maxLog {
				evs = evs[1:]
				hint := fmt.Sprintf("`log %s STAGE` shows one stage", c.Args[0])
				if f.Stage > 0 {
					hint = "the API has them all"
				}
				a.Lines = []string{fmt.Sprintf("these are the last %d lines of run %d; %s", maxLog, r.ID, hint)}
			}
			for _, ev := range evs {
				a.Lines = append(a.Lines, EventLine(ev, len(r.Steps)))
			}
			a.Data = evs
			return a, nil
		},
	}
}

// StageOf gives the number of a run's stage, from 1 on, by that number or by its step.
func StageOf(r pipeline.Run, word string) (int, error) {
	if i := slices.Index(r.Steps, word); i >= 0 {
		return i + 1, nil
	}
	if n, err := strconv.Atoi(word); err == nil && n >= 1 && n <= len(r.Steps) {
		return n, nil
	}
	return 0, &UserError{Msg: fmt.Sprintf("run %d has no stage %q", r.ID, clip(word, 40)), Hint: fmt.Sprintf("give a number from 1 to %d, or a step of %s", len(r.Steps), strings.Join(r.Steps, ", ")), Kind: ErrNotFound}
}

// maxLog bounds what `log` shows: the newest, because that is where a run failed.
const maxLog = 5000

// EventLine writes one event for people.
func EventLine(ev pipeline.Event, stages int) string {
	s := plain.Time(ev.At) + " "
	if ev.Step != "" {
		s += fmt.Sprintf("%d/%d %s ", ev.Stage+1, stages, ev.Step)
	}
	return s + EventText(ev)
}

// EventText says what an event tells, without when and at which stage. What a step said itself has a | before it.
func EventText(ev pipeline.Event) string {
	switch ev.Kind {
	case pipeline.EvProgress, pipeline.EvLog:
		return "| " + ev.Text
	case pipeline.EvStep:
		return "begins"
	case pipeline.EvDone:
		s := "done in " + Short(ev.Took)
		if keys := Wrote(ev.Diff); keys != "" {
			s += ", wrote " + keys
		}
		return s
	}
	if ev.Kind == pipeline.EvReady && ev.Text != "" {
		return ev.Text // it says what "ready" is here
	}
	s := strings.ReplaceAll(string(ev.Kind), "_", " ")
	if ev.Text != "" {
		s += ": " + ev.Text
	}
	return s
}

// Wrote names the keys that a diff adds or changes.
func Wrote(diff string) string {
	var keys []string
	for _, l := range strings.Split(diff, "\n") {
		if k, _, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(l, "+")), ":"); ok && strings.HasPrefix(l, "+") && !strings.ContainsAny(k, " -") {
			keys = append(keys, k)
		}
	}
	return strings.Join(keys, ", ")
}
