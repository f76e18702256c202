package clipboard

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A path names a value by the keys and positions that lead to it.
func below(path, part string) string { return path + "\x00" + part }

// scalars calls f for each value of the document that is no alias, with the path to it and the mappings and lists that
// it stands in, outermost first.
func scalars(root *yaml.Node, f func(path string, n *yaml.Node, in []*yaml.Node)) {
	var walk func(path string, n *yaml.Node, in []*yaml.Node)
	walk = func(path string, n *yaml.Node, in []*yaml.Node) {
		switch n.Kind {
		case yaml.ScalarNode:
			f(path, n, in)
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(below(path, n.Content[i].Value), n.Content[i+1], append(in, n))
			}
		case yaml.SequenceNode:
			for i, ch := range n.Content {
				walk(below(path, strconv.Itoa(i)), ch, append(in, n))
			}
		}
	}
	walk("", root, nil)
}

func isSecret(n *yaml.Node) bool { return n.Tag == tagSecret || n.Tag == tagSealed }

// tagged reports whether the tree holds a value with one of the tags. Most documents hold none, and each edit asks.
func tagged(n *yaml.Node, tags ...string) bool {
	if n.Kind == yaml.ScalarNode {
		return slices.Contains(tags, n.Tag)
	}
	for _, ch := range n.Content {
		if tagged(ch, tags...) {
			return true
		}
	}
	return false
}

// note remembers which values are secrets, and how the clear ones read.
func (c *Clipboard) note() {
	if !tagged(c.root, tagSecret, tagSealed) {
		return
	}
	scalars(c.root, func(path string, n *yaml.Node, _ []*yaml.Node) {
		if !isSecret(n) {
			return
		}
		if c.sticky == nil {
			c.sticky = map[string]bool{}
		}
		c.sticky[path] = true
		if n.Tag == tagSecret {
			c.masker.Add(n.Value)
		}
	})
}

// wasSecret reports whether the value at path, or what it is a part of, is or was one.
func (c *Clipboard) wasSecret(path string) bool {
	for len(c.sticky) > 0 && path != "" {
		if c.sticky[path] {
			return true
		}
		path = path[:strings.LastIndexByte(path, 0)]
	}
	return false
}

// refuseShort refuses secrets that could not be masked, but for those that are known.
func (c *Clipboard) refuseShort(known map[string]string) error {
	var bad *SyntaxError
	scalars(c.root, func(_ string, n *yaml.Node, _ []*yaml.Node) {
		if n.Tag != tagSecret || bad != nil {
			return
		}
		if _, ok := known[n.Value]; ok {
			return
		}
		switch {
		case n.Value == Mask:
			bad = &SyntaxError{Line: n.Line, Column: n.Column, Msg: "this is the mask that stands for a secret, not the secret", Hint: "write the value itself after `!secret`"}
		case short(n.Value):
			bad = &SyntaxError{Line: n.Line, Column: n.Column, Msg: ErrShortSecret.Error(), Hint: "take a longer one, or leave out `!secret` if it is not secret"}
		}
	})
	if bad != nil {
		return bad
	}
	return nil
}

// Seal encrypts every clear `!secret` in the text. What was opened from a sealed text and did not change gets that
// same text back, so that a step that changes nothing changes no byte.
//
// What was a secret stays one: a value is sealed as well when it stands where one stood before, tagged or not, and when
// it shows one that this clipboard has seen, in whatever form. Afterwards nothing clear is left, or Seal fails.
func (c *Clipboard) Seal(k *Key) error {
	if len(c.sticky) == 0 && !c.masker.knows() {
		return nil // note would know of a tag
	}
	want := copyTree(c.root)
	var found []*yaml.Node
	var err error
	scalars(want, func(path string, n *yaml.Node, in []*yaml.Node) {
		if err != nil || n.Tag == tagSealed || n.Value == "" || n.Tag == "!!null" {
			return
		}
		if n.Tag != tagSecret && !c.wasSecret(path) && (!c.masker.Shows(n.Value) || names(path)) {
			return
		}
		var sealed string
		if sealed, err = c.sealValue(k, n.Value); err != nil {
			return
		}
		toBlock(in)
		*n = yaml.Node{Kind: yaml.ScalarNode, Style: yaml.TaggedStyle, Tag: tagSealed, Value: sealed, Anchor: n.Anchor, Line: n.Line, Column: n.Column, LineComment: n.LineComment}
		found = append(found, n)
	})
	if err != nil {
		return err
	}
	if len(found) > 0 {
		if slices.ContainsFunc(found, func(n *yaml.Node) bool { return n.Anchor != "" }) {
			expand(want)
		}
		if err := c.edit(want, func(d *document) bool { return swap(d, found) }); err != nil {
			return err
		}
	}
	return c.sealed1(want)
}

// names reports whether a path is one of the words by which everybody calls a host: a secret that reads like one of
// them must not take it away.
func names(path string) bool {
	return slices.Contains([]string{"\x00instance\x00hostname", "\x00instance\x00fqdn", "\x00instance\x00provider"}, path)
}

// toBlock has the mappings and lists around a value written line by line: a sealed value stands on one of its own.
func toBlock(in []*yaml.Node) {
	for _, n := range in {
		n.Style &^= yaml.FlowStyle
	}
}

