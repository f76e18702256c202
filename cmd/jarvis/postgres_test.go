package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestServeOnPostgres runs the server on the other database: a deployment, a restart, and a second server that is
// refused because it has another key than the secrets on record are sealed with. (TestThreeNodes has those that join.)
func TestServeOnPostgres(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	url := must[string](t)(pg.Database(t.Context()))
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "w"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "w", "toy"), []byte("#!/bin/sh\n[ \"$1\" = --steps ] && exit 1\necho \"$1 it\" >&2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "database: %q\nlisten: \"\"\napprovals: {off: true}\nworkers: {external: {dir: w}}\npipelines: {deploy: {toy: [\"toy:make\", \"toy:paint\"]}}\n", url), 0o600); err != nil {
		t.Fatal(err)
	}
	clip := filepath.Join(dir, "loki.yaml")
	if err := os.WriteFile(clip, []byte("instance: {hostname: loki, provider: toy}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, _ := serveInProcess(t, conf)
	if code, out, errs := jarvis(t, "", "--config", conf, "deploy", clip); code != 0 || !strings.Contains(out, "loki is ready, 2 stages") {
		t.Fatalf("deploy = %d %s %s", code, out, errs)
	}
	other := filepath.Join(dir, "other.yaml")
	if err := os.WriteFile(other, fmt.Appendf(nil, "database: %q\nlisten: \"\"\ndata: ./elsewhere\n", url), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := jarvis(t, "", "--config", other, "serve"); code != 2 || !strings.Contains(errs, "age.key is missing") || !strings.Contains(errs, "take it from another node") {
		t.Errorf("a second server = %d %s", code, errs)
	}
	stop()
	_, _ = serveInProcess(t, conf)
	if code, out, errs := jarvis(t, "", "--config", conf, "history", "loki"); code != 0 || !strings.Contains(out, "run 1") {
		t.Errorf("history = %d %s %s", code, out, errs)
	}
	if code, out, errs := jarvis(t, "", "--config", conf, "deploy", clip); code != 0 || !strings.Contains(out, "run 2. Usually") {
		t.Errorf("deploy again = %d %s %s", code, out, errs)
	}
}
