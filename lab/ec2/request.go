package ec2

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Every request is held against Amazon's own API model (testdata/requests.json: what our operations take, out of
// botocore's ec2/2016-11-15/service-2.json of 2022, Apache-2.0). What the model does not have is refused, so that a
// worker cannot send what EC2 does not know.

//go:embed testdata/requests.json
var requestsJSON []byte

// shape is one of the model, as botocore writes it.
type shape struct {
	Type     string            `json:"type"`
	Required []string          `json:"required,omitempty"` // of a structure
	Members  map[string]member `json:"members,omitempty"`  // of a structure
	Member   *member           `json:"member,omitempty"`   // of a list
	Enum     []string          `json:"enum,omitempty"`
	Min      *float64          `json:"min,omitempty"` // of a number, a text's length, or a list's
	Max      *float64          `json:"max,omitempty"`
}

type member struct {
	Shape        string `json:"shape,omitempty"`
	LocationName string `json:"locationName,omitempty"`
	QueryName    string `json:"queryName,omitempty"`
}

type operation struct {
	Input  *member `json:"input,omitempty"`
	Output *member `json:"output,omitempty"`
}

type model struct {
	Operations map[string]operation `json:"operations"`
	Shapes     map[string]shape     `json:"shapes"`
}

var requests = func() (m model) {
	if err := json.Unmarshal(requestsJSON, &m); err != nil {
		panic(err) // the file is a part of the program
	}
	return m
}()

// inQuery gives a member's name in EC2's form of the query protocol
// (https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html).
func (m member) inQuery(name string) string {
	switch {
	case m.QueryName != "":
		return m.QueryName
	case m.LocationName != "":
		return strings.ToUpper(m.LocationName[:1]) + m.LocationName[1:]
	}
	return name
}

// tree is what a request's parameters make: NAME.1.MEMBER=VALUE is a value below three names.
type tree struct {
	value    *string
	children map[string]*tree
}

// treeOf refuses a parameter that is given twice. Action and Version are no part of it.
func treeOf(q url.Values) (*tree, *apiError) {
	top := &tree{children: map[string]*tree{}}
	for _, key := range slices.Sorted(maps.Keys(q)) {
		if key == "Action" || key == "Version" {
			continue
		}
		if len(q[key]) != 1 {
			return nil, refusal("InvalidQueryParameter", "The parameter %s is given %d times", key, len(q[key]))
		}
		at := top
		for _, part := range strings.Split(key, ".") {
			if at.children[part] == nil {
				at.children[part] = &tree{children: map[string]*tree{}}
			}
			at = at.children[part]
		}
		at.value = &q[key][0]
	}
	return top, nil
}

// check says how a request is not what the model wants.
func (m model) check(action string, q url.Values) *apiError {
	op, ok := m.Operations[action]
	if !ok {
		return refusal("InvalidAction", "The action %s is not valid for this web service.", action)
	}
	if v := q.Get("Version"); v != "2016-11-15" {
		return refusal("NoSuchVersion", "The requested version (%s) of service AmazonEC2 does not exist", v)
	}
	t, e := treeOf(q)
	if e != nil {
		return e
	}
	return m.fits("", t, op.Input.Shape)
}

// fits says how a part of a request is not of a shape. where is its name; "" for the whole.
func (m model) fits(where string, t *tree, name string) *apiError {
	s := m.Shapes[name]
	switch {
	case s.Type == "structure":
		return m.structure(where, t, s)
	case s.Type == "list":
		return m.list(where, t, s)
	case len(t.children) > 0:
		return refusal("UnknownParameter", "The parameter %s.%s is not recognized", where, slices.Min(slices.Collect(maps.Keys(t.children))))
	}
	if why := s.refuses(*t.value); why != "" {
		return refusal("InvalidParameterValue", "Value (%s) for parameter %s is invalid. %s", *t.value, where, why)
	}
	return nil
}

