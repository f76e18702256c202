package clipboard

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Cluster is several hosts that go together: one document with `instances:` in place of `instance:`.
type Cluster struct {
	Name      string       // top key `cluster`, or what the members' names begin with
	Members   []*Clipboard // one document each, with its own `instance` and everything else of the whole
	Barriers  []string     // steps that nobody begins before all have come to them
	OnFailure string       // hold, undo or continue
}

// What a cluster does when a member fails.
const (
	Hold     = "hold"     // the others stop before their next stage, until a person has dealt with it
	UndoAll  = "undo"     // all members are undone
	Continue = "continue" // the others go on without it
)

// IsCluster reports whether the document describes several hosts.
func (c *Clipboard) IsCluster() bool { return child(c.tree(), "instances") != nil }

// Cluster takes a document with `instances` apart. The error names the member and what is wrong with it.
func (c *Clipboard) Cluster() (Cluster, error) {
	var cl Cluster
	root := c.tree()
	list := child(root, "instances")
	switch {
	case child(root, "instance") != nil:
		return cl, &SyntaxError{Line: list.Line, Msg: "there are both `instance` and `instances`", Hint: "`instance:` for one host, `instances:` for several"}
	case list.Kind != yaml.SequenceNode || len(list.Content) == 0:
		return cl, &SyntaxError{Line: list.Line, Column: list.Column, Msg: "`instances` must be a list of hosts", Hint: "`- hostname: web1` and so on, one entry for each host"}
	}
	cl.OnFailure = Hold
	if n := child(root, "on_failure"); n != nil {
		cl.OnFailure = n.Value
		if !slices.Contains([]string{Hold, UndoAll, Continue}, n.Value) {
			return cl, &SyntaxError{Line: n.Line, Column: n.Column, Msg: fmt.Sprintf("`on_failure` is %q", n.Value), Hint: "hold, undo or continue"}
		}
	}
	if child(root, "barriers") != nil {
		var err error
		if cl.Barriers, err = c.TopStrings("barriers"); err != nil {
			return cl, err
		}
	}
	var names []string
	lines := map[string]int{}
	for i, item := range list.Content {
		m, in, err := c.member(root, deref(item))
		if err != nil {
			return cl, inMember(i+1, deref(item), err)
		}
		if first, twice := lines[in.FQDN]; twice {
			return cl, &SyntaxError{Line: item.Line, Msg: fmt.Sprintf("%s is here a second time; the first is in line %d", in.FQDN, first)}
		}
		lines[in.FQDN] = item.Line
		names = append(names, in.Hostname)
		cl.Members = append(cl.Members, m)
	}
	if n := child(root, "cluster"); n != nil {
		if cl.Name = n.Value; !label.MatchString(cl.Name) {
			return cl, &SyntaxError{Line: n.Line, Column: n.Column, Msg: fmt.Sprintf("`cluster` is %q", n.Value), Hint: "a name like web: small letters, digits and -"}
		}
	} else if cl.Name = common(names); cl.Name == "" {
		return cl, &SyntaxError{Msg: "the cluster has no name, and its hosts' names have no beginning in common", Hint: "write `cluster: NAME` at the top"}
	}
	if slices.Contains(names, cl.Name) {
		return cl, &SyntaxError{Msg: fmt.Sprintf("the cluster and one of its hosts are both called %s", cl.Name), Hint: "write `cluster: NAME` at the top"}
	}
	return cl, nil
}

// inMember says which member an error is about. Lines of a member's own document are nobody's.
func inMember(n int, item *yaml.Node, err error) error {
	name := ""
	if h := child(item, "hostname"); h != nil {
		name = " (" + h.Value + ")"
	}
	msg := err.Error()
	var k *KeyError
	var s *SyntaxError
	switch {
	case errors.As(err, &k):
		msg = fmt.Sprintf("%q %v", k.Key, k.Err)
	case errors.As(err, &s):
		msg = (&SyntaxError{Msg: s.Msg, Hint: s.Hint}).Error()
	}
	return &SyntaxError{Line: item.Line, Msg: fmt.Sprintf("host %d%s: %s", n, name, msg)}
}

// common gives what all names begin with, without digits and hyphens at its end: web1, web2 → web.
func common(names []string) string {
	p := names[0]
	for _, n := range names[1:] {
		for !strings.HasPrefix(n, p) {
			p = p[:len(p)-1]
		}
	}
	return strings.TrimRight(p, "0123456789-")
}

