package transfer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jarvisops/jarvis/checks/calendar"
	"github.com/jarvisops/jarvis/checks/nagios"
)

// Options say what the files do not.
type Options struct {
	From   string // the host on which the plugins are, as Jarvis calls it; "": the one of the tree that is 127.0.0.1, or else "nagios"
	NoMail bool   // there is a configuration, and no server in it takes mails: contacts that are told by mail would not be right
}

// Result is what was made of a tree.
type Result struct {
	YAML   []byte
	Notes  []Note // what is not carried over as it was, by file and line
	Counts Counts
}

// Counts are of what there was, and of what became of it.
type Counts struct {
	Files      int `json:"files"`
	Hosts      int `json:"hosts"`
	Services   int `json:"services"` // each host counted
	Tasks      int `json:"tasks"`
	Attributes int `json:"attributes"`
	Carried    int `json:"carried"`
	Without    int `json:"without_meaning"` // they mean nothing here, as icon_image
	Overridden int `json:"overridden"`      // another value counts there too
	Listed     int `json:"listed"`          // the notes tell of them
}

// carrier makes definitions of a tree.
type carrier struct {
	*ledger
	tree   *nagios.Tree
	from   string
	noMail bool
	// calendars are what was made of timeperiods, by their names there; broken says why nothing can be made of some.
	calendars map[string]calendar.Def
	broken    map[string]string
	unit      time.Duration // interval_length
	entries   []*entry
	hosts     *names
	groups    *names
	periods   *names
	tasks     *names
	people    *names
	pairs     []*pair
	made      []*task
	mailed    map[string]bool // contacts that can be told
	cut       map[string]bool // parents that would lead round, by host and parent
	leftOut   map[*nagios.Object]bool
	idle      map[string][]*nagios.Object // commands that nothing runs, by file
	// serviceVars are the macros $_SERVICE…$ that commands name.
	serviceVars map[string]bool
}

// FromNagios makes definitions of what Nagios or Icinga 1 had in its files. The error is that of ctx, when that is
// over.
func FromNagios(ctx context.Context, t *nagios.Tree, o Options) (Result, error) {
	c := &carrier{ledger: newLedger(), tree: t, hosts: newNames(), groups: newNames(), periods: newNames(), tasks: newNames("host"), people: newNames(), mailed: map[string]bool{}, cut: map[string]bool{}, leftOut: map[*nagios.Object]bool{}, idle: map[string][]*nagios.Object{}, serviceVars: map[string]bool{}}
	for _, o := range t.Objects {
		for _, a := range o.Attrs {
			for _, p := range nagios.Pieces(a.Value) {
				c.serviceVars[p.Macro] = true
			}
		}
	}
	c.settings()
	c.from, c.noMail = c.plugins(o.From), o.NoMail
	c.readPeriods()
	c.cutParents()
	c.makeHosts()
	for _, stage := range []func(){func() { c.makeTasks(ctx) }, c.makeContacts, c.makeActions, c.escalate, c.makePeriods} {
		if stage(); ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
	}
	for _, f := range t.Faults {
		c.note(f.Pos, "fault", f.Text, "")
	}
	c.outside()
	counts := c.account()
	head := "made by `jarvis check import nagios`. Edit it as any other file of checks.dir: the old files are not read again.\n"
	return Result{write(head, c.entries), c.sorted(), counts}, nil
}

// outside lists what was read from elsewhere than the folder that was to be read: of a copy, people take all for the
// other machine's.
func (c *carrier) outside() {
	for _, o := range c.tree.Outside() {
		files, do := "1 file", "copy it there too if another machine's is meant"
		if n := len(o.Files); n > 1 {
			files = fmt.Sprintf("%d files", n)
		}
		if o.Own {
			do = ""
		}
		c.note(o.Pos, o.Path, fmt.Sprintf("it stands outside of %s, and was read (%s)", c.tree.Root(), files), do)
	}
}

// settings reads what of nagios.cfg changes what is checked.
func (c *carrier) settings() {
	c.unit = time.Minute
	if a, ok := c.tree.Setting("interval_length"); ok {
		switch d, wrong := seconds(a.Value); {
		case d > longestUnit:
			c.note(a.Pos, "interval_length="+clip(a.Value), "it is more than a day", "60 was taken")
		case wrong == "":
			c.unit = d
		default:
			c.note(a.Pos, "interval_length="+clip(a.Value), wrong, "60 was taken")
		}
	}
	off := map[string]string{
		"enable_notifications": "nobody was told anything there; here the actions tell", "execute_service_checks": "no service was checked there; here they are",
		"execute_host_checks": "no host was checked there; here they are", "enable_flap_detection": "",
	}
	var rest []string
	for _, a := range c.tree.Settings {
		why, known := off[a.Name]
		switch {
		case known && a.Value == "0" && why != "":
			c.note(a.Pos, a.Name+"=0", why, "take out of the file what is not wanted")
		case known, a.Name == "interval_length", a.Name == "service_check_timeout", a.Name == "use_regexp_matching", a.Name == "use_true_regexp_matching":
		default:
			rest = append(rest, a.Name)
		}
	}
	if len(rest) > 0 {
		slices.Sort(rest)
		c.note(c.tree.Settings[0].Pos, "settings of the daemon", "they are about Nagios itself, and were not read: "+strings.Join(slices.Compact(rest), ", "), "")
	}
}

