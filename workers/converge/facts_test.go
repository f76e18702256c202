package converge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jarvisops/jarvis/converge"
)

// factsOf gives what a run finds out of a host, and what it reports.
func factsOf(t *testing.T, target converge.Target, o converge.Options, more ...converge.Resource) (f converge.Facts, rep converge.HostReport) {
	t.Helper()
	r := up(t, []converge.Target{target}, func(n *converge.Node) (err error) {
		n.Want(more...)
		f, err = n.Facts()
		return err
	}, o)
	return f, r.Hosts[0]
}

func text(s []int8) string {
	var b strings.Builder
	for _, c := range s {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}

// true here: what the kernel tells us by other ways than those that a host is asked by. Hosts of the lab have this
// machine's kernel, processors and network.
func kernelSays(t *testing.T, f converge.Facts) {
	t.Helper()
	var u syscall.Utsname
	var si syscall.Sysinfo_t
	if err := syscall.Uname(&u); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Sysinfo(&si); err != nil {
		t.Fatal(err)
	}
	if f.Kernel != (converge.Kernel{Name: "Linux", Release: text(u.Release[:]), Version: text(u.Version[:])}) || f.Arch != text(u.Machine[:]) {
		t.Errorf("%+v %s", f.Kernel, f.Arch)
	}
	if unit := int64(si.Unit); f.Memory>>20 != int64(si.Totalram)*unit>>20 || f.Swap>>20 != int64(si.Totalswap)*unit>>20 || f.CPUs < 1 {
		t.Errorf("%d bytes, %d of swap, %d processors; the kernel says %+v", f.Memory, f.Swap, f.CPUs, si)
	}
	here, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range here {
		is := f.Interface(i.Name)
		if mac := i.HardwareAddr.String(); is.MTU != i.MTU || mac != "" && is.MAC != mac {
			t.Errorf("%+v is %+v", is, i)
		}
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if !slices.ContainsFunc(is.Addresses, func(p netip.Prefix) bool { return p.String() == a.String() }) {
				t.Errorf("%s has %s, and not %s", i.Name, is.Addresses, a)
			}
		}
	}
}

// busyBox is a host whose shell and commands are busybox's alone.
type busyBox struct{ converge.Host }

func (b busyBox) Sh(ctx context.Context, script string) (string, string, int, error) {
	end := "BUSYBOX"
	for strings.Contains(script, end) {
		end += "_"
	}
	return b.Host.Sh(ctx, "[ -d /bb ] || { mkdir /bb; busybox --install -s /bb; }\nenv -i PATH=/bb HOME=/root /bb/sh -c 's=$(cat; printf .); eval \"${s%.}\" < /dev/null' <<'"+end+"'\n"+script+"\n"+end+"\n")
}