// structure refuses members that are missing or that nobody knows; where is the name that led here.
func (m model) structure(where string, t *tree, s shape) *apiError {
	if t.value != nil {
		return refusal("InvalidParameterValue", "The parameter %s has no value of its own", where)
	}
	known := map[string]string{}
	for name, mem := range s.Members {
		known[mem.inQuery(name)] = mem.Shape
	}
	for _, name := range s.Required {
		if name = s.Members[name].inQuery(name); t.children[name] == nil {
			return refusal("MissingParameter", "The request must contain the parameter %s", below(where, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.children)) {
		of, ok := known[name]
		if !ok {
			return refusal("UnknownParameter", "The parameter %s is not recognized", below(where, name))
		}
		if e := m.fits(below(where, name), t.children[name], of); e != nil {
			return e
		}
	}
	return nil
}

// list wants the numbers from 1 on, none left out.
func (m model) list(where string, t *tree, s shape) *apiError {
	if t.value != nil {
		return refusal("InvalidParameterValue", "The parameter %s is a list: write %s.1", where, where)
	}
	n := len(t.children)
	if why := s.bounds(float64(n)); why != "" {
		return refusal("InvalidParameterValue", "The list %s has %d items. %s", where, n, why)
	}
	for i := 1; i <= n; i++ {
		item := t.children[strconv.Itoa(i)]
		if item == nil {
			return refusal("InvalidParameterValue", "The list %s has %d items, and no number %d", where, n, i)
		}
		if e := m.fits(below(where, strconv.Itoa(i)), item, s.Member.Shape); e != nil {
			return e
		}
	}
	return nil
}

func below(where, name string) string { return strings.TrimPrefix(where+"."+name, ".") }

var wholeNumber = pattern.New(`^-?[0-9]+$`)

// refuses says why a text is no value of a shape; "" when it is one.
func (s shape) refuses(text string) string {
	n, _ := strconv.ParseFloat(text, 64)
	switch s.Type {
	case "string":
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
			return "It must be one of " + strings.Join(s.Enum, ", ")
		}
		n = float64(len([]rune(text)))
	case "integer":
		if !wholeNumber.MatchString(text) {
			return "It must be a whole number"
		}
	case "boolean":
		if text != "true" && text != "false" {
			return "It must be true or false"
		}
	case "timestamp":
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return "It must be a time"
		}
	default:
		return fmt.Sprintf("The model has no type %q", s.Type)
	}
	return s.bounds(n)
}

// bounds says in words which bound n breaks; "": none.
func (s shape) bounds(n float64) string {
	switch {
	case s.Min != nil && n < *s.Min:
		return fmt.Sprintf("It must be at least %v", *s.Min)
	case s.Max != nil && n > *s.Max:
		return fmt.Sprintf("It must be at most %v", *s.Max)
	}
	return ""
}

// list gives the values NAME.1, NAME.2, …
func list(q url.Values, name string) []string {
	var out []string
	for n := 1; q.Has(name + "." + strconv.Itoa(n)); n++ {
		out = append(out, q.Get(name+"."+strconv.Itoa(n)))
	}
	return out
}

// filters gives Filter.N.Name with its values.
func filters(q url.Values) map[string][]string {
	out := map[string][]string{}
	for n := 1; q.Has(fmt.Sprintf("Filter.%d.Name", n)); n++ {
		out[q.Get(fmt.Sprintf("Filter.%d.Name", n))] = list(q, fmt.Sprintf("Filter.%d.Value", n))
	}
	return out
}

// passes reports whether get's value for every filter is one of the wanted, which may hold * and ?.
func passes(q url.Values, get func(name string) (string, bool)) (bool, *apiError) {
	for name, want := range filters(q) {
		have, known := get(name)
		if !known {
			return false, refusal("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if !slices.ContainsFunc(want, func(p string) bool {
			// path.Match stops at slashes, and image names have them.
			ok, _ := path.Match(strings.ReplaceAll(p, "/", "\x00"), strings.ReplaceAll(have, "/", "\x00"))
			return ok
		}) {
			return false, nil
		}
	}
	return true, nil
}
