package transfer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/checks/nagios"
)

// settings are what a service says of how it is checked. Two that differ in them are two tasks.
type settings struct {
	schedule, retry, period, fresh string
	attempts                       int
	passive                        bool
	depends                        string // what it depends on, by what that is called there
}

// task is what pairs with the same line and the same settings become.
type task struct {
	name  string
	pairs []*pair
	entry *entry
}

// makeTasks makes tasks of the services, and says where they run. It leaves off when ctx is over.
func (c *carrier) makeTasks(ctx context.Context) {
	byCommand := map[string][]*pair{}
	var order []string
	for _, s := range c.tree.Services() {
		if ctx.Err() != nil {
			return
		}
		p := c.pairOf(s)
		if p == nil {
			continue
		}
		c.pairs = append(c.pairs, p)
		k := p.desc + "\x00" + p.call.Command
		if byCommand[k] == nil {
			order = append(order, k)
		}
		byCommand[k] = append(byCommand[k], p)
	}
	for _, k := range order {
		c.lines(byCommand[k])
	}
	if c.depend(); ctx.Err() != nil {
		return
	}
	at := map[string]*task{}
	for _, p := range c.pairs {
		k := fmt.Sprint(p.desc, "\x00", p.line, "\x00", p.set, p.here, p.timeout)
		if at[k] == nil {
			at[k] = &task{name: c.tasks.give(k, p.desc)}
			c.made = append(c.made, at[k])
			switch s := slug(p.desc); {
			case at[k].name != s:
				c.note(p.Object.Pos, "service "+p.desc, "what is run in another way is another task", "on "+p.host+" it is called "+at[k].name)
			case s != p.desc:
				c.renamed(p.Object, "service", p.desc, s)
			}
		}
		p.task = at[k]
		at[k].pairs = append(at[k].pairs, p)
	}
	for _, t := range c.made {
		c.taskEntry(t)
	}
	if c.template(); ctx.Err() != nil {
		return
	}
	for _, t := range c.made {
		c.entries = append(c.entries, t.entry)
	}
	c.resolveDepends()
	c.cutDepends()
	c.hostVars()
	c.hostTasks()
}

// pairOf reads a service on a host. Nil: it is not to be checked at all.
func (c *carrier) pairOf(s nagios.Service) *pair {
	p := &pair{Service: s, host: c.hosts.give(s.Host.Name(), s.Host.Name()), desc: s.Description()}
	c.take(s.Object, "service_description", "host_name", "hostgroup_name")
	active, _ := s.Get("active_checks_enabled")
	passive, _ := s.Get("passive_checks_enabled")
	period, _ := s.Get("check_period")
	c.mark(carried, active)
	p.set.passive = active.Text == "0" || c.never(period)
	if p.set.passive {
		if passive.Text == "0" {
			c.leaveOut(p, "it is neither checked nor given results there")
			return nil
		}
		c.mark(carried, passive)
		if c.never(period) {
			c.mark(carried, period)
		}
	}
	c.command(p)
	if p.command == nil && !p.set.passive {
		return nil
	}
	c.schedule(p)
	return p
}

// command finds what the service has run.
func (c *carrier) command(p *pair) {
	v, ok := p.Get("check_command")
	if p.set.passive {
		if ok {
			c.list("check_command", v, "a task that is given its results runs nothing; Nagios ran this when they stayed away", "here it is UNKNOWN then")
		}
		return
	}
	if !ok || v.Text == "" {
		c.leaveOut(p, "it has no check_command")
		return
	}
	p.call = nagios.ParseCall(strings.TrimPrefix(v.Text, "!"))
	p.command = c.tree.Find("command", p.call.Command)
	if p.command == nil {
		c.leaveOut(p, "there is no command "+p.call.Command)
		return
	}
	if p.commandLine() == "" {
		c.leaveOut(p, "its command "+p.call.Command+" has no command_line")
		p.command = nil
		return
	}
	c.mark(carried, v)
	c.take(p.command, "command_name", "command_line")
}

// leaveOut says that a service was not carried over.
func (c *carrier) leaveOut(p *pair, why string) {
	c.note(p.Object.Pos, "service "+p.Name(), why, "it was left out")
	c.leftOut[p.Object] = true
}

