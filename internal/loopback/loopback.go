// Package loopback says whether a host is this machine: what goes there crosses no network, so a password or token may
// go in clear. Only localhost and addresses count, not what a name is like: 127.example.org is anywhere.
package loopback

import "net/netip"

// Is reports whether a host, as url.URL.Hostname gives it, is this machine.
func Is(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}
