package real

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Domains of the lab's XMPP server.
const (
	XMPPDomain = "xmpp.lab.test"
	XMPPRooms  = "rooms.xmpp.lab.test"
)

// XMPPServer is where one is: host:port for STARTTLS, and the file of its CA.
type XMPPServer struct{ Addr, CA string }

// Reach gives the same of whatever server it is in.
func (s XMPPServer) Reach() XMPPServer { return s }

// Prosody is an XMPP server: STARTTLS required, SCRAM and PLAIN, rooms (XEP-0045), ping. It can be restarted on the
// same ports.
type Prosody struct {
	XMPPServer
	Direct string // host:port, TLS from the first byte
	Cert   string // file of its certificate, for who plays its part
	Key    string // and of its key

	dir  string
	proc *proc
}

// StartProsody starts a server with an account for each name; the password of NAME is "pw-NAME".
func StartProsody(accounts ...string) (*Prosody, error) {
	if _, err := need("prosody", "prosody"); err != nil {
		return nil, err
	}
	dir, err := folder("prosody")
	if err != nil {
		return nil, err
	}
	s := &Prosody{dir: dir, XMPPServer: XMPPServer{CA: filepath.Join(dir, "ca.pem")}, Cert: filepath.Join(dir, "srv.pem"), Key: filepath.Join(dir, "srv.key")}
	if err := ca(dir); err != nil {
		return nil, err
	}
	p1, err := FreePort()
	if err != nil {
		return nil, err
	}
	p2, err := FreePort()
	if err != nil {
		return nil, err
	}
	s.Addr, s.Direct = "127.0.0.1:"+strconv.Itoa(p1), "127.0.0.1:"+strconv.Itoa(p2)
	conf := fmt.Sprintf(`daemonize = false
pidfile = %[1]q .. "/prosody.pid"
plugin_paths = { %[1]q .. "/modules" }
data_path = %[1]q .. "/data"
interfaces = { "127.0.0.1" }; local_interfaces = { "127.0.0.1" }
c2s_ports = { %[2]d }; c2s_direct_tls_ports = { %[3]d }; s2s_ports = { }; s2s_direct_tls_ports = { }
modules_enabled = { "roster", "saslauth", "tls", "disco", "ping", "presence", "message", "iq", "offline", "limits" }
modules_disabled = { "s2s", "http", "https" }
c2s_require_encryption = true; allow_unencrypted_plain_auth = false
authentication = "internal_plain"
storage = "internal"
ssl = { certificate = %[1]q .. "/srv.pem"; key = %[1]q .. "/srv.key"; cafile = %[1]q .. "/ca.pem" }
limits = { c2s = { rate = "10mb/s"; burst = "2s" } }
log = { { levels = { min = "info" }, to = "file", filename = %[1]q .. "/prosody.log" } }
VirtualHost %[4]q
Component %[5]q "muc"
  restrict_room_creation = false
  modules_enabled = { "forget" }
  muc_room_locking = true
  muc_room_default_history_length = 50
`, dir, p1, p2, XMPPDomain, XMPPRooms)
	if err := os.WriteFile(filepath.Join(dir, "prosody.cfg.lua"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "modules"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "modules", "mod_forget.lua"), []byte(forget), 0o644); err != nil {
		return nil, err
	}
	folder := filepath.Join(dir, "data", strings.ReplaceAll(XMPPDomain, ".", "%2e"), "accounts")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	for _, a := range accounts {
		if err := os.WriteFile(filepath.Join(folder, a+".dat"), fmt.Appendf(nil, "return { [\"password\"] = %q; };\n", "pw-"+a), 0o644); err != nil {
			return nil, err
		}
	}
	if err := own(dir, "prosody"); err != nil {
		return nil, err
	}
	return s, s.Start()
}

// forget has the rooms lose all who are in them, and tell nobody, when a message comes to their service: as one that is
// started again, or after a split between servers.
const forget = `module:hook("message/host", function()
	for room in module:depends("muc").each_room() do
		room._occupants, room._jid_nick = {}, {}
	end
	return true
end, 1000)
`

// Start starts it again after Kill.
func (s *Prosody) Start() error {
	bin, err := need("prosody", "prosody")
	if err != nil {
		return err
	}
	if s.proc, err = start("prosody", bin, "--config", filepath.Join(s.dir, "prosody.cfg.lua"), "-F"); err != nil {
		return err
	}
	return s.proc.until("prosody", 10*time.Second, func() error {
		if err := dial(s.Addr)(); err != nil {
			return err
		}
		return dial(s.Direct)()
	})
}

// Kill ends it at once: every link breaks.
func (s *Prosody) Kill() { s.proc.kill() }

// Port gives the STARTTLS port.
func (s *Prosody) Port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// Stop ends it and removes its folder.
func (s *Prosody) Stop() {
	s.proc.stop(syscall.SIGTERM)
	_ = os.RemoveAll(s.dir)
}
