package post

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/cafile"
	"github.com/jarvisops/jarvis/internal/loopback"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/internal/plain"
)

// MailConfig is the part of jarvis.yaml about the server that takes mails.
type MailConfig struct {
	Server   string           `yaml:"server" doc:"host:port of a mail server that takes mails of Jarvis, as in smtp.example.org:587; empty: none are sent"`
	TLS      string           `yaml:"tls" check:"one:starttls|implicit|none" doc:"starttls, implicit (port 465), or none, which only a server on this machine may have" default:"starttls"`
	CA       string           `yaml:"ca" path:"relative" doc:"file of the CA that signed its certificate; empty: the system's"`
	User     string           `yaml:"user" doc:"login there; empty: without one"`
	Password clipboard.Secret `yaml:"password" doc:"of that login"`
	From     string           `yaml:"from" doc:"the address that mails are from, as in jarvis@example.org"`
}

// Mail sends to one address.
type Mail struct {
	to, from, domain string
	host             string
	opts             []gomail.Option
}

var _ Sender = (*Mail)(nil)

// Check says what is wrong with it, below the key `mail`.
func (c MailConfig) Check() error {
	if c == (MailConfig{}) {
		return nil
	}
	_, err := c.To("somebody@example.org")
	return err
}

// To gives who sends to an address. The error says all that is wrong with the configuration, below the key `mail`.
func (c MailConfig) To(address string) (*Mail, error) {
	var wrong mistake.List
	host, port, err := net.SplitHostPort(c.Server)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || host == "" || n < 1 || n > 65535 {
		wrong.At("mail.server", "is %q; it must be host:port, as in smtp.example.org:587", c.Server)
	}
	from, err := netmail.ParseAddress(c.From)
	if err != nil {
		wrong.At("mail.from", "is %q; it must be an address, as in jarvis@example.org", c.From)
		from = &netmail.Address{}
	}
	if (c.User == "") != (c.Password == "") {
		wrong.At("mail.user", "and password belong together; one of them is not set")
	}
	if c.TLS == "none" && host != "" && !loopback.Is(host) {
		wrong.At("mail.tls", "is none; only a server on this machine may be spoken to in the clear")
	}
	pool, err := cafile.Pool("mail.ca", c.CA)
	wrong.Add(err)
	m := &Mail{to: address, from: c.From, host: host, domain: from.Address[strings.LastIndexByte(from.Address, '@')+1:]}
	m.opts = []gomail.Option{gomail.WithTimeout(Timeout), gomail.WithTLSConfig(&tls.Config{ServerName: host, RootCAs: pool, MinVersion: tls.VersionTLS12})}
	switch cmp.Or(c.TLS, "starttls") {
	case "implicit":
		m.opts = append(m.opts, gomail.WithSSL())
	case "none":
		m.opts = append(m.opts, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		m.opts = append(m.opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	m.opts = append(m.opts, gomail.WithPort(n)) // after the others, which have ports of their own
	if c.User != "" {
		m.opts = append(m.opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(c.User), gomail.WithPassword(string(c.Password)))
	}
	return m, wrong.Err()
}

// Address gives the plain address of a text, as in alice@example.org; false when it is none.
func Address(s string) (string, bool) {
	a, err := netmail.ParseAddress(s)
	return s, err == nil && a.Address == s && a.Name == ""
}

// Send is Sender.
func (m *Mail) Send(ctx context.Context, x Message) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(m.from), msg.To(m.to)); err != nil {
		return fmt.Errorf("write the mail: %w", err)
	}
	msg.Subject(x.Subject)
	msg.SetMessageIDWithValue(x.ID + "@" + m.domain)
	msg.SetDateWithValue(x.At)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's holiday answers it
	msg.SetGenHeader("X-Auto-Response-Suppress", "All")  // the same, for Exchange
	if len(x.Replies) > 0 {
		m.thread(msg, x.Replies)
	}
	msg.SetBodyString(gomail.TypeTextPlain, x.Text)
	client, err := gomail.NewClient(m.host, m.opts...)
	if err != nil {
		return fmt.Errorf("the mail server: %w", plain.Error(err))
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		var s *gomail.SendError
		if errors.As(err, &s) && s.ErrorCode()/100 == 5 && !s.IsTemp() {
			return fmt.Errorf("the mail server: %w: %w", err, ErrRefused)
		}
		return fmt.Errorf("the mail server: %w", plain.Error(err))
	}
	return nil
}

// thread puts a mail into the thread of others (RFC 5322 §3.6.4).
func (m *Mail) thread(msg *gomail.Msg, replies []string) {
	ids := make([]string, len(replies))
	for i, id := range replies {
		ids[i] = "<" + id + "@" + m.domain + ">"
	}
	all := strings.Join(ids, " ")
	msg.SetGenHeader(gomail.HeaderInReplyTo, all)
	msg.SetGenHeader(gomail.HeaderReferences, all)
}

// Try logs in, sends nothing, and says what it reached.
func (m *Mail) Try(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	client, err := gomail.NewClient(m.host, m.opts...)
	if err != nil {
		return "", fmt.Errorf("the mail server: %w", plain.Error(err))
	}
	if err := client.DialWithContext(ctx); err != nil {
		return "", fmt.Errorf("the mail server: %w", plain.Error(err))
	}
	return m.host + " lets us in; no mail was sent", client.Close()
}
