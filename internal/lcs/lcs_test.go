package lcs

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestHunks(t *testing.T) {
	for _, c := range []struct {
		name, old, now string
		most           int
		want           []Hunk
	}{
		{"nothing", "", "", 0, nil},
		{"the same", "abc", "abc", 0, nil},
		{"all new", "", "ab", 0, []Hunk{{0, 0, 0, 2}}},
		{"all gone", "ab", "", 0, []Hunk{{0, 2, 0, 0}}},
		{"one in the middle", "abc", "axc", 0, []Hunk{{1, 2, 1, 2}}},
		{"two places", "abcd", "xbcy", 0, []Hunk{{0, 1, 0, 1}, {3, 4, 3, 4}}},
		{"one of several that are equal", "aab", "ab", 0, []Hunk{{1, 2, 1, 1}}},
		{"moved", "abc", "bca", 0, []Hunk{{0, 1, 0, 0}, {3, 3, 2, 3}}},
		{"more than the table may hold", "abcd", "xbcy", 15, []Hunk{{0, 4, 0, 4}}},
		{"just what it may hold", "abcd", "xbcy", 16, []Hunk{{0, 1, 0, 1}, {3, 4, 3, 4}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Hunks(list(c.old), list(c.now), c.most); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "")
}

// Whatever the lists, the hunks turn one into the other, touch nothing that they say is the same, none is empty, and
// there is no more that could be the same.
func FuzzHunks(f *testing.F) {
	f.Add("abcabba", "cbabac")
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		word := func() string {
			b := make([]byte, r.IntN(12))
			for i := range b {
				b[i] = "abc"[r.IntN(3)]
			}
			return string(b)
		}
		f.Add(word(), word())
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 200 || len(b) > 200 {
			return
		}
		old, now := list(a), list(b)
		var got []string
		at, there := 0, 0
		for _, h := range Hunks(old, now, 0) {
			if h.A-at != h.C-there || h.A == h.B && h.C == h.D {
				t.Fatalf("%v after %d, %d", h, at, there)
			}
			got = append(append(got, old[at:h.A]...), now[h.C:h.D]...)
			at, there = h.B, h.D
		}
		if got = append(got, old[at:]...); !slices.Equal(got, now) {
			t.Errorf("%q, want %q", got, now)
		}
		same := len(old)
		for _, h := range Hunks(old, now, 0) {
			same -= h.B - h.A
		}
		if want := longest(old, now); same != want {
			t.Errorf("%q and %q have %d in common by the hunks, and %d by the plain table", a, b, same, want)
		}
	})
}

// longest is the length of the longest common subsequence, by the plain table.
func longest(x, y []string) int {
	long := make([][]int, len(x)+1)
	for i := range long {
		long[i] = make([]int, len(y)+1)
	}
	for i := range x {
		for j := range y {
			if long[i+1][j+1] = max(long[i][j+1], long[i+1][j]); x[i] == y[j] {
				long[i+1][j+1] = long[i][j] + 1
			}
		}
	}
	return long[len(x)][len(y)]
}
