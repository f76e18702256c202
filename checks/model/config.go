package model

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/checks/calendar"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Config is the part of jarvis.yaml about checks. What Defs holds may stand in files of their own as well.
type Config struct {
	Dir     string        `yaml:"dir" path:"relative" doc:"folder of more files (*.yaml) with hosts, tasks, … as below; they are read again when they change"`
	Plugins string        `yaml:"plugins" path:"relative" doc:"folder of plugins that are brought to the hosts; a task names one as plugin"`
	Node    string        `yaml:"node" doc:"the name of this server, for host_tasks that name a node; of several servers on one database each must have its own node.name here" default:"node.name"`
	AtOnce  int           `yaml:"at_once" doc:"checks that run at the same moment, in all" default:"256"`
	PerHost int           `yaml:"per_host" doc:"and on one host; sshd allows 10 sessions on a connection" default:"4"`
	CatchUp string        `yaml:"catch_up" doc:"what was due while this server was down: skip (it is due at its next time) or once (it runs once, now)" default:"skip"`
	Host    HostCheck     `yaml:"host" doc:"when a host counts as down"`
	Gather  time.Duration `yaml:"gather" doc:"notices of the same kind within this time are said in one line" default:"5s"`
	Recent  int           `yaml:"recent" doc:"results of each check that are kept in memory" default:"20"`
	Keep    Keep          `yaml:"keep" doc:"how long things stay on record"`
	File    string        `yaml:"-"` // jarvis.yaml itself, to say where something stands; "": it is not known
	Defs    `yaml:",inline"`
}

// HostCheck says when a host counts as down.
type HostCheck struct {
	Attempts int           `yaml:"attempts" doc:"connections in a row that must fail before people are told" default:"2"`
	Retry    time.Duration `yaml:"retry" doc:"time between two connections to a host that is down" default:"30s"`
	Every    time.Duration `yaml:"every" doc:"time between two questions to a host with alive: ping or tcp:PORT" default:"1m"`
}

// Keep is the retention.
type Keep struct {
	Results time.Duration `yaml:"results" doc:"every single result" default:"720h"`
	Count   int           `yaml:"count" doc:"and at most so many of each check; 0: any number"`
	Minutes time.Duration `yaml:"minutes" doc:"performance data by five minutes" default:"2160h"`
	Hours   time.Duration `yaml:"hours" doc:"performance data by the hour" default:"17520h"`
	Days    time.Duration `yaml:"days" doc:"performance data by the day" default:"87600h"`
	States  time.Duration `yaml:"states" doc:"when each check was OK and when not, and the downtimes, for reports" default:"17520h"`
}

// Defs is what is to be checked, where, when, and what follows from it: in jarvis.yaml under checks, in files of
// checks.dir, or by the API and the command line.
type Defs struct {
	Hosts     []Host              `yaml:"hosts" json:"hosts" doc:"hosts that are not on record, or belong to groups"`
	Tasks     []Task              `yaml:"tasks" json:"tasks" doc:"what is run"`
	Schedules []NamedSchedule     `yaml:"schedules" json:"schedules" doc:"schedules that tasks share"`
	Periods   []calendar.Def      `yaml:"periods" json:"periods" doc:"times of people, as office hours, that tasks, actions and contacts name as period"`
	HostTasks []HostTask          `yaml:"host_tasks" json:"host_tasks" doc:"which tasks run on which hosts"`
	Downtimes []RecurringDowntime `yaml:"downtimes" json:"downtimes" doc:"times that come again and again, in which nothing is told of some checks"`
	Actions   []Action            `yaml:"actions" json:"actions" doc:"what follows from results; without one that notifies, problems are said in the first channel"`
	Contacts  []Contact           `yaml:"contacts" json:"contacts" doc:"who is told"`
	Nodes     []Node              `yaml:"nodes" json:"nodes" doc:"the servers that share the checks"`

	places map[string][]Place // by kind and index, where each stands; nil: it is not known
}

