package clipboard

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// SyntaxError says what is wrong with a document, where, and what to do. Line and Column count from 1; 0 means
// that no single place is to blame.
type SyntaxError struct {
	Line, Column int
	Msg          string
	Hint         string // what to do; may be empty
}

// Error implements error.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, ", column %d", e.Column)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// looksLikeSomethingElse catches what people paste by mistake, before YAML's own complaint about it.
func looksLikeSomethingElse(src []byte) error {
	t := bytes.ToLower(bytes.TrimSpace(src))
	if bytes.HasPrefix(t, []byte("<!doctype")) || bytes.HasPrefix(t, []byte("<html")) || bytes.HasPrefix(t, []byte("<?xml")) {
		return &SyntaxError{Msg: "this is a web page, not YAML", Hint: "give the address of the raw text"}
	}
	if i := bytes.IndexByte(src, 0); i >= 0 {
		return &SyntaxError{Line: 1 + bytes.Count(src[:i], []byte("\n")), Msg: "there is a NUL byte here: this is not text"}
	}
	return refuseControls(src)
}

// refuseControls finds bytes that YAML does not take: its own complaint does not say where they are.
func refuseControls(src []byte) error {
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		var e SyntaxError
		switch {
		case r == utf8.RuneError && n == 1:
			e.Msg, e.Hint = fmt.Sprintf("the byte 0x%02x here is not UTF-8", src[i]), "save the file as UTF-8"
		case r < 0x20 && r != '\t' && r != '\n' && r != '\r', r == 0x7f, r > 0x7f && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			e.Msg, e.Hint = fmt.Sprintf("the control character U+%04X is not allowed here", r), fmt.Sprintf(`remove it, or write "\u%04x" in double quotes`, r)
		default:
			i += n
			continue
		}
		e.Line, e.Column = 1+bytes.Count(src[:i], []byte("\n")), utf8.RuneCount(src[bytes.LastIndexByte(src[:i], '\n')+1:i])+1
		return &e
	}
	return nil
}

