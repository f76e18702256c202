// Package libvirt is the lab's libvirt: the real libvirtd with real qemu machines, to which "power on" also means an
// SSH host in the rack. The machines have no system: their qemu does nothing, and the host beside it plays what would
// run in it. It boots from what the machine's seed holds, and the front (front.go) answers for its guest agent.
package libvirt

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat12"
	"libvirt.org/go/libvirtxml"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// Image is the name of the image in the pool images.
const Image = "debian12.qcow2"

// Server is one hypervisor.
type Server struct {
	*lab.Rack
	Faults lab.Faults
	Daemon *real.Libvirt

	front  *front
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	l     *golibvirt.Libvirt
	addrs map[golibvirt.UUID]string // of machines that were brought up
}

// Start brings it up; its hosts come up in the rack.
func Start(ctx context.Context, rack *lab.Rack) (*Server, error) {
	d, err := real.StartLibvirt(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{Rack: rack, Daemon: d, done: make(chan struct{}), addrs: map[golibvirt.UUID]string{}}
	if err = d.Blank(ctx, Image); err == nil {
		if s.l, err = d.Dial(); err == nil {
			s.front, err = startFront(s)
		}
	}
	if err != nil {
		d.Stop()
		return nil, err
	}
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go func() {
		defer close(s.done)
		s.watch(watch)
	}()
	return s, nil
}

// Config gives the lines for jarvis.yaml under workers.
func (s *Server) Config() string {
	return fmt.Sprintf("  libvirt: {url: \"qemu+tcp://%s/session\", type: qemu, network: user, images: {Debian 12: images/%s}}\n", s.front.l.Addr(), Image)
}

// Chaos gives the faults that it plays.
func (s *Server) Chaos() *lab.Faults { return &s.Faults }

var _ lab.Cloud = (*Server)(nil)

// Stop pulls the plug of all.
func (s *Server) Stop() {
	s.cancel()
	<-s.done
	s.front.stop()
	_ = s.l.Disconnect()
	s.Daemon.Stop()
}

func (s *Server) domains() ([]golibvirt.Domain, error) {
	list, _, err := s.l.ConnectListAllDomains(1, 0)
	return list, err
}

// Machines lists the names of all domains.
func (s *Server) Machines() []string {
	list, err := s.domains()
	s.note(err)
	var out []string
	for _, d := range list {
		out = append(out, d.Name)
	}
	return out
}

func (s *Server) note(err error) {
	if err != nil {
		s.Fail(err)
	}
}

func (s *Server) describe(dom golibvirt.Domain) (*libvirtxml.Domain, error) {
	desc, err := s.l.DomainGetXMLDesc(dom, 0)
	if err != nil {
		return nil, err
	}
	d := &libvirtxml.Domain{}
	return d, d.Unmarshal(desc)
}

// Stranger makes a running machine of that name, as somebody else would with virsh.
func (s *Server) Stranger(name string) (string, error) {
	return s.run(&libvirtxml.Domain{Type: "qemu", Name: name, Memory: &libvirtxml.DomainMemory{Value: 32, Unit: "MiB"},
		OS: &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: "x86_64", Machine: "q35", Type: "hvm"}}})
}

// Copy clones a machine and starts the clone, as virt-clone does: all but name, UUID and disks.
func (s *Server) Copy(from, name string) (string, error) {
	list, err := s.domains()
	if err != nil {
		return "", err
	}
	for _, dom := range list {
		if short, _, _ := strings.Cut(dom.Name, "."); short != from {
			continue
		}
		d, err := s.describe(dom)
		if err != nil {
			return "", err
		}
		d.Name, d.UUID, d.Devices = name, "", nil
		return s.run(d)
	}
	return "", fmt.Errorf("there is no machine %s", from)
}

// run defines and starts a domain; it gives the UUID also where the start failed.
func (s *Server) run(d *libvirtxml.Domain) (string, error) {
	desc, err := d.Marshal()
	if err != nil {
		return "", err
	}
	dom, err := s.l.DomainDefineXMLFlags(desc, 0)
	if err == nil {
		err = s.l.DomainCreate(dom)
	}
	return text(dom.UUID), err
}

