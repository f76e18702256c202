package libvirt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/jarvisops/jarvis/lab"
)

// Of libvirt's protocol (src/rpc/virnetprotocol.x, src/remote/remote_protocol.x): a packet is its length, a header of
// six words, and what the procedure wants, in XDR.
const (
	headerLen     = 28
	remoteProgram = 0x20008086

	procConnectOpen  = 1
	procShutdown     = 33
	procUpload       = 208
	procUndefine     = 231
	procDefine       = 350
	procAddresses    = 353
	typeCall         = 0
	typeReply        = 1
	statusOK         = 0
	statusError      = 1
	codeInternal     = 1
	codeAccessDenied = 88
)

var procNames = map[uint32]string{procConnectOpen: "ConnectOpen", procShutdown: "DomainShutdown", procUpload: "StorageVolUpload", procUndefine: "DomainUndefineFlags", procDefine: "DomainDefineXMLFlags", procAddresses: "DomainInterfaceAddresses"}

// front is between a client and libvirtd. It plays faults, and the guest's part: its agent tells the host's address,
// and it obeys when it is asked to shut down.
type front struct {
	s *Server
	l net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func startFront(s *Server) (*front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &front{s: s, l: l, conns: map[net.Conn]bool{}}
	f.wg.Add(1)
	go func() {
		defer f.wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.wg.Add(1)
			go func() {
				defer f.wg.Done()
				f.serve(c)
			}()
		}
	}()
	return f, nil
}

func (f *front) stop() {
	_ = f.l.Close()
	f.mu.Lock()
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// track closes connections when the front stops.
func (f *front) track(c net.Conn, is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if is {
		f.conns[c] = true
	} else {
		delete(f.conns, c)
		_ = c.Close()
	}
}

// link is one client's connection.
type link struct {
	f              *front
	client, server net.Conn
	write          sync.Mutex        // of client
	mu             sync.Mutex        // of what follows
	lost           map[uint32]bool   // serials of calls whose answer breaks the connection
	obey           map[uint32]string // serials of shutdowns, with the UUID's bytes
}

// serve passes packets on in both directions until one side hangs up.
func (f *front) serve(c net.Conn) {
	f.track(c, true)
	defer f.track(c, false)
	up, err := net.Dial("unix", f.s.Daemon.Socket)
	if err != nil {
		return
	}
	f.track(up, true)
	k := &link{f: f, client: c, server: up, lost: map[uint32]bool{}, obey: map[uint32]string{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for k.answer() == nil {
		}
		_ = c.Close()
	}()
	for k.call() == nil {
	}
	f.track(up, false)
	<-done
}

// packet reads one whole packet.
func packet(r io.Reader) ([]byte, error) {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(n[:])
	if size < headerLen || size > 64<<20 {
		return nil, fmt.Errorf("a packet of %d bytes", size)
	}
	b := make([]byte, size)
	copy(b, n[:])
	_, err := io.ReadFull(r, b[4:])
	return b, err
}

// word gives a word of a packet's header: 0 length, 1 program, 2 version, 3 procedure, 4 type, 5 serial, 6 status.
func word(b []byte, i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }

// call passes on one packet of the client, or answers in the place of libvirtd: with a fault, or as the guest's agent.
func (k *link) call() error {
	b, err := packet(k.client)
	if err != nil {
		return err
	}
	if word(b, 1) != remoteProgram || word(b, 4) != typeCall {
		_, err := k.server.Write(b)
		return err
	}
	proc, serial := word(b, 3), word(b, 5)
	name := procNames[proc]
	if name == "" {
		name = fmt.Sprintf("procedure %d", proc)
	}
	switch k.f.s.Faults.At(name, proc == procDefine) {
	case lab.Broken:
		return k.reply(b, statusError, fault(codeInternal, "internal error: the lab broke it"))
	case lab.Denied:
		return k.reply(b, statusError, fault(codeAccessDenied, "access denied: 'domain' write"))
	case lab.Slow:
		time.Sleep(lab.SlowBy)
	case lab.Lost:
		k.mu.Lock()
		k.lost[serial] = true
		k.mu.Unlock()
	}
	if proc == procAddresses || proc == procShutdown {
		uuid, rest := domainIn(b[headerLen:])
		if proc == procShutdown {
			k.mu.Lock()
			k.obey[serial] = uuid
			k.mu.Unlock()
		} else if binary.BigEndian.Uint32(rest) == uint32(golibvirt.DomainInterfaceAddressesSrcAgent) {
			if cards := k.f.s.cards(uuid); cards != nil {
				return k.reply(b, statusOK, cards)
			}
		}
	}
	_, err = k.server.Write(b)
	return err
}

// answer passes on one packet of libvirtd. Its error cuts the connection: so an answer is lost.
func (k *link) answer() error {
	b, err := packet(k.server)
	if err != nil {
		return err
	}
	serial := word(b, 5)
	k.mu.Lock()
	lost, uuid := k.lost[serial], k.obey[serial]
	delete(k.obey, serial)
	k.mu.Unlock()
	if word(b, 4) == typeReply && lost {
		return errors.New("the answer is lost")
	}
	if uuid != "" && word(b, 6) == statusOK {
		k.f.s.powerOff(uuid)
	}
	k.write.Lock()
	defer k.write.Unlock()
	_, err = k.client.Write(b)
	return err
}

// reply answers a call in libvirtd's place.
func (k *link) reply(call []byte, status uint32, body []byte) error {
	b := append([]byte(nil), call[:headerLen]...)
	binary.BigEndian.PutUint32(b[16:], typeReply)
	binary.BigEndian.PutUint32(b[24:], status)
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	k.write.Lock()
	defer k.write.Unlock()
	_, err := k.client.Write(b)
	return err
}

// xdr appends words, and strings as XDR has them: length, bytes, and zeros up to a whole word.
func xdr(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
			b = append(b, p...)
			b = append(b, make([]byte, -len(p)&3)...)
		}
	}
	return b
}

