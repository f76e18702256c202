package transfer

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/jarvisops/jarvis/checks/nagios"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// pair is one service on one host, on its way to be a check.
type pair struct {
	nagios.Service
	host    string // as it is called here
	desc    string
	call    nagios.Call
	command *nagios.Object

	line     string            // for sh
	vars     map[string]string // of the service, that differ between hosts
	hostVars map[string]string
	here     bool // it runs on the host itself, and not on the server of Nagios
	timeout  string
	set      settings
	task     *task
}

// simple values mean the same whether a shell takes them apart or not.
var simple = pattern.New(`^[A-Za-z0-9_./:%@,+=-]+$`)

// quotable values mean the same in quotes, which they stand in there too.
var quotable = pattern.New("^[^'\"`$\\\\\\x00-\\x1f]*$")

// lines makes the line of each pair of one description and command. What differs between them becomes a variable where
// it can be one.
func (c *carrier) lines(pairs []*pair) {
	holes := c.holes(pairs)
	for _, p := range pairs {
		c.line(p, holes)
	}
}

// holes says which macros of these pairs are to be variables, by their names there and here: those of hosts, and what
// differs between the services. Where a value could be taken apart by the shell it is written into the line, as Nagios
// does.
func (c *carrier) holes(pairs []*pair) map[string]string {
	type seen struct {
		unquoted bool
		values   map[string]bool
	}
	found := map[string]*seen{}
	for _, p := range pairs {
		var q quoting
		bare := bareBySSH(p.commandLine())
		for i, piece := range nagios.Pieces(p.commandLine()) {
			if piece.Macro == "" {
				for _, r := range piece.Text {
					q.step(r)
				}
				continue
			}
			value, of := c.value(p, piece.Macro)
			if of == 0 {
				continue
			}
			s := found[piece.Macro]
			if s == nil {
				s = &seen{values: map[string]bool{}}
				found[piece.Macro] = s
			}
			s.values[value] = true
			s.unquoted = s.unquoted || q.in == 0 || bare[i]
		}
	}
	out := map[string]string{}
	for macro, s := range found {
		name, isHost := c.varName(macro)
		fits := true
		for v := range s.values {
			fits = fits && (simple.MatchString(v) || !s.unquoted && quotable.MatchString(v))
		}
		if fits && (isHost || len(s.values) > 1) {
			out[macro] = name
		}
	}
	return out
}

// bareBySSH says which pieces of a line are macros that a second shell finds outside of quotes: that of check_by_ssh
// -C, which the quotes around its command do not reach.
func bareBySSH(line string) map[int]bool {
	if !strings.Contains(line, "check_by_ssh") {
		return nil
	}
	pieces, bare := nagios.Pieces(line), map[int]bool{}
	var b strings.Builder
	for i, piece := range pieces {
		switch {
		case piece.Macro == "":
			b.WriteString(piece.Text)
		case i < maxHoles:
			bare[i] = true
			b.WriteRune(hole + rune(i))
		default:
			bare[i] = true
		}
	}
	list, err := words(b.String())
	if err != nil {
		return bare
	}
	for _, word := range list {
		var q quoting
		for _, r := range word {
			if r < hole || r >= hole+maxHoles {
				q.step(r)
			} else if q.in != 0 {
				delete(bare, int(r-hole))
			}
		}
	}
	return bare
}

// commandLine is the line of the command that the service names.
func (p *pair) commandLine() string {
	if p.command == nil {
		return ""
	}
	return p.command.Text("command_line")
}

// varName gives what a macro is called as a variable here.
func (c *carrier) varName(macro string) (name string, host bool) {
	switch {
	case macro == "HOSTALIAS":
		return "host_alias", true
	case strings.HasPrefix(macro, "_HOST"):
		of := strings.TrimPrefix(macro, "_HOST")
		if name = identifier(of); c.serviceVars["_SERVICE"+of] || strings.HasPrefix(name, "arg") {
			name = "host_" + name
		}
		return name, true
	case strings.HasPrefix(macro, "_SERVICE"):
		return identifier(strings.TrimPrefix(macro, "_SERVICE")), false
	}
	return strings.ToLower(macro), false
}

var notInVars = pattern.New(`[^a-z0-9_]+`)

// identifier makes the name of a variable from that of a macro.
func identifier(s string) string {
	return notInVars.ReplaceAllString(strings.ToLower(s), "_")
}

// value gives a macro that may be a variable. of is 'h' for one of the host, 's' for one of the service, 0 for any
// other.
func (c *carrier) value(p *pair, macro string) (value string, of byte) {
	switch {
	case macro == "HOSTALIAS":
		if v, ok := p.Host.Get("alias"); ok {
			c.mark(carried, v)
			return v.Text, 'h'
		}
		return p.Host.Name(), 'h'
	case strings.HasPrefix(macro, "_HOST"):
		v, _ := p.Host.Get("_" + strings.TrimPrefix(macro, "_HOST"))
		c.mark(carried, v)
		return v.Text, 'h'
	case strings.HasPrefix(macro, "_SERVICE"):
		v, _ := p.Get("_" + strings.TrimPrefix(macro, "_SERVICE"))
		c.mark(carried, v)
		return v.Text, 's'
	case strings.HasPrefix(macro, "ARG"):
		n := argNumber(macro)
		if n == 0 || n > len(p.call.Args) {
			return "", 0
		}
		return c.argument(p, p.call.Args[n-1]), 's'
	}
	return "", 0
}

