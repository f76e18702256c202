package libvirt

import golibvirt "github.com/digitalocean/go-libvirt"

// What an administrator does with virsh beside Jarvis.

// Undefine pulls a machine's plug and takes its definition away; its volumes stay.
func (s *Server) Undefine(id string) error {
	dom, err := s.domain(id)
	if err == nil {
		err = s.l.DomainDestroy(dom)
	}
	if err == nil {
		err = s.l.DomainUndefineFlags(dom, golibvirt.DomainUndefineNvram)
	}
	return err
}

// Loosen takes the definition of a machine away while it runs: it becomes a transient one.
func (s *Server) Loosen(id string) error {
	dom, err := s.domain(id)
	if err == nil {
		err = s.l.DomainUndefineFlags(dom, golibvirt.DomainUndefineNvram)
	}
	return err
}

// Pause stops a machine where it is.
func (s *Server) Pause(id string) error {
	dom, err := s.domain(id)
	if err == nil {
		err = s.l.DomainSuspend(dom)
	}
	return err
}
