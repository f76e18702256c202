package libvirt

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// honours is what of provider.Paths libvirt can do.
var honours = []string{"guestid", "size", "size.cpus", "disk", "disks", "disks.mount", "network.bridge", "tags", "user_data", "login"}

// Without a word of the clipboard or the configuration a machine is this large.
const (
	usualMemory = 2048 // MB
	usualCPUs   = 1
)

// maxDisks is how many disks a machine takes beside its root disk and its seed: their names are vda to vdz.
const maxDisks = 24

// order is a machine as it will be made: everything named is there, and there is room.
type order struct {
	image  image
	memory provider.Space
	cpus   int
	root   int64   // bytes
	disks  []int64 // bytes
	free   int64   // of the pool, bytes
	wire   wire
}

// order reads what is asked for, and makes sure that the hypervisor can do it, when the host's machine of before is
// gone.
func (w *Worker) order(l *golibvirt.Libvirt, s provider.Spec) (order, error) {
	o := order{memory: s.Size.Memory, cpus: max(s.Size.CPUs, usualCPUs)}
	switch {
	case s.Size.Own != "":
		return o, pipeline.Permanentf("\"size\" is %q: on libvirt it is memory, as in 2GB or {memory: 2GB, cpus: 2}", s.Size.Said)
	case o.memory == 0:
		o.memory = usualMemory
	}
	_, memory, cpus, _, _, _, _, _, err := l.NodeGetInfo()
	if err != nil {
		return o, err
	}
	if most := provider.Space(memory >> 10); o.memory > most || o.cpus > int(cpus) {
		return o, pipeline.Permanentf("\"size\" is %q: the hypervisor has up to %d MB and %d CPUs", s.Size.Said, most, cpus)
	}
	if o.image, err = w.findImage(l, s.Guest); err != nil {
		return o, err
	}
	if o.root = int64(s.Disk) << 20; o.root == 0 {
		o.root = o.image.size
	}
	if o.root < o.image.size {
		return o, pipeline.Permanentf("\"disk\" is %s, and the image %s has %s already", s.Disk, o.image.name, provider.Space(o.image.size>>20))
	}
	if len(s.Disks) > maxDisks {
		return o, pipeline.Permanentf("the clipboard asks for %d disks, and a machine of libvirt takes %d beside the root disk", len(s.Disks), maxDisks)
	}
	need := o.root
	for _, d := range s.Disks {
		o.disks = append(o.disks, int64(d.Size)<<20)
		need += int64(d.Size) << 20
	}
	pool, err := w.pool(l, w.cfg.Pool)
	if err != nil {
		return o, err
	}
	if o.free, err = w.room(l, pool); err != nil {
		return o, err
	}
	if o.free < need {
		more, err := w.ofHost(l, s.Owner)
		if err != nil {
			return o, err
		}
		o.free += more
	}
	if o.free < need {
		return o, pipeline.Permanentf("the storage pool %s has %s free, and the machine's disks may grow to %s; make room, or ask for less", w.cfg.Pool, provider.Space(o.free>>20), provider.Space(need>>20))
	}
	if err := w.canRun(l); err != nil {
		return o, err
	}
	o.wire, err = w.wired(l, s)
	return o, err
}

// canRun makes sure that the hypervisor has what workers.libvirt.type asks for.
func (w *Worker) canRun(l *golibvirt.Libvirt) error {
	_, err := l.ConnectGetDomainCapabilities(nil, golibvirt.OptString{"x86_64"}, nil, golibvirt.OptString{w.cfg.Type}, 0)
	if err != nil && w.cfg.Type == "kvm" {
		return pipeline.Permanentf("the hypervisor has no KVM that libvirt may use (%v); load its module, or set workers.libvirt.type to qemu, which is slow", err)
	}
	return err
}

// wire is how a machine is connected: to one of libvirt's networks, to a bridge of the hypervisor, or, when both are
// "", to qemu's own network.
type wire struct {
	network, bridge string
	port            int // at which the hypervisor listens for it, in qemu's own network; 0: nowhere
}

// wired chooses how the machine is connected: as the clipboard says, or else the configuration.
func (w *Worker) wired(l *golibvirt.Libvirt, s provider.Spec) (wire, error) {
	said := s.Network.Bridge
	switch {
	case said == "" && w.cfg.Bridge != "":
		return wire{bridge: w.cfg.Bridge}, w.checkBridge(l, w.cfg.Bridge)
	case said == "" && w.cfg.Network == "user":
		port, err := w.port(s)
		if err == nil && port > 0 {
			err = w.mayListen(port)
		}
		return wire{port: port}, err
	case said == "":
		said = w.cfg.Network
	}
	n, err := l.NetworkLookupByName(said)
	if no(err, golibvirt.ErrNoNetwork) || no(err, golibvirt.ErrNoSupport) { // a libvirtd without root may have no networks at all
		if s.Network.Bridge != "" {
			return wire{bridge: said}, w.checkBridge(l, said)
		}
		return wire{}, w.noNetwork(l, said)
	}
	if err != nil {
		return wire{}, err
	}
	if active, err := l.NetworkIsActive(n); err != nil || active == 0 {
		return wire{}, errors.Join(err, pipeline.Permanentf("the network %s is not active; start it (virsh net-start %s && virsh net-autostart %s)", said, said, said))
	}
	return wire{network: said}, nil
}

// port is at which SSH on the machine is reached.
func (w *Worker) port(s provider.Spec) (int, error) {
	if !w.rng.IsValid() {
		return 0, nil
	}
	login, err := s.Clipboard.Login()
	if err != nil {
		return 0, pipeline.Permanent(err)
	}
	return cmp.Or(login.Port, w.cfg.Forward.Port), nil
}

// where says in a plan how the machine is connected.
func (w *Worker) where(k wire) string {
	switch {
	case k.network != "":
		return "network " + k.network
	case k.bridge != "":
		return "bridge " + k.bridge
	case k.port > 0:
		return fmt.Sprintf("qemu's own network, SSH at an address of %s, port %d", w.rng, k.port)
	}
	return "qemu's own network, where nobody reaches it"
}

// says what the machine will be.
func (o order) String() string {
	out := []string{provider.Shape(o.memory.String(), o.cpus), "a disk of " + provider.Space(o.root>>20).String()}
	for _, d := range o.disks {
		out = append(out, "one more disk of "+provider.Space(d>>20).String())
	}
	return strings.Join(slices.Clone(out), ", ")
}
