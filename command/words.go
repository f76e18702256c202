package command

import "strings"

// SplitWords cuts a line into words as a shell would, with '…' and "…" keeping what is between them together, and
// nothing else: no variables, no escapes. A line with a quote that is never closed ("what's up") is cut at its spaces.
func SplitWords(line string) []string {
	var words []string
	var b strings.Builder
	inWord := false
	var quote rune
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			b.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t':
			if inWord {
				words = append(words, b.String())
				b.Reset()
				inWord = false
			}
		default:
			b.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 {
		return strings.Fields(line)
	}
	if inWord {
		words = append(words, b.String())
	}
	return words
}
