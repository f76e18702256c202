package model

import (
	"fmt"
	"strconv"
	"strings"
)

// Alive is how it is known whether a host is up.
type Alive struct {
	By   AliveBy
	Port string // of ByTCP
}

// AliveBy is a way to know it.
type AliveBy int

// The ways. BySSH is no question of its own: whoever runs something on the host finds out. ByNothing: nobody knows.
const (
	BySSH AliveBy = iota
	ByPing
	ByTCP
	ByNothing
)

// ParseAlive reads what `alive` of a host says; "" is ssh.
func ParseAlive(text string) (Alive, error) {
	switch text {
	case "", "ssh":
		return Alive{}, nil
	case "ping":
		return Alive{By: ByPing}, nil
	case "none":
		return Alive{By: ByNothing}, nil
	}
	if port, ok := strings.CutPrefix(text, "tcp:"); ok {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			return Alive{By: ByTCP, Port: port}, nil
		}
	}
	return Alive{}, fmt.Errorf("alive is %q; it is ssh, ping, tcp:PORT as in tcp:443, or none", text)
}

// Asked reports whether the host is asked by the clock, beside its checks.
func (a Alive) Asked() bool { return a.By == ByPing || a.By == ByTCP }

// AliveOf gives how it is known whether a host is up; it was checked.
func (c *Catalog) AliveOf(host string) Alive {
	a, _ := ParseAlive(c.Hosts[host].Alive)
	return a
}
