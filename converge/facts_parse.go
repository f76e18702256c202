package converge

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// parseFacts makes facts of what readFacts said, by the name of each answer.
func parseFacts(said map[string]string) Facts {
	f := Facts{
		MachineID: strings.TrimSpace(said["machine-id"]), User: said["user"],
		OS: parseOS(said["os-release"], said["redhat-release"]), CPUs: parseCPUs(said["online"], said["cpus"]), CPUModel: said["model"],
		Memory: kilobytes(said["meminfo"], "MemTotal:"), Swap: kilobytes(said["meminfo"], "SwapTotal:"),
		Mounts: parseMounts(said["mounts"], said["sizes"]), Virtual: virtual(said),
		Vendor: strings.TrimSpace(said["vendor"]), Product: strings.TrimSpace(said["product"]), Init: strings.TrimSpace(said["comm"]),
		PackageManager: strings.TrimSuffix(said["manager"], "-get"), Timezone: strings.TrimSpace(said["timezone"]),
	}
	if u := strings.Split(said["uname"], "\n"); len(u) == 5 {
		f.Hostname, _, _ = strings.Cut(u[0], ".")
		f.FQDN = fqdn(u[0], said["fqdn"])
		f.Kernel, f.Arch = Kernel{Name: u[1], Release: u[2], Version: u[3]}, u[4]
	}
	for _, init := range []string{"openrc", "systemd"} {
		if said[init] != "" {
			f.Init = init
		}
	}
	if _, zone, ok := strings.Cut(said["localtime"], "zoneinfo/"); ok {
		f.Timezone = zone
	}
	f.SELinux = map[string]string{"0": "permissive", "1": "enforcing"}[strings.TrimSpace(said["selinux"])]
	f.Interfaces = parseInterfaces(said)
	f.Address4 = f.global(defaultRoute(said["route"], false), netip.Addr.Is4)
	f.Address6 = f.global(defaultRoute(said["route6"], true), netip.Addr.Is6)
	return f
}

// fqdn is the whole name of a host, by its node name or by what it finds for that.
func fqdn(node, found string) string {
	for _, name := range []string{node, found} {
		if strings.Contains(strings.Trim(name, "."), ".") && !strings.HasPrefix(name, "localhost.") {
			return strings.TrimSuffix(name, ".")
		}
	}
	return ""
}

// families are the distributions that others are made from.
var families = map[string]string{"debian": "debian", "ubuntu": "debian", "rhel": "redhat", "fedora": "redhat", "centos": "redhat", "amzn": "redhat", "openeuler": "redhat",
	"suse": "suse", "opensuse": "suse", "sles": "suse", "alpine": "alpine", "arch": "arch", "gentoo": "gentoo"}

// parseOS reads os-release(5): NAME=value, as a shell would. What came before it has one line: "CentOS release 6.10
// (Final)".
func parseOS(release, redhat string) OS {
	v := map[string]string{}
	for line := range strings.Lines(release) {
		if k, text, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(k, "#") {
			v[k] = unquote(text)
		}
	}
	o := OS{ID: v["ID"], Like: strings.Fields(v["ID_LIKE"]), Name: v["PRETTY_NAME"], Version: v["VERSION_ID"], Codename: v["VERSION_CODENAME"]}
	if release == "" && redhat != "" {
		o.Name = strings.TrimSpace(redhat)
		id, rest, _ := strings.Cut(o.Name, " ")
		o.ID, o.Like = strings.ToLower(id), []string{"rhel"}
		if _, version, ok := strings.Cut(rest, "release "); ok {
			o.Version, _, _ = strings.Cut(version, " ")
		}
	}
	o.Major, _, _ = strings.Cut(o.Version, ".")
	o.Family = o.ID
	for _, id := range append([]string{o.ID}, o.Like...) {
		if family, ok := families[id]; ok {
			o.Family = family
			break
		}
	}
	return o
}

