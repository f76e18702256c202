package post_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/post"
)

// TestMailsAtARealServer: STARTTLS and TLS from the start, a login, a name that is no header, and each way in which a
// server does not take a mail.
func TestMailsAtARealServer(t *testing.T) {
	s, err := real.StartSMTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	conf := post.MailConfig{Server: fmt.Sprintf("127.0.0.1:%d", s.Port), CA: s.CA, User: real.SMTPUser, Password: real.SMTPPassword, From: "jarvis@example.org"}
	send := func(c post.MailConfig, to, subject string) error {
		t.Helper()
		m, err := c.To(to)
		if err != nil {
			t.Fatal(err)
		}
		return m.Send(t.Context(), post.Message{ID: "inst.7", At: time.Now(), Subject: subject, Text: "loki is ready – grün\n.a line with a dot\n"})
	}
	if err := send(conf, "alice@example.org", "loki is ready – grün"); err != nil {
		t.Fatal(err)
	}
	try := func(c post.MailConfig) (string, error) {
		m, err := c.To("alice@example.org")
		if err != nil {
			t.Fatal(err)
		}
		return m.Try(t.Context())
	}
	bad := conf
	bad.Password = "something else"
	if said, err := try(conf); err != nil || said != "127.0.0.1 lets us in; no mail was sent" {
		t.Errorf("Try = %q, %v", said, err)
	}
	if said, err := try(bad); err == nil {
		t.Errorf("Try with a wrong password = %q", said)
	}
	implicit := conf
	implicit.TLS, implicit.Server = "implicit", fmt.Sprintf("127.0.0.1:%d", s.PortTLS)
	if err := send(implicit, "bob@example.org", "x"); err != nil {
		t.Error("implicit TLS:", err)
	}
	mails, err := s.Mails("alice@example.org")
	if err != nil || len(mails) != 1 {
		t.Fatalf("%d mails, %v", len(mails), err)
	}
	for _, want := range []string{"Message-ID: <inst.7@example.org>", "From: <jarvis@example.org>", "Auto-Submitted: auto-generated", "Subject: =?UTF-8?"} {
		if !strings.Contains(mails[0], want) {
			t.Errorf("the mail has no %q:\n%s", want, mails[0])
		}
	}
	wrong, stranger := conf, conf
	wrong.Password, stranger.CA = "something else", ""
	for _, c := range []struct {
		name, to, fault string
		conf            post.MailConfig
		refused         bool
	}{
		{"no such mailbox", "nobody@example.org", "", conf, true},
		{"a full mailbox", "full@example.org", "", conf, false},
		{"not now", "carol@example.org", "451 4.3.0 later", conf, false},
		{"never", "carol@example.org", "554 5.6.0 no", conf, true},
		{"the wrong password", "carol@example.org", "", wrong, false},
		{"a certificate of nobody we trust", "carol@example.org", "", stranger, false},
	} {
		if err := s.Fault(c.fault); err != nil {
			t.Fatal(err)
		}
		if err := send(c.conf, c.to, "x"); err == nil || errors.Is(err, post.ErrRefused) != c.refused {
			t.Errorf("%s: %v, refused alone: %v", c.name, err, errors.Is(err, post.ErrRefused))
		} else if strings.Contains(err.Error(), real.SMTPPassword) {
			t.Errorf("%s: the error tells the password", c.name)
		}
	}
	// Taken, and nobody knows: the second one has the same Message-ID, so that the reader's program can tell.
	if err := errors.Join(s.Fault("drop")); err != nil {
		t.Fatal(err)
	}
	if err := send(conf, "dora@example.org", "x"); err == nil {
		t.Error("a cut line counts as taken")
	}
	if err := s.Fault(""); err != nil {
		t.Fatal(err)
	}
	if err := send(conf, "dora@example.org", "x"); err != nil {
		t.Error(err)
	}
	mails, err = s.Mails("dora@example.org")
	if err != nil || len(mails) != 2 || strings.Count(strings.Join(mails, ""), "<inst.7@example.org>") != 2 {
		t.Errorf("%d mails %v: %q", len(mails), err, mails)
	}
}