// plugins gives the host on which the plugins are.
func (c *carrier) plugins(said string) string {
	if said != "" {
		return said
	}
	for _, h := range c.tree.Of("host") {
		if a := addressOf(h); a == "localhost" || strings.HasPrefix(a, "127.") || a == "::1" {
			name := c.hosts.give(h.Name(), h.Name())
			c.note(h.Pos, "host "+h.Name(), "plugins run on it, which is the server of Nagios", "give it the address at which Jarvis reaches that server, or say --from HOST")
			return name
		}
	}
	if len(c.tree.Services()) > 0 {
		c.note(nagios.Pos{File: c.tree.Files[0]}, "the server of Nagios", "plugins that look at hosts from outside run on it, and the files do not name it", "call it nagios in ~/.ssh/config or in hosts, or say --from HOST")
	}
	return "nagios"
}

// makeHosts carries hosts over.
func (c *carrier) makeHosts() {
	groups := map[string][]string{}
	for _, g := range c.tree.Of("hostgroup") {
		name := c.groups.give(g.Name(), g.Name())
		c.renamed(g, "hostgroup", g.Name(), name)
		for _, h := range c.tree.Members("hostgroup", g.Name()) {
			groups[h] = append(groups[h], name)
		}
		c.take(g, "hostgroup_name", "members", "hostgroup_members")
	}
	all := c.tree.Of("host")
	for _, h := range all {
		c.hosts.give(h.Name(), h.Name())
	}
	for _, h := range all {
		e := &entry{kind: "hosts", pos: h.Pos}
		name := c.hosts.give(h.Name(), h.Name())
		c.renamed(h, "host", h.Name(), name)
		e.set("name", name)
		c.take(h, "host_name", "hostgroups")
		c.address(h, e, name)
		e.set("groups", groups[h.Name()])
		c.parents(h, e)
		c.alive(h, e)
		c.entries = append(c.entries, e)
	}
	c.sameForAll(all, "check_interval", "retry_interval", "max_check_attempts")
}

func (c *carrier) renamed(o *nagios.Object, kind, from, to string) {
	if from != to {
		c.note(o.Pos, kind+" "+from, "a name here is of letters, digits, dots, dashes and underscores", "it is called "+to+" now")
	}
}

// address carries where a host is reached: by its name, where it has none.
func (c *carrier) address(h *nagios.Object, e *entry, name string) {
	a, given := h.Get("address")
	switch {
	case strings.ContainsFunc(addressOf(h), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		if given {
			c.list("address", a, "it is no address", "write [user@]host[:port] as address of the host "+name)
		}
		return
	case addressOf(h) != name:
		e.set("address", addressOf(h))
	}
	c.take(h, "address")
}

// take marks attributes as carried over.
func (c *carrier) take(o *nagios.Object, names ...string) {
	for _, n := range names {
		if v, ok := o.Get(n); ok {
			c.mark(carried, v)
		}
	}
}

func (c *carrier) parents(h *nagios.Object, e *entry) {
	v, ok := h.Get("parents")
	if !ok {
		return
	}
	c.mark(carried, v)
	e.set("parents", c.parentsOf(h, v))
}

// alive says how it is known that a host is up.
func (c *carrier) alive(h *nagios.Object, e *entry) {
	v, ok := h.Get("check_command")
	active, _ := h.Get("active_checks_enabled")
	how := "none"
	if ok && v.Text != "" && active.Text != "0" {
		how = c.aliveBy(h, v)
	}
	e.set("alive", how)
	c.mark(carried, v)
	c.mark(carried, active)
}

// aliveBy guesses from what the check_command runs. What it does not know becomes ping, with a note.
func (c *carrier) aliveBy(h *nagios.Object, v nagios.Value) string {
	call := nagios.ParseCall(v.Text)
	cmd := c.tree.Find("command", call.Command)
	if cmd == nil {
		c.list("check_command", v, "there is no command "+call.Command, "ping is taken; see alive in docs/howto/checks.md")
		return "ping"
	}
	c.take(cmd, "command_name", "command_line")
	p := &pair{Service: nagios.Service{Object: h, Host: h}, host: h.Name(), call: call, command: cmd}
	c.line(p, nil)
	line := strings.NewReplacer(`"$JARVIS_ADDRESS"`, addressOf(h)).Replace(p.line)
	for _, plugin := range []string{"check_ping", "check_icmp", "check_fping", "check_host", "check-host-alive"} {
		if strings.Contains(line, plugin) {
			return "ping"
		}
	}
	if strings.Contains(line, "check_ssh") {
		return "ssh"
	}
	if list, err := words(line); err == nil && strings.Contains(line, "check_tcp") {
		for i, w := range list {
			if port, ok := strings.CutPrefix(w, "-p"); ok {
				if port == "" && i+1 < len(list) {
					port = list[i+1]
				}
				if n, err := strconv.Atoi(port); err == nil && n > 0 && n < 65536 {
					return "tcp:" + port
				}
			}
		}
	}
	if strings.Contains(line, "check_dummy") {
		return "none"
	}
	c.list("check_command", v, "whether a host is up is asked by ssh, ping, or tcp:PORT here", "ping was taken")
	return "ping"
}

// sameForAll tells of what each host had of its own there, and all have together here.
func (c *carrier) sameForAll(hosts []*nagios.Object, names ...string) {
	for _, name := range names {
		for _, h := range hosts {
			if v, ok := h.Get(name); ok {
				c.list(name, v, "how often and how long hosts are asked is one setting for all", "see checks.host in jarvis.yaml")
			}
		}
	}
}
