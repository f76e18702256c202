package pages

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/checks/model"
)

// sky draws results side by side: the higher, the worse. It reads in grey, too.
type sky struct {
	Kinds []string
	Label string // for who does not see it; "": a name stands beside it
	Wide  bool   // as wide as there is room
}

// heights of the columns, of 20.
var heights = map[string]int{"good": 4, "warn": 12, "bad": 20, "unk": 20, "off": 2}

// SVG gives it, a path for each kind.
func (k sky) SVG() template.HTML {
	const wide, step = 5, 6
	paths := map[string]*strings.Builder{}
	for i, kind := range k.Kinds {
		if paths[kind] == nil {
			paths[kind] = &strings.Builder{}
		}
		h := heights[kind]
		fmt.Fprintf(paths[kind], "M%d 20v-%dh%dv%dz", i*step, h, wide, h)
	}
	class, width := "sky", max(len(k.Kinds)*step-1, 1)
	if k.Wide {
		class = "sky wide"
	}
	as := `aria-hidden="true"`
	if k.Label != "" {
		as = `role="img" aria-label="` + template.HTMLEscapeString(k.Label) + `"`
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="%s" width="%d" height="20" viewBox="0 0 %[2]d 20" preserveAspectRatio="none" %s>`, class, width, as)
	for _, kind := range []string{"good", "warn", "bad", "unk", "off"} {
		if p := paths[kind]; p != nil {
			fmt.Fprintf(&b, `<path class="%s" d="%s"/>`, kind, p)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// kindOfStatus gives the shape of a result.
func kindOfStatus(s model.Status) string {
	switch s {
	case model.OK:
		return "good"
	case model.Warning:
		return "warn"
	case model.Critical:
		return "bad"
	}
	return "unk"
}

// kindOf gives the shape of a check as it stands.
func kindOf(c checks.View) string {
	if c.At.IsZero() {
		return "off"
	}
	return kindOfStatus(c.Status)
}

// lastSky draws the last results of a check, and says how many were how.
func lastSky(list []checks.Brief) sky {
	k := sky{Wide: true}
	count := map[string]int{}
	for _, r := range list {
		k.Kinds = append(k.Kinds, kindOfStatus(r.Status))
		count[r.Status.String()]++
	}
	var parts []string
	for _, word := range []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"} {
		if n := count[word]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	k.Label = strings.Join(parts, ", ")
	return k
}
