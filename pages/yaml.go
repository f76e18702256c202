package pages

import (
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/pipeline"
)

// yamlLine is a line of a clipboard, with who wrote it.
type yamlLine struct {
	Who   string // "" when it is that of the line before
	Stage int    // from 1; 0: a person
	Text  string
	Class string // "new", or "old" for what was taken out
}

// blame tells who wrote which line of a clipboard as it is now, from the changes that steps made one after the other.
// All of it is masked, on record already.
func blame(text, by string, marks []pipeline.Event) []yamlLine {
	type author struct {
		who   string
		stage int
	}
	wrote, gone := map[string]author{}, map[string][]string{}
	for _, ev := range marks {
		if ev.Diff == "" || ev.Step == "" {
			continue
		}
		var out []string
		for l := range strings.Lines(ev.Diff) {
			l = strings.TrimSuffix(l, "\n")
			switch {
			case strings.HasPrefix(l, "- "):
				out = append(out, l[2:])
				delete(wrote, l[2:])
			case strings.HasPrefix(l, "+ "):
				wrote[l[2:]] = author{fmt.Sprintf("%d %s", ev.Stage+1, ev.Step), ev.Stage + 1}
				if len(out) > 0 { // it came in the place of these
					gone[l[2:]], out = out, nil
				}
			}
		}
	}
	var list []yamlLine
	last := ""
	add := func(a author, text, class string) {
		l := yamlLine{Who: a.who, Stage: a.stage, Text: text, Class: class}
		if a.who == last {
			l.Who, l.Stage = "", 0
		}
		last = a.who
		list = append(list, l)
	}
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		a, ok := wrote[l]
		if !ok {
			add(author{by, 0}, l, "")
			continue
		}
		for _, old := range gone[l] {
			add(a, old, "old")
		}
		add(a, l, "new")
	}
	if list == nil {
		list = []yamlLine{}
	}
	return list
}
