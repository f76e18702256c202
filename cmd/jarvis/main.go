// Command jarvis deploys hosts: a bot in chat, a durable pipeline, and the command line to both.
package main

import "os"

func main() { os.Exit(withSignals()) }
