// Command everywhere runs a command on many hosts at once, under a lock: everywhere web[1-3],root@db 'uptime'.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/remote"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: everywhere HOST[,HOST…] COMMAND")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, all, err := run(ctx, strings.Fields(strings.ReplaceAll(os.Args[1], ",", " ")), os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d of %d hosts did it\n", all-failed, all)
	if failed > 0 {
		os.Exit(1)
	}
}

// run does line on all hosts, or on none when one cannot be reached or locked; failed are those on which it went wrong.
func run(ctx context.Context, words []string, line string) (failed, all int, err error) {
	ssh, err := remote.NewResolver() // ~/.ssh/config, known_hosts, keys and the agent, as ssh reads them
	if err != nil {
		return 0, 0, err
	}
	defer ssh.Close()
	var hosts []fleet.Host
	for _, w := range words {
		names, err := fleet.Expand(w) // web[1-20] are twenty
		if err != nil {
			return 0, 0, err
		}
		for _, n := range names {
			t, err := ssh.Target(n)
			if err != nil {
				return 0, 0, err
			}
			hosts = append(hosts, fleet.Host{Name: n, Target: t})
		}
	}
	f, err := fleet.Open(ctx, hosts, fleet.Options{}) // all or none
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	lock, err := f.Lock(ctx, fleet.LockOptions{})
	if err != nil {
		return 0, 0, err // names the host, and who holds it
	}
	defer func() { _ = lock.Release() }()
	ctx, cancel := lock.Context(ctx) // ends with the lock, too
	defer cancel()
	for _, r := range f.Exec(ctx, remote.Command{Line: line}, fleet.ExecOptions{}, func(l fleet.Line) {
		fmt.Printf("%s: %s\n", f.Hosts[l.Host].Name, l.Text)
	}) {
		if !r.OK() {
			failed++
			fmt.Fprintf(os.Stderr, "%s: %s\n", r.Host.Name, r.How())
		}
	}
	return failed, len(f.Hosts), nil
}
