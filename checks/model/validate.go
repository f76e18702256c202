package model

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/checks/calendar"
	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Check says all that is wrong with what is written.
func (c *Config) Check() error {
	var wrong mistake.List
	c.checkSettings(&wrong)
	all, broken := c.loadEach(func(string) bool { return false })
	for _, err := range broken {
		wrong.Add(err)
	}
	for _, f := range all.faults(c.Plugins) {
		wrong.Add(all.told(f))
	}
	return wrong.Err()
}

// looksFor says whether files of plugins must be there, and which periods are right.
type looksFor struct {
	plugins string // the folder
	there   bool
	periods map[string]*calendar.Period
}

// checkSettings says what is wrong beside what is declared.
func (c *Config) checkSettings(wrong *mistake.List) {
	if c.CatchUp != "" && c.CatchUp != Skip && c.CatchUp != Once {
		wrong.At("checks.catch_up", "is %q; it is skip or once", c.CatchUp)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"host.retry", c.Host.Retry}, {"host.every", c.Host.Every}, {"gather", c.Gather}, {"keep.results", c.Keep.Results}, {"keep.minutes", c.Keep.Minutes}, {"keep.hours", c.Keep.Hours}, {"keep.days", c.Keep.Days}, {"keep.states", c.Keep.States}} {
		if d.d < 0 {
			wrong.At("checks."+d.name, "is %s; it cannot be negative", d.d)
		}
	}
	for _, n := range []struct {
		name string
		n    int
	}{{"at_once", c.AtOnce}, {"per_host", c.PerHost}, {"host.attempts", c.Host.Attempts}, {"recent", c.Recent}, {"keep.count", c.Keep.Count}} {
		if n.n < 0 {
			wrong.At("checks."+n.name, "is %d; it cannot be negative", n.n)
		}
	}
	if c.Host.Every > 0 && c.Host.Every < shortestEvery {
		wrong.At("checks.host.every", "is %s; it is %s at least", c.Host.Every, shortestEvery)
	}
	if c.Keep.Results > 0 && c.Keep.Results < time.Hour {
		wrong.At("checks.keep.results", "is %s; the roll-ups need an hour", c.Keep.Results)
	}
}

