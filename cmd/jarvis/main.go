// Command jarvis deploys hosts: a bot in chat, a durable pipeline, and the command line to both.
//
// Why not a small client beside the server: docs/adr/0007-one-program.md
package main

import "os"

func main() { os.Exit(withSignals()) }
