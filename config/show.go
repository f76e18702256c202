package config

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Show gives what is in force as YAML: what the file says, and the defaults of what it leaves out, marked as such.
// Secrets are masked; parts that are not configured are not there.
func (c *Config) Show() (string, error) {
	n, err := c.node(reflect.ValueOf(c).Elem(), "")
	if err != nil {
		return "", err
	}
	b, err := yaml.Dump(n, yaml.WithIndent(2))
	return string(b), err
}

// node gives a value as a tree; nil when there is nothing to show.
func (c *Config) node(v reflect.Value, key string) (*yaml.Node, error) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil, nil
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || ownForm(v.Type()) {
		if v.IsZero() && !c.read.has(key) {
			return nil, nil
		}
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && !ownForm(v.Type().Elem()) {
			list := &yaml.Node{Kind: yaml.SequenceNode}
			for i := range v.Len() {
				n, err := c.node(v.Index(i), fmt.Sprintf("%s[%d]", key, i))
				if err != nil {
					return nil, err
				}
				if n != nil {
					list.Content = append(list.Content, n)
				}
			}
			return list, nil
		}
		if d, ok := v.Interface().(time.Duration); ok {
			return &yaml.Node{Kind: yaml.ScalarNode, Value: plain.Duration(d)}, nil
		}
		var n yaml.Node
		if err := n.Encode(v.Interface()); err != nil {
			return nil, err
		}
		c.hide(&n)
		return &n, nil
	}
	out := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range reflect.VisibleFields(v.Type()) {
		name := tag(f)
		if name == "" || !f.IsExported() {
			continue
		}
		at := path(key, name)
		n, err := c.node(v.FieldByIndex(f.Index), at)
		if err != nil {
			return nil, err
		}
		if n != nil && behindName(f) {
			for _, e := range n.Content {
				if name, _, found := strings.Cut(e.Value, " "); found {
					e.Value = name + " " + clipboard.Mask
				}
			}
		}
		if n == nil {
			if n = byDefault(f); n == nil {
				continue
			}
		}
		if n.Kind == yaml.ScalarNode && !c.read.has(at) {
			n.LineComment = "# default"
		}
		out.Content = append(out.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, n)
	}
	if len(out.Content) == 0 {
		return nil, nil
	}
	return out, nil
}

// behindName reports whether a list has names with a secret after each, as a channel with its key.
func behindName(f reflect.StructField) bool { return f.Tag.Get("secret") == "behind name" }

// byDefault gives the default that the documentation names.
func byDefault(f reflect.StructField) *yaml.Node {
	d := f.Tag.Get("default")
	if d == "" || strings.Contains(d, " ") || f.Type.Kind() == reflect.Pointer { // some are told in words
		return nil
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: d}
	if f.Type.Kind() == reflect.String {
		n.Tag = "!!str"
	}
	return n
}

// hide masks what came from elsewhere, also where the key is no secret's.
func (c *Config) hide(n *yaml.Node) {
	for _, s := range c.Secrets() {
		if strings.Contains(n.Value, s) {
			n.Value = strings.ReplaceAll(n.Value, s, clipboard.Mask)
		}
	}
	for _, ch := range n.Content {
		c.hide(ch)
	}
}

// shortest is the shortest text that is masked wherever it is found: a shorter one would make holes in other words.
const shortest = 6

// Secrets gives all secrets of the configuration, the longest first, so that they can be masked in what is written.
func (c *Config) Secrets() []string {
	var out []string
	for _, s := range c.read.standIns {
		out = append(out, s.value)
	}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				walk(v.MapIndex(k))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				f := v.Type().Field(i)
				if !f.IsExported() {
					continue
				}
				walk(v.Field(i))
				if behindName(f) {
					for j := range v.Field(i).Len() {
						if _, secret, found := strings.Cut(v.Field(i).Index(j).String(), " "); found {
							out = append(out, strings.TrimSpace(secret))
						}
					}
				}
			}
		case reflect.String:
			if s, ok := v.Interface().(clipboard.Secret); ok {
				out = append(out, string(s))
				if u, err := url.Parse(string(s)); err == nil && u.User != nil {
					if p, ok := u.User.Password(); ok {
						out = append(out, p)
					}
				}
			}
		}
	}
	walk(reflect.ValueOf(c).Elem())
	out = slices.DeleteFunc(out, func(s string) bool { return len(s) < shortest })
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(out)
}
