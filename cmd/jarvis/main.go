// Command jarvis deploys hosts: a bot in chat, a durable pipeline, and the command line to both.
//
// wire.go puts the server together; each other file is a command or a part of one. A command on many hosts (exec.go,
// warm.go) goes one of three ways: --server names a server, and it does all; or a server runs on this machine, and the
// command goes over its open connections; or, with --direct, a key, a password or accept-new, with a jump host or
// another login, or where no server runs, this process connects. Lines come to one printer (output.go) by each way. By
// default all hosts are locked first, all or none.
//
// Why not a small client beside the server: docs/adr/0007-one-program.md
package main

import "os"

func main() { os.Exit(withSignals()) }
