package transfer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/nagios"
	"github.com/jarvisops/jarvis/post"
)

// makeContacts carries over who is told.
func (c *carrier) makeContacts() {
	for _, o := range c.tree.Of("contact") {
		e := &entry{kind: "contacts", pos: o.Pos}
		name := c.people.give(o.Name(), o.Name())
		c.renamed(o, "contact", o.Name(), name)
		e.set("name", name)
		// Of what a contact wants to be told counts also where nothing would be told.
		c.take(o, "contact_name", "contactgroups", "service_notification_options", "service_notifications_enabled", "host_notification_options", "host_notifications_enabled")
		mail, _ := o.Get("email")
		if !c.byMail(o) {
			c.leftOut[o] = true
			continue
		}
		if mail.Text == "" {
			c.note(o.Pos, "contact "+o.Name(), "it has no email", "write a contact for it")
			c.leftOut[o] = true
			continue
		}
		if _, ok := post.Address(mail.Text); !ok {
			c.list("email", mail, "it is no address, as in alice@example.org", "write a contact for "+o.Name())
			c.leftOut[o] = true
			continue
		}
		if c.noMail {
			c.list("email", mail, "it is told by mail, and mail.server of jarvis.yaml is not set", "set it and import again with --replace; until then actions that would tell it are left out")
			c.leftOut[o] = true
			continue
		}
		e.set("mail", mail.Text)
		c.mark(carried, mail)
		c.contactPeriod(o, e)
		c.mailed[o.Name()] = true
		c.entries = append(c.entries, e)
	}
	for _, o := range c.tree.Of("contactgroup") {
		c.take(o, "contactgroup_name", "members", "contactgroup_members")
	}
}

// byMail reports whether a contact is told by mail; any other way gets a note that it is not.
func (c *carrier) byMail(o *nagios.Object) bool {
	mail := false
	for _, attr := range []string{"service_notification_commands", "host_notification_commands"} {
		v, _ := o.Get(attr)
		for _, word := range v.List() {
			call := nagios.ParseCall(word)
			cmd := c.tree.Find("command", call.Command)
			if cmd != nil {
				c.take(cmd, "command_name", "command_line")
			}
			if cmd != nil && strings.Contains(cmd.Text("command_line"), "$CONTACTEMAIL$") {
				mail = true
				c.mark(carried, v)
				continue
			}
			c.list(attr, v, "the program "+call.Command+" that tells people is not run here", "write a contact with command or webhook for "+o.Name())
		}
	}
	return mail
}

// contactPeriod carries over when a contact is told.
func (c *carrier) contactPeriod(o *nagios.Object, e *entry) {
	service, ok := o.Get("service_notification_period")
	host, both := o.Get("host_notification_period")
	if both && host.Text != service.Text {
		c.list("host_notification_period", host, "a contact has one period", "that of services was taken")
	} else {
		c.mark(carried, host)
	}
	if ok {
		e.set("period", c.period("service_notification_period", service))
	}
}

// telling is when and of what a contact is told.
type telling struct {
	status, on, every, after, period string
}

// options are the letters of notification_options.
type options struct{ warning, unknown, critical, recovery, flapping bool }

// letters reads notification_options, and the criteria of dependencies, as Nagios does, one after the other: a is all,
// and n takes away what stands before it. With otherwise, because nothing is set, it takes all. d of a host is critical
// here, o is a recovery.
func letters(text, all string, otherwise bool) options {
	if otherwise {
		text = all
	}
	var o options
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == ',' || r == ' ' }) {
		letter := w[:1]
		if w == "d" || w == "down" { // downtime is another word
			letter = "c"
		}
		switch letter {
		case "w":
			o.warning = true
		case "u":
			o.unknown = true
		case "c":
			o.critical = true
		case "r", "o":
			o.recovery = true
		case "f":
			o.flapping = true
		case "a":
			o = options{true, true, true, true, true}
		case "n":
			o = options{}
		}
	}
	return o
}

func (a options) and(b options) options {
	return options{a.warning && b.warning, a.unknown && b.unknown, a.critical && b.critical, a.recovery && b.recovery, a.flapping && b.flapping}
}

// telling says it as an action does; ok is false when nothing is ever told.
func (o options) telling(host bool) (t telling, ok bool) {
	var status []string
	for _, s := range []struct {
		on   bool
		word string
	}{{o.warning, "warning"}, {o.critical, "critical"}, {o.unknown, "unknown"}} {
		if s.on {
			status = append(status, s.word)
		}
	}
	if host {
		if !o.critical {
			return t, false
		}
		status = nil
	}
	if !host && len(status) < 3 {
		t.status = strings.Join(status, ",")
	}
	on := []string{"problem", "change"}
	if o.recovery {
		on = append(on, "recovery")
	}
	if o.flapping {
		on = append(on, "flapping", "steady")
	}
	if len(on) < 5 {
		t.on = strings.Join(on, ",")
	}
	return t, host || len(status) > 0
}

