package linode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Every request is held against Linode's own description of its API (testdata/openapi.json: version 4.176.0 of May
// 2024, Apache-2.0, the part about instances, images, types, regions, firewalls and VPCs, without its texts). What the
// description does not have is refused, so that a worker cannot send what Linode does not know.

// later are the body fields of an instance that came after that version
// (https://techdocs.akamai.com/linode-api/reference/post-linode-instance).
var later = map[string]object{
	"disk_encryption":      {"type": "string", "enum": []any{"enabled", "disabled"}},
	"interface_generation": {"type": "string", "enum": []any{"legacy_config", "linode"}},
}

// linodeInterface is the schema of one interface of the newer generation, which that version does not know either.
var linodeInterface = object{"type": "object", "properties": object{
	"firewall_id":   object{"type": "integer"},
	"default_route": object{"type": "object", "properties": object{"ipv4": object{"type": "boolean"}, "ipv6": object{"type": "boolean"}}},
	"public":        object{"type": "object", "properties": object{}},
	"vlan":          object{"type": "object", "properties": object{"vlan_label": object{"type": "string"}, "ipam_address": object{"type": "string"}}},
	"vpc": object{"type": "object", "properties": object{"subnet_id": object{"type": "integer"}, "ipv4": object{"type": "object", "properties": object{
		"addresses": object{"type": "array", "items": object{"type": "object", "properties": object{"address": object{"type": "string"}, "primary": object{"type": "boolean"}}}}}}}},
}}

// The description's part has the shape of a Volume, and no calls about them. Their bodies are what Linode's own forms
// check before they send them (@linode/validation 0.83.0: CreateVolumeSchema, UpdateVolumeSchema, AttachVolumeSchema).
var description = func() object {
	d := recorded("openapi")
	volume := func(names ...string) object {
		props := object{}
		for _, n := range names {
			props[n] = object{"$ref": "#/components/schemas/Volume/properties/" + n}
		}
		return props
	}
	takes := func(props object) object {
		return object{"requestBody": object{"content": object{"application/json": object{"schema": object{"type": "object", "properties": props}}}}}
	}
	create := volume("region", "linode_id", "size", "label", "tags")
	create["config_id"] = object{"type": "integer", "nullable": true}
	create["encryption"] = object{"type": "string", "enum": []any{"enabled", "disabled"}}
	maps.Copy(d["paths"].(object), object{
		"/volumes":                   object{"get": object{}, "post": takes(create)},
		"/volumes/{volumeId}":        object{"get": object{}, "delete": object{}, "put": takes(volume("label", "tags"))},
		"/volumes/{volumeId}/attach": object{"post": takes(object{"linode_id": object{"type": "integer"}, "config_id": object{"type": "integer"}})},
		"/volumes/{volumeId}/detach": object{"post": object{}},
	})
	return d
}()

// allowed says what is wrong with a request, by the description; it gives the body back for the next reader.
func allowed(r *http.Request) error {
	path, ops := operations(strings.TrimPrefix(r.URL.Path, "/v4"))
	if path == "" {
		return nil // answered with 404
	}
	op, ok := ops[strings.ToLower(r.Method)].(object)
	if !ok {
		return fmt.Errorf("%s has no %s", path, r.Method)
	}
	raw, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(raw))
	if err != nil || len(bytes.TrimSpace(raw)) == 0 {
		return err
	}
	var body any
	if err := json.Unmarshal(raw, &body); err != nil {
		return errors.New("the body is no JSON")
	}
	schema := at(op, "requestBody", "content", "application/json", "schema")
	if o, ok := body.(object); schema == nil && ok && len(o) == 0 {
		return nil
	}
	if schema == nil {
		return errors.New("it takes no body")
	}
	if o, ok := body.(object); ok && path == "/linode/instances" {
		body = maps.Clone(o)
		newer := o["interface_generation"] == "linode"
		for k, s := range later {
			if v, has := o[k]; has {
				if err := fits(k, v, s); err != nil {
					return err
				}
				delete(body.(object), k)
			}
		}
		if list, has := o["interfaces"].([]any); has && newer {
			for i, one := range list {
				if err := fits(fmt.Sprintf("interfaces[%d]", i), one, linodeInterface); err != nil {
					return err
				}
			}
			delete(body.(object), "interfaces")
		}
	}
	return fits("body", body, schema)
}

// operations finds the path of the description that a request is for.
func operations(path string) (string, object) {
	for _, p := range slices.Sorted(maps.Keys(description["paths"].(object))) {
		re := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(p, `[^/]+`)
		if regexp.MustCompile("^" + re + "$").MatchString(path) {
			return p, description["paths"].(object)[p].(object)
		}
	}
	return "", nil
}

// at goes down by the keys; nil where one is missing.
func at(o object, keys ...string) object {
	for _, k := range keys {
		o, _ = o[k].(object)
	}
	return o
}

// resolve follows a reference.
func resolve(s object) object {
	for {
		ref, ok := s["$ref"].(string)
		if !ok {
			return s
		}
		s = at(description, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
}

// properties gives those of a schema and of all that it is made of.
func properties(s object) object {
	s = resolve(s)
	out := object{}
	maps.Copy(out, at(s, "properties"))
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		parts, _ := s[word].([]any)
		for _, p := range parts {
			maps.Copy(out, properties(p.(object)))
		}
	}
	return out
}

// fits says how a value is not what its schema wants.
func fits(where string, v any, schema object) error {
	s := resolve(schema)
	if v == nil {
		if s["nullable"] == true {
			return nil
		}
		return fmt.Errorf("%s must not be null", where)
	}
	switch v := v.(type) {
	case object:
		props := properties(s)
		for _, k := range slices.Sorted(maps.Keys(v)) {
			p, ok := props[k].(object)
			if !ok {
				return fmt.Errorf("%s.%s is not in the API", where, k)
			}
			if resolve(p)["readOnly"] == true {
				return fmt.Errorf("%s.%s is read only", where, k)
			}
			if err := fits(where+"."+k, v[k], p); err != nil {
				return err
			}
		}
		return nil
	case []any:
		if s["type"] != "array" {
			return fmt.Errorf("%s must not be a list", where)
		}
		if least, ok := s["minItems"].(float64); ok && len(v) < int(least) {
			return fmt.Errorf("%s needs %v items", where, least)
		}
		for i, one := range v {
			if err := fits(fmt.Sprintf("%s[%d]", where, i), one, at(s, "items")); err != nil {
				return err
			}
		}
		return nil
	}
	want := map[string]string{"string": "string", "float64": "number", "bool": "boolean"}[fmt.Sprintf("%T", v)]
	if have, _ := s["type"].(string); have != "" && have != want && !(have == "integer" && want == "number") {
		return fmt.Errorf("%s must be a %s", where, have)
	}
	if list, ok := s["enum"].([]any); ok && !slices.Contains(list, v) {
		return fmt.Errorf("%s is %v, and must be one of %v", where, v, list)
	}
	text, _ := v.(string)
	if p, ok := s["pattern"].(string); ok {
		if re, err := regexp.Compile(p); err == nil && !re.MatchString(text) {
			return fmt.Errorf("%s does not match %s", where, p)
		}
	}
	if most, ok := s["maxLength"].(float64); ok && len(text) > int(most) {
		return fmt.Errorf("%s is longer than %v", where, most)
	}
	return nil
}
