package converge

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template"
)

// templateFuncs are the functions that a Template has beside those of text/template. The text they work on comes last,
// so that it can come through a pipe. What is made of a secret is one.
//
//	join SEP LIST      split SEP TEXT      sorted LIST      keys MAP (sorted)      has ITEM LIST
//	lower, upper, trim TEXT      contains PART TEXT      replace OLD NEW TEXT
//	indent N TEXT      each line but empty ones, N spaces
//	quote TEXT         one word of a shell
//	json VALUE         as JSON, in one line
//	default D VALUE    D where VALUE is empty: "", 0, false, no item. What is not there at all is a mistake all the same
//	add, sub, mul, div A B      whole numbers: {{div .Facts.Memory 1048576}} is MiB
//	secret VALUE       the text of a Secret; and what it is given is shown in no diff
//	fail MESSAGE       refuses: the host is left out, and this is said
func templateFuncs(n *Node) template.FuncMap {
	// text wraps what changes a text: masks are found by what they are.
	text := func(f func(string) string) func(any) string {
		return func(v any) string {
			in := plainText(n, v)
			out := f(in)
			if out != in && n.holds(in) {
				n.Hide(out)
			}
			return out
		}
	}
	return template.FuncMap{
		"join": func(sep string, list any) (string, error) {
			items, err := texts(n, list)
			return strings.Join(items, sep), err
		},
		"split":  func(sep string, v any) []string { return strings.Split(plainText(n, v), sep) },
		"sorted": func(list any) ([]string, error) { items, err := texts(n, list); slices.Sort(items); return items, err },
		"keys":   keys,
		"has": func(item, list any) (bool, error) {
			items, err := texts(n, list)
			return slices.Contains(items, plainText(n, item)), err
		},
		"lower":    text(strings.ToLower),
		"upper":    text(strings.ToUpper),
		"trim":     text(strings.TrimSpace),
		"quote":    text(quote),
		"html":     text(template.HTMLEscapeString),
		"js":       text(template.JSEscapeString),
		"urlquery": text(func(s string) string { return template.URLQueryEscaper(s) }),
		"contains": func(part string, v any) bool { return strings.Contains(plainText(n, v), part) },
		"replace": func(old, now string, v any) string {
			return text(func(s string) string { return strings.ReplaceAll(s, old, now) })(v)
		},
		"indent": func(by int, v any) string { return text(func(s string) string { return indent(by, s) })(v) },
		"json": func(v any) (string, error) {
			b, err := json.Marshal(reveal(v, func(s string) { n.Hide(s) }))
			for _, s := range slices.Clone(n.secrets) {
				if as, err := json.Marshal(s); err == nil && len(as) != len(s)+2 {
					n.Hide(string(as[1 : len(as)-1]))
				}
			}
			return string(b), err
		},
		"printf": func(format string, list ...any) string {
			out := fmt.Sprintf(format, list...)
			if slices.ContainsFunc(list, func(v any) bool { s, ok := v.(string); return ok && n.holds(s) }) {
				n.Hide(out)
			}
			return out
		},
		"default": func(d, v any) any {
			if ok, _ := template.IsTrue(v); ok {
				return v
			}
			return d
		},
		"add": number(func(a, b int64) int64 { return a + b }),
		"sub": number(func(a, b int64) int64 { return a - b }),
		"mul": number(func(a, b int64) int64 { return a * b }),
		"div": func(a, b any) (int64, error) {
			if y, err := whole(b); err == nil && y == 0 {
				return 0, errors.New("it is divided by 0")
			}
			return number(func(a, b int64) int64 { return a / b })(a, b)
		},
		"secret": func(v any) string { return n.Hide(plainText(n, v)) },
		"fail":   func(said string) (string, error) { return "", errors.New(said) },
	}
}

// plainText gives a value as it is printed, and a Secret as it is.
func plainText(n *Node, v any) string {
	if s, ok := v.(Secret); ok {
		return n.Hide(string(s))
	}
	return fmt.Sprint(v)
}

// texts gives the items of a list as they are printed.
func texts(n *Node, list any) ([]string, error) {
	v := reflect.ValueOf(list)
	if k := v.Kind(); k != reflect.Slice && k != reflect.Array {
		return nil, fmt.Errorf("%T is no list", list)
	}
	out := make([]string, v.Len())
	for i := range out {
		out[i] = plainText(n, v.Index(i).Interface())
	}
	return out, nil
}

// keys gives the keys of a map, sorted.
func keys(m any) ([]string, error) {
	if m, ok := m.(map[string]any); ok {
		return slices.Sorted(maps.Keys(m)), nil
	}
	v := reflect.ValueOf(m)
	if v.Kind() != reflect.Map {
		return nil, fmt.Errorf("%T is no map", m)
	}
	out := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		out = append(out, fmt.Sprint(k.Interface()))
	}
	slices.Sort(out)
	return out, nil
}

// indent puts spaces before each line that has something.
func indent(by int, s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if strings.TrimRight(line, "\r\n") != "" {
			out.WriteString(strings.Repeat(" ", max(by, 0)))
		}
		out.WriteString(line)
	}
	return out.String()
}

// number makes a function of two whole numbers, of any kind that these have.
func number(f func(a, b int64) int64) func(a, b any) (int64, error) {
	return func(a, b any) (int64, error) {
		x, err := whole(a)
		y, berr := whole(b)
		if err := errors.Join(err, berr); err != nil {
			return 0, err
		}
		return f(x, y), nil
	}
}

// whole gives a number; JSON's are floats.
func whole(v any) (int64, error) {
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt():
		return r.Int(), nil
	case r.CanUint():
		return int64(r.Uint()), nil
	case r.CanFloat() && r.Float() == float64(int64(r.Float())):
		return int64(r.Float()), nil
	}
	return 0, fmt.Errorf("%v is no whole number", v)
}
