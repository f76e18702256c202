// Package checks runs tasks on a schedule on remote hosts, and keeps what came of them.
//
//	jarvis.yaml, checks.d ─┐
//	table check_defs ──────┴─► catalog ─► pairs (task, host) ─► one heap by due time ─► runs, bounded per host and in all
//	                                          ▲                                              │ remote.Pool: one connection per host
//	                                          │ due again                                    ▼
//	     last N in memory ◄── writer: results, states, what follows: one transaction ◄── results
//	                                          │
//	                     outbox ─► notices (grouped) · tasks · commands · webhooks      followers by result: roll-ups, Graphite
//
// Monitor has its parts act together, each of which owns what it touches (docs/design/monitor.md). Monitor.Run owns all
// goroutines: the loop that watches the heap, one for each check that runs, the writer, and those that empty the
// outbox, follow results and talk to other nodes. A pair goes back into the heap when its result is committed, so
// nothing runs twice at once, and a crash loses only what was not yet acknowledged, which runs again.
//
// Where several nodes share a record, hosts are in parts, and each part is one node's (own.go); it goes on where the
// record says, and what others wrote is read before an answer (sync.go). Two roles are one node's for all: what follows
// on results, and the care for old ones.
//
// What a check is, when it is due and what its output means stands in checks/model, which knows nothing of any of this.
//
// Chat and HTTP are not known here: bot follows Notices, command asks, and wiring hands in what actions may do.
package checks
