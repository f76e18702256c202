package docs

import (
	"cmp"
	"slices"
	"strings"
)

// Hit is a section in which words were found.
type Hit struct {
	Page    *Page
	Section Section
	Text    string // where the first word stands
}

// Find gives the sections that have all of the words, in any case: those first that have them in the heading, then the
// shorter ones.
func Find(groups []Group, words []string, limit int) (hits []Hit) {
	if len(words) == 0 {
		return nil
	}
	var low []string
	for _, w := range words {
		low = append(low, strings.ToLower(w))
	}
	all := func(text string) bool {
		text = strings.ToLower(text)
		return !slices.ContainsFunc(low, func(w string) bool { return !strings.Contains(text, w) })
	}
	rank := func(h Hit) int {
		switch {
		case all(h.Section.Title):
			return 0
		case all(h.Page.Title + " " + h.Section.Title):
			return 1
		}
		return 2
	}
	for _, g := range groups {
		for _, p := range g.Pages {
			for _, s := range p.Sections {
				if all(p.Title + " " + s.Title + " " + s.Text) {
					hits = append(hits, Hit{p, s, around(s.Text, low[0])})
				}
			}
		}
	}
	slices.SortStableFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(len(a.Section.Text), len(b.Section.Text)))
	})
	return hits[:min(len(hits), limit)]
}

// around cuts a text to what stands around a word.
func around(text, word string) string {
	const before, most = 60, 240
	words, at := strings.Fields(text), 0
	for i, w := range words {
		if strings.Contains(strings.ToLower(w), word) {
			at = i
			break
		}
	}
	from := at
	for n := 0; from > 0 && n < before; from-- {
		n += len(words[from-1]) + 1
	}
	to := from
	for n := 0; to < len(words) && n < most; to++ {
		n += len(words[to]) + 1
	}
	out := strings.Join(words[from:to], " ")
	if from > 0 {
		out = "… " + out
	}
	if to < len(words) {
		out += " …"
	}
	return out
}
