package converge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Mount is a file system that is mounted, now and at boot.
type Mount struct {
	Path    string
	Device  string // as in fstab(5)
	Type    string
	Options string // "defaults" if empty
	Absent  bool   // not mounted, and in fstab no more
}

// ID implements Resource.
func (m Mount) ID() string { return "mount " + m.Path }

// Plan implements Resource.
func (m Mount) Plan(n *Node) ([]Action, error) {
	if err := checkPath(m.Path); err != nil {
		return nil, err
	}
	options := m.Options
	if options == "" {
		options = "defaults"
	}
	for _, f := range []string{m.Path, m.Device, m.Type, options} {
		if strings.ContainsAny(f, " \t\n#") || f == "" && !m.Absent {
			return nil, fmt.Errorf("%q does not fit into fstab", f)
		}
	}
	tab, err := n.text("cat", "/etc/fstab")
	now, nerr := n.fact("mounts", "now")
	if err := first(err, nerr); err != nil {
		return nil, err
	}
	want := strings.Join([]string{m.Device, m.Path, m.Type, options, "0", "0"}, " ")
	var lines []string
	found, changes, other := false, false, "" // other: the line of another device
	for _, l := range strings.Split(strings.TrimSuffix(tab, "\n"), "\n") {
		f := strings.Fields(l)
		if len(f) > 1 && f[1] == m.Path && !strings.HasPrefix(f[0], "#") {
			if m.Absent || found {
				continue
			}
			found = true
			if len(f) < 3 || f[0] != m.Device || f[2] != m.Type {
				other = l
			}
			if strings.Join(f[:min(len(f), 4)], " ") != strings.Join([]string{m.Device, m.Path, m.Type, options}, " ") {
				changes = true
				l = want
			}
		}
		lines = append(lines, l)
	}
	if !found && !m.Absent {
		lines = append(lines, want)
	}
	text := strings.TrimPrefix(strings.Join(lines, "\n")+"\n", "\n")
	mounted, is := false, "" // with these options; what is mounted last is on top
	for _, l := range strings.Split(now.text, "\n") {
		if f := strings.Fields(l); len(f) > 3 && f[1] == m.Path {
			mounted, is = true, f[3]
		}
	}
	change := ""
	var out []Action
	switch {
	case m.Absent || !mounted:
	case other != "": // by what is mounted now, fstab said
		out = append(out, Action{Desc: "unmount " + m.Path, Have: other, Want: m.Device + " " + m.Type, Diff: "-" + other + "\n", Script: "umount -- " + quote(m.Path)})
		mounted = false
	case changes || optionsDiffer(options, is):
		// First: when it cannot be, fstab is as before, and the next run sees it.
		change = "mount -o " + quote("remount,rw,suid,dev,exec,"+options) + " -- " + quote(m.Device) + " " + quote(m.Path) + " || exit\n"
		if text == tab {
			out = append(out, Action{Desc: "mount " + m.Path + " with other options", Diff: "-" + is + "\n+" + options + "\n", Script: strings.TrimSuffix(change, " || exit\n")})
		}
	}
	if text != tab && (tab != "" || !m.Absent) {
		n.will("cat", "/etc/fstab", text)
		out = append(out, Action{Desc: "edit /etc/fstab", Diff: Diff(tab, text), Script: change + writeFile("/etc/fstab", text, access{}) + reloadUnits("/etc/fstab")})
	}
	switch {
	case m.Absent && mounted:
		out = append(out, Action{Desc: "unmount " + m.Path, Have: "mounted", Want: "not mounted", Script: "umount -- " + quote(m.Path)})
	case !m.Absent && !mounted:
		out = append(out, Action{Desc: "mount " + m.Path, Have: "not mounted", Want: "mounted", Script: makeDir(m.Path) + "mount -- " + quote(m.Path)})
	}
	return out, nil
}

// optionsDiffer compares the options that are wanted with those that the kernel tells. It does not tell all, and has
// names and sizes of its own for some: what it does not tell is taken for so.
func optionsDiffer(want, is string) bool {
	flags := map[string]bool{"ro": false, "nosuid": false, "nodev": false, "noexec": false, "noatime": false, "nodiratime": false}
	values := map[string]string{}
	for _, o := range strings.Split(want, ",") {
		k, v, has := strings.Cut(o, "=")
		switch o {
		case "defaults":
			flags["ro"], flags["nosuid"], flags["nodev"], flags["noexec"] = false, false, false, false
		case "user", "users":
			flags["nosuid"], flags["nodev"], flags["noexec"] = true, true, true
		case "owner", "group":
			flags["nosuid"], flags["nodev"] = true, true
		case "rw":
			flags["ro"] = false
		case "suid", "dev", "exec", "atime", "diratime":
			flags["no"+o] = false
		default:
			if _, known := flags[o]; known {
				flags[o] = true
			} else if has {
				values[k] = v
			}
		}
	}
	now := strings.Split(is, ",")
	for f, on := range flags {
		if slices.Contains(now, f) != on {
			return true
		}
	}
	for _, o := range now {
		k, v, _ := strings.Cut(o, "=")
		w, wanted := values[k]
		a, aok := size(v)
		b, bok := size(w)
		if wanted && aok && bok && a != b {
			return true
		}
	}
	return false
}

// size reads a number as mount options have them: 2m, 2048k.
func size(s string) (uint64, bool) {
	unit := uint64(1)
	if i := strings.IndexByte("kmgt", (strings.ToLower(s) + " ")[max(len(s)-1, 0)]); i >= 0 {
		unit <<= 10 * (i + 1)
		s = s[:len(s)-1]
	}
	v, err := strconv.ParseUint(strings.TrimLeft(s, "0")+"0", 10, 64) // 0700 is 700
	return v / 10 * unit, err == nil && s != ""
}
