package clipboard

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Names that every step may read, and none may change.
var hostNames = []string{"hostname", "fqdn", "provider"}

// withheld stands where a sealed value stood.
const withheld = "withheld"

// Only gives a new document with the names of the host and the given keys under instance, as they stand here: for a
// step that is done elsewhere. Comments, all other keys, and what is still sealed stay here.
func (c *Clipboard) Only(keys []string) (*Clipboard, error) {
	in := deref(c.instance())
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if in != nil {
		for i := 0; i+1 < len(in.Content); i += 2 {
			k, v := in.Content[i], in.Content[i+1]
			if !slices.Contains(keys, k.Value) && !slices.Contains(hostNames, k.Value) {
				continue
			}
			v = standalone(v)
			scalars(v, func(_ string, n *yaml.Node, _ []*yaml.Node) {
				if n.Tag == tagSealed {
					n.Value = withheld
				}
			})
			out.Content = append(out.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: k.Value}, v)
		}
	}
	b, err := dump(&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: "instance"}, out}})
	if err != nil {
		return nil, fmt.Errorf("cut the clipboard down: %w", err)
	}
	return parseAny(b)
}

// standalone gives a copy of a value that means the same by itself, without comments.
func standalone(n *yaml.Node) *yaml.Node {
	n = copyTree(deref(n))
	expand(n)
	var bare func(n *yaml.Node)
	bare = func(n *yaml.Node) {
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		for _, ch := range n.Content {
			bare(ch)
		}
	}
	bare(n)
	return n
}

// Merge takes over what differs between a document that Only gave and what became of it elsewhere. Keys that are here
// and were not among those given, and the names of the host, may not be touched.
func (c *Clipboard) Merge(sent, got *Clipboard, keys []string) error {
	for _, k := range got.TopKeys() {
		if k != "instance" {
			return fmt.Errorf("it has the key %q beside instance", k)
		}
	}
	all := slices.Concat(sent.Keys(), got.Keys())
	slices.Sort(all)
	next := c.Clone()
	for _, key := range slices.Compact(all) {
		was, is := sent.node(key), got.node(key)
		switch {
		case was != nil && is != nil && equal(was, is):
			continue
		case slices.Contains(hostNames, key):
			return fmt.Errorf("it is about another host: its %s changed", key)
		case !slices.Contains(keys, key) && c.Has(key):
			return fmt.Errorf("it changes %q, which the step does not name", key)
		}
		if is == nil {
			if err := next.Delete(key); err != nil {
				return err
			}
			continue
		}
		text, err := written(is)
		if err == nil {
			err = next.put(key, text)
		}
		if err != nil {
			return err
		}
	}
	*c = *next
	return nil
}

// written gives a value as put takes it.
func written(n *yaml.Node) ([]string, error) {
	n = standalone(n)
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
		n.Style = n.Style&yaml.TaggedStyle | yaml.DoubleQuotedStyle
	}
	b, err := dump(n)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) == 1 && (n.Kind == yaml.ScalarNode || n.Style&yaml.FlowStyle != 0 || len(n.Content) == 0) {
		return lines, nil
	}
	return append([]string{""}, lines...), nil
}
