package transfer

import (
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/checks/nagios"
)

// always reports whether a timeperiod is all the time, and never whether it is at no time.
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

// period gives the name of a period for a key of a kind of definitions, or "" where it is always, or cannot be said.
func (c *carrier) period(kind, name string, v nagios.Value) string {
	if c.tree.Find("timeperiod", v.Text) == nil {
		c.list(name, v, "there is no such timeperiod", "it is at any time here")
		return ""
	}
	always, _ := c.extent(v.Text)
	if !always && (!hasKey(kind, "period") || !hasKey("periods", "when")) {
		c.list(name, v, "there are no calendars here", "it is at any time; a cron schedule of the task says hours and days")
		return ""
	}
	c.mark(carried, v)
	if always {
		c.usePeriod(v.Text, true)
		return ""
	}
	c.usePeriod(v.Text, false)
	return c.periods.give(v.Text, v.Text)
}

// usePeriod marks a timeperiod, and what it takes away, as carried over.
func (c *carrier) usePeriod(name string, always bool) {
	o := c.tree.Find("timeperiod", name)
	if o == nil || c.periods.of[name] != "" {
		return
	}
	c.take(o, "timeperiod_name", "exclude")
	for _, a := range o.Days() {
		c.mark(carried, nagios.Value{From: []*nagios.Attr{a}})
	}
	if always {
		return
	}
	c.periods.give(name, name)
	v, _ := o.Get("exclude")
	for _, x := range v.List() {
		if _, never := c.extent(x); !never {
			c.usePeriod(x, false)
		}
	}
}

// makePeriods writes the periods that are used.
func (c *carrier) makePeriods() {
	for _, o := range c.tree.Of("timeperiod") {
		name := c.periods.of[o.Name()]
		if name == "" {
			continue
		}
		e := &entry{kind: "periods", pos: o.Pos}
		e.set("name", name)
		var when []string
		for _, a := range o.Days() {
			d, err := nagios.ParseDays(a)
			if err != nil {
				c.list(a.Word, nagios.Value{Text: a.Value, From: []*nagios.Attr{a}}, err.Error(), "write it into the period "+name)
				continue
			}
			times := strings.Join(d.Times, ",")
			if times == "" {
				times = "off"
			}
			when = append(when, d.Words()+" "+times)
		}
		e.set("when", joinWeek(when))
		v, _ := o.Get("exclude")
		var except []string
		for _, x := range v.List() {
			if c.periods.of[x] != "" {
				except = append(except, c.periods.of[x])
			}
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