// Host is a machine that checks run on.
type Host struct {
	Name     string            `yaml:"name" json:"name" doc:"what people call it"`
	Address  string            `yaml:"address,omitempty" json:"address,omitempty" doc:"[user@]host[:port]; empty: by its name, as it is on record or in ~/.ssh/config"`
	Use      string            `yaml:"use,omitempty" json:"use,omitempty" doc:"a host from which this one takes what it does not say itself"`
	Template bool              `yaml:"template,omitempty" json:"template,omitempty" doc:"it is no host, and only there to be used by others"`
	Groups   []string          `yaml:"groups,omitempty" json:"groups,omitempty" doc:"groups it belongs to; host_tasks name one as @group"`
	Silo     string            `yaml:"silo,omitempty" json:"silo,omitempty" doc:"the silo it stands in: it is checked by a server of that silo, or through an agent of it (docs/howto/agent.md); empty: by any. A host on record is where its clipboard says"`
	Vars     map[string]string `yaml:"vars,omitempty" json:"vars,omitempty" doc:"variables of tasks on this host; they count before those of host_tasks and tasks"`
	Alive    string            `yaml:"alive,omitempty" json:"alive,omitempty" doc:"how it is known whether it is up: ssh (whoever runs a check on it finds out), ping, tcp:PORT, or none (nobody knows)" default:"ssh"`
	Parents  []string          `yaml:"parents,omitempty" json:"parents,omitempty" doc:"hosts by which it is reached, as a gateway: while all of them are down nothing is said of it"`
}

// Task is a command, or a plugin that is brought to the host.
type Task struct {
	Name     string            `yaml:"name" json:"name" doc:"what people call it"`
	Use      string            `yaml:"use,omitempty" json:"use,omitempty" doc:"a task from which this one takes what it does not say itself; env and vars are put together"`
	Template bool              `yaml:"template,omitempty" json:"template,omitempty" doc:"it is never run, and only there to be used by others"`
	Command  string            `yaml:"command,omitempty" json:"command,omitempty" doc:"a line for sh on the host"`
	Plugin   string            `yaml:"plugin,omitempty" json:"plugin,omitempty" doc:"instead of command: a file in checks.plugins, which is brought to the host once"`
	Args     []string          `yaml:"args,omitempty" json:"args,omitempty" doc:"arguments of the plugin, as they are: no shell reads them; with from, $JARVIS_HOST and $JARVIS_ADDRESS in them stand for the host that is checked, $JARVIS_VAR_name for a variable"`
	Vars     map[string]string `yaml:"vars,omitempty" json:"vars,omitempty" doc:"variables, where neither the host nor the host_task sets them; a command has them in its environment, as in \"$JARVIS_VAR_warn\" for warn"`
	Env      map[string]string `yaml:"env,omitempty" json:"env,omitempty" doc:"environment; whoever may list processes on the host can read it"`
	Sudo     bool              `yaml:"sudo,omitempty" json:"sudo,omitempty" doc:"run it as root, by sudo without a password"`
	From     string            `yaml:"from,omitempty" json:"from,omitempty" doc:"run it on this host instead, about each host; JARVIS_HOST and JARVIS_ADDRESS in its environment say which"`
	Timeout  time.Duration     `yaml:"timeout,omitempty" json:"timeout,omitempty" doc:"it is ended after so long, and UNKNOWN" default:"30s"`
	Expect   Expect            `yaml:"expect,omitempty" json:"expect,omitzero" doc:"what makes it OK; empty: its exit code, as Nagios plugins have it (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN)"`
	Schedule string            `yaml:"schedule,omitempty" json:"schedule,omitempty" doc:"when: five or six cron fields (six begin with seconds), TZ=Europe/Berlin before them, @hourly, @every 90s, or the name of a schedule" default:"@every 1m"`
	Period   string            `yaml:"period,omitempty" json:"period,omitempty" doc:"one of periods: it is checked in that time alone; empty: always"`
	Jitter   time.Duration     `yaml:"jitter,omitempty" json:"jitter,omitempty" doc:"spreads hosts whose check is due at the same cron time over so long"`
	Attempts int               `yaml:"attempts,omitempty" json:"attempts,omitempty" doc:"problems in a row before one is believed" default:"3"`
	Retry    time.Duration     `yaml:"retry,omitempty" json:"retry,omitempty" doc:"time to the next run while a problem is not believed yet, where the schedule is later; empty: as the schedule says"`
	CatchUp  string            `yaml:"catch_up,omitempty" json:"catch_up,omitempty" doc:"skip or once; empty: as checks.catch_up says"`
	Depends  []Dependency      `yaml:"depends,omitempty" json:"depends,omitempty" doc:"tasks on the same host, or {task: T, host: H, skip: true}: while one of them is a problem nothing is said of this one, and with skip it is not run"`
	Passive  bool              `yaml:"passive,omitempty" json:"passive,omitempty" doc:"Jarvis runs nothing: results are delivered to it, by POST /v1/checks/HOST/TASK/result or check result"`
	Fresh    time.Duration     `yaml:"fresh,omitempty" json:"fresh,omitempty" doc:"of a passive task: with no result for so long it is UNKNOWN, at once; empty: it may stay away for ever"`
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
	Name     string            `yaml:"name,omitempty" json:"name,omitempty" doc:"only for those made by API, and those that others use"`
	Use      string            `yaml:"use,omitempty" json:"use,omitempty" doc:"a host_task with a name, from which this one takes what it does not say itself"`
	Template bool              `yaml:"template,omitempty" json:"template,omitempty" doc:"it runs nothing, and is only there to be used by others"`
	Tasks    []string          `yaml:"tasks" json:"tasks" doc:"names of tasks, * and ? allowed"`
	Hosts    []string          `yaml:"hosts" json:"hosts" doc:"names (web[1-20] too), * and ? for those that are listed or on record, @group, @cluster; a ! before it takes away"`
	Schedule string            `yaml:"schedule,omitempty" json:"schedule,omitempty" doc:"instead of the task's"`
	Attempts int               `yaml:"attempts,omitempty" json:"attempts,omitempty" doc:"instead of the task's"`
	Vars     map[string]string `yaml:"vars,omitempty" json:"vars,omitempty" doc:"variables of these tasks; those of a host count before them"`
	Node     string            `yaml:"node,omitempty" json:"node,omitempty" doc:"the server that checks these hosts; empty: any that may"`
}

