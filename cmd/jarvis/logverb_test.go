package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// following is a `log -f` that runs.
type following struct {
	out, err real.Buffer
	code     chan int
	stop     context.CancelFunc // as Ctrl-C does
}

func followLog(t *testing.T, args ...string) *following {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	f := &following{code: make(chan int, 1), stop: cancel}
	t.Cleanup(cancel)
	go func() { f.code <- run(ctx, args, strings.NewReader(""), &f.out, &f.err) }()
	return f
}

// TestLogFollowsARun: `log -f` shows each line of a live run once, goes on after a restart of the server, and ends with
// the run; Ctrl-C ends the following and not the run; `log` of a live run says how to follow it.
func TestLogFollowsARun(t *testing.T) {
	dir := t.TempDir()
	write := writeIn(t, dir)
	write("w/toy", "#!/bin/sh\n[ \"$1\" = --steps ] && { echo '[{name: toy:a, resume: again}, {name: toy:b, resume: again}]'; exit; }\ncat\necho \"$1 speaks\" >&2\n"+
		"[ $1 = a ] || until [ -e "+filepath.Join(dir, "go")+" ]; do sleep 0.05; done\n", 0o755)
	conf := write("jarvis.yaml", "data: ./data\nlisten: \"\"\ndrain: 1s\nworkers: {external: {dir: w}}\npipelines: {deploy: {toy: [\"toy:a\", \"toy:b\"]}}\n", 0o600)
	clip := write("loki.yaml", "instance: {hostname: loki, provider: toy}\n", 0o600)
	stop, _ := serveInProcess(t, conf)
	if code, out, errs := jarvis(t, "", "--config", conf, "deploy", "--no-wait", clip); code != exitOK {
		t.Fatal(out, errs)
	}

	ended := followLog(t, "--config", conf, "log", "-f", "loki")
	begun := func(f *following) func() bool {
		return func() bool { return strings.Contains(f.out.String(), "2/2 toy:b | b speaks") }
	}
	until(t, 20*time.Second, "the second stage is shown", begun(ended))
	ended.stop()
	if code := <-ended.code; code != exitInterrupted || !strings.Contains(ended.err.String(), "stopped watching; run 1 goes on (`jarvis status 1`, `jarvis cancel 1`)") {
		t.Errorf("Ctrl-C: exit %d, %s", code, &ended.err)
	}
	code, out, errs := jarvis(t, "", "--config", conf, "log", "loki")
	if code != exitOK || !strings.Contains(out, "1/2 toy:a | a speaks") || !strings.Contains(errs, "run 1 goes on; `jarvis log -f 1` follows it") {
		t.Errorf("log: exit %d, %s%s", code, out, errs)
	}

	f := followLog(t, "--config", conf, "log", "-f", "1")
	until(t, 20*time.Second, "the second stage is shown", begun(f))
	stop()
	until(t, 20*time.Second, "it is told that the connection broke", func() bool { return strings.Contains(f.err.String(), "the connection broke") })
	stop, _ = serveInProcess(t, conf)
	defer stop()
	write("go", "", 0o600)
	if code := <-f.code; code != exitOK {
		t.Errorf("exit %d, %s", code, &f.err)
	}
	lines := strings.Split(strings.TrimSpace(f.out.String()), "\n")
	if n := strings.Count(f.out.String(), "1/2 toy:a | a speaks"); n != 1 || !strings.HasPrefix(lines[len(lines)-1], "loki is ready") {
		t.Errorf("it printed\n%s", &f.out)
	}
	if code, out, errs := jarvis(t, "", "--config", conf, "log", "loki"); code != exitOK || errs != "" {
		t.Errorf("log of what is over: exit %d, %s%s", code, out, errs)
	}
}
