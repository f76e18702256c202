package lab

import (
	"fmt"
	"sync"
)

// Machine is a host that a provider of the lab brought up.
type Machine interface {
	Off()      // pulls the plug; what is on its disk stays
	On() error // powers it on again
	Stop()     // ends it for good
}

// Boot brings up a host with its user-data on an address (host:port).
type Boot func(addr, userData string) (Machine, error)

// Rack is where the hosts of the lab's providers are: it gives out addresses, and counts how often a machine of each
// name was brought up. Several providers may share one.
type Rack struct {
	Port int

	boot  Boot
	block int // second byte of the hosts' addresses: 127.BLOCK.x.y

	mu       sync.Mutex
	machines map[string]Machine // by the provider's name and id
	booted   map[string]int     // by machine name
	errs     []error
	next     int
}

// NewRack makes an empty rack whose hosts come up on 127.block.x.y:port; boot nil means sandboxes.
func NewRack(block, port int, boot Boot) *Rack {
	if boot == nil {
		boot = func(addr, userData string) (Machine, error) { return StartSandbox(addr, userData) }
	}
	return &Rack{Port: port, boot: boot, block: block, machines: map[string]Machine{}, booted: map[string]int{}, next: 10}
}

// Address gives a fresh one.
func (r *Rack) Address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.next
	r.next++
	return fmt.Sprintf("127.%d.%d.%d", r.block, n/250, n%250+1)
}

// Up boots a new machine on an address.
func (r *Rack) Up(key, name, ip, userData string) error {
	m, err := r.boot(fmt.Sprintf("%s:%d", ip, r.Port), userData)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("bring up %s: %w", name, err))
		return err
	}
	r.machines[key] = m
	r.booted[name]++
	return nil
}

// Has reports whether the machine was brought up and not removed since.
func (r *Rack) Has(key string) bool { return r.get(key) != nil }

func (r *Rack) get(key string) Machine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machines[key]
}

// Off powers a machine off, if there is one; On powers it on again.
func (r *Rack) Off(key string) {
	if m := r.get(key); m != nil {
		m.Off()
	}
}

// On powers a machine on that was off.
func (r *Rack) On(key string) {
	if m := r.get(key); m != nil {
		if err := m.On(); err != nil {
			r.Fail(fmt.Errorf("power on %s: %w", key, err))
		}
	}
}

// Remove ends a machine for good.
func (r *Rack) Remove(key string) {
	r.mu.Lock()
	m := r.machines[key]
	delete(r.machines, key)
	r.mu.Unlock()
	if m != nil {
		m.Stop()
	}
}

// Stop ends every machine.
func (r *Rack) Stop() {
	r.mu.Lock()
	all := r.machines
	r.machines = map[string]Machine{}
	r.mu.Unlock()
	for _, m := range all {
		m.Stop()
	}
}

// Each calls f for every machine there is.
func (r *Rack) Each(f func(Machine)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.machines {
		f(m)
	}
}

// Fail notes what went wrong in bringing machines up.
func (r *Rack) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// Booted tells how often a machine of each name was brought up, and what went wrong in that.
func (r *Rack) Booted() (map[string]int, []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for k, n := range r.booted {
		out[k] = n
	}
	return out, append([]error(nil), r.errs...)
}
