package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
)

// reading is how a file was read: what is wrong with it, and where its keys stand.
//
//	text ──► YAML tree ──► secrets put in ──► each value beside its Go type ──► Config ──► what values say of each other
//	            └── a value that is wrong is told, and taken out, so that all others are still looked at
type reading struct {
	file     string
	env      func(string) (string, bool)
	root     *yaml.Node
	wrong    Errors
	told     map[string]bool     // keys of which something is told; true: the value was taken out, so what follows from it is not told as well
	places   []string            // all keys of which something is told
	exposed  []*Error            // secrets that everybody on this machine may read
	standIns []standIn           // values that came from elsewhere
	aliases  []string            // keys at which a part of the file is used again
	literal  []int               // lines in which a secret itself stands
	inPlace  map[*yaml.Node]bool // nodes whose value, or a part of it, came from elsewhere
	inside   []*yaml.Node        // aliases that are being walked
	rooms    []string            // channels and rooms of chat; nil: they are not known
	others   map[string]*reading // other files in which something is wrong, by their names
}

// at notes what is wrong at a key, unless something is known to be wrong there already.
func (r *reading) at(key, format string, args ...any) {
	r.add(mistake.At(key, format, args...), key)
}

// add notes the mistakes of an error; those without a key are at key.
func (r *reading) add(err error, key string) {
	for _, o := range mistake.All(err, "") {
		if o.File != "" {
			r.other(o.File).addOwn(o)
			continue
		}
		if o.Key == "" {
			o.Key = key
		} else if r.isTold(o.Key) {
			continue
		}
		r.places = append(r.places, o.Key)
		r.note(o.Key, r.line(o.Key), o.Error())
	}
}

// addOwn notes a mistake that knows its line.
func (r *reading) addOwn(o *mistake.One) {
	if o.Key == "" && len(r.wrong) > 0 || o.Key != "" && r.isTold(o.Key) {
		return // what is wrong with the file as a whole is told already, with more words
	}
	r.places = append(r.places, o.Key)
	r.note(o.Key, o.Line, o.Text())
}

// other gives what is known of another file.
func (r *reading) other(file string) *reading {
	if r.others == nil {
		r.others = map[string]*reading{}
	}
	if r.others[file] == nil {
		r.others[file] = &reading{file: file}
	}
	return r.others[file]
}

// look reads another file, whose text is to be as a Go type is, and notes all that is wrong with its form.
func (r *reading) look(file string, t reflect.Type) {
	b, err := os.ReadFile(file)
	if err != nil {
		return // who uses it says so
	}
	o := r.other(file)
	if o.root = o.parse(b); o.root != nil {
		o.check(o.root, t, "", "")
	}
}

// tell notes what is wrong with one node of the tree; out says that its value is taken out.
func (r *reading) tell(n *yaml.Node, out bool, key, format string, args ...any) {
	r.note(key, n.Line, fmt.Sprintf(format, args...))
	if r.told == nil {
		r.told = map[string]bool{}
	}
	r.told[key] = r.told[key] || out
	r.places = append(r.places, key)
}

// none makes a node the one that says nothing.
func none(n *yaml.Node) {
	*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
}

// isTold reports whether something is told of a key, or the value of a key below it was taken out.
func (r *reading) isTold(key string) bool {
	key = strings.ReplaceAll(key, "[0]", "") // one entry, or a list of one
	for k, out := range r.told {
		k = strings.ReplaceAll(k, "[0]", "")
		if k == key || out && below(k, key) {
			return true
		}
	}
	return false
}

// below knows where a key ends: mail.from is below mail, and mailbox is not.
func below(k, key string) bool { return strings.HasPrefix(k, key+".") || strings.HasPrefix(k, key+"[") }

// faulty reports whether something is told of a key, or of one below it.
func (r *reading) faulty(key string) bool {
	return slices.ContainsFunc(r.places, func(k string) bool { return k == key || below(k, key) })
}

