package all

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
	lablibvirt "github.com/jarvisops/jarvis/lab/libvirt"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

func libvirtWorld(t *testing.T, change ...string) (*world, *lablibvirt.Server) {
	t.Helper()
	w := newWorld(t, siteOf(t, "libvirt"), change...)
	return w, w.cloud.(*lablibvirt.Server)
}

// TestLibvirtMakesWhatIsAsked: each word of a clipboard that libvirt honours is seen in what libvirt has, and each that
// it does not honour is refused before anything is made.
func TestLibvirtMakesWhatIsAsked(t *testing.T) {
	t.Parallel()
	w, cloud := libvirtWorld(t)
	for _, refused := range []string{"network: {address: 10.0.0.5/24}", "disks: [{size: 1GB, type: ssd}]", "options: {spot: true}", "disk: 10MB", "size: {memory: 512MB, cpus: 999}"} {
		r := w.until(w.start(w.clipboard("loki", "#place", refused, "  size: 512\n", map[bool]string{true: "", false: "  size: 512\n"}[strings.HasPrefix(refused, "size")]), "keys:create", "sp:deploy"), nil)
		t.Logf("%s: %s", refused, r.Error)
		if r.State != pipeline.Failed {
			t.Errorf("%s: the run is %s: %s", refused, r.State, r.Error)
		}
		must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(t)
	}
	w.machines()
	w.ready(w.start(w.clipboard("loki", "size: 512", "size: {memory: 512MB, cpus: 2}", "#place", "disk: 3GB\n  disks: [{size: 1GB}, {size: 2GB}]\n  tags: {team: 'a <b> & \"c\"'}\n  login: {user: admin}\n  user_data: |\n    #cloud-config\n    packages: [vim]"),
		"keys:create", "sp:deploy"))
	facts := cloud.Facts("loki.websages.com")
	for _, want := range []string{"<memory unit='KiB'>524288</memory>", "<vcpu placement='static'>2</vcpu>", "root.qcow2: 3072 MB", "disk1.qcow2: 1024 MB", "disk2.qcow2: 2048 MB", `name="team" value="a &lt;b&gt; &amp; &quot;c&quot;"`, "packages:", "name: admin",
		"local-hostname: loki.websages.com", "dhcp4: true", "autostart 1"} {
		if !strings.Contains(facts, want) {
			t.Errorf("libvirt has no %q in\n%s", want, facts)
		}
	}
}

// TestLibvirtLeavesNothingHalf: the connection breaks while the disks are made, before there is a machine. The next try
// makes them afresh; when it breaks at every try, undo finds what was left by the token, and nothing else.
func TestLibvirtLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	w, cloud := libvirtWorld(t)
	w.cloud.Chaos().Next(lab.Lost, "StorageVolUpload", 1)
	w.ready(w.start(w.clipboard("other"), whole...))
	theirs := must(cloud.Daemon.Volumes())(t)
	if len(theirs) != 2 {
		t.Fatalf("other has the volumes %v", theirs)
	}
	w.cloud.Chaos().Next(lab.Lost, "StorageVolUpload", 100)
	r := w.failed(w.start(w.clipboard("loki"), whole...), "the connection to libvirt on 127.0.0.1:")
	if now := must(cloud.Daemon.Volumes())(t); len(now) <= 2 {
		t.Fatalf("nothing was begun, and this test shows nothing: %v", now)
	}
	w.undone(r)
	if now := must(cloud.Daemon.Volumes())(t); !slices.Equal(now, theirs) {
		t.Errorf("undo left %v, want %v", now, theirs)
	}
	w.machines("other")
}

// TestLibvirtDeletesInOrder: whatever breaks off a destroy, the machine keeps its marks until all of its disks are
// gone, so that the next try knows what is left.
func TestLibvirtDeletesInOrder(t *testing.T) {
	t.Parallel()
	w, cloud := libvirtWorld(t)
	w.ready(w.start(w.clipboard("loki"), whole...))
	w.cloud.Chaos().Next(lab.Broken, "DomainUndefineFlags", 2)
	w.ready(w.start(w.clipboard("loki"), "sp:destroy"))
	w.machines()
	if now := must(cloud.Daemon.Volumes())(t); len(now) > 0 {
		t.Errorf("the pool still has %v", now)
	}
}