// schedule takes the defaults of Nagios where a service says nothing, as Nagios would.
func (c *carrier) schedule(p *pair) {
	s := p.Object
	p.set.attempts = 3
	if v, ok := s.Get("max_check_attempts"); ok {
		switch n, err := strconv.Atoi(v.Text); {
		case p.set.passive && n != 1:
			c.list("max_check_attempts", v, "a result that is delivered is believed at once here", "write attempts into the task of "+p.Name()+", if more are to come first")
		case n > mostAttempts:
			p.set.attempts = mostAttempts
			c.list("max_check_attempts", v, fmt.Sprintf("it is more than %d", mostAttempts), fmt.Sprintf("%d was taken", mostAttempts))
		case err == nil && n > 0:
			p.set.attempts = n
			c.mark(carried, v)
		default:
			c.list("max_check_attempts", v, noNumber, "3 was taken")
		}
	}
	if v, ok := s.Get("check_period"); ok && !p.set.passive {
		p.set.period = c.period("check_period", v)
	}
	if p.set.passive {
		p.set.attempts = 1
		c.freshness(p)
		return
	}
	every := c.number(s, "check_interval", 5)
	retry := c.number(s, "retry_interval", 1)
	if every < time.Second {
		v, _ := s.Get("check_interval")
		c.list("check_interval", v, "Nagios runs it once only", "here it runs once a day")
		every = 24 * time.Hour
	}
	p.set.schedule = "@every " + duration(every)
	if retry >= time.Second && retry < every && p.set.attempts > 1 {
		p.set.retry = duration(retry)
	}
	if v, ok := s.Get("check_freshness"); ok && v.Text == "1" {
		c.list("check_freshness", v, "what runs by its schedule is never stale", "`check stats` says how late checks are")
	}
}

// freshness says after how long without a result a passive check is stale. What Nagios would work out is its
// check_interval and 15 s.
func (c *carrier) freshness(p *pair) {
	on, _ := p.Get("check_freshness")
	v, ok := p.Get("freshness_threshold")
	if on.Text != "1" {
		return
	}
	c.mark(carried, on)
	d, wrong := seconds(v.Text)
	if !ok || wrong != "" {
		d = c.number(p.Object, "check_interval", 5) + 15*time.Second
		c.note(p.Object.Pos, "service "+p.Name(), "its freshness_threshold is for Nagios to work out", fmt.Sprintf("%ds was taken", int(d.Seconds())))
	}
	if d < model.ShortestFresh {
		c.list("freshness_threshold", v, "it is less than "+duration(model.ShortestFresh), duration(model.ShortestFresh)+" was taken")
	}
	c.mark(carried, v)
	p.set.fresh = duration(max(d, model.ShortestFresh))
}

// taskEntry writes a task.
func (c *carrier) taskEntry(t *task) {
	p := t.pairs[0]
	e := &entry{kind: "tasks", pos: p.Object.Pos}
	e.set("name", t.name)
	if p.set.passive {
		e.set("passive", true)
		e.set("fresh", p.set.fresh)
	} else {
		e.set("command", p.line)
		if !p.here {
			e.set("from", c.from)
		}
		e.set("schedule", p.set.schedule)
		e.set("retry", p.set.retry)
		e.set("timeout", cmp.Or(p.timeout, c.checkTimeout()))
		e.set("period", p.set.period)
	}
	e.set("attempts", p.set.attempts)
	e.set("vars", t.usual())
	t.entry = e
}

// checkTimeout is how long Nagios lets a check run.
func (c *carrier) checkTimeout() string {
	limit := time.Minute
	if a, ok := c.tree.Setting("service_check_timeout"); ok {
		what := "service_check_timeout=" + clip(a.Value)
		if d, wrong := seconds(a.Value); wrong == "" {
			limit = c.atMostADay(a.Pos, what, d)
		} else {
			c.note(a.Pos, what, wrong, "60 was taken")
		}
	}
	return duration(limit)
}

