package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// RunView is a run with what a progress view needs.
type RunView struct {
	pipeline.Run
	Line  string          `json:"line,omitempty" doc:"what the step under way says"`
	Usual []time.Duration `json:"usual" doc:"usual time of each stage, 0 when unknown"`
	Total time.Duration   `json:"usual_total"`
}

// RunsPage is one page of runs, newest first.
type RunsPage struct {
	Runs []pipeline.Run `json:"runs"`
	Next int64          `json:"next,omitempty" doc:"give it as before to read on; without it, this was the last page"`
}

// EventsPage is one page of events, oldest first.
type EventsPage struct {
	Events []pipeline.Event `json:"events"`
	Next   int64            `json:"next,omitempty" doc:"give it as after to read on; without it, there is no more yet"`
}

// Change is what one step wrote to the clipboard.
type Change struct {
	At    time.Time `json:"at"`
	Stage int       `json:"stage" doc:"from 0"`
	Step  string    `json:"step"`
	Diff  string    `json:"diff" doc:"lines with + and -, secrets masked"`
}

// Pipelines are lists of steps by verb and provider.
type Pipelines map[string]map[string][]string

// may checks who reads beside the verbs, and how often. What is refused is on record, as with a verb.
func (s *Server) may(ctx context.Context, what string) error {
	if err := s.mayView(ctx, what); err != nil {
		return err
	}
	return s.take(ctx)
}

// take counts a read.
func (s *Server) take(ctx context.Context) error {
	if c := callerOf(ctx); !c.free {
		if wait := s.Limiter.Take(c.person.Name); wait > 0 {
			return problem(tooFast(wait))
		}
	}
	return nil
}

// mayRead gives a run to who may see it. To follow one's own is not counted: whoever waits for a deployment asks often.
func (s *Server) mayRead(ctx context.Context, what, name string) (pipeline.Run, error) {
	if err := s.mayView(ctx, what); err != nil {
		return pipeline.Run{}, err
	}
	run, err := s.find(ctx, name)
	if err == nil && run.By == callerOf(ctx).person.Name {
		return run, nil
	}
	if limit := s.take(ctx); limit != nil {
		return run, limit
	}
	return run, err
}

// mayView puts on record who is refused.
func (s *Server) mayView(ctx context.Context, what string) error {
	c := callerOf(ctx)
	if c.person.Has(access.View) {
		return nil
	}
	p := &Problem{Status: http.StatusForbidden, Kind: "denied", Detail: fmt.Sprintf("this needs the role %q", access.View), Hint: "/v1/whoami says how I see you"}
	who := c.person.Name
	if who == "" {
		who = "stranger " + c.asker
	}
	s.Table.Record(ctx, access.Record{Who: who, Via: c.via, Line: what, Outcome: p.Detail})
	return problem(p)
}

// find gives a run by its number or its host.
func (s *Server) find(ctx context.Context, name string) (pipeline.Run, error) {
	r, err := s.Engine.Find(ctx, name)
	var many *pipeline.AmbiguousError
	var gone *pipeline.GoneError
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, pipeline.ErrNotFound):
		return r, problem(&Problem{Status: http.StatusNotFound, Kind: "notfound", Detail: fmt.Sprintf("there is no run or host %q", name), Hint: "/v1/runs lists them"})
	case errors.As(err, &gone):
		return r, problem(&Problem{Status: http.StatusNotFound, Kind: "notfound", Detail: gone.Error()})
	case errors.As(err, &many):
		return r, problem(&Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: many.Error()})
	}
	return r, s.broken(err)
}

// RunPath is the {run} of a path.
type RunPath struct {
	Run string `path:"run" doc:"number of a run, or name of a host: its newest run"`
}

