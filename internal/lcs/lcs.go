// Package lcs compares two lists by their longest common subsequence.
package lcs

// Hunk is a place where two lists differ: old[A:B] became now[C:D].
type Hunk struct{ A, B, C, D int }

// MaxCells bounds the table by which the parts that differ are compared, half a megabyte and some milliseconds: for
// Hunks that need not be the smallest.
const MaxCells = 4_000_000

// Hunks gives the places where two lists differ, in order; what is between them is the same. What is equal at both ends
// costs no memory. most bounds the table for the rest, in cells: where it would be larger all of the rest is one hunk.
// 0: no bound.
func Hunks(old, now []string, most int) []Hunk {
	head := 0
	for head < len(old) && head < len(now) && old[head] == now[head] {
		head++
	}
	tail := 0
	for tail < len(old)-head && tail < len(now)-head && old[len(old)-1-tail] == now[len(now)-1-tail] {
		tail++
	}
	x, y := old[head:len(old)-tail], now[head:len(now)-tail]
	if len(x) == 0 && len(y) == 0 {
		return nil
	}
	if len(x) == 0 || len(y) == 0 || most > 0 && len(x) > most/len(y) {
		return []Hunk{{head, head + len(x), head, head + len(y)}}
	}
	var out []Hunk
	drop := decide(x, y)
	same := func(i, j int) bool { return i < len(x) && j < len(y) && x[i] == y[j] }
	for i, j := 0, 0; i < len(x) || j < len(y); {
		if same(i, j) {
			i, j = i+1, j+1
			continue
		}
		h := Hunk{A: head + i, C: head + j}
		for (i < len(x) || j < len(y)) && !same(i, j) {
			if j == len(y) || i < len(x) && drop.has(i*len(y)+j) {
				i++
			} else {
				j++
			}
		}
		h.B, h.D = head+i, head+j
		out = append(out, h)
	}
	return out
}

// bits is a set of small numbers.
type bits []uint64

func (b bits) has(n int) bool { return b[n/64]>>(n%64)&1 == 1 }
func (b bits) add(n int)      { b[n/64] |= 1 << (n % 64) }

// decide says for each place i, j at which x and y differ whether x[i] is passed over (i*len(y)+j is in the set), or
// y[j]: how long the common rest is need only be known of two lines of the table, and a bit is kept of each cell.
func decide(x, y []string) bits {
	drop := make(bits, len(x)*len(y)/64+1)
	next, line := make([]int32, len(y)+1), make([]int32, len(y)+1) // how long the common subsequence of x[i+1:], x[i:] and y[j:] is
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			switch {
			case x[i] == y[j]:
				line[j] = next[j+1] + 1
			case next[j] >= line[j+1]:
				line[j] = next[j]
				drop.add(i*len(y) + j)
			default:
				line[j] = line[j+1]
			}
		}
		next, line = line, next
	}
	return drop
}
