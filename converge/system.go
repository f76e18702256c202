package converge

import (
	"fmt"
	"slices"
	"strings"
)

// Package is a package of the distribution (apt, dnf, yum).
type Package struct {
	Name    string
	Version string // as the package manager has it; "": any
	Absent  bool
}

// ID implements Resource.
func (p Package) ID() string { return "package " + p.Name }

// Plan implements Resource.
func (p Package) Plan(n *Node) ([]Action, error) {
	if err := checkName("package", p.Name); err != nil {
		return nil, err
	}
	have, err := n.fact("package", p.Name)
	manager, merr := n.fact("manager", "packages")
	if err := first(err, merr); err != nil {
		return nil, err
	}
	var install, remove, at string
	switch manager.text {
	case "apt-get":
		// The list is fetched when the package is in none that we have.
		const apt = "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 "
		install, remove, at = "[ -n \"$(apt-cache -q policy -- "+quote(p.Name)+" 2> /dev/null)\" ] || "+apt+"update || exit\n"+apt+"install --allow-downgrades -- ", apt+"remove -- ", "="
	case "dnf", "yum":
		install, remove, at = manager.text+" -q -y install ", manager.text+" -q -y remove ", "-"
	default:
		return nil, fmt.Errorf("the host has neither apt-get nor dnf nor yum")
	}
	switch {
	case p.Absent && have.text != "":
		return []Action{{Desc: "remove the package " + p.Name, Diff: "-" + p.Name + " " + have.text + "\n", Script: remove + quote(p.Name)}}, nil
	case p.Absent || have.text != "" && (p.Version == "" || p.Version == have.text):
		return nil, nil
	}
	what, diff := p.Name, "+"+p.Name
	if p.Version != "" {
		what, diff = what+at+p.Version, diff+" "+p.Version
	}
	if have.text != "" {
		diff = "-" + p.Name + " " + have.text + "\n" + diff
	}
	return []Action{{Desc: "install the package " + p.Name, Diff: diff + "\n", Script: install + quote(what)}}, nil
}

// Service is a service of systemd, or of SysV init where there is none.
type Service struct {
	Name    string // without ".service"
	Stopped bool   // it shall not run
	// Disabled: it shall not be started at boot.
	Disabled bool
}

// ID implements Resource.
func (s Service) ID() string { return "service " + s.Name }

// Plan implements Resource.
func (s Service) Plan(n *Node) ([]Action, error) {
	if err := checkName("service", s.Name); err != nil {
		return nil, err
	}
	r, err := n.fact("service", s.Name)
	if err != nil {
		return nil, err
	}
	f := strings.Fields(r.text)
	if len(f) < 2 {
		if s.Stopped && s.Disabled {
			return nil, nil // there is no such service
		}
		f = []string{"", "", ""} // its package may be about to be installed
	}
	active, enabled := f[1] == "active", slices.Contains(f[2:], "enabled") || slices.Contains(f[2:], "static") || slices.Contains(f[2:], "alias")
	name := quote(s.Name)
	do := func(desc, systemd, sysv string) Action {
		return Action{Desc: desc + " " + s.Name, Script: "if [ -d /run/systemd/system ]; then systemctl " + systemd + " -- " + name + "; else " + sysv + "; fi"}
	}
	var out []Action
	switch {
	case enabled && s.Disabled:
		out = append(out, do("disable the service", "disable", "update-rc.d "+name+" disable"))
	case !enabled && !s.Disabled:
		out = append(out, do("enable the service", "enable", "{ update-rc.d "+name+" defaults && update-rc.d "+name+" enable; }"))
	}
	switch {
	case active && s.Stopped:
		out = append(out, do("stop the service", "stop", "service "+name+" stop"))
	case !active && !s.Stopped:
		out = append(out, do("start the service", "start", "service "+name+" start"))
	}
	return out, nil
}

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
	found := false
	for _, l := range strings.Split(strings.TrimSuffix(tab, "\n"), "\n") {
		f := strings.Fields(l)
		if len(f) > 1 && f[1] == m.Path && !strings.HasPrefix(f[0], "#") {
			if m.Absent || found {
				continue
			}
			found = true
			if strings.Join(f[:min(len(f), 4)], " ") != strings.Join([]string{m.Device, m.Path, m.Type, options}, " ") {
				l = want
			}
		}
		lines = append(lines, l)
	}
	if !found && !m.Absent {
		lines = append(lines, want)
	}
	text := strings.TrimPrefix(strings.Join(lines, "\n")+"\n", "\n")
	mounted := slices.ContainsFunc(strings.Split(now.text, "\n"), func(l string) bool {
		f := strings.Fields(l)
		return len(f) > 1 && f[1] == m.Path
	})
	var out []Action
	if text != tab && (tab != "" || !m.Absent) {
		n.will("cat", "/etc/fstab", text)
		out = append(out, Action{Desc: "edit /etc/fstab", Diff: Diff(tab, text), Script: writeFile("/etc/fstab", text, access{})})
	}
	switch {
	case m.Absent && mounted:
		out = append(out, Action{Desc: "unmount " + m.Path, Script: "umount -- " + quote(m.Path)})
	case !m.Absent && !mounted:
		out = append(out, Action{Desc: "mount " + m.Path, Script: makeDir(m.Path) + "mount -- " + quote(m.Path)})
	}
	return out, nil
}

// Cron is an entry of a user's crontab.
type Cron struct {
	Name    string // written above the entry, and how it is found again
	User    string // "root" if empty
	When    string // "*/5 * * * *", "@daily"
	Command string
	Absent  bool
}

func (c Cron) user() string {
	if c.User == "" {
		return "root"
	}
	return c.User
}

// ID implements Resource.
func (c Cron) ID() string { return "cron entry " + c.Name + " of " + c.user() }

