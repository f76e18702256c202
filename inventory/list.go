package inventory

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/fleet"
)

// readPlain reads `[user@]host[:port] [address]`, one a line. The host may be several, as in web[1-20].
func (l *List) readPlain(src string) error {
	seen := map[string]int{}
	n, named := 0, 0
	for text := range strings.Lines(src) {
		n++
		text, _, _ = strings.Cut(text, "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		if len(words) > 2 {
			l.note(n, "ignored: a host and its address stand on a line, and no more")
			continue
		}
		names, err := fleet.Expand(words[0])
		if err != nil {
			l.note(n, "ignored: %v", err)
			continue
		}
		if len(names) > 1 && len(words) == 2 {
			l.note(n, "ignored: one address for %d hosts", len(names))
			continue
		}
		if named += len(names); named > maxNamed { // each that is left out is told
			return namedTooMany(n)
		}
		for _, w := range names {
			h := Host{Line: n}
			if user, rest, ok := strings.Cut(w, "@"); ok {
				h.User, w = user, rest
			}
			h.Name, h.Port = hostPort(w)
			if len(words) == 2 {
				h.Addr = words[1]
			}
			key := strings.ToLower(h.Name)
			if seen[key] > 0 {
				l.note(n, "ignored: %s stands on line %d already", h.Name, seen[key])
				continue
			}
			seen[key] = n
			if err := l.add(h); err != nil {
				return err
			}
		}
	}
	return nil
}

func namedTooMany(line int) error {
	return &SyntaxError{line, fmt.Sprintf("the file names more than %d hosts, with those that it names again; split it", maxNamed)}
}

// hostPort takes a port off a name: host:22, [2001:db8::1]:22. An address without brackets has none.
func hostPort(w string) (string, int) {
	if _, err := netip.ParseAddr(w); err == nil {
		return w, 0
	}
	if host, port, err := net.SplitHostPort(w); err == nil {
		if p, err := strconv.Atoi(port); err == nil && p > 0 {
			return host, p
		}
		return w, 0
	}
	return strings.Trim(w, "[]"), 0
}

// readKnownHosts reads sshd(8)'s format. Its lines about one host are one host with several keys.
func (l *List) readKnownHosts(src string) error {
	var hosts []*Host
	byName := map[string]*Host{}
	hashed, n := []int{}, 0
	for text := range strings.Lines(src) {
		n++
		f := strings.Fields(text)
		switch {
		case len(f) == 0 || strings.HasPrefix(f[0], "#"):
			continue
		case strings.HasPrefix(f[0], "@"):
			l.note(n, "ignored: %s is about keys of many hosts, and of none by name; keep it in the server's known_hosts", f[0])
			continue
		case strings.HasPrefix(f[0], "|"):
			hashed = append(hashed, n)
			continue
		case strings.ContainsAny(f[0], "*?!"):
			l.note(n, "ignored: %s is a pattern, and no name", f[0])
			continue
		}
		key, why := knownKey(f)
		if why != "" {
			l.note(n, "ignored: %s", why)
			continue
		}
		h := &Host{Line: n}
		for _, name := range strings.Split(strings.ToLower(f[0]), ",") {
			if old := byName[name]; old != nil {
				h = old
				break
			}
		}
		if h.Line == n {
			hosts = append(hosts, h)
		}
		for _, name := range strings.Split(strings.ToLower(f[0]), ",") {
			if byName[name] == nil {
				byName[name] = h
				bare, port := hostPort(name)
				h.Port = cmp.Or(h.Port, port) // the first that a name has
				h.Also = append(h.Also, bare)
			}
		}
		if !slices.Contains(h.Keys, key) {
			h.Keys = append(h.Keys, key)
		}
	}
	if len(hashed) > 0 {
		l.note(hashed[0], "ignored: %s hashed, and nobody can read a name out of a hash; `ssh-keyscan` or another inventory names the hosts", count(len(hashed), "line is", "lines are"))
	}
	for _, h := range hosts {
		h.named()
		if err := l.add(*h); err != nil {
			return err
		}
	}
	return nil
}

// named gives a host of known_hosts its longest name, and its first address to be reached at.
func (h *Host) named() {
	for _, name := range h.Also {
		if _, err := netip.ParseAddr(name); err == nil {
			if h.Addr == "" {
				h.Addr = name
			}
		} else if len(name) > len(h.Name) {
			h.Name = name
		}
	}
	if h.Name == "" {
		h.Name, h.Addr = h.Addr, ""
	}
}

// knownKey gives the key of a line in known_hosts, as authorized_keys has it, or why it is not taken.
func knownKey(f []string) (key, why string) {
	if len(f) < 3 {
		return "", "a host, a type and a key belong there"
	}
	b, err := base64.StdEncoding.DecodeString(f[2])
	if err != nil {
		return "", "the key is not base64"
	}
	k, err := gossh.ParsePublicKey(b)
	switch {
	case err != nil || k.Type() != f[1]:
		return "", "the key is not of the type " + f[1]
	case k.Type() == "ssh-dss":
		return "", "OpenSSH takes DSA keys no longer"
	}
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(k))), ""
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