// usual gives the values that most pairs of a task have.
func (t *task) usual() map[string]string {
	count := map[string]int{}
	var best map[string]string
	most := 0
	for _, p := range t.pairs {
		k := fmt.Sprint(p.vars) // fmt sorts maps
		if count[k]++; count[k] > most {
			most, best = count[k], p.vars
		}
	}
	return best
}

// template takes what tasks share that came of one template there into a template here.
func (c *carrier) template() {
	of := map[string][]*task{}
	for _, t := range c.made {
		for _, a := range t.pairs[0].Object.Attrs {
			if a.Name == "use" && !t.pairs[0].set.passive {
				first, _, _ := strings.Cut(a.Value, ",")
				of[strings.TrimSpace(first)] = append(of[strings.TrimSpace(first)], t)
			}
		}
	}
	var made []*entry
	for _, name := range sortedKeys(of) {
		list := of[name]
		if len(list) < 2 {
			continue
		}
		base := &entry{kind: "tasks"}
		base.set("name", c.tasks.give("template "+name, name))
		base.set("template", true)
		for _, k := range []string{"from", "schedule", "retry", "timeout", "period", "attempts"} {
			if v := shared(list, k); v != nil {
				base.set(k, v)
				for _, t := range list {
					if t.entry.get(k) == v {
						t.entry.drop(k)
					}
				}
			}
		}
		if len(base.keys) == 2 {
			continue
		}
		for _, t := range list {
			t.entry.keys = slices.Insert(t.entry.keys, 1, key{"use", base.keys[0].value})
		}
		made = append(made, base)
	}
	c.entries = append(c.entries, made...)
}

// shared gives the value of a key that most tasks have, where all have one: what a template says cannot be unsaid.
func shared(list []*task, k string) any {
	count := map[any]int{}
	var best any
	for _, t := range list {
		v := t.entry.get(k)
		if v == nil {
			return nil
		}
		if count[v]++; count[v] > count[best] {
			best = v
		}
	}
	if count[best] < 2 {
		return nil
	}
	return best
}

// hostVars writes the variables of hosts.
func (c *carrier) hostVars() {
	vars := map[string]map[string]string{}
	for _, p := range c.pairs {
		for k, v := range p.hostVars {
			if vars[p.host] == nil {
				vars[p.host] = map[string]string{}
			}
			vars[p.host][k] = v
		}
	}
	for _, e := range c.entries {
		if e.kind == "hosts" {
			e.set("vars", vars[fmt.Sprint(e.get("name"))])
		}
	}
}

// hostTasks says which tasks run on which hosts: tasks of the same hosts together.
func (c *carrier) hostTasks() {
	type where struct {
		hosts []string
		vars  map[string]string
		tasks []string
	}
	at := map[string]*where{}
	var order []*where
	for _, t := range c.made {
		usual := fmt.Sprint(t.usual())
		parts := map[string]*where{}
		for _, p := range t.pairs {
			k := fmt.Sprint(p.vars)
			if parts[k] == nil {
				parts[k] = &where{}
				if k != usual {
					parts[k].vars = p.vars
				}
			}
			parts[k].hosts = append(parts[k].hosts, p.host)
		}
		for _, k := range sortedKeys(parts) {
			w := parts[k]
			id := fmt.Sprint(w.hosts, w.vars)
			if at[id] == nil {
				at[id] = w
				order = append(order, w)
			}
			at[id].tasks = append(at[id].tasks, t.name)
		}
	}
	for _, w := range order {
		e := &entry{kind: "host_tasks"}
		e.set("tasks", w.tasks)
		e.set("hosts", c.hostWords(w.hosts))
		e.set("vars", w.vars)
		c.entries = append(c.entries, e)
	}
}

// hostWords names hosts: by a group, where one has just these.
func (c *carrier) hostWords(hosts []string) []string {
	if len(hosts) < 2 {
		return hosts
	}
	want := slices.Sorted(slices.Values(hosts))
	for _, g := range c.tree.Of("hostgroup") {
		var members []string
		for _, h := range c.tree.Members("hostgroup", g.Name()) {
			members = append(members, c.hosts.give(h, h))
		}
		slices.Sort(members)
		if slices.Equal(members, want) {
			return []string{"@" + c.groups.give(g.Name(), g.Name())}
		}
	}
	return hosts
}
