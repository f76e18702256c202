package libvirt_test

import (
	"net"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
	"github.com/jarvisops/jarvis/workers/libvirt"
)

// newSession starts a libvirtd of a user, whose machines are in qemu's own network.
func newSession(t *testing.T, forward libvirt.Forward) *system {
	t.Helper()
	d, err := real.StartLibvirt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	if err := d.Blank(t.Context(), "debian12.qcow2"); err != nil {
		t.Fatal(err)
	}
	w, err := libvirt.New(libvirt.Config{URL: "qemu:///session", Socket: d.Socket, Type: "qemu", Network: "user", Forward: forward, Images: map[string]string{"Debian 12": d.Images + "/debian12.qcow2"}})
	if err != nil {
		t.Fatal(err)
	}
	return &system{T: t, daemon: d, calls: w.Calls()}
}

// TestForwardPorts: a port that qemu may not listen on is told in the plan; without a word of anybody it is one that it
// may; and a machine whose port somebody else took while it was off is left where it is, with a sentence that says what
// to do.
func TestForwardPorts(t *testing.T) {
	s := newSession(t, libvirt.Forward{Addresses: "127.78.13.0/29"})
	if got := s.plan("loki", "  login: {port: 22}\n"); !strings.Contains(got, "cannot listen below port 1024; write login: {port: 2222}") {
		t.Errorf("plan = %s", got)
	}
	if got := s.plan("loki", ""); !strings.Contains(got, "SSH at an address of 127.78.13.0/29, port 2222, with 64 MB, 1 CPU, ") {
		t.Errorf("plan = %s", got)
	}
	m := s.runs("loki", "")
	if m.V4.String() != "127.78.13.1" || m.Port != 2222 || m.Size != "64 MB, 1 CPU" {
		t.Fatalf("the machine is %+v", m)
	}
	if err := s.calls.Kill(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.78.13.1:2222")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	err = s.calls.Start(t.Context(), m.ID)
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "qemu cannot listen on 127.78.13.1:2222: another program has that port") {
		t.Errorf("start: %v", err)
	}
}

// TestForwardInUse: an address that somebody else has is left for the next one, by a machine that nobody knows yet.
// When all of the range are in use, that is said.
func TestForwardInUse(t *testing.T) {
	s := newSession(t, libvirt.Forward{Addresses: "127.79.13.0/29", Port: 2222})
	var all []net.Listener
	take := func(a string) {
		t.Helper()
		l, err := net.Listen("tcp", a+":2222")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	defer func() {
		for _, l := range all {
			_ = l.Close()
		}
	}()
	take("127.79.13.1")
	take("127.79.13.2")
	if m := s.runs("loki", "  tags: {team: web}\n"); m.State != provider.Running || m.V4.String() != "127.79.13.3" || m.Owner == "" || m.Tags["team"] != "web" {
		t.Errorf("the machine is %+v", m)
	}
	if m := s.runs("thor", ""); m.V4.String() != "127.79.13.4" {
		t.Errorf("thor is at %s: the addresses that were refused are tried again for another machine, and left again", m.V4)
	}
	take("127.79.13.5")
	take("127.79.13.6")
	spec, mark := s.spec("odin", ""), provider.Mark{Token: "jarvis-00000000-odin", Owner: "jarvis-00000000:odin.websages.com"}
	m, err := s.calls.Create(t.Context(), spec, mark)
	if err == nil {
		err = s.calls.Finish(t.Context(), spec, m, mark)
	}
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "each address of workers.libvirt.forward.addresses (127.79.13.0/29) has its machine, or qemu cannot listen there on port 2222, ") {
		t.Errorf("finish: %v", err)
	}
}