// problemsAlone takes out that something flaps, and is steady again, which an action with after cannot have.
func (t *telling) problemsAlone() { t.on = strings.TrimSuffix(t.on, ",flapping,steady") }

// told gathers who is told of which checks, in which way.
type told struct {
	telling
	prefix string
	notify []string
	tasks  map[string][]string // hosts by task
}

// makeActions says who is told of services and hosts.
func (c *carrier) makeActions() {
	all := map[string]*told{}
	for _, p := range c.pairs {
		c.tellOf(all, p.task.name, p.host, p.Object, p.Host, false)
	}
	for _, h := range c.tree.Of("host") {
		c.tellOf(all, "host", c.hosts.give(h.Name(), h.Name()), h, h, true)
	}
	c.writeActions(all)
}

// inherited gives an attribute of the first of the objects that has it: of a service, and then of its host.
func inherited(name string, objects ...*nagios.Object) (nagios.Value, bool) {
	for _, o := range objects {
		if v, ok := o.Get(name); ok {
			return v, true
		}
	}
	return nagios.Value{}, false
}

// contactsOf gives who is told of a service or host, by the names there.
func (c *carrier) contactsOf(s, h *nagios.Object) []string {
	people, ok1 := s.Get("contacts")
	groups, ok2 := s.Get("contact_groups")
	if !ok1 && !ok2 {
		people, _ = h.Get("contacts")
		groups, _ = h.Get("contact_groups")
	}
	c.mark(carried, people)
	c.mark(carried, groups)
	return c.tree.Contacts(people, groups)
}

// tellOf notes who is told of one check.
func (c *carrier) tellOf(all map[string]*told, task, host string, s, h *nagios.Object, isHost bool) {
	enabled, _ := s.Get("notifications_enabled")
	c.mark(carried, enabled)
	v, has := s.Get("notification_options")
	c.mark(carried, v)
	own := letters(v.Text, "w,u,c,r,d,f,s", !has)
	who := c.contactsOf(s, h)
	if enabled.Text == "0" {
		return
	}
	every := c.repeat(s, h)
	after := ""
	delay, delayed := s.Get("first_notification_delay")
	if delayed {
		wait, wrong := c.every(delay.Text)
		switch {
		case wrong != "":
			c.list("first_notification_delay", delay, wrong, "it is told at once")
		case wait > 0:
			after = duration(wait)
		}
		c.mark(carried, delay)
	}
	period, ok := inherited("notification_period", s, h)
	in := ""
	if ok {
		if c.never(period) {
			c.mark(carried, period)
			return
		}
		in = c.period("notification_period", period)
	}
	for _, name := range who {
		o := c.tree.Find("contact", name)
		opts := own.and(c.contactOptions(o, isHost))
		t, some := opts.telling(isHost)
		if !some || !c.mailed[name] {
			continue
		}
		t.every, t.after, t.period = every, after, in
		if after != "" && opts.flapping {
			t.problemsAlone()
			c.note(delay.Pos(), "first_notification_delay "+clip(delay.Text), "who waits for a while is not told that something flaps", "write an action on flapping and steady, if it is wanted")
		}
		c.add(all, t, "tell", name, task, host)
	}
}

// contactOptions says of what a contact wants to be told.
func (c *carrier) contactOptions(o *nagios.Object, host bool) options {
	what := "service"
	if host {
		what = "host"
	}
	v, has := o.Get(what + "_notification_options")
	on, _ := o.Get(what + "_notifications_enabled")
	c.mark(carried, v)
	c.mark(carried, on)
	if on.Text == "0" {
		return options{}
	}
	return letters(v.Text, "w,u,c,r,d,f,s", !has)
}

// add gathers the checks that a contact is told of in the same way: they become one action.
func (c *carrier) add(all map[string]*told, t telling, prefix, contact, task, host string) {
	k := prefix + fmt.Sprint(t) + "\x00" + contact
	if all[k] == nil {
		all[k] = &told{telling: t, prefix: prefix, notify: []string{c.people.give(contact, contact)}, tasks: map[string][]string{}}
	}
	if !slices.Contains(all[k].tasks[task], host) {
		all[k].tasks[task] = append(all[k].tasks[task], host)
	}
}

