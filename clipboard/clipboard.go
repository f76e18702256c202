// Package clipboard is the YAML document about one host that a run passes from step to step.
//
//	bytes ── Parse ──► Clipboard ── String, Int, Strings ──► typed reads, errors name the key
//	                       │  ├──── Set, SetSecret, Delete ─► edits of the text itself
//	                       │  └──── Open, Seal ─────────────► which secrets a step may see
//	                       └── Bytes ──► the same bytes, but for what was set
//
// The text is the truth: an edit replaces the lines of one key and leaves every other byte, comment and unknown
// key as it was. The parsed tree tells where things stand, and proves each edit: the new text must mean exactly what
// was wanted, or the document is written again. Steps read and write the keys under `instance`.
//
// Everybody above calls this package; it imports nothing of ours, starts no goroutine and does not log.
// A Clipboard is not safe for concurrent use.
//
// Why not structs that are written out: docs/adr/0022-a-clipboard-is-text.md
package clipboard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"

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
	src    []byte
	root   *yaml.Node        // the top mapping of src
	sealed map[string]string // clear text → the sealed text it came from, so that sealing again changes nothing
	sticky map[string]bool   // paths of what is, or ever was, a secret here; see Seal
	masker *Masker           // every clear secret seen
}

// Parse reads one document. The error is a *SyntaxError with line, column and, where it helps, the likely fix; it never
// shows a secret.
// It refuses broken YAML, duplicate keys, too many aliases, more than MaxBytes, several documents, a top level that is
// not a mapping, characters of which programs disagree whether they end a line, and a `!secret` that could not be
// sealed or masked.
func Parse(src []byte) (*Clipboard, error) {
	c, err := parseAny(src)
	if err != nil {
		return nil, err
	}
	if err := c.refuseShort(nil); err != nil {
		return nil, err
	}
	return c, nil
}

// parseAny is Parse for what is on record, which may hold secrets that would be too short today.
func parseAny(src []byte) (*Clipboard, error) {
	if len(src) > MaxBytes {
		return nil, &SyntaxError{Msg: fmt.Sprintf("the clipboard is too large: at most %d bytes are taken", MaxBytes)}
	}
	if err := looksLikeSomethingElse(src); err != nil {
		return nil, err
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff")) // a byte order mark says only that this is UTF-8
	root, err := load(src)
	if err != nil {
		return nil, maskTagged(src, err)
	}
	c := &Clipboard{src: bytes.Clone(src), root: root, masker: &Masker{}}
	c.note()
	return c, nil
}

// load parses src and applies what a clipboard does not allow.
func load(src []byte) (*yaml.Node, error) {
	if err := refuseOddBreaks(src); err != nil {
		return nil, err
	}
	dec, err := yaml.NewLoader(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := dec.Load(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errEmpty()
		}
		return nil, syntaxError(src, err)
	}
	root := &doc
	if root.Kind == yaml.DocumentNode {
		if len(root.Content) == 0 {
			return nil, errEmpty()
		}
		root = root.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		return nil, &SyntaxError{Line: root.Line, Column: root.Column, Msg: "this is not a clipboard: the top level must be a mapping with the key `instance`"}
	}
	var second yaml.Node
	if err := dec.Load(&second); err == nil {
		return nil, &SyntaxError{Line: max(second.Line, 1), Msg: "there is more than one YAML document in it", Hint: "put one host in one clipboard"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(src, err)
	}
	return root, check(root)
}

func errEmpty() error {
	return &SyntaxError{Msg: "the clipboard is empty", Hint: "it needs at least `instance:` with hostname and provider"}
}

// tree gives the parsed top mapping. It is shared with clones: nobody changes it.
func (c *Clipboard) tree() *yaml.Node { return c.root }

// Bytes gives the document as it stands. The caller must not change the slice.
func (c *Clipboard) Bytes() []byte { return c.src }

// Text gives the document as it stands, as a string.
func (c *Clipboard) Text() string { return string(c.src) }

// Clone gives an independent copy.
func (c *Clipboard) Clone() *Clipboard {
	return &Clipboard{src: bytes.Clone(c.src), root: c.root, sealed: maps.Clone(c.sealed), sticky: maps.Clone(c.sticky), masker: c.masker.Clone()}
}

// Replace puts another whole document in place of this one, as an external worker does. Whatever is wrong with
// src leaves the clipboard as it was. What was a secret stays one, whatever src says of it: Seal sees to it.
func (c *Clipboard) Replace(src []byte) error {
	n, err := parseAny(src)
	if err != nil {
		return err
	}
	if child(n.root, "instance") == nil {
		return &SyntaxError{Msg: "the key `instance` is gone: print the whole clipboard, not a part of it"}
	}
	if err := n.refuseShort(c.sealed); err != nil {
		return err
	}
	c.src, c.root = n.src, n.root
	c.note()
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
