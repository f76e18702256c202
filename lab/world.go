// Package lab is a whole world on loopback, for the demo and for tests: a vSphere that is govmomi's simulator, a DNS
// server, a directory, and SSH hosts whose shell is a sandbox. It needs no root and nothing installed. lab/real has
// the real servers.
//
//	World.Config ── jarvis.yaml for this world
//	vSphere "power on" ── guestinfo user-data ──► Sandbox (SSH host)
//
// Start starts everything, Stop ends it; a World may be used by several goroutines.
package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// World is the servers together.
type World struct {
	Rack      *Rack
	VSphere   *VSphere
	DNS       *DNS
	Directory *Directory
	Port      int // of the SSH hosts
}

// Options of a World.
type Options struct {
	Block int  // hosts come up on 127.BLOCK.x.y; 0 means 77
	Port  int  // SSH port of hosts; 0 means 2222
	Boot  Boot // nil: sandboxes
}

// Start brings the world up.
func Start(ctx context.Context, o Options) (*World, error) {
	if o.Block == 0 {
		o.Block = 77
	}
	if o.Port == 0 {
		o.Port = 2222
	}
	w := &World{Port: o.Port, Rack: NewRack(o.Block, o.Port, o.Boot)}
	var err error
	if w.VSphere, err = StartVSphere(ctx, w.Rack); err != nil {
		return nil, err
	}
	if w.DNS, err = StartDNS("websages.com", fmt.Sprintf("%d.127.in-addr.arpa", o.Block)); err != nil {
		w.Stop()
		return nil, err
	}
	if w.Directory, err = StartDirectory(); err != nil {
		w.Stop()
		return nil, err
	}
	return w, nil
}

// Stop ends everything that runs.
func (w *World) Stop() {
	if w.Directory != nil {
		w.Directory.Stop()
	}
	if w.DNS != nil {
		w.DNS.Stop()
	}
	if w.VSphere != nil {
		w.VSphere.Stop()
	}
	w.Rack.Stop()
}

// Config gives a jarvis.yaml for this world, with its data in the given folder and extra lines at the end.
func (w *World) Config(data, extra string) string {
	return fmt.Sprintf(`name: jarvis
data: %q
listen: ""
approvals: {off: true}
limit: {burst: 1000}
workers:
%s  dns: {server: %q, ttl: 60, tsig: {name: %s, secret: %s}}
  ldap: {url: %q, bind_dn: %q, password: %s, base: "ou=Hosts,%s"}
  ssh:
    port: %d
    default_config_management: puppet
    config_management:
      puppet: {install: "apt-get -qq -y install puppet-agent", run: "puppet agent --test", ok: [0, 2]}
%s`, data, w.VSphere.Config(), w.DNS.Addr, TSIGName, TSIGSecret, w.Directory.URL, BindDN, BindPassword, Base, w.Port, extra)
}

// Sandboxes gives the hosts that are up, when they are sandboxes.
func (w *World) Sandboxes() []*Sandbox {
	var out []*Sandbox
	w.Rack.Each(func(m Machine) {
		if s, ok := m.(*Sandbox); ok {
			out = append(out, s)
		}
	})
	return out
}

// Clipboard gives a clipboard for a host of this world.
func Clipboard(hostname string) string {
	return fmt.Sprintf("instance:\n  hostname: %s\n  fqdn: %s.websages.com\n  provider: ESX\n  guestid: Debian 12\n  size: 512\n", hostname, hostname)
}

// Check says what is wrong in the world itself.
func (w *World) Check() error {
	_, errs := w.Rack.Booted()
	if len(errs) == 0 {
		return nil
	}
	var msgs []string
	for _, e := range errs {
		msgs = append(msgs, e.Error())
	}
	return errors.New(strings.Join(msgs, "; "))
}
