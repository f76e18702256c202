package converge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Package is a package of the distribution (apt, dnf, yum).
type Package struct {
	// Name may have an architecture behind it: "libc6:amd64". A virtual package is there when one that provides it is.
	Name string
	// Version: as the package manager has it, or a pattern of it: "1.18.*". Of an rpm, the epoch and the release may be left out.
	// "": any.
	Version string
	Absent  bool
}

// ID implements Resource.
func (p Package) ID() string { return "package " + p.Name }

// apt is for scripts. The first boot of a machine has somebody else fetch the lists, and apt-get does not wait for that lock.
const apt = `apt() { DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 "$@"; }
update() {
  tries=150
  until said=$(apt update 2>&1); do
    tries=$((tries - 1))
    case $tries/$said in [1-9]*/*"Could not get lock"*) sleep 2 ;; *) printf '%s\n' "$said" >&2; return 1 ;; esac
  done
}
# What is in no list that we have, or is no longer where they say, needs new ones: once.
get() {
  [ -n "$(apt-cache -q policy -- "$1" 2> /dev/null)" ] || { update && fresh=1; } || return
  apt install --allow-downgrades -- "$2" || { [ -z "$fresh" ] && echo "once more, with new lists" && update && apt install --allow-downgrades -- "$2"; }
}
fresh=
`

// is reports whether a version, as the reader has it, is the one that is wanted.
func (p Package) is(have string) bool {
	state, version, _ := strings.Cut(have, " ")
	want := p.Version
	if state == "rpm" {
		want = strings.TrimPrefix(want, "0:")
		version = strings.TrimPrefix(version, "0:")
		if !strings.Contains(want, ":") {
			version = version[strings.IndexByte(version, ':')+1:]
		}
		if !strings.Contains(want, "-") {
			version, _, _ = strings.Cut(version, "-")
		}
	}
	fits, err := path.Match(want, version)
	return want == "" || want == version || err == nil && fits
}

// Plan implements Resource.
func (p Package) Plan(n *Node) ([]Action, error) {
	name, arch, has := strings.Cut(p.Name, ":")
	if !has {
		arch = name
	}
	if err := first(checkName("package", name), checkName("architecture", arch)); err != nil {
		return nil, err
	}
	if strings.ContainsAny(p.Version, " \t\n") {
		return nil, fmt.Errorf("%q is no version of a package", clip(p.Version))
	}
	r, err := n.fact("package", p.Name)
	manager, merr := n.fact("manager", "packages")
	if err := first(err, merr); err != nil {
		return nil, err
	}
	have := strings.Split(strings.TrimSpace(r.text), "\n")
	state, version, _ := strings.Cut(have[0], " ")
	switch {
	case p.Absent && version == "", !p.Absent && version != "" && slices.ContainsFunc(have, p.is), !p.Absent && state == "provided" && p.Version == "":
		return nil, nil
	}
	what, diff := p.Name, "+"+p.Name
	if p.Version != "" {
		diff += " " + p.Version
	}
	if version != "" {
		diff = "-" + p.Name + " " + version + "\n" + diff
	}
	// What is held is changed all the same, as it is named here; what is held and is not named is not.
	q, free, hold := quote(p.Name), "", ""
	if state == "held" {
		free, hold = "apt-mark -q unhold "+q+" || exit\n", "\ne=$?; apt-mark -q hold "+q+" && exit $e"
	}
	var install, remove string
	switch manager.text {
	case "apt-get":
		if p.Version != "" {
			what += "=" + p.Version
		}
		install, remove = apt+free+"get "+q+" "+quote(what)+hold, apt+free+"apt remove -- "+q
	case "dnf", "yum":
		if p.Version != "" {
			what += "-" + p.Version
		}
		install, remove = manager.text+" -q -y install "+quote(what), manager.text+" -q -y remove "+q
	default:
		return nil, fmt.Errorf("the host has neither apt-get nor dnf nor yum")
	}
	if p.Absent {
		return []Action{{Desc: "remove the package " + p.Name, Diff: "-" + p.Name + " " + version + "\n", Script: remove}}, nil
	}
	return []Action{{Desc: "install the package " + p.Name, Diff: diff + "\n", Script: install}}, nil
}

