package checks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/fleet"
)

// Config is the part of jarvis.yaml about checks. What Defs holds may stand in files of their own as well.
type Config struct {
	Dir     string        `yaml:"dir" doc:"folder of more files (*.yaml) with hosts, tasks, … as below; they are read again when they change"`
	Plugins string        `yaml:"plugins" doc:"folder of plugins that are brought to the hosts; a task names one as plugin"`
	Node    string        `yaml:"node" doc:"the name of this server, for host_tasks that name a node" default:"this machine's host name"`
	AtOnce  int           `yaml:"at_once" doc:"checks that run at the same moment, in all" default:"256"`
	PerHost int           `yaml:"per_host" doc:"and on one host; sshd allows 10 sessions on a connection" default:"4"`
	CatchUp string        `yaml:"catch_up" doc:"what was due while this server was down: skip (it is due at its next time) or once (it runs once, now)" default:"skip"`
	Host    HostCheck     `yaml:"host" doc:"when a host counts as down"`
	Gather  time.Duration `yaml:"gather" doc:"notices of the same kind within this time are said in one line" default:"5s"`
	Recent  int           `yaml:"recent" doc:"results of each check that are kept in memory" default:"20"`
	Keep    Keep          `yaml:"keep" doc:"how long things stay on record"`
	Defs    `yaml:",inline"`
}

// HostCheck says when a host counts as down.
type HostCheck struct {
	Attempts int           `yaml:"attempts" doc:"connections in a row that must fail before it is said" default:"2"`
	Retry    time.Duration `yaml:"retry" doc:"time between two connections to a host that is down" default:"30s"`
}

// Keep is the retention.
type Keep struct {
	Results time.Duration `yaml:"results" doc:"every single result" default:"720h"`
	Count   int           `yaml:"count" doc:"and at most so many of each check; 0: any number"`
	Minutes time.Duration `yaml:"minutes" doc:"performance data by five minutes" default:"2160h"`
	Hours   time.Duration `yaml:"hours" doc:"performance data by the hour" default:"17520h"`
	Days    time.Duration `yaml:"days" doc:"performance data by the day" default:"87600h"`
}

// Defs is what is to be checked, where, when, and what follows from it: in jarvis.yaml under checks, in files of checks.dir,
// or by the API and the command line.
type Defs struct {
	Hosts     []Host          `yaml:"hosts" json:"hosts" doc:"hosts that are not on record, or belong to groups"`
	Tasks     []Task          `yaml:"tasks" json:"tasks" doc:"what is run"`
	Schedules []NamedSchedule `yaml:"schedules" json:"schedules" doc:"schedules that tasks share"`
	HostTasks []HostTask      `yaml:"host_tasks" json:"host_tasks" doc:"which tasks run on which hosts"`
	Actions   []Action        `yaml:"actions" json:"actions" doc:"what follows from results; without one that notifies, problems are said in the first channel"`
	Contacts  []Contact       `yaml:"contacts" json:"contacts" doc:"who is told"`
	Nodes     []Node          `yaml:"nodes" json:"nodes" doc:"the servers that share the checks"`
}

// Host is a machine that checks run on.
type Host struct {
	Name    string   `yaml:"name" json:"name" doc:"what people call it"`
	Address string   `yaml:"address,omitempty" json:"address,omitempty" doc:"[user@]host[:port]; empty: by its name, as it is on record or in ~/.ssh/config"`
	Groups  []string `yaml:"groups,omitempty" json:"groups,omitempty" doc:"groups it belongs to; host_tasks name one as @group"`
}

