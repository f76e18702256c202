package converge

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/internal/plain"
)

// Facts is what is true of a host: what it is, not what it is doing. What moves by itself (load, free space, uptime) is
// not in it, so that what is made from facts settles. What the host does not tell is empty.
type Facts struct {
	Hostname  string `json:"hostname"`   // without a domain: `uname -n` up to its first dot
	FQDN      string `json:"fqdn"`       // `hostname -f`, where that has a dot and is not localhost's; it is asked for 5 s at most
	MachineID string `json:"machine_id"` // /etc/machine-id
	User      string `json:"user"`       // who our scripts are run as: root, or who logs in without sudo

	OS     OS     `json:"os"`
	Kernel Kernel `json:"kernel"`
	Arch   string `json:"arch"` // `uname -m`: "x86_64", "aarch64". GoArch has the other names of these

	CPUs     int    `json:"cpus"`      // processors that are online, each thread one: /sys/devices/system/cpu/online, else /proc/cpuinfo
	CPUModel string `json:"cpu_model"` // "model name" of the first in /proc/cpuinfo; many that are not x86 have none
	Memory   int64  `json:"memory"`    // bytes: MemTotal of /proc/meminfo, which is what the kernel left of the hardware's
	Swap     int64  `json:"swap"`      // bytes: SwapTotal of /proc/meminfo

	Interfaces []Interface `json:"interfaces"` // by name
	Address4   netip.Addr  `json:"address4"`   // the first global one of the interface that has the default route; not valid when there is none
	Address6   netip.Addr  `json:"address6"`   // the same of IPv6

	Mounts []Mounted `json:"mounts"` // in the order of /proc/1/mounts

	// Virtual is what it runs in, in the words of systemd-detect-virt: "kvm", "vmware", "lxc", "docker", "none". Where
	// there is no systemd-detect-virt: by the marks of containers, DMI and the processor. "" is not known.
	Virtual string `json:"virtual"`
	Vendor  string `json:"vendor"`  // who made the machine, by DMI (/sys/class/dmi/id/sys_vendor)
	Product string `json:"product"` // and what it is (product_name)

	Init           string `json:"init"`            // "systemd", "openrc", or what process 1 is called: "init", "runit", "tini"
	PackageManager string `json:"package_manager"` // the first that is there of apt, dnf, yum, zypper, apk, pacman, opkg
	SELinux        string `json:"selinux"`         // "enforcing", "permissive"; "" where the kernel has none, or it is off
	Timezone       string `json:"timezone"`        // "Europe/Berlin": where /etc/localtime leads, else /etc/timezone

	// Own are the facts that are yours: what functions of Options.Facts gave, and what the programs and files in the
	// host's folder of facts say (Options.FactsDir).
	Own map[string]any `json:"own"`
}

// OS is the distribution, by /etc/os-release, /usr/lib/os-release or /etc/redhat-release.
type OS struct {
	ID       string   `json:"id"`       // "debian", "ubuntu", "rocky", "alpine"
	Like     []string `json:"like"`     // ID_LIKE: what it is made from, the nearest first
	Family   string   `json:"family"`   // "debian", "redhat", "suse", "alpine", "arch", "gentoo"; otherwise as ID
	Name     string   `json:"name"`     // for people: "Debian GNU/Linux 12 (bookworm)"
	Version  string   `json:"version"`  // VERSION_ID: "12", "22.04", "9.4"; "" for one that rolls
	Major    string   `json:"major"`    // Version up to its first dot
	Codename string   `json:"codename"` // "bookworm"
}

// Kernel is what runs the host. In a container it is the machine's.
type Kernel struct {
	Name    string `json:"name"`    // `uname -s`: "Linux"
	Release string `json:"release"` // `uname -r`: "6.1.0-18-amd64"
	Version string `json:"version"` // `uname -v`
}

