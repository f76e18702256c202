//go:build !race

// Not under the race detector: the process that is killed is not the test's.

package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/post"
)

const hookSecret = "0123456789abcdef0123456789abcdef"

// hook is a receiver of webhooks. It verifies each, and keeps which ids it was sent of which host.
type hook struct {
	*httptest.Server
	mu    sync.Mutex
	ids   map[string][]string // by host, each try that it answered or holds
	hosts []string            // each that it answered
	gate  chan struct{}       // nil: it answers at once
	held  chan struct{}       // has something when one waits at the gate
}

func newHook(t *testing.T) *hook {
	h := &hook{ids: map[string][]string{}, held: make(chan struct{}, 1000)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var x bot.Told
		id := r.Header.Get(post.HeaderID)
		if err := json.Unmarshal(b, &x); err != nil || x.ID != id {
			t.Errorf("it was sent %s as %s", b, id)
		}
		if want := post.Signature([]byte(hookSecret), id, r.Header.Get(post.HeaderTimestamp), b); r.Header.Get(post.HeaderSignature) != want {
			t.Errorf("it is signed %q", r.Header.Get(post.HeaderSignature))
		}
		h.mu.Lock()
		h.ids[x.Host] = append(h.ids[x.Host], id)
		gate := h.gate
		h.mu.Unlock()
		if gate != nil {
			h.held <- struct{}{}
			<-gate
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.hosts = append(h.hosts, x.Host)
	}))
	t.Cleanup(h.Close)
	return h
}

// of gives the ids that were sent of a host.
func (h *hook) of(host string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ids[host])
}

func (h *hook) setGate(gate chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = gate
}

// TestNoticesOutliveTheProcess kills a server with -9 while a webhook is told, and right after runs have ended: each
// notice comes, and what comes twice has the same id. Mail goes by a real server that cuts the line after it took one.
// A reload brings another route, `doctor` tells of what was given up, and nothing tells the secret.
func TestNoticesOutliveTheProcess(t *testing.T) {
	smtp := must[*real.SMTP](t)(real.StartSMTP(t.Context()))
	t.Cleanup(smtp.Stop)
	h, second := newHook(t), newHook(t)
	dir := t.TempDir()
	write := writeIn(t, dir)
	write("w/toy", "#!/bin/sh\ncase $1 in --steps) echo '[{name: toy:make, resume: again}]'; esac\n", 0o755)
	text := fmt.Sprintf(`data: ./data
listen: ""
approvals: {off: true}
workers: {external: {dir: w}}
pipelines: {deploy: {toy: ["toy:make"]}}
mail: {server: "127.0.0.1:%d", ca: %q, user: %s, password: %s, from: jarvis@example.org}
notices:
  - {to: %q, secret: %q}
  - {to: ops@example.org, events: [ready]}
`, smtp.Port, smtp.CA, real.SMTPUser, real.SMTPPassword, h.URL, hookSecret)
	conf := write("jarvis.yaml", text, 0o600)
	log := must[*os.File](t)(os.Create(filepath.Join(dir, "log")))
	p := &process{t: t, bin: buildJarvis(t), conf: conf, log: log}
	said := func() string { b, _ := os.ReadFile(log.Name()); return string(b) }
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("the log:\n%s", said()[max(0, len(said())-4000):])
		}
	})
	start := func() {
		p.start()
		until(t, 30*time.Second, "it answers", func() bool { _, err := p.cli(t.Context(), "nodes"); return err == nil })
	}
	deploy := func(host string) {
		t.Helper()
		if out, err := p.cli(t.Context(), "deploy", write(host+".yaml", toyClipboard("toy", host), 0o600)); err != nil {
			t.Fatalf("deploy %s: %v %s", host, err, out)
		}
	}
	start()

	gate := make(chan struct{})
	h.setGate(gate)
	if err := smtp.Fault("drop"); err != nil {
		t.Fatal(err)
	}
	deploy("loki")
	<-h.held // it is being told, and we do not know yet whether it was
	p.kill()
	h.setGate(nil)
	close(gate)
	start()
	until(t, 40*time.Second, "it is told again", func() bool { return len(h.of("loki")) >= 2 })
	if ids := slices.Compact(h.of("loki")); len(ids) != 1 {
		t.Errorf("one notice has the ids %v", ids)
	}
	for i := range 8 { // between the event and its row, and between the row and its way out
		deploy(fmt.Sprintf("h%d", i))
		time.Sleep(time.Duration(i*i) * 3 * time.Millisecond)
		p.kill()
		start()
	}
	until(t, 60*time.Second, "each is told", func() bool {
		for i := range 8 {
			if len(h.of(fmt.Sprintf("h%d", i))) == 0 {
				return false
			}
		}
		return true
	})
	all := map[string]bool{}
	for i := range 8 {
		ids := slices.Compact(h.of(fmt.Sprintf("h%d", i)))
		if len(ids) != 1 || all[ids[0]] {
			t.Errorf("h%d has the ids %v", i, ids)
		}
		all[ids[0]] = true
	}

	if err := smtp.Fault(""); err != nil {
		t.Fatal(err)
	}
	mails := func() []string { return must[[]string](t)(smtp.Mails("ops@example.org")) }
	until(t, 60*time.Second, "each is mailed", func() bool {
		got := strings.Join(mails(), "\n")
		return strings.Contains(got, "loki is ready") && strings.Contains(got, "h7 is ready")
	})
	ids := map[string]bool{}
	for _, m := range mails() {
		_, rest, _ := strings.Cut(m, "Message-ID: <")
		id, _, _ := strings.Cut(rest, ">")
		ids[id] = true
	}
	if len(ids) != 9 {
		t.Errorf("the mails of 9 notices have %d ids", len(ids))
	}

	write("jarvis.yaml", text+fmt.Sprintf("  - {to: %q, secret: %q, events: [ready]}\n", second.URL, hookSecret), 0o600)
	p.mu.Lock()
	_ = p.cmd.Process.Signal(syscall.SIGHUP)
	p.mu.Unlock()
	until(t, 20*time.Second, "the reload is logged", func() bool { return strings.Contains(said(), "the configuration was read again\" changed=notices") })
	deploy("thor")
	until(t, 20*time.Second, "the new route is told", func() bool { return len(second.of("thor")) == 1 && len(h.of("thor")) == 1 })
	if n := len(second.of("h0")); n > 0 {
		t.Errorf("the new route was told %d times of what was before it", n)
	}

	second.Close()
	deploy("freya")
	until(t, 20*time.Second, "it is late", func() bool {
		out, _ := p.cli(t.Context(), "doctor")
		return strings.Contains(string(out), "wrong notices: one for a webhook or a mail waits for")
	})
	p.end(syscall.SIGTERM)
	aged(t, filepath.Join(dir, "data"))
	start()
	until(t, 20*time.Second, "it is given up", func() bool {
		out, _ := p.cli(t.Context(), "doctor")
		return strings.Contains(string(out), "wrong notices: 1 were given up in the last week")
	})
	for _, s := range []string{hookSecret, real.SMTPPassword} {
		if strings.Contains(said(), s) {
			t.Error("the log tells a secret")
		}
		if out, _ := p.cli(t.Context(), "config", "show"); strings.Contains(string(out), s) {
			t.Error("config show tells a secret")
		}
	}
}

