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
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) means it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, guard.Func(guard.Count, func() {
		signal.Ignore(syscall.SIGHUP) // a terminal that goes sends it twice, by the shell and by the kernel
		stop()                        // asked a second time, we die at once
	}))
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
