// Command jarvis deploys hosts: a bot in chat, a durable pipeline, and the command line to both.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/jarvisops/jarvis/internal/guard"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, guard.Func(guard.Count, stop)) // asked a second time, we die at once
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
