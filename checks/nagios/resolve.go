package nagios

import (
	"maps"
	"slices"
	"strings"
)

// Where resolving an object is.
const (
	untouched = iota
	underway
	resolved
)

// resolve gives each object what its templates say, and knows objects by their names.
func (t *Tree) resolve() {
	for _, o := range t.Objects {
		name := o.TemplateName()
		if name == "" {
			continue
		}
		key := o.Type + " " + name
		if first := t.templates[key]; first != nil {
			t.fault(o.Pos, "there is a %s with the name %s already (%s); this one is used by nobody", o.Type, name, first.Pos)
			continue
		}
		t.templates[key] = o
	}
	for _, o := range t.Objects {
		t.effective(o, 0)
	}
	for _, o := range t.Objects {
		for name, v := range o.values {
			if slices.Contains(adds, name) {
				v.Text = strings.TrimPrefix(v.Text, "+")
				o.values[name] = v
			}
		}
	}
	for _, o := range t.Objects {
		t.known(o)
	}
}

// known keeps an object by its name. Of two with one name the first counts.
func (t *Tree) known(o *Object) {
	if !o.Registered() || nameOf[o.Type] == "" || o.Type == "service" || strings.HasSuffix(o.Type, "extinfo") {
		return
	}
	name := o.Name()
	if name == "" {
		t.fault(o.Pos, "this %s has no %s; nothing of it was taken", o.Type, nameOf[o.Type])
		return
	}
	key := o.Type + " " + name
	if first := t.named[key]; first != nil {
		t.fault(o.Pos, "there is a %s %s already (%s); this one was passed over, and Nagios does not start with both", o.Type, name, first.Pos)
		return
	}
	t.named[key] = o
}

// Find gives a registered object by its name, or nil.
func (t *Tree) Find(kind, name string) *Object { return t.named[kind+" "+name] }

// Of gives the registered objects of a type which count, in the order in which they are written.
func (t *Tree) Of(kind string) []*Object {
	var out []*Object
	for _, o := range t.Objects {
		if o.Type == kind && (nameOf[kind] == "" && o.Registered() || t.named[kind+" "+o.Name()] == o) {
			out = append(out, o)
		}
	}
	return out
}

// effective puts together what an object says itself and what its templates say: of several, the one that is named
// first.
func (t *Tree) effective(o *Object, depth int) {
	if o.state != untouched {
		return
	}
	o.state = underway
	o.values = map[string]Value{}
	var use *Attr
	for _, a := range o.Attrs {
		switch a.Name {
		case "use":
			use = a
		case "name", "register":
		case whenAttr:
			o.days = append(o.days, a)
		default:
			o.values[a.Name] = Value{a.Value, []*Attr{a}}
		}
	}
	if use != nil {
		for _, name := range list(use.Value) {
			t.take(o, use, name, depth)
		}
	}
	o.state = resolved
}

// take gives an object what it does not say itself from one template. One that is missing, or uses itself, is a fault.
func (t *Tree) take(o *Object, use *Attr, name string, depth int) {
	from := t.templates[o.Type+" "+name]
	switch {
	case from == nil:
		t.fault(use.Pos, "there is no %s with the name %s to use; what it would say is missing", o.Type, name)
		return
	case depth > 1000:
		t.fault(use.Pos, "templates use one another more than 1000 deep; %s was not used", name)
		return
	}
	from.used = true
	t.effective(from, depth+1)
	if from.state == underway {
		t.fault(use.Pos, "the template %s uses itself, over others; it was not used here", name)
		return
	}
	for _, n := range slices.Sorted(maps.Keys(from.values)) {
		t.inherit(o, n, from.values[n])
	}
	for _, a := range from.days {
		if !slices.ContainsFunc(o.days, func(own *Attr) bool { return dayWords(own.Value) == dayWords(a.Value) }) {
			o.days = append(o.days, a)
		}
	}
}

// inherit gives an object a value of a template: where it has none, and where its own begins with + before it.
func (t *Tree) inherit(o *Object, name string, v Value) {
	own, has := o.values[name]
	switch {
	case !has:
		o.values[name] = v
	case v.Text == null || own.Text == null:
	case slices.Contains(adds, name) && strings.HasPrefix(own.Text, "+"):
		sum := Value{v.Text + "," + own.Text[1:], slices.Concat(v.From, own.From)}
		if len(sum.Text) > maxValue || len(sum.From) > maxValue/16 {
			t.fault(own.Pos(), "%s is longer than %d KiB with what templates add; they were not added", name, maxValue>>10)
			return
		}
		o.values[name] = sum
	case name == "check_command" && strings.HasPrefix(v.Text, "!"):
		o.values[name] = v
	}
}
