package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	xterm "golang.org/x/term"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// view shows a run as it moves.
type view interface {
	event(ev pipeline.Event, r web.RunView)
	tick(r web.RunView)
	end(r web.RunView)
}

// watch feeds a view with a run's events, and follows again when the server was restarted meanwhile.
func watch(ctx context.Context, cl *web.Client, id, last int64, v view) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	r, err := cl.Run(ctx, id)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Add(1)
	go func() {
		defer wg.Done()
		t := time.NewTicker(300 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if now, err := cl.Run(ctx, id); err == nil {
				mu.Lock()
				r = now
				v.tick(r)
				mu.Unlock()
			}
		}
	}()
	for tries := 0; ; tries++ {
		err := cl.Follow(ctx, id, last, func(ev pipeline.Event) {
			mu.Lock()
			defer mu.Unlock()
			last, tries = ev.ID, 0
			v.event(ev, r)
		})
		now, rerr := cl.Run(ctx, id)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && rerr == nil && now.State.Resting() {
			return nil
		}
		if tries > 60 {
			return fmt.Errorf("the server is gone: %w", cmp.Or(rerr, err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// jsonView prints each event, and at the end the run, as a line of JSON.
type jsonView struct{ enc *json.Encoder }

func (v *jsonView) event(ev pipeline.Event, _ web.RunView) { _ = v.enc.Encode(ev) }
func (v *jsonView) tick(web.RunView)                       {}
func (v *jsonView) end(r web.RunView)                      { _ = v.enc.Encode(r.Run) }

// plainView prints a line per stage: for pipes and logs.
type plainView struct{ out io.Writer }

func (v *plainView) event(ev pipeline.Event, r web.RunView) {
	switch ev.Kind {
	case pipeline.EvLog, pipeline.EvKept, pipeline.EvStarted, pipeline.EvStep, pipeline.EvProgress:
		return
	}
	_, _ = fmt.Fprintln(v.out, plain.Line(command.EventLine(ev, len(r.Steps))))
}
func (v *plainView) tick(web.RunView) {}
func (v *plainView) end(r web.RunView) {
	_, _ = fmt.Fprintln(v.out, plain.Line(outcome(r)))
}

// outcome says how a run ended, with the words that are contract.
func outcome(r web.RunView) string {
	switch r.State {
	case pipeline.Ready:
		return command.ReadyLine(r.Run)
	case pipeline.Failed:
		return fmt.Sprintf("%s failed at %s: %s", r.Host, r.Where(), r.Error)
	}
	return command.StatusLine(r.Run, "", 0, time.Now())
}

// liveView draws the stages with bars, elapsed and usual time, and redraws them in place.
type liveView struct {
	out   io.Writer
	drawn int
}

func (v *liveView) event(_ pipeline.Event, r web.RunView) {}
func (v *liveView) tick(r web.RunView)                    { v.draw(r) }
func (v *liveView) end(r web.RunView) {
	v.draw(r)
	_, _ = fmt.Fprintln(v.out, plain.Line(outcome(r)))
}

func (v *liveView) draw(r web.RunView) {
	width := 100
	if f, ok := v.out.(*os.File); ok {
		if w, _, err := xterm.GetSize(int(f.Fd())); err == nil && w > 20 {
			width = w
		}
	}
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	for i, step := range r.Steps {
		mark, took := "·", ""
		bar := strings.Repeat("─", 12)
		usual := time.Duration(0)
		if i < len(r.Usual) {
			usual = r.Usual[i]
		}
		switch {
		case i < r.Stage:
			mark, bar = "✔", strings.Repeat("━", 12)
		case i == r.Stage && r.State.Moving():
			elapsed := time.Since(r.StageAt)
			mark, took = "▶", command.Short(elapsed)
			fill := 6
			if usual > 0 {
				fill = min(11, int(12*elapsed/usual))
				took += " (usually " + command.Short(usual) + ")"
			}
			bar = strings.Repeat("━", fill) + strings.Repeat("─", 12-fill)
			line := r.Line
			if r.State == pipeline.Waiting {
				line = r.Why
			}
			if line != "" {
				took += " — " + line
			}
		case i == r.Stage:
			mark, took = "✘", r.Error
		}
		line := plain.Line(fmt.Sprintf(" %s %2d/%d %-30s %s %s", mark, i+1, len(r.Steps), step, bar, took))
		if rs := []rune(line); len(rs) > width-1 {
			line = string(rs[:width-2]) + "…"
		}
		fmt.Fprintf(&b, "\x1b[2K%s\n", line)
	}
	v.drawn = len(r.Steps)
	_, _ = io.WriteString(v.out, b.String())
}
