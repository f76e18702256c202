package clipboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Set writes a key under instance: a string, bool, int, []string, or anything yaml can encode. Only the lines of
// that key change; a comment behind the value stays. Setting what is there already changes no byte.
func (c *Clipboard) Set(key string, value any) error {
	text, err := render(value)
	if err != nil {
		return fmt.Errorf("set %q: %w", key, err)
	}
	return c.put(key, text)
}

// SetSecret writes a key whose value is a secret. It is sealed before it leaves the step.
func (c *Clipboard) SetSecret(key string, s Secret) error {
	c.learn(string(s))
	return c.put(key, []string{tagSecret + " " + quote(string(s))})
}

// Delete removes a key under instance; a key that is not there is no error.
func (c *Clipboard) Delete(key string) error {
	m := c.instance()
	i := index(m, key)
	if i < 0 {
		return nil
	}
	return c.edit(func(d *document) error {
		first, last := d.extent(c.tree(), "instance", i)
		d.lines = append(d.lines[:first:first], d.lines[last+1:]...)
		return nil
	})
}

// put replaces or appends key under instance with the rendered value: text[0] stands behind the colon, the rest
// below it, indented one level deeper than the key.
func (c *Clipboard) put(key string, text []string) error {
	if !plainKey.MatchString(key) {
		return fmt.Errorf("set %q: a key has letters, digits, - and _ only", key)
	}
	m := c.instance()
	if m != nil && m.Kind == yaml.MappingNode {
		if i := index(m, key); i >= 0 && same(m.Content[i+1], text) {
			return nil
		}
	}
	before, keys := c.src, len(c.Keys())
	if c.Has(key) || index(m, key) >= 0 {
		keys--
	}
	if err := c.editKey(key, text); err != nil {
		return err
	}
	if c.holds(key, text, keys+1) {
		return nil
	}
	// YAML has forms that lines do not tell apart (explicit `? key`); write such a document anew and try again.
	c.src, c.root = before, nil
	if err := c.toBlock(); err != nil {
		return err
	}
	if err := c.editKey(key, text); err != nil {
		return err
	}
	if !c.holds(key, text, keys+1) {
		c.src, c.root = before, nil
		return fmt.Errorf("set %q: this document's form does not allow it; write it in plain block style", key)
	}
	return nil
}

// holds reports whether key has the rendered value and instance has n keys.
func (c *Clipboard) holds(key string, text []string, n int) bool {
	m := c.instance()
	i := index(m, key)
	return i >= 0 && same(m.Content[i+1], text) && (len(m.Content)/2 == n || m.Content[0].Value == "_")
}

// editKey is put without its safety net.
func (c *Clipboard) editKey(key string, text []string) error {
	return c.edit(func(d *document) error {
		root := c.tree()
		m := c.instance()
		if m == nil {
			return fmt.Errorf("set %q: the clipboard has no `instance`", key)
		}
		if m.Kind != yaml.MappingNode || len(m.Content) == 0 || m.Style&yaml.FlowStyle != 0 || root.Style&yaml.FlowStyle != 0 || index(root, "instance") < 0 || root.Content[index(root, "instance")+1].Kind == yaml.AliasNode {
			return errNotBlock
		}
		i := index(m, key)
		if i < 0 {
			_, last := d.extent(root, "instance", len(m.Content)-2)
			indent := strings.Repeat(" ", m.Content[0].Column-1)
			d.insert(last+1, entry(indent, key+":", text, ""))
			return nil
		}
		k, v := m.Content[i], m.Content[i+1]
		first, last := d.extent(root, "instance", i)
		line := d.lines[first]
		colon := byteColumn(line, k.Column) + len(keyText(line, k))
		comment := ""
		if v.Kind == yaml.ScalarNode && v.Line == k.Line && v.LineComment != "" && first == last {
			comment = v.LineComment
		}
		indent := line[:byteColumn(line, k.Column)]
		repl := entry(indent, line[len(indent):colon], text, comment)
		d.lines = append(d.lines[:first:first], append(repl, d.lines[last+1:]...)...)
		return nil
	})
}

// errNotBlock says that an edit met flow style; edit then writes the whole document anew in block style.
var errNotBlock = fmt.Errorf("not in block style")

// edit runs change on the lines and keeps the result only if it parses.
func (c *Clipboard) edit(change func(*document) error) error {
	c.tree()
	for try := 0; ; try++ {
		d := split(c.src)
		err := change(d)
		if err == errNotBlock && try == 0 {
			if err := c.toBlock(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		old, oldRoot := c.src, c.root
		c.src, c.root = d.join(), nil
		if len(c.src) > MaxBytes {
			c.src, c.root = old, oldRoot
			return fmt.Errorf("the clipboard would grow beyond %d bytes", MaxBytes)
		}
		if err := c.load(false); err != nil {
			c.src, c.root = old, oldRoot
			return fmt.Errorf("edit the clipboard: %w", err)
		}
		return nil
	}
}

// toBlock rewrites a document whose instance is in flow style ({…}, JSON) or empty as block YAML.
func (c *Clipboard) toBlock() error {
	c.root = nil // a tree of our own: a clone may share the one we have
	root := c.tree()
	root.Style &^= yaml.FlowStyle
	i := index(root, "instance")
	if i < 0 {
		return fmt.Errorf("the clipboard has no `instance`")
	}
	m := root.Content[i+1]
	switch {
	case m.Kind == yaml.AliasNode:
		cp := *m.Alias
		cp.Anchor = ""
		root.Content[i+1] = &cp
		m = &cp
	case m.Kind == yaml.ScalarNode && m.Value == "":
		*m = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	case m.Kind != yaml.MappingNode:
		return fmt.Errorf("`instance` must be a mapping")
	}
	m.Style &^= yaml.FlowStyle
	if len(m.Content) == 0 {
		// An empty block mapping cannot be written; a first key makes it one.
		m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "_"}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: ""})
	}
	out, err := yaml.Dump(root, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return fmt.Errorf("write the clipboard in block style: %w", err)
	}
	c.src, c.root = out, nil
	return c.load(false)
}