func text(u golibvirt.UUID) string {
	h := hex.EncodeToString(u[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func (s *Server) domain(id string) (golibvirt.Domain, error) {
	var u golibvirt.UUID
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil {
		return golibvirt.Domain{}, err
	}
	copy(u[:], b)
	return s.l.DomainLookupByUUID(u)
}

// Retag replaces what a machine's metadata has of ours by tags.
func (s *Server) Retag(id string, tags ...string) {
	dom, err := s.domain(id)
	if err == nil {
		meta := "<machine for='" + id + "'>"
		for _, t := range tags {
			meta += "<tag name='" + t + "' value=''/>"
		}
		err = s.l.DomainSetMetadata(dom, int32(golibvirt.DomainMetadataElement), golibvirt.OptString{meta + "</machine>"}, golibvirt.OptString{"jarvis"},
			golibvirt.OptString{"https://github.com/jarvisops/jarvis/libvirt"}, golibvirt.DomainAffectLive|golibvirt.DomainAffectConfig)
	}
	s.note(err)
}

// Runs tells whether a machine is on.
func (s *Server) Runs(id string) bool {
	dom, err := s.domain(id)
	if err != nil {
		return false
	}
	state, _, err := s.l.DomainGetState(dom, 0)
	return err == nil && golibvirt.DomainState(state) == golibvirt.DomainRunning
}

// Facts gives what libvirt has of the machine of that name, whether it starts by itself, its disks' sizes, and what its
// seed holds.
func (s *Server) Facts(name string) string {
	dom, err := s.l.DomainLookupByName(name)
	if err != nil {
		return ""
	}
	desc, err := s.l.DomainGetXMLDesc(dom, 0)
	s.note(err)
	auto, err := s.l.DomainGetAutostart(dom)
	s.note(err)
	out := fmt.Sprintf("%s\nautostart %d\n", desc, auto)
	d := &libvirtxml.Domain{}
	s.note(d.Unmarshal(desc))
	for _, path := range disks(d) {
		vol, err := s.l.StorageVolLookupByPath(path)
		s.note(err)
		_, size, _, err := s.l.StorageVolGetInfo(vol)
		s.note(err)
		out += fmt.Sprintf("%s: %d MB\n", vol.Name, size>>20)
		if strings.HasSuffix(path, ".seed.img") {
			for _, f := range []string{"meta-data", "network-config", "user-data"} {
				text, err := readSeed(path, f)
				s.note(err)
				out += f + ":\n" + text
			}
		}
	}
	return out
}

func disks(d *libvirtxml.Domain) []string {
	var out []string
	if d.Devices != nil {
		for _, k := range d.Devices.Disks {
			if k.Source != nil && k.Source.File != nil {
				out = append(out, k.Source.File.File)
			}
		}
	}
	return out
}

// readSeed reads a file of a seed, as cloud-init would.
func readSeed(path, name string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	fs, err := fat12.Read(file.New(f, true), st.Size(), 0, 512)
	if err != nil {
		return "", err
	}
	b, err := fs.ReadFile(name)
	return string(b), err
}

// watch brings hosts up and down with their machines.
func (s *Server) watch(ctx context.Context) {
	on := map[golibvirt.UUID]bool{}
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		list, err := s.domains()
		if err != nil {
			s.note(err)
			return
		}
		for _, dom := range list {
			if state, _, err := s.l.DomainGetState(dom, 0); err == nil {
				s.follow(dom, golibvirt.DomainState(state) == golibvirt.DomainRunning, on)
			}
		}
		for u := range on {
			if !slices.ContainsFunc(list, func(d golibvirt.Domain) bool { return d.UUID == u }) {
				s.Remove("libvirt/" + text(u))
				delete(on, u)
				s.mu.Lock()
				delete(s.addrs, u)
				s.mu.Unlock()
			}
		}
	}
}

// follow does with a machine's host what happened to the machine.
func (s *Server) follow(dom golibvirt.Domain, runs bool, on map[golibvirt.UUID]bool) {
	key := "libvirt/" + text(dom.UUID)
	switch {
	case runs && !s.Has(key):
		if s.address(dom.UUID) == "" {
			s.bringUp(dom, key)
		}
	case runs && !on[dom.UUID]:
		s.On(key)
	case !runs && on[dom.UUID]:
		s.Off(key)
	}
	on[dom.UUID] = runs
}

// bringUp does what cloud-init would: it reads the user-data from the seed, and brings up a host. A domain without a
// seed stays without.
func (s *Server) bringUp(dom golibvirt.Domain, key string) {
	d, err := s.describe(dom)
	if err != nil {
		return // it went meanwhile
	}
	for _, path := range disks(d) {
		if !strings.HasSuffix(path, ".seed.img") {
			continue
		}
		user, err := readSeed(path, "user-data")
		if err != nil {
			s.note(fmt.Errorf("read the seed of %s: %w", dom.Name, err))
			return
		}
		ip := s.Address()
		if s.Up(key, dom.Name, ip, user) == nil { // else the rack has noted it
			s.mu.Lock()
			s.addrs[dom.UUID] = ip
			s.mu.Unlock()
		}
	}
}

// address gives that of a machine's host; "" when it has none.
func (s *Server) address(u golibvirt.UUID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs[u]
}