var defName = pattern.New(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// IsName reports whether a word may name a definition: letters, digits, dots, dashes and underscores.
func IsName(word string) bool { return defName.MatchString(word) }

// fault is what is wrong with one definition.
type fault struct {
	kind, name string
	index      int // among those of its kind
	err        error
}

// Check says what is wrong in a sentence. What is on record is not known here.
func (d *Defs) Check(plugins string) error {
	for _, f := range d.faults(plugins) {
		return f.err
	}
	return nil
}

// faults gives what is wrong, each definition with all that is wrong with it.
func (d *Defs) faults(plugins string) []fault {
	return d.faultsWith(looksFor{plugins: plugins, there: true})
}

// faultsWith gives at most one fault for each definition, which says all that is wrong with it.
func (d *Defs) faultsWith(look looksFor) []fault {
	d, uses := d.inherited()
	f := &faults{uses: uses, seen: map[string]bool{}, count: map[string]int{}}
	roundHost, hostErr := d.parentLoop()
	roundTask, taskErr := d.dependLoop()
	for _, h := range d.Hosts {
		f.named(KindHost, h.Name, func() error { return together(d.checkHost(&h), checkVars(h.Vars)) }, when(h.Name == roundHost, hostErr))
	}
	for _, s := range d.Schedules {
		f.named(KindSchedule, s.Name, func() error {
			_, err := ParseSchedule(s.When, 0)
			return err
		}, nil)
	}
	made, wrong := d.periods(time.Now())
	look.periods = made
	for i, p := range d.Periods {
		f.named(KindPeriod, p.Name, func() error { return wrong[i] }, nil)
	}
	for _, t := range d.Tasks {
		f.named(KindTask, t.Name, func() error { return d.checkTask(&t, look) }, when(t.Name == roundTask, taskErr))
	}
	for _, c := range d.Contacts {
		var itself error // its sentence goes on after the name
		f.named(KindContact, c.Name, func() error {
			if itself = c.check(); itself != nil {
				return nil
			}
			return d.knowsPeriod(c.Period)
		}, func() error {
			if itself == nil {
				return nil
			}
			return together(fmt.Errorf("contact %s %w", c.Name, itself), d.knowsPeriod(c.Period))
		})
	}
	for _, n := range d.Nodes {
		f.named(KindNode, n.Name, func() error { return nil }, nil)
	}
	names := d.index()
	names.periods = made
	for i, ht := range d.HostTasks {
		f.add(KindHostTask, ht.Name, f.ofHostTask(d, names, i, &ht))
	}
	for _, x := range d.Downtimes {
		f.named(KindDowntime, x.Name, func() error { return d.checkDowntime(&x) }, nil)
	}
	for _, a := range d.Actions {
		f.named(KindAction, a.Name, func() error { return d.checkAction(&a) }, nil)
	}
	return f.out
}

// faults gathers what is wrong with definitions.
type faults struct {
	uses  map[string]map[int]error // what is wrong with the template that one uses, by kind and place
	seen  map[string]bool          // "kind name"
	count map[string]int           // of each kind, until now
	out   []fault
}

// add takes the next definition of a kind, with what is wrong with it.
func (f *faults) add(kind, name string, err error) {
	if use := f.uses[kind][f.count[kind]]; err == nil && use != nil {
		err = fmt.Errorf("%s: %w", strings.TrimSpace(kind+" "+name), use)
	}
	if err != nil {
		f.out = append(f.out, fault{kind, name, f.count[kind], err})
	}
	f.count[kind]++
}

// unique says what is wrong with a name.
func (f *faults) unique(kind, name string) error {
	if !defName.MatchString(name) {
		return fmt.Errorf("a %s is called %q; a name is of letters, digits, dots, dashes and underscores", kind, name)
	}
	if f.seen[kind+" "+name] {
		return fmt.Errorf("there are two %ss called %s", kind, name)
	}
	f.seen[kind+" "+name] = true
	return nil
}

// named takes one whose name must be right, and its own. check says what is wrong with it by itself, and after that
// beside the others, in a whole sentence.
func (f *faults) named(kind, name string, check, beside func() error) {
	err := f.unique(kind, name)
	if err == nil {
		if err = check(); err != nil {
			err = fmt.Errorf("%s %s: %w", kind, name, err)
		} else if beside != nil {
			err = beside()
		}
	}
	f.add(kind, name, err)
}

// when gives an error if it is that of this one.
func when(this bool, err error) func() error {
	return func() error {
		if this {
			return err
		}
		return nil
	}
}

// ofHostTask says what is wrong with an entry of host_tasks, which needs no name.
func (f *faults) ofHostTask(d *Defs, names *index, i int, ht *HostTask) (err error) {
	if ht.Name != "" {
		err = f.unique(KindHostTask, ht.Name)
	}
	if ht.Template && ht.Name == "" {
		err = fmt.Errorf("host_tasks: entry %d is a template and has no name; others cannot use it", i+1)
	}
	if err == nil && !ht.Template && f.uses[KindHostTask][i] == nil && (len(ht.Tasks) == 0 || len(ht.Hosts) == 0) {
		err = fmt.Errorf("host_tasks: entry %d must name tasks and hosts", i+1)
	}
	if err == nil {
		if err = d.checkHostTask(ht, names); err != nil {
			err = fmt.Errorf("host_tasks (%s): %w", ht.label(), err)
		}
	}
	return err
}

// checkHostTask asks of a template only what it says itself: the rest may come from who uses it.
func (d *Defs) checkHostTask(ht *HostTask, names *index) error {
	var wrong sentence
	for _, t := range ht.Tasks {
		if err := Glob(t); err != nil {
			wrong.err(err)
		} else if !names.runs(t) {
			wrong.err(d.noTask(t))
		}
	}
	for _, h := range ht.Hosts {
		wrong.err(checkHostWord(h))
	}
	if ht.Schedule != "" {
		wrong.err(d.checkSchedule(ht, names))
	}
	if checkAttempts(ht.Attempts, &wrong); ht.Attempts < 0 {
		wrong.add("attempts is negative")
	}
	wrong.err(checkVars(ht.Vars))
	if err := wrong.all(); err != nil || ht.Template {
		return err
	}
	return names.missingVars(ht)
}

// checkSchedule says what is wrong with a host_task's own schedule.
func (d *Defs) checkSchedule(ht *HostTask, names *index) error {
	tasks := names.of(ht)
	for _, t := range tasks {
		if t.Passive && slices.Contains(ht.Tasks, t.Name) {
			return fmt.Errorf("the task %s is passive: it has no schedule", t.Name)
		}
	}
	s, err := d.schedule(ht.Schedule, 0)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if err := checkTimes(s, t.Period, names.periods, time.Now()); err != nil {
			return fmt.Errorf("task %s: %w", t.Name, err)
		}
	}
	return nil
}

// noTask says why a task cannot be named.
func (d *Defs) noTask(name string) error {
	if slices.ContainsFunc(d.Tasks, func(x Task) bool { return x.Template && Match(name, x.Name) }) {
		return fmt.Errorf("the task %s is a template, which is not run; name one that uses it", name)
	}
	return fmt.Errorf("there is no task %s", name)
}

// label names it in messages: most have no name.
func (ht *HostTask) label() string {
	if ht.Name != "" {
		return ht.Name
	}
	return strings.Join(ht.Tasks, ", ") + " on " + strings.Join(ht.Hosts, ", ")
}