// document is the text as lines without their ends.
type document struct {
	lines []string
	eol   string
	final bool // the last line had an end
}

func split(src []byte) *document {
	d := &document{eol: "\n"}
	if i := bytes.IndexByte(src, '\n'); i > 0 && src[i-1] == '\r' {
		d.eol = "\r\n"
	}
	s := string(src)
	if strings.HasSuffix(s, "\n") {
		d.final = true
		s = strings.TrimSuffix(s, "\n")
		s = strings.TrimSuffix(s, "\r")
	}
	d.lines = strings.Split(s, "\n")
	return d
}

func (d *document) join() []byte {
	var b bytes.Buffer
	for i, l := range d.lines {
		b.WriteString(l)
		if i < len(d.lines)-1 {
			// Lines that were not touched still carry their own \r.
			if d.eol == "\r\n" && !strings.HasSuffix(l, "\r") {
				b.WriteByte('\r')
			}
			b.WriteByte('\n')
		}
	}
	if d.final {
		b.WriteString(d.eol)
	}
	return b.Bytes()
}

func (d *document) insert(at int, lines []string) {
	if at >= len(d.lines) {
		d.final = true
	}
	d.lines = append(d.lines[:at:at], append(lines, d.lines[at:]...)...)
}

// extent gives the first and last line (from 0) of entry i in the mapping under the top-level key.
func (d *document) extent(root *yaml.Node, top string, i int) (first, last int) {
	t := index(root, top)
	m := root.Content[t+1]
	end := len(d.lines)
	if t+2 < len(root.Content) {
		end = root.Content[t+2].Line - 1
	}
	if i+2 < len(m.Content) {
		end = m.Content[i+2].Line - 1
	}
	k := m.Content[i]
	first = k.Line - 1
	last = min(end, len(d.lines)) - 1
	for _, l := range d.lines[first:max(first, last)] {
		if keepBlank.MatchString(l) {
			return first, last // `|+` keeps the blank lines behind it: they are part of the value
		}
	}
	for last > first {
		l := d.lines[last]
		t := strings.TrimLeft(l, " \t")
		t = strings.TrimSuffix(t, "\r")
		indent := len(l) - len(strings.TrimLeft(l, " "))
		if t == "" || strings.HasPrefix(t, "#") && indent < k.Column || (strings.HasPrefix(l, "...") || strings.HasPrefix(l, "---")) {
			last--
			continue
		}
		break
	}
	return first, last
}

// entry lays out `key: value` with the lines below it.
func entry(indent, key string, text []string, comment string) []string {
	head := indent + key
	if text[0] != "" {
		head += " " + text[0]
	}
	if comment != "" {
		head += " " + comment
	}
	out := []string{head}
	for _, l := range text[1:] {
		out = append(out, indent+"  "+l)
	}
	return out
}

// keyText gives the key as written, quotes and colon included.
func keyText(line string, k *yaml.Node) string {
	rest := line[byteColumn(line, k.Column):]
	n := len(k.Value)
	if k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		n = 1 + strings.IndexByte(rest[1:], rest[0]) + 1
	}
	if i := strings.IndexByte(rest[min(n, len(rest)):], ':'); i >= 0 {
		n += i + 1
	}
	return rest[:min(n, len(rest))]
}

// byteColumn turns a column in characters (from 1) into a byte offset.
func byteColumn(line string, col int) int {
	n := 0
	for i := range line {
		if n++; n == col {
			return i
		}
	}
	return len(line)
}

var (
	keepBlank  = regexp.MustCompile(`[|>][0-9]?\+`)
	plainKey   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	plainValue = regexp.MustCompile(`^[A-Za-z0-9/$][A-Za-z0-9 ._/:@+=$,*-]*$`)
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
	b, err := yaml.Dump(v, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) == 1 && !strings.Contains(lines[0], ": ") && !strings.HasPrefix(lines[0], "- ") {
		return lines, nil
	}
	return append([]string{""}, lines...), nil
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

// quote writes a double-quoted scalar on one line; a JSON string is one (YAML 1.2 §7.3.1).
func quote(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

// same reports whether the node already holds the rendered value.
func same(n *yaml.Node, text []string) bool {
	var want yaml.Node
	if err := yaml.Unmarshal([]byte("v: "+strings.Join(text, "\n  ")), &want); err != nil || len(want.Content) == 0 || len(want.Content[0].Content) < 2 {
		return false
	}
	return equal(deref(n), want.Content[0].Content[1])
}

func equal(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Value != b.Value || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !equal(deref(a.Content[i]), deref(b.Content[i])) {
			return false
		}
	}
	return true
}
