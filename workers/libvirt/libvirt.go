// Package libvirt is the worker for machines on a hypervisor that libvirt manages (qemu, with KVM or emulated): the
// steps that every provider has, over go-libvirt, which speaks libvirt's own protocol.
//
//	libvirt:deploy   disk over the image, more disks, seed for cloud-init (volumes.go) ► define (domain.go) ► start
//	the other steps are those that every provider has (package provider)
//
// A machine is a domain. Its UUID comes from the run's token, so that a define that is repeated makes no second one;
// token and owner are in its metadata, with the UUID that they were written for, so that a clone is not ours. The
// volumes come before the domain and carry the token in their names: what an earlier try left of them is found again. A
// domain that is defined has all of its volumes, and they go before it does.
//
// Each call of the provider has a connection of its own, which ends with its deadline. It starts no goroutine.
package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// Config of the worker.
type Config struct {
	Account  string            `yaml:"account" doc:"name by which a clipboard's account chooses this entry, when there are several"`
	URL      string            `yaml:"url" doc:"qemu:///system, qemu:///session, or qemu+tcp://host/system through a tunnel of your own" default:"qemu:///system"`
	Socket   string            `yaml:"socket" path:"relative" doc:"socket of libvirtd on this machine; empty: /var/run/libvirt/libvirt-sock, for qemu:///session that of our own user"`
	Insecure bool              `yaml:"insecure" doc:"let qemu+tcp go to another machine than this one, unencrypted; for a lab only"`
	Images   map[string]string `yaml:"images" doc:"image for each guestid, as POOL/VOLUME or a path that lies in a storage pool, as in {Debian 12: default/debian12.qcow2}"`
	Pool     string            `yaml:"pool" doc:"storage pool for the machines' disks and seeds" default:"default"`
	Network  string            `yaml:"network" doc:"libvirt network that machines are in; user: qemu's own, in which nobody reaches a machine but through forward" default:"default"`
	Bridge   string            `yaml:"bridge" doc:"bridge of the hypervisor that machines are in, instead of network"`
	Forward  Forward           `yaml:"forward" doc:"for network: user, where SSH on a machine is reached"`
	Type     string            `yaml:"type" doc:"kvm, or qemu: emulated, and slow" default:"kvm"`
	Defaults provider.Wish     `yaml:"defaults" doc:"what machines are like when the clipboard does not say it, in its words"`
}

// Forward says where the hypervisor listens for machines in qemu's own network.
type Forward struct {
	Addresses string `yaml:"addresses" doc:"addresses of the hypervisor that nobody else uses, one for each machine, as in 127.0.13.0/24"`
	Port      int    `yaml:"port" check:"port" doc:"port on them, when the clipboard's login has none; get_pub_ip tells it to the steps that use SSH; default: 22, at qemu:///session 2222, for an unprivileged qemu can listen on no port below 1024"`
}

// Worker offers the steps.
type Worker struct {
	cfg  Config
	uri  golibvirt.ConnectURI
	host string // where libvirt is, in sentences
	dial [2]string

	session bool         // libvirtd of a user, not the system's
	rng     netip.Prefix // of Forward; zero when there is none

	choosing sync.Mutex // held while an address of the range is chosen and written into a domain
	neverRan sync.Map   // ids of machines that we made and that never were on
}

