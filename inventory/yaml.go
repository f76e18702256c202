package inventory

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/internal/plain"
)

// maxDepth bounds how deep children, aliases and merges may nest.
const maxDepth = 50

// readYAML reads Ansible's YAML: groups with hosts, vars and children.
func (l *List) readYAML(src []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		return &SyntaxError{Msg: plain.Line(err.Error())}
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return &SyntaxError{Msg: "the groups of an inventory belong there, as in `all:`"}
	}
	t := newTree(l)
	top, err := t.pairs(doc.Content[0], 0)
	if err != nil {
		return err
	}
	for _, p := range top {
		if err := t.yamlGroup(p, 0); err != nil {
			return err
		}
	}
	return t.done()
}

type pair struct{ key, value *yaml.Node }

// spend counts what is read, however often an alias has it read again.
func (t *tree) spend(n, line int) error {
	if t.spent += n; t.spent > maxSpent {
		return &SyntaxError{line, "it has too much, with what its aliases say again; split it, or say less of it twice"}
	}
	return nil
}

// pairs gives those of a mapping, with what it merges in before its own.
func (t *tree) pairs(n *yaml.Node, depth int) ([]pair, error) {
	if depth > maxDepth {
		return nil, &SyntaxError{n.Line, "it nests too deep"}
	}
	if err := t.spend(1+len(n.Content)/2, n.Line); err != nil {
		return nil, err
	}
	if n.Kind == yaml.AliasNode {
		return t.pairs(n.Alias, depth+1)
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, &SyntaxError{n.Line, "a mapping belongs there, as in `NAME:`"}
	}
	var merged, own []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Value != "<<" || k.Style != 0 {
			own = append(own, pair{k, v})
			continue
		}
		from := []*yaml.Node{v}
		if v.Kind == yaml.SequenceNode {
			from = v.Content
		}
		for _, f := range from {
			more, err := t.pairs(f, depth+1)
			if err != nil {
				return nil, err
			}
			if err := t.spend(len(more)+len(merged), n.Line); err != nil {
				return nil, err
			}
			merged = append(more, merged...)
			if len(merged) > MaxHosts {
				return nil, &SyntaxError{n.Line, "it merges in too much"}
			}
		}
	}
	return append(merged, own...), nil
}

// yamlGroup reads a group, and those below it. depth stops a group that is, by an alias, in itself.
func (t *tree) yamlGroup(p pair, depth int) error {
	if depth > maxDepth {
		return &SyntaxError{p.key.Line, "groups nest too deep"}
	}
	g := t.group(p.key.Value, p.key.Line)
	g.declared = true
	parts, err := t.pairs(p.value, 0)
	if err != nil {
		return err
	}
	for _, part := range parts {
		inside, err := t.pairs(part.value, 0)
		if err != nil {
			return err
		}
		switch part.key.Value {
		case "hosts":
			err = t.yamlHosts(g, inside)
		case "vars":
			err = t.yamlVars(g.vars, inside)
		case "children":
			for _, c := range inside {
				g.children = append(g.children, c.key.Value)
				if err := t.yamlGroup(c, depth+1); err != nil {
					return err
				}
			}
		default:
			t.list.note(part.key.Line, "ignored: %q is not one of hosts, vars and children, as a group has them", part.key.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// yamlHosts reads the hosts of a group, each with variables of its own.
func (t *tree) yamlHosts(g *group, hosts []pair) error {
	for _, h := range hosts {
		list, err := t.pairs(h.value, 0)
		if err != nil {
			return err
		}
		vars := map[string]string{}
		if err := t.yamlVars(vars, list); err != nil {
			return err
		}
		if err := t.host(g, h.key.Value, h.key.Line, vars); err != nil {
			return err
		}
	}
	return nil
}

// yamlVars keeps what says how a host is reached. What a vault hides is noted, and left out.
func (t *tree) yamlVars(into map[string]string, list []pair) error {
	for _, p := range list {
		v := p.value
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if err := t.vaulted(v, 0); err != nil {
			return err
		}
		if v.Tag == "!vault" {
			continue
		}
		if slices.Contains(connection, p.key.Value) && v.Kind != yaml.ScalarNode {
			return &SyntaxError{p.key.Line, fmt.Sprintf("%s is one word", p.key.Value)}
		}
		t.set(into, p.key.Value, v.Value, p.key.Line)
	}
	return nil
}

// vaulted notes secrets of Ansible's wherever they stand in a value.
func (t *tree) vaulted(n *yaml.Node, depth int) error {
	if err := t.spend(1, n.Line); err != nil {
		return err
	}
	if n.Tag == "!vault" || n.Tag == "!vault-encrypted" {
		t.vault(n.Line)
	}
	if depth < maxDepth {
		for _, c := range n.Content {
			if err := t.vaulted(c, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
