package bot

import (
	"strings"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

// What people write in chat is not what they type into a shell: their clients quote what is answered, curl quotes, put
// addresses between < and >, and our own hints stand in backticks, ready to be copied. Here that becomes a line of
// words, in one place for all networks; what is not for us stays talk.

// addressed gives the text after `jarvis:`, `jarvis,` or `@jarvis`, or a private message as it is, and whether more
// lines came after it. ok is false for what is not for us.
func (b *Bot) addressed(f Frontend, m Message) (text string, more, ok bool) {
	t, more := plain.First(unquoted(m.Text))
	t = bare(t, ticks) // what stands in quotation marks somebody else may have said
	for _, name := range []string{b.calledAt(f), f.Nick()} {
		if rest, ok := behind(t, name); ok {
			return b.meant(rest), more, true
		}
		if rest, ok := b.nameAlone(t, name); ok {
			return rest, more, true
		}
	}
	if !m.Private || t == "" {
		return t, more, false
	}
	return b.meant(t), more, true
}

// calledAt gives what the bot is addressed by on a network, whatever its nick is there now.
func (b *Bot) calledAt(f Frontend) string {
	if n, ok := f.(Nicked); ok && b.Unnamed {
		return n.ConfiguredNick()
	}
	return b.Name
}

// unquoted drops the lines with which a client repeats what is answered (XEP-0393 §5.1.3, the fallback of XEP-0461 and
// of Matrix): what somebody else said is no command of who quotes it.
func unquoted(text string) string {
	if strings.HasPrefix(strings.TrimLeft(text, " \r\n"), ">>>") { // Slack: all that follows
		return ""
	}
	for strings.HasPrefix(strings.TrimLeft(text, " \r\n"), ">") {
		_, rest, found := strings.Cut(strings.TrimLeft(text, " \r\n"), "\n")
		if !found {
			return ""
		}
		text = rest
	}
	return text
}

// pair is what may stand around a line.
type pair struct{ open, end string }

var (
	ticks = []pair{{"```", "```"}, {"`", "`"}}
	pairs = append(ticks[:2:2], pair{"“", "”"}, pair{"„", "“"}, pair{"«", "»"}, pair{"‘", "’"}) // around a command, after the address
)

// bare takes off what a line stands in.
func bare(t string, around []pair) string {
	for _, p := range around {
		if in, ok := strings.CutPrefix(t, p.open); ok {
			if in, ok = strings.CutSuffix(in, p.end); ok && !strings.Contains(in, p.open) && strings.TrimSpace(in) != "" {
				return strings.TrimSpace(in)
			}
		}
	}
	return t
}

// behind gives what follows a name as an address: "jarvis: x", "jarvis, x", "jarvis > x", "@jarvis x".
func behind(t, name string) (rest string, ok bool) {
	if name == "" {
		return "", false
	}
	at := strings.HasPrefix(t, "@")
	t = strings.TrimPrefix(t, "@")
	if len(t) < len(name) || !strings.EqualFold(t[:len(name)], name) {
		return "", false
	}
	rest = t[len(name):]
	mark := strings.TrimLeft(rest, " ")
	switch {
	case mark != "" && strings.ContainsAny(mark[:1], ":,>"):
		return strings.TrimLeft(mark[1:], " :,"), true
	case at && (rest == "" || rest[0] == ' '):
		return mark, true
	}
	return "", false
}

// nameAlone gives the command of "jarvis status loki". Without a mark after the name that may be talk about us, so it
// counts only when it is a whole verb with what that takes, no word more.
func (b *Bot) nameAlone(t, name string) (text string, ok bool) {
	if name == "" || len(t) <= len(name) || !strings.EqualFold(t[:len(name)], name) || t[len(name)] != ' ' {
		return "", false
	}
	text = b.meant(strings.TrimSpace(t[len(name):]))
	words := command.SplitWords(text)
	if len(words) == 0 {
		return "", false
	}
	v, err := b.Table.Find(words[0])
	if err != nil || v.Max < 0 || !strings.EqualFold(v.Name, words[0]) || v.CheckArgs(words[1:]) != nil {
		return "", false
	}
	return text, true
}

var (
	inBrackets = pattern.New(`<(https?://[^<>\s]+)>`) // RFC 3986, appendix C
	polite     = pattern.New(`(?i)^(please|pls|plz)\b[, ]+`)
	quotes     = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "‘", "'", "’", "'")
)

// meant makes the line that somebody meant of the one that their client made. A command for hosts is taken as it
// stands: what is in it is for their shell.
func (b *Bot) meant(t string) string {
	t = bare(polite.ReplaceAllString(bare(t, pairs), ""), pairs)
	word, rest, _ := strings.Cut(t, " ")
	v, err := b.Table.Find(strings.Trim(word, "?.!"))
	if err == nil && v.Max < 0 {
		return t
	}
	t = quotes.Replace(inBrackets.ReplaceAllString(t, "$1"))
	if err != nil && rest != "" {
		return t
	}
	if end := strings.TrimRight(t, "?.! "); end != t && end != "" && !(err == nil && v.Acts && strings.Contains(t[len(end):], "?")) {
		return end // a question is no order, so that one stays, and is not understood
	}
	return t
}
