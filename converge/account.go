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
	Group  string   // primary, by name or number; "": as useradd does
	Groups []string // more groups it shall be in; others stay
	// Home: "": as useradd does. When it changes, what is in the old one moves, if that is a folder of the user's own.
	Home   string
	Shell  string // "": as useradd does
	System bool   // an account of a service: with a low number, and no home is made
	// Password is the hash that crypt(5) has ("$y$…", as `mkpasswd` or `openssl passwd -6` gives), or "*" for none that
	// fits. "": as it is, and none that fits for a new user, who is not locked by that: keys open.
	Password string
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
	if err := u.check(); err != nil {
		return nil, err
	}
	var secret reading
	var serr error
	if u.Password != "" && !u.Absent {
		secret, serr = n.fact("shadow", u.Name)
	}
	have, err := n.line("/etc/passwd", u.Name)
	groups, gerr := n.text("cat", "/etc/group")
	if err := first(err, gerr, serr); err != nil {
		return nil, err
	}
	isGroup := func(g string) bool {
		_, made := n.texts[fact{"group", g}]
		return made || slices.ContainsFunc(strings.Split(groups, "\n"), func(l string) bool {
			f := strings.Split(l, ":")
			return len(f) > 3 && (f[0] == g || f[2] == g)
		})
	}
	for _, g := range append([]string{u.Group}, u.Groups...) {
		if g != "" && !u.Absent && !isGroup(g) {
			return nil, fmt.Errorf("there is no group %s; want it before the user", g)
		}
	}
	switch {
	case u.Absent && have == nil:
		return nil, nil
	case u.Absent:
		return []Action{{Desc: "remove the user " + u.Name, Have: isThere, Want: isGone, Script: "userdel " + quote(u.Name)}}, nil
	case have == nil:
		return []Action{u.create(isGroup(u.Name))}, nil
	}
	return u.change(n, have, groups, secret.text), nil
}

// check says what is wrong with the user as it is written.
func (u User) check() error {
	if err := checkName("user", u.Name); err != nil {
		return err
	}
	for _, g := range append([]string{u.Group}, u.Groups...) {
		if g == "" {
			continue
		}
		if err := checkName("group", g); err != nil {
			return err
		}
	}
	if err := checkPassword(u.Password); err != nil {
		return err
	}
	if u.Home == "" {
		return nil
	}
	return checkPath(u.Home)
}

// setPassword goes on after a command that made or changed the user; "" without a password.
func (u User) setPassword() string {
	if u.Password == "" {
		return ""
	}
	return " && printf '%s\\n' " + quote(u.Name+":"+u.Password) + " | chpasswd -e"
}

// flags are those of useradd and usermod, each with its value quoted.
type flags string

func (f *flags) add(flag, value string) { *f += flags(" " + flag + " " + quote(value)) }

// create makes the user. ownGroup: there is a group of their name, which useradd would make, and refuses then.
func (u User) create(ownGroup bool) Action {
	var f flags
	if u.UID != 0 {
		f.add("-u", strconv.Itoa(u.UID))
	}
	switch {
	case u.Group != "":
		f.add("-g", u.Group)
	case ownGroup:
		f.add("-g", u.Name)
	}
	if u.Home != "" {
		f.add("-d", u.Home)
	}
	if u.Shell != "" {
		f.add("-s", u.Shell)
	}
	if len(u.Groups) > 0 {
		f.add("-G", strings.Join(u.Groups, ","))
	}
	home := " -m"
	if u.System {
		home = " -r"
	}
	return Action{Desc: "create the user " + u.Name, Have: isMissing, Want: isThere, Script: "useradd -p '*'" + home + string(f) + " " + quote(u.Name) + u.setPassword()}
}

