package real

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// IRCd is ngIRCd: TLS, no SASL, no services: the plain kind of server. It can be restarted on the same ports.
type IRCd struct {
	Addr string // host:port in clear
	TLS  string // host:port encrypted, as localhost
	CA   string // file

	dir  string
	proc *proc
}

// StartIRCd starts a server with the channel #ops, which takes lines as fast as they come.
func StartIRCd() (*IRCd, error) { return startIRCd("MaxPenaltyTime = 0") }

// StartSlowIRCd starts one with ngIRCd's own penalties: each line of a client costs it time, in which the server reads
// nothing more from it.
func StartSlowIRCd() (*IRCd, error) { return startIRCd("") }

// startIRCd takes a line for [Limits], for servers that are strict.
func startIRCd(limit string) (*IRCd, error) {
	if _, err := need("ngircd", "ngircd"); err != nil {
		return nil, err
	}
	dir, err := folder("ngircd")
	if err != nil {
		return nil, err
	}
	s := &IRCd{dir: dir, CA: filepath.Join(dir, "ca.pem")}
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
	s.Addr, s.TLS = "127.0.0.1:"+strconv.Itoa(p1), "localhost:"+strconv.Itoa(p2)
	conf := fmt.Sprintf(`[Global]
	Name = ng.lab.test
	Info = lab
	AdminInfo1 = lab
	AdminEMail = root@lab.test
	Listen = 127.0.0.1
	Ports = %d
	ServerUID = irc
	ServerGID = irc
	MotdPhrase = lab
[Limits]
	MaxConnectionsIP = 0
	MaxJoins = 50
	MaxNickLength = 30
	PingTimeout = 30
	PongTimeout = 15
	%[4]s
[Options]
	DNS = no
	Ident = no
	PAM = no
[SSL]
	CertFile = %[3]s/srv.pem
	KeyFile = %[3]s/srv.key
	Ports = %[2]d
[Channel]
	Name = #ops
	Topic = ops
`, p1, p2, dir, limit)
	if err := os.WriteFile(filepath.Join(dir, "ngircd.conf"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	if err := own(dir, "irc"); err != nil {
		return nil, err
	}
	return s, s.Start()
}

// Start starts it again after Kill.
func (s *IRCd) Start() error {
	bin, err := need("ngircd", "ngircd")
	if err != nil {
		return err
	}
	if s.proc, err = start("", bin, "-n", "-f", filepath.Join(s.dir, "ngircd.conf")); err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(s.TLS)
	return s.proc.until("ngircd", 30*time.Second, func() error {
		if err := dial(s.Addr)(); err != nil {
			return err
		}
		return dial("127.0.0.1:" + port)()
	})
}

// Kill ends it at once: every link breaks.
func (s *IRCd) Kill() { s.proc.kill() }

// Stop ends it and removes its folder.
func (s *IRCd) Stop() {
	s.proc.stop(syscall.SIGTERM)
	_ = os.RemoveAll(s.dir)
}
