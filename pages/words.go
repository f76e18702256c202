package pages

import (
	"context"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// words are what templates can say beside what html/template has.
func (s *Site) words() template.FuncMap {
	return template.FuncMap{
		"to":    func(parts ...any) string { return s.prefix + fmt.Sprint(parts...) },
		"file":  func(name string) string { return s.static[name].path },
		"mark":  mark,
		"code":  code,
		"wbr":   breaks,
		"short": command.Short,
		"stamp": func(t time.Time) template.HTML { return stamp(t, "") },
		"sec":   func(t time.Time) template.HTML { return stamp(t, "data-sec") },
		"since": func(t time.Time) template.HTML { return stamp(t, "data-since") },
		"clock": plain.Clock,
		"many":  many,
		"words": command.JoinWords,
		"ask":   url.QueryEscape, // after an address of to, whose ? the template does not see
	}
}

// stamp writes a time, in UTC until the script writes it in the reader's zone.
func stamp(t time.Time, how string) template.HTML {
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	text := plain.Stamp(t)
	switch how {
	case "data-since":
		text = command.Short(time.Since(t))
	case "data-sec":
		text = plain.Clock(t)
	}
	if how != "" {
		how = " " + how
	}
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `"` + how + `>` + text + `</time>`)
}

// code writes a sentence of chat: what stands between backticks could be typed.
func code(text string) template.HTML {
	var b strings.Builder
	parts := strings.Split(text, "`")
	for i, p := range parts {
		p = template.HTMLEscapeString(p)
		switch {
		case i%2 == 0:
			b.WriteString(p)
		case i == len(parts)-1: // it has no partner
			b.WriteString("`" + p)
		default:
			b.WriteString("<code>" + p + "</code>")
		}
	}
	return template.HTML(b.String())
}

// breaks lets a name of our kind break where it has parts.
func breaks(name string) template.HTML {
	return template.HTML(strings.NewReplacer(":", ":<wbr>", "_", "_<wbr>").Replace(template.HTMLEscapeString(name)))
}

func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// shapes are the marks: a state is a shape first, then a word, then a colour.
var shapes = map[string]struct{ class, path string }{
	"good": {"good", `<path d="M3 8.5l3.2 3.2L13 4.8"/>`},
	"live": {"live", `<circle cx="8" cy="8" r="6.5" stroke-opacity=".3"/><path class="spin" d="M8 1.5A6.5 6.5 0 0 1 14.5 8"/><path class="f" d="M6.3 5v6l4.7-3z"/>`},
	"wait": {"wait", `<path d="M5.5 3v10M10.5 3v10" stroke-width="2.5"/>`},
	"bad":  {"bad", `<path class="f" d="M5 1h6l4 4v6l-4 4H5l-4-4V5z"/><path class="k" d="M5.4 5.4l5.2 5.2m0-5.2l-5.2 5.2"/>`},
	"warn": {"warn", `<path class="f" d="M8 1l7.5 13.5H.5z"/><path class="k" d="M8 5.5V10M8 11.6v1.6"/>`},
	"unk":  {"unk", `<path d="M8 1.2L14.8 8 8 14.8 1.2 8z" stroke-width="1.6"/><path d="M6.5 6.8a1.5 1.5 0 1 1 2.3 1.2c-.6.4-.8.6-.8 1.1M8 10.4v.9" stroke-width="1.5"/>`},
	"off":  {"off", `<path d="M4 8h8"/>`},
	"todo": {"off", `<circle cx="8" cy="8" r="2.5" stroke-width="1.5"/>`},
	"skip": {"off", `<path d="M3 4l4 4-4 4M8.5 4l4 4-4 4"/>`},
}

// mark draws a shape of ours; label is for who does not see it, "" where a word stands beside it.
func mark(kind string, label ...string) template.HTML {
	s := shapes[kind]
	as := `aria-hidden="true"`
	if len(label) > 0 && label[0] != "" {
		as = `role="img" aria-label="` + template.HTMLEscapeString(label[0]) + `"`
	}
	return template.HTML(`<svg class="m ` + s.class + `" viewBox="0 0 16 16" ` + as + `>` + s.path + `</svg>`)
}

// look gives the shape for a run's state, its sign in the title of a tab, and its word.
func look(r pipeline.Run) (kind, sign, word string) {
	switch r.State {
	case pipeline.Proposed:
		return "wait", "‖", "approve?"
	case pipeline.Planned:
		return "wait", "‖", "planned"
	case pipeline.Running, pipeline.Undoing:
		return "live", "▶", string(r.State)
	case pipeline.Waiting:
		return "live", "▶", "waiting"
	case pipeline.Failed:
		return "bad", "✕", "failed"
	case pipeline.Asking:
		return "unk", "?", "asks"
	case pipeline.Ready:
		if r.IsImport() {
			return "off", "–", "imported"
		}
		if r.Ending == pipeline.EndDestroyed {
			return "off", "–", "destroyed"
		}
		return "good", "✓", "ready"
	case pipeline.Undone:
		return "good", "✓", "undone"
	}
	return "off", "–", string(r.State)
}

// once keeps what was read for a moment: all pages show it.
type once[T any] struct {
	mu sync.Mutex
	at time.Time
	v  T
}

// get reads again after a second. When it cannot, what was read before stays.
func (o *once[T]) get(read func() (T, error)) T {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.at) > time.Second {
		if v, err := read(); err == nil {
			o.v, o.at = v, time.Now()
		}
	}
	return o.v
}

// forget has it read again.
func (o *once[T]) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at = time.Time{}
}

// problems gives the checks that are wrong, and not quiet on purpose.
func (s *Site) problems(ctx context.Context) []checks.View {
	if s.Checks == nil {
		return nil
	}
	return s.wrong.get(func() ([]checks.View, error) {
		list, err := s.Checks.List(ctx, checks.Filter{Status: checks.Problems})
		if err != nil {
			return nil, err
		}
		var out []checks.View
		for _, v := range list {
			if v.Hidden == "" && v.Ack == nil && v.Hard != model.OK {
				out = append(out, v)
			}
		}
		return out, nil
	})
}

// approvals gives what waits for a second person.
func (s *Site) approvals(ctx context.Context) []pipeline.Approval {
	return s.asked.get(func() ([]pipeline.Approval, error) { return s.Engine.Approvals(ctx) })
}

// navData is the navigation.
type navData struct{ Links []navLink }

type navLink struct {
	Path, Name, Key string
	Here            bool
	Count           int
	Kind, What      string // of the count
}

// nav is a part of every page: the way to those that its reader may see.
func (s *Site) nav(ctx context.Context, here *page, who access.Person) part {
	var d navData
	for _, p := range s.pages {
		if p.name == "" || !who.Has(p.role) || p.checks && s.Checks == nil {
			continue
		}
		l := navLink{Path: strings.TrimSuffix(p.path, "{$}"), Name: p.name, Key: p.key, Here: p == here || here != nil && p.name == here.of}
		switch p.name {
		case "Approvals":
			l.Count, l.Kind, l.What = len(s.approvals(ctx)), "wait", "wait"
		case "Checks":
			l.Count, l.Kind, l.What = len(s.problems(ctx)), "bad", "not OK"
		}
		d.Links = append(d.Links, l)
	}
	return part{"nav", "nav", d}
}
