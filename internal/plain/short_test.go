package plain

import "testing"

func TestShort(t *testing.T) {
	for _, c := range []struct {
		name, got, want string
	}{
		{"as long as may be", Clip("abc", 3), "abc"},
		{"longer", Clip("abcd", 3), "abc…"},
		{"within a rune", Clip("aäb", 2), "a…"},
		{"joined", Joined(" a\n\tb  c\r\n"), "a b c"},
		{"nothing to join", Joined(" \n"), ""},
		{"the last line", Last("a\n b \n\n", "x"), "b"},
		{"the only line", Last("a", "x"), "a"},
		{"no line", Last(" \n \n", "x"), "x"},
		{"an end of DOS", Last("a\r\nb\r\n", "x"), "b"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}
