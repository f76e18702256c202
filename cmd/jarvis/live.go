package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	xterm "golang.org/x/term"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// plainView prints a line per stage: for pipes and logs.
type plainView struct {
	reminder
	out io.Writer
}

func (v *plainView) event(ev pipeline.Event, r web.RunView) {
	switch ev.Kind {
	case pipeline.EvLog, pipeline.EvKept, pipeline.EvStarted, pipeline.EvStep, pipeline.EvProgress:
		return
	}
	_, _ = fmt.Fprintln(v.out, plain.Line(command.EventLine(ev, len(r.Steps))))
}

// tick tells now and then that the run waits: who reads a log would think that it hangs.
func (v *plainView) tick(r web.RunView) {
	if v.due(r) {
		_, _ = fmt.Fprintln(v.out, plain.Line(waiting(r.Run)))
	}
}

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

// liveView draws the stages with bars, elapsed and usual time, and redraws them in place. It has no colours. What does
// not fit into the window is left out: what has scrolled away cannot be redrawn.
type liveView struct {
	out   io.Writer
	drawn []int // the widths of the lines that stand there
}

func (v *liveView) event(_ pipeline.Event, r web.RunView) {}
func (v *liveView) tick(r web.RunView)                    { v.draw(r) }
func (v *liveView) every() time.Duration                  { return 300 * time.Millisecond }
func (v *liveView) end(r web.RunView) {
	v.draw(r)
	_, _ = fmt.Fprintln(v.out, plain.Line(outcome(r)))
}

// draw writes over what it drew before, whose lines a narrower window has broken. The whole picture is one write.
func (v *liveView) draw(r web.RunView) {
	width, height := 100, 25
	if f, ok := fileOf(v.out); ok {
		if w, h, err := xterm.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			width, height = w, h
		}
	}
	var b strings.Builder
	// A terminal that became narrower has broken the lines that stand there.
	up := 0
	for _, w := range v.drawn {
		up += max(1, (w+width-1)/width)
	}
	if up = min(up, height-1); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString("\r\x1b[J\x1b[?7l") // without wrapping: a character may be wider than we think
	v.drawn = v.drawn[:0]
	for _, line := range stageLines(r, height-1, time.Now()) {
		rs := []rune(plain.Line(line))
		if len(rs) > width-1 {
			rs = append(rs[:max(0, width-2)], '…')
		}
		v.drawn = append(v.drawn, len(rs))
		b.WriteString(string(rs) + "\n")
	}
	b.WriteString("\x1b[?7h")
	_, _ = io.WriteString(v.out, b.String())
}

// stageLines writes the stages of a run, a line each; of more than fit, those around the one under way.
func stageLines(r web.RunView, room int, now time.Time) []string {
	n := len(r.Steps)
	from, to := 0, n
	if room = max(room, 1); n > room {
		from = min(max(0, r.Stage-room/2), n-room)
		to = from + room
	}
	var out []string
	for i := from; i < to; i++ {
		switch {
		case i == from && i > 0 && i < r.Stage && room > 3:
			out = append(out, fmt.Sprintf(" ✔ %d stages are done", i+1))
		case i == to-1 && i < n-1 && i > r.Stage && room > 3:
			out = append(out, fmt.Sprintf(" · %d stages are to come", n-i))
		default:
			out = append(out, stageBar(r, i, now))
		}
	}
	return out
}

// stageBar writes one stage.
func stageBar(r web.RunView, i int, now time.Time) string {
	mark, took := "·", ""
	bar := strings.Repeat("─", 12)
	switch {
	case i < r.Stage:
		mark, bar = "✔", strings.Repeat("━", 12)
	case i == r.Stage && r.State.Moving():
		usual := time.Duration(0)
		if i < len(r.Usual) {
			usual = r.Usual[i]
		}
		elapsed := now.Sub(r.StageAt)
		mark, took = "▶", command.Short(elapsed)
		fill := 6
		if usual > 0 {
			fill = max(0, min(11, int(12*elapsed/usual)))
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
	return fmt.Sprintf(" %s %2d/%d %-30s %s %s", mark, i+1, len(r.Steps), r.Steps[i], bar, took)
}