// syntaxError turns the parser's complaint into a sentence with the place where the trouble starts, which is
// often not where the parser noticed it: a quote that is never closed is noticed at the end of the document.
func syntaxError(src []byte, err error) error {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return &SyntaxError{Msg: "this is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	at, ctx := le.Mark, le.ContextMark
	e := &SyntaxError{Line: at.Line, Column: at.Column, Msg: strings.TrimPrefix(le.Message, "yaml: ")}
	text := lineAt(src, at.Line)
	context := strings.ToLower(le.ContextMsg)
	switch {
	case strings.Contains(context, "quoted scalar") && strings.Contains(le.Message, "end of stream"),
		strings.Contains(context, "quoted scalar") && strings.Contains(le.Message, "document indicator"):
		e.Line, e.Column, e.Msg = ctx.Line, ctx.Column, "this quote is never closed"
	case strings.Contains(le.Message, "mapping values are not allowed"):
		e.Msg, e.Hint = "a colon is not allowed here", "put the value in quotes, or check the indentation"
	case strings.Contains(le.Message, "cannot start any token") && strings.Contains(text, "\t"):
		e.Msg, e.Hint = "there is a tab here", "indent with spaces"
	case strings.Contains(le.Message, "cannot start any token"):
		e.Msg, e.Hint = "a value cannot start with this character", "put it in quotes"
	case strings.Contains(le.Message, "expected ',' or ']'"):
		e.Line, e.Column, e.Msg = ctx.Line, ctx.Column, "this [ is never closed"
	case strings.Contains(le.Message, "expected ',' or '}'"):
		e.Line, e.Column, e.Msg = ctx.Line, ctx.Column, "this { is never closed"
	case strings.Contains(le.Message, "did not find expected key"), strings.Contains(le.Message, "could not find expected ':'"):
		e.Msg, e.Hint = "a key is expected here", "`key: value`, indented like the keys above it"
	case strings.Contains(le.Message, "expected '-' indicator"):
		e.Msg, e.Hint = "a list and keys are mixed here", "indent what belongs to the list"
	case strings.Contains(le.Message, "unknown anchor"):
		e.Hint = "name it with &name before you use it, or put the value in quotes"
	case strings.Contains(le.Message, "escape character"):
		e.Msg, e.Hint = "this backslash means nothing to YAML", "use single quotes, or double the backslash"
	}
	return e
}

// lineAt gives line n (from 1) of src without its end, or "".
func lineAt(src []byte, n int) string {
	lines := split(src).lines
	if n < 1 || n > len(lines) {
		return ""
	}
	return lines[n-1].text
}

// check applies what YAML allows and a clipboard does not.
func check(root *yaml.Node) error {
	aliases := 0
	var walk func(n *yaml.Node, depth int, flow, anchored bool) error
	walk = func(n *yaml.Node, depth int, flow, anchored bool) error {
		at := func(msg, hint string) error {
			return &SyntaxError{Line: n.Line, Column: n.Column, Msg: msg, Hint: hint}
		}
		if depth > maxDepth {
			return at(fmt.Sprintf("this is nested more than %d deep", maxDepth), "")
		}
		if n.Kind == yaml.AliasNode {
			if aliases++; aliases > maxAliases {
				return at(fmt.Sprintf("there are more than %d aliases", maxAliases), "write the values out")
			}
			if anchored {
				return at("an anchor may not contain an alias", "write the value out")
			}
			return nil
		}
		anchored = anchored || n.Anchor != ""
		flow = flow || n.Style&yaml.FlowStyle != 0
		if near := nearTag(n.Tag); near != "" {
			return at(fmt.Sprintf("the tag %s means nothing", n.Tag), "did you mean "+near+"? As it stands, the value would be shown in clear")
		}
		if !ordinary(n.Tag) {
			return at(fmt.Sprintf("the tag %s means nothing here", n.Tag), "leave it out; a secret is written `!secret value`, with one ! and no space after it, and without %TAG before the document")
		}
		if isSecret(n) {
			switch {
			case n.Kind != yaml.ScalarNode:
				return at("`!secret` takes a single value, not a list or mapping", "mark each value")
			case flow:
				return at("a `!secret` cannot stand inside [ ] or { }", "write `key: !secret value` on a line of its own")
			case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 || strings.Contains(n.Value, "\n") && n.Style&yaml.DoubleQuotedStyle == 0:
				return at("a `!secret` must stand on one line", `use double quotes and \n`)
			case n.Anchor != "":
				return at("a `!secret` cannot be an anchor", "write it where it is needed")
			}
		}
		if n.Kind == yaml.MappingNode {
			seen := make(map[string]int, len(n.Content)/2)
			for i := 0; i+1 < len(n.Content); i += 2 {
				k := n.Content[i]
				if k.Kind != yaml.ScalarNode || isSecret(k) {
					return &SyntaxError{Line: k.Line, Column: k.Column, Msg: "a key must be a plain word"}
				}
				if k.Tag == "!!merge" {
					continue
				}
				if first, dup := seen[k.Value]; dup {
					return &SyntaxError{Line: k.Line, Column: k.Column, Msg: fmt.Sprintf("the key %q is here a second time; the first is in line %d", k.Value, first), Hint: "keep one of them"}
				}
				seen[k.Value] = k.Line
			}
		}
		for _, ch := range n.Content {
			if err := walk(ch, depth+1, flow, anchored); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(root, 0, false, false)
}

// nearTag gives the tag of secrets that a tag is probably meant to be, "" for all others.
func nearTag(tag string) string {
	if !strings.HasPrefix(tag, "!") || strings.HasPrefix(tag, "!!") || tag == tagSecret || tag == tagSealed || len(tag) < 4 {
		return ""
	}
	low := strings.ToLower(strings.TrimPrefix(tag, "!"))
	for _, word := range []string{"secret", "secrets", "password", "sealed"} {
		if low == word || typo(low, word) {
			return tagSecret
		}
	}
	return ""
}

// ordinary reports whether a tag is one of YAML's own, ours, or a local one (`!name`). What is left is written with a
// namespace, or with nothing after the !: people who do that mean something by it that nobody here does.
func ordinary(tag string) bool {
	switch tag {
	case "", "!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!timestamp", "!!binary", "!!merge", "!!set", "!!omap", "!!pairs":
		return true
	}
	return len(tag) > 1 && tag[0] == '!' && tag[1] != '!'
}

// typo reports whether a becomes b by one letter more, less, other, or two that changed places.
func typo(a, b string) bool {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}
