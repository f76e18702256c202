package plain

import (
	"strings"
	"unicode/utf8"
)

// First gives the first line of s that is not blank, as Line does, and whether more comes after it that is not blank
// either. What ends a line here is what Line makes a space of, but for the tab: who wants one line of what may be
// several must ask here before Line has joined them.
func First(s string) (line string, more bool) {
	for s != "" {
		var part string
		part, s = cut(s)
		part = strings.TrimSpace(Line(part))
		switch {
		case part == "":
		case line != "":
			return line, true
		default:
			line = part
		}
	}
	return line, false
}

// cut gives what stands before the first end of a line, and what stands after it.
func cut(s string) (before, after string) {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			r = rune(s[i]) // Latin-1, as in Line
		}
		if '\n' <= r && r <= '\r' || r >= utf8.RuneSelf && become(r) == ' ' {
			return s[:i], s[i+n:]
		}
		i += n
	}
	return s, ""
}
