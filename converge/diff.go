package converge

import (
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/internal/lcs"
)

// Diff shows what changes between two texts, as diff -u without its head: three lines around each change.
func Diff(old, now string) string {
	a, b := splitLines(old), splitLines(now)
	hunks := lcs.Hunks(a, b, lcs.MaxCells)
	if len(hunks) == 0 {
		return ""
	}
	const around = 3
	var out strings.Builder
	lines := func(mark string, of []string) {
		for _, l := range of {
			out.WriteString(mark + l + "\n")
		}
	}
	fmt.Fprintf(&out, "@@ line %d @@\n", hunks[0].A+1)
	lines(" ", a[max(0, hunks[0].A-around):hunks[0].A])
	for i, h := range hunks {
		lines("-", a[h.A:h.B])
		lines("+", b[h.C:h.D])
		next := len(a)
		if i+1 < len(hunks) {
			next = hunks[i+1].A
		}
		switch after := a[h.B:next]; {
		case next == len(a):
			lines(" ", after[:min(len(after), around)])
		case len(after) > 2*around:
			lines(" ", after[:around])
			out.WriteString("…\n")
			lines(" ", after[len(after)-around:])
		default:
			lines(" ", after)
		}
	}
	return out.String()
}

// splitLines says of a last line that it has no newline, so that a diff shows that as well.
func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.Split(s, "\n")
	if lines[len(lines)-1] == "" {
		return lines[:len(lines)-1]
	}
	lines[len(lines)-1] += " (no newline at the end)"
	return lines
}
