package transfer

import (
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/nagios"
)

// nothing says why attributes mean nothing here. What is said with "" as value holds for every value, else for that one
// alone.
var nothing = map[string][]struct{ value, why string }{
	"alias":                        {{"", "people call things by their names"}},
	"display_name":                 {{"", "people call things by their names"}},
	"notes":                        {{"", "it is shown on Nagios's pages alone"}},
	"notes_url":                    {{"", "it is shown on Nagios's pages alone"}},
	"action_url":                   {{"", "it is shown on Nagios's pages alone"}},
	"icon_image":                   {{"", "it is shown on Nagios's pages alone"}},
	"icon_image_alt":               {{"", "it is shown on Nagios's pages alone"}},
	"vrml_image":                   {{"", "it is shown on Nagios's pages alone"}},
	"statusmap_image":              {{"", "it is shown on Nagios's pages alone"}},
	"gd2_image":                    {{"", "it is shown on Nagios's pages alone"}},
	"2d_coords":                    {{"", "it is shown on Nagios's pages alone"}},
	"3d_coords":                    {{"", "it is shown on Nagios's pages alone"}},
	"obsess":                       {{"", "an action with on: [result] gives each result away"}},
	"process_perf_data":            {{"", "performance data is always kept"}},
	"retain_status_information":    {{"", "states are always kept"}},
	"retain_nonstatus_information": {{"", "there is nothing else to keep"}},
	"failure_prediction_enabled":   {{"", "Nagios has not used it since 3.0"}},
	"failure_prediction_options":   {{"", "Nagios has not used it since 3.0"}},
	"parallelize_check":            {{"", "checks run side by side"}},
	"initial_state":                {{"", "the first result says it"}},
	"hourly_value":                 {{"", "it only weighs what is told"}},
	"importance":                   {{"", "it only weighs what is told"}},
	"minimum_value":                {{"", "it only weighs what is told"}},
	"minimum_importance":           {{"", "it only weighs what is told"}},
	"can_submit_commands":          {{"", "roles say who may do what"}},
	"stalking_options":             {{"", "every result is kept, with its output"}},
	"is_volatile":                  {{"0", "it is so here"}},
	"event_handler_enabled":        {{"", "without an event_handler it does nothing"}},
	"flap_detection_enabled":       {{"1", "it is so here"}},
	"active_checks_enabled":        {{"1", "it is so here"}},
	"passive_checks_enabled":       {{"", "of a check that is run by its schedule, results of others are not taken"}},
	"check_freshness":              {{"0", "it is so here"}},
	"freshness_threshold":          {{"", "without check_freshness it does nothing"}},
	"notifications_enabled":        {{"1", "it is so here"}},
	"servicegroups":                {{"", "tasks are grouped by their names, with * and ?"}},
	"servicegroup_name":            {{"", "tasks are grouped by their names, with * and ?"}},
	"servicegroup_members":         {{"", "tasks are grouped by their names, with * and ?"}},
	"members":                      {{"", "tasks are grouped by their names, with * and ?"}},
	"inherits_parent":              {{"0", "it is so here"}},
	"check_period":                 {{"", "whether a host is up is always asked"}},
	"check_interval":               {{"", "it is not run by a schedule"}},
	"retry_interval":               {{"", "it is not run by a schedule"}},
	"contactgroups":                {{"", "the contacts themselves stand in the actions"}},
	"escalation_options":           {{"", "nobody is told"}},
	"notification_interval":        {{"", "nobody is told"}},
	"first_notification_delay":     {{"", "nobody is told"}},
	"notification_period":          {{"", "nobody is told"}},
	"notification_options":         {{"", "nobody is told"}},
}

// others say why an attribute could not be carried over, and what to do.
var others = map[string]struct{ why, do string }{
	"event_handler":            {"what follows on a result is an action here, with a task", "write a task that does it, and actions: [{on: [problem], tasks: […], task: …}]"},
	"event_handler_period":     {"what follows on a result is an action here", ""},
	"is_volatile":              {"a problem is told when it begins, not at each result", "an action with on: [result] follows each"},
	"flap_detection_enabled":   {"flapping is always watched", "an action without flapping and steady in `on` does not tell of it"},
	"flap_detection_options":   {"flapping is counted over all states", ""},
	"low_flap_threshold":       {"the thresholds are 25 and 30 percent", ""},
	"high_flap_threshold":      {"the thresholds are 25 and 30 percent", ""},
	"address6":                 {"a host has one address", "write it as address if it is reached by it"},
	"pager":                    {"who is told by it cannot be told here", "write a contact with command or webhook"},
	"inherits_parent":          {"what depends on something depends on that alone", ""},
	"exclude":                  {"it names no timeperiod that is ever", ""},
	"host_notification_period": {"a contact has one period", ""},
}