// checkTask looks for the plugin's file only where look says that this machine must have it.
func (d *Defs) checkTask(t *Task, look looksFor) error {
	var wrong sentence
	if t.Name == HostAnswers {
		wrong.add("this name is taken: it is the check whether a host answers at all")
	}
	t.checkPassive(&wrong)
	if t.Command != "" && t.Plugin != "" || t.Command == "" && t.Plugin == "" && !t.Template && !t.Passive {
		wrong.add("it has either a command or a plugin")
	}
	if t.Command != "" && len(t.Args) > 0 {
		wrong.add("args are for a plugin; a command has them in its line")
	}
	checkArgs(t.Args, &wrong)
	checkAttempts(t.Attempts, &wrong)
	if t.Timeout < 0 || t.Jitter < 0 || t.Attempts < 0 || t.Retry < 0 {
		wrong.add("timeout, jitter, attempts and retry cannot be negative")
	}
	if t.Retry > 0 && t.Retry < shortestEvery {
		wrong.add("retry is %s; it is %s at least", t.Retry, shortestEvery)
	}
	if t.Timeout > day {
		wrong.add("its timeout %s is more than a day", t.Timeout)
	}
	if t.CatchUp != "" && t.CatchUp != Skip && t.CatchUp != Once {
		wrong.add("catch_up is %q; it is skip or once", t.CatchUp)
	}
	switch {
	case t.Plugin == "":
	case t.Plugin != path.Base(t.Plugin) || strings.HasPrefix(t.Plugin, "."):
		wrong.add("plugin is %q; it is the name of a file in checks.plugins", t.Plugin)
	case look.plugins == "":
		wrong.add("it has a plugin, and checks.plugins names no folder")
	case look.there:
		if st, err := os.Stat(filepath.Join(look.plugins, t.Plugin)); err != nil {
			wrong.add("its plugin cannot be used: %s", plain.Why(err))
		} else if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
			wrong.add("its plugin %s is no program that may be run", filepath.Join(look.plugins, t.Plugin))
		}
	}
	d.checkDepends(t, &wrong)
	for k, v := range t.Env {
		if !envName.MatchString(k) || strings.ContainsRune(v, 0) {
			wrong.add("env: %q is no name of a variable", k)
		}
	}
	wrong.err(checkVars(t.Vars))
	if _, err := regexp.Compile(t.Expect.Output); err != nil {
		wrong.add("expect.output: %v", err)
	}
	s, err := d.schedule(t.Schedule, max(t.Jitter, 0))
	if wrong.err(err); err == nil {
		wrong.err(checkTimes(s, t.Period, look.periods, time.Now()))
	}
	wrong.err(d.knowsPeriod(t.Period))
	return wrong.all()
}

// mostAttempts is the most that attempts may be: with one a minute, most of a day.
const mostAttempts = 1000

func checkAttempts(n int, wrong *sentence) {
	if n > mostAttempts {
		wrong.add("attempts is %d; it is %d at most", n, mostAttempts)
	}
}

// sentence gathers what is wrong with one definition.
type sentence []string

func (s *sentence) add(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

// err adds an error; nil is nothing.
func (s *sentence) err(err error) {
	if err != nil {
		*s = append(*s, err.Error())
	}
}

// all gives what is wrong in one line; nil when nothing is.
func (s sentence) all() error {
	if len(s) == 0 {
		return nil
	}
	return errors.New(strings.Join(s, "; "))
}

// together gives several errors in one line; nil when there are none.
func together(errs ...error) error {
	var wrong sentence
	for _, err := range errs {
		wrong.err(err)
	}
	return wrong.all()
}

var envName = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)

const everyMinute = "@every 1m"

// Schedule finds one by name, or parses it.
func (d *Defs) schedule(text string, jitter time.Duration) (Schedule, error) {
	if text == "" {
		text = everyMinute
	}
	for _, s := range d.Schedules {
		if s.Name == text {
			text = s.When
		}
	}
	if defName.MatchString(text) {
		return Schedule{}, fmt.Errorf("there is no schedule %s", text)
	}
	return ParseSchedule(text, jitter)
}

// checkHostWord checks the form alone: which hosts there are is not known here.
func checkHostWord(w string) error {
	w = strings.TrimPrefix(w, "!")
	if name, ok := strings.CutPrefix(w, "@"); ok {
		if !defName.MatchString(name) {
			return fmt.Errorf("%q is no group or cluster", w)
		}
		return nil
	}
	names, err := fleet.Expand(w)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.ContainsAny(n, "*?") {
			if err := Glob(n); err != nil {
				return err
			}
		} else if !defName.MatchString(n) {
			return fmt.Errorf("%q is no name of a host", n)
		}
	}
	return nil
}

// Glob says what is wrong with a pattern of names, as path.Match has them.
func Glob(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return fmt.Errorf("%q is no pattern", pattern)
	}
	return nil
}

// Match reports whether a name fits a pattern; none fits one that is wrong.
func Match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