// Task is a command, or a plugin that is brought to the host.
type Task struct {
	Name     string            `yaml:"name" json:"name" doc:"what people call it"`
	Command  string            `yaml:"command,omitempty" json:"command,omitempty" doc:"a line for sh on the host"`
	Plugin   string            `yaml:"plugin,omitempty" json:"plugin,omitempty" doc:"instead of command: a file in checks.plugins, which is brought to the host once"`
	Args     []string          `yaml:"args,omitempty" json:"args,omitempty" doc:"arguments of the plugin, as they are: no shell reads them"`
	Env      map[string]string `yaml:"env,omitempty" json:"env,omitempty" doc:"environment; whoever may list processes on the host can read it"`
	Sudo     bool              `yaml:"sudo,omitempty" json:"sudo,omitempty" doc:"run it as root, by sudo without a password"`
	From     string            `yaml:"from,omitempty" json:"from,omitempty" doc:"run it on this host instead, about each host; JARVIS_HOST and JARVIS_ADDRESS in its environment say which"`
	Timeout  time.Duration     `yaml:"timeout,omitempty" json:"timeout,omitempty" doc:"it is ended after so long, and UNKNOWN" default:"30s"`
	Expect   Expect            `yaml:"expect,omitempty" json:"expect,omitzero" doc:"what makes it OK; empty: its exit code, as Nagios plugins have it (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN)"`
	Schedule string            `yaml:"schedule,omitempty" json:"schedule,omitempty" doc:"when: five or six cron fields (six begin with seconds), TZ=Europe/Berlin before them, @hourly, @every 90s, or the name of a schedule" default:"@every 1m"`
	Jitter   time.Duration     `yaml:"jitter,omitempty" json:"jitter,omitempty" doc:"spreads hosts whose check is due at the same cron time over so long"`
	Attempts int               `yaml:"attempts,omitempty" json:"attempts,omitempty" doc:"problems in a row before one is believed" default:"3"`
	CatchUp  string            `yaml:"catch_up,omitempty" json:"catch_up,omitempty" doc:"skip or once; empty: as checks.catch_up says"`
}

// Expect is what a task must do to be OK.
type Expect struct {
	Exit   []int  `yaml:"exit,omitempty" json:"exit,omitempty" doc:"exit codes that are well; empty with output: 0"`
	Output string `yaml:"output,omitempty" json:"output,omitempty" doc:"regular expression (RE2) that must match the output"`
}

// NamedSchedule is a schedule that tasks name.
type NamedSchedule struct {
	Name string `yaml:"name" json:"name" doc:"what tasks call it"`
	When string `yaml:"when" json:"when" doc:"as schedule of a task"`
}

// HostTask says which tasks run on which hosts.
type HostTask struct {
	Name     string   `yaml:"name,omitempty" json:"name,omitempty" doc:"only for those made by API"`
	Tasks    []string `yaml:"tasks" json:"tasks" doc:"names of tasks, * and ? allowed"`
	Hosts    []string `yaml:"hosts" json:"hosts" doc:"names (web[1-20] too), * and ? for those that are listed or on record, @group, @cluster; a ! before it takes away"`
	Schedule string   `yaml:"schedule,omitempty" json:"schedule,omitempty" doc:"instead of the task's"`
	Attempts int      `yaml:"attempts,omitempty" json:"attempts,omitempty" doc:"instead of the task's"`
	Node     string   `yaml:"node,omitempty" json:"node,omitempty" doc:"the server that runs them; empty: every one that reads this"`
}

// Action is what follows from what a check says.
type Action struct {
	Name     string           `yaml:"name" json:"name" doc:"what people call it"`
	On       []string         `yaml:"on,omitempty" json:"on,omitempty" doc:"problem, change, recovery, flapping, steady, stays; or result: each one" default:"all but stays and result"`
	Stays    int              `yaml:"stays,omitempty" json:"stays,omitempty" doc:"with on: [stays]: at the so-manieth result in a row of the same problem"`
	Tasks    []string         `yaml:"tasks,omitempty" json:"tasks,omitempty" doc:"of these tasks, * and ? allowed; empty: all"`
	Hosts    []string         `yaml:"hosts,omitempty" json:"hosts,omitempty" doc:"on these hosts, as in host_tasks; empty: all"`
	Notify   []string         `yaml:"notify,omitempty" json:"notify,omitempty" doc:"contacts that are told"`
	Task     string           `yaml:"task,omitempty" json:"task,omitempty" doc:"a task to run"`
	TaskHost string           `yaml:"task_host,omitempty" json:"task_host,omitempty" doc:"on this host; empty: on the host of the result"`
	Run      string           `yaml:"run,omitempty" json:"run,omitempty" doc:"a command of this bot, as in redeploy {host}; it has the role deploy"`
	Webhook  clipboard.Secret `yaml:"webhook,omitempty" json:"webhook,omitempty" doc:"URL that is told by POST, as JSON"`
	Graphite string           `yaml:"graphite,omitempty" json:"graphite,omitempty" doc:"host:port that is given every value of the performance data (on: [result])"`
	Prefix   string           `yaml:"prefix,omitempty" json:"prefix,omitempty" doc:"of the names in Graphite" default:"jarvis"`
}

