package inventory

import (
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/internal/pattern"
)

var section = pattern.New(`^\[([^\]:]+)(?::(\w+))?\]\s*(?:[#;].*)?$`)

// readINI reads Ansible's INI: sections of hosts, [GROUP:children] and [GROUP:vars].
func (l *List) readINI(src string) error {
	t := newTree(l)
	t.group("ungrouped", 0).declared = true
	in, kind, n := t.groups["ungrouped"], "", 0
	for text := range strings.Lines(src) {
		n++
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		if m := section.FindStringSubmatch(text); m != nil {
			in, kind = t.group(m[1], n), m[2]
			switch kind {
			case "", "children":
				in.declared = true
			case "vars":
			default:
				return &SyntaxError{n, fmt.Sprintf("the section %q is neither a group nor its vars or children", m[2])}
			}
			continue
		}
		if err := t.iniLine(in, kind, text, n); err != nil {
			return err
		}
	}
	children := map[string]bool{} // a group that is named below another is declared by that
	for _, g := range t.groups {
		for _, c := range g.children {
			children[c] = true
		}
	}
	for _, g := range t.groups {
		if !g.declared && g.name != "all" && !children[g.name] {
			return &SyntaxError{g.line, fmt.Sprintf("[%s:vars] is about a group that is nowhere defined", g.name)}
		}
	}
	return t.done()
}

// iniLine reads a line of a section of that kind: "" is a list of hosts.
func (t *tree) iniLine(in *group, kind, text string, n int) error {
	switch kind {
	case "children":
		name, _, _ := strings.Cut(text, "#")
		if name = strings.TrimSpace(name); strings.ContainsAny(name, " =") {
			return &SyntaxError{n, fmt.Sprintf("%q is no name of a group", name)}
		}
		in.children = append(in.children, name)
		return nil
	case "vars":
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return &SyntaxError{n, "a variable is written NAME=VALUE"}
		}
		t.set(in.vars, strings.TrimSpace(name), unquote(strings.TrimSpace(value)), n)
		return nil
	}
	words, err := shellWords(text)
	if err != nil {
		return &SyntaxError{n, err.Error()}
	}
	vars := map[string]string{}
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return &SyntaxError{n, fmt.Sprintf("a variable is written NAME=VALUE, and %q is not", w)}
		}
		t.set(vars, name, unquote(value), n)
	}
	if strings.Contains(words[0], "=") {
		return &SyntaxError{n, "a host begins the line, and its variables follow it"}
	}
	return t.host(in, words[0], n, vars)
}

func unquote(s string) string {
	if n := len(s); n > 1 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		return s[1 : n-1]
	}
	return s
}

// shellWords splits a line as Python's shlex does, which Ansible uses: quotes, backslashes, and # begins a comment.
func shellWords(s string) ([]string, error) {
	var out []string
	var b strings.Builder
	quote, word := byte(0), false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			b.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && i+1 < len(s):
			i++
			if quote == '"' && s[i] != '"' && s[i] != '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
			word = true
		case c == '"' || c == '\'':
			quote, word = c, true
		case c == ' ' || c == '\t':
			if word {
				out = append(out, b.String())
				b.Reset()
				word = false
			}
		case c == '#':
			i = len(s)
		default:
			b.WriteByte(c)
			word = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if word {
		out = append(out, b.String())
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no host stands there")
	}
	return out, nil
}
