package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	golibvirt "github.com/digitalocean/go-libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/pipeline"
)

// In qemu's own network a machine is reached at an address of the hypervisor, on which its qemu listens. Which of the
// range are free nobody knows before: libvirt knows its own machines only, and qemu tells when it starts.

// freeAddress chooses an address of the range that no domain has, not even a stranger's: the first one after `after`,
// from which on the range is looked through once, round its end.
func (w *Worker) freeAddress(l *golibvirt.Libvirt, id golibvirt.UUID, after netip.Addr) (netip.Addr, error) {
	taken := map[netip.Addr]bool{}
	list, _, err := l.ConnectListAllDomains(1, 0)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, dom := range list {
		d, err := describe(l, dom)
		if no(err, golibvirt.ErrNoDomain) || dom.UUID == id {
			continue
		}
		if err != nil {
			return netip.Addr{}, err
		}
		for _, a := range forwards(d) {
			taken[a.Addr()] = true
		}
	}
	first := w.rng.Addr().Next()
	usable := func(a netip.Addr) bool { return w.rng.Contains(a) && w.rng.Contains(a.Next()) }
	from := first
	if after.IsValid() && usable(after) && usable(after.Next()) {
		from = after.Next()
	}
	for a, again := from, false; ; a = a.Next() {
		if !usable(a) {
			a = first
		}
		if a == from && again || !usable(a) {
			break
		}
		if again = true; !taken[a] {
			return a, nil
		}
	}
	return netip.Addr{}, pipeline.Permanentf("every address of workers.libvirt.forward.addresses (%s) has its machine; widen the range, or destroy a host", w.rng)
}

// hostForward is how qemu's command line names an address and a port of the hypervisor.
var hostForward = pattern.New(`hostfwd=tcp:([0-9.]+:[0-9]+)-`)

// forwards lists the hypervisor's addresses and ports at which a domain listens.
func forwards(d *libvirtxml.Domain) []netip.AddrPort {
	var out []netip.AddrPort
	if d.QEMUCommandline == nil {
		return nil
	}
	for _, arg := range d.QEMUCommandline.Args {
		for _, m := range hostForward.FindAllStringSubmatch(arg.Value, -1) {
			if a, err := netip.ParseAddrPort(m[1]); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}

// qemuRefused is what qemu says when it cannot listen; why not, it does not say.
var qemuRefused = pattern.New(`Could not set up host forwarding rule 'tcp:([0-9.]+:[0-9]+)-`)

// refusedForward reads at which address and port qemu could not listen.
func refusedForward(message string) (netip.AddrPort, bool) {
	m := qemuRefused.FindStringSubmatch(message)
	if m == nil {
		return netip.AddrPort{}, false
	}
	at, err := netip.ParseAddrPort(m[1])
	return at, err == nil
}

// cannotForward says why qemu cannot listen at an address, as far as it can be known.
func (w *Worker) cannotForward(what string, at netip.AddrPort) error {
	if w.session && at.Port() < 1024 {
		return fmt.Errorf("%s: qemu cannot listen on %s: without root it may take no port below 1024; write login: {port: 2222} in the clipboard, or set workers.libvirt.forward.port, and deploy the host again", what, at)
	}
	return fmt.Errorf("%s: qemu cannot listen on %s: another program has that port (`ss -ltnp` tells which), or the hypervisor lacks the address; end that program, or set workers.libvirt.forward.addresses to a range that nobody uses", what, at)
}

// mayListen says in a plan already that qemu cannot listen on a port. Only what libvirtd on this machine may do is
// known here.
func (w *Worker) mayListen(port int) error {
	if !w.session || w.dial[0] != "unix" || port >= firstFree() {
		return nil
	}
	var st syscall.Stat_t
	if err := syscall.Stat(w.dial[1], &st); err != nil || st.Uid == 0 {
		return nil // root's own libvirtd
	}
	return pipeline.Permanentf("the machine's SSH is to be reached on port %d of this machine, and the qemu of qemu:///session, which has no root, cannot listen below port %d; write login: {port: 2222} in the clipboard, or set workers.libvirt.forward.port", port, firstFree())
}

// firstFree is the first port that a program without root may listen on (ip(7), ip_unprivileged_port_start).
func firstFree() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	n, nerr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || nerr != nil {
		return 1024
	}
	return n
}

// maxMoves bounds how many addresses one try asks qemu for: each is a start that takes a moment.
const maxMoves = 16

// startSomewhere powers on a machine that nobody knows the address of yet. When qemu cannot listen at its address, the
// machine gets the next one of the range. What was refused last is in its description: another try goes on after it.
func (w *Worker) startSomewhere(ctx context.Context, id string) error {
	refused := map[netip.Addr]bool{}
	var last error
	for range maxMoves {
		err := w.with(ctx, "power the machine on", id, func(l *golibvirt.Libvirt, dom golibvirt.Domain) error {
			err := power(l, dom)
			var e golibvirt.Error
			if !errors.As(err, &e) {
				return err
			}
			at, ok := refusedForward(e.Message)
			if !ok || !w.rng.IsValid() || w.session && at.Port() < 1024 {
				return err
			}
			refused[at.Addr()] = true
			to, merr := w.move(l, dom, at)
			if merr == nil && refused[to.Addr()] {
				merr = pipeline.Permanentf("power the machine on: each address of workers.libvirt.forward.addresses (%s) has its machine, or qemu cannot listen there on port %d, for another program has it; widen the range, or name one that nobody uses", w.rng, at.Port())
			}
			if merr != nil {
				return merr
			}
			return &moved{at, to}
		})
		var m *moved
		if !errors.As(err, &m) {
			return err
		}
		pipeline.Log(ctx, m.Error())
		last = err
	}
	return fmt.Errorf("power the machine on: %w; so it was with %d addresses, and the next try goes on from there; better set workers.libvirt.forward.addresses to a range that nobody uses", last, maxMoves)
}

// moved: the machine has another address now, at which nobody has tried to start it yet.
type moved struct{ from, to netip.AddrPort }

func (m *moved) Error() string {
	return fmt.Sprintf("somebody else has %s, or it is no address of the hypervisor; the machine gets %s", m.from, m.to)
}

// move gives a domain that does not run the next address of the range.
func (w *Worker) move(l *golibvirt.Libvirt, dom golibvirt.Domain, from netip.AddrPort) (netip.AddrPort, error) {
	w.choosing.Lock()
	defer w.choosing.Unlock()
	addr, err := w.freeAddress(l, dom.UUID, from.Addr())
	if err != nil {
		return netip.AddrPort{}, err
	}
	to := netip.AddrPortFrom(addr, from.Port())
	desc, err := l.DomainGetXMLDesc(dom, golibvirt.DomainXMLSecure|golibvirt.DomainXMLInactive)
	if err != nil {
		return to, err
	}
	for _, form := range []string{"hostfwd=tcp:%s-", `forward="%s"`, "forward='%s'"} {
		desc = strings.ReplaceAll(desc, fmt.Sprintf(form, from), fmt.Sprintf(form, to))
	}
	_, err = l.DomainDefineXMLFlags(desc, golibvirt.DomainDefineValidate)
	return to, err
}
