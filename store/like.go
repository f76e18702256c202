package store

import "strings"

// Like gives a pattern for `LIKE ? ESCAPE '\'` that matches what has the word in it, in lower case. Nothing in the word
// is a wildcard.
func Like(word string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(word)) + "%"
}