// Contact is somebody who is told.
type Contact struct {
	Name    string `yaml:"name" json:"name" doc:"what actions call it"`
	Person  string `yaml:"person,omitempty" json:"person,omitempty" doc:"one of people: where he spoke to the bot last"`
	Channel string `yaml:"channel,omitempty" json:"channel,omitempty" doc:"a channel or room of chat, as in #ops"`
}

// Node is a server that runs checks.
type Node struct {
	Name string `yaml:"name" json:"name" doc:"its checks.node"`
	URL  string `yaml:"url,omitempty" json:"url,omitempty" doc:"its API, for people who look for it"`
}

// The words of catch_up.
const (
	skip = "skip"
	once = "once"
)

func (c *Config) defaults() {
	number := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	wait := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	number(&c.AtOnce, 256)
	number(&c.PerHost, 4)
	number(&c.Host.Attempts, 2)
	number(&c.Recent, 20)
	wait(&c.Host.Retry, 30*time.Second)
	wait(&c.Gather, 5*time.Second)
	wait(&c.Keep.Results, 30*day)
	wait(&c.Keep.Minutes, 90*day)
	wait(&c.Keep.Hours, 730*day)
	wait(&c.Keep.Days, 3650*day)
	if c.CatchUp == "" {
		c.CatchUp = skip
	}
	if c.Node == "" {
		c.Node, _ = os.Hostname()
	}
}

const day = 24 * time.Hour

// Check says what is wrong with what is written, as one sentence.
func (c *Config) Check() error {
	if c.CatchUp != "" && c.CatchUp != skip && c.CatchUp != once {
		return fmt.Errorf("catch_up is %q; it is skip or once", c.CatchUp)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"host.retry", c.Host.Retry}, {"gather", c.Gather}, {"keep.results", c.Keep.Results}, {"keep.minutes", c.Keep.Minutes}, {"keep.hours", c.Keep.Hours}, {"keep.days", c.Keep.Days}} {
		if d.d < 0 {
			return fmt.Errorf("%s is %s; it can not be negative", d.name, d.d)
		}
	}
	if c.Keep.Results > 0 && c.Keep.Results < time.Hour {
		return fmt.Errorf("keep.results is %s; the roll-ups need an hour", c.Keep.Results)
	}
	all, err := c.load()
	if err != nil {
		return err
	}
	return all.check(c.Plugins)
}

// load gives what jarvis.yaml and the files of Dir declare together.
func (c *Config) load() (*Defs, error) {
	all := c.Defs.clone()
	if c.Dir == "" {
		return all, nil
	}
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.Dir); err != nil {
		return nil, fmt.Errorf("dir: %w", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var d Defs
		if len(bytes.TrimSpace(b)) > 0 {
			err = readYAML(b, &d)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		all.add(&d)
	}
	return all, nil
}

// readYAML reads a document into a struct; keys that it does not have are errors.
func readYAML(b []byte, into any) error {
	err := yaml.Load(b, into, yaml.WithKnownFields())
	if err == nil {
		return nil
	}
	return errors.New(noField.ReplaceAllString(oneLine(err), `there is no key "$1" here`))
}

var noField = regexp.MustCompile(`field (\S+) not found in type \S+`)

func oneLine(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "construct errors: ")), " ")
}

func (d *Defs) clone() *Defs {
	var out Defs
	out.add(d)
	return &out
}

func (d *Defs) add(o *Defs) {
	d.Hosts = append(d.Hosts, o.Hosts...)
	d.Tasks = append(d.Tasks, o.Tasks...)
	d.Schedules = append(d.Schedules, o.Schedules...)
	d.HostTasks = append(d.HostTasks, o.HostTasks...)
	d.Actions = append(d.Actions, o.Actions...)
	d.Contacts = append(d.Contacts, o.Contacts...)
	d.Nodes = append(d.Nodes, o.Nodes...)
}

