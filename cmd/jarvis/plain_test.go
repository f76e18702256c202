package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/lab/real"
)

// hostileScript prints what drives a reader's terminal (OSC 52 fills his clipboard, CSI clears his screen, U+202E turns
// the line), what colours a chat, a CR that writes over what was said, and a byte that is no UTF-8.
const hostileScript = `#!/bin/sh
[ "$1" = --steps ] && exit 1
printf 'a\033]52;c;cm0gLXJmIC8=\007b\302\2332Jc\342\200\256d\002e\00304,12f\rg h M\374nchen\n' >&2
[ "$1" = make ] || exit 3
`

// TestWhatAProgramPrintsDrivesNoTerminal: a program of one's own that goes wrong, or that somebody got at, printed to
// the terminal of everybody who asked for its run; and on PostgreSQL the record took nothing more of it.
func TestWhatAProgramPrintsDrivesNoTerminal(t *testing.T) {
	pg := must[*real.Postgres](t)(real.StartPostgres(t.Context()))
	t.Cleanup(pg.Stop)
	for name, url := range map[string]string{"sqlite": "", "postgres": must[string](t)(pg.Database(t.Context()))} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "w"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "w", "toy"), []byte(hostileScript), 0o755); err != nil {
				t.Fatal(err)
			}
			conf, clip := filepath.Join(dir, "jarvis.yaml"), filepath.Join(dir, "loki.yaml")
			if err := os.WriteFile(conf, fmt.Appendf(nil, "database: %q\nlisten: \"\"\napprovals: {off: true}\nworkers: {external: {dir: w}}\npipelines: {deploy: {toy: [\"toy:make\", \"toy:paint\"]}}\n", url), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(clip, []byte("instance: {hostname: loki, provider: toy}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _ = serveInProcess(t, conf)
			const want = "abcdef g h München"
			for _, args := range [][]string{{"deploy", clip}, {"status", "loki"}, {"log", "loki"}, {"history", "loki"}, {"log", "loki", "--json"}} {
				_, out, errs := jarvis(t, "", append([]string{"--config", conf}, args...)...)
				if args[0] != "history" && !strings.Contains(out+errs, want) {
					t.Errorf("jarvis %s does not say %q:\n%s%s", args, want, out, errs)
				}
				if all := out + errs; plain.Text(all) != all {
					t.Errorf("jarvis %s prints %q", args, all)
				}
			}
		})
	}
}
