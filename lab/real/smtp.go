package real

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

//go:embed smtp.py
var smtpProgram []byte

// The lab's login at its mail server.
const (
	SMTPUser     = "jarvis"
	SMTPPassword = "jarvispw-jarvispw"
)

// SMTP is a mail server (aiosmtpd) on 127.0.0.1: STARTTLS at Port, TLS from the start at PortTLS; it takes mails only
// of who is logged in, and logins only under TLS. What it took lies in Mails. nobody@ it does not know, and full@ is
// full.
type SMTP struct {
	Port, PortTLS int
	CA            string // file

	dir  string
	proc *proc
}

// StartSMTP starts one.
func StartSMTP(ctx context.Context) (*SMTP, error) {
	python, err := need("python3", "python3-aiosmtpd")
	if _, serr := os.Stat("/usr/bin/python3"); serr == nil {
		python = "/usr/bin/python3" // the package's, where another is before it
	}
	if err != nil {
		return nil, err
	}
	if err := run(ctx, "", python, "-c", "import aiosmtpd"); err != nil {
		return nil, errors.New("aiosmtpd is not installed; run: apt-get install -y python3-aiosmtpd")
	}
	s := &SMTP{}
	if s.dir, err = folder("smtp"); err != nil {
		return nil, err
	}
	s.CA = filepath.Join(s.dir, "ca.pem")
	if err := errors.Join(ca(s.dir), os.Mkdir(filepath.Join(s.dir, "mail"), 0o755), os.WriteFile(filepath.Join(s.dir, "smtp.py"), smtpProgram, 0o644)); err != nil {
		return nil, err
	}
	if s.Port, err = FreePort(); err != nil {
		return nil, err
	}
	if s.PortTLS, err = FreePort(); err != nil {
		return nil, err
	}
	return s, s.start(python)
}

func (s *SMTP) start(python string) (err error) {
	at := func(name string) string { return filepath.Join(s.dir, name) }
	if s.proc, err = start("", python, at("smtp.py"), strconv.Itoa(s.Port), strconv.Itoa(s.PortTLS), at("srv.pem"), at("srv.key"), s.dir, SMTPUser, SMTPPassword); err != nil {
		return err
	}
	return s.proc.until("aiosmtpd", 30*time.Second, dial("127.0.0.1:"+strconv.Itoa(s.PortTLS)))
}

// Fault has it answer the next mails so: a line as "451 4.3.0 later", "drop" (taken, and the line is cut before the
// answer), "stall" (no answer); "": as it should.
func (s *SMTP) Fault(what string) error {
	file := filepath.Join(s.dir, "fault")
	if what == "" {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			return err
		}
		return nil
	}
	return os.WriteFile(file, []byte(what), 0o644)
}

// Mails gives what it took for an address, in its order.
func (s *SMTP) Mails(address string) (out []string, err error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "mail", address+".*"))
	for _, f := range files {
		b, rerr := os.ReadFile(f)
		if rerr != nil {
			return out, rerr
		}
		out = append(out, string(b))
	}
	return out, err
}

// Stop ends it and removes its folder.
func (s *SMTP) Stop() {
	s.proc.stop(syscall.SIGTERM)
	_ = os.RemoveAll(s.dir)
}