// Interface is one of the network: /sys/class/net, with the addresses that `ip addr` tells, or /proc/net where there is
// no ip.
type Interface struct {
	Name string `json:"name"`
	MAC  string `json:"mac"` // as the kernel writes it; of the loopback it is zeros
	MTU  int    `json:"mtu"` // bytes
	// Addresses have their prefix lengths. Those that the host makes up for privacy, and changes, are not here.
	Addresses []netip.Prefix `json:"addresses"`
}

// Mounted is a file system in its place.
type Mounted struct {
	Device  string   `json:"device"`
	Path    string   `json:"path"`
	Type    string   `json:"type"`
	Options []string `json:"options"`
	// Size is in bytes: of what has a device below /dev, and of overlay, tmpfs and zfs. Others are not asked, as a
	// server that is away would make us wait; they have 0.
	Size int64 `json:"size"`
}

// GoArch gives Arch in the words of Go, Debian and many archives of software: amd64, arm64, 386, armv7 as arm.
func (f Facts) GoArch() string {
	switch {
	case f.Arch == "x86_64":
		return "amd64"
	case f.Arch == "aarch64":
		return "arm64"
	case len(f.Arch) == 4 && f.Arch[0] == 'i' && strings.HasSuffix(f.Arch, "86"):
		return "386"
	case strings.HasPrefix(f.Arch, "arm"):
		return "arm"
	}
	return f.Arch
}

// Mount gives what is mounted at a path; the zero Mounted where nothing is. Of several the last one counts, which hides
// the others.
func (f Facts) Mount(path string) Mounted {
	for _, m := range slices.Backward(f.Mounts) {
		if m.Path == path {
			return m
		}
	}
	return Mounted{}
}

// Interface gives an interface by its name; the zero Interface where there is none.
func (f Facts) Interface(name string) Interface {
	for _, i := range f.Interfaces {
		if i.Name == name {
			return i
		}
	}
	return Interface{}
}

// Facts gives what is true of the host; ErrPending until it is read, which happens in the same exchange as all else
// that is not known yet, and only where somebody asks. While nothing is changed, a run reads them once; after a change
// they are read with what is looked at then, so that what is made from them is right when the run ends. What is not
// there is empty; what could not be read, and a fact of yours that fails, is an error.
func (n *Node) Facts() (Facts, error) {
	if n.known != nil {
		return *n.known, nil
	}
	f, err := n.hostFacts()
	if n.inFact { // a function of Options.Facts asks: what functions say is not there yet
		return f, err
	}
	n.inFact = true
	defer func() { n.inFact = false }()
	own, oerr := n.ownFacts(f.Own)
	if err := first(err, oerr); err != nil {
		return Facts{}, err
	}
	f.Own = own
	n.known = &f
	return f, nil
}

// hostFacts gives what the host itself tells.
func (n *Node) hostFacts() (Facts, error) {
	if _, err := n.fact("facts", n.factsDir); err != nil {
		return Facts{}, err
	}
	said := map[string]string{}
	own := map[string]any{}
	var errs []error
	for k, r := range n.facts {
		switch {
		case k.kind == "failed" && r.exit == 124: // as timeout(1) says
			errs = append(errs, fmt.Errorf("%s took longer than a minute", k.item))
		case k.kind == "failed":
			errs = append(errs, fmt.Errorf("%s ended with exit code %d: %s", k.item, r.exit, clip(plain.Last(r.text, "and said nothing"))))
		case (k.kind == "fact" || k.kind == "own") && r.exit != 0:
			errs = append(errs, errors.New(strings.TrimSpace(r.text)))
		case k.kind == "fact":
			said[k.item] = r.text
		case k.kind == "own":
			v, err := ownValue(r.text)
			if err != nil {
				err = fmt.Errorf("the fact %s of %s is no JSON, though it begins as that: %w", k.item, n.factsDir, err)
			}
			own[k.item], errs = v, append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Facts{}, fmt.Errorf("facts: %w", err)
	}
	f := parseFacts(said)
	f.Own = own
	return f, nil
}
