package nagios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is where something stands.
type Pos struct {
	File string
	Line int // from 1; 0: the file as a whole
}

// String implements fmt.Stringer.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Compare orders places by file and line.
func (p Pos) Compare(o Pos) int {
	return cmp.Or(strings.Compare(p.File, o.File), p.Line-o.Line)
}

// Attr is one line of an object, or of nagios.cfg.
type Attr struct {
	Name  string // as this package calls it: host_name for host, check_interval for normal_check_interval
	Word  string // as it is written
	Value string
	Pos   Pos
}

// Fault is what is wrong at a place, and what was made of it.
type Fault struct {
	Pos  Pos
	Text string
}

// String implements fmt.Stringer.
func (f Fault) String() string { return f.Pos.String() + ": " + f.Text }

// Object is one `define TYPE { … }`.
type Object struct {
	Type  string // host, service, command …
	Pos   Pos
	Attrs []*Attr // as they are written, in order

	values map[string]Value // over templates
	state  int              // of resolving
	used   bool             // as a template
	days   []*Attr          // of a timeperiod: what says when, over templates
}

// Value is what an attribute comes to, over templates.
type Value struct {
	Text string
	From []*Attr // what it was made of; several where one adds to another
}

// Pos is where the value stands: the last of what it was made of.
func (v Value) Pos() Pos {
	if len(v.From) == 0 {
		return Pos{}
	}
	return v.From[len(v.From)-1].Pos
}

// List gives the words of a list, which commas part.
func (v Value) List() []string { return list(v.Text) }

// list cuts at commas, and drops what is empty.
func list(text string) []string {
	var out []string
	for w := range strings.SplitSeq(text, ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// Get gives an attribute, over templates. ok is false when neither the object nor a template of it has one, or when it
// is null.
func (o *Object) Get(name string) (v Value, ok bool) {
	v, ok = o.values[name]
	return v, ok && v.Text != null
}

// Text gives an attribute's text, or "".
func (o *Object) Text(name string) string {
	v, _ := o.Get(name)
	return v.Text
}

// Values gives all attributes over templates, sorted by name, with those that are null.
func (o *Object) Values() []Named {
	out := make([]Named, 0, len(o.values))
	for name, v := range o.values {
		out = append(out, Named{name, v})
	}
	slices.SortFunc(out, func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Named is a value with its name.
type Named struct {
	Name string
	Value
}

// Registered reports whether the object is more than a template.
func (o *Object) Registered() bool {
	for _, a := range o.Attrs {
		if a.Name == "register" && a.Value == "0" {
			return false
		}
	}
	return true
}

// Used reports whether another object uses this one as a template.
func (o *Object) Used() bool { return o.used }

// Name gives what the object is called, by the attribute of its type, or "".
func (o *Object) Name() string { return o.Text(nameOf[o.Type]) }

// TemplateName gives what others may call it in `use`.
func (o *Object) TemplateName() string { return o.own("name") }

// own gives what the object itself says, without its templates. Of several lines the last counts.
func (o *Object) own(name string) string {
	for _, a := range slices.Backward(o.Attrs) {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// Vars gives the custom variables, `_NAME`, without the underscore and in upper case.
func (o *Object) Vars() []Named {
	var out []Named
	for _, v := range o.Values() {
		if name, ok := strings.CutPrefix(v.Name, "_"); ok {
			out = append(out, Named{name, v.Value})
		}
	}
	return out
}

// Days gives what a timeperiod says of when it is, over templates.
func (o *Object) Days() []*Attr { return o.days }

const null = "null"

// nameOf says by which attribute an object of a type is known.
var nameOf = map[string]string{
	"host": "host_name", "service": "service_description", "hostgroup": "hostgroup_name", "servicegroup": "servicegroup_name",
	"command": "command_name", "timeperiod": "timeperiod_name", "contact": "contact_name", "contactgroup": "contactgroup_name",
	"hostdependency": "", "servicedependency": "", "hostescalation": "", "serviceescalation": "", "hostextinfo": "host_name", "serviceextinfo": "service_description",
}

// also are other words for the same attribute.
var also = map[string]string{
	"host": "host_name", "hosts": "host_name", "description": "service_description", "normal_check_interval": "check_interval",
	"retry_check_interval": "retry_interval", "checks_enabled": "active_checks_enabled", "host_groups": "hostgroups", "service_groups": "servicegroups",
	"hostgroup": "hostgroup_name", "servicegroup": "servicegroup_name", "obsess_over_host": "obsess", "obsess_over_service": "obsess",
	"contactgroup": "contactgroup_name", "contact_group": "contact_groups",
	"dependent_host": "dependent_host_name", "dependent_hostgroup": "dependent_hostgroup_name", "dependent_hostgroups": "dependent_hostgroup_name",
	"dependent_description": "dependent_service_description", "dependent_servicegroup": "dependent_servicegroup_name",
	"dependent_servicegroups": "dependent_servicegroup_name", "master_host": "host_name", "master_host_name": "host_name",
	"master_description": "service_description", "master_service_description": "service_description",
	"execution_failure_options": "execution_failure_criteria", "notification_failure_options": "notification_failure_criteria",
}

// canonical gives the one name of an attribute. What a word means hangs on the type: hostgroups of a host are the
// groups that it is in, those of a service where it runs.
func canonical(of, word string) string {
	if strings.HasPrefix(word, "_") {
		return strings.ToUpper(word)
	}
	switch {
	case word == "hostgroups" && of != "host":
		return "hostgroup_name"
	case word == "servicegroups" && of != "service":
		return "servicegroup_name"
	case word == "members" && of == "host", word == "hosts" && of == "hostgroup":
		return word
	}
	if name, ok := also[word]; ok {
		return name
	}
	return word
}

// adds are the lists to which a value that begins with + adds what a template has.
var adds = []string{
	"parents", "hostgroups", "contact_groups", "contacts", "host_name", "hostgroup_name", "servicegroups", "contactgroups", "members", "hostgroup_members",
	"servicegroup_members", "contactgroup_members", "exclude", "host_notification_commands", "service_notification_commands", "dependent_host_name",
	"dependent_hostgroup_name", "dependent_servicegroup_name", "servicegroup_name", "service_description", "dependent_service_description",
}
