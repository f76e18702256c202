package clipboard

import (
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Set writes a key under instance: a string, bool, int, []string, or anything yaml can encode. Only the lines of
// that key change; a comment after the value stays. Setting what is there already changes no byte. A key that was a
// secret stays one: Seal sees to it.
func (c *Clipboard) Set(key string, value any) error {
	text, err := render(value)
	if err != nil {
		return fmt.Errorf("set %q: %w", key, err)
	}
	return c.put(key, text)
}

// SetSecret writes a key whose value is a secret. It is sealed before it leaves the step. The error is
// ErrShortSecret for one that could not be masked.
func (c *Clipboard) SetSecret(key string, s Secret) error {
	if short(string(s)) {
		return fmt.Errorf("set %q: %w", key, ErrShortSecret)
	}
	c.masker.Add(string(s))
	return c.put(key, []string{tagSecret + " " + quote(string(s))})
}

// Delete removes a key under instance; a key that is not there is no error.
func (c *Clipboard) Delete(key string) error {
	i := index(c.instance(), key)
	if i < 0 {
		return nil
	}
	want := draft(c.tree())
	m := ownInstance(want)
	if m == nil {
		return errNoInstance(key)
	}
	anchored := hasAnchor(m.Content[i+1])
	m.Content = append(m.Content[:i:i], m.Content[i+2:]...)
	if anchored {
		expand(want)
	}
	return c.edit(want, func(d *document) bool {
		if !c.inBlock() {
			return false
		}
		first, last := d.extent(c.tree(), "instance", i)
		d.replace(first, last+1)
		return true
	})
}

func errNoInstance(key string) error {
	return fmt.Errorf("change %q: the clipboard has no `instance`, or it is no mapping", key)
}

// put replaces or appends key under instance with the rendered value: text[0] stands after the colon, the rest
// below it, indented one level deeper than the key.
func (c *Clipboard) put(key string, text []string) error {
	if !plainKey.MatchString(key) {
		return fmt.Errorf("set %q: a key has letters, digits, - and _ only", key)
	}
	value := valueOf(text)
	if value == nil {
		return fmt.Errorf("set %q: the value cannot be written as YAML", key)
	}
	i := index(c.instance(), key)
	if i >= 0 && equal(c.instance().Content[i+1], value) {
		return nil
	}
	want := draft(c.tree())
	m := ownInstance(want)
	if m == nil {
		return errNoInstance(key)
	}
	if i < 0 {
		m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
		return c.edit(want, func(d *document) bool { return c.appendKey(d, key, text) })
	}
	anchored := hasAnchor(m.Content[i+1])
	m.Content[i+1] = value
	if anchored {
		expand(want) // others may stand for what is gone
	}
	return c.edit(want, func(d *document) bool { return c.replaceKey(d, i, text) })
}

// inBlock reports whether instance is written key by key, each on lines of its own.
func (c *Clipboard) inBlock() bool {
	root := c.tree()
	i := index(root, "instance")
	if i < 0 || root.Style&yaml.FlowStyle != 0 {
		return false
	}
	m := root.Content[i+1]
	return m.Kind == yaml.MappingNode && m.Style&yaml.FlowStyle == 0 && len(m.Content) > 0
}

// appendKey writes a new key after the last one.
func (c *Clipboard) appendKey(d *document, key string, text []string) bool {
	if !c.inBlock() {
		return false
	}
	m := c.instance()
	_, last := d.extent(c.tree(), "instance", len(m.Content)-2)
	indent := strings.Repeat(" ", max(0, m.Content[0].Column-1))
	d.replace(last+1, last+1, entry(indent, key+":", text, "")...)
	return true
}

// replaceKey writes the key at position i again.
func (c *Clipboard) replaceKey(d *document, i int, text []string) bool {
	if !c.inBlock() {
		return false
	}
	m := c.instance()
	k, v := m.Content[i], m.Content[i+1]
	first, last := d.extent(c.tree(), "instance", i)
	line := d.lines[first].text
	colon := byteColumn(line, k.Column) + len(keyText(line, k))
	comment := ""
	if v.Kind == yaml.ScalarNode && v.Line == k.Line && v.LineComment != "" && first == last {
		comment = v.LineComment
	}
	indent := line[:byteColumn(line, k.Column)]
	d.replace(first, last+1, entry(indent, line[len(indent):colon], text, comment)...)
	return true
}

// edit replaces the document by one that means exactly what want means, and is the one place that does. It first tries
// change on the lines, which keeps every other byte. YAML has forms in which a line does not tell where a value ends;
// then, and whenever the changed lines turn out to mean something else, the document is written again from want.
func (c *Clipboard) edit(want *yaml.Node, change func(*document) bool) error {
	if d := split(c.src); change(d) {
		if c.accept(d.join(), want) == nil {
			return nil
		}
	}
	out, err := dump(want)
	if err != nil {
		return fmt.Errorf("write the clipboard: %w", err)
	}
	if err := c.accept(out, want); err != nil {
		return fmt.Errorf("change the clipboard: %w; write it in plain block style", err)
	}
	return nil
}

// accept takes src when it is a document that means what want means (nil: anything); otherwise the clipboard stays as
// it was.
func (c *Clipboard) accept(src []byte, want *yaml.Node) error {
	if len(src) > MaxBytes {
		return fmt.Errorf("it would grow beyond %d bytes", MaxBytes)
	}
	root, err := load(src)
	if err != nil {
		return err
	}
	if want != nil && !equal(root, want) {
		return fmt.Errorf("this document's form does not allow it")
	}
	c.src, c.root = src, root
	c.note()
	return nil
}

var (
	plainKey   = pattern.New(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	plainValue = pattern.New(`^[A-Za-z0-9/$][A-Za-z0-9 ._/:@+=$,*-]*$`)
)

// render gives a value as YAML lines, as put takes them.
func render(v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		return []string{scalar(v)}, nil
	case fmt.Stringer:
		return []string{scalar(v.String())}, nil
	case bool, int, int64:
		return []string{fmt.Sprint(v)}, nil
	case []string:
		if len(v) == 0 {
			return []string{"[]"}, nil
		}
		out := []string{""}
		for _, s := range v {
			out = append(out, "- "+scalar(s))
		}
		return out, nil
	}
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		return nil, err
	}
	b, err := dump(&n)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) == 1 && !strings.Contains(lines[0], ": ") && !strings.HasPrefix(lines[0], "- ") {
		return lines, nil
	}
	return append([]string{""}, lines...), nil
}

// valueOf parses what render gave; nil when it is no YAML.
func valueOf(text []string) *yaml.Node {
	root, err := load([]byte("v: " + strings.Join(text, "\n  ") + "\n"))
	if err != nil || len(root.Content) != 2 {
		return nil
	}
	return root.Content[1]
}

// scalar writes a string so that it is read back as the same string.
func scalar(s string) string {
	if plainValue.MatchString(s) && !strings.HasSuffix(s, " ") && !strings.HasSuffix(s, ":") && !strings.Contains(s, ": ") {
		var back any
		if yaml.Unmarshal([]byte(s), &back) == nil && back == any(s) {
			return s
		}
	}
	return quote(s)
}

// quote writes a double-quoted scalar on one line (YAML 1.2 §7.3.1). Whatever is not plainly visible is escaped, so
// that no reader finds the end of a line in it.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
