// Package agent lets a silo behind NAT do its steps: `jarvis agent` dials out of it, and a server calls its steps over
// that line.
//
//	server: Hub ──┬─ call ──► Agent ── the step's own function, with the agent's own workers
//	              ├─ dial ──► Agent ── a host in the silo, for SSH
//	              ◄─ hello ── Agent
//
// One WebSocket carries many streams (yamux). What may be said on them is in wire.go; docs/design/agent.md says why
// nothing runs twice. web mounts the Hub; cmd/jarvis runs an Agent. Hub.Line and Agent.Line own the goroutines of a
// line, and end them before they return; a call's own goroutine on the agent outlives the line, and Agent.Close waits
// for it.
//
// Why not gRPC, SSH reversed or the database: docs/adr/0019-agents-dial-out.md
package agent
