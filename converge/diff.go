package converge

import (
	"fmt"
	"strings"
)

// Diff shows what changes between two texts, as diff -u without its head: three lines around each change.
func Diff(old, now string) string {
	a, b := splitLines(old), splitLines(now)
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	if head == len(a) && head == len(b) {
		return ""
	}
	type op struct {
		mark byte
		text string
	}
	var ops []op
	x, y := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(x)*len(y) > 4_000_000 { // too much for a table: all of it
		for _, l := range x {
			ops = append(ops, op{'-', l})
		}
		for _, l := range y {
			ops = append(ops, op{'+', l})
		}
	} else {
		long := make([][]int32, len(x)+1)
		for i := range long {
			long[i] = make([]int32, len(y)+1)
		}
		for i := len(x) - 1; i >= 0; i-- {
			for j := len(y) - 1; j >= 0; j-- {
				if x[i] == y[j] {
					long[i][j] = long[i+1][j+1] + 1
				} else {
					long[i][j] = max(long[i+1][j], long[i][j+1])
				}
			}
		}
		for i, j := 0, 0; i < len(x) || j < len(y); {
			switch {
			case i < len(x) && j < len(y) && x[i] == y[j]:
				ops = append(ops, op{' ', x[i]})
				i, j = i+1, j+1
			case j == len(y) || i < len(x) && long[i+1][j] >= long[i][j+1]:
				ops = append(ops, op{'-', x[i]})
				i++
			default:
				ops = append(ops, op{'+', y[j]})
				j++
			}
		}
	}
	const around = 3
	var out strings.Builder
	fmt.Fprintf(&out, "@@ line %d @@\n", head+1)
	for _, l := range a[max(0, head-around):head] {
		out.WriteString(" " + l + "\n")
	}
	quiet := 0 // unchanged lines in a row
	for i, o := range ops {
		if o.mark == ' ' {
			quiet++
			next := false // a change is near
			for _, p := range ops[i:min(len(ops), i+around+1)] {
				next = next || p.mark != ' '
			}
			if quiet > around && !next {
				if quiet == around+1 {
					out.WriteString("…\n")
				}
				continue
			}
		} else {
			quiet = 0
		}
		out.WriteString(string(o.mark) + o.text + "\n")
	}
	for _, l := range a[len(a)-tail : min(len(a), len(a)-tail+around)] {
		out.WriteString(" " + l + "\n")
	}
	return out.String()
}

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
