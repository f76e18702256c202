package libvirt

import (
	"cmp"
	"encoding/xml"
	"errors"
	"slices"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// interfaceName is what Linux takes for the name of a network interface (dev_valid_name), and libvirt's schema for a
// device's.
var interfaceName = pattern.New(`^[A-Za-z0-9_.:-]{1,15}$`)

// errBridge: the hypervisor does not have the bridge, or does not let the machine into it.
var errBridge = errors.New("the hypervisor does not let the machine into its bridge")

// bridgeWords are libvirt's, when a machine is powered on: with root, and by qemu's helper without.
var bridgeWords = []string{"bridge helper", "bridge-helper", "Cannot get interface MTU", "Unable to add bridge"}

// checkBridge makes sure that the hypervisor has a bridge, as far as libvirt can tell. Whether qemu's helper lets a
// machine of qemu:///session into it stands in a file (/etc/qemu/bridge.conf) that libvirt does not show.
func (w *Worker) checkBridge(l *golibvirt.Libvirt, said string) error {
	networks, err := networks(l)
	if err != nil {
		return err
	}
	cards, err := cards(l)
	switch {
	case err != nil:
		return err
	case slices.Contains(cards, said):
		return w.isBridge(l, said)
	case interfaceName.MatchString(said) && len(cards) == 0:
		return nil
	}
	near := ""
	if n := pipeline.Nearest(said, slices.Concat(networks, cards)); n != "" {
		near = "; did you mean \"" + n + "\"?"
	}
	return pipeline.Permanentf("network: %s has no network and no bridge %q%s (networks: %s; network interfaces: %s)", w.host, said, near, cmp.Or(strings.Join(networks, ", "), "none"), cmp.Or(strings.Join(cards, ", "), "none"))
}

// isBridge makes sure that an interface is a bridge, when libvirt tells.
func (w *Worker) isBridge(l *golibvirt.Libvirt, said string) error {
	i, err := l.InterfaceLookupByName(said)
	if err != nil {
		return nil // known from the list of devices, which does not say what they are
	}
	text, err := l.InterfaceGetXMLDesc(i, 0)
	if err != nil {
		return nil // it is there, and what it is turns out later
	}
	var v struct {
		Type string `xml:"type,attr"`
	}
	if xml.Unmarshal([]byte(text), &v) == nil && v.Type != "" && v.Type != "bridge" {
		return pipeline.Permanentf("network: %q of %s is no bridge", said, w.host)
	}
	return nil
}

// networks lists libvirt's networks. A libvirtd without root may have none at all.
func networks(l *golibvirt.Libvirt) ([]string, error) {
	list, _, err := l.ConnectListAllNetworks(1, 0)
	if err != nil && !no(err, golibvirt.ErrNoSupport) {
		return nil, err
	}
	var out []string
	for _, n := range list {
		out = append(out, n.Name)
	}
	return out, nil
}

// noNetwork names the networks that there are.
func (w *Worker) noNetwork(l *golibvirt.Libvirt, said string) error {
	have, err := networks(l)
	if err != nil {
		return err
	}
	return provider.Unknown("network", said, append([]string{"user"}, have...), w.host)
}

// cards lists the hypervisor's network interfaces, bridges among them; none when libvirt cannot tell: it is built
// without what it needs for that, or does not see all, which it shows by not seeing the loopback.
func cards(l *golibvirt.Libvirt) ([]string, error) {
	var out []string
	list, _, err := l.ConnectListAllInterfaces(1, 0)
	if err != nil && !no(err, golibvirt.ErrNoSupport) {
		return nil, err
	}
	for _, i := range list {
		out = append(out, i.Name)
	}
	devices, _, err := l.ConnectListAllNodeDevices(1, uint32(golibvirt.ConnectListNodeDevicesCapNet))
	if err != nil && !no(err, golibvirt.ErrNoSupport) {
		return nil, err
	}
	for _, d := range devices {
		text, err := l.NodeDeviceGetXMLDesc(d.Name, 0)
		if err != nil {
			continue // it went meanwhile
		}
		var v struct {
			Interface string `xml:"capability>interface"`
		}
		if xml.Unmarshal([]byte(text), &v) == nil && v.Interface != "" {
			out = append(out, v.Interface)
		}
	}
	if !slices.Contains(out, "lo") {
		return nil, nil
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// ofHost gives how much of the pool the volumes of the host's own machine take, in bytes: a redeploy frees them before
// it makes the other one.
func (w *Worker) ofHost(l *golibvirt.Libvirt, owner string) (int64, error) {
	if owner == "" {
		return 0, nil
	}
	list, _, err := l.ConnectListAllDomains(1, 0)
	if err != nil {
		return 0, err
	}
	volumes, err := w.ours(l, w.cfg.Pool)
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for _, dom := range list {
		d, err := describe(l, dom)
		if err != nil || d.Metadata == nil {
			continue // it went meanwhile, or is none of ours
		}
		m := markOf(d.Metadata.XML, d.UUID)
		if m.Owner != owner || m.Pool != w.cfg.Pool {
			continue
		}
		for _, v := range volumes[m.volumes()] {
			_, _, has, err := l.StorageVolGetInfo(v)
			if err != nil {
				return 0, err
			}
			sum += int64(has)
		}
	}
	return sum, nil
}