// Kinds of definitions, as the API and tables call them.
const (
	KindHost     = "host"
	KindTask     = "task"
	KindSchedule = "schedule"
	KindHostTask = "host_task"
	KindAction   = "action"
	KindContact  = "contact"
	KindNode     = "node"
)

// Kinds in the order in which people read them.
var Kinds = []string{KindHost, KindTask, KindSchedule, KindHostTask, KindAction, KindContact, KindNode}

// hostTask is the name of the check that a host answers at all; no task may have it.
const hostTask = "host"

var defName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// check says what is wrong in a sentence. What is on record is not known here.
func (d *Defs) check(plugins string) error {
	seen := map[string]bool{}
	unique := func(kind, name string) error {
		if !defName.MatchString(name) {
			return fmt.Errorf("a %s is called %q; a name is of letters, digits, dots, dashes and underscores", kind, name)
		}
		if seen[kind+" "+name] {
			return fmt.Errorf("there are two %ss called %s", kind, name)
		}
		seen[kind+" "+name] = true
		return nil
	}
	for _, h := range d.Hosts {
		if err := unique(KindHost, h.Name); err != nil {
			return err
		}
		for _, g := range h.Groups {
			if !defName.MatchString(g) {
				return fmt.Errorf("host %s: %q is no name of a group", h.Name, g)
			}
		}
	}
	for _, s := range d.Schedules {
		if err := unique(KindSchedule, s.Name); err != nil {
			return err
		}
		if _, err := ParseSchedule(s.When, 0); err != nil {
			return fmt.Errorf("schedule %s: %w", s.Name, err)
		}
	}
	for _, t := range d.Tasks {
		if err := unique(KindTask, t.Name); err != nil {
			return err
		}
		if err := d.checkTask(&t, plugins); err != nil {
			return fmt.Errorf("task %s: %w", t.Name, err)
		}
	}
	for _, c := range d.Contacts {
		if err := unique(KindContact, c.Name); err != nil {
			return err
		}
		if (c.Person == "") == (c.Channel == "") {
			return fmt.Errorf("contact %s names a person or a channel", c.Name)
		}
	}
	for _, n := range d.Nodes {
		if err := unique(KindNode, n.Name); err != nil {
			return err
		}
	}
	for i, ht := range d.HostTasks {
		label := ht.label()
		if ht.Name != "" {
			if err := unique(KindHostTask, ht.Name); err != nil {
				return err
			}
		}
		if len(ht.Tasks) == 0 || len(ht.Hosts) == 0 {
			return fmt.Errorf("host_tasks: entry %d must name tasks and hosts", i+1)
		}
		for _, t := range ht.Tasks {
			if err := glob(t); err != nil {
				return fmt.Errorf("host_tasks (%s): %w", label, err)
			}
			if !slices.ContainsFunc(d.Tasks, func(x Task) bool { return match(t, x.Name) }) {
				return fmt.Errorf("host_tasks (%s): there is no task %s", label, t)
			}
		}
		for _, h := range ht.Hosts {
			if err := checkHostWord(h); err != nil {
				return fmt.Errorf("host_tasks (%s): %w", label, err)
			}
		}
		if ht.Schedule != "" {
			if _, err := d.schedule(ht.Schedule, 0); err != nil {
				return fmt.Errorf("host_tasks (%s): %w", label, err)
			}
		}
		if ht.Attempts < 0 {
			return fmt.Errorf("host_tasks (%s): attempts is negative", label)
		}
	}
	for _, a := range d.Actions {
		if err := unique(KindAction, a.Name); err != nil {
			return err
		}
		if err := d.checkAction(&a); err != nil {
			return fmt.Errorf("action %s: %w", a.Name, err)
		}
	}
	return nil
}

func (ht *HostTask) label() string {
	if ht.Name != "" {
		return ht.Name
	}
	return strings.Join(ht.Tasks, ", ") + " on " + strings.Join(ht.Hosts, ", ")
}

