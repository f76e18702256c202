package converge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// User is an account of the host itself.
type User struct {
	Name   string
	Absent bool     // it shall not be there; its home stays
	UID    int      // 0: any
	Group  string   // primary; "": as useradd does
	Groups []string // more groups it shall be in; others stay
	Home   string   // "": as useradd does
	Shell  string   // "": as useradd does
	System bool     // an account of a service: with a low number, and no home is made
}

// ID implements Resource.
func (u User) ID() string { return "user " + u.Name }

// line gives the fields of an entry of /etc/passwd or /etc/group; nil when there is none.
func (n *Node) line(file, name string) ([]string, error) {
	text, err := n.text("cat", file)
	if err != nil {
		return nil, err
	}
	for _, l := range strings.Split(text, "\n") {
		if f := strings.Split(l, ":"); f[0] == name && len(f) > 3 {
			return f, nil
		}
	}
	return nil, nil
}

// Plan implements Resource.
func (u User) Plan(n *Node) ([]Action, error) {
	if err := checkName("user", u.Name); err != nil {
		return nil, err
	}
	for _, g := range append([]string{u.Group}, u.Groups...) {
		if g == "" {
			continue
		}
		if err := checkName("group", g); err != nil {
			return nil, err
		}
	}
	have, err := n.line("/etc/passwd", u.Name)
	groups, gerr := n.text("cat", "/etc/group")
	if err := first(err, gerr); err != nil {
		return nil, err
	}
	for _, g := range append([]string{u.Group}, u.Groups...) {
		_, made := n.texts[fact{"group", g}]
		if g != "" && !u.Absent && !made && !strings.Contains("\n"+groups, "\n"+g+":") {
			return nil, fmt.Errorf("there is no group %s; want it before the user", g)
		}
	}
	name := quote(u.Name)
	if u.Absent {
		if have == nil {
			return nil, nil
		}
		return []Action{{Desc: "remove the user " + u.Name, Script: "userdel " + name}}, nil
	}
	flags := ""
	add := func(flag, value string) { flags += " " + flag + " " + quote(value) }
	if have == nil {
		if u.UID != 0 {
			add("-u", strconv.Itoa(u.UID))
		}
		if u.Group != "" {
			add("-g", u.Group)
		}
		if u.Home != "" {
			add("-d", u.Home)
		}
		if u.Shell != "" {
			add("-s", u.Shell)
		}
		if len(u.Groups) > 0 {
			add("-G", strings.Join(u.Groups, ","))
		}
		home := " -m"
		if u.System {
			home = " -r"
		}
		return []Action{{Desc: "create the user " + u.Name, Script: "useradd" + home + flags + " " + name}}, nil
	}
	var diff []string
	differs := func(what, flag, is, want string) {
		if want != "" && is != want {
			add(flag, want)
			diff = append(diff, fmt.Sprintf("-%s: %s\n+%[1]s: %[3]s\n", what, is, want))
		}
	}
	if u.UID != 0 {
		differs("uid", "-u", have[2], strconv.Itoa(u.UID))
	}
	if len(have) > 6 {
		differs("home", "-d", have[5], u.Home)
		differs("shell", "-s", have[6], u.Shell)
	}
	var missing []string
	for _, g := range u.Groups {
		if _, made := n.texts[fact{"group", g}]; made {
			missing = append(missing, g)
		}
	}
	for _, l := range strings.Split(groups, "\n") {
		f := strings.Split(l, ":")
		if len(f) > 3 && f[0] == u.Group && f[2] != have[3] {
			add("-g", u.Group)
			diff = append(diff, fmt.Sprintf("+group: %s\n", u.Group))
		}
		if len(f) > 3 && slices.Contains(u.Groups, f[0]) && !slices.Contains(strings.Split(f[3], ","), u.Name) {
			missing = append(missing, f[0])
		}
	}
	if len(missing) > 0 {
		flags += " -a -G " + quote(strings.Join(missing, ","))
		diff = append(diff, "+groups: "+strings.Join(missing, ", ")+"\n")
	}
	if flags == "" {
		return nil, nil
	}
	return []Action{{Desc: "change the user " + u.Name, Diff: strings.Join(diff, ""), Script: "usermod" + flags + " " + name}}, nil
}

// Group is a group of the host itself.
type Group struct {
	Name   string
	Absent bool
	GID    int // 0: any
	System bool
}

// ID implements Resource.
func (g Group) ID() string { return "group " + g.Name }

// Plan implements Resource.
func (g Group) Plan(n *Node) ([]Action, error) {
	if err := checkName("group", g.Name); err != nil {
		return nil, err
	}
	have, err := n.line("/etc/group", g.Name)
	if err != nil {
		return nil, err
	}
	name := quote(g.Name)
	switch {
	case g.Absent && have != nil:
		return []Action{{Desc: "remove the group " + g.Name, Script: "groupdel " + name}}, nil
	case g.Absent:
		return nil, nil
	case have == nil:
		n.will("group", g.Name, "made")
		flags := ""
		if g.GID != 0 {
			flags += fmt.Sprintf(" -g %d", g.GID)
		}
		if g.System {
			flags += " -r"
		}
		return []Action{{Desc: "create the group " + g.Name, Script: "groupadd" + flags + " " + name}}, nil
	case g.GID != 0 && have[2] != strconv.Itoa(g.GID):
		return []Action{{Desc: "change the group " + g.Name, Diff: fmt.Sprintf("-gid: %s\n+gid: %d\n", have[2], g.GID), Script: fmt.Sprintf("groupmod -g %d %s", g.GID, name)}}, nil
	}
	return nil, nil
}