// writeActions makes actions: contacts who are told the same in the same way are told together, and checks of the same
// hosts.
func (c *carrier) writeActions(all map[string]*told) {
	together := map[string]*told{}
	for _, k := range sortedKeys(all) {
		t := all[k]
		id := t.prefix + fmt.Sprint(t.telling, t.tasks)
		if together[id] == nil {
			together[id] = t
		} else {
			together[id].notify = append(together[id].notify, t.notify...)
		}
	}
	used := newNames()
	for _, id := range sortedKeys(together) {
		t := together[id]
		slices.Sort(t.notify)
		byHosts := map[string][]string{}
		for _, task := range sortedKeys(t.tasks) {
			hosts := ""
			if !c.everywhere(task, t.tasks[task]) {
				hosts = strings.Join(c.hostWords(t.tasks[task]), ",")
			}
			byHosts[hosts] = append(byHosts[hosts], task)
		}
		for _, hosts := range sortedKeys(byHosts) {
			e := &entry{kind: "actions"}
			e.set("name", used.give(id+hosts, t.prefix+"-"+strings.Join(t.notify, "-")))
			e.set("on", split(t.on))
			e.set("status", split(t.status))
			e.set("after", t.after)
			e.set("every", t.every)
			e.set("period", t.period)
			e.set("tasks", byHosts[hosts])
			e.set("hosts", split(hosts))
			e.set("notify", t.notify)
			c.entries = append(c.entries, e)
		}
	}
}

// everywhere reports whether hosts are all on which a task runs. That hosts answer is asked of others too, which Nagios
// does not know: those that Jarvis deployed.
func (c *carrier) everywhere(task string, hosts []string) bool {
	n := 0
	for _, t := range c.made {
		if t.name == task {
			n = len(t.pairs)
		}
	}
	return n == len(hosts)
}

// escalate carries escalations over: who is told when nobody has acknowledged a problem for a while.
func (c *carrier) escalate() {
	all := map[string]*told{}
	for _, o := range c.tree.Of("serviceescalation") {
		services := c.tree.Pick(o, "")
		for _, p := range c.pairs {
			if slices.Contains(services, p.Service) {
				c.escalation(all, o, p.Object, p.Host, p.task.name, p.host, false)
			}
		}
	}
	for _, o := range c.tree.Of("hostescalation") {
		hosts, _ := o.Get("host_name")
		groups, _ := o.Get("hostgroup_name")
		for _, name := range c.tree.Hosts(hosts, groups) {
			h := c.tree.Find("host", name)
			c.escalation(all, o, h, h, "host", c.hosts.give(name, name), true)
		}
	}
	c.writeActions(all)
}

// escalation makes an action with after: from the number of a notification it works out when Nagios would have sent it.
func (c *carrier) escalation(all map[string]*told, o, s, h *nagios.Object, task, host string, isHost bool) {
	first, _ := o.Get("first_notification")
	last, hasLast := o.Get("last_notification")
	c.take(o, "host_name", "hostgroup_name", "service_description", "servicegroup_name", "first_notification", "last_notification", "contacts", "contact_groups", "notification_interval", "escalation_period", "escalation_options")
	if hasLast && last.Text != "0" {
		c.list("last_notification", last, "an escalation here goes on until somebody acknowledges the problem, or it is over", "")
	}
	wait, ok := c.firstTold(first, s, h)
	if !ok {
		return
	}
	c.note(o.Pos, o.Type, "who was told first is told on, beside those of the escalation", "")
	v, has := o.Get("escalation_options")
	opts := letters(v.Text, "w,u,c,r,d,f", !has)
	every := c.repeat(o, s, h)
	in := ""
	if v, ok := o.Get("escalation_period"); ok {
		in = c.period("escalation_period", v)
	}
	people, ok1 := o.Get("contacts")
	groups, ok2 := o.Get("contact_groups")
	who := c.tree.Contacts(people, groups)
	if !ok1 && !ok2 {
		who = c.contactsOf(s, h)
	}
	for _, name := range who {
		t, some := opts.and(c.contactOptions(c.tree.Find("contact", name), isHost)).telling(isHost)
		if !some {
			continue
		}
		if !c.mailed[name] {
			c.note(o.Pos, o.Type+" to "+name, "that contact could not be carried over", "write an action with after for it")
			continue
		}
		t.every, t.period = every, in
		if wait > 0 {
			t.after = duration(wait)
			t.problemsAlone()
		}
		c.add(all, t, "escalate", name, task, host)
	}
}