// Plan implements Resource.
func (c Cron) Plan(n *Node) ([]Action, error) {
	if err := checkName("user", c.user()); err != nil {
		return nil, err
	}
	if c.Name == "" || strings.Contains(c.Name+c.When+c.Command, "\n") || !c.Absent && (len(strings.Fields(c.When)) != 5 && !strings.HasPrefix(c.When, "@") || c.Command == "") {
		return nil, fmt.Errorf("it must have a name, five fields or @daily as when, and a command, each on one line")
	}
	was, err := n.text("cron", c.user())
	if err != nil {
		return nil, err
	}
	mark := "# converge: " + c.Name
	var lines []string
	found := false
	old := strings.Split(strings.TrimSuffix(was, "\n"), "\n")
	if was == "" {
		old = nil
	}
	for i := 0; i < len(old); i++ {
		if old[i] != mark {
			lines = append(lines, old[i])
			continue
		}
		i++ // the entry below
		if !c.Absent && !found {
			lines = append(lines, mark, c.When+" "+c.Command)
		}
		found = true
	}
	if !found && !c.Absent {
		lines = append(lines, mark, c.When+" "+c.Command)
	}
	text := ""
	if len(lines) > 0 {
		text = strings.Join(lines, "\n") + "\n"
	}
	if text == was {
		return nil, nil
	}
	n.will("cron", c.user(), text)
	return []Action{{Desc: "edit the crontab of " + c.user(), Diff: Diff(was, text), Script: "crontab -u " + quote(c.user()) + " - <<'CONVERGE'\n" + text + "CONVERGE"}}, nil
}

// Sysctl is a kernel parameter, now and at boot.
type Sysctl struct {
	Key   string // "net.ipv4.ip_forward"
	Value string
}

// ID implements Resource.
func (s Sysctl) ID() string { return "sysctl " + s.Key }

// Plan implements Resource.
func (s Sysctl) Plan(n *Node) ([]Action, error) {
	if s.Key == "" || strings.ContainsAny(s.Key, " \t\n/=\\") || strings.ContainsAny(s.Value, "\n") {
		return nil, fmt.Errorf("%s = %q is no kernel parameter", s.Key, s.Value)
	}
	file := "/etc/sysctl.d/90-" + s.Key + ".conf"
	now, err := n.fact("sysctl", s.Key)
	boot, berr := n.fact("cat", file)
	if err := first(err, berr); err != nil {
		return nil, err
	}
	var out []Action
	if text := s.Key + " = " + s.Value + "\n"; boot.text != text {
		out = append(out, Action{Desc: "write " + file, Diff: Diff(boot.text, text), Script: writeFile(file, text, access{})})
	}
	if strings.Join(strings.Fields(now.text), " ") != strings.Join(strings.Fields(s.Value), " ") {
		out = append(out, Action{Desc: "set " + s.Key, Diff: "-" + now.text + "\n+" + s.Value + "\n", Script: "sysctl -q -w " + quote(s.Key+"="+s.Value)})
	}
	return out, nil
}

// Checkout is a working copy of a git repository.
type Checkout struct {
	Path   string
	Repo   string
	Commit string // full hash, that is checked out
	Owner  string // who owns it and runs git; "": root
}

// ID implements Resource.
func (c Checkout) ID() string { return "checkout " + c.Path }

// Plan implements Resource.
func (c Checkout) Plan(n *Node) ([]Action, error) {
	if err := checkPath(c.Path); err != nil {
		return nil, err
	}
	if len(c.Commit) != 40 && len(c.Commit) != 64 || strings.Trim(c.Commit, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("the commit %q is no full hash; a branch would be another tomorrow", c.Commit)
	}
	if c.Repo == "" || strings.HasPrefix(c.Repo, "-") || strings.ContainsAny(c.Repo, " \n") {
		return nil, fmt.Errorf("%q is no repository", c.Repo)
	}
	s, err := n.stat(c.Path)
	r, gerr := n.fact("git", c.Path)
	if err := first(err, gerr); err != nil {
		return nil, err
	}
	if r.text == c.Commit+" "+c.Repo {
		return nil, nil
	}
	if s != nil && r.text == "" {
		return nil, fmt.Errorf("%s is there, and is no checkout", c.Path)
	}
	as, script := "", makeDir(c.Path)
	if c.Owner != "" {
		if err := checkName("user", c.Owner); err != nil {
			return nil, err
		}
		as = "as " + quote(c.Owner) + " "
		script = become + script + "chown " + quote(c.Owner+":") + " . || exit\n"
	}
	git := as + "git "
	script += git + "init -q || exit\n" + git + "config remote.origin.url " + quote(c.Repo) + " && " + git + "config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*' || exit\n" +
		git + "fetch -q --tags origin && " + git + "checkout -q --force --detach " + c.Commit
	was, _, _ := strings.Cut(r.text, " ")
	return []Action{{Desc: fmt.Sprintf("check out %.12s of %s at %s", c.Commit, c.Repo, c.Path), Diff: Diff(was, c.Commit), Script: script}}, nil
}

// Command is run when its guard says so.
type Command struct {
	Name   string
	Run    string // a script
	Unless string // a script that only reads: Run is not needed when it ends with 0
}

// ID implements Resource.
func (c Command) ID() string { return "command " + c.Name }

// Plan implements Resource.
func (c Command) Plan(n *Node) ([]Action, error) {
	if c.Name == "" || c.Run == "" || c.Unless == "" {
		return nil, fmt.Errorf("it must have a name, a script to run and a guard")
	}
	r, err := n.fact("script", c.Unless)
	if err != nil {
		return nil, err
	}
	if r.exit == 0 {
		return nil, nil
	}
	return []Action{{Desc: "run " + c.Name, Script: c.Run}}, nil
}