// line makes the command of a pair.
func (c *carrier) line(p *pair, holes map[string]string) {
	p.vars, p.hostVars = map[string]string{}, map[string]string{}
	var names []string
	at := func(name string) string {
		for i, n := range names {
			if n == name {
				return string(hole + rune(i))
			}
		}
		names = append(names, name)
		return string(hole + rune(len(names)-1))
	}
	var b strings.Builder
	for _, piece := range nagios.Pieces(p.commandLine()) {
		name := holes[piece.Macro]
		switch {
		case piece.Macro == "":
			b.WriteString(piece.Text)
		case name != "" && len(names) < maxHoles-2:
			value, of := c.value(p, piece.Macro)
			if of == 'h' {
				p.hostVars[name] = value
			} else {
				p.vars[name] = value
			}
			b.WriteString(at("JARVIS_VAR_" + name))
		case piece.Macro == "HOSTADDRESS":
			b.WriteString(at("JARVIS_ADDRESS"))
		case piece.Macro == "HOSTNAME" && p.host == p.Host.Name():
			b.WriteString(at("JARVIS_HOST"))
		default:
			b.WriteString(c.literal(p, piece.Macro))
		}
	}
	c.place(p, strings.TrimSpace(b.String()), func(i int) string { return names[i] })
}

// literal gives the text of a macro, as Nagios would put it into the line.
func (c *carrier) literal(p *pair, macro string) string {
	if v, of := c.value(p, macro); of != 0 {
		return v
	}
	name, of, _ := strings.Cut(macro, ":")
	host := p.Host
	if of != "" {
		host = c.tree.Find("host", of)
	}
	switch {
	case strings.HasPrefix(macro, "USER"):
		if a, ok := c.tree.User(macro); ok {
			if !strings.HasPrefix(a.Value, "/") {
				c.note(a.Pos, "$"+macro+"$", "its value stands in commands of the new file now", "if it is a secret, keep that file from others as this one was")
			}
			return a.Value
		}
		c.note(p.Object.Pos, "$"+macro+"$ in "+p.Name(), "no resource file defines it", "copy the resource file too, or write the value into the task")
	case name == "HOSTADDRESS" && host != nil:
		return addressOf(host)
	case name == "HOSTNAME" && host != nil:
		return host.Name()
	case name == "SERVICEDESC" && of == "":
		return p.Name()
	case name == "SERVICEDISPLAYNAME" && of == "":
		return cmp.Or(p.Text("display_name"), p.Name())
	case name == "HOSTDISPLAYNAME" && host != nil:
		return cmp.Or(host.Text("display_name"), host.Name())
	case name == "HOSTALIAS" && host != nil:
		return cmp.Or(host.Text("alias"), host.Name())
	case argNumber(macro) > 0: // one that the service does not give is empty there too
	case strings.HasPrefix(macro, "ARG"):
		c.note(lineOf(p.command, "command_line"), "$"+macro+"$ in "+p.call.Command, "Nagios has $ARG1$ to $ARG32$; it was left empty", "look at the task's command")
	default:
		c.note(p.command.Pos, "$"+macro+"$ in "+p.call.Command, "it is known only while Nagios runs; it was left empty", "look at the task's command")
	}
	return ""
}

// argument fills in the macros of an argument: Nagios does that before it fills in the line. An argument in an
// argument means nothing.
func (c *carrier) argument(p *pair, arg string) string {
	var b strings.Builder
	for _, piece := range nagios.Pieces(arg) {
		switch {
		case piece.Macro == "":
			b.WriteString(piece.Text)
		case strings.HasPrefix(piece.Macro, "ARG"):
			c.note(lineOf(p.Object, "check_command"), "$"+piece.Macro+"$ in check_command of "+p.Name(), "an argument within an argument means nothing; it was left empty", "write into check_command what is meant, or look at the task's command")
		default:
			b.WriteString(c.literal(p, piece.Macro))
		}
	}
	return b.String()
}

// argNumber gives the number of $ARG1$ to $ARG32$; 0: it is none of them.
func argNumber(macro string) int {
	text, arg := strings.CutPrefix(macro, "ARG")
	if n, err := strconv.Atoi(text); arg && err == nil && n > 0 && n <= 32 {
		return n
	}
	return 0
}

// lineOf is where an attribute of an object stands.
func lineOf(o *nagios.Object, name string) nagios.Pos {
	if v, ok := o.Get(name); ok {
		return v.Pos()
	}
	return o.Pos
}

// addressOf is where a host is reached.
func addressOf(h *nagios.Object) string { return cmp.Or(h.Text("address"), h.Name()) }