// change brings the user who is there to what is wanted. have is the line of /etc/passwd, groups is /etc/group, and
// password what /etc/shadow has.
func (u User) change(n *Node, have []string, groups, password string) []Action {
	var f flags
	var diff []string
	move := ""
	differs := func(what, flag, is, want string) {
		if want != "" && is != want {
			f.add(flag, want)
			diff = append(diff, fmt.Sprintf("-%s: %s\n+%[1]s: %[3]s\n", what, is, want))
		}
	}
	if u.UID != 0 {
		differs("uid", "-u", have[2], strconv.Itoa(u.UID))
	}
	if len(have) > 6 {
		if u.Home != "" && have[5] != u.Home {
			move = moveHome(u.Name, u.Home)
			diff = append(diff, fmt.Sprintf("-home: %s\n+home: %s\n", have[5], u.Home))
		}
		differs("shell", "-s", have[6], u.Shell)
	}
	var missing []string
	for _, g := range u.Groups {
		if _, made := n.texts[fact{"group", g}]; made {
			missing = append(missing, g)
		}
	}
	for _, l := range strings.Split(groups, "\n") {
		g := strings.Split(l, ":")
		if len(g) > 3 && (g[0] == u.Group || g[2] == u.Group) && g[2] != have[3] {
			f.add("-g", u.Group)
			diff = append(diff, fmt.Sprintf("+group: %s\n", u.Group))
		}
		if len(g) > 3 && (slices.Contains(u.Groups, g[0]) || slices.Contains(u.Groups, g[2])) && !slices.Contains(strings.Split(g[3], ","), u.Name) {
			missing = append(missing, g[0])
		}
	}
	if len(missing) > 0 {
		f += flags(" -a -G " + quote(strings.Join(missing, ",")))
		diff = append(diff, "+groups: "+strings.Join(missing, ", ")+"\n")
	}
	script := move
	if f != "" {
		script += "usermod" + string(f) + " " + quote(u.Name)
	} else {
		script += "true"
	}
	switch {
	case u.Password != "" && password != u.Password:
		diff = append(diff, "-password: another\n+password: (secret)\n")
		script += u.setPassword()
	case len(diff) == 0:
		return nil
	}
	return []Action{{Desc: "change the user " + u.Name, Diff: strings.Join(diff, ""), Script: script}}
}

// moveHome gives a script that gives a user another home, with what is in the old one. What is not their own stays: a
// service may have been told that /var/lib is its home. usermod notes the new one before it moves, and would leave it
// at that when it cannot.
func moveHome(name, home string) string {
	return `old=$(getent passwd ` + quote(name) + ` | cut -d: -f6) new=` + quote(home) + ` move=
if [ -d "$old" ] && [ ! -L "$old" ] && [ "$(stat -c %U -- "$old")" = ` + quote(name) + ` ]; then
  if [ -e "$new" ] || [ -L "$new" ]; then
    echo "$new is there already, and $old too; move what is in $old by hand, or remove one of them" >&2; exit 1
  fi
  ( ` + makeDir(home[:max(strings.LastIndexByte(home, '/'), 1)]) + `) || exit
  move=-m
fi
usermod $move -d "$new" ` + quote(name) + ` || exit
`
}

// checkPassword refuses what is no hash of a password, as the password itself.
func checkPassword(hash string) error {
	switch {
	case hash == "", strings.Trim(hash, "*!") == "":
		return nil
	case strings.ContainsAny(hash, ":\n \t") || !strings.HasPrefix(strings.TrimLeft(hash, "!"), "$") || strings.Count(hash, "$") < 3:
		return fmt.Errorf("the password is no hash of one; `openssl passwd -6` makes it")
	}
	return nil
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
		return []Action{{Desc: "remove the group " + g.Name, Have: isThere, Want: isGone, Script: "groupdel " + name}}, nil
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
		return []Action{{Desc: "create the group " + g.Name, Have: isMissing, Want: isThere, Script: "groupadd" + flags + " " + name}}, nil
	case g.GID != 0 && have[2] != strconv.Itoa(g.GID):
		return []Action{{Desc: "change the group " + g.Name, Diff: fmt.Sprintf("-gid: %s\n+gid: %d\n", have[2], g.GID), Script: fmt.Sprintf("groupmod -g %d %s", g.GID, name)}}, nil
	}
	return nil, nil
}
