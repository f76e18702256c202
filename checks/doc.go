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
// A check's goroutine only runs it, and puts what came into a list (unwritten.go), one of each pair at most. The writer
// reads the output, applies the state and finds what follows, under Monitor.commit, which is taken before mu; it
// commits up to 1000 results at once: check_results, check_pairs (the state), check_outbox. A check of a host that is
// down does not run, and gets a result all the same, UNKNOWN and quiet.
//
// Where several nodes share a record, hosts are in parts, and each part is one node's (own.go); it goes on where the
// record says, and what others wrote is read before an answer (sync.go). Two roles are one node's for all:
// "check actions" empties the outbox (lines for chat go to check_notices, which bot follows), and "check records" makes
// check_metrics and check_spans, feeds Graphite, and removes what is old. A run that an action asks for is a row of the
// outbox that the node of the host does.
//
// What a check is, when it is due and what its output means stands in checks/model, which knows nothing of any of this.
//
// Chat and HTTP are not known here: bot follows Notices, command asks, and wiring hands in what actions may do.
package checks
