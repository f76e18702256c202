package command

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

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

// JoinWords writes words as a line that SplitWords cuts into the same ones. (One with both kinds of quotes cannot be
// written.)
func JoinWords(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		switch {
		case strings.Contains(w, "'"):
			w = `"` + w + `"`
		case w == "" || strings.ContainsAny(w, " \t\""):
			w = "'" + w + "'"
		}
		out[i] = w
	}
	return strings.Join(out, " ")
}

// fingerprint of what a call asks for: an idempotency key may come again with the same, and with nothing else.
func fingerprint(c *Call) string {
	h := sha256.New()
	for _, w := range c.Words {
		h.Write([]byte(w + "\x00"))
	}
	h.Write(c.File)
	return hex.EncodeToString(h.Sum(nil))
}
