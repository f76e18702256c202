package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/pipeline"
)

// planning is a real program with an external step that notes each host on which it is done.
type planning struct {
	*process
	t       *testing.T
	dir     string
	write   func(name, text string, mode os.FileMode) string
	without string // the configuration without a freeze
}

func newPlanning(t *testing.T) *planning {
	t.Helper()
	s := &planning{t: t, dir: t.TempDir()}
	s.write = writeIn(t, s.dir)
	s.write("w/toy", fmt.Sprintf("#!/bin/sh\n[ \"$1\" = --steps ] && { echo '[{name: toy:a, resume: again}]'; exit; }\ngrep -o 'hostname: [a-z]*' >>%s/did\n", s.dir), 0o755)
	s.without = "data: ./data\nlisten: \"\"\nzone: Europe/Berlin\nworkers: {external: {dir: w}}\npipelines: {deploy: {toy: [\"toy:a\"]}}\n"
	conf := s.write("jarvis.yaml", s.without, 0o600)
	log := must[*os.File](t)(os.Create(filepath.Join(s.dir, "log")))
	s.process = &process{t: t, bin: buildJarvis(t), conf: conf, log: log}
	t.Cleanup(func() {
		s.kill()
		if b, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the end of the log:\n%s", b[max(0, len(b)-4000):])
		}
	})
	return s
}

// up starts the program, and waits until it answers.
func (s *planning) up() {
	s.t.Helper()
	s.start()
	until(s.t, 20*time.Second, "the server answers", func() bool { _, err := s.cli(s.t.Context(), "status"); return err == nil })
}

// deploy asks for a host at a time, and gives the answer.
func (s *planning) deploy(host string, at time.Time) string {
	s.t.Helper()
	clip := s.write(host+".yaml", "instance: {hostname: "+host+", provider: toy}\n", 0o600)
	return s.say("deploy", clip, "at", at.Format(time.RFC3339))
}

func (s *planning) say(args ...string) string {
	s.t.Helper()
	out, err := s.cli(s.t.Context(), args...)
	if err != nil {
		s.t.Fatalf("%q: %v %s", args, err, out)
	}
	return string(out)
}

// state gives how a host stands; "" while nobody answers.
func (s *planning) state(host string) (r pipeline.Run) {
	out, err := s.cli(s.t.Context(), "status", host, "--json")
	var a struct{ Run pipeline.Run }
	if err == nil {
		_ = json.Unmarshal(out, &a)
	}
	return a.Run
}

// did gives how often the step was done on a host.
func (s *planning) did(host string) int {
	b, _ := os.ReadFile(filepath.Join(s.dir, "did"))
	return strings.Count(string(b), "hostname: "+host)
}

// begun gives how often a host's run began, by its log.
func (s *planning) begun(host string) int {
	return strings.Count(s.say("log", host), " begins: deploy/toy")
}

// TestAPlannedDeploymentOutlivesKills: it is asked for, the server is killed with -9 before its time, and around it,
// and it begins once. One whose time comes while nobody lives begins with the next start.
func TestAPlannedDeploymentOutlivesKills(t *testing.T) {
	s := newPlanning(t)
	s.up()
	at := time.Now().Add(12 * time.Second).Truncate(time.Second)
	out := s.deploy("loki", at)
	if want := at.In(must[*time.Location](t)(time.LoadLocation("Europe/Berlin"))).Format("Mon 2006-01-02 15:04"); !strings.Contains(out, "It begins on "+want) || !strings.Contains(out, "(Europe/Berlin)") {
		t.Errorf("deploy: %s", out)
	}
	s.deploy("thor", time.Now().Add(3*time.Second)) // its time comes while the server is dead
	s.kill()
	time.Sleep(4 * time.Second)
	s.up()
	until(t, 20*time.Second, "thor is ready", func() bool { return s.state("thor").State == pipeline.Ready })
	if r := s.state("loki"); r.State != pipeline.Planned || s.did("loki") != 0 {
		t.Fatalf("before its time loki is %s, and the step was done %d times", r.State, s.did("loki"))
	}
	if out := s.say("status", "loki"); !strings.Contains(out, "waits until ") {
		t.Errorf("status: %s", out)
	}
	s.kill()
	s.up()
	for i := range 4 { // around its time
		time.Sleep(time.Until(at.Add(time.Duration(i-1) * 700 * time.Millisecond)))
		s.kill()
		s.start()
	}
	until(t, 30*time.Second, "loki is ready", func() bool { return s.state("loki").State == pipeline.Ready })
	for _, host := range []string{"loki", "thor"} {
		if n := s.begun(host); n != 1 {
			t.Errorf("%s began %d times: %s", host, n, s.say("log", host))
		}
	}
	if r := s.state("loki"); r.Began.Before(at) || s.did("loki") == 0 {
		t.Errorf("it began %s, and the step was done %d times", r.Began.Sub(at), s.did("loki"))
	}
}