func (d *Defs) checkTask(t *Task, plugins string) error {
	switch {
	case t.Name == hostTask:
		return errors.New("this name is taken: it is the check whether a host answers at all")
	case (t.Command == "") == (t.Plugin == ""):
		return errors.New("it has either a command or a plugin")
	case t.Command != "" && len(t.Args) > 0:
		return errors.New("args are for a plugin; a command has them in its line")
	case t.Timeout < 0 || t.Jitter < 0 || t.Attempts < 0:
		return errors.New("timeout, jitter and attempts can not be negative")
	case t.Timeout > day:
		return fmt.Errorf("its timeout %s is more than a day", t.Timeout)
	case t.CatchUp != "" && t.CatchUp != skip && t.CatchUp != once:
		return fmt.Errorf("catch_up is %q; it is skip or once", t.CatchUp)
	case t.Plugin != "" && (t.Plugin != path.Base(t.Plugin) || strings.HasPrefix(t.Plugin, ".")):
		return fmt.Errorf("plugin is %q; it is the name of a file in checks.plugins", t.Plugin)
	}
	if t.Plugin != "" {
		if plugins == "" {
			return errors.New("it has a plugin, and checks.plugins names no folder")
		}
		if st, err := os.Stat(filepath.Join(plugins, t.Plugin)); err != nil {
			return err
		} else if !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
			return fmt.Errorf("%s is no program that may be run", filepath.Join(plugins, t.Plugin))
		}
	}
	for k, v := range t.Env {
		if !envName.MatchString(k) || strings.ContainsRune(v, 0) {
			return fmt.Errorf("env: %q is no name of a variable", k)
		}
	}
	if _, err := regexp.Compile(t.Expect.Output); err != nil {
		return fmt.Errorf("expect.output: %w", err)
	}
	_, err := d.schedule(t.Schedule, t.Jitter)
	return err
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

const everyMinute = "@every 1m"

// schedule finds one by name, or parses it.
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

// What an action may follow on, beside the transitions.
const (
	onStays  = "stays"
	onResult = "result"
)

func (d *Defs) checkAction(a *Action) error {
	ons := []string{string(Problem), string(Change), string(Recovery), string(Flaps), string(Steady), onStays, onResult}
	for _, on := range a.On {
		if !slices.Contains(ons, on) {
			return fmt.Errorf("on is %q; there are %s", on, strings.Join(ons, ", "))
		}
	}
	does := 0
	for _, yes := range []bool{len(a.Notify) > 0, a.Task != "", a.Run != "", a.Webhook != "", a.Graphite != ""} {
		if yes {
			does++
		}
	}
	if does != 1 {
		return errors.New("it does one thing: notify, task, run, webhook or graphite")
	}
	each := slices.Contains(a.On, onResult)
	switch {
	case slices.Contains(a.On, onStays) != (a.Stays > 0):
		return errors.New("on: [stays] and stays: NUMBER go together")
	case (a.Graphite != "") != each:
		return errors.New("on: [result] and graphite go together: nothing else should happen as often")
	case a.TaskHost != "" && a.Task == "":
		return errors.New("task_host is for a task")
	case a.Prefix != "" && (a.Graphite == "" || !defName.MatchString(a.Prefix)):
		return errors.New("prefix is the beginning of names in Graphite, as in jarvis")
	}
	if a.Webhook != "" && !strings.HasPrefix(string(a.Webhook), "https://") && !strings.HasPrefix(string(a.Webhook), "http://") {
		return errors.New("webhook is no https:// URL")
	}
	for _, n := range a.Notify {
		if !slices.ContainsFunc(d.Contacts, func(c Contact) bool { return c.Name == n }) {
			return fmt.Errorf("there is no contact %s", n)
		}
	}
	if a.Task != "" && !slices.ContainsFunc(d.Tasks, func(t Task) bool { return t.Name == a.Task }) {
		return fmt.Errorf("there is no task %s", a.Task)
	}
	for _, t := range a.Tasks {
		if err := glob(t); err != nil {
			return err
		}
	}
	for _, h := range a.Hosts {
		if err := checkHostWord(h); err != nil {
			return err
		}
	}
	return nil
}

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
			if err := glob(n); err != nil {
				return err
			}
		} else if !defName.MatchString(n) {
			return fmt.Errorf("%q is no name of a host", n)
		}
	}
	return nil
}

func glob(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return fmt.Errorf("%q is no pattern", pattern)
	}
	return nil
}

func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
