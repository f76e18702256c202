package ssh

import (
	"net"
	"strconv"

	"github.com/jarvisops/jarvis/remote"
)

// Target says how a host of the record is reached: by its address, and only if it proves itself by one of the keys that
// its run learned (lines of authorized_keys form).
func (w *Worker) Target(ip string, hostkeys []string) (remote.Target, error) {
	keys, err := parseKeys(hostkeys)
	if err != nil {
		return remote.Target{}, err
	}
	return w.target(net.JoinHostPort(ip, strconv.Itoa(w.cfg.Port)), keys), nil
}

// Known says how a host is reached that no run made: the server's known_hosts, or what the caller knows, vouches for it.
func (w *Worker) Known(addr, user string, hostkeys []string) (remote.Target, error) {
	keys, err := parseKeys(hostkeys)
	if err != nil {
		return remote.Target{}, err
	}
	t := w.target(addr, nil)
	t.User = user
	t.HostKeys = remote.FirstOf{remote.NewKnownHosts(w.cfg.KnownHosts), remote.Pinned(keys)}
	return t, nil
}