// TestAFreezeHoldsUpWhatIsPlanned: one that a reload brings is waited for, and one that a reload takes away is not.
func TestAFreezeHoldsUpWhatIsPlanned(t *testing.T) {
	s := newPlanning(t)
	s.up()
	s.deploy("loki", time.Now().Add(4*time.Second))
	from, to := time.Now().UTC().Add(-time.Hour), time.Now().UTC().Add(48*time.Hour)
	freeze := fmt.Sprintf("freeze: [{when: %q, because: the fair}]\n", from.Format("2006-01-02 15:04")+"–"+to.Format("2006-01-02 15:04"))
	if err := os.WriteFile(s.conf, []byte(s.without+freeze), 0o600); err != nil {
		t.Fatal(err)
	}
	s.say("reload")
	until(t, 20*time.Second, "it waits for the end of the freeze", func() bool { return s.state("loki").Waits == pipeline.ForFreeze })
	if out := s.say("status", "loki"); !strings.Contains(out, "waits to begin, for there is a freeze until") || !strings.Contains(out, "(the fair)") {
		t.Errorf("status: %s", out)
	}
	if out := s.say("log", "loki"); !strings.Contains(out, "postponed: there is a freeze until") {
		t.Errorf("log: %s", out)
	}
	s.kill()
	s.up()
	if r := s.state("loki"); r.State != pipeline.Planned || s.did("loki") != 0 {
		t.Errorf("after a kill in the freeze: %s, done %d times", r.State, s.did("loki"))
	}
	if err := os.WriteFile(s.conf, []byte(s.without), 0o600); err != nil {
		t.Fatal(err)
	}
	s.say("reload")
	until(t, 20*time.Second, "loki is ready", func() bool { return s.state("loki").State == pipeline.Ready })
	if n := s.begun("loki"); n != 1 || s.did("loki") != 1 {
		t.Errorf("it began %d times, and was done %d times", n, s.did("loki"))
	}
}

// TestATimeOverHTTP: the field `at`, what is no time, and a key that comes again after the time.
func TestATimeOverHTTP(t *testing.T) {
	s := newPlanning(t)
	s.up()
	cl := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "data", "run", "jarvis.sock"))
	}}}
	defer cl.CloseIdleConnections()
	ask := func(host, at string) (int, string) {
		t.Helper()
		body := must[[]byte](t)(json.Marshal(map[string]string{"clipboard": "instance: {hostname: " + host + ", provider: toy}\n", "at": at}))
		req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), "POST", "http://jarvis/v1/deploy", bytes.NewReader(body)))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", host)
		res := must[*http.Response](t)(cl.Do(req))
		defer func() { _ = res.Body.Close() }()
		var b bytes.Buffer
		_, err := b.ReadFrom(res.Body)
		return must[int](t)(res.StatusCode, err), b.String()
	}
	for _, bad := range []string{"soon", "2001-01-01 03:00", "2026-03-29 02:30", time.Now().AddDate(0, 2, 0).Format(time.RFC3339)} {
		if code, out := ask("bad", bad); code < 400 || code > 499 || !strings.Contains(out, "detail") {
			t.Errorf("at %q: %d %s", bad, code, out)
		}
	}
	if out := s.say("hosts"); strings.Contains(out, "bad") {
		t.Errorf("something began: %s", out)
	}
	at := time.Now().Add(3 * time.Second).Format(time.RFC3339)
	code, first := ask("loki", at)
	if code != http.StatusAccepted || !strings.Contains(first, `"state":"planned"`) || !strings.Contains(first, `"waits_for":"time"`) {
		t.Errorf("%d %s", code, first)
	}
	until(t, 20*time.Second, "loki is ready", func() bool { return s.state("loki").State == pipeline.Ready })
	if code, again := ask("loki", at); code != http.StatusAccepted || !strings.Contains(again, `"run":1,`) || s.begun("loki") != 1 { // the time is over by now
		t.Errorf("again: %d %s", code, again)
	}
}
