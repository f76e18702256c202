package ssh

import (
	"context"
	"net"
	"strconv"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/remote"
)

// Target says how a host of the record is reached: by its address and login, and only if it proves itself by one of the
// keys that its run learned (lines of authorized_keys form).
func (w *Worker) Target(ip string, login clipboard.Login, hostkeys []string) (remote.Target, error) {
	keys, err := parseKeys(hostkeys)
	if err != nil {
		return remote.Target{}, err
	}
	login = w.over(login)
	return w.target(net.JoinHostPort(ip, strconv.Itoa(login.Port)), login.User, keys), nil
}

// Known says how a host is reached that no run made: the server's known_hosts, or what the caller knows, vouches for
// it.
func (w *Worker) Known(addr, user string, hostkeys []string) (remote.Target, error) {
	keys, err := parseKeys(hostkeys)
	if err != nil {
		return remote.Target{}, err
	}
	t := w.target(addr, user, nil)
	t.HostKeys = remote.FirstOf{known{w}, remote.Pinned(keys)}
	return t, nil
}

// ForgetKeys takes what known_hosts holds for a host out of it.
func (w *Worker) ForgetKeys(ctx context.Context, host, fqdn, ip string, login clipboard.Login) error {
	login = w.over(login)
	return w.remember(ctx, clipboard.Instance{Hostname: host, FQDN: fqdn}, net.JoinHostPort(ip, strconv.Itoa(login.Port)), nil)
}
