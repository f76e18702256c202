package transfer

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"time"
)

// place says where a check runs: what Nagios had run over SSH is run on the host itself, all else where its plugins
// are.
func (c *carrier) place(p *pair, line string, name func(int) string) {
	if remote, limit, ok := c.bySSH(p, line, name); ok {
		p.here = true
		if limit > 0 {
			p.timeout = duration(c.atMostADay(p.command.Pos, "check_by_ssh -t", limit))
		}
		// There the address is not known to the environment: what is about the host itself is written out.
		p.line = fill(remote, name)
		var pairs []string
		for _, v := range [][2]string{{"JARVIS_ADDRESS", addressOf(p.Host)}, {"JARVIS_HOST", p.Host.Name()}} {
			for _, form := range []string{`"$%s"`, `"${%s}"`, "$%s", "${%s}"} {
				pairs = append(pairs, fmt.Sprintf(form, v[0]), v[1])
			}
		}
		p.line = strings.NewReplacer(pairs...).Replace(p.line)
		for v := range p.vars { // one that said which host it is, or how it is reached
			if !strings.Contains(p.line, "JARVIS_VAR_"+v) {
				delete(p.vars, v)
			}
		}
		return
	}
	p.line = fill(line, name)
}

// written fills in what the variables of a pair stand for.
func (p *pair) written(word string, name func(int) string) string {
	var b strings.Builder
	for _, r := range word {
		if r < hole || r >= hole+maxHoles {
			b.WriteRune(r)
			continue
		}
		switch v := name(int(r - hole)); v {
		case "JARVIS_ADDRESS":
			b.WriteString(addressOf(p.Host))
		case "JARVIS_HOST":
			b.WriteString(p.Host.Name())
		default:
			v = strings.TrimPrefix(v, "JARVIS_VAR_")
			b.WriteString(cmp.Or(p.vars[v], p.hostVars[v]))
		}
	}
	return b.String()
}

// bySSH gives what stands after -C of check_by_ssh, where that is all that it says, of the host itself.
func (c *carrier) bySSH(p *pair, line string, name func(int) string) (remote string, limit time.Duration, ok bool) {
	list, err := words(line)
	if err != nil || len(list) == 0 || path.Base(list[0]) != "check_by_ssh" {
		return "", 0, false
	}
	for i := 1; i < len(list); i++ {
		flag, value, long := strings.Cut(list[i], "=")
		if !strings.HasPrefix(flag, "-") {
			return "", 0, false
		}
		next := func() string {
			switch {
			case long:
				return value
			case !strings.HasPrefix(flag, "--") && len(flag) > 2:
				v := flag[2:]
				flag = flag[:2]
				return v
			case i+1 < len(list):
				i++
				return list[i]
			}
			return ""
		}
		if !strings.HasPrefix(flag, "--") && long {
			flag, long = list[i], false // a short flag has no =
		}
		short := flag
		if !strings.HasPrefix(flag, "--") && len(flag) > 2 {
			short = flag[:2]
		}
		switch short {
		case "-H", "--hostname":
			if v := p.written(next(), name); v != addressOf(p.Host) && v != p.Host.Name() {
				c.note(p.command.Pos, "check_by_ssh -H "+clip(v)+" in "+p.call.Command, "it is not the host that the check is about, "+p.Host.Name(),
					"it is run as it was, with its own SSH; or write a task that runs on "+clip(v)+" (from) without check_by_ssh")
				return "", 0, false
			}
		case "-C", "--command":
			if remote != "" {
				return "", 0, false
			}
			remote = next()
		case "-t", "--timeout":
			text := next()
			number, _, _ := strings.Cut(text, ":") // what a timeout counts as may stand after it
			var wrong string
			if limit, wrong = seconds(number); wrong != "" {
				c.note(p.command.Pos, "check_by_ssh "+short+" "+clip(text), wrong, c.checkTimeout()+" was taken")
			}
		case "-l", "--logname":
			c.note(p.command.Pos, "check_by_ssh -l "+next(), "Jarvis has one connection to a host, with one login", "write USER@ADDRESS as address of the hosts, or let Jarvis's key into its own login there")
		case "-i", "--identity", "-o", "--ssh-option", "-p", "--port", "-F", "--configfile":
			c.note(p.command.Pos, "check_by_ssh "+short+" "+next(), "Jarvis reaches hosts in its own way", "write a port as host:port into the host's address; keys are in docs/howto/import.md")
		case "-E", "--skip-stderr", "-S", "--skip-stdout", "-q", "--quiet", "-4", "-6", "-1", "-2", "-f", "--fork", "--use-ipv4", "--use-ipv6", "-v", "--verbose":
		default:
			return "", 0, false
		}
	}
	return remote, limit, remote != ""
}
