package remote

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// holds reports whether a block counts for a host, by what is known so far.
func (c *SSHConfig) holds(b configBlock, t *taken, name string, final bool) (bool, error) {
	if b.host != nil {
		return patterns(b.host, name), nil
	}
	host, err := c.hostName(t, name)
	if err != nil {
		return false, err
	}
	for i := 0; i < len(b.match); i++ {
		key, arg, given := strings.Cut(b.match[i], "=")
		key = strings.ToLower(key)
		negated := strings.HasPrefix(key, "!")
		key = strings.TrimPrefix(key, "!")
		if !given && key != "all" && key != "canonical" && key != "final" {
			if i++; i == len(b.match) {
				return false, fmt.Errorf("the line Match %s says nothing to compare with", key)
			}
			arg = b.match[i]
		}
		list := strings.Split(arg, ",")
		ok := false
		switch key {
		case "all":
			ok = true
		case "canonical", "final":
			ok = final
		case "host":
			ok = patterns(list, host)
		case "originalhost":
			ok = patterns(list, name)
		case "user":
			ok = patterns(list, cmp.Or(t.word("user"), c.me))
		case "localuser":
			ok = patterns(list, c.me)
		case "localnetwork":
			if ok, err = localNetwork(list); err != nil {
				return false, err
			}
		case "tagged":
			ok = patterns(list, t.word("tag"))
		case "exec":
			if ok, err = c.matchExec(t, arg, name, host); err != nil {
				return false, err
			}
		default:
			return false, fmt.Errorf("the line Match %s is not supported", key)
		}
		if ok == negated {
			return false, nil
		}
	}
	return true, nil
}

// localNetwork reports whether an address of this machine is in a list of networks, as in 192.0.2.0/24 (ssh_config(5),
// of OpenSSH 9.4).
func localNetwork(list []string) (bool, error) {
	mine, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("see this machine's addresses: %w", err)
	}
	yes := false
	for _, p := range list {
		network, err := netip.ParsePrefix(strings.TrimPrefix(p, "!"))
		if err != nil {
			return false, fmt.Errorf("the line Match localnetwork has %q, which is no network as in 192.0.2.0/24", p)
		}
		for _, a := range mine {
			own, err := netip.ParsePrefix(a.String())
			if err != nil || own.Addr().IsLoopback() || !network.Contains(own.Addr().Unmap()) {
				continue
			}
			if strings.HasPrefix(p, "!") {
				return false, nil
			}
			yes = true
		}
	}
	return yes, nil
}

// patterns matches a pattern list of ssh_config(5).
func patterns(list []string, s string) bool {
	yes := false
	for _, p := range list {
		negated := strings.HasPrefix(p, "!")
		if wildcard(strings.TrimPrefix(p, "!"), s) {
			if negated {
				return false
			}
			yes = true
		}
	}
	return yes
}

// execs keeps what the commands of Match lines answered: with a thousand hosts, each is run once for what it is given.
type execs struct {
	mu   sync.Mutex
	said map[string]bool
}

// matchTime bounds a command of a Match line.
const matchTime = 10 * time.Second

// matchExec runs the command of a Match line, as ssh does: the file is the user's own, or root's.
func (c *SSHConfig) matchExec(t *taken, command, name, host string) (bool, error) {
	h := HostConfig{HostName: host, Port: cmp.Or(t.word("port"), "22"), User: cmp.Or(t.word("user"), c.me)}
	line, err := c.tokens(t, h, name).percent(command, "Match exec")
	if err != nil {
		return false, err
	}
	if strings.Contains(command, "%r") && !plainUser(h.User) {
		return false, fmt.Errorf("the user %q may not stand in a Match exec", h.User)
	}
	c.execs.mu.Lock()
	defer c.execs.mu.Unlock()
	if ok, known := c.execs.said[line]; known {
		return ok, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), matchTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, cmp.Or(os.Getenv("SHELL"), "/bin/sh"), "-c", line)
	cmd.WaitDelay = time.Second
	ok := cmd.Run() == nil
	if ctx.Err() != nil {
		return false, fmt.Errorf("the command of Match exec, %q, did not end within %s", line, matchTime)
	}
	if c.execs.said == nil {
		c.execs.said = map[string]bool{}
	}
	c.execs.said[line] = ok
	return ok, nil
}
