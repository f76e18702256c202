package main

import (
	"database/sql"
	"fmt"
	"net/mail"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestALetterThroughKills kills the server with -9 when the mail server took a mail and nobody knows it, and when it
// has not answered yet: each mail comes, the same one with the same id, and the end of a problem in its thread.
func TestALetterThroughKills(t *testing.T) {
	bin := buildJarvis(t)
	s := must[*real.SMTP](t)(real.StartSMTP(t.Context()))
	t.Cleanup(s.Stop)
	data := filepath.Join(t.TempDir(), "data")
	p := checkProcess(t, bin, data, fmt.Sprintf(`
  gather: 100ms
  hosts: [{name: loki, alive: none}]
  tasks: [{name: backup, passive: true, attempts: 1}]
  host_tasks: [{tasks: [backup], hosts: [loki]}]
  contacts: [{name: alice, mail: alice@example.org}]
  actions: [{name: tell, notify: [alice]}]
mail: {server: "127.0.0.1:%d", ca: %s, user: %s, password: %s, from: jarvis@example.org}
`, s.Port, s.CA, real.SMTPUser, real.SMTPPassword))
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+filepath.Join(data, "jarvis.db")))
	defer func() { _ = db.Close() }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(real.Patience(time.Minute)); !ok(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: it does not come", what)
			}
		}
	}
	heads := func() (out []mail.Header) {
		for _, m := range must[[]string](t)(s.Mails("alice@example.org")) {
			out = append(out, must[*mail.Message](t)(mail.ReadMessage(strings.NewReader(m))).Header)
		}
		return out
	}
	fault := func(what string) {
		if err := s.Fault(what); err != nil {
			t.Fatal(err)
		}
	}
	deliver := func(word string) {
		until("the server takes a result", func() bool { // it may just have begun
			_, err := p.cli(t.Context(), "check", "result", "backup", "on", "loki", word, "it says")
			return err == nil
		})
	}
	rows := func(done string) (n int) {
		if err := db.QueryRow("SELECT count(*) FROM check_outbox WHERE kind = 'letter' AND done " + done).Scan(&n); err != nil {
			return -1 // it is written to
		}
		return n
	}

	fault("drop")
	p.start()
	deliver("critical")
	until("the mail is taken", func() bool { return len(heads()) > 0 })
	p.kill()
	taken := len(heads())
	fault("")
	p.start()
	until("it comes again", func() bool { return len(heads()) > taken && rows("> 0") == 1 })
	first := heads()
	for _, h := range first {
		if h.Get("Message-ID") != first[0].Get("Message-ID") || h.Get("Subject") != "backup is CRITICAL on loki" {
			t.Errorf("the head of one is %v", h)
		}
	}

	fault("stall")
	deliver("ok")
	until("the recovery is to be sent", func() bool { return rows("= 0") == 1 })
	p.kill()
	fault("")
	p.start()
	until("the recovery", func() bool { return rows("> 0") == 2 })
	all := heads()
	last := all[len(all)-1]
	if !strings.HasPrefix(last.Get("Subject"), "backup is OK again on loki") || last.Get("In-Reply-To") != first[0].Get("Message-ID") {
		t.Errorf("the head of the last is %v", last)
	}
	p.end(syscall.SIGTERM)
}
