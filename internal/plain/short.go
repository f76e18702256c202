package plain

import "strings"

// Clip gives the first n bytes of s, without a part of a rune, and a sign that more came; s itself when it is not
// longer.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// Joined gives s as one line, with one space where there was any white space: what others' programs and libraries say
// on several.
func Joined(s string) string { return strings.Join(strings.Fields(s), " ") }

// Last gives the last line of s that is not blank, which of a program's words is most often the reason; otherwise where
// it has none.
func Last(s, otherwise string) string {
	s = strings.TrimSpace(s)
	if s = strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:]); s != "" {
		return s
	}
	return otherwise
}