// TestLibvirtForwards: in qemu's own network every machine has an address of the range of its own, at which qemu
// listens for it on the port of the clipboard's login, or else of the configuration; when all are in use, that is said.
func TestLibvirtForwards(t *testing.T) {
	t.Parallel()
	w, _ := libvirtWorld(t, "network: user", "network: user, forward: {addresses: 127.77.13.0/30, port: 2222}")
	port := must(freePort())(t)
	for _, m := range []struct{ host, login, want string }{{"loki", "", "127.77.13.1:2222"}, {"thor", "login: {port: " + port + "}", "127.77.13.2:" + port}} {
		r := w.ready(w.start(w.clipboard(m.host, "#place", m.login), "keys:create", "sp:deploy", "sp:get_pub_ip"))
		if got := w.engine.Value(r, "ipaddress") + ":" + w.engine.Value(r, "ssh_port"); got != m.want {
			t.Errorf("%s is at %s, want %s", m.host, got, m.want)
		}
		// Whoever reaches the host later (checks, exec, run) learns the port from the record.
		if h := must(w.engine.FindHost(w.Context(), m.host))(t); net.JoinHostPort(h.Reach.Addr, strconv.Itoa(h.Reach.Login.Port)) != m.want {
			t.Errorf("%s is reached at %s, port %d, want %s", m.host, h.Reach.Addr, h.Reach.Login.Port, m.want)
		}
		c, err := net.DialTimeout("tcp", m.want, 5*time.Second)
		if err != nil {
			t.Errorf("nobody listens for %s: %v", m.host, err)
			continue
		}
		_ = c.Close()
	}
	w.failed(w.start(w.clipboard("odin"), "keys:create", "sp:deploy"), "every address of workers.libvirt.forward.addresses (127.77.13.0/30) has its machine")
	w.machines("loki", "thor")
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.77.13.2:0")
	if err != nil {
		return "", err
	}
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), l.Close()
}

// TestLibvirtAdoptsAndGivesBack: a host is moved to another installation with its machine. The marks in the domain's
// metadata are changed and nothing else of it, on disk as in what runs; its volumes stay its own, and go when it is
// destroyed.
func TestLibvirtAdoptsAndGivesBack(t *testing.T) {
	t.Parallel()
	w, cloud := libvirtWorld(t)
	r := w.ready(w.start(w.with(said{lines: "tags: {team: web}\ndisks: [{size: 1GB}]"}), whole...))
	id := w.engine.Value(r, "provider_id")
	before := cloud.Facts("loki.websages.com")
	w.engine = w.newEngine(w.cloud.Config())
	c := w.clipboard("loki")
	if err := c.Set("adopt_id", id); err != nil {
		t.Fatal(err)
	}
	w.refused(w.clipboard("loki"), id, "sp:shutdown")
	adopted := w.ready(w.start(c.Clone(), "libvirt:adopt"))
	for _, want := range []string{"team", "web", pipeline.OwnerOf(w.engine.Installation(), "loki.websages.com")} {
		if now := cloud.Facts("loki.websages.com"); !strings.Contains(now, want) {
			t.Errorf("after adopt %q is not in\n%s", want, now)
		}
	}
	w.undone(adopted)
	// libvirt itself adds its prefix for the namespace.
	if now := strings.Replace(cloud.Facts("loki.websages.com"), ` xmlns:jarvis="https://github.com/jarvisops/jarvis/libvirt"`, "", 1); now != before {
		t.Errorf("after undo the machine is\n%s\nand was\n%s", now, before)
	}
	// What is stored has the marks too: they are there after a power cycle.
	w.ready(w.start(c.Clone(), "libvirt:adopt", "sp:shutdown", "sp:startup", "sp:shutdown", "sp:destroy"))
	w.machines()
	if now := must(cloud.Daemon.Volumes())(t); len(now) > 0 {
		t.Errorf("destroy left the volumes %v", now)
	}
}

