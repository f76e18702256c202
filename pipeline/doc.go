// Package pipeline carries a clipboard from step to step until the host is ready, and keeps a record that survives
// kill -9 at any instant.
//
//	command ── Start, Retry, Skip, Cancel, Undo ──► one transaction each: run, event, River job
//	                                                      │
//	River ── job {run, turn} ──► carry: Do(step 1) ► commit ► Do(step 2) ► commit … until it waits or ends
//	                                                      │
//	bot, web ◄── Events after a cursor, Changed ──────────┘
//
// The states of a run:
//
//	         Start                       last step
//	           ▼            Do returns      ▲
//	       ┌─────────┐  Wait / error  ┌─────┴───┐
//	       │ running │◄──────────────►│ waiting │
//	       └─┬──┬──┬─┘   job is due   └─────────┘
//	 Permanent│  │  │ died inside a step that says Ask
//	         ▼  │  ▼                                        live: holds its host
//	    failed  │  asking ── Retry, Skip ──► running        ─────────────────────
//	         │  │ Cancel                                    over: ready  cancelled  undone
//	         ▼  ▼
//	Undo ► undoing ► undone
//
// Before that a run may be proposed, until somebody approves it, and planned, until its time; it has no job then, and
// has done nothing.
//
// A job carries a run through many steps: the queue is used to start, to wait and to recover, because a job per
// step costs more than the step's own commit. Each finished step is one transaction: clipboard, stage, event, and what
// it changed about its host (hosts, machines). While the database takes nothing, the outcome is in a file as well
// (DATA/outcomes), which the next start writes to the record first.
//
// A job's turn is the run's epoch when it was made. A job of an earlier epoch is stale and does nothing. Retry and
// recovery raise the epoch at once, a cancel when it has ended the run.
//
// Goroutines: River's workers run carry, one run each and never two for one run. A waiting run has none. Engine.Run
// owns all others: one writes the lines of steps every 200 ms (a crash loses the last), one wakes what has waited,
// others listen to other nodes, take up the runs of dead ones and see to silos; approvals, plans and drift are each one
// node's (InRole). Nothing here knows of chat, HTTP or people's roles.
//
// Why not a graph of steps: docs/adr/0023-a-run-is-a-line-of-steps.md
package pipeline
