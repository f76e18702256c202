package esx

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/provider"
)

// TestGuestAddresses: VMware Tools may name docker0's address as the guest's. The machine's own cards come first.
func TestGuestAddresses(t *testing.T) {
	nic := func(device int32, ips ...string) types.GuestNicInfo {
		return types.GuestNicInfo{DeviceConfigId: device, IpAddress: ips}
	}
	for _, c := range []struct {
		name  string
		guest types.GuestInfo
		want  string // the first; "" for none
	}{
		{"docker0 is named", types.GuestInfo{IpAddress: "172.17.0.1", Net: []types.GuestNicInfo{nic(-1, "172.17.0.1"), nic(4000, "192.0.2.7")}}, "192.0.2.7"},
		{"docker0 is all there is yet", types.GuestInfo{IpAddress: "172.17.0.1", Net: []types.GuestNicInfo{nic(-1, "172.17.0.1")}}, ""},
		{"the named one is a card's", types.GuestInfo{IpAddress: "192.0.2.8", Net: []types.GuestNicInfo{nic(4000, "192.0.2.7", "192.0.2.8")}}, "192.0.2.8"},
		{"no cards are told of", types.GuestInfo{IpAddress: "192.0.2.9"}, "192.0.2.9"},
		{"nothing yet", types.GuestInfo{}, ""},
	} {
		got := ""
		if list := slices.DeleteFunc(guestAddresses(&c.guest), func(s string) bool { _, err := netip.ParseAddr(s); return err != nil }); len(list) > 0 {
			got = list[0]
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// world is a vSphere of the simulator.
func world(t *testing.T, m *simulator.Model, change func(*Config)) *Worker {
	t.Helper()
	if err := m.Create(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Remove)
	m.Service.TLS = new(tls.Config)
	s := m.Service.NewServer()
	t.Cleanup(s.Close)
	cfg := Config{URL: clipboard.Secret(s.URL.String()), Insecure: true}
	change(&cfg)
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func plan(t *testing.T, w *Worker, lines string) string {
	t.Helper()
	c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.example.org\n  provider: ESX\n" + lines))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range provider.Steps(w.Calls(), nil) {
		if s.Name == "esx:deploy" {
			text, err := s.Plan(t.Context(), c)
			if err != nil {
				return "refused: " + err.Error()
			}
			return text
		}
	}
	return ""
}

// TestPlaces: what is configured or asked for and is not there is told with what there is; a cluster's name is its
// pool, a datastore cluster's one of its datastores.
func TestPlaces(t *testing.T) {
	model := func() *simulator.Model {
		m := simulator.VPX()
		m.Pod = 1
		return m
	}
	for _, c := range []struct{ name, lines, want string }{
		{"as it is configured", "", "would clone DC0_H0_VM0 to loki in vm, pool Resources, datastore LocalDS_0"},
		{"a cluster by its name", "  options: {pool: DC0_C0}\n", "pool Resources"},
		{"a pool that is not there", "  options: {pool: DC0_CO}\n", `has no pool "DC0_CO"; did you mean "DC0_C0"?`},
		{"a datastore that is not there", "  options: {datastore: LocalDS_9}\n", `has no datastore "LocalDS_9"; did you mean "LocalDS_0"?`},
		{"an empty datastore cluster", "  options: {datastore: DC0_POD0}\n", "the datastore cluster DC0_POD0 has no datastore that can be used now"},
		{"a portgroup that is not there", "  network: {portgroup: DC0_DVPG9}\n", `has no network "DC0_DVPG9"; did you mean "DC0_DVPG0"?`},
		{"another system than the only template", "  guestid: Debian 13\n", `the clipboard asks for "Debian 13", and the only template is DC0_H0_VM0`},
		{"a smaller disk", "  disk: 1GB\n", `"disk" is 1 GB, and that of the template DC0_H0_VM0 has`},
		{"a linked clone without a snapshot", "  options: {linked: true}\n", "a linked clone needs a snapshot"},
		{"an address without a length", "  network: {address: 10.0.0.5, gateway: 10.0.0.1}\n", "needs its length, as in 10.0.0.5/24"},
		{"a gateway elsewhere", "  network: {address: 10.0.0.5/24, gateway: 10.0.1.1}\n", "needs a gateway in its network"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := world(t, model(), func(cfg *Config) {
				cfg.Template, cfg.Pool, cfg.Datastore = "DC0_H0_VM0", "DC0_H0", "LocalDS_0"
			})
			if got := plan(t, w, c.lines); !strings.Contains(got, c.want) {
				t.Errorf("it says %q, want %q", got, c.want)
			}
		})
	}
	t.Run("a folder that is not there", func(t *testing.T) {
		w := world(t, model(), func(cfg *Config) { cfg.Template, cfg.Folder = "DC0_H0_VM0", "wm" })
		if got := plan(t, w, ""); !strings.Contains(got, `has no folder "wm"`) || !strings.Contains(got, "vm") {
			t.Errorf("it says %q", got)
		}
	})
	t.Run("an ESXi host of its own", func(t *testing.T) {
		w := world(t, simulator.ESX(), func(cfg *Config) { cfg.Template = "ha-host_VM0" })
		if got := plan(t, w, ""); !strings.Contains(got, "which cannot clone; give workers.esx.url a vCenter") {
			t.Errorf("it says %q", got)
		}
	})
}
