package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab/real"
)

// TestTasksThatAreRefusedOrPassedOver: what the git server does not let Jarvis push, and what failed and is passed
// over, is said in chat, in the list and in git as it is.
func TestTasksThatAreRefusedOrPassedOver(t *testing.T) {
	repo := newTaskRepo(t)
	ircd := must[*real.IRCd](t)(real.StartIRCd())
	t.Cleanup(ircd.Stop)
	conf := filepath.Join(t.TempDir(), "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `data: ./data
listen: ""
chat: [{irc: {server: %q, nick: jarvis, channels: ["#ops"], rate: {burst: 200, interval: 5ms}}}]
people: [{name: bob, irc: "nick:bob", roles: [deploy, view]}]
tasks: [{repo: %s, every: 300ms, after_failure: go_on}]
`, ircd.Addr, repo.bare), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, _ := serveInProcess(t, conf)
	defer stop()
	bob := must[*real.IRCClient](t)(real.DialIRC(t.Context(), ircd.Addr, "bob", "#ops"))
	t.Cleanup(bob.Close)
	hear := func(pattern string) {
		t.Helper()
		if _, err := bob.Next(pattern, real.Patience(30*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	outcome := func() string {
		return strings.TrimSpace(repo.sh(repo.bare, "git log -1 --format='%(trailers:key=Jarvis-Outcome,valueonly)' done"))
	}

	repo.add("fails", "- task: {name: bad, shell: echo oh no; exit 4}\n- task: {name: good, shell: 'true'}\n")
	hear(`infra: the task failed after .*: “bad” by alice ended with exit code 4: oh no\. It is passed over, as .after_failure. says\.`)
	hear(`infra: the task “bad” by alice \(.*\) counts as done: exit 4; passed over, as after_failure says\.`)
	hear(`infra: the task “good” by alice .* is done, in `)
	bob.Say("#ops", "jarvis: task")
	hear(`good, by alice: done, run`)
	hear(`bad, by alice: counts as done: exit 4; passed over, as after_failure says, run`)
	if got := repo.sh(repo.bare, "git log --format='%(trailers:key=Jarvis-Outcome,valueonly)' done"); !strings.Contains(got, "exit 4; passed over, as after_failure says\n") {
		t.Errorf("git says %s", got)
	}

	hook := filepath.Join(repo.bare, "hooks", "update")
	protect := func(refs string) {
		t.Helper()
		if err := os.WriteFile(hook, []byte("#!/bin/sh\ncase $1 in "+refs+") echo protected >&2; exit 1;; esac\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	free := func() {
		t.Helper()
		if err := os.Remove(hook); err != nil {
			t.Fatal(err)
		}
	}
	protect("refs/heads/done")
	repo.add("protected", "- task: {name: once, shell: echo x >> "+hook+".ran}\n")
	hear(`infra: the task “once” by alice \(.*\) has ended, and cannot be marked as done: the git server refuses to move the branch done: .*hook declined.*; let Jarvis push there .*The next one waits; it is tried again at each look`)
	free()
	hear(`infra: the task “once” by alice .* is done, in `)
	if b, _ := os.ReadFile(hook + ".ran"); string(b) != "x\n" {
		t.Errorf("it ran %q", b)
	}
	if got := outcome(); got != "exit 0" {
		t.Errorf("git says %q", got)
	}

	protect("refs/heads/done")
	repo.add("no task", "# nothing\n")
	hear(`infra: no task runs: the git server refuses to move the branch done: `)
	free()
	hear(`infra: the repository of tasks is in order again`)

	protect("refs/jarvis/*")
	repo.add("one more", "- task: {name: more, shell: 'true'}\n")
	hear(`infra: no task runs: the git server refuses the ref refs/jarvis/default/.*, by which Jarvis says that it runs a task: .*hook declined.*; let Jarvis push to refs/jarvis/`)
	free()
	hear(`infra: the repository of tasks is in order again`)
	hear(`infra: the task “more” by alice .* is done, in `)
}