// Action is what follows from what a check says.
type Action struct {
	Name     string           `yaml:"name" json:"name" doc:"what people call it"`
	On       []string         `yaml:"on,omitempty" json:"on,omitempty" doc:"problem, change, recovery, flapping, steady, stays; or result: each one" default:"all but stays and result"`
	Status   []string         `yaml:"status,omitempty" json:"status,omitempty" doc:"only when it is warning, critical or unknown, as these say; and the recovery from what was told so" default:"all"`
	Stays    int              `yaml:"stays,omitempty" json:"stays,omitempty" doc:"with on: [stays]: when the same problem has come so many times in a row, and again after as many more"`
	After    time.Duration    `yaml:"after,omitempty" json:"after,omitempty" doc:"done when a problem was told for so long and is not acknowledged; and at its end, unless on says otherwise"`
	Every    time.Duration    `yaml:"every,omitempty" json:"every,omitempty" doc:"done again so often (1m at least), until the problem is acknowledged or over"`
	Period   string           `yaml:"period,omitempty" json:"period,omitempty" doc:"one of periods: what follows outside of it waits for its begin, and is done if it is still so; empty: always"`
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
	Name    string           `yaml:"name" json:"name" doc:"what actions call it"`
	Person  string           `yaml:"person,omitempty" json:"person,omitempty" doc:"one of people: where they spoke to the bot last"`
	Channel string           `yaml:"channel,omitempty" json:"channel,omitempty" doc:"a channel or room of chat, as in #ops"`
	Mail    string           `yaml:"mail,omitempty" json:"mail,omitempty" doc:"an address, as in alice@example.org; mail.server takes the mails"`
	Command []string         `yaml:"command,omitempty" json:"command,omitempty" doc:"a program of this server and its arguments, as in [/usr/local/bin/sms, \"+491701234567\"]; it is told as JSON on stdin, and by $JARVIS_EVENT and its kin. In files only"`
	Webhook clipboard.Secret `yaml:"webhook,omitempty" json:"webhook,omitempty" doc:"URL that is told by POST, as JSON. In files only"`
	Period  string           `yaml:"period,omitempty" json:"period,omitempty" doc:"one of periods: it is told then, and of what was before only what is still so; empty: always"`
}

// Node is a server that runs checks.
type Node struct {
	Name string `yaml:"name" json:"name" doc:"its checks.node"`
	URL  string `yaml:"url,omitempty" json:"url,omitempty" doc:"its API, for people who look for it"`
}

// The words of catch_up.
const (
	Skip = "skip"
	Once = "once"
)

// Defaults fills in what is not set.
func (c *Config) Defaults() {
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
	wait(&c.Host.Every, time.Minute)
	wait(&c.Gather, 5*time.Second)
	wait(&c.Keep.Results, 30*day)
	wait(&c.Keep.Minutes, 90*day)
	wait(&c.Keep.Hours, 730*day)
	wait(&c.Keep.Days, 3650*day)
	wait(&c.Keep.States, 730*day)
	if c.CatchUp == "" {
		c.CatchUp = Skip
	}
}

const day = 24 * time.Hour

// Load gives what jarvis.yaml and the files of Dir declare together.
func (c *Config) Load() (*Defs, error) { return c.LoadBut(func(string) bool { return false }) }

