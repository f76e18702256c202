package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/command"
)

// TestWhatIsLeftSaysSo: following with --json ended at Ctrl-C with an `answer` of the kind `failed`, without a run;
// where the link was lost nothing told a run that goes on from one that failed; `log -f` ignored --timeout; and with a
// short --timeout `waits` had no run.
func TestWhatIsLeftSaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := writeIn(t, dir)
	write("w/toy", "#!/bin/sh\n[ \"$1\" = --steps ] && { echo '[{name: toy:a, resume: again}]'; exit; }\ncat\nwhile :; do sleep 0.1; done\n", 0o755)
	conf := write("jarvis.yaml", "data: ./data\nlisten: \"\"\ndrain: 1s\napprovals: {off: true}\nworkers: {external: {dir: w}}\npipelines: {deploy: {toy: [\"toy:a\"]}}\n", 0o600)
	clip := write("loki.yaml", "instance: {hostname: loki, provider: toy}\n", 0o600)
	other := write("thor.yaml", "instance: {hostname: thor, provider: toy}\n", 0o600)
	pair := write("pair.yaml", "instances:\n  - {hostname: web1, provider: toy}\n  - {hostname: web2, provider: toy}\ncluster: web\n", 0o600)
	stop, _ := serveInProcess(t, conf)
	jar := func(args ...string) []string { return append([]string{"--config", conf}, args...) }

	// --timeout: exit 5, and the run.
	for _, args := range [][]string{{"deploy", "--json", "--timeout", "1ns", clip}, {"log", "-f", "--json", "--timeout", "1ns", "loki"}, {"log", "-f", "--json", "--timeout", "1s", "loki"}} {
		code, out, errs := jarvis(t, "", jar(args...)...)
		list := envelopes(t, out)
		if last := list[len(list)-1]; code != 5 || last.Type != command.TypeWaits || last.Exit != 5 || last.Run == nil || last.Run.ID != 1 {
			t.Errorf("%v = %d %s%s", args, code, out, errs)
		}
	}
	if code, out, errs := jarvis(t, "", jar("log", "-f", "--timeout", "1s", "loki")...); code != 5 || !strings.Contains(out, "run 1 is not over; it goes on") {
		t.Errorf("log -f --timeout = %d %s%s", code, out, errs)
	}

	// Ctrl-C.
	last := func(f *following) command.Envelope {
		t.Helper()
		list := envelopes(t, f.out.String())
		return list[len(list)-1]
	}
	cluster := followLog(t, jar("deploy", "--json", pair)...)
	single := followLog(t, jar("log", "-f", "--json", "loki")...)
	for _, c := range []struct {
		*following
		what, begun string
	}{{cluster, "web", `"type":"run"`}, {single, "run 1", `"type":"event"`}} {
		until(t, 20*time.Second, c.what+" is followed", func() bool { return strings.Contains(c.out.String(), c.begun) })
		c.stop()
		code := <-c.code
		e := last(c.following)
		if code != 130 || e.Type != command.TypeLeft || e.Exit != 130 || e.OK || e.Error != nil || e.Run == nil && e.Cluster == nil || len(e.Lines) != 1 || !strings.HasPrefix(e.Lines[0], "stopped watching; "+c.what+" goes on") {
			t.Errorf("%s: %d %s%s", c.what, code, &c.out, &c.err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &following{}
	if code := run(ctx, jar("status", "--json"), strings.NewReader(""), &f.out, &f.err); code != 130 || last(f).Type != command.TypeAnswer || last(f).Error.Kind != "lost" {
		t.Errorf("interrupted before the answer: %d %s%s", code, &f.out, &f.err)
	}

	// The server stays away.
	shown := []*following{followLog(t, jar("deploy", "--json", other)...), followLog(t, jar("log", "-f", "--json", "loki")...), followLog(t, jar("log", "-f", "loki")...)}
	until(t, 20*time.Second, "they follow", func() bool {
		return strings.Contains(shown[0].out.String(), "event") && strings.Contains(shown[1].out.String(), "event") && shown[2].out.String() != ""
	})
	stop()
	for i, what := range []string{"run 4", "run 1"} {
		f := shown[i]
		code := <-f.code
		if e := last(f); code != 1 || e.Type != command.TypeLeft || e.Error == nil || e.Error.Kind != "lost" || e.Run == nil || !strings.Contains(e.Error.Hint, what+" goes on") {
			t.Errorf("lost: %d %s%s", code, &f.out, &f.err)
		}
	}
	if code := <-shown[2].code; code != 1 || !strings.Contains(shown[2].err.String(), "as far as I know run 1 goes on") {
		t.Errorf("lost: %d %s", code, &shown[2].err)
	}
}
