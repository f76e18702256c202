package plain

import (
	"slices"
	"strings"
)

// Nearest gives the word closest to s by edit distance, or "" when none is near: at most a third of its letters
// differ.
func Nearest(s string, words []string) string {
	best, bestD := "", len(s)/3+1
	for _, w := range slices.Sorted(slices.Values(words)) {
		if d := distance(s, w); d < bestD {
			best, bestD = w, d
		}
	}
	return best
}

// fewNames is how many names are listed where none is near.
const fewNames = 6

// Meant says which of the names somebody may have meant, as what follows a sentence: "; did you mean load?", or what
// there is, when that are few; "" otherwise.
func Meant(s string, names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if near := Nearest(s, names); near != "" {
		return "; did you mean " + near + "?"
	}
	switch {
	case len(names) == 1:
		return "; there is " + names[0]
	case len(names) > 1 && len(names) <= fewNames:
		return "; there are " + strings.Join(names, ", ")
	}
	return ""
}

// distance is how many slips make one word of the other: a byte more, less or wrong, or two neighbours in each other's
// place.
func distance(a, b string) int {
	var before []int // the row two above
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		above := row
		row = make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := above[j-1]
			if a[i-1] != b[j-1] {
				cost++
			}
			row[j] = min(cost, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before = above
	}
	return row[len(b)]
}
