package remote

import (
	"strconv"
	"strings"
	"time"
)

// StartScript lets tests play a connection that breaks while a job is being started.
const StartScript = startScript

// PollScript lets tests see what one look at a job sends.
const PollScript = pollScript

// Said gives what `ssh -G` prints: the names of keys and agents as they are written, the rest as it counts.
func (c *SSHConfig) Said(name, user string) (map[string][]string, error) {
	h, err := c.Host(name, user)
	if err != nil {
		return nil, err
	}
	t := &taken{first: map[string]configLine{}}
	if err := c.round(t, name, false); err != nil {
		return nil, err
	}
	if c.final {
		if err := c.round(t, name, true); err != nil {
			return nil, err
		}
	}
	out := map[string][]string{"hostname": {h.HostName}, "port": {h.Port}, "user": {h.User}, "identityfile": t.identities, "certificatefile": t.certs}
	if len(t.identities) == 0 {
		for _, n := range append(usualKeys[:len(usualKeys):len(usualKeys)], "id_xmss", "id_dsa") { // which nobody has any more
			out["identityfile"] = append(out["identityfile"], "~/.ssh/"+n)
		}
	}
	out["identitiesonly"] = []string{map[bool]string{true: "yes", false: "no"}[h.IdentitiesOnly]}
	out["addressfamily"] = []string{map[string]string{"tcp": "any", "tcp4": "inet", "tcp6": "inet6"}[h.Network]}
	out["connecttimeout"] = []string{"none"}
	if h.ConnectTimeout > 0 {
		out["connecttimeout"] = []string{strconv.Itoa(int(h.ConnectTimeout.Seconds()))}
	}
	command := t.first["proxycommand"].rest
	if isNone(command) {
		command = ""
	}
	for k, v := range map[string]string{"hostkeyalias": h.HostKeyAlias, "proxyjump": h.ProxyJump, "identityagent": c.tilde(t.word("identityagent")), "proxycommand": command} {
		if v != "" {
			out[k] = []string{v}
		}
	}
	n := 2
	if l, named := t.first["userknownhostsfile"]; named {
		n = len(l.args)
	}
	out["userknownhostsfile"] = []string{strings.Join(h.KnownHosts[:n], " ")}
	out["globalknownhostsfile"] = []string{strings.Join(h.KnownHosts[n:], " ")}
	return out, nil
}

// QuickIdle sets how long a shell stays open that nobody uses.
func QuickIdle(c *Client, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quickIdle = d
}
