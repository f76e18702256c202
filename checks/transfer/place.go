package transfer

import (
	"path"
	"strings"
	"time"
)

// place says where a check runs: what Nagios had run over SSH is run on the host itself, all else where its plugins
// are.
func (c *carrier) place(p *pair, line string, name func(int) string) {
	if remote, limit, ok := c.bySSH(p, line); ok {
		p.here = true
		if limit > 0 {
			p.timeout = duration(c.atMostADay(p.command.Pos, "check_by_ssh -t", limit))
		}
		// There the address is not known to the environment: what is about the host itself is written out.
		p.line = fill(remote, name)
		p.line = strings.NewReplacer(`"$JARVIS_ADDRESS"`, addressOf(p.Host), "$JARVIS_ADDRESS", addressOf(p.Host), `"$JARVIS_HOST"`, p.Host.Name(), "$JARVIS_HOST", p.Host.Name()).Replace(p.line)
		return
	}
	p.line = fill(line, name)
}

// bySSH gives what stands after -C of check_by_ssh, where that is all that it says.
func (c *carrier) bySSH(p *pair, line string) (remote string, limit time.Duration, ok bool) {
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
			if v := next(); v != string(hole) && v != addressOf(p.Host) && v != p.Host.Name() && !strings.ContainsRune(v, hole) {
				return "", 0, false // another host
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
