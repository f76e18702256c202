package clipboard

import (
	"errors"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// examples say how the keys that have a shape of their own are written.
var examples = map[string]string{
	"size":                    "size: 2GB or size: {memory: 2GB, cpus: 2}",
	"disk":                    "disk: 40GB",
	"disks":                   "disks: [{size: 100GB}]",
	"network":                 "network: {subnet: web}",
	"network.security_groups": "security_groups: [web]",
	"network.nameservers":     "nameservers: [10.0.0.2]",
	"tags":                    "tags: {team: web}",
	"options":                 "options: {spot: true}",
	"login":                   "login: {user: admin, port: 2222}",
	"dns":                     "dns: {reverse: off, ttl: 60}",
	"filesystems":             "filesystems: [{device: /dev/sdb, mount: /srv, type: ext4}]",
	"commands":                `commands: ["apt-get -y upgrade"]`,
}

// Shaped decodes a part of a document into v, and says in people's words what has the wrong shape: the YAML library's
// own words name types of Go. where is the key, with dots ("network.public"). The error is a *KeyError, or a
// *SyntaxError that a decoder of ours gave.
func Shaped(n *yaml.Node, v any, where string) error {
	if err := shape(n, reflect.TypeOf(v), where, mustBe); err != nil {
		return err
	}
	err := n.Decode(v)
	if err == nil {
		return nil
	}
	var ours *SyntaxError
	var key *KeyError
	var load *yaml.LoadError
	if errors.As(err, &load) { // yaml.LoadErrors shows its list to errors.As by this type only
		err = load
	}
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.As(err, &key):
		return key
	}
	return Misshapen(n, where, "cannot be read")
}

// How a refusal begins: of a value, and of one in a list.
const (
	mustBe   = "must be "
	MustEach = "must be a list, and each of its entries "
)

// Misshapen says what is wrong with a key, with an example where there is one.
func Misshapen(n *yaml.Node, where, wrong string) error {
	if e := examples[where]; e != "" {
		wrong += ", as in " + e
	}
	return &KeyError{Key: where, Line: n.Line, Err: errors.New(wrong)}
}

// shape walks the tree beside the Go type. What has a decoder of its own is left to that.
func shape(n *yaml.Node, t reflect.Type, where, be string) error {
	n = deref(n)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Tag == "!!null" || ownDecoder(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Interface:
		return nil
	case reflect.Struct, reflect.Map:
		return shapeOfMapping(n, t, where, be)
	case reflect.Slice:
		return shapeOfList(n, t, where)
	}
	if n.Kind != yaml.ScalarNode {
		return Misshapen(n, where, be+"a single value, not a list or mapping")
	}
	if n.Decode(reflect.New(t).Interface()) == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return Misshapen(n, where, be+"true or false")
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint32:
		return Misshapen(n, where, be+"a whole number")
	}
	return Misshapen(n, where, be+"plain text")
}

// ownDecoder reports whether a type reads itself: then it alone knows its shape.
func ownDecoder(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]())
}

func shapeOfMapping(n *yaml.Node, t reflect.Type, where, be string) error {
	if n.Kind != yaml.MappingNode {
		return Misshapen(n, where, be+"a mapping")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return Misshapen(key, where, be+"a mapping, whose keys are single words")
		}
		of, known := elemOf(t, key.Value)
		if !known {
			continue // whoever reads the mapping knows its keys
		}
		if err := shape(value, of, where+"."+key.Value, mustBe); err != nil {
			return err
		}
	}
	return nil
}

// elemOf gives the type of what stands under a key of a mapping.
func elemOf(t reflect.Type, key string) (reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); name == key {
			return f.Type, true
		}
	}
	return nil, false
}

// shapeOfList refuses an empty entry: nobody means the dash that somebody left there.
func shapeOfList(n *yaml.Node, t reflect.Type, where string) error {
	if n.Kind != yaml.SequenceNode {
		return Misshapen(n, where, mustBe+"a list")
	}
	for _, one := range n.Content {
		one = deref(one)
		if one.Tag == "!!null" || one.Kind == yaml.ScalarNode && strings.TrimSpace(one.Value) == "" {
			return Misshapen(one, where, "has an empty entry; leave that out, or fill it in")
		}
		if err := shape(one, t.Elem(), where, MustEach); err != nil {
			return err
		}
	}
	return nil
}
