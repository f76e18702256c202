package converge

import "strings"

// manager are the scripts by which a package manager brings a package to where it shall be.
type manager struct {
	install, remove string
	// hold puts back what keeps the package as it is; "" where nothing did. install does that too, but may die before:
	// so it is owed from before install begins.
	hold string
}

// apt is for scripts. The first boot of a machine has somebody else fetch the lists, and apt-get does not wait for that
// lock.
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

// aptManager also takes a package off hold and puts it back, when held says that it is on hold.
func aptManager(p Package, held bool) manager {
	q, what := quote(p.Name), p.Name
	if p.Version != "" {
		what += "=" + p.Version
	}
	m := manager{install: "get " + q + " " + quote(what), remove: apt + "apt remove -- " + q}
	if held {
		free := "apt-mark -q unhold " + q + " || exit\n"
		m.hold = "apt-mark -q hold " + q
		m.install, m.remove = free+m.install+again(m.hold), apt+free+"apt remove -- "+q
	}
	m.install = apt + m.install
	return m
}

// again ends a script of which the last command may have failed: with what holds a package, and then as that command
// did.
func again(hold string) string { return "\ne=$?; " + hold + " > /dev/null && exit $e" }

// dnf is for scripts; $dnf is dnf or yum. It waits for whoever else is at work. What it does not find, or not where its
// lists say, may be in new ones: once. A version that is older than what is there it goes back to.
const dnf = `get() { $dnf -q -y install "$1" || { echo "once more, with new lists" && $dnf -q -y --refresh install "$1"; }; }
`

// dnfManager is for yum as well; program says which. held: versionlock keeps the package, as a hold of apt does.
func dnfManager(p Package, program string, held bool) manager {
	name, arch, has := strings.Cut(p.Name, ":")
	whole := name
	if has {
		whole += "." + arch
	}
	what := whole
	if p.Version != "" {
		what = name + "-" + p.Version
		if has {
			if !strings.Contains(p.Version, "-") { // the architecture follows the release
				what += "-*"
			}
			what += "." + arch
		}
	}
	m := manager{install: "get " + quote(what), remove: program + " -q -y remove " + quote(whole)}
	if held {
		free := program + " -q versionlock delete " + quote(name) + " > /dev/null || exit\n"
		m.hold = program + " -q versionlock add " + quote(name)
		m.install, m.remove = free+m.install+again(m.hold), free+m.remove
	}
	m.install = "dnf=" + program + "\n" + dnf + m.install
	return m
}

// locked reports whether a list of dnf's versionlock has a package: lines "NAME-EPOCH:VERSION-RELEASE.ARCH", or from
// dnf 5 on TOML with `name = "NAME"`. A line that begins with ! excludes one version of it, and holds nothing.
func locked(list, name string) bool {
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if k, v, ok := strings.Cut(line, "="); ok && strings.TrimSpace(k) == "name" && strings.Trim(strings.TrimSpace(v), `"'`) == name {
			return true
		}
		rest, ok := strings.CutPrefix(line, name+"-")
		if epoch, _, is := strings.Cut(rest, ":"); ok && is && strings.Trim(epoch, "0123456789*") == "" {
			return true
		}
	}
	return false
}
