//go:build !race

// Not under the race detector: the processes that are built and killed here are not the test's.

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/lab/real"
)

// serverOn is a real server process on a PostgreSQL database, with a data folder of its own.
func serverOn(t *testing.T, bin, dir, url string) *process {
	t.Helper()
	conf := filepath.Join(dir, "jarvis.yaml")
	port := must[int](t)(freePort())
	text := fmt.Sprintf("database: %q\ndata: %q\nlisten: 127.0.0.1:%d\nage_key: %s\napprovals: {off: true}\nworkers: {external: {dir: %q}}\npipelines: {deploy: {toy: [\"toy:slow\", \"toy:last\"]}}\n",
		url, filepath.Join(dir, "data"), port, testAgeKey, filepath.Join(filepath.Dir(dir), "w"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, bin: bin, conf: conf, log: must[*os.File](t)(os.Create(filepath.Join(dir, "log"))), addr: fmt.Sprintf("127.0.0.1:%d", port)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s says:\n%s", filepath.Base(dir), p.said())
		}
	})
	return p
}

// testAgeKey is a key of these tests only: two data folders share a database.
const testAgeKey = "AGE-SECRET-KEY-102VG0GKQUX8V8GWU63SMGNUZAVVCNP5G8LCPPAGL5LPZEADNKZ3SQJUDZ3"

func (p *process) said() string {
	b, _ := os.ReadFile(p.log.Name())
	return string(b)
}

