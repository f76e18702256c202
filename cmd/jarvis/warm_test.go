package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestExecThroughTheServer: the same words and streams as without it, over connections that stay open.
func TestExecThroughTheServer(t *testing.T) {
	r := newRow(t, 3, 84)
	dir := t.TempDir()
	conf := filepath.Join(dir, "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "data: %s\nlisten: \"\"\nworkers: {ssh: {key: %s}}\n", filepath.Join(dir, "data"), filepath.Join(r.home, ".ssh", "id")), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, _ := serveInProcess(t, conf)
	exe := func(stdin string, args ...string) (int, string, string) {
		t.Helper()
		return jarvis(t, stdin, append([]string{"--config", conf, "exec", "-o", "web[1-3]"}, args...)...)
	}
	for range 3 {
		if code, out, errs := exe("a\nb\n", "-i", "-", "echo $SSH_CONNECTION | cut -d' ' -f2 > /root/port; hostname; wc -l; echo err >&2"); code != 0 ||
			sorted(out) != "web1: 2\nweb1: web1\nweb2: 2\nweb2: web2\nweb3: 2\nweb3: web3" || sorted(errs) != "web1: err\nweb2: err\nweb3: err" {
			t.Fatalf("exit %d\n%s\n%s", code, out, errs)
		}
		port := r.read(2, "root/port")
		if _, err := os.Stat(filepath.Join(dir, "port")); err == nil {
			if b := must[[]byte](t)(os.ReadFile(filepath.Join(dir, "port"))); string(b) != port {
				t.Errorf("another connection each time: %s, then %s", b, port)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "port"), []byte(port), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		errs string
	}{
		{[]string{"exit 7"}, 1, "3 of 3 hosts failed\n  web[1-3]: exit 7"},
		{[]string{"-z", "500ms", "sleep 60"}, 1, "it took longer than 500ms"},
		{[]string{"-o", "root@127.84.0.99", "true"}, 1, "nothing was done: root@127.84.0.99: unreachable"},
		{[]string{"-o", "@nothing", "true"}, 4, "there is no cluster or group nothing on record"},
		{[]string{"--direct", "-o", "@nothing", "true"}, 2, "@nothing is a cluster on record, which only a server knows"},
	} {
		if code, out, errs := exe("", c.args...); code != c.code || !strings.Contains(errs, c.errs) {
			t.Errorf("%q: exit %d\n%s\n%s", c.args, code, out, errs)
		}
	}
	// Nobody reads what comes.
	bin := buildJarvis(t)
	for line, want := range map[string]string{
		"'echo one; sleep 1; echo two; sleep 1112' | head -n 1": "(web1: one\n)?jarvis: what still ran was stopped: nobody reads the output any more\n(web1: one\n)?", // head writes when it ends
		"'sleep 1; echo out' > /dev/full":                       "jarvis: (everything was done, but|what still ran was stopped:) the output cannot be written: write /dev/stdout: no space left on device\n",
	} {
		if out, err := exec.Command("sh", "-c", bin+" --config "+conf+" exec -y -o web1 "+line).CombinedOutput(); !regexp.MustCompile("^" + want + "$").Match(out) {
			t.Errorf("%s: %v %s", line, err, out)
		}
	}
	// Ctrl-C here ends it there.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var out, errs real.Buffer
	if code := run(ctx, []string{"--config", conf, "exec", "-o", "web[1-3]", "sleep 2222"}, strings.NewReader(""), &out, &errs); code != exitInterrupted {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	gone := false
	for range 40 {
		code, said, _ := exe("", "-y", "pgrep -fx 'sleep 2222'")
		if gone = code == 1 && said == ""; gone {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if !gone {
		t.Error("it goes on there")
	}
	if code, said, _ := jarvis(t, "", "--config", conf, "audit", "3"); code != 0 || !strings.Contains(said, "exec web[1-3] (127.84.0.1,127.84.0.2,127.84.0.3): ") {
		t.Errorf("the record says: %s", said)
	}
	stop()
	// Without the server the same command goes directly.
	if code, said, errs := exe("", "hostname"); code != 0 || sorted(said) != "web1: web1\nweb2: web2\nweb3: web3" {
		t.Errorf("exit %d: %s%s", code, said, errs)
	}
}
