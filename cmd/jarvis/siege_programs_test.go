//go:build !race

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/pipeline"
)

// slowProgram naps until the last kill is over.
const slowProgram = `#!/bin/sh
case $1 in
--steps) echo '- {name: slow:nap, doc: naps, needs: [hostname], gives: [napped], timeout: 600s, resume: again}' ;;
nap) in=$(cat); echo napping >&2; while [ ! -e "${0%/*}/go" ]; do sleep 0.5; done
	printf '%s\n' "$in"; case $in in *napped*) ;; *) echo "  napped: 'yes'" ;; esac ;;
esac
`

// kidsProgram works for a while with a child and one in a session of its own, and leaves that behind. Each of the three
// holds a lock of its own on the host's file (flock is let go by the kernel, whatever a process dies of): whoever finds
// one held when it begins has an older copy beside it, and says so. Every second time the program is deaf to TERM.
const kidsProgram = `#!/bin/bash
case $1 in
--steps) echo '- {name: kids:play, doc: has children, needs: [hostname], timeout: 600s, resume: again}'; exit ;;
--alone) # one that holds the lock for itself, and nothing of ours
	exec 9> "$2.$3.lock"; flock -n 9 || echo "OVERLAP $3 $$" >> "$2.lines"
	echo "begin $3 $$" >> "$2.lines"; exec sleep 300 ;;
esac
host=$(sed -n 's/^ *hostname: *//p' | head -n 1); me=${0%/*}/$host
exec 9> "$me.main.lock"; flock -n 9 || echo "OVERLAP main $$" >> "$me.lines"
echo "begin main $$" >> "$me.lines"
if [ $((RANDOM % 2)) = 0 ]; then trap '' TERM; else trap 'echo "end main $$" >> "$me.lines"; exit 1' TERM; fi
"$0" --alone "$me" child 9>&- &
setsid "$0" --alone "$me" setsid 9>&- &
for n in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1 9>&-; done
echo "end main $$" >> "$me.lines"
`

// checkPrograms reads what kidsProgram wrote, and looks for whoever carries the word of a step now.
func checkPrograms(t *testing.T, ext string, runs int) {
	t.Helper()
	begun, ended := 0, 0
	for i := range runs {
		b, err := os.ReadFile(filepath.Join(ext, fmt.Sprintf("h%03d.lines", i)))
		if err != nil {
			t.Error(err)
		}
		begun += strings.Count(string(b), "begin main")
		ended += strings.Count(string(b), "end main")
		if strings.Contains(string(b), "OVERLAP") || !strings.Contains(string(b), "begin setsid") {
			t.Errorf("h%03d: the programs were\n%s", i, b)
		}
	}
	t.Logf("programs began %d times for %d hosts, %d came to an end of their own or by a trap", begun, runs, ended)
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		env, _ := os.ReadFile(f)
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		if strings.Contains("\x00"+string(env), "\x00JARVIS_PROC=jarvis-") && strings.Contains(string(line), ext) {
			t.Errorf("%s lives on: %q", filepath.Dir(f), line)
		}
	}
}

// signProgram notes that it began, and may be begun again only when a person says so. It is installed under two names.
const signProgram = `#!/bin/bash
me=${0##*/}
case $1 in
--steps) echo "- {name: $me:sign, doc: signs, needs: [hostname], timeout: 600s, resume: ask}"; exit ;;
esac
host=$(sed -n 's/^ *hostname: *//p' | head -n 1)
echo begin >> "${0%/*}/$host.$me"
sleep 2
`

// signed makes sure that no step which asks began again without a person's word, and counts how often they began and
// asked.
func (s *siege) signed(host string, events []pipeline.Event) (begun, asked int) {
	s.t.Helper()
	asks, done := map[string]int{}, map[string]bool{}
	for _, ev := range events {
		module, isSign := strings.CutSuffix(ev.Step, ":sign")
		switch {
		case !isSign:
		case ev.Kind == pipeline.EvAsking:
			asks[module]++
		case ev.Kind == pipeline.EvDone:
			done[module] = true
		}
	}
	for module := range done {
		text, _ := os.ReadFile(filepath.Join(s.ext, host+"."+module))
		n := strings.Count(string(text), "begin")
		if n == 0 || n > 1+asks[module] {
			s.t.Errorf("%s: %s:sign began %d times, and a person was asked %d times", host, module, n, asks[module])
		}
		begun, asked = begun+n, asked+asks[module]
	}
	return begun, asked
}
