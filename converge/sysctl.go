package converge

import (
	"fmt"
	"strings"
)

// Sysctl is a kernel parameter, now and at boot.
type Sysctl struct {
	Key   string // "net.ipv4.ip_forward"; with slashes where a dot is part of a name: "net/ipv4/conf/eth0.100/rp_filter"
	Value string
}

// ID implements Resource.
func (s Sysctl) ID() string { return "sysctl " + s.Key }

// sysctlPath gives where a parameter is below /proc/sys: as in sysctl.d(5), the first separator says which of the two
// it is.
func sysctlPath(key string) string {
	if i := strings.IndexAny(key, "./"); i < 0 || key[i] == '/' {
		return key
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(key)
}

// Plan implements Resource. At boot the last file that sets a parameter counts: what matters is what that says, and not
// that there is a file of ours.
func (s Sysctl) Plan(n *Node) ([]Action, error) {
	if s.Key == "" || strings.ContainsAny(s.Key, " \t\n=\\*") || strings.ContainsAny(s.Value, "\n") || strings.Contains("/"+sysctlPath(s.Key)+"/", "/../") {
		return nil, fmt.Errorf("%s = %q is no kernel parameter", s.Key, s.Value)
	}
	now, err := n.fact("sysctl", sysctlPath(s.Key))
	boot, berr := n.fact("sysctls", "boot")
	if err := first(err, berr); err != nil {
		return nil, err
	}
	plain := strings.NewReplacer("/", ".", "..", ".").Replace(s.Key)
	name, last := "90-"+plain+".conf", "zz-"+plain+".conf"
	same := func(a, b string) bool {
		return strings.Join(strings.Fields(a), " ") == strings.Join(strings.Fields(b), " ")
	}
	set, by, at := "", "", "" // what counts, and in which file
	for _, l := range strings.Split(boot.text, "\n") {
		base, rest, _ := strings.Cut(l, " ")
		file, line, _ := strings.Cut(rest, " ")
		k, v, ok := strings.Cut(line, "=")
		if ok && sysctlPath(strings.TrimSpace(k)) == sysctlPath(s.Key) {
			set, by, at = v, base, file
		}
	}
	var out []Action
	if by == "" || !same(set, s.Value) {
		switch {
		case by > last:
			return nil, fmt.Errorf("%s sets it to %s, and is read after whatever we could write; take it out there", at, strings.TrimSpace(set))
		case by > name:
			name = last
		}
		file, text := "/etc/sysctl.d/"+name, s.Key+" = "+s.Value+"\n"
		was := ""
		if at == file {
			was = s.Key + " =" + set + "\n"
		}
		out = append(out, Action{Desc: "write " + file, Diff: Diff(was, text), Script: writeFile(file, text, access{})})
	}
	if !same(now.text, s.Value) {
		out = append(out, Action{Desc: "set " + s.Key, Diff: "-" + now.text + "\n+" + s.Value + "\n", Script: "sysctl -q -w " + quote(s.Key+"="+s.Value)})
	}
	return out, nil
}