// account gives each attribute that nobody has taken its fate, and counts them all.
func (c *carrier) account() Counts {
	count := Counts{Files: len(c.tree.Files), Hosts: len(c.tree.Of("host")), Services: len(c.tree.Services()), Tasks: len(c.made)}
	effective := map[*nagios.Attr]bool{}
	counts := map[*nagios.Object]bool{}
	for o := range c.leftOut { // a note tells of the whole of it
		for _, v := range o.Values() {
			for _, a := range v.From {
				if c.fates[a] == unseen {
					c.fates[a] = listed
				}
			}
		}
	}
	for _, o := range c.tree.Objects {
		if o.Registered() && c.counts(o) {
			counts[o] = true
			for _, v := range o.Values() {
				for _, a := range v.From {
					effective[a] = true
				}
			}
			for _, a := range o.Days() {
				effective[a] = true
			}
		}
	}
	for _, o := range c.tree.Objects {
		for _, a := range o.Attrs {
			count.Attributes++
			if c.fates[a] == unseen {
				c.fates[a] = c.last(o, a, counts[o], effective[a])
			}
			switch c.fates[a] {
			case carried:
				count.Carried++
			case without:
				count.Without++
			case overridden:
				count.Overridden++
			default:
				count.Listed++
			}
		}
	}
	for _, file := range sortedKeys(c.idle) {
		var names []string
		for _, o := range c.idle[file] {
			names = append(names, o.Name())
		}
		c.note(c.idle[file][0].Pos, "command "+strings.Join(names, ", "), "no check that was carried over runs it", "")
	}
	return count
}

// counts reports whether an object is one that the tree goes by.
func (c *carrier) counts(o *nagios.Object) bool {
	switch o.Type {
	case "service":
		for _, s := range c.tree.Services() {
			if s.Object == o {
				return true
			}
		}
		return false
	case "hostextinfo", "serviceextinfo":
		return true
	}
	for _, x := range c.tree.Of(o.Type) {
		if x == o {
			return true
		}
	}
	return false
}

// last is the fate of an attribute that nothing was made of.
func (c *carrier) last(o *nagios.Object, a *nagios.Attr, counts, effective bool) fate {
	v := nagios.Value{Text: a.Value, From: []*nagios.Attr{a}}
	switch {
	case !o.Registered() && !o.Used():
		c.note(o.Pos, o.Type+" template "+o.TemplateName(), "nothing uses it", "")
		return listed
	case a.Name == "use" || a.Name == "name" || a.Name == "register":
		return carried
	case o.Registered() && !counts:
		c.note(o.Pos, o.Type+" "+o.Name(), "it does not count: see what is said of it as a fault, or it runs on no host", "")
		return listed
	case o.Type == "command" && !strings.HasPrefix(a.Name, "_"):
		if list := c.idle[o.Pos.File]; !slices.Contains(list, o) {
			c.idle[o.Pos.File] = append(list, o)
		}
		return listed
	case o.Type == "timeperiod":
		if !effective {
			return overridden
		}
		return without // of one that nothing names, or that is all the time
	case !effective:
		return overridden
	}
	if strings.HasPrefix(a.Name, "_") {
		c.list(a.Word, v, "no command names this variable", "write it into vars, if something else needs it")
		return listed
	}
	if strings.HasSuffix(o.Type, "extinfo") {
		return without
	}
	for _, n := range nothing[a.Name] {
		if n.value == "" || n.value == a.Value {
			return without
		}
	}
	if x, ok := others[a.Name]; ok {
		c.list(a.Name, v, x.why, x.do)
		return listed
	}
	c.list(a.Word, v, "it is not known what it means", "see docs/howto/checks.md for what there is")
	return listed
}