// addReads adds what only reads and is no verb: runs, their events, pipelines.
func (s *Server) addReads(api huma.API) {
	get := func(id, path, doc string) huma.Operation { return operation(api, id, path, http.MethodGet, doc) }

	type runsIn struct {
		Host   string `query:"host" doc:"only of this host"`
		State  string `query:"state" enum:"proposed,planned,running,waiting,failed,asking,undoing,ready,cancelled,undone" doc:"only in this state"`
		Before int64  `query:"before" doc:"only runs with a lower number"`
		Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	}
	type runsOut struct {
		Link string `header:"Link" doc:"rel=next: the next page"`
		Body RunsPage
	}
	huma.Register(api, get("runs", "/v1/runs", "lists runs, newest first"), func(ctx context.Context, q *runsIn) (*runsOut, error) {
		if err := s.may(ctx, "GET /v1/runs"); err != nil {
			return nil, err
		}
		list, err := s.Engine.Runs(ctx, pipeline.RunFilter{Host: q.Host, State: pipeline.State(q.State), Before: q.Before, Limit: q.Limit + 1})
		if err != nil {
			return nil, s.broken(err)
		}
		out := &runsOut{Body: RunsPage{Runs: list}}
		if len(list) > q.Limit {
			out.Body.Runs = list[:q.Limit]
			out.Body.Next = list[q.Limit-1].ID
			v := url.Values{"before": {strconv.FormatInt(out.Body.Next, 10)}, "limit": {strconv.Itoa(q.Limit)}}
			if q.Host != "" {
				v.Set("host", q.Host)
			}
			if q.State != "" {
				v.Set("state", q.State)
			}
			out.Link = `</v1/runs?` + v.Encode() + `>; rel="next"`
		}
		return out, nil
	})

	type runOut struct{ Body RunView }
	huma.Register(api, get("get-run", "/v1/runs/{run}", "gives a run with its progress line and usual times"), func(ctx context.Context, q *RunPath) (*runOut, error) {
		run, err := s.mayRead(ctx, "GET /v1/runs/"+q.Run, q.Run)
		if err != nil {
			return nil, err
		}
		v := RunView{Run: run, Line: s.Engine.Line(ctx, run), Usual: make([]time.Duration, len(run.Steps))}
		if u, err := s.Engine.Usual(ctx, run.Pipeline); err == nil {
			v.Total = u.Total
			for i, step := range run.Steps {
				v.Usual[i] = u.Stage(i, step)
			}
		}
		return &runOut{v}, nil
	})

	type changesOut struct{ Body []Change }
	huma.Register(api, get("changes", "/v1/runs/{run}/changes", "tells who wrote what: each step's change of the clipboard"), func(ctx context.Context, q *RunPath) (*changesOut, error) {
		run, err := s.mayRead(ctx, "GET /v1/runs/"+q.Run+"/changes", q.Run)
		if err != nil {
			return nil, err
		}
		out := &changesOut{Body: []Change{}}
		var after int64
		for {
			evs, err := s.Engine.Events(ctx, pipeline.EventFilter{Run: run.ID, After: after, Kinds: []pipeline.EventKind{pipeline.EvDone, pipeline.EvKept, pipeline.EvReleased, pipeline.EvStepUndone}})
			if err != nil {
				return nil, s.broken(err)
			}
			if len(evs) == 0 {
				return out, nil
			}
			for _, ev := range evs {
				after = ev.ID
				if ev.Diff != "" {
					out.Body = append(out.Body, Change{ev.At, ev.Stage, ev.Step, ev.Diff})
				}
			}
		}
	})

	type pipelinesOut struct{ Body Pipelines }
	huma.Register(api, get("pipelines", "/v1/pipelines", "lists the steps of each pipeline, by verb and provider"), func(ctx context.Context, _ *struct{}) (*pipelinesOut, error) {
		if err := s.may(ctx, "GET /v1/pipelines"); err != nil {
			return nil, err
		}
		return &pipelinesOut{s.Table.Pipelines()}, nil
	})

	op := get("run-events", "/v1/runs/{run}/events", "gives a run's events; as a stream with `Accept: text/event-stream`, which ends with the event `rest` when nothing more will come by itself")
	eventResponses(api, &op)
	huma.Register(api, op, func(ctx context.Context, q *struct {
		RunPath
		EventsQuery
	}) (*huma.StreamResponse, error) {
		run, err := s.mayRead(ctx, "GET /v1/runs/"+q.Run+"/events", q.Run)
		if err != nil {
			return nil, err
		}
		return s.events(api, ctx, run.ID, q.EventsQuery)
	})
	op = get("events", "/v1/events", "gives the events of all runs; as a stream with `Accept: text/event-stream`")
	eventResponses(api, &op)
	huma.Register(api, op, func(ctx context.Context, q *EventsQuery) (*huma.StreamResponse, error) {
		if err := s.may(ctx, "GET /v1/events"); err != nil {
			return nil, err
		}
		return s.events(api, ctx, 0, *q)
	})
}

// broken logs the cause, and tells the client that it is not theirs.
func (s *Server) broken(err error) error { return problem(s.trouble(err)) }

// trouble is what is answered when something failed that is not of the request.
func (s *Server) trouble(err error) *Problem {
	if errors.Is(err, context.Canceled) { // who asked has gone and reads nothing, or this server stops
		return &Problem{Status: http.StatusServiceUnavailable, Kind: "lost", Detail: "this server is stopping", Hint: "try again in a moment"}
	}
	s.Log.Error("answer a request", "err", err)
	var t *store.Trouble
	if errors.As(err, &t) {
		return &Problem{Status: http.StatusServiceUnavailable, Kind: "lost", Detail: t.What, Hint: "try again in a moment"}
	}
	return &Problem{Status: http.StatusInternalServerError, Kind: "failed", Detail: "something broke on my side", Hint: "it is in my log"}
}

