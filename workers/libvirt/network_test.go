package libvirt_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
	"github.com/jarvisops/jarvis/workers/libvirt"
)

// system is a libvirtd as root, with networks, and our calls to it.
type system struct {
	*testing.T
	daemon *real.Libvirt
	calls  provider.Calls
}

func newSystem(t *testing.T, change func(*libvirt.Config)) *system {
	t.Helper()
	d, err := real.StartLibvirtSystem(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	if err := d.Blank(t.Context(), "debian12.qcow2"); err != nil {
		t.Fatal(err)
	}
	cfg := libvirt.Config{Socket: d.Socket, Type: "qemu", Images: map[string]string{"Debian 12": d.Images + "/debian12.qcow2"}}
	if change != nil {
		change(&cfg)
	}
	w, err := libvirt.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &system{T: t, daemon: d, calls: w.Calls()}
}

func (s *system) spec(host, more string) provider.Spec {
	s.Helper()
	c, err := clipboard.Parse(fmt.Appendf(nil, "instance:\n  hostname: %[1]s\n  fqdn: %[1]s.websages.com\n  guestid: Debian 12\n  size: 64\n%[2]s", host, more))
	if err != nil {
		s.Fatal(err)
	}
	out, err := s.calls.Spec(c)
	if err != nil {
		s.Fatal(err)
	}
	out.UserData = "#cloud-config\n"
	return out
}

// runs makes a machine and powers it on.
func (s *system) runs(host, more string) provider.Machine {
	s.Helper()
	spec, mark := s.spec(host, more), provider.Mark{Token: "jarvis-00000000-" + host, Owner: "jarvis-00000000:" + host + ".websages.com"}
	m, err := s.calls.Create(s.Context(), spec, mark)
	if err == nil {
		err = s.calls.Finish(s.Context(), spec, m, mark)
	}
	if err == nil {
		m, err = s.calls.Get(s.Context(), m.ID)
	}
	if err != nil {
		s.Fatal(err)
	}
	return m
}

func (s *system) plan(host, more string) string {
	text, err := s.calls.Plan(s.Context(), s.spec(host, more))
	if err != nil && !pipeline.IsPermanent(err) {
		s.Errorf("a retry would not cure this: %v", err)
	}
	return fmt.Sprint(text, err)
}

// TestNetworks: a machine is in libvirt's network, whose DHCP tells its address, or in the bridge that the clipboard
// names; what is not there is named before anything is made.
func TestNetworks(t *testing.T) {
	s := newSystem(t, nil)
	ctx := t.Context()
	if err := s.daemon.Bridge(ctx, "br7"); err != nil {
		t.Fatal(err)
	}
	if got := s.plan("loki", ""); !strings.Contains(got, ", network default, with 64 MB, 1 CPU, a disk of 64 MB") {
		t.Errorf("plan = %s", got)
	}
	if got := s.plan("loki", "  network: {bridge: br7}\n"); !strings.Contains(got, ", bridge br7, with") {
		t.Errorf("plan = %s", got)
	}
	m := s.runs("loki", "")
	if m.State != provider.Running || m.V4.IsValid() || len(m.MACs) != 1 {
		t.Fatalf("the machine is %+v", m)
	}
	if err := s.daemon.AskAddress(ctx, m.MACs[0]); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 100 { // dnsmasq tells libvirt of a lease in its own time
		if m, err = s.calls.Get(ctx, m.ID); err != nil || m.V4.IsValid() {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil || !strings.HasPrefix(m.V4.String(), real.SystemNetwork) {
		t.Errorf("its address is %s, %v; want one of %s", m.V4, err, real.SystemNetwork)
	}
	s.runs("thor", "  network: {bridge: br7}\n")
	s.runs("odin", "  network: {bridge: default}\n")
	for bridge, want := range map[string]int{"virbr0": 3, "br7": 1} { // the one who asked for loki's address is in it too
		if got, err := s.daemon.Ports(ctx, bridge); err != nil || strings.Count(got, "\n") != want {
			t.Errorf("in %s are %q, %v; want %d", bridge, got, err, want)
		}
	}
}

// TestWhatIsNotThereIsNamed: a network, a pool, an image and KVM that are not there.
func TestWhatIsNotThereIsNamed(t *testing.T) {
	s := newSystem(t, nil)
	for _, tc := range []struct {
		change func(*libvirt.Config)
		want   string
	}{
		{func(c *libvirt.Config) { c.Network = "defualt" }, `has no network "defualt"; did you mean "default"?`},
		{func(c *libvirt.Config) { c.Pool = "imagse" }, `has no storage pool "imagse"; did you mean "images"?`},
		{func(c *libvirt.Config) { c.Images = map[string]string{"Debian 12": "images/debian13.qcow2"} }, `the storage pool images has no image "debian13.qcow2"; did you mean "debian12.qcow2"?`},
		{func(c *libvirt.Config) { c.Images = map[string]string{"Debian 12": "/srv/debian12.qcow2"} }, `the image /srv/debian12.qcow2 is in no storage pool of libvirt on this machine`},
		{func(c *libvirt.Config) { c.Images = map[string]string{"Debian 12": "debian12.qcow2"} }, `is neither POOL/VOLUME nor a path`},
		{func(c *libvirt.Config) { c.Images = nil }, `no image is configured; set workers.libvirt.images`},
	} {
		cfg := libvirt.Config{Socket: s.daemon.Socket, Type: "qemu", Images: map[string]string{"Debian 12": "images/debian12.qcow2"}}
		tc.change(&cfg)
		w, err := libvirt.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.calls = w.Calls()
		if got := s.plan("loki", ""); !strings.Contains(got, tc.want) {
			t.Errorf("plan said %s; want %s", got, tc.want)
		}
	}
}

// TestConfig: what is wrong in the configuration is said before anything connects.
func TestConfig(t *testing.T) {
	for want, c := range map[string]libvirt.Config{
		"whoever listens owns the hypervisor": {URL: "qemu+tcp://hypervisor.example.org/system"},
		"open a tunnel":                       {URL: "qemu+ssh://hypervisor.example.org/system"},
		"write qemu:///system":                {URL: "qemu:///"},
		"and url is":                          {URL: "qemu+tcp://127.0.0.1/system", Socket: "/run/x"},
		"kvm or qemu":                         {Type: "xen"},
		"is for network: user":                {Forward: libvirt.Forward{Addresses: "127.0.13.0/24"}},
		"nobody reaches a machine there without forward": {URL: "qemu:///session", Network: "user"},
		"write a range of IPv4 addresses":                {Network: "user", Forward: libvirt.Forward{Addresses: "127.0.13.1"}},
		"between 1 and 65535":                            {Network: "user", Forward: libvirt.Forward{Addresses: "127.0.13.0/24", Port: 70000}},
		"the same to whoever says them":                  {Images: map[string]string{"Debian 12": "a/b", "debian12": "a/c"}},
		"which libvirt cannot do here":                   {Defaults: provider.Wish{Network: provider.Network{VLAN: "7"}}},
	} {
		if _, err := libvirt.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New said %v; want %q", err, want)
		}
	}
	for _, c := range []libvirt.Config{{}, {URL: "qemu+tcp://localhost/session"}, {URL: "qemu+tcp://10.0.0.1/system", Insecure: true}, {URL: "qemu:///session", Network: "user", Bridge: "br0"},
		{URL: "qemu:///session", Network: "user", Forward: libvirt.Forward{Addresses: "127.0.13.0/24"}}} {
		if _, err := libvirt.New(c); err != nil {
			t.Errorf("New(%+v) = %v", c, err)
		}
	}
}