// fault is a virNetMessageError: code, domain, optional message, level, and seven optional fields and two numbers.
func fault(code int, msg string) []byte {
	return xdr(code, 0, 1, msg, 2, 0, 0, 0, 0, -1, -1, 0)
}

// domainIn reads the domain that a call begins with: name, UUID, id; and what comes after it.
func domainIn(b []byte) (uuid string, rest []byte) {
	n := int(binary.BigEndian.Uint32(b))
	b = b[4+(n+3)&^3:]
	return string(b[:16]), b[20:]
}

// cards is what a guest's agent tells of its network cards: docker's bridge first, which nobody outside reaches, then
// the machine's own. nil when there is no guest that could.
func (s *Server) cards(uuid string) []byte {
	var u golibvirt.UUID
	copy(u[:], uuid)
	ip := s.address(u)
	if ip == "" {
		return nil
	}
	d, err := s.describe(golibvirt.Domain{Name: "x", UUID: u})
	if err != nil || d.Devices == nil || len(d.Devices.Interfaces) == 0 || d.Devices.Interfaces[0].MAC == nil {
		return nil
	}
	return xdr(3, "lo", 1, "00:00:00:00:00:00", 1, 0, "127.0.0.1", 8,
		"docker0", 1, "02:42:aa:bb:cc:dd", 1, 0, "172.17.0.1", 16,
		"eth0", 1, d.Devices.Interfaces[0].MAC.Address, 2, 1, "fe80::1", 64, 0, ip, 8)
}

// powerOff is what a guest does that obeys.
func (s *Server) powerOff(uuid string) {
	dom := golibvirt.Domain{Name: "x"}
	copy(dom.UUID[:], uuid)
	if err := s.l.DomainDestroy(dom); err != nil && s.Runs(text(dom.UUID)) {
		s.note(err)
	}
}
