package transfer

import (
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/calendar"
	"github.com/jarvisops/jarvis/checks/nagios"
)

// extent says whether a timeperiod is all the time, and whether it is at no time.
func (c *carrier) extent(name string) (always, never bool) {
	o := c.tree.Find("timeperiod", name)
	if o == nil {
		return false, false
	}
	days := map[string]bool{}
	some := false
	for _, a := range o.Days() {
		d, err := nagios.ParseDays(a)
		if err != nil {
			return false, false
		}
		some = some || len(d.Times) > 0
		if d.Kind == nagios.Weekday && slices.Equal(d.Times, []string{"00:00-24:00"}) {
			days[d.From] = true
		} else if d.Kind != nagios.Weekday {
			days["other"] = true
		}
	}
	_, but := o.Get("exclude")
	return len(days) == 7 && !days["other"] && !but, !some
}

// never reports whether a value names a timeperiod that is at no time.
func (c *carrier) never(v nagios.Value) bool {
	_, never := c.extent(v.Text)
	return never
}

// readPeriods makes periods of all timeperiods, and finds those of which none can be made.
func (c *carrier) readPeriods() {
	c.calendars, c.broken = map[string]calendar.Def{}, map[string]string{}
	for _, o := range c.tree.Of("timeperiod") {
		d := calendar.Def{Name: o.Name()}
		for _, a := range o.Days() {
			line, err := dayLine(a)
			if err != nil {
				c.list(o.Name()+":", nagios.Value{Text: a.Value, From: []*nagios.Attr{a}}, err.Error(), "write it into the period, if it is wanted")
				continue
			}
			d.When = append(d.When, line)
		}
		d.When = joinWeek(d.When)
		v, _ := o.Get("exclude")
		for _, x := range v.List() {
			if _, never := c.extent(x); !never {
				d.Except = append(d.Except, x)
			}
		}
		c.calendars[o.Name()] = d
	}
	for again := true; again; { // what one lacks because another is broken, breaks it too
		again = false
		var defs []calendar.Def
		for _, name := range sortedKeys(c.calendars) {
			if c.broken[name] == "" {
				defs = append(defs, c.calendars[name])
			}
		}
		_, wrong := calendar.Compile(defs, time.Now())
		for i, err := range wrong {
			c.broken[defs[i].Name] = err.Error()
			again = true
		}
	}
}

// dayLine gives a line of a timeperiod as periods have it.
func dayLine(a *nagios.Attr) (string, error) {
	d, err := nagios.ParseDays(a)
	if err != nil {
		return "", err
	}
	times := strings.Join(d.Times, ",")
	if times == "" {
		times = "off"
	}
	line := d.Words() + " " + times
	_, wrong := calendar.Compile([]calendar.Def{{Name: "x", When: []string{"2026-01-01", line}}}, time.Now())
	return line, wrong[0]
}

// period gives the name of the period that an attribute names, or "" where it is always, or cannot be said.
func (c *carrier) period(name string, v nagios.Value) string {
	always, _ := c.extent(v.Text)
	switch {
	case c.tree.Find("timeperiod", v.Text) == nil:
		c.list(name, v, "there is no such timeperiod", "it is at any time here")
		return ""
	case always:
		c.mark(carried, v)
		c.usePeriod(v.Text)
		return ""
	case c.broken[v.Text] != "":
		c.list(name, v, c.broken[v.Text], "it is at any time here")
		return ""
	}
	c.mark(carried, v)
	c.usePeriod(v.Text)
	return c.periods.give(v.Text, v.Text)
}

// usePeriod marks a timeperiod, and what it takes away, as carried over.
func (c *carrier) usePeriod(name string) {
	o := c.tree.Find("timeperiod", name)
	if o == nil || c.periods.of[name] != "" {
		return
	}
	c.take(o, "timeperiod_name", "exclude")
	for _, a := range o.Days() {
		c.mark(carried, nagios.Value{From: []*nagios.Attr{a}})
	}
	if always, _ := c.extent(name); always {
		return
	}
	c.periods.give(name, name)
	for _, x := range c.calendars[name].Except {
		c.usePeriod(x)
	}
}

// makePeriods writes the periods that are used.
func (c *carrier) makePeriods() {
	for _, o := range c.tree.Of("timeperiod") {
		name := c.periods.of[o.Name()]
		if name == "" {
			continue
		}
		d := c.calendars[o.Name()]
		e := &entry{kind: "periods", pos: o.Pos}
		e.set("name", name)
		e.set("when", d.When)
		var except []string
		for _, x := range d.Except {
			except = append(except, c.periods.give(x, x))
		}
		e.set("except", except)
		c.entries = append(c.entries, e)
	}
}

var week = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// joinWeek writes weekdays with the same times as one: mon-fri 08:00-18:00.
func joinWeek(when []string) []string {
	times := map[string]string{}
	var out []string
	for _, w := range when {
		day, rest, _ := strings.Cut(w, " ")
		if slices.Contains(week, day) && (strings.Contains(rest, ":") || rest == "off") && !strings.Contains(rest, " ") {
			times[day] = rest
			continue
		}
		out = append(out, w)
	}
	var days []string
	for i := 0; i < len(week); {
		t := times[week[i]]
		j := i
		for j+1 < len(week) && times[week[j+1]] == t {
			j++
		}
		switch {
		case t == "":
		case j > i:
			days = append(days, week[i][:3]+"-"+week[j][:3]+" "+t)
		default:
			days = append(days, week[i][:3]+" "+t)
		}
		i = j + 1
	}
	return append(days, out...)
}
