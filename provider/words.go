package provider

import (
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
)

// Word turns what a person says into the provider's own name: exactly as in one of the tables (any case; spaces and
// hyphens count for nothing), or one of the provider's own names as it is. Of several tables the first counts. A near
// miss gets a suggestion, everything else the list of what there is; nothing is ever guessed. key is the clipboard's,
// title the provider's; the error is pipeline.Permanent.
func Word(key, said, title string, tables ...map[string]string) (string, error) {
	var words []string
	for _, table := range tables {
		for _, w := range slices.Sorted(maps.Keys(table)) {
			if Same(w, said) {
				return table[w], nil
			}
			if !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	for _, table := range tables {
		for _, own := range table {
			if own == said {
				return own, nil
			}
		}
	}
	return "", Unknown(key, said, words, title)
}

// Twice gives two words of a table that are the same to a person and mean different things; "" when there are none.
func Twice(table map[string]string) (a, b string) {
	seen := map[string]string{}
	for _, w := range slices.Sorted(maps.Keys(table)) {
		if other, ok := seen[fold(w)]; ok && table[other] != table[w] {
			return other, w
		}
		seen[fold(w)] = w
	}
	return "", ""
}

// Unknown says that a provider does not have what the clipboard names: with the nearest there is, or else with all,
// newest first.
func Unknown(key, said string, words []string, title string) error {
	said = plain.Clip(said, 60)
	if said == "" {
		return pipeline.Permanentf("the clipboard names no %q; %s has %s", key, title, list(words))
	}
	// The same system in another version: "Debian 6" when there are 11 and 12.
	if newest := otherVersion(said, words); newest != "" && key == "guestid" {
		gone := ""
		if older(said, newest) {
			gone = " (any more)"
		}
		return pipeline.Permanentf("%s has no %s %q%s; newest there is %s", title, key, said, gone, newest)
	}
	lower := make([]string, len(words))
	for i, w := range words {
		lower[i] = fold(w)
	}
	if near := pipeline.Nearest(fold(said), lower); near != "" {
		for _, w := range words {
			if fold(w) == near {
				return pipeline.Permanentf("%s has no %s %q; did you mean %q?", title, key, said, w)
			}
		}
	}
	return pipeline.Permanentf("%s has no %s %q; it has %s", title, key, said, list(words))
}

// otherVersion gives the newest of the words that differ from said in their numbers only; "" when there is none.
func otherVersion(said string, words []string) string {
	letters := func(s string) string {
		return strings.Join(strings.FieldsFunc(fold(s), func(r rune) bool { return r >= '0' && r <= '9' || r == '.' || r == ' ' }), " ")
	}
	var kin []string
	for _, w := range words {
		if letters(w) == letters(said) {
			kin = append(kin, w)
		}
	}
	if len(kin) == 0 {
		return ""
	}
	sortNewest(kin)
	return kin[0]
}

// Same reports whether two names are the same to a person.
func Same(a, b string) bool { return fold(a) == fold(b) }

// Holds reports whether a longer name says the words of another: "debian12-cloud" holds "Debian 12".
func Holds(name, words string) bool {
	return strings.Contains(" "+fold(name)+" ", " "+fold(words)+" ")
}

// fold makes names comparable: lower case, and a space wherever letters and numbers meet, so that "debian12" is "Debian
// 12" and "Linode 4 GB" is "Linode 4GB". A dot between digits stays.
func fold(s string) string {
	var b strings.Builder
	rs := []rune(strings.ToLower(s))
	digit := func(i int) bool { return i >= 0 && i < len(rs) && rs[i] >= '0' && rs[i] <= '9' }
	for i, r := range rs {
		switch {
		case strings.ContainsRune(" -_/", r), r == '.' && !(digit(i-1) && digit(i+1)):
			b.WriteByte(' ')
			continue
		case i > 0 && r != '.' && rs[i-1] != '.' && digit(i) != digit(i-1):
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return plain.Joined(b.String())
}

// older reports whether the first version in a is below that in b.
func older(a, b string) bool {
	first := func(s string) float64 {
		for _, f := range strings.Fields(fold(s)) {
			if n := number(f); n >= 0 {
				return n
			}
		}
		return -1
	}
	return first(a) < first(b)
}

// list names at most twelve, newest first.
func list(words []string) string {
	words = slices.Clone(words)
	sortNewest(words)
	if len(words) == 0 {
		return "none"
	}
	more := ""
	if len(words) > 12 {
		words, more = words[:12], ", …"
	}
	return strings.Join(words, ", ") + more
}

// sortNewest sorts by name, and within a name by the numbers in it, highest first.
func sortNewest(words []string) {
	sort.Slice(words, func(i, j int) bool {
		a, b := strings.Fields(fold(words[i])), strings.Fields(fold(words[j]))
		for k := 0; k < len(a) && k < len(b); k++ {
			if a[k] == b[k] {
				continue
			}
			x, y := number(a[k]), number(b[k])
			if x >= 0 && y >= 0 && x != y {
				return x > y
			}
			return a[k] < b[k]
		}
		return len(a) > len(b)
	})
}

// number reads "12" or "24.04" as a number that compares; -1 when it is none.
func number(s string) float64 {
	n, scale, frac, digits := 0.0, 1.0, false, false
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits = true
			if frac {
				scale /= 10
				n += float64(r-'0') * scale
			} else {
				n = n*10 + float64(r-'0')
			}
		case r == '.' && !frac:
			frac = true
		default:
			return -1
		}
	}
	if !digits {
		return -1
	}
	return n
}