// err gives all that is wrong, by line. It is the one door: nothing that was put in from elsewhere leaves by it.
func (r *reading) err() error {
	out := r.byLine()
	for _, file := range slices.Sorted(maps.Keys(r.others)) {
		for _, e := range r.others[file].byLine() {
			out = append(out, r.hidden(e))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// byLine gives what is wrong with this file itself.
func (r *reading) byLine() Errors {
	out := make(Errors, 0, len(r.wrong))
	for _, e := range r.wrong {
		out = append(out, r.hidden(e))
	}
	slices.SortStableFunc(out, func(a, b *Error) int { return a.Line - b.Line })
	return out
}

// beside makes a path relative to the file.
func (r *reading) beside(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(r.file), p)
}

// parse gives the tree of the one document; nil when there is none, or it is no YAML.
func (r *reading) parse(b []byte) *yaml.Node {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(b)))
	if err := dec.Decode(&doc); err != nil {
		var le *yaml.LoadError
		switch {
		case len(strings.TrimSpace(string(b))) == 0 || err.Error() == "EOF":
		case errors.As(err, &le):
			r.note("", le.Mark.Line, "this is not YAML: "+le.Message+hash(b, le.Mark.Line))
		default:
			r.note("", 0, "this is not YAML: "+err.Error())
		}
		return nil
	}
	if dec.Decode(&more) == nil {
		r.note("", more.Line, "a second document begins here; one file is one document: take the --- out")
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// hash says what may be wrong where the parser stumbles beside a #.
func hash(b []byte, line int) string {
	lines := strings.Split(string(b), "\n")
	for i := line - 2; i <= line; i++ {
		if i >= 0 && i < len(lines) && strings.ContainsAny(lines[i], "[{") && strings.Contains(lines[i], "#") {
			return `; a # that is no comment needs quotes, as in ["#ops"]`
		}
	}
	return ""
}

// tree reads the text into c.
func (r *reading) tree(b []byte, c *Config) {
	if r.root = r.parse(b); r.root == nil {
		return
	}
	r.expand(r.root, "", map[*yaml.Node]bool{})
	r.check(r.root, reflect.TypeFor[Config](), "", "")
	if err := r.root.Decode(c); err != nil && len(r.wrong) == 0 {
		r.note("", 0, strings.TrimPrefix(err.Error(), "yaml: "))
	}
}

// check walks the tree beside the Go types: an unknown key is a mistake that names the nearest one, a value of the
// wrong shape one that says what belongs there. rule is the tag `check` of the field.
func (r *reading) check(n *yaml.Node, t reflect.Type, key, rule string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind == yaml.AliasNode {
		if slices.Contains(r.inside, n.Alias) {
			r.tell(n, true, key, "%s holds itself", key)
			none(n)
			return
		}
		r.inside = append(r.inside, n.Alias)
		defer func() { r.inside = r.inside[:len(r.inside)-1] }()
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return
	}
	bad := func(format string, args ...any) {
		r.tell(n, true, key, "%s %s", cmp.Or(key, "this file"), fmt.Sprintf(format, args...))
		none(n)
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		days, err := inDays(n.Value)
		d, derr := time.ParseDuration(days)
		switch {
		case n.Kind != yaml.ScalarNode || err != nil || derr != nil:
			bad("must be a duration as in 30s or 5m, or in whole days as in 400d")
		case d < 0:
			bad("is %s; it must not be negative", n.Value)
		default:
			n.Value = days
		}
	case ownForm(t):
		if err := clipboard.Shaped(n, reflect.New(t).Interface(), key); err != nil {
			bad("is wrong: %s", inWords(err))
		}
	case t.Kind() == reflect.Struct:
		if n.Kind != yaml.MappingNode {
			bad("must be a mapping with the keys %s", strings.Join(keysOf(t), ", "))
			return
		}
		r.keys(n, key, func(k, v *yaml.Node) bool {
			f, ok := field(t, k.Value)
			if !ok {
				msg := fmt.Sprintf("there is no key %q here", path(key, k.Value))
				if near := pipeline.Nearest(k.Value, keysOf(t)); near != "" {
					msg += fmt.Sprintf("; did you mean %q?", near)
				} else {
					msg += "; there are " + strings.Join(keysOf(t), ", ")
				}
				r.tell(k, true, path(key, k.Value), "%s", msg)
				return false
			}
			r.check(v, f.Type, path(key, k.Value), f.Tag.Get("check"))
			return true
		})
	case t.Kind() == reflect.Slice && t.Implements(reflect.TypeFor[interface{ OneOrMany() }]()) && n.Kind == yaml.MappingNode:
		r.check(n, t.Elem(), key, "")
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			bad("must be a list")
			return
		}
		for i, ch := range n.Content {
			r.check(ch, t.Elem(), fmt.Sprintf("%s[%d]", key, i), rule)
		}
	case t.Kind() == reflect.Map:
		if n.Kind != yaml.MappingNode {
			bad("must be a mapping")
			return
		}
		r.keys(n, key, func(k, v *yaml.Node) bool {
			r.check(v, t.Elem(), path(key, k.Value), rule)
			return true
		})
	default:
		r.scalar(n, t, rule, bad)
	}
}

// keys walks a mapping; what each gives back false for is taken out.
func (r *reading) keys(n *yaml.Node, key string, each func(k, v *yaml.Node) bool) {
	var kept []*yaml.Node
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			r.tell(k, true, key, "a key must be one word or text")
			continue
		}
		if was, twice := lines[k.Value]; twice {
			r.tell(k, true, path(key, k.Value), "%s is there twice, in line %d as well; the two would not add up", path(key, k.Value), was)
			continue
		}
		lines[k.Value] = k.Line
		if each(k, v) {
			kept = append(kept, k, v)
		}
	}
	n.Content = kept
}

