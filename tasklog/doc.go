// Package tasklog runs reviewed one-off tasks from git repositories, each exactly once, in the manner of Finglonger:
// what the main branch's task list has and the branch `done` has not is run, in order, and `done` follows it.
//
//	fetch ─► plan ─► claim (a ref on the git server) ─► row and run ─► task:check, task:run, task:done ─► next
//
// A task is a run of the engine, on a host that is called as the repository: status, log, retry, cancel and notices are
// those of every run. docs/design/tasklog.md has the design and what becomes of a task whatever dies when.
//
// Git is the git binary: big repositories, signed commits and deploy keys are proven with it, and partial fetches,
// --force-with-lease and verify-commit need no code of ours. It runs without anybody's configuration, hooks or prompts.
//
// cmd/jarvis calls New, adds Steps to the registry, and calls Open and Run once the engine is there; package command
// has the verb. It imports what is on the floors below: pipeline, fleet, remote, clipboard, store.
//
// Why not a table of what is done: docs/adr/0025-git-says-which-tasks-are-done.md
package tasklog