// sealValue gives the sealed text of a value: the one it came from, when it came from one.
func (c *Clipboard) sealValue(k *Key, v string) (string, error) {
	for _, text := range c.sealed {
		if text == v {
			return v, nil // a sealed text that lost its tag
		}
	}
	if old, ok := c.sealed[v]; ok {
		return old, nil
	}
	if _, err := k.Open(v); err == nil {
		return v, nil
	}
	c.masker.Add(v)
	s, err := k.Seal(v)
	if err == nil {
		c.remember(v, s)
	}
	return s, err
}

// sealed1 is the last look: whatever is still clear, in a comment or a key, is masked, or nothing is stored.
func (c *Clipboard) sealed1(want *yaml.Node) error {
	clear := false
	scalars(c.root, func(_ string, n *yaml.Node, _ []*yaml.Node) { clear = clear || n.Tag == tagSecret })
	if clear {
		return errors.New("seal the clipboard: a `!secret` is left in clear")
	}
	masked := c.masker.Mask(string(c.src))
	if masked == string(c.src) || c.accept([]byte(masked), want) == nil {
		return nil
	}
	var left *yaml.Node
	keys(c.root, func(k *yaml.Node) {
		if left == nil && c.masker.Shows(k.Value) {
			left = k
		}
	})
	if left != nil {
		return &SyntaxError{Line: left.Line, Column: left.Column, Msg: "a secret is written as the name of this key, where it cannot be sealed", Hint: "take another name, or another secret"}
	}
	return nil // a host's own name reads like one
}

// keys calls f for each key of the document.
func keys(n *yaml.Node, f func(*yaml.Node)) {
	for i, ch := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			f(ch)
			continue
		}
		keys(ch, f)
	}
}

// Open gives a copy in which the secrets under the named instance keys are clear; nil opens none, and OpenAll all.
func (c *Clipboard) Open(k *Key, names []string) (*Clipboard, error) {
	return c.open(k, func(path string) bool {
		key, ok := strings.CutPrefix(path, "\x00instance\x00")
		key, _, _ = strings.Cut(key, "\x00")
		return ok && slices.Contains(names, key)
	})
}

// OpenAll gives a copy with every secret clear: for the masker, never for a step.
func (c *Clipboard) OpenAll(k *Key) (*Clipboard, error) {
	return c.open(k, func(string) bool { return true })
}

// open gives a copy with the wanted secrets in clear. It remembers their sealed texts, so that sealing again changes
// nothing.
func (c *Clipboard) open(k *Key, wanted func(path string) bool) (*Clipboard, error) {
	d := c.Clone()
	err := d.retag(tagSealed, wanted, func(n *yaml.Node) error {
		plain, err := k.Open(n.Value)
		if err != nil {
			return fmt.Errorf("line %d: %w", n.Line, err)
		}
		d.remember(plain, n.Value)
		n.Tag, n.Value = tagSecret, plain
		return nil
	})
	return d, err
}

// HasSealed reports whether the document holds a sealed value.
func (c *Clipboard) HasSealed() bool { return tagged(c.root, tagSealed) }

// Masked gives the text as people may see it: every secret, clear or sealed, as Mask, and lines that end with \n alone.
func (c *Clipboard) Masked() string {
	d := c
	if tagged(c.root, tagSecret, tagSealed) {
		d = c.Clone()
		for _, tag := range []string{tagSealed, tagSecret} {
			err := d.retag(tag, func(string) bool { return true }, func(n *yaml.Node) error {
				n.Tag, n.Value = tagSecret, Mask
				return nil
			})
			if err != nil {
				return "(the clipboard could not be masked)"
			}
		}
	}
	text := d.Redact(d.Text())
	if strings.Contains(text, "\r") {
		text = lineEnds.Replace(text)
	}
	return text
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// retag has f change the values with the given tag, where wanted.
func (c *Clipboard) retag(tag string, wanted func(path string) bool, f func(*yaml.Node) error) error {
	if !tagged(c.root, tag) {
		return nil
	}
	want := copyTree(c.root)
	var found []*yaml.Node
	var err error
	scalars(want, func(path string, n *yaml.Node, _ []*yaml.Node) {
		if err == nil && n.Tag == tag && wanted(path) {
			found = append(found, n)
			err = f(n)
		}
	})
	if err != nil || len(found) == 0 {
		return err
	}
	return c.edit(want, func(d *document) bool { return swap(d, found) })
}

// swap writes values again where they stand: from their first character to the end of the line, but for a comment.
// Where a value ends elsewhere, the document comes out with another meaning, and edit finds that.
func swap(d *document, found []*yaml.Node) bool {
	for _, n := range found {
		if n.Line < 1 || n.Line > len(d.lines) {
			return false
		}
		text := d.lines[n.Line-1].text
		start, tail := byteColumn(text, n.Column), ""
		if n.LineComment != "" {
			if i := strings.LastIndex(text, n.LineComment); i > start {
				tail = " " + n.LineComment
			}
		}
		value := n.Value
		if n.Tag == tagSecret && value != Mask {
			value = quote(value)
		}
		d.lines[n.Line-1].text = text[:start] + n.Tag + " " + value + tail
	}
	return true
}

// Redact replaces every secret that this clipboard has seen in clear with Mask.
func (c *Clipboard) Redact(s string) string { return c.masker.Mask(s) }

// Masker gives a masker that knows every secret that this clipboard has seen in clear. It goes on learning with it.
func (c *Clipboard) Masker() *Masker { return c.masker }

func (c *Clipboard) remember(plain, sealed string) {
	if c.sealed == nil {
		c.sealed = map[string]string{}
	}
	c.sealed[plain] = sealed
}