// Service is a service of systemd, or of SysV init where there is none.
type Service struct {
	Name    string // without ".service"; other units with what they are: "backup.timer"
	Stopped bool   // it shall not run. A unit that runs to its end (Type=oneshot) is started when it is enabled, or failed
	// Disabled: it shall not be started at boot. What cannot be enabled (a static unit) can neither be disabled.
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
	is := map[string]string{} // empty: its package may be about to be installed
	for _, l := range strings.Split(r.text, "\n") {
		k, v, _ := strings.Cut(l, "=")
		is[k] = v
	}
	state := is["ActiveState"]
	active := state == "active" || state == "reloading" || state == "refreshing"
	enabled := is["Enabled"] == "enabled"
	fixed := slices.Contains([]string{"static", "alias", "indirect", "generated", "transient"}, is["Enabled"]) // as its file says, and not for us to change
	if is["Type"] == "oneshot" && is["RemainAfterExit"] == "no" {
		// It ran, or will at boot, or when its timer says so. Whether it did, systemd forgets.
		active = active || state == "activating" || state == "inactive" && !s.Stopped && (enabled || fixed || s.Disabled)
	}
	name := quote(s.Name)
	do := func(desc, systemd, sysv string) Action {
		return Action{Desc: desc + " " + s.Name, Script: "if [ -d /run/systemd/system ]; then systemctl " + systemd + " -- " + name + "; else " + sysv + "; fi"}
	}
	var out []Action
	if _, done := n.texts[fact{"systemd", "units"}]; !done && is["NeedDaemonReload"] == "yes" {
		n.will("systemd", "units", "read")
		out = append(out, Action{Desc: "have systemd read its units again", Script: "systemctl daemon-reload"})
	}
	switch { // before it is enabled: a oneshot unit that is enabled counts as one that ran
	case active && s.Stopped:
		out = append(out, do("stop the service", "stop", "service "+name+" stop"))
	case !active && !s.Stopped && state == "failed": // also when it failed too often
		out = append(out, do("start the service", "reset-failed -- "+name+" && systemctl start", "service "+name+" start"))
	case !active && !s.Stopped:
		out = append(out, do("start the service", "start", "service "+name+" start"))
	}
	switch {
	case enabled && s.Disabled:
		out = append(out, do("disable the service", "disable", "update-rc.d "+name+" disable"))
	case !enabled && !fixed && !s.Disabled:
		out = append(out, do("enable the service", "enable", "{ update-rc.d "+name+" defaults && update-rc.d "+name+" enable; }"))
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
		out = append(out, Action{Desc: "unmount " + m.Path, Diff: "-" + other + "\n", Script: "umount -- " + quote(m.Path)})
		mounted = false
	case changes || optionsDiffer(options, is):
		// First: when it can not be, fstab is as before, and the next run sees it.
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
		out = append(out, Action{Desc: "unmount " + m.Path, Script: "umount -- " + quote(m.Path)})
	case !m.Absent && !mounted:
		out = append(out, Action{Desc: "mount " + m.Path, Script: makeDir(m.Path) + "mount -- " + quote(m.Path)})
	}
	return out, nil
}

// optionsDiffer compares the options that are wanted with those that the kernel tells. It does not tell all, and has names and
// sizes of its own for some: what it does not tell is taken for so.
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
	text := c.edit(was)
	if text == was {
		return nil, nil
	}
	n.will("cron", c.user(), text)
	return []Action{{Desc: "edit the crontab of " + c.user(), Diff: Diff(was, text), Script: "printf %s " + quote(text) + " | crontab -u " + quote(c.user()) + " -"}}, nil
}

