package command

import "testing"

// TestKeysBelowInstance: a key of the top that stands below `instance` is told where it belongs, apart from those that
// nobody reads anywhere.
func TestKeysBelowInstance(t *testing.T) {
	for _, c := range []struct {
		keys []string
		said string
		rest int
	}{
		{[]string{"colour"}, "", 1},
		{[]string{"steps", "colour"}, "Below `instance` nothing reads `steps`: it belongs at the top of the clipboard, not indented.", 1},
		{[]string{"barriers", "on_failure"}, "Below `instance` nothing reads `barriers`, `on_failure`: they belong at the top of the clipboard, not indented.", 0},
	} {
		if said, rest := atTheTop(c.keys); said != c.said || len(rest) != c.rest {
			t.Errorf("%q: %q and %q left", c.keys, said, rest)
		}
	}
}

// TestSentence: a reason that ends in a mark of its own gets no second one.
func TestSentence(t *testing.T) {
	for text, want := range map[string]string{"no room": "no room.", `did you mean "x"?`: `did you mean "x"?`, "it ended.": "it ended.", "stopped …": "stopped …", "": ""} {
		if got := sentence(text); got != want {
			t.Errorf("sentence(%q) = %q, want %q", text, got, want)
		}
	}
}
