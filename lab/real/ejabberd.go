package real

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Ejabberd is another XMPP server, with the same domains as Prosody: STARTTLS required, SCRAM and PLAIN, rooms, ping.
type Ejabberd struct {
	XMPPServer

	dir  string
	proc *proc
}

// StartEjabberd starts a server with an account for each name; the password of NAME is "pw-NAME".
func StartEjabberd(accounts ...string) (*Ejabberd, error) {
	erl, err := need("erl", "ejabberd")
	if err != nil {
		return nil, err
	}
	code, err := filepath.Glob("/usr/lib/*/ejabberd-*/ebin")
	if err != nil || len(code) == 0 {
		return nil, fmt.Errorf("ejabberd is not installed; run: apt-get install ejabberd (%v)", err)
	}
	dir, err := folder("ejabberd")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s := &Ejabberd{dir: dir, XMPPServer: XMPPServer{Addr: "127.0.0.1:" + strconv.Itoa(port), CA: filepath.Join(dir, "ca.pem")}}
	if err := ca(dir); err != nil {
		return nil, err
	}
	var pem []byte
	for _, name := range []string{"srv.pem", "ca.pem", "srv.key"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		pem = append(pem, b...)
	}
	conf := fmt.Sprintf(`hosts: [%[3]s]
loglevel: info
certfiles: [%[1]s/all.pem]
ca_file: %[1]s/ca.pem
auth_method: internal
auth_password_format: scram
listen:
  - {port: %[2]d, ip: "127.0.0.1", module: ejabberd_c2s, starttls_required: true, max_stanza_size: 262144, shaper: none, access: all}
s2s_access: none
acl: {}
modules:
  mod_ping: {}
  mod_disco: {}
  mod_roster: {}
  mod_muc: {host: %[4]s, access: all, access_create: all, default_room_options: {persistent: false}}
`, dir, port, XMPPDomain, XMPPRooms)
	for name, b := range map[string][]byte{"all.pem": pem, "ejabberd.yml": []byte(conf)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o640); err != nil {
			return nil, err
		}
	}
	for _, d := range []string{"spool", "log"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := own(dir, "ejabberd"); err != nil {
		return nil, err
	}
	// Its accounts are made in the same process, once it runs: no node has a name, and no epmd is needed.
	var register strings.Builder
	for _, a := range accounts {
		fmt.Fprintf(&register, "ok = ejabberd_auth:try_register(<<%q>>, <<%q>>, <<%q>>), ", a, XMPPDomain, "pw-"+a)
	}
	s.proc, err = start("ejabberd", erl, "-noinput", "-pa", code[len(code)-1], "-mnesia", "dir", strconv.Quote(filepath.Join(dir, "spool")),
		"-ejabberd", "config", strconv.Quote(filepath.Join(dir, "ejabberd.yml")), "log_path", strconv.Quote(filepath.Join(dir, "log", "ejabberd.log")),
		"-s", "ejabberd", "-eval", register.String()+fmt.Sprintf("ok = file:write_file(%q, <<>>).", filepath.Join(dir, "ready")))
	if err != nil {
		return nil, err
	}
	err = s.proc.until("ejabberd", 60*time.Second, func() error {
		if _, err := os.Stat(filepath.Join(dir, "ready")); err != nil {
			return err
		}
		return dial(s.Addr)()
	})
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Stop ends it and removes its folder.
func (s *Ejabberd) Stop() {
	s.proc.stop(syscall.SIGTERM)
	_ = os.RemoveAll(s.dir)
}