// TestFacts: as root, through sudo, as somebody, and where there is busybox and nothing else, in one exchange with all
// that resources ask.
func TestFacts(t *testing.T) {
	targets, hosts := start(t, 1)
	h := hosts[0]
	for name, text := range map[string]string{"etc/machine-id": "00112233445566778899aabbccddeeff\n", "etc/timezone": "Europe/Madrid\n", "etc/hosts": "127.0.0.1 localhost\n127.0.0.1 web1.example.org web1\n"} {
		if err := os.WriteFile(filepath.Join(h.Root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(filepath.Join(h.Root, "etc/localtime"))
	onHost(t, targets[0], "mount -t sysfs -o ro sysfs /sys; useradd op; echo 'op ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/op")
	var first converge.Facts
	for _, c := range []struct {
		name string
		with func(converge.Host) converge.Host
		user string
	}{
		{name: "as root", user: "root"},
		{name: "busybox", with: func(h converge.Host) converge.Host { return busyBox{h} }, user: "root"},
		{name: "through sudo", with: func(h converge.Host) converge.Host {
			return somebody{h, "setpriv --reuid op --regid op --init-groups sudo -n"}
		}, user: "root"},
		{name: "as somebody", with: func(h converge.Host) converge.Host {
			return somebody{h, "setpriv --reuid nobody --regid nogroup --clear-groups"}
		}, user: "nobody"},
		{name: "as root who may not mount", with: func(h converge.Host) converge.Host {
			return somebody{h, "setpriv --bounding-set=-sys_admin --inh-caps=-all"}
		}, user: "root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := targets[0]
			target.Dial = func(ctx context.Context) (converge.Host, func(), error) {
				h, done, err := targets[0].Dial(ctx)
				if c.with != nil && err == nil {
					h = c.with(h)
				}
				return h, done, err
			}
			f, rep := factsOf(t, target, converge.Options{}, converge.File{Path: "/srv/none", Absent: true})
			if !rep.Stable || rep.Exchanges != 1 {
				t.Fatalf("%+v", rep)
			}
			kernelSays(t, f)
			if f.Hostname != "web1" || f.User != c.user || f.Timezone != "Europe/Madrid" || f.MachineID != "00112233445566778899aabbccddeeff" {
				t.Errorf("%q %q %q %q", f.Hostname, f.User, f.Timezone, f.MachineID)
			}
			if f.FQDN != "web1.example.org" {
				t.Errorf("its whole name is %q", f.FQDN)
			}
			if f.OS.ID != "debian" || f.OS.Family != "debian" || f.OS.Version != "12" || f.OS.Codename != "bookworm" {
				t.Errorf("%+v", f.OS)
			}
			if root := f.Mount("/"); root.Type != "overlay" || root.Size == 0 || root.Options == nil || !slices.Contains(root.Options, "rw") {
				t.Errorf("%+v", root)
			}
			if f.Init != "tini" {
				t.Errorf("process 1 is %q", f.Init)
			}
			if c.name == "as root" {
				first = f
				if f.PackageManager != "apt" {
					t.Errorf("its packages are %q's", f.PackageManager)
				}
			}
			if f.Address4 != first.Address4 || f.Address6 != first.Address6 {
				t.Errorf("%s %s, and before %s %s", f.Address4, f.Address6, first.Address4, first.Address6)
			}
			b, err := json.Marshal(f)
			if err != nil || strings.Contains(string(b), ":null") {
				t.Errorf("%s %v", b, err)
			}
		})
	}
}

// onHost runs a script that must go well.
func onHost(t *testing.T, target converge.Target, script string) {
	t.Helper()
	h, done, err := target.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if _, said, exit, err := h.Sh(t.Context(), "set -e\n"+script); err != nil || exit != 0 {
		t.Fatalf("%v %d %s", err, exit, said)
	}
}

// somebody is a host where we log in as somebody.
type somebody struct {
	converge.Host
	as string // the command that makes us somebody
}

func (s somebody) Sh(ctx context.Context, script string) (string, string, int, error) {
	end := "SOMEBODY"
	for strings.Contains(script, end) {
		end += "_"
	}
	return s.Host.Sh(ctx, s.as+" sh -c 's=$(cat; printf .); eval \"${s%.}\" < /dev/null' <<'"+end+"'\n"+script+"\n"+end+"\n")
}

// TestFactsFolder: programs and files in the host's folder of facts are facts, when they are root's alone; one that
// fails, or writes, is told and its host left out.
func TestFactsFolder(t *testing.T) {
	targets, hosts := start(t, 1)
	dir := filepath.Join(hosts[0].Root, "etc/converge/facts.d")
	put := func(name, text string, mode os.FileMode) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	if f, rep := factsOf(t, targets[0], converge.Options{}); len(f.Own) != 0 || !rep.Stable {
		t.Fatalf("without a folder: %+v %v", rep, f.Own)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put("rack.sh", "#!/bin/sh\necho höher\n", 0o755)
	put("disks", "#!/bin/sh\nprintf '{\"count\": %s, \"of\": [\"%s\"]}' 2 \"$(pwd)\"\n", 0o755)
	put("release.txt", "1.10\n", 0o644)
	put("list.json", "[1, 2]\n", 0o644)
	put("old.bak", "#!/bin/sh\nexit 1\n", 0o755)
	f, rep := factsOf(t, targets[0], converge.Options{})
	if got, want := fmt.Sprint(f.Own), "map[disks:map[count:2 of:[/etc/converge/facts.d]] list:[1 2] rack:höher release:1.10]"; got != want || !rep.Stable || rep.Exchanges != 1 {
		t.Errorf("%s\n%+v", got, rep)
	}
	for _, c := range []struct {
		name, text, want string
		mode             os.FileMode
		own              int
	}{
		{"fails", "#!/bin/sh\necho 'no such rack' >&2\nexit 4\n", "/etc/converge/facts.d/fails ended with exit code 4: no such rack", 0o755, 0},
		{"writes", "#!/bin/sh\necho x > /srv/wrote\n", "a script that may only read tried to write: ", 0o755, 0},
		{"open", "#!/bin/sh\necho x\n", "/etc/converge/facts.d/open is a link, belongs to somebody else than root, or others may write it", 0o775, 0},
		{"theirs", "#!/bin/sh\necho x\n", "/etc/converge/facts.d/theirs is a link, belongs to somebody else than root, or others may write it", 0o755, 1234},
		{"half", "{", "the fact half of /etc/converge/facts.d is no JSON, though it begins as that", 0o644, 0},
	} {
		put(c.name, c.text, c.mode)
		if err := os.Chown(filepath.Join(dir, c.name), c.own, 0); err != nil {
			t.Fatal(err)
		}
		if _, rep := factsOf(t, targets[0], converge.Options{}); rep.Stable || !strings.Contains(rep.Error, c.want) {
			t.Errorf("%s: %+v", c.name, rep)
		}
		if err := os.Remove(filepath.Join(dir, c.name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, rep := factsOf(t, targets[0], converge.Options{}); !strings.Contains(rep.Error, "the folder /etc/converge/facts.d belongs to somebody else than root, or others may write there: nothing in it is run") {
		t.Errorf("%+v", rep)
	}
	if _, err := os.Stat(filepath.Join(hosts[0].Root, "srv/wrote")); err == nil {
		t.Error("a fact wrote")
	}
}

// TestFactsAreAsTheRunLeavesThem: what a run changes is seen by what is made from it in the same run, so that a second
// run is silent.
func TestFactsAreAsTheRunLeavesThem(t *testing.T) {
	targets, hosts := start(t, 1)
	_ = os.Remove(filepath.Join(hosts[0].Root, "etc/localtime")) // it would win
	calls := 0
	want := func(n *converge.Node) error {
		n.Want(converge.File{Path: "/etc/timezone", Content: "Asia/Tokyo\n"})
		f, err := n.Facts()
		if err != nil {
			return err
		}
		n.Want(converge.File{Path: "/etc/zone", Content: f.Timezone + "\n"})
		return nil
	}
	o := converge.Options{Facts: map[string]converge.Fact{"calls": func(*converge.Node) (any, error) { calls++; return strconv.Itoa(calls), nil }}}
	if rep := up(t, targets, want, o); !rep.Hosts[0].Stable || read(hosts[0], "etc/zone") != "Asia/Tokyo\n" {
		t.Errorf("%+v %s", rep, read(hosts[0], "etc/zone"))
	}
	calls = 0
	if rep := up(t, targets, want, o); !rep.Hosts[0].Stable || rep.Changed() != 0 || calls > 2 {
		t.Errorf("%+v, %d calls", rep, calls)
	}
}

// TestScriptsOfYoursAreKeptFromWriting: where a host cannot do that, what is ours is read all the same, and what is not
// is refused, unless TrustReads says that it may.
func TestScriptsOfYoursAreKeptFromWriting(t *testing.T) {
	targets, hosts := start(t, 1)
	if err := os.MkdirAll(filepath.Join(hosts[0].Root, "etc/converge/facts.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(hosts[0].Root, "etc/converge/facts.d/rack")
	for _, as := range []string{"setpriv --reuid nobody --regid nogroup --clear-groups", "setpriv --bounding-set=-sys_admin --inh-caps=-all"} {
		target := targets[0]
		target.Dial = func(ctx context.Context) (converge.Host, func(), error) {
			h, done, err := targets[0].Dial(ctx)
			return somebody{h, as}, done, err
		}
		read := func(n *converge.Node) error { _, err := n.Read("echo so"); return err }
		if h := up(t, []converge.Target{target}, read, converge.Options{}).Hosts[0]; !strings.Contains(h.Error, "its file systems cannot be made read-only for a script of yours") {
			t.Errorf("%s: %q", as, h.Error)
		}
		if h := up(t, []converge.Target{target}, read, converge.Options{TrustReads: true}).Hosts[0]; !h.Stable {
			t.Errorf("%s: %q", as, h.Error)
		}
		if err := os.WriteFile(program, []byte("#!/bin/sh\necho a7\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, h := factsOf(t, target, converge.Options{}); !strings.Contains(h.Error, "/etc/converge/facts.d/rack is a program, which cannot be kept from writing here") {
			t.Errorf("%s: %q", as, h.Error)
		}
		if f, h := factsOf(t, target, converge.Options{TrustReads: true}); f.Own["rack"] != "a7" || !h.Stable {
			t.Errorf("%s: %q %v", as, h.Error, f.Own)
		}
		if err := os.Remove(program); err != nil {
			t.Fatal(err)
		}
	}
}
