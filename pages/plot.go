package pages

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
)

// maxPlots is how many values of a check are drawn.
const maxPlots = 6

// plotList is the graphs of a check's values over a span.
type plotList struct {
	Spans    []span
	Plots    []plot
	From, To time.Time
}

// plot is the graph of one value: its mean as a line, from its lowest to its highest as an area, and the thresholds.
type plot struct {
	Label, About string
	SVG          template.HTML
}

// plotsOf draws what the roll-ups have of a check.
func (s *Site) plotsOf(ctx context.Context, c checks.View, asked string) (plotList, error) {
	out := plotList{Spans: append([]span(nil), spans...)}
	at := 0
	for i := range spans {
		if spans[i].Key == asked {
			at = i
		}
	}
	out.Spans[at].Here = true
	sp := spans[at]
	out.To = time.Now().Truncate(sp.step).Add(sp.step)
	out.From = out.To.Add(-sp.back)
	list, err := s.Checks.Metrics(ctx, c.Key, sp.step, out.From)
	if err != nil {
		return out, err
	}
	limits := map[string]model.Metric{}
	now, _ := model.ParsePerf(c.Perfdata)
	for _, m := range now {
		limits[m.Label] = m
	}
	for _, x := range list[:min(len(list), maxPlots)] {
		out.Plots = append(out.Plots, drawPlot(x, limits[x.Label], sp, out.From, out.To))
	}
	return out, nil
}

// edge gives the finite end of a range at which it alerts.
func edge(r *model.Range) (float64, bool) {
	switch {
	case r == nil:
		return 0, false
	case !math.IsInf(r.To, 0):
		return r.To, true
	case !math.IsInf(r.From, 0) && r.From != 0:
		return r.From, true
	}
	return 0, false
}

// figure writes a value shortly.
func figure(v float64, unit string) string {
	text := strconv.FormatFloat(v, 'g', 4, 64)
	if a := math.Abs(v); a >= 1e4 && a < 1e15 && unit != "%" {
		text = strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strings.TrimSpace(text + " " + unit)
}

// drawPlot draws means as a line, and from lowest to highest as an area. A gap in the points is a gap in the line.
func drawPlot(x checks.Series, now model.Metric, sp span, from, to time.Time) plot {
	low, high, sum, n := math.Inf(1), math.Inf(-1), 0.0, int64(0)
	for _, p := range x.Points {
		low, high = min(low, p.Min), max(high, p.Max)
		sum, n = sum+p.Mean*float64(p.N), n+p.N
	}
	bottom, top := low, high
	type threshold struct {
		class, name string
		at          float64
	}
	var th []threshold
	for _, t := range []threshold{{class: "warn", name: "warning"}, {class: "bad", name: "critical"}} {
		r := now.Warn
		if t.class == "bad" {
			r = now.Crit
		}
		if v, ok := edge(r); ok {
			t.at = v
			th = append(th, t)
			bottom, top = min(bottom, v), max(top, v)
		}
	}
	if bottom > 0 && bottom < top/2 {
		bottom = 0
	}
	if room := (top - bottom) * .05; room > 0 {
		top += room
	} else {
		top = bottom + cmp.Or(math.Abs(bottom)*.1, 1)
	}
	y := func(v float64) float64 { return 100 * (top - v) / (top - bottom) }
	xAt := func(t time.Time) float64 { return 1000 * t.Sub(from).Seconds() / to.Sub(from).Seconds() }
	var line, over, under strings.Builder
	var area strings.Builder
	var last time.Time
	flush := func() {
		if over.Len() > 0 {
			fmt.Fprintf(&area, "M%sL%sz", strings.TrimPrefix(over.String(), "L"), strings.TrimPrefix(under.String(), "L"))
		}
		over.Reset()
		under.Reset()
	}
	for _, p := range x.Points {
		if gap := p.At.Sub(last); last.IsZero() || gap > 3*sp.step { // it did not run: there is no line
			flush()
			fmt.Fprintf(&line, "M%.1f %.2fh.1", xAt(p.At), y(p.Mean))
		} else {
			fmt.Fprintf(&line, "L%.1f %.2f", xAt(p.At), y(p.Mean))
		}
		fmt.Fprintf(&over, "L%.1f %.2f", xAt(p.At), y(p.Max))
		rest := under.String()
		under.Reset()
		fmt.Fprintf(&under, "L%.1f %.2f%s", xAt(p.At), y(p.Min), rest)
		last = p.At
	}
	flush()
	about := fmt.Sprintf("lowest %s, highest %s, mean %s, by %s", figure(low, x.Unit), figure(high, x.Unit), figure(sum/float64(max(n, 1)), x.Unit), map[time.Duration]string{5 * time.Minute: "5m", time.Hour: "1h", 24 * time.Hour: "1d"}[sp.step])
	if now.Label != "" && !math.IsNaN(now.Value) {
		about = "now " + figure(now.Value, now.Unit) + ", " + about
	}
	label := fmt.Sprintf("%s, last %s: %s", x.Label, sp.Name, about)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="plot" role="img" aria-label="%s">`, template.HTMLEscapeString(label))
	for i := range 5 {
		v := bottom + (top-bottom)*float64(i)/4
		fmt.Fprintf(&b, `<line class="grid" x1="0" x2="100%%" y1="%.1f%%" y2="%.1[1]f%%"/><text x="0" y="%.1[1]f%%" dy="-4">%s</text>`, y(v), template.HTMLEscapeString(figure(v, x.Unit)))
	}
	fmt.Fprintf(&b, `<svg width="100%%" height="100%%" viewBox="0 0 1000 100" preserveAspectRatio="none"><path class="area live" d="%s"/><path class="live" d="%s"/></svg>`, area.String(), line.String())
	for _, t := range th {
		fmt.Fprintf(&b, `<line class="th %s" x1="0" x2="100%%" y1="%.2f%%" y2="%.2[2]f%%"/><text x="12%%" y="%.2[2]f%%" dy="-4">%s %s</text>`, t.class, y(t.at), t.name, template.HTMLEscapeString(figure(t.at, x.Unit)))
	}
	b.WriteString("</svg>")
	return plot{x.Label, about, template.HTML(b.String())}
}
