package slack

import (
	"strings"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Slack writes mentions and links in angle brackets, and &, < and > of a text as &amp;, &lt; and &gt;
// (https://docs.slack.dev/messaging/formatting-message-text). Everything that comes in passes read, everything that
// goes out passes escape.

// maxPostBytes keeps a post under the 4,000 characters that Slack advises.
const maxPostBytes = 3800

// read gives a text as it was typed. name gives what somebody is called; "" when they are not to be named.
func read(text string, name func(id string) string) string {
	var b strings.Builder
	for text != "" {
		i := strings.IndexByte(text, '<')
		if i < 0 {
			i = len(text)
		}
		b.WriteString(entities.Replace(text[:i]))
		if text = text[i:]; text == "" {
			break
		}
		inner, rest, closed := strings.Cut(text[1:], ">")
		if !closed {
			b.WriteString(entities.Replace(text)) // Slack does not write so
			break
		}
		b.WriteString(entities.Replace(bracket(inner, name)))
		text = rest
	}
	return b.String()
}

var (
	entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")
	escapes  = strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;")
)

// bracket reads what stands in angle brackets. A label is what its writer likes, so a mention has the id's name, and a
// link its address; but where Slack made the link of a bare host name, that stands there again.
func bracket(inner string, name func(string) string) string {
	what, label, labelled := strings.Cut(inner, "|")
	switch {
	case strings.HasPrefix(what, "@"):
		if n := name(what[1:]); n != "" {
			return "@" + n
		}
		return what
	case strings.HasPrefix(what, "#"):
		if labelled && label != "" {
			return "#" + label
		}
		return what
	case strings.HasPrefix(what, "!"):
		return "@" + what[1:]
	}
	if scheme, rest, ok := strings.Cut(what, ":"); ok && labelled && label != "" {
		rest = strings.TrimPrefix(rest, "//")
		if scheme == "mailto" && rest == label || strings.TrimSuffix(rest, "/") == label && !strings.ContainsRune(label, '/') {
			return label
		}
	}
	return what
}

// escape makes a line that Slack shows as it is, with nobody called and nothing linked by brackets.
func escape(line string) string { return escapes.Replace(plain.Line(line)) }

// formatted reports whether Slack's own formatting does a text good: hints in backticks are shown as code, and there is
// nothing else that it would take for a sign.
func formatted(text string) bool {
	if !strings.Contains(text, "`") {
		return false
	}
	for _, line := range strings.Split(text, "\n") {
		parts := strings.Split(line, "`")
		if len(parts)%2 == 0 || strings.HasPrefix(line, "&gt;") {
			return false // a backtick without its other half, or a quotation
		}
		for i := 0; i < len(parts); i += 2 {
			if strings.ContainsAny(parts[i], "*_~") {
				return false
			}
		}
	}
	return true
}

// posts joins lines to posts that Slack takes, escaped.
func posts(lines []string) []string {
	var out []string
	var b strings.Builder
	for _, l := range lines {
		limit := maxPostBytes
		if len(escape(l)) > limit {
			limit /= 5 // an escape makes five of one at most
		}
		for _, part := range bot.Split(plain.Line(l), limit) {
			part = escape(part)
			if b.Len() > 0 && b.Len()+len(part) >= maxPostBytes {
				out = append(out, b.String())
				b.Reset()
			}
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(part)
		}
	}
	return append(out, b.String())
}
