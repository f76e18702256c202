package mistake

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Line gives the line of a key in a tree of YAML, or of the nearest thing above it that is there, and whether the key
// itself is; 0 when there is none.
func Line(root *yaml.Node, key string) (line int, there bool) {
	if root != nil && root.Kind == yaml.DocumentNode && len(root.Content) > 0 {
		root = root.Content[0]
	}
	if root == nil {
		return 0, false
	}
	there = find(root, key, &line)
	return line, there
}

// find goes down as far as the key is there, and reports whether it is. A key may have dots in it, so the longest that
// fits is taken.
func find(n *yaml.Node, rest string, line *int) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if rest == "" {
		return true
	}
	switch n.Kind {
	case yaml.MappingNode:
		if after, ok := strings.CutPrefix(rest, "[0]"); ok { // one, where a list is allowed
			rest = after
		}
		rest = strings.TrimPrefix(rest, ".")
		best := -1
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i].Value
			if after, ok := strings.CutPrefix(rest, k); ok && (after == "" || after[0] == '.' || after[0] == '[') && (best < 0 || len(k) > len(n.Content[best].Value)) {
				best = i
			}
		}
		if best >= 0 {
			*line = n.Content[best].Line
			return find(n.Content[best+1], strings.TrimPrefix(rest, n.Content[best].Value), line)
		}
	case yaml.SequenceNode:
		i, after := 0, rest
		if _, err := fmt.Sscanf(rest, "[%d]", &i); err == nil {
			_, after, _ = strings.Cut(rest, "]")
		} else if len(n.Content) != 1 {
			return false
		}
		if i < len(n.Content) {
			*line = n.Content[i].Line
			return find(n.Content[i], after, line)
		}
	}
	return false
}
