package clipboard

import "strings"

// Diff lists what changed from old to new, a line each with "- " or "+ " before it; "" when nothing did. Both are
// taken masked, so that a diff never holds a secret. It is the record of who wrote what.
func Diff(old, new *Clipboard) string {
	if string(old.src) == string(new.src) {
		return ""
	}
	a, b := strings.Split(old.Masked(), "\n"), strings.Split(new.Masked(), "\n")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var out strings.Builder
	line := func(mark, s string) { out.WriteString(mark + s + "\n") }
	if len(a)*len(b) > 1_000_000 {
		for _, l := range a {
			line("- ", l)
		}
		for _, l := range b {
			line("+ ", l)
		}
		return out.String()
	}
	// Longest common subsequence, from the end; what remains after the trimming above is small.
	lcs := make([][]int, len(a)+1)
	for i := range lcs {
		lcs[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j >= len(b) || i < len(a) && lcs[i+1][j] >= lcs[i][j+1]:
			line("- ", a[i])
			i++
		default:
			line("+ ", b[j])
			j++
		}
	}
	return out.String()
}
