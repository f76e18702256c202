package nagios

import "strings"

// Call is a command as an object names it: `check_disk!20%!10%!/`.
type Call struct {
	Command string
	Args    []string // $ARG1$ and on
}

// ParseCall takes name and arguments apart. \! is an exclamation mark in an argument.
func ParseCall(text string) Call {
	var c Call
	var b strings.Builder
	var words []string
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '!' && len(words) > 0:
			i++
			b.WriteByte('!')
		case text[i] == '!':
			words = append(words, b.String())
			b.Reset()
		default:
			b.WriteByte(text[i])
		}
	}
	words = append(words, b.String())
	c.Command, c.Args = strings.TrimSpace(words[0]), words[1:]
	return c
}

// Piece is a part of a command line: text, or a macro.
type Piece struct {
	Text  string
	Macro string // its name without the dollars: HOSTADDRESS, ARG1, USER1, _HOSTWARN; "": it is text
}

// Pieces takes a command line apart. $$ is a dollar. A single $ that ends no macro is text, as it stands.
func Pieces(text string) []Piece {
	var out []Piece
	add := func(s string) {
		if n := len(out); n > 0 && out[n-1].Macro == "" {
			out[n-1].Text += s
		} else if s != "" {
			out = append(out, Piece{Text: s})
		}
	}
	for text != "" {
		before, rest, found := strings.Cut(text, "$")
		add(before)
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "$")
		switch {
		case closed && name == "":
			add("$")
			text = after
		case closed && isMacro(name):
			out = append(out, Piece{Macro: name})
			text = after
		default:
			add("$")
			text = rest
		}
	}
	return out
}

// isMacro reports whether a word can be the name of a macro. On-demand macros name a host: HOSTSTATEID:web1.
func isMacro(name string) bool {
	for i, c := range name {
		switch {
		case c >= 'A' && c <= 'Z', c == '_':
		case c >= '0' && c <= '9' && i > 0:
		case c == ':' && i > 0: // what follows is a name of something
			return !strings.ContainsAny(name[i:], "\"'`\\()|&><")
		default:
			return false
		}
	}
	return name != ""
}

// User gives $USERn$.
func (t *Tree) User(name string) (*Attr, bool) {
	for i := len(t.Users) - 1; i >= 0; i-- {
		if t.Users[i].Name == name {
			return t.Users[i], true
		}
	}
	return nil, false
}
