package converge

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Secret is a text that nobody is shown: it prints as ••• under every verb, and in JSON. As a property of a host
// (Target.Props) it is known to the Node: Prop, PropAs[string] and templates give what it is, and no diff, description
// or error of that host shows it.
type Secret string

// hidden stands where a secret is.
const hidden = "•••"

// Format implements fmt.Formatter.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText implements encoding.TextMarshaler, which JSON asks too.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Reveal gives what the secret is.
func (s Secret) Reveal() string { return string(s) }

// reveal gives a property with its secrets as plain text, and tells each of them; what is nil in a map is left out, so
// that a template that asks for it is told.
func reveal(v any, tell func(string)) any {
	switch v := v.(type) {
	case Secret:
		tell(string(v))
		return string(v)
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = reveal(x, tell)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if x != nil {
				out[k] = reveal(x, tell)
			}
		}
		return out
	}
	return v
}

// minLine is how long a line of a secret of several lines must be to be hidden by itself: what is shorter ("}") is
// everywhere.
const minLine = 4

// Hide says that a text is a secret: from now on no diff, description or error of the host shows it, nor, where it has
// several lines, any of these. It gives the text back.
func (n *Node) Hide(text string) string {
	whole := strings.TrimSpace(text)
	for _, s := range append(strings.Split(whole, "\n"), whole) {
		s = strings.TrimSpace(s)
		if s == "" || s != whole && len(s) < minLine {
			continue
		}
		for _, as := range []string{s, inner(strconv.Quote(s)), inner(quote(s)), inner(strconv.Quote(quote(s)))} { // as it is, and as messages and scripts have it
			if !slices.Contains(n.secrets, as) {
				n.secrets = append(n.secrets, as)
			}
		}
	}
	// The longest first: one may be in another.
	slices.SortStableFunc(n.secrets, func(a, b string) int { return len(b) - len(a) })
	return text
}

// inner gives a word without its quotes.
func inner(word string) string { return word[1 : len(word)-1] }

// holds reports whether a text has a secret in it.
func (n *Node) holds(text string) bool {
	return slices.ContainsFunc(n.secrets, func(s string) bool { return strings.Contains(text, s) })
}

// mask gives a text without the secrets that are in it.
func (n *Node) mask(text string) string {
	for _, s := range n.secrets {
		text = strings.ReplaceAll(text, s, hidden)
	}
	return text
}

// maskDiff gives a diff without the secrets that are in it. What goes then is not shown either: it may be the secret of
// before, which we do not know.
func (n *Node) maskDiff(diff string) string {
	var out strings.Builder
	found := false
	for line := range strings.Lines(diff) {
		mark, text := line[:1], line[1:] // a secret may look like a mark
		found = found || n.holds(text)
		out.WriteString(mark + n.mask(text))
	}
	if !found {
		return diff
	}
	return hideOld(out.String())
}

// hideOld gives a diff without what goes.
func hideOld(diff string) string {
	var out strings.Builder
	for line := range strings.Lines(diff) {
		if strings.HasPrefix(line, "-") {
			line = "-" + hidden + "\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// maskError gives an error whose text has no secret.
func (n *Node) maskError(err error) error {
	if err == nil || !n.holds(err.Error()) {
		return err
	}
	return errors.New(n.mask(err.Error()))
}