// edit gives a crontab with the entry, or without it. The mark above it has a sum of its command: a line that somebody else wrote below our
// mark is not ours. A mark of an older Jarvis has none; there the line below is ours.
func (c Cron) edit(was string) string {
	mark := "# converge: " + c.Name
	entry := []string{mark + " [" + cronSum(c.Command) + "]", c.When + " " + c.Command}
	old := strings.Split(strings.TrimSuffix(was, "\n"), "\n")
	if was == "" {
		old = nil
	}
	at, gone := -1, map[int]bool{} // where the first mark is; lines that are ours
	for i, l := range old {
		sum, ok := strings.CutPrefix(l, mark+" [")
		ok = ok && len(sum) == 13 && sum[12] == ']'
		if !ok && l != mark {
			continue
		}
		gone[i] = true
		if at < 0 {
			at = i
		}
		ours := func(l string) bool { return cronSum(cronCommand(l)) == sum[:12] }
		switch below := i + 1; {
		case below < len(old) && (!ok || ours(old[below])):
			gone[below] = true
		case ok: // somebody wrote between the two
			if k := slices.IndexFunc(old, ours); k >= 0 {
				gone[k] = true
			}
		}
	}
	var lines []string
	for i, l := range old {
		if i == at && !c.Absent {
			lines = append(lines, entry...)
		}
		if !gone[i] {
			lines = append(lines, l)
		}
	}
	if at < 0 && !c.Absent {
		lines = append(lines, entry...)
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

func cronSum(command string) string {
	sum := sha256.Sum256([]byte(command))
	return hex.EncodeToString(sum[:6])
}

// cronCommand gives the command of a line of a crontab: what is behind the five fields, or behind @daily.
func cronCommand(line string) string {
	fields := 5
	if strings.HasPrefix(strings.TrimLeft(line, " \t"), "@") {
		fields = 1
	}
	for range fields {
		line = strings.TrimLeft(line, " \t")
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			return ""
		}
		line = line[i:]
	}
	return strings.TrimLeft(line, " \t")
}

// Sysctl is a kernel parameter, now and at boot.
type Sysctl struct {
	Key   string // "net.ipv4.ip_forward"; with slashes where a dot is part of a name: "net/ipv4/conf/eth0.100/rp_filter"
	Value string
}

// ID implements Resource.
func (s Sysctl) ID() string { return "sysctl " + s.Key }

// sysctlPath gives where a parameter is below /proc/sys: as in sysctl.d(5), the first separator says which of the two it is.
func sysctlPath(key string) string {
	if i := strings.IndexAny(key, "./"); i < 0 || key[i] == '/' {
		return key
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(key)
}

// Plan implements Resource. At boot the last file that sets a parameter counts: what matters is what that says, and not that there is
// a file of ours.
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

// Checkout is a working copy of a git repository, with its submodules. What somebody edited in its files is put back; other files
// stay. Where nothing is, or an empty folder, it is made.
type Checkout struct {
	Path   string
	Repo   string
	Commit string // full hash, that is checked out
	Owner  string // who owns it and runs git, by name or number; "": root
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
	is, edits, _ := strings.Cut(r.text, "\n")
	edits = strings.Trim(edits, "\n")
	if is == c.Commit+" "+c.Repo && edits == "" {
		return nil, nil
	}
	if s != nil && is == "" {
		return nil, fmt.Errorf("%s is there, and is no checkout", c.Path)
	}
	as, script := "", makeDir(c.Path)
	if c.Owner != "" {
		if err := checkName("user", c.Owner); err != nil {
			return nil, err
		}
		as = "as " + quote(c.Owner) + " "
		script = become + script + "u=$(id -un -- " + quote(c.Owner) + "); chown \"$u:\" . || exit\n"
	}
	git := as + "git "
	script += git + "init -q || exit\n" + git + "config remote.origin.url " + quote(c.Repo) + " && " + git + "config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*' || exit\n" +
		"{ " + git + "cat-file -e " + c.Commit + "^{commit} 2> /dev/null || " + git + "fetch -q --tags origin; } && " + git + "checkout -q --force --detach " + c.Commit + " || exit\n" +
		"[ ! -f .gitmodules ] || { " + git + "submodule -q sync --recursive && " + git + "submodule -q update --init --recursive --force; }"
	was, _, _ := strings.Cut(strings.TrimPrefix(is, "empty"), " ")
	a := Action{Desc: fmt.Sprintf("check out %.12s of %s at %s", c.Commit, c.Repo, c.Path), Diff: Diff(was, c.Commit), Script: script}
	if edits != "" {
		a.Diff += "(put back what was edited)\n-" + strings.ReplaceAll(edits, "\n", "\n-") + "\n"
	}
	return []Action{a}, nil
}

// Command is run when its guard says so.
type Command struct {
	Name   string
	Run    string                                  // a script
	Do     func(ctx context.Context, h Host) error // instead of Run, as Action.Do
	Unless string                                  // a script that only reads: Run is not needed when it ends with 0
}

// ID implements Resource.
func (c Command) ID() string { return "command " + c.Name }

// Plan implements Resource.
func (c Command) Plan(n *Node) ([]Action, error) {
	if c.Name == "" || (c.Run == "") == (c.Do == nil) || c.Unless == "" {
		return nil, fmt.Errorf("it must have a name, a script or a function to run, and a guard")
	}
	r, err := n.fact("script", c.Unless)
	if err != nil {
		return nil, err
	}
	if r.exit == 0 {
		return nil, nil
	}
	return []Action{{Desc: "run " + c.Name, Script: c.Run, Do: c.Do}}, nil
}
