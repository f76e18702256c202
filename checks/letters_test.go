package checks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/post"
)

const mailed1 = `
tasks: [{name: disk, command: x, schedule: "* * * * * *", attempts: 1}]
host_tasks: [{tasks: [disk], hosts: [loki]}]
actions: [{name: tell, on: [problem, change, recovery], notify: [alice]}]
contacts: [{name: alice, %s}]
`

// failing has a check fail while the test says so.
func (g *ground) failing(text string) *atomic.Bool {
	var bad atomic.Bool
	g.says(func(model.Key, int) outcome {
		if bad.Load() {
			return outcome{exit: 2, stdout: text}
		}
		return outcome{stdout: "OK - fine"}
	})
	return &bad
}

// until waits for something that the test has caused.
func (g *ground) until(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(real.Patience(2 * time.Minute)); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			list, err := g.Acted(g.t.Context(), 10)
			g.t.Fatalf("%s: it does not come; done: %+v, %v", what, list, err)
		}
	}
}

// A contact is told by mail at a real server: in one thread for each problem, and again when nobody knows whether it
// was taken.
func TestContactsByMail(t *testing.T) {
	s, err := real.StartSMTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	g := newGround(t, fmt.Sprintf(mailed1, `mail: "alice@example.org"`))
	g.cfg.Gather = 100 * time.Millisecond
	g.mailBy = post.MailConfig{Server: fmt.Sprintf("127.0.0.1:%d", s.Port), CA: s.CA, User: real.SMTPUser, Password: real.SMTPPassword, From: "jarvis@example.org"}
	bad := g.failing("DISK CRITICAL\x1b[2J\r\nBcc: eve@example.org - / is full")
	g.start()
	defer func() { g.stop() }()
	heads := func() (out []mail.Header) {
		list, err := s.Mails("alice@example.org")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			x, err := mail.ReadMessage(strings.NewReader(m))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, x.Header)
		}
		return out
	}
	fault := func(what string) {
		if err := s.Fault(what); err != nil {
			t.Fatal(err)
		}
	}
	subject := func(h mail.Header) string { return h.Get("Subject") }

	bad.Store(true)
	g.until("the first mail", func() bool { return len(heads()) == 1 })
	first := heads()[0]
	if got := subject(first); got != "disk is CRITICAL on loki" {
		t.Errorf("its subject is %q", got)
	}
	if first.Get("Auto-Submitted") != "auto-generated" || first.Get("Bcc") != "" || first.Get("In-Reply-To") != "" {
		t.Errorf("its head is %v", first)
	}

	fault("451 4.7.1 greylisted, come again")
	bad.Store(false)
	g.until("a try that failed", func() bool {
		list, err := g.Acted(t.Context(), 1)
		return err == nil && len(list) == 1 && list[0].Contact == "alice" && list[0].Tries > 0 && strings.Contains(list[0].Error, "451") && list[0].Done.IsZero()
	})
	if n := len(heads()); n != 1 {
		t.Errorf("%d mails", n)
	}
	g.stop() // and the next server goes on
	fault("")
	g.start()
	g.until("the recovery", func() bool { return len(heads()) == 2 })
	if h := heads()[1]; h.Get("In-Reply-To") != first.Get("Message-ID") || h.Get("References") != first.Get("Message-ID") || !strings.HasPrefix(subject(h), "disk is OK again on loki after ") {
		t.Errorf("the recovery has the head %v; the first mail is %s", h, first.Get("Message-ID"))
	}

	fault("drop")
	bad.Store(true)
	g.until("a mail of which nobody knows", func() bool { return len(heads()) >= 3 })
	fault("")
	g.until("the mail again", func() bool { return len(heads()) >= 4 })
	g.until("the mark", func() bool {
		list, err := g.Acted(t.Context(), 1)
		return err == nil && len(list) == 1 && !list[0].Done.IsZero() && list[0].Error == ""
	})
	all := heads()
	for _, h := range all[2:] {
		if h.Get("Message-ID") != all[2].Get("Message-ID") || h.Get("In-Reply-To") != "" || h.Get("Message-ID") == first.Get("Message-ID") {
			t.Errorf("the next problem has the head %v", h)
		}
	}
}

