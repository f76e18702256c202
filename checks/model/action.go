package model

import (
	"slices"
	"strings"
)

// What an action may follow on, beside the transitions.
const (
	OnStays  = "stays"
	OnResult = "result"
)

func (d *Defs) checkAction(a *Action) error {
	var wrong sentence
	ons := []string{string(Problem), string(Change), string(Recovery), string(Flaps), string(Steady), OnStays, OnResult}
	for _, on := range a.On {
		if !slices.Contains(ons, on) {
			wrong.add("on is %q; there are %s", on, strings.Join(ons, ", "))
		}
	}
	for _, word := range a.Status {
		if status, err := ParseStatus(word); err != nil || status == OK {
			wrong.add("status is %q; there are warning, critical and unknown", word)
		}
	}
	a.checkDeed(&wrong)
	if a.Webhook != "" && !strings.HasPrefix(string(a.Webhook), "https://") && !strings.HasPrefix(string(a.Webhook), "http://") {
		wrong.add("webhook is no https:// URL")
	}
	wrong.err(d.checkTimed(a))
	for _, n := range a.Notify {
		if !slices.ContainsFunc(d.Contacts, func(c Contact) bool { return c.Name == n }) {
			wrong.add("there is no contact %s", n)
		}
	}
	if a.Task != "" && !slices.ContainsFunc(d.Tasks, func(t Task) bool { return !t.Template && t.Name == a.Task }) {
		wrong.err(d.noTask(a.Task))
	}
	if slices.ContainsFunc(d.Tasks, func(t Task) bool { return t.Passive && t.Name == a.Task }) {
		wrong.add("the task %s is passive: there is nothing to run", a.Task)
	}
	for _, t := range a.Tasks {
		wrong.err(Glob(t))
	}
	for _, h := range a.Hosts {
		wrong.err(checkHostWord(h))
	}
	return wrong.all()
}

// checkDeed says what is wrong with what an action does, and when.
func (a *Action) checkDeed(wrong *sentence) {
	does := 0
	for _, yes := range []bool{len(a.Notify) > 0, a.Task != "", a.Run != "", a.Webhook != "", a.Graphite != ""} {
		if yes {
			does++
		}
	}
	each := slices.Contains(a.On, OnResult)
	switch {
	case does != 1:
		wrong.add("it does one thing: notify, task, run, webhook or graphite")
	case slices.Contains(a.On, OnStays) != (a.Stays > 0):
		wrong.add("on: [stays] and stays: NUMBER go together")
	case (a.Graphite != "") != each:
		wrong.add("on: [result] and graphite go together: nothing else should happen as often")
	case a.Graphite != "" && len(a.Status) > 0:
		wrong.add("status is for what is told; graphite is given every value")
	case a.TaskHost != "" && a.Task == "":
		wrong.add("task_host is for a task")
	case a.Prefix != "" && (a.Graphite == "" || !defName.MatchString(a.Prefix)):
		wrong.add("prefix is the beginning of names in Graphite, as in jarvis")
	}
}
