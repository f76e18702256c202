// Package clipboard is the YAML document about one host that a run passes from step to step.
//
//	bytes ── Parse ──► Clipboard ── String, Int, Strings ──► typed reads, errors name the key
//	                       │  ├──── Set, SetSecret, Delete ─► edits of the text itself
//	                       │  └──── Open, Seal ─────────────► which secrets a step may see
//	                       └── Bytes ──► the same bytes, but for what was set
//
// The text is the truth: an edit replaces the lines of one key and leaves every other byte, comment and unknown
// key as it was. The parsed tree only tells where things stand. Steps read and write the keys under `instance`.
//
// Everybody above calls this package; it imports nothing of ours, starts no goroutine and does not log.
// A Clipboard is not safe for concurrent use.
package clipboard

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"
)

// Limits of what Parse takes from outside.
const (
	MaxBytes   = 64 << 10 // size of the document
	maxAliases = 32       // uses of `*anchor`
	maxDepth   = 64       // nesting
)

// Clipboard is one parsed document. Make one with Parse; the zero value is not usable.
type Clipboard struct {
	src     []byte
	root    *yaml.Node        // the top mapping; nil when src was edited since the last parse
	sealed  map[string]string // clear text → the sealed text it came from, so that sealing again changes nothing
	secrets []string          // every clear secret seen, for Redact
}

// Parse reads one document. The error is a *SyntaxError with line, column and, where it helps, the likely fix.
// It refuses what DESIGN section 4 refuses: broken YAML, duplicate keys, too many aliases, more than MaxBytes,
// several documents, a top level that is not a mapping, and a `!secret` that it could not seal.
func Parse(src []byte) (*Clipboard, error) {
	if len(src) > MaxBytes {
		return nil, &SyntaxError{Msg: fmt.Sprintf("the clipboard has %d bytes; at most %d are taken", len(src), MaxBytes)}
	}
	if err := looksLikeSomethingElse(src); err != nil {
		return nil, err
	}
	c := &Clipboard{src: bytes.Clone(src)}
	if err := c.load(true); err != nil {
		return nil, err
	}
	return c, nil
}

// load parses src. strict also applies the checks for what comes from outside.
func (c *Clipboard) load(strict bool) error {
	dec, err := yaml.NewLoader(bytes.NewReader(c.src))
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := dec.Load(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return &SyntaxError{Msg: "the clipboard is empty", Hint: "it needs at least `instance:` with hostname and provider"}
		}
		return syntaxError(c.src, err)
	}
	root := &doc
	if root.Kind == yaml.DocumentNode {
		if len(root.Content) == 0 {
			return &SyntaxError{Msg: "the clipboard is empty", Hint: "it needs at least `instance:` with hostname and provider"}
		}
		root = root.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		return &SyntaxError{Line: root.Line, Column: root.Column, Msg: "this is not a clipboard: the top level must be a mapping with the key `instance`"}
	}
	if strict {
		var second yaml.Node
		if err := dec.Load(&second); err == nil {
			return &SyntaxError{Line: max(second.Line, 1), Msg: "there is more than one YAML document in it", Hint: "put one host in one clipboard"}
		}
		if err := check(root); err != nil {
			return err
		}
	}
	c.root = root
	return nil
}

// tree gives the parsed top mapping, parsing again after an edit.
func (c *Clipboard) tree() *yaml.Node {
	if c.root == nil {
		if err := c.load(false); err != nil {
			// Every edit is verified before it is kept, so the text always parses.
			panic(fmt.Sprintf("clipboard: an accepted edit broke the document: %v", err))
		}
	}
	return c.root
}

// Bytes gives the document as it stands. The caller must not change the slice.
func (c *Clipboard) Bytes() []byte { return c.src }

// Text gives the document as it stands, as a string.
func (c *Clipboard) Text() string { return string(c.src) }

// Clone gives an independent copy.
func (c *Clipboard) Clone() *Clipboard {
	d := &Clipboard{src: bytes.Clone(c.src), root: c.root, secrets: append([]string(nil), c.secrets...)}
	if c.sealed != nil {
		d.sealed = make(map[string]string, len(c.sealed))
		for k, v := range c.sealed {
			d.sealed[k] = v
		}
	}
	return d
}

// Replace puts another whole document in place of this one, as an external worker does. Whatever is wrong with
// src leaves the clipboard as it was.
func (c *Clipboard) Replace(src []byte) error {
	n, err := Parse(src)
	if err != nil {
		return err
	}
	if child(n.root, "instance") == nil {
		return &SyntaxError{Msg: "the key `instance` is gone: print the whole clipboard, not a part of it"}
	}
	c.src, c.root = n.src, n.root
	return nil
}

// child finds the value of key in a mapping, or nil.
func child(m *yaml.Node, key string) *yaml.Node {
	if i := index(m, key); i >= 0 {
		return deref(m.Content[i+1])
	}
	return nil
}

// index finds the position of key in a mapping's content, or -1.
func index(m *yaml.Node, key string) int {
	if m == nil || m.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// deref follows an alias to what it stands for.
func deref(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}
