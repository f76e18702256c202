package remote

import (
	"fmt"
	"strings"
)

// Quote writes arguments for a POSIX shell so that each reaches the program as it is.
func Quote(args ...string) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		if a != "" && strings.IndexFunc(a, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=@%+,", r))
		}) < 0 {
			b.WriteString(a)
			continue
		}
		b.WriteByte('\'')
		b.WriteString(strings.ReplaceAll(a, "'", `'\''`))
		b.WriteByte('\'')
	}
	return b.String()
}

// commandLine writes arguments so that any login shell hands them on as they are: those of POSIX, csh, fish, and a
// restricted one that has the first word in its PATH. They differ in what a backslash, a "!", a quote and a newline
// mean inside quotes.
func commandLine(args ...string) string {
	if !strings.ContainsFunc(strings.Join(args, ""), hard) {
		return Quote(args...)
	}
	// Escapes of printf %b: shells read two or three digits after \0, so what is a digit of theirs after one is an
	// escape, too.
	var b strings.Builder
	short := false
	for _, c := range []byte(Quote(args...)) {
		if hard(rune(c)) || short && c >= '0' && c <= '7' {
			fmt.Fprintf(&b, `\%03o`, c)
			short = c < 0o100
			continue
		}
		b.WriteByte(c)
		short = false
	}
	// sh sees the command as Quote wrote it, which ends with a quote or a letter: $( ) takes nothing from it.
	return Quote("sh", "-c", `eval "exec $(printf %b "$1")"`, "jarvis") + " '" + b.String() + "'"
}

// hard reports what not every shell takes as it is between single quotes.
func hard(r rune) bool { return r < ' ' || strings.ContainsRune(`\!'`, r) || r == 0x7f }