// EventsQuery says which events, and how.
type EventsQuery struct {
	After  int64  `query:"after" doc:"only events with a higher number"`
	From   string `query:"from" enum:"now" doc:"now: only events that come from now on; next says where that is"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"1000" doc:"of one page; a stream has no end"`
	LastID string `header:"Last-Event-ID" doc:"of a stream that broke: it goes on after this event, without a gap"`
	Accept string `header:"Accept"`
}

// eventResponses describes by hand what the library cannot know: the same path gives a page or a stream.
func eventResponses(api huma.API, op *huma.Operation) {
	reg := api.OpenAPI().Components.Schemas
	op.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
		"application/json":  {Schema: reg.Schema(reflect.TypeFor[EventsPage](), true, "")},
		"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString, Description: "id: the event's number, event: its kind, data: it as JSON (HTML, Server-sent events)"}},
	}}
	op.Responses["204"] = &huma.Response{Description: "of a stream that goes on: nothing more will come, do not connect again"}
}

// heldPause is how long a stream waits before it looks again for events that are held back.
const heldPause = 200 * time.Millisecond

// heartbeat keeps proxies from cutting a stream that has nothing to say.
const heartbeat = 15 * time.Second

// events answers with a page, or with a stream.
func (s *Server) events(api huma.API, ctx context.Context, run int64, q EventsQuery) (*huma.StreamResponse, error) {
	if q.From == "now" {
		last, err := s.Engine.LastEvent(ctx)
		if err != nil {
			return nil, s.broken(err)
		}
		q.After = max(q.After, last)
	}
	if !strings.Contains(q.Accept, "text/event-stream") {
		evs, err := s.Engine.Events(ctx, pipeline.EventFilter{Run: run, After: q.After, Limit: q.Limit})
		if err != nil {
			return nil, s.broken(err)
		}
		page := EventsPage{Events: evs}
		if evs == nil {
			page.Events = []pipeline.Event{}
		}
		if q.From == "now" {
			page.Next = q.After
		}
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			if len(evs) == q.Limit {
				page.Next = evs[len(evs)-1].ID
				u := hctx.URL()
				v := u.Query()
				v.Set("after", strconv.FormatInt(page.Next, 10))
				hctx.SetHeader("Link", `<`+u.Path+`?`+v.Encode()+`>; rel="next"`)
			}
			s.answer(api, hctx, http.StatusOK, page)
		}}, nil
	}
	after := q.After
	if q.LastID != "" {
		id, err := strconv.ParseInt(q.LastID, 10, 64)
		if err != nil {
			return nil, problem(&Problem{Status: http.StatusBadRequest, Kind: "usage", Detail: "Last-Event-ID is not the number of an event"})
		}
		after = id
	}
	leave := func() {}
	if c := callerOf(ctx); !c.free {
		var ok bool
		if leave, ok = s.streams.take(c.person.Name); !ok {
			return nil, problem(busy(fmt.Sprintf("%d streams of yours are open; close one", personStreams)))
		}
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer leave()
		s.stream(hctx, run, after, q.LastID != "")
	}}, nil
}

// stream sends events as they come, until the run rests, the client goes or the server stops.
func (s *Server) stream(hctx huma.Context, run, after int64, again bool) {
	ctx := hctx.Context()
	changed, done := s.Engine.Changed()
	defer done()
	began := false
	begin := func() {
		if !began {
			hctx.SetHeader("Content-Type", "text/event-stream")
			hctx.SetHeader("Cache-Control", "no-store")
			hctx.SetHeader("X-Accel-Buffering", "no")
			hctx.SetStatus(http.StatusOK)
			began = true
		}
	}
	w := hctx.BodyWriter()
	flush := func() {
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		resting, held := false, false
		if run != 0 {
			// The state is read before the events: when it rests, all its events are out.
			r, err := s.Engine.Get(ctx, run)
			if err != nil {
				return
			}
			resting = r.State.Resting()
		}
		evs, err := s.Engine.Events(ctx, pipeline.EventFilter{Run: run, After: after})
		if err != nil {
			return
		}
		more := len(evs) == 1000
		if resting && !more {
			last := after
			if len(evs) > 0 {
				last = evs[len(evs)-1].ID
			}
			// On PostgreSQL its last events are held back while an earlier transaction is open: then it does not rest
			// yet.
			if resting, err = s.Engine.AllOut(ctx, run, last); err != nil {
				return
			}
			held = !resting
		}
		if !began && again && resting && len(evs) == 0 {
			hctx.SetStatus(http.StatusNoContent)
			return
		}
		begin()
		for _, ev := range evs {
			b, err := contract.Marshal(ev)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", ev.ID, ev.Kind, b); err != nil {
				return
			}
			after = ev.ID
		}
		if more {
			continue
		}
		if resting {
			_, _ = fmt.Fprintf(w, "event: rest\ndata: {}\n\n")
			flush()
			return
		}
		flush()
		var later <-chan time.Time
		if held { // nobody tells when that transaction ends
			later = time.After(heldPause)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-later:
		case <-beat.C:
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil {
				return
			}
		}
	}
}