// New checks the configuration; it does not connect.
func New(cfg Config) (*Worker, error) {
	w := &Worker{cfg: cfg}
	if w.cfg.Pool == "" {
		w.cfg.Pool = "default"
	}
	if w.cfg.Network == "" {
		w.cfg.Network = "default"
	}
	var wrong mistake.List
	for _, check := range []func() error{w.readURL, w.checkNetwork, w.checkImages} {
		wrong.Add(check())
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	return w, w.Calls().CheckDefaults()
}

// readURL says where libvirt is.
func (w *Worker) readURL() error {
	text := w.cfg.URL
	if text == "" {
		text = "qemu:///system"
	}
	u, err := url.Parse(text)
	if err != nil || u.Path != "/system" && u.Path != "/session" {
		return mistake.At("workers.libvirt.url", "is %q; write qemu:///system, qemu:///session or qemu+tcp://host/system", text)
	}
	w.uri, w.host, w.session = golibvirt.RemoteURI(u), "libvirt on this machine", u.Path == "/session"
	switch {
	case u.Scheme == "qemu+tcp" && u.Host != "":
		w.host = "libvirt on " + u.Host
		port := u.Port()
		if port == "" {
			port = "16509"
		}
		w.dial = [2]string{"tcp", net.JoinHostPort(u.Hostname(), port)}
		if !loopback.Is(u.Hostname()) && !w.cfg.Insecure {
			return mistake.At("workers.libvirt.url", "is %q: there nothing is encrypted, and whoever listens owns the hypervisor; go through a tunnel (docs/howto/libvirt.md), or set insecure for a lab", text)
		}
		if w.cfg.Socket != "" {
			return mistake.At("workers.libvirt.socket", "is for libvirt on this machine, and url is %q", text)
		}
	case u.Scheme == "qemu" && u.Host == "":
		w.dial = [2]string{"unix", w.cfg.Socket}
		if w.cfg.Socket == "" {
			w.dial[1] = "/var/run/libvirt/libvirt-sock"
			if u.Path == "/session" {
				w.dial[1] = fmt.Sprintf("/run/user/%d/libvirt/libvirt-sock", os.Getuid())
			}
		}
	default:
		return mistake.At("workers.libvirt.url", "is %q; Jarvis speaks to qemu:///system, qemu:///session and qemu+tcp://host/system; for another machine open a tunnel (docs/howto/libvirt.md)", text)
	}
	return nil
}

// checkNetwork also fills in what the configuration leaves open: type, and the port of forward.
func (w *Worker) checkNetwork() error {
	switch w.cfg.Type {
	case "":
		w.cfg.Type = "kvm"
	case "kvm", "qemu":
	default:
		return mistake.At("workers.libvirt.type", "is %q; kvm or qemu", w.cfg.Type)
	}
	f := w.cfg.Forward
	if f == (Forward{}) {
		if w.cfg.Network == "user" && w.cfg.Bridge == "" && w.dial[0] == "unix" {
			return mistake.At("workers.libvirt.network", "is user: nobody reaches a machine there without forward; write forward: {addresses: 127.0.13.0/24}, or name another network")
		}
		return nil
	}
	if w.cfg.Network != "user" || w.cfg.Bridge != "" {
		return mistake.At("workers.libvirt.forward", "is for network: user; machines in other networks have addresses of their own")
	}
	p, err := netip.ParsePrefix(f.Addresses)
	if err != nil || !p.Addr().Is4() {
		return mistake.At("workers.libvirt.forward.addresses", "is %q; write a range of IPv4 addresses, as in 127.0.13.0/24", f.Addresses)
	}
	if f.Port < 0 || f.Port > 65535 {
		return mistake.At("workers.libvirt.forward.port", "is %d; it is between 1 and 65535", f.Port)
	}
	if f.Port == 0 {
		w.cfg.Forward.Port = 22
		if w.session {
			w.cfg.Forward.Port = 2222
		}
	}
	w.rng = p.Masked()
	return nil
}

func (w *Worker) checkImages() error {
	if a, b := provider.Twice(w.cfg.Images); a != "" {
		return mistake.At("workers.libvirt.images", "has %q and %q, which are the same to whoever says them", a, b)
	}
	return nil
}

// Steps lists what the worker offers. host reaches the machines over SSH.
func (w *Worker) Steps(host provider.Host) []pipeline.Step { return provider.Steps(w.Calls(), host) }

// Close ends nothing: there is no session.
func (w *Worker) Close() {}

// callTimeout bounds one call of the provider: a libvirtd that just started may look at its qemu for half a minute
// first.
const callTimeout = time.Minute

// on connects, does something, and puts what went wrong into words. The connection ends with ctx, and with it every
// call on it: libvirt's own calls know no deadline.
func (w *Worker) on(ctx context.Context, what string, f func(*golibvirt.Libvirt) error) error {
	one, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(one, w.dial[0], w.dial[1])
	if err != nil {
		return w.unreachable(what, err)
	}
	stop := context.AfterFunc(one, guard.Func(guard.Count, func() { _ = conn.Close() }))
	defer func() {
		stop()
		_ = conn.Close()
	}()
	l := golibvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
	if err = l.ConnectToURI(w.uri); err == nil {
		err = f(l)
		if one.Err() == nil {
			_ = l.Disconnect()
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil && one.Err() != nil:
		return fmt.Errorf("%s: %s did not answer within %s", what, w.host, callTimeout)
	}
	return w.say(what, err)
}

// unreachable says why there is no connection.
func (w *Worker) unreachable(what string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return pipeline.Permanentf("%s: we may not open %s; put the user that Jarvis runs as into the group libvirt, or set workers.libvirt.socket", what, w.dial[1])
	}
	return fmt.Errorf("%s: %s does not answer at %s (%w); is libvirtd running, and is workers.libvirt.socket or url right?", what, w.host, w.dial[1], err)
}

// say puts an error of libvirt into words, and marks what no retry can cure.
func (w *Worker) say(what string, err error) error {
	var e golibvirt.Error
	switch {
	case err == nil, pipeline.IsPermanent(err), errors.Is(err, provider.ErrGone), errors.Is(err, provider.ErrTaken):
		return err
	case !errors.As(err, &e):
		var m *moved
		if _, _, wait := pipeline.AsWait(err); wait || errors.As(err, &m) {
			return err
		}
		return fmt.Errorf("%s: the connection to %s broke: %w", what, w.host, err)
	}
	switch golibvirt.ErrorNumber(e.Code) {
	case golibvirt.ErrNoDomain:
		return provider.ErrGone
	case golibvirt.ErrAccessDenied, golibvirt.ErrAuthFailed, golibvirt.ErrAuthCancelled, golibvirt.ErrAuthUnavailable, golibvirt.ErrOperationDenied:
		return pipeline.Permanentf("%s: the user that Jarvis runs as has no right to (%s); put it into the group libvirt, or allow it in polkit", what, e.Message)
	case golibvirt.ErrXMLError, golibvirt.ErrXMLDetail, golibvirt.ErrConfigUnsupported, golibvirt.ErrNoSupport, golibvirt.ErrInvalidArg, golibvirt.ErrNoNetwork:
		return pipeline.Permanentf("%s: libvirt refused: %s", what, e.Message)
	}
	if at, refused := refusedForward(e.Message); refused {
		return pipeline.Permanent(w.cannotForward(what, at))
	}
	if slices.ContainsFunc(bridgeWords, func(w string) bool { return strings.Contains(e.Message, w) }) {
		return pipeline.Permanentf("%s: %w: make the bridge; for qemu:///session also allow it in qemu's bridge.conf (docs/howto/libvirt.md); libvirt says: %s", what, errBridge, e.Message)
	}
	if strings.Contains(e.Message, "No space left") {
		return pipeline.Permanentf("%s: the storage pool is full: %s", what, e.Message)
	}
	return fmt.Errorf("%s: libvirt says: %s", what, e.Message)
}

// no reports whether libvirt says that something is not there.
func no(err error, what golibvirt.ErrorNumber) bool {
	var e golibvirt.Error
	return errors.As(err, &e) && golibvirt.ErrorNumber(e.Code) == what
}