// unquote reads a value as a shell does, of those that os-release may have.
func unquote(s string) string {
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '"' && s[0] != '\'' {
		return s
	}
	quote := s[0]
	if s = s[1 : len(s)-1]; quote == '\'' {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`").Replace(s)
}

// parseCPUs counts a list of ranges, "0-3,6"; where there is none, lines of /proc/cpuinfo have been counted.
func parseCPUs(online, lines string) int {
	count := 0
	for _, r := range strings.Split(strings.TrimSpace(online), ",") {
		from, to, ok := strings.Cut(r, "-")
		if !ok {
			to = from
		}
		a, aerr := strconv.Atoi(from)
		b, berr := strconv.Atoi(to)
		if aerr == nil && berr == nil && b >= a {
			count += b - a + 1
		}
	}
	if count == 0 {
		count, _ = strconv.Atoi(strings.TrimSpace(lines))
	}
	return count
}

// kilobytes gives a line of /proc/meminfo in bytes: "MemTotal:  2037384 kB".
func kilobytes(text, key string) int64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// parseMounts reads proc(5)'s mounts, and lines "BLOCKS BLOCKSIZE PATH".
func parseMounts(text, sizes string) []Mounted {
	size := map[string]int64{}
	for line := range strings.Lines(sizes) {
		if f := strings.Fields(line); len(f) == 3 {
			blocks, _ := strconv.ParseInt(f[0], 10, 64)
			each, _ := strconv.ParseInt(f[1], 10, 64)
			size[f[2]] = blocks * each
		}
	}
	out := []Mounted{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 4 {
			out = append(out, Mounted{Device: unescape(f[0]), Path: unescape(f[1]), Type: f[2], Options: strings.Split(f[3], ","), Size: size[f[1]]})
		}
	}
	return out
}

// unescape reads \040 and its like, as proc(5) writes spaces.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// virtual says what the host runs in, by the first that knows.
func virtual(said map[string]string) string {
	if d := strings.TrimSpace(said["detect"]); d != "" {
		return d
	}
	container := strings.TrimSpace(said["container"])
	machine := strings.TrimSpace(said["vendor"] + " " + said["product"])
	switch {
	case container != "":
		return container
	case said["docker"] != "":
		return "docker"
	case said["podman"] != "":
		return "podman"
	case strings.TrimSpace(said["xen"]) != "":
		return strings.TrimSpace(said["xen"])
	}
	for _, m := range []struct{ mark, is string }{{"KVM", "kvm"}, {"Amazon EC2", "amazon"}, {"QEMU", "qemu"}, {"VMware", "vmware"}, {"innotek", "oracle"}, {"VirtualBox", "oracle"}, {"Xen", "xen"},
		{"Google Compute Engine", "google"}, {"OpenStack", "kvm"}, {"Virtual Machine", "microsoft"}, {"Parallels", "parallels"}, {"Bochs", "bochs"}, {"BHYVE", "bhyve"}} {
		if strings.Contains(machine, m.mark) {
			return m.is
		}
	}
	switch {
	case said["hypervisor"] != "":
		return "vm-other"
	case machine != "":
		return "none"
	}
	return ""
}

// parseInterfaces puts together what the kernel and ip tell of the network.
func parseInterfaces(said map[string]string) []Interface {
	list := []Interface{}
	at := func(name string) *Interface {
		name, _, _ = strings.Cut(name, "@")
		i := slices.IndexFunc(list, func(x Interface) bool { return x.Name == name })
		if i < 0 {
			i, list = len(list), append(list, Interface{Name: name, Addresses: []netip.Prefix{}})
		}
		return &list[i]
	}
	for line := range strings.Lines(said["links"]) { // "NAME MTU MAC"
		if f := strings.Fields(line); len(f) > 1 {
			i := at(f[0])
			i.MTU, _ = strconv.Atoi(f[1])
			i.MAC = strings.Join(f[2:], "")
		}
	}
	add := func(name string, p netip.Prefix) {
		if i := at(name); p.IsValid() {
			i.Addresses = append(i.Addresses, p)
		}
	}
	for line := range strings.Lines(said["ip"]) { // "2: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\ …"
		if f := strings.Fields(line); len(f) > 3 && (f[2] == "inet" || f[2] == "inet6") && !slices.Contains(f, "temporary") {
			p, err := netip.ParsePrefix(f[3])
			if err != nil { // of a line from point to point it is an address
				a, _ := netip.ParseAddr(f[3])
				p = netip.PrefixFrom(a, a.BitLen())
			}
			add(strings.TrimSuffix(f[1], ":"), p)
		}
	}
	nets := connected(said["route"])
	for line := range strings.Lines(said["fib"]) {
		if a, err := netip.ParseAddr(strings.TrimSpace(line)); err == nil {
			name, bits := "lo", 8
			for _, n := range nets {
				if n.net.Contains(a) {
					name, bits = n.name, n.net.Bits()
				}
			}
			if name != "lo" || a.IsLoopback() { // whose interface cannot be told is left out
				add(name, netip.PrefixFrom(a, bits))
			}
		}
	}
	for line := range strings.Lines(said["inet6"]) { // "ADDRESS INDEX BITS SCOPE FLAGS NAME", all in hex
		f := strings.Fields(line)
		if len(f) != 6 {
			continue
		}
		const temporary = 1 // IFA_F_TEMPORARY
		bits, _ := strconv.ParseUint(f[2], 16, 8)
		flags, _ := strconv.ParseUint(f[4], 16, 32)
		if a, ok := hex6(f[0]); ok && flags&temporary == 0 {
			add(f[5], netip.PrefixFrom(a, int(bits)))
		}
	}
	slices.SortStableFunc(list, func(a, b Interface) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// global gives the first address of an interface that others reach it by.
func (f Facts) global(name string, kind func(netip.Addr) bool) netip.Addr {
	for _, p := range f.Interface(name).Addresses {
		if a := p.Addr(); kind(a) && a.IsGlobalUnicast() {
			return a
		}
	}
	return netip.Addr{}
}

// link is a network that an interface is in.
type link struct {
	name string
	net  netip.Prefix
}

// connected reads /proc/net/route, "IFACE DESTINATION GATEWAY FLAGS REFCNT USE METRIC MASK …" in little-endian hex: the
// networks without a gateway, the narrowest last.
func connected(route string) []link {
	var out []link
	for line := range strings.Lines(route) {
		f := strings.Fields(line)
		if len(f) < 8 || f[2] != "00000000" {
			continue
		}
		to, ok := hex4(f[1])
		mask, mok := hex4(f[7])
		if !ok || !mok {
			continue
		}
		bits := 0
		for _, b := range mask.As4() {
			for ; b != 0; b <<= 1 {
				bits++
			}
		}
		out = append(out, link{f[0], netip.PrefixFrom(to, bits)})
	}
	slices.SortStableFunc(out, func(a, b link) int { return a.net.Bits() - b.net.Bits() })
	return out
}

// defaultRoute gives the interface of the default route with the lowest metric.
func defaultRoute(route string, six bool) string {
	name, best := "", uint64(0)
	for line := range strings.Lines(route) {
		f := strings.Fields(line)
		metric := uint64(0)
		switch {
		case six && len(f) == 10:
			metric, _ = strconv.ParseUint(f[5], 16, 64)
			f[0] = f[9]
		case !six && len(f) >= 8 && f[1] == "00000000" && f[7] == "00000000":
			metric, _ = strconv.ParseUint(f[6], 10, 64)
		default:
			continue
		}
		if name == "" || metric < best {
			name, best = f[0], metric
		}
	}
	return name
}

// hex4 reads an address of /proc/net/route, the last byte first.
func hex4(s string) (netip.Addr, bool) {
	v, err := strconv.ParseUint(s, 16, 32)
	return netip.AddrFrom4([4]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)}), err == nil && len(s) == 8
}

// hex6 reads an address of /proc/net/if_inet6, the first byte first.
func hex6(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	a, ok := netip.AddrFromSlice(b)
	return a, err == nil && ok && a.Is6()
}