// aged makes all that waits three days old. The server is not there.
func aged(t *testing.T, data string) {
	t.Helper()
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+filepath.Join(data, "jarvis.db")+"?_pragma=busy_timeout(5000)"))
	defer func() { _ = db.Close() }()
	if _, err := db.Exec("UPDATE notices SET born = born - 3 * 86400000 WHERE sent = 0"); err != nil {
		t.Fatal(err)
	}
}

// TestNoticesOfSeveralServers: on one PostgreSQL each notice is sent once, whoever has the run; and when the one that
// sends is killed, another does, with the same ids.
func TestNoticesOfSeveralServers(t *testing.T) {
	n := newNodes(t, "n1", "n2")
	h := newHook(t)
	for i, p := range n.list {
		f := must[*os.File](t)(os.OpenFile(p.conf, os.O_APPEND|os.O_WRONLY, 0))
		_, err := fmt.Fprintf(f, "notices:\n  - {to: %q, secret: %q}\n", h.URL, hookSecret)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		n.says(i, "reload")
	}
	var hosts []string
	for i := range 10 {
		hosts = append(hosts, fmt.Sprintf("h%d", i))
		n.deploy(i%2, "toy", hosts[i])
		n.open(hosts[i])
	}
	told := func() bool {
		return !slices.ContainsFunc(hosts, func(host string) bool { return len(h.of(host)) == 0 })
	}
	until(t, 60*time.Second, "each is told", told)
	for _, host := range hosts {
		if ids := h.of(host); len(ids) != 1 {
			t.Errorf("%s was told %d times: %v", host, len(ids), ids)
		}
	}
	who := -1
	until(t, 30*time.Second, "somebody sends", func() bool {
		for i, x := range []string{"n1", "n2"} {
			for _, y := range n.who(0) {
				if y.Name == x && slices.Contains(y.Roles, "post") {
					who = i
				}
			}
		}
		return who >= 0
	})
	gate := make(chan struct{})
	h.setGate(gate)
	n.deploy(1-who, "toy", "last")
	n.open("last")
	<-h.held
	n.list[who].kill()
	h.setGate(nil)
	close(gate)
	until(t, 60*time.Second, "the other tells it", func() bool { return len(h.of("last")) >= 2 })
	if ids := slices.Compact(h.of("last")); len(ids) != 1 {
		t.Errorf("one notice has the ids %v", ids)
	}
}
