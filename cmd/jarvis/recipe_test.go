package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTheRecipeForCI runs the lines of docs/howto/ci.md as they stand there: each block in a shell of its own, as jobs
// do.
func TestTheRecipeForCI(t *testing.T) {
	bin := buildJarvis(t)
	page := string(must[[]byte](t)(os.ReadFile(filepath.Join("..", "..", "docs", "howto", "ci.md"))))
	s := newToySite(t, "limit: {burst: 20, interval: 1s}\n")
	s.touch(t, "gate")
	writeIn(t, s.dir)("thor.yaml", "instance: {hostname: thor, provider: toy}\n", 0o600)
	alice, bob := s.newToken(t, "alice"), s.newToken(t, "bob")
	job := func(script, token, dir string, env ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // a job that hangs is no recipe
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-euc", script)
		cmd.Dir, cmd.WaitDelay = dir, time.Second
		cmd.Env = append(append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"), "JARVIS_SERVER="+s.url, "JARVIS_TOKEN="+token), env...)
		out, err := cmd.CombinedOutput()
		if ctx.Err() != nil {
			t.Fatalf("it hangs:\n%s\n%s", script, out)
		}
		return string(out), err
	}
	did := 0
	for _, block := range regexp.MustCompile("(?s)```sh ([a-z-]+)\n(.*?)```").FindAllStringSubmatch(page, -1) {
		token := alice
		if strings.HasSuffix(block[1], "approve") {
			token = bob
		}
		did++
		if block[1] == "curl-deploy" { // what is refused ends the job, and says why
			bad := t.TempDir()
			writeIn(t, bad)("thor.yaml", "instance: {hostname: thor}\n", 0o600)
			for want, token := range map[string]string{"is missing": token, "401": "nonsense"} {
				if out, err := job(block[2], token, bad, "CI_JOB=refused"); err == nil || !strings.Contains(out, want) || strings.Contains(out, "/runs/") {
					t.Errorf("a refused deploy: %v\n%s", err, out)
				}
			}
		}
		out, err := job(block[2], token, s.dir)
		if err != nil {
			t.Fatalf("%s: %v\n%s", block[1], err, out)
		}
		if want := map[string]string{"deploy": "loki is ready", "approve": "is ready", "curl-deploy": "is ready", "curl-approve": "thor"}[block[1]]; !strings.Contains(out, want) {
			t.Errorf("%s said %s, want %q", block[1], out, want)
		}
	}
	if did != 6 {
		t.Errorf("%d blocks were run", did)
	}
	s.settle(t)
	for _, host := range []string{"loki", "thor"} {
		if _, out, _ := jarvis(t, "", "--config", s.conf, "status", host); !strings.Contains(out, "is ready") {
			t.Errorf("%s: %s", host, out)
		}
	}
}
