package converge

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Package is a package of the distribution (apt, dnf, yum). One that is held (apt-mark hold, dnf versionlock) is
// changed all the same, as it is named here, and held again.
type Package struct {
	// Name may have an architecture after a colon: "libc6:amd64", "glibc:i686". A virtual package is there when one
	// that provides it is.
	Name string
	// Version: as the package manager writes it, or a pattern of it: "1.18.*". Of an rpm, the epoch and the release may
	// be left out. "": any.
	Version string
	Absent  bool
}

// ID implements Resource.
func (p Package) ID() string { return "package " + p.Name }

// is reports whether a version, as the reader gave it, is the one that is wanted.
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
	if strings.ContainsAny(p.Name, "*?[") { // a package manager would install all that are called so
		return nil, fmt.Errorf("%q is a pattern; a package has a name", p.Name)
	}
	if strings.ContainsAny(p.Version, " \t\n") {
		return nil, fmt.Errorf("%q is no version of a package", clip(p.Version))
	}
	r, err := n.fact("package", p.Name)
	managed, merr := n.fact("manager", "packages")
	locks, lerr := n.fact("locks", "packages")
	if err := first(err, merr, lerr); err != nil {
		return nil, err
	}
	have := strings.Split(strings.TrimSpace(r.text), "\n")
	state, version, _ := strings.Cut(have[0], " ")
	switch {
	case p.Absent && version == "", !p.Absent && version != "" && slices.ContainsFunc(have, p.is), !p.Absent && state == "provided" && p.Version == "":
		return nil, nil
	}
	diff, want := "+"+p.Name, p.Version
	if want == "" {
		want = isThere
	} else {
		diff += " " + want
	}
	if version != "" {
		diff = "-" + p.Name + " " + version + "\n" + diff
	}
	var m manager
	switch managed.text {
	case "apt-get":
		m = aptManager(p, state == "held")
	case "dnf", "yum":
		m = dnfManager(p, managed.text, locked(locks.text, name))
	default:
		return nil, fmt.Errorf("the host has neither apt-get nor dnf nor yum")
	}
	if p.Absent {
		return []Action{{Desc: "remove the package " + p.Name, Have: version, Want: isGone, Diff: "-" + p.Name + " " + version + "\n", Script: m.remove}}, nil
	}
	return []Action{{Desc: "install the package " + p.Name, Have: version, Want: want, Diff: diff + "\n", Script: m.install, After: m.hold}}, nil
}
