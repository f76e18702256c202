package main

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestADeploymentIsFollowedOverALinkThatBreaks: over TLS, with a limit of few requests, through a network that is cut
// in the middle of a run and is there again after its end. Each stage is told once, and the exit code is the run's.
func TestADeploymentIsFollowedOverALinkThatBreaks(t *testing.T) {
	bin := buildJarvis(t)
	certs := t.TempDir()
	selfSigned(t, certs)
	s := newToySite(t, "limit: {burst: 3, interval: 1h}\nhttp: {tls: {cert: "+filepath.Join(certs, "cert.pem")+", key: "+filepath.Join(certs, "key.pem")+"}}\n")
	at, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	wire := newWire(t, at.Host)
	token := s.newToken(t, "alice")
	for _, c := range []struct {
		host, broken string
		code         int
		last         string
	}{{"loki", "", 0, "loki is ready"}, {"thor", "broken", 1, "thor failed at stage 3/3 toy:may_fail"}} {
		clip := writeIn(t, s.dir)(c.host+".yaml", "instance: {hostname: "+c.host+", provider: toy}\n", 0o600)
		cmd := exec.CommandContext(t.Context(), bin, "--server", "https://"+wire.Listen, "deploy", clip)
		var out, errs real.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.Env = append(os.Environ(), "JARVIS_TOKEN="+token, "SSL_CERT_FILE="+filepath.Join(certs, "cert.pem"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		until(t, time.Minute, "the first stage is told", func() bool {
			return strings.Contains(out.String(), "1/3 toy:make done") || len(ended) > 0
		})
		wire.Stop()
		if c.broken != "" {
			s.touch(t, c.broken)
		}
		s.touch(t, "gate")
		s.rest(t, c.host)
		if err := wire.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			t.Fatalf("it does not end: %s%s", &out, &errs)
		}
		text := out.String()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(text, c.last) || strings.Count(text, "1/3 toy:make done") != 1 || strings.Count(text, "2/3 toy:wait done") != 1 {
			t.Errorf("deploy %s = %d:\n%s%s", c.host, code, text, &errs)
		}
		if err := os.Remove(filepath.Join(s.dir, "gate")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestABusyServerIsAskedAgain: 429 with Retry-After is waited for, and said.
func TestABusyServerIsAskedAgain(t *testing.T) {
	s := newToySite(t, "limit: {burst: 2, interval: 2s}\n")
	t.Setenv("JARVIS_TOKEN", s.newToken(t, "victor"))
	said := ""
	for range 5 {
		code, out, errs := jarvis(t, "", "--server", s.url, "status")
		if code != 0 {
			t.Fatalf("%d %s%s", code, out, errs)
		}
		said += errs
	}
	if !strings.Contains(said, "asking again in") {
		t.Errorf("five in a row, and nobody waited: %q", said)
	}
}
