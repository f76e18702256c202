package clipboard

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// copyTree gives a copy whose aliases stand for the copied nodes.
func copyTree(n *yaml.Node) *yaml.Node {
	made := map[*yaml.Node]*yaml.Node{}
	var cp func(n *yaml.Node) *yaml.Node
	cp = func(n *yaml.Node) *yaml.Node {
		if n == nil {
			return nil
		}
		if m, ok := made[n]; ok {
			return m
		}
		m := *n
		made[n] = &m
		m.Alias = cp(n.Alias)
		m.Content = make([]*yaml.Node, len(n.Content))
		for i, ch := range n.Content {
			m.Content[i] = cp(ch)
		}
		return &m
	}
	return cp(n)
}

// draft gives a copy of a document's tree in which the entries of the top and of `instance` may be changed. The values
// below are shared, unless something in the document may stand for a part of it.
func draft(root *yaml.Node) *yaml.Node {
	if hasAnchor(root) {
		return copyTree(root)
	}
	out := *root
	out.Content = slices.Clone(root.Content)
	if i := index(root, "instance"); i >= 0 {
		m := *root.Content[i+1]
		m.Content = slices.Clone(m.Content)
		out.Content[i+1] = &m
	}
	return &out
}

// ownInstance gives the mapping under `instance` of a tree that may be changed, and makes it one that stands there
// itself: not an alias, not empty text, not in braces. nil when there is none.
func ownInstance(root *yaml.Node) *yaml.Node {
	i := index(root, "instance")
	if i < 0 {
		return nil
	}
	root.Style &^= yaml.FlowStyle
	m := root.Content[i+1]
	switch {
	case m.Kind == yaml.AliasNode && m.Alias != nil && m.Alias.Kind == yaml.MappingNode:
		m = copyTree(m.Alias)
		m.Anchor = ""
	case m.Kind == yaml.ScalarNode && m.Value == "":
		m = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	case m.Kind != yaml.MappingNode:
		return nil
	}
	m.Style &^= yaml.FlowStyle
	root.Content[i+1] = m
	if m.Anchor != "" {
		expand(root) // what stands for it elsewhere is not what changes
	}
	return m
}

// hasAnchor reports whether something else may stand for a part of n.
func hasAnchor(n *yaml.Node) bool {
	return n != nil && n.Kind != yaml.AliasNode && (n.Anchor != "" || slices.ContainsFunc(n.Content, hasAnchor))
}

// expand puts a copy of what it stands for in the place of each alias, and takes the anchors away.
func expand(n *yaml.Node) {
	for i, ch := range n.Content {
		if ch.Kind == yaml.AliasNode && ch.Alias != nil {
			ch = copyTree(ch.Alias)
			n.Content[i] = ch
		}
		expand(ch)
	}
	n.Anchor = ""
}

// equal reports whether two trees mean the same: an alias is what it stands for, and how a value is written is nothing.
func equal(a, b *yaml.Node) bool {
	a, b = deref(a), deref(b)
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Value != b.Value || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !equal(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// dump writes a tree as a document, and leaves the tree alone: the library takes tags off what it writes.
func dump(n *yaml.Node) ([]byte, error) {
	n = copyTree(n)
	quoteOdd(n)
	return yaml.Dump(n, yaml.WithIndent(2), yaml.WithLineWidth(-1))
}

// quoteOdd has values with characters in which a reader may find the end of a line written with escapes.
func quoteOdd(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && strings.ContainsAny(n.Value, "\r"+oddBreaks) {
		n.Style = n.Style&yaml.TaggedStyle | yaml.DoubleQuotedStyle
	}
	for _, ch := range n.Content {
		quoteOdd(ch)
	}
}
