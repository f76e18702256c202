package plain

import "testing"

func TestFirst(t *testing.T) {
	for _, c := range []struct {
		in, line string
		more     bool
	}{
		{"undo web", "undo web", false},
		{"undo web\n2", "undo web", true},
		{"undo web\r\n2", "undo web", true},
		{"undo web\r2", "undo web", true},
		{"undo web\v2", "undo web", true},
		{"undo web\f2", "undo web", true},
		{"undo web\u00852", "undo web", true},
		{"undo web\x852", "undo web", true}, // NEL in Latin-1
		{"undo web\u20282", "undo web", true},
		{"undo web\u20292", "undo web", true},
		{"undo\tweb", "undo web", false},
		{"\n \r\nstatus\n\n \x02\x02\n", "status", false},
		{"a\x1b]52;c;x\nb\x07", "a", true}, // not finished on its line, it takes nothing of the next
		{"", "", false},
		{"\n", "", false},
		{"wörd … é", "wörd … é", false},
	} {
		if line, more := First(c.in); line != c.line || more != c.more {
			t.Errorf("First(%q) = %q, %v, want %q, %v", c.in, line, more, c.line, c.more)
		}
	}
}

// What Line joins with a space, First takes apart: no character ends a line for one of them only.
func TestFirstCutsWhereLineJoins(t *testing.T) {
	for r := rune(0); r < 0x3000; r++ {
		in := "a" + string(r) + "b"
		if r == '\t' || r == ' ' || Line(in) != "a b" {
			continue
		}
		if line, more := First(in); line != "a" || !more {
			t.Errorf("First(%q) = %q, %v", in, line, more)
		}
	}
}
