package clipboard

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ErrMissing is what a typed read wraps when the key is not there or empty.
var ErrMissing = errors.New("is missing")

// A KeyError names the key that could not be read, and where it stands. Unwrap gives ErrMissing when it is absent.
type KeyError struct {
	Key  string
	Line int // 0 when the key is absent
	Err  error
}

// Error implements error.
func (e *KeyError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %q %v", e.Line, e.Key, e.Err)
	}
	return fmt.Sprintf("%q %v", e.Key, e.Err)
}

// Unwrap gives the cause, for errors.Is and errors.As.
func (e *KeyError) Unwrap() error { return e.Err }

// instance gives the mapping under `instance`, or nil.
func (c *Clipboard) instance() *yaml.Node { return child(c.tree(), "instance") }

// node finds key under instance; dots go deeper ("disk.size").
func (c *Clipboard) node(key string) *yaml.Node {
	n := c.instance()
	for _, part := range strings.Split(key, ".") {
		n = child(n, part)
	}
	return n
}

// Has reports whether the key is there with a value (null and "" count as absent).
func (c *Clipboard) Has(key string) bool {
	n := c.node(key)
	return n != nil && n.Tag != "!!null" && (n.Kind != yaml.ScalarNode || n.Value != "")
}

// Keys lists the keys under instance in their order.
func (c *Clipboard) Keys() []string { return keysOf(c.instance()) }

// TopKeys lists the keys of the document itself, in their order: `instance`, `steps`, …
func (c *Clipboard) TopKeys() []string { return keysOf(c.tree()) }

func keysOf(m *yaml.Node) []string {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	keys := make([]string, 0, len(m.Content)/2)
	for i := 0; i+1 < len(m.Content); i += 2 {
		keys = append(keys, m.Content[i].Value)
	}
	return keys
}

// String reads a key under instance that holds one value. A missing or empty key is an error.
func (c *Clipboard) String(key string) (string, error) {
	n := c.node(key)
	switch {
	case n == nil || n.Tag == "!!null" || n.Kind == yaml.ScalarNode && n.Value == "":
		return "", &KeyError{Key: key, Err: ErrMissing}
	case n.Kind != yaml.ScalarNode:
		return "", &KeyError{Key: key, Line: n.Line, Err: errors.New("must be a single value, not a list or mapping")}
	case n.Tag == tagSealed:
		return "", &KeyError{Key: key, Line: n.Line, Err: errors.New("is sealed; only a step that names it in Needs sees it")}
	}
	return n.Value, nil
}

// Get is String with "" for a key that is missing or no single value.
func (c *Clipboard) Get(key string) string {
	s, err := c.String(key)
	if err != nil {
		return ""
	}
	return s
}

// Int reads a whole number.
func (c *Clipboard) Int(key string) (int, error) {
	s, err := c.String(key)
	if err != nil {
		return 0, err
	}
	i, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		return 0, &KeyError{Key: key, Line: c.node(key).Line, Err: fmt.Errorf("must be a whole number, not %q", c.Redact(s))}
	}
	return i, nil
}

// Addr reads an IP address.
func (c *Clipboard) Addr(key string) (netip.Addr, error) {
	s, err := c.String(key)
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(s)
	what := "an IP address"
	if key == "ip6address" {
		what = "an IPv6 address"
	}
	if err != nil || a.Zone() != "" || key == "ip6address" && a.Unmap().Is4() {
		return netip.Addr{}, &KeyError{Key: key, Line: c.node(key).Line, Err: fmt.Errorf("must be %s, not %q", what, c.Redact(s))}
	}
	return a, nil
}

// Strings reads a list of values; a single value counts as a list of one. A missing key is an error.
func (c *Clipboard) Strings(key string) ([]string, error) { return list(key, c.node(key)) }

// TopStrings reads a list at the top level of the document, such as `steps`.
func (c *Clipboard) TopStrings(key string) ([]string, error) { return list(key, child(c.tree(), key)) }

// list takes a single value for a list of one. A key without a value is missing.
func list(key string, n *yaml.Node) ([]string, error) {
	switch {
	case n == nil || n.Tag == "!!null":
		return nil, &KeyError{Key: key, Err: ErrMissing}
	case n.Kind == yaml.ScalarNode:
		return []string{n.Value}, nil
	case n.Kind != yaml.SequenceNode:
		return nil, &KeyError{Key: key, Line: n.Line, Err: errors.New("must be a list")}
	}
	out := make([]string, 0, len(n.Content))
	for _, e := range n.Content {
		e = deref(e)
		if e.Kind != yaml.ScalarNode {
			return nil, &KeyError{Key: key, Line: e.Line, Err: errors.New("must be a list of plain values")}
		}
		out = append(out, e.Value)
	}
	return out, nil
}

// Tree gives what is under a key, in lists and maps as they stand; ok is false where nothing is, or a secret is
// anywhere in it.
func (c *Clipboard) Tree(key string) (v any, ok bool) {
	n := c.node(key)
	if n == nil || tagged(n, tagSecret, tagSealed) {
		return nil, false
	}
	err := n.Decode(&v)
	return v, err == nil && v != nil
}

// Decode reads a key of any shape into v, as yaml.Unmarshal would; its errors are in people's words. A missing key
// leaves v alone and is ErrMissing.
func (c *Clipboard) Decode(key string, v any) error {
	n := c.node(key)
	if n == nil {
		return &KeyError{Key: key, Err: ErrMissing}
	}
	err := Shaped(n, v, key)
	switch e := err.(type) {
	case *KeyError:
		e.Err = errors.New(c.Redact(e.Err.Error()))
	case *SyntaxError:
		e.Msg = c.Redact(e.Msg)
	}
	return err
}
