// Package proc runs programs so that what ends is dead: no process that a program started outlives it, a stop, or the
// death of whoever asked for it. Workers that run programs call it; it imports nothing of ours.
//
//	Run ── fork, exec /proc/self/exe ──> supervisor (init) ── fork, exec ──> program, in a session of its own
//	 │                                     │ child subreaper: every orphan below it comes to it      └─ children …
//	 ├─ control pipe: b = we work, ────────┤
//	 │  another byte = stop,               │
//	 │  end of file = the parent is dead   │
//	 └─ report pipe <── pid, exit status ──┘
//
// The supervisor ends what is below it when it is told to stop, when its parent dies or (Command.Silence) says nothing,
// and when the program is over but left something behind: TERM to every descendant, setsid or not; after the grace
// SIGSTOP to all until none is new, and KILL. It reports and exits only when it has no child left, which the kernel
// tells it (ECHILD).
//
// The supervisor itself may be killed, alone or together with its parent. So the program and all it starts carry an
// environment word (Command.Word). Before a program of the same word starts, and when a supervisor is gone without a
// report, every living process that carries it is ended in the same way.
//
// What escapes: a process of another user, which we may not signal (it is named in Ended.Left); and, only when a
// supervisor was killed, a process that left its session and wiped its environment.
//
// Why not a process group or Pdeathsig: docs/adr/0011-programs-have-a-supervisor.md
package proc
