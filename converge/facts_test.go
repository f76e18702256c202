package converge

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestParseFacts: what hosts of several kinds say, as they say it.
func TestParseFacts(t *testing.T) {
	addrs := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	nets := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	pfx := netip.MustParsePrefix
	for _, c := range []struct {
		name string
		said map[string]string
		want Facts
	}{
		{name: "nothing is said"},
		{"a virtual Debian with ip", map[string]string{
			"uname": "web1\nLinux\n6.1.0-18-amd64\n#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1\nx86_64", "fqdn": "web1.example.org", "user": "root", "machine-id": "0123\n",
			"os-release": "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n# a comment=x\n",
			"online":     "0-3,6", "cpus": "9", "model": "A B @ 2 GHz", "meminfo": "MemTotal:        2037384 kB\nSwapTotal:       4 kB",
			"links":  "eth0 1500 52:54:00:12:34:56\nlo 65536 00:00:00:00:00:00\nwg0 1420",
			"ip":     "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n2: eth0    inet 192.0.2.5/24 brd 192.0.2.255 scope global eth0\\  x\n2: eth0    inet6 2001:db8::5/64 scope global \\ x\n2: eth0    inet6 2001:db8::77/64 scope global temporary dynamic \\ x\n2: eth0    inet6 fe80::1/64 scope link \\ x\n3: wg0    inet 10.9.0.1 peer 10.9.0.2/32 scope global wg0\\ x",
			"route":  "wg0\t00000000\t00000000\t0001\t0\t0\t600\t00000000\t0\t0\t0\neth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0",
			"route6": "00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001 00000400 00000001 00000000 00450003 eth0",
			"mounts": "/dev/vda1 / ext4 rw,relatime 0 0\n/dev/vdb /srv/a\\040b xfs ro 0 0\nproc /proc proc rw 0 0", "sizes": "100 4096 /\n10 512 /srv/a\\040b",
			"vendor": "QEMU\n", "product": "Standard PC\n", "hypervisor": "yes", "comm": "systemd\n", "systemd": "yes", "manager": "apt-get", "localtime": "/usr/share/zoneinfo/Europe/Berlin", "timezone": "Etc/UTC\n",
		}, Facts{
			Hostname: "web1", FQDN: "web1.example.org", MachineID: "0123", User: "root", Arch: "x86_64", CPUs: 5, CPUModel: "A B @ 2 GHz", Memory: 2037384 << 10, Swap: 4096,
			OS:     OS{ID: "debian", Family: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Version: "12", Major: "12", Codename: "bookworm"},
			Kernel: Kernel{"Linux", "6.1.0-18-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1"},
			Interfaces: []Interface{{"eth0", "52:54:00:12:34:56", 1500, []netip.Prefix{pfx("192.0.2.5/24"), pfx("2001:db8::5/64"), pfx("fe80::1/64")}},
				{"lo", "00:00:00:00:00:00", 65536, []netip.Prefix{pfx("127.0.0.1/8")}}, {"wg0", "", 1420, []netip.Prefix{pfx("10.9.0.1/32")}}},
			Address4: netip.MustParseAddr("192.0.2.5"), Address6: netip.MustParseAddr("2001:db8::5"),
			Mounts:  []Mounted{{"/dev/vda1", "/", "ext4", []string{"rw", "relatime"}, 409600}, {"/dev/vdb", "/srv/a b", "xfs", []string{"ro"}, 5120}, {"proc", "/proc", "proc", []string{"rw"}, 0}},
			Virtual: "qemu", Vendor: "QEMU", Product: "Standard PC", Init: "systemd", PackageManager: "apt", Timezone: "Europe/Berlin",
		}},
		{"a Rocky with SELinux, on bare metal", map[string]string{
			"uname":      "db1.example.org\nLinux\n5.14\n#1\naarch64",
			"os-release": "NAME=\"Rocky Linux\"\nVERSION=\"9.4 (Blue Onyx)\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\nPRETTY_NAME=\"Rocky \\\"9\\\" \\$x\"\n",
			"cpus":       "8", "vendor": "Ampere", "comm": "systemd", "systemd": "yes", "manager": "dnf", "selinux": "1",
		}, Facts{Hostname: "db1", FQDN: "db1.example.org", Arch: "aarch64", CPUs: 8, Kernel: Kernel{"Linux", "5.14", "#1"}, Vendor: "Ampere", Virtual: "none", Init: "systemd", PackageManager: "dnf", SELinux: "enforcing",
			OS: OS{ID: "rocky", Like: []string{"rhel", "centos", "fedora"}, Family: "redhat", Name: `Rocky "9" $x`, Version: "9.4", Major: "9"}}},
		{"a container with busybox, without ip", map[string]string{
			"uname": "box\nLinux\n6\n#1\ni686", "fqdn": "localhost.localdomain", "os-release": "ID=alpine\nVERSION_ID=3.19.1\n", "container": "lxc", "comm": "init", "openrc": "yes", "manager": "apk",
			"links": "eth0 1500 aa:bb\nlo 65536 00", "fib": "10.0.0.7\n127.0.0.1\n172.16.9.9\n", "timezone": "Asia/Tokyo\n", "selinux": "0\n",
			"route": "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
			"inet6": "fd000000000000000000000000000007 04 40 00 80 eth0\nfd000000000000000000000000000008 04 40 00 01 eth0\nnonsense\n",
		}, Facts{Hostname: "box", Arch: "i686", Kernel: Kernel{"Linux", "6", "#1"}, Virtual: "lxc", Init: "openrc", PackageManager: "apk", Timezone: "Asia/Tokyo", SELinux: "permissive",
			OS:         OS{ID: "alpine", Family: "alpine", Version: "3.19.1", Major: "3"},
			Interfaces: []Interface{{"eth0", "aa:bb", 1500, []netip.Prefix{pfx("10.0.0.7/24"), pfx("fd00::7/64")}}, {"lo", "00", 65536, []netip.Prefix{pfx("127.0.0.1/8")}}},
			Address4:   netip.MustParseAddr("10.0.0.7")}},
		{"a CentOS before os-release", map[string]string{"redhat-release": "CentOS release 6.10 (Final)\n", "xen": "xen\n", "comm": "init\n"}, Facts{Virtual: "xen", Init: "init",
			OS: OS{ID: "centos", Like: []string{"rhel"}, Family: "redhat", Name: "CentOS release 6.10 (Final)", Version: "6.10", Major: "6"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, parseFacts(c.said), addrs, nets, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzParseFacts: whatever a host says, an address is one, no number is negative for what cannot be, and nothing
// panics.
func FuzzParseFacts(f *testing.F) {
	f.Add("links", "eth0 1500 aa:bb")
	f.Add("ip", "2: eth0    inet 192.0.2.5/24 brd 192.0.2.255 scope global eth0")
	f.Add("inet6", "fd000000000000000000000000000007 04 40 00 80 eth0")
	f.Add("route", "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0")
	f.Add("mounts", `/dev/vdb /srv/a\040b xfs ro 0 0`)
	f.Add("online", "0-3,6")
	f.Add("os-release", "ID=\"x\"\nVERSION_ID='1'\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		got := parseFacts(map[string]string{name: text, "fib": text, "route": text})
		if got.CPUs < 0 {
			t.Errorf("%d processors", got.CPUs)
		}
		for _, i := range got.Interfaces {
			for _, a := range i.Addresses {
				if !a.IsValid() {
					t.Errorf("%q has the address %v", text, a)
				}
			}
		}
	})
}

// TestFactsOfYourOwn: functions are asked together with the host, in one exchange; one that fails is named, and so is a
// name that the host has as well.
func TestFactsOfYourOwn(t *testing.T) {
	answer := func(kind string, exit int, item, text string) string {
		return fmt.Sprintf("%s %d %d %d\n%s%s\n", kind, exit, len(text), len(item), item, text)
	}
	scripts := 0
	said := answer("facts", 0, "/x/facts", "") + answer("fact", 0, "user", "root") + answer("own", 0, "rack", "a7\n") + answer("own", 0, "json", `{"n": [1.5]}`) + answer("own", 0, "number", "1.10\n") + answer("script", 0, "abcd", "read")
	host := fake(func(string) (string, string, int, error) { scripts++; return said, "no disk\n", 0, nil })
	target := []Target{{Name: "x", Dial: func(context.Context) (Host, func(), error) { return host, func() {}, nil }}}
	calls := 0
	facts := map[string]Fact{
		"read": func(n *Node) (any, error) { return n.Read("abcd") },
		"seen": func(n *Node) (any, error) {
			calls++
			f, err := n.Facts()
			return f.User + fmt.Sprint(f.Own["rack"], len(f.Own)), err
		},
	}
	run := func() HostReport {
		t.Helper()
		scripts, calls = 0, 0
		r, err := Run(t.Context(), target, func(n *Node) error {
			for range 2 {
				f, err := n.Facts()
				if err != nil {
					return err
				}
				if got := fmt.Sprint(f.Own); got != "map[json:map[n:[1.5]] number:1.10 rack:a7 read:read seen:roota73]" {
					return errors.New(got)
				}
			}
			return nil
		}, Options{TrustReads: true, FactsDir: "/x/facts", Facts: facts})
		if err != nil {
			t.Fatal(err)
		}
		return r.Hosts[0]
	}
	if h := run(); !h.Stable || scripts != 1 || calls != 2 {
		t.Errorf("%+v, %d exchanges, %d calls", h, scripts, calls)
	}
	facts["rack"] = func(*Node) (any, error) { return 1, nil }
	if h := run(); h.Error != "the fact rack: it is in /x/facts on the host, too" {
		t.Errorf("%+v", h)
	}
	facts["rack"] = func(*Node) (any, error) { return nil, errors.New("no rack") }
	if h := run(); h.Error != "the fact rack: no rack" {
		t.Errorf("%+v", h)
	}
	delete(facts, "rack")
	for more, want := range map[string]string{
		answer("fact", 1, "os-release", "cat: /etc/os-release: Permission denied"): "facts: cat: /etc/os-release: Permission denied",
		answer("failed", 3, "/x/facts/disk.sh", ""):                                "facts: /x/facts/disk.sh ended with exit code 3: no disk",
		answer("failed", 124, "/x/facts/disk.sh", ""):                              "facts: /x/facts/disk.sh took longer than a minute",
		answer("own", 0, "half", "{"):                                              "facts: the fact half of /x/facts is no JSON, though it begins as that: ",
	} {
		before := said
		said += more
		if h := run(); h.Stable || !strings.HasPrefix(h.Error, want) {
			t.Errorf("%+v, want %s", h, want)
		}
		said = before
	}
	if _, err := Run(t.Context(), target, nil, Options{FactsDir: "facts"}); err == nil || !strings.Contains(err.Error(), "the folder of facts") {
		t.Error(err)
	}
}