// While a mail server takes none, the letters of a contact wait for one another: nobody reads of an end before the
// beginning.
func TestLettersComeInOrder(t *testing.T) {
	s, err := real.StartSMTP(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	g := newGround(t, fmt.Sprintf(mailed1, `mail: "alice@example.org"`))
	g.cfg.Gather = 100 * time.Millisecond
	g.mailBy = post.MailConfig{Server: fmt.Sprintf("127.0.0.1:%d", s.Port), CA: s.CA, User: real.SMTPUser, Password: real.SMTPPassword, From: "jarvis@example.org"}
	bad := g.failing("no")
	g.start()
	defer func() { g.stop() }()
	fault := func(what string) {
		if err := s.Fault(what); err != nil {
			t.Fatal(err)
		}
	}
	fault("451 4.7.1 greylisted, come again")
	bad.Store(true)
	g.until("two tries that failed", func() bool {
		list, err := g.Acted(t.Context(), 1)
		return err == nil && len(list) == 1 && list[0].Contact == "alice" && list[0].Tries > 1
	})
	bad.Store(false)
	letters := func() (n int) {
		if err := g.DB.QueryRow(t.Context(), "SELECT COUNT(*) FROM check_outbox WHERE kind = ?", rowLetter).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	g.until("the letter of the end", func() bool { return letters() == 2 })
	fault("")
	var mails []string
	g.until("both", func() bool {
		if mails, err = s.Mails("alice@example.org"); err != nil {
			t.Fatal(err)
		}
		return len(mails) == 2
	})
	if !strings.Contains(mails[0], "Subject: disk is CRITICAL on loki") || !strings.Contains(mails[1], "Subject: disk is OK again on loki") {
		t.Errorf("they came as %q", mails)
	}
}

// What happens together is one letter; the end of each problem names the letter that told of it.
func TestLettersAreGathered(t *testing.T) {
	bubble(t, `
tasks: [{name: disk, command: x, schedule: "0 * * * * *", attempts: 1}, {name: load, command: x, schedule: "0 * * * * *", attempts: 1}]
host_tasks: [{tasks: [disk, load], hosts: ["web[1-3]"]}]
actions:
  - {name: tell, notify: [alice, ops]}
  - {name: wake, status: [critical], notify: [alice]}
contacts: [{name: alice, mail: alice@example.org}, {name: ops, channel: "#ops"}]
`, func(t *testing.T, g *ground) {
		var well atomic.Int64
		g.says(func(k model.Key, _ int) outcome {
			if k.Task == "load" && well.Load() > 0 || well.Load() > 1 {
				return outcome{stdout: "OK"}
			}
			return outcome{exit: 2, stdout: "no " + k.Host}
		})
		time.Sleep(90 * time.Second)
		well.Add(1)
		time.Sleep(time.Minute)
		well.Add(1)
		time.Sleep(time.Minute)
		list, err := g.Acted(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		var letters []Done
		for _, d := range list {
			if d.Contact != "" {
				letters = append(letters, d)
			}
		}
		if len(letters) != 3 || letters[2].Tries == 0 || letters[0].Tries != 0 || !strings.Contains(letters[2].Error, "mail.server is not set") {
			t.Fatalf("letters: %+v", letters)
		}
		read := func(d Done) (l letter) {
			var body string
			if err := g.DB.QueryRow(t.Context(), "SELECT event FROM check_outbox WHERE id = ?", d.ID).Scan(&body); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(body), &l); err != nil {
				t.Fatal(err)
			}
			return l
		}
		first, second, third := read(letters[2]), read(letters[1]), read(letters[0])
		if got := first.subject(); got != "on 3 hosts: 6 problems (disk, load)" || len(first.Events) != 6 || first.Replies != nil {
			t.Errorf("%q %d events, replies %v", got, len(first.Events), first.Replies)
		}
		for _, l := range []letter{second, third} {
			if len(l.Events) != 3 || len(l.Replies) != 1 || l.Replies[0] != letters[2].ID {
				t.Errorf("%q: %d events, replies %v", l.subject(), len(l.Events), l.Replies)
			}
		}
		want := "disk is CRITICAL on 3 hosts: web[1-3]. `checks disk`\n  web1: no web1\n"
		if text := first.text("check-1.x"); !strings.Contains(text, want) {
			t.Errorf("%s\nhas no\n%s", text, want)
		}
		g.step(25 * time.Hour) // and then it is given up
		time.Sleep(time.Minute)
		if list, err = g.Acted(t.Context(), 1); err != nil || len(list) != 1 || list[0].Done.IsZero() || list[0].Error == "" {
			t.Errorf("after a day: %+v, %v", list, err)
		}
		var threads int
		if err := g.DB.QueryRow(t.Context(), "SELECT COUNT(*) FROM check_threads").Scan(&threads); err != nil || threads != 0 {
			t.Errorf("%d threads are left, %v", threads, err)
		}
	})
}

// A program of this server is told by its environment and on stdin; what it could not take comes again with the same
// id.
func TestContactsByProgram(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sms")
	script := "#!/bin/sh\nprintf '%s\\n' \"$1 $JARVIS_CONTACT $JARVIS_EVENT $JARVIS_EVENT_STATUS $JARVIS_SUBJECT|$JARVIS_EVENTS|$SECRET\" >>" + dir + "/env\ncat >>" + dir + "/json; echo >>" + dir + "/json\n" +
		"[ -e " + dir + "/works ] || { echo no network >&2; exit 3; }\n"
	if err := os.WriteFile(file, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET", "of the server")
	g := newGround(t, fmt.Sprintf(mailed1, `command: [`+file+`, "+49"]`))
	g.cfg.Gather = 100 * time.Millisecond
	bad := g.failing("no")
	g.start()
	defer g.stop()
	bad.Store(true)
	g.until("a try that failed", func() bool {
		list, err := g.Acted(t.Context(), 1)
		return err == nil && len(list) == 1 && strings.Contains(list[0].Error, file+" ended with 3: no network")
	})
	if err := os.WriteFile(dir+"/works", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g.until("the end", func() bool {
		list, err := g.Acted(t.Context(), 1)
		return err == nil && len(list) == 1 && !list[0].Done.IsZero()
	})
	b, err := os.ReadFile(dir + "/env")
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if err != nil || len(lines) < 2 || lines[0] != "+49 alice problem CRITICAL disk is CRITICAL on loki|1|" {
		t.Errorf("%q %v", lines, err)
	}
	b, err = os.ReadFile(dir + "/json")
	if err != nil {
		t.Fatal(err)
	}
	var was mailed
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		var x mailed
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if i > 0 && x.ID != was.ID || x.Contact != "alice" || len(x.Events) != 1 || x.Events[0].Host != "loki" || x.Events[0].Line != "no" {
			t.Errorf("%s, after the id %s", line, was.ID)
		}
		was = x
	}
}

func TestContactsByWebhook(t *testing.T) {
	got := make(chan mailed, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var x mailed
		if err := json.NewDecoder(r.Body).Decode(&x); err != nil || r.Header.Get(post.HeaderID) != x.ID {
			t.Errorf("%v: %v, id %s", x, err, r.Header.Get(post.HeaderID))
		}
		got <- x
	}))
	defer srv.Close()
	g := newGround(t, fmt.Sprintf(mailed1, `webhook: "`+srv.URL+`"`))
	g.cfg.Gather = 100 * time.Millisecond
	bad := g.failing("no")
	g.start()
	defer g.stop()
	bad.Store(true)
	select {
	case x := <-got:
		if x.Subject != "disk is CRITICAL on loki" || x.Contact != "alice" || len(x.Events) != 1 || x.Events[0].On != "problem" || x.Events[0].Action != "tell" {
			t.Errorf("%+v", x)
		}
	case <-time.After(real.Patience(time.Minute)):
		t.Fatal("nothing came")
	}
}

// A contact whose receiver does not answer keeps no other one waiting.
func TestAContactThatHangs(t *testing.T) {
	hang, told := make(chan struct{}), make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hangs" {
			<-hang
		}
		var x mailed
		_ = json.NewDecoder(r.Body).Decode(&x)
		told <- x.Subject
	}))
	defer srv.Close()
	g := newGround(t, `
tasks: [{name: disk, command: x, schedule: "* * * * * *", attempts: 1}]
host_tasks: [{tasks: [disk], hosts: [loki]}]
actions: [{name: tell, on: [problem, recovery], notify: [hangs, works]}]
contacts: [{name: hangs, webhook: "`+srv.URL+`/hangs"}, {name: works, webhook: "`+srv.URL+`"}]
`)
	g.cfg.Gather = 100 * time.Millisecond
	bad := g.failing("no")
	g.start()
	defer g.stop()
	defer close(hang) // first: the server waits for who is in it
	for i := range 4 {
		bad.Store(i%2 == 0)
		select {
		case subject := <-told:
			if strings.HasPrefix(subject, "disk is CRITICAL on loki") != (i%2 == 0) {
				t.Errorf("%d: %q", i, subject)
			}
		case <-time.After(real.Patience(time.Minute)):
			t.Fatal("nothing came")
		}
	}
}