// LoadBut is Load without the files of Dir that skip names.
func (c *Config) LoadBut(skip func(file string) bool) (*Defs, error) {
	all, broken := c.loadEach(skip)
	if len(broken) > 0 {
		return nil, broken[0]
	}
	return all, nil
}

// loadEach gives what can be read, and what is wrong with the rest.
func (c *Config) loadEach(skip func(file string) bool) (all *Defs, broken []error) {
	all = c.Defs.clone()
	all.placed(c.File, "checks.", true)
	if c.Dir == "" {
		return all, nil
	}
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.yaml"))
	if err != nil {
		return all, []error{err}
	}
	if _, err := os.Stat(c.Dir); err != nil {
		return all, []error{mistake.At("checks.dir", "is %s, which cannot be read: %v", c.Dir, plain.Why(err))}
	}
	for _, f := range files {
		if skip(f) {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			broken = append(broken, &mistake.One{File: f, Msg: "it cannot be read: " + plain.Why(err)})
			continue
		}
		d, err := ReadDefs(b)
		if err != nil {
			broken = append(broken, ones(f, err)...)
			continue
		}
		d.placed(f, "", false)
		all.add(d)
	}
	return all, broken
}

// ReadDefs reads a file of definitions. One that says nothing, as all of it is comments, declares nothing.
func ReadDefs(text []byte) (*Defs, error) {
	var d Defs
	says := false
	for l := range bytes.Lines(text) {
		l = bytes.TrimSpace(l)
		says = says || len(l) > 0 && l[0] != '#'
	}
	if !says {
		return &d, nil
	}
	if err := readYAML(text, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Together gives what both declare.
func Together(a, b *Defs) *Defs {
	out := a.clone()
	out.add(b)
	return out
}

// readYAML reads a document into a struct; keys that it does not have are errors. What is wrong is told with its lines.
func readYAML(b []byte, into any) error {
	err := yaml.Load(b, into, yaml.WithKnownFields())
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case err == nil:
		return zeroByte(reflect.ValueOf(into), "")
	case errors.As(err, &many) && len(many.Errors) > 0:
		var out lineErrors
		for _, e := range many.Errors {
			out = append(out, lineError(e))
		}
		return out
	case errors.As(err, &one):
		return lineError(one)
	}
	return errors.New(OneLine(err))
}

// lineError says what is wrong in a line.
func lineError(e *yaml.LoadError) error {
	msg := e.Message
	switch {
	case noField.MatchString(msg):
		msg = noField.ReplaceAllString(msg, `there is no key "$1" here`)
	case strings.HasPrefix(msg, "cannot construct"):
		msg = "a value is of the wrong kind: " + inWords(msg)
	default:
		msg = "this is not YAML: " + msg
	}
	return &mistake.One{Line: e.Mark.Line, Msg: ": " + strings.Join(strings.Fields(msg), " ")}
}

// lineErrors is several errors in one line.
type lineErrors []error

func (t lineErrors) Error() string {
	var out []string
	for _, err := range t {
		out = append(out, err.Error())
	}
	return strings.Join(out, "; ")
}

// Unwrap gives each of them.
func (t lineErrors) Unwrap() []error { return t }

// inWords says without words of Go what is wrong with a value.
func inWords(message string) string {
	if m := noTime.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%q is no time; write a number with its unit, as in 5s or 5m", m[1])
	}
	return message
}

var noTime = pattern.New("^cannot construct \\S+ `(.*)` into time\\.Duration$")

var noField = pattern.New(`field (\S+) not found in type \S+`)

// OneLine gives what an error says in one line, without the words that the reader of YAML begins with.
func OneLine(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "construct errors: ")), " ")
}

// clone has lists of its own; what the entries point to is shared.
func (d *Defs) clone() *Defs {
	var out Defs
	out.add(d)
	return &out
}

func (d *Defs) add(o *Defs) {
	d.addPlaces(o)
	d.Hosts = append(d.Hosts, o.Hosts...)
	d.Tasks = append(d.Tasks, o.Tasks...)
	d.Schedules = append(d.Schedules, o.Schedules...)
	d.Periods = append(d.Periods, o.Periods...)
	d.Downtimes = append(d.Downtimes, o.Downtimes...)
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
	KindPeriod   = "period"
	KindDowntime = "downtime"
	KindHostTask = "host_task"
	KindAction   = "action"
	KindContact  = "contact"
	KindNode     = "node"
)

// Kinds in the order in which people read them.
var Kinds = []string{KindHost, KindTask, KindSchedule, KindPeriod, KindHostTask, KindDowntime, KindAction, KindContact, KindNode}

// HostAnswers is the name of the check that a host answers at all; no task may have it.
const HostAnswers = "host"