// member writes one host's document: its `instance`, and every other key of the whole but those about the cluster.
func (c *Clipboard) member(root, item *yaml.Node) (*Clipboard, Instance, error) {
	if item.Kind != yaml.MappingNode {
		return nil, Instance{}, &SyntaxError{Msg: "must be a mapping", Hint: "`hostname: web1` and the other keys of a host"}
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	out.Content = append(out.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "instance"}, plain(item))
	for i := 0; i+1 < len(root.Content); i += 2 {
		if k := root.Content[i]; !slices.Contains([]string{"instances", "barriers", "on_failure", "cluster"}, k.Value) && !isAnchorOnly(root, k.Value) {
			out.Content = append(out.Content, plain(k), plain(root.Content[i+1]))
		}
	}
	b, err := dump(out)
	if err != nil {
		return nil, Instance{}, err
	}
	m, err := parseAny(b) // the whole was Parsed
	if err != nil {
		return nil, Instance{}, err
	}
	in, err := m.Instance()
	return m, in, err
}

// isAnchorOnly reports whether a top key is there for its anchor alone (x-defaults: &defaults …): by custom it begins
// with x- or a dot.
func isAnchorOnly(root *yaml.Node, key string) bool {
	n := root.Content[index(root, key)+1]
	return n.Anchor != "" && (strings.HasPrefix(key, "x-") || strings.HasPrefix(key, "."))
}

// plain copies a node without anchors, aliases and merge keys: what they stand for is written out.
func plain(n *yaml.Node) *yaml.Node {
	n = deref(n)
	cp := *n
	cp.Anchor, cp.Content = "", nil
	cp.Style &^= yaml.FlowStyle
	if n.Kind != yaml.MappingNode {
		for _, ch := range n.Content {
			cp.Content = append(cp.Content, plain(ch))
		}
		return &cp
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], deref(n.Content[i+1])
		if k.Tag != "!!merge" {
			cp.Content = append(cp.Content, plain(k), plain(v))
			continue
		}
		if v.Kind == yaml.MappingNode {
			merged = append(merged, v)
		} else {
			for _, m := range v.Content {
				merged = append(merged, deref(m))
			}
		}
	}
	for _, m := range merged { // what the mapping says itself comes first, then the first of the merged (YAML merge key type)
		for i := 0; i+1 < len(m.Content); i += 2 {
			if index(&cp, m.Content[i].Value) < 0 {
				cp.Content = append(cp.Content, plain(m.Content[i]), plain(m.Content[i+1]))
			}
		}
	}
	return &cp
}

// reference is how a member names another's value: ${web1.ipaddress}.
var reference = pattern.New(`\$\{([a-z0-9][a-z0-9-]*)\.([a-z0-9_][a-z0-9_.]*)\}`)

// Ref is a value of another member that the clipboard waits for.
type Ref struct {
	Key  string // under instance, where it stands
	Host string // whose
	Name string // which key of it
}

// Refs lists the references under instance, in their order.
func (c *Clipboard) Refs() []Ref {
	if !strings.Contains(string(c.src), "${") {
		return nil
	}
	var out []Ref
	in := c.instance()
	if in == nil {
		return nil
	}
	for i := 0; i+1 < len(in.Content); i += 2 {
		var walk func(n *yaml.Node)
		walk = func(n *yaml.Node) {
			if n.Kind == yaml.ScalarNode {
				for _, m := range reference.FindAllStringSubmatch(n.Value, -1) {
					out = append(out, Ref{in.Content[i].Value, m[1], m[2]})
				}
			}
			for _, ch := range n.Content {
				walk(ch)
			}
		}
		walk(in.Content[i+1])
	}
	return out
}

// safe is what a value of another host may be made of: neither YAML nor a shell finds anything to do in it.
var safe = pattern.New(`^[A-Za-z0-9][A-Za-z0-9 ._:/@+=,-]*$`)

// Put writes the value of another member in place of its references. A value that YAML or a shell could read as
// anything but itself is refused: it comes from another machine.
func (c *Clipboard) Put(r Ref, value string) error {
	if !safe.MatchString(value) || strings.Contains(value, ": ") || strings.HasSuffix(value, ":") || len(value) > 4096 {
		return fmt.Errorf("the value of ${%s.%s} holds characters that cannot go into another host's clipboard", r.Host, r.Name)
	}
	text := strings.ReplaceAll(string(c.src), "${"+r.Host+"."+r.Name+"}", value)
	if err := c.accept([]byte(text), nil); err != nil {
		return fmt.Errorf("put ${%s.%s}: %w", r.Host, r.Name, err)
	}
	return nil
}