// exit waits for the end of the process.
func (p *process) exit(limit time.Duration) (code int, after time.Duration) {
	p.t.Helper()
	began := time.Now()
	done := make(chan struct{})
	go func() {
		_ = p.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
		_ = p.cmd.Process.Kill()
		<-done
		p.t.Fatalf("the server did not end within %s", limit)
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(began)
}

// slowWorker writes into a log when its program begins and ends, killed or not: a line a tenth of a second, with its
// pid.
const slowWorker = `#!/bin/bash
log=${0%/*}/log
case $1 in
--steps) printf -- '- {name: toy:slow, doc: takes long, needs: [hostname], timeout: 600s, resume: again}\n- {name: toy:last, doc: ends, needs: [hostname]}\n' ;;
slow) in=$(cat); for ((i=0; i<${TICKS:-80}; i++)); do echo "$(date +%s%3N) $$" >>"$log"; sleep 0.1; done; printf '%s\n' "$in" ;;
last) cat ;;
esac
`

// The story: the first server runs a slow step when an administrator ends its idle session on PostgreSQL. The lock is
// free, the second server starts, takes the run up, and the step's program runs in both at once. It must not: the first
// stops its program before the second begins.
func TestTwoServersNeverRunAStepAtOnce(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	url := must[string](t)(pg.Database(t.Context()))
	bin, dir := buildJarvis(t), t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "w"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "w", "toy"), []byte(slowWorker), 0o755); err != nil {
		t.Fatal(err)
	}
	clip := filepath.Join(dir, "loki.yaml")
	if err := os.WriteFile(clip, []byte("instance: {hostname: loki, provider: toy}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := serverOn(t, bin, filepath.Join(dir, "a"), url), serverOn(t, bin, filepath.Join(dir, "b"), url)
	a.start()
	until(t, 20*time.Second, "the first is ready", func() bool { return strings.Contains(a.said(), "msg=ready") })
	if out, err := exec.Command(bin, "--config", a.conf, "deploy", "--no-wait", clip).CombinedOutput(); err != nil {
		t.Fatalf("deploy: %v %s", err, out)
	}
	ticks := filepath.Join(dir, "w", "log")
	until(t, 10*time.Second, "the step begins", func() bool { st, err := os.Stat(ticks); return err == nil && st.Size() > 0 })
	if err := pg.SQL(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"); err != nil {
		t.Fatal(err)
	}
	b.start()
	code, after := a.exit(8 * time.Second)
	if code != exitFailed || !strings.Contains(a.said(), "jarvis: this process no longer owns the database") {
		t.Errorf("the first ended with %d", code)
	}
	t.Logf("the first ended %s after its session", after.Round(10*time.Millisecond))
	until(t, 30*time.Second, "the second is ready", func() bool { return strings.Contains(b.said(), "msg=ready") })
	until(t, 40*time.Second, "the run is ready", func() bool {
		out, _ := b.cli(t.Context(), "status", "loki")
		return bytes.Contains(out, []byte("ready"))
	})
	b.end(syscall.SIGTERM)
	log, err := os.ReadFile(ticks)
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	var gap string
	for i, l := range lines {
		at, pid, _ := strings.Cut(l, " ")
		if len(pids) == 0 || pids[len(pids)-1] != pid {
			pids = append(pids, pid)
			if i > 0 {
				before, _, _ := strings.Cut(lines[i-1], " ")
				gap = before + " to " + at
			}
		}
	}
	if len(pids) != 2 {
		t.Errorf("the step's programs took turns: %v in %d lines", pids, len(lines))
	}
	t.Logf("%d lines of %d programs; between them, in milliseconds: %s", len(lines), len(pids), gap)
}

// The story: PostgreSQL is frozen for twenty seconds. `status` hung for forty, /readyz for ever, and SIGTERM was not
// heard.
func TestAFrozenDatabaseDoesNotFreezeTheServer(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	bin, dir := buildJarvis(t), t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "w"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "w", "toy"), []byte(slowWorker), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, term := range map[string]bool{"until it gives up": false, "and a SIGTERM": true} {
		t.Run(name, func(t *testing.T) {
			p := serverOn(t, bin, filepath.Join(dir, fmt.Sprint(term)), must[string](t)(pg.Database(t.Context())))
			p.start()
			until(t, 20*time.Second, "ready", func() bool { return strings.Contains(p.said(), "msg=ready") })
			thaw := must[func()](t)(pg.Freeze())
			defer thaw()
			frozen := time.Now()
			if term {
				_ = p.cmd.Process.Signal(syscall.SIGTERM)
				code, after := p.exit(10 * time.Second)
				t.Logf("SIGTERM ended it with %d after %s", code, after.Round(10*time.Millisecond))
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			answer := make(chan string, 1)
			go func() {
				out, _ := exec.CommandContext(ctx, bin, "--config", p.conf, "status", "loki").CombinedOutput()
				answer <- fmt.Sprintf("%s after %.1f s", strings.TrimSpace(string(out)), time.Since(frozen).Seconds())
			}()
			time.Sleep(300 * time.Millisecond) // what /readyz heard a moment ago is good for a moment
			code, text, took := readyz(t, p.addr)
			if code != http.StatusServiceUnavailable || text != "the database does not answer" || took > 1500*time.Millisecond {
				t.Errorf("/readyz = %d %q after %s", code, text, took)
			}
			t.Logf("/readyz answered after %s: %s", took.Round(10*time.Millisecond), text)
			var asked sync.WaitGroup // none says that what cannot be read does not exist, or is not allowed
			for _, q := range []struct{ path, token string }{
				{"/v1/runs", ""}, {"/v1/runs/loki", ""}, {"/v1/runs/1/events", ""}, {"/v1/events", ""}, {"/v1/runs", access.TokenPrefix + strings.Repeat("x", 43)},
			} {
				asked.Go(func() {
					if err := p.lostAnswer(q.path, q.token); err != nil {
						t.Errorf("GET %s: %v", q.path, err)
					}
				})
			}
			asked.Wait()
			got := <-answer
			if !strings.Contains(got, "the database does not answer") || time.Since(frozen) > 8*time.Second {
				t.Errorf("status = %s", got)
			}
			t.Logf("status = %s", got)
			exit, _ := p.exit(15 * time.Second)
			if exit != exitFailed || time.Since(frozen) > 11*time.Second {
				t.Errorf("it ended with %d after %s", exit, time.Since(frozen))
			}
			t.Logf("it ended with %d after %s", exit, time.Since(frozen).Round(10*time.Millisecond))
		})
	}
}

// lostAnswer asks the server over its socket, or with a token over the network. The error says what it answered, unless
// it is that it cannot answer now.
func (p *process) lostAnswer(path, token string) error {
	c := http.Client{Timeout: 9 * time.Second}
	if token == "" {
		c.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(filepath.Dir(p.conf), "data", "run", "jarvis.sock"))
		}}
	}
	req := must[*http.Request](p.t)(http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.addr+path, nil))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusServiceUnavailable || !bytes.Contains(b, []byte("the database does not answer")) {
		return fmt.Errorf("%d %s", res.StatusCode, b)
	}
	return nil
}

func readyz(t *testing.T, addr string) (code int, text string, took time.Duration) {
	t.Helper()
	began := time.Now()
	c := http.Client{Timeout: 5 * time.Second}
	res, err := c.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var b bytes.Buffer
	_, _ = b.ReadFrom(res.Body)
	return res.StatusCode, strings.TrimSpace(b.String()), time.Since(began)
}
