package converge

import (
	"fmt"
	"path"
	"slices"
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
	what, diff, want := p.Name, "+"+p.Name, p.Version
	if want == "" {
		want = isThere
	}
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
		return []Action{{Desc: "remove the package " + p.Name, Have: version, Want: isGone, Diff: "-" + p.Name + " " + version + "\n", Script: remove}}, nil
	}
	return []Action{{Desc: "install the package " + p.Name, Have: version, Want: want, Diff: diff + "\n", Script: install}}, nil
}