// TestLibvirtTakesAsManyDisksAsItSays: what plan lets pass, libvirt and qemu take.
func TestLibvirtTakesAsManyDisksAsItSays(t *testing.T) {
	t.Parallel()
	w, _ := libvirtWorld(t)
	w.ready(w.start(w.with(said{lines: "disks: [" + strings.TrimSuffix(strings.Repeat("{size: 1MB},", 24), ",") + "]"}), whole...))
	w.machines("loki")
}

// TestLibvirtRemovesWhatCanNeverBeOn: the hypervisor does not let a new machine into its bridge, which shows only when
// it is powered on. Nothing stays; a machine that was on once stays, whatever became of its bridge.
func TestLibvirtRemovesWhatCanNeverBeOn(t *testing.T) {
	t.Parallel()
	w, cloud := libvirtWorld(t)
	mark := provider.Mark{Token: "jarvis-00000000-1", Owner: "jarvis-00000000:loki.websages.com"}
	s := must(w.calls.Spec(w.clipboard("loki")))(t)
	s.UserData = "#cloud-config\n"
	make := func() provider.Machine { return must(w.calls.Create(t.Context(), s, mark))(t) }
	bridge := func(m provider.Machine) {
		l := must(cloud.Daemon.Dial())(t)
		defer func() { _ = l.Disconnect() }()
		dom := must(l.DomainLookupByName("loki.websages.com"))(t)
		desc := must(l.DomainGetXMLDesc(dom, 0))(t)
		changed := regexp.MustCompile(`(?s)<interface type='user'>(.*?)</interface>`).ReplaceAllString(desc, "<interface type='bridge'><source bridge='nonexist'/>$1</interface>")
		if changed == desc {
			t.Fatalf("there is no interface in %s", desc)
		}
		must(l.DomainDefineXML(changed))(t)
	}
	m := make()
	bridge(m)
	err := w.calls.Finish(t.Context(), s, m, mark)
	if err == nil || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "the hypervisor does not let the machine into its bridge: make the bridge") {
		t.Errorf("Finish = %v", err)
	}
	w.machines()
	if now := must(cloud.Daemon.Volumes())(t); len(now) > 0 {
		t.Errorf("the pool still has %v", now)
	}
	m = make()
	if err := w.calls.Finish(t.Context(), s, m, mark); err != nil {
		t.Fatal(err)
	}
	if err := w.calls.Kill(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	bridge(m)
	if err := w.calls.Finish(t.Context(), s, m, mark); err == nil {
		t.Error("it is on, in a bridge that is not there")
	}
	w.machines("loki")
}

// TestLibvirtUndefined: somebody takes a machine away by hand, in the ways that virsh has. Each is found, and a
// redeploy goes through and leaves one machine with its own volumes.
func TestLibvirtUndefined(t *testing.T) {
	t.Parallel()
	w, cloud := libvirtWorld(t)
	for _, c := range []struct {
		name string
		do   func(id string) error
		want string
	}{
		{"destroyed and undefined, its disks left", cloud.Undefine, "libvirt:deploy: the machine |gone, but for its disks instead of there|`redeploy loki.websages.com`"},
		{"undefined while it runs", cloud.Loosen, "undefined, and gone once it stops instead of kept when it stops|define it again while it runs"},
		{"paused", cloud.Pause, "paused instead of running"},
	} {
		r := w.ready(w.start(w.clipboard("loki"), whole...))
		w.looks(r)
		if err := c.do(w.engine.Value(r, "provider_id")); err != nil {
			t.Fatal(err)
		}
		for _, d := range w.looks(r, c.want).Differs {
			t.Logf("%s: %s", c.name, d.Said())
		}
		r = w.ready(w.start(w.clipboard("loki"), rebuilt...))
		w.machines("loki")
		w.looks(r)
		w.ready(w.start(w.clipboard("loki"), "sp:shutdown", "sp:destroy"))
		w.machines()
		if now := must(cloud.Daemon.Volumes())(t); len(now) > 0 {
			t.Errorf("%s: destroy left the volumes %v", c.name, now)
		}
	}
}