// scalar looks at one value.
func (r *reading) scalar(n *yaml.Node, t reflect.Type, rule string, bad func(string, ...any)) {
	if n.Kind != yaml.ScalarNode {
		bad("must be a single value")
		return
	}
	v := reflect.New(t)
	if err := n.Decode(v.Interface()); err != nil {
		switch t.Kind() {
		case reflect.Bool:
			bad("must be true or false")
		case reflect.Int, reflect.Uint32:
			bad("must be a whole number")
		default:
			bad("must be a %s", t.Kind())
		}
		return
	}
	if t == reflect.TypeFor[clipboard.Secret]() && n.Value != "" && !r.inPlace[n] {
		r.literal = append(r.literal, n.Line)
	}
	if t.Kind() == reflect.Int && v.Elem().Int() < 0 {
		bad("is %d; it must not be negative", v.Elem().Int())
		return
	}
	text := n.Value
	name, args, _ := strings.Cut(rule, ":")
	switch {
	case rule == "" || text == "":
	case name == "one" && !slices.Contains(strings.Split(args, "|"), text):
		bad("is %q; it must be one of %s", text, strings.ReplaceAll(args, "|", ", "))
	case name == "port" && (v.Elem().Int() < 1 || v.Elem().Int() > 65535):
		bad("is %d; a port is from 1 to 65535", v.Elem().Int())
	}
}

// line gives the line of a key, or of the nearest thing above it that is in the file; 0 when there is none.
func (r *reading) line(key string) int {
	if r.root == nil || key == "" {
		return 0
	}
	line, _ := mistake.Line(r.root, key)
	return line
}

// has reports whether a key itself is in the file.
func (r *reading) has(key string) bool {
	if r.root == nil {
		return false
	}
	_, there := mistake.Line(r.root, key)
	return there
}

// Has reports whether the file that was read gives a key; what has a default may not be in it.
func (c *Config) Has(key string) bool { return c.read != nil && c.read.has(key) }

// inWords gives what clipboard.Shaped says, without the line, which stands before it already.
func inWords(err error) string {
	var inside *clipboard.KeyError
	var form *clipboard.SyntaxError
	switch {
	case errors.As(err, &inside):
		return fmt.Sprintf("%q %v", inside.Key, inside.Err)
	case errors.As(err, &form):
		return form.Msg
	}
	return err.Error()
}

// ownForm reports whether a type is read in a form of its own, which its decoder checks: an amount, or a size.
func ownForm(t reflect.Type) bool {
	_, one := reflect.New(t).Interface().(yaml.Unmarshaler)
	_, many := reflect.New(t).Interface().(interface{ OneOrMany() })
	return one && !many && t != reflect.TypeFor[clipboard.Secret]()
}

func path(key, k string) string {
	if key == "" {
		return k
	}
	return key + "." + k
}

func field(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) { // what is inlined too
		if tag(f) == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// tag gives a field's key; "" for one that is not in the file.
func tag(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" {
		return ""
	}
	return name
}

func keysOf(t reflect.Type) []string {
	var out []string
	for _, f := range reflect.VisibleFields(t) {
		if k := tag(f); k != "" {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// inDays writes whole days, as 400d, in hours: Go's durations end there.
func inDays(s string) (string, error) {
	days, ok := strings.CutSuffix(s, "d")
	if !ok {
		return s, nil
	}
	n, err := strconv.ParseInt(days, 10, 32)
	if err == nil && max(n, -n) > 36500 { // the longest duration is some 290 years
		err = strconv.ErrRange
	}
	return strconv.FormatInt(n*24, 10) + "h", err
}
