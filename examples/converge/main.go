// Command converge brings hosts to where the function below wants them. It is a start for a program of your own:
//
//	go run ./examples/converge -check root@web1 root@web2    # says what is missing
//	go run ./examples/converge root@web1 root@web2           # shows it, asks, and does it
//	go run ./examples/converge -facts root@web1              # what is true of it
//
// Hosts must be in ~/.ssh/known_hosts; keys come from ~/.ssh and the agent.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/jarvisops/jarvis/converge"
	"github.com/jarvisops/jarvis/remote"
)

// configure says what each host shall be like. It is called until nothing is missing any more, so it must want the same
// each time.
func configure(n *converge.Node) error {
	n.Want(
		converge.User{Name: "alice", Shell: "/bin/bash"},
		converge.User{Name: "bob"},
		converge.User{Name: "mallory", Absent: true},
		converge.Template{Path: "/etc/motd", Text: "This is {{.Name}}, {{.Facts.OS.Name}}.\n", Mode: "0644"},
	)
	return nil
}

func main() {
	check := flag.Bool("check", false, "only say what is missing")
	yes := flag.Bool("yes", false, "do not ask")
	facts := flag.Bool("facts", false, "only say what is true of the hosts")
	limit := flag.String("limit", "", "only these hosts: names or patterns")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	known, err := remote.NewResolver()
	fail(err)
	defer known.Close()
	var targets []converge.Target
	for _, word := range flag.Args() {
		targets = append(targets, converge.Target{Name: word, Dial: func(ctx context.Context) (converge.Host, func(), error) {
			t, err := known.Target(word)
			if err != nil {
				return nil, nil, err
			}
			c, err := remote.Dial(ctx, t)
			return remote.Shell{Client: c}, func() { _ = c.Close() }, err
		}})
	}
	if *facts {
		report, err := converge.Run(ctx, targets, func(n *converge.Node) error {
			f, err := n.Facts()
			if err == nil {
				fail(json.NewEncoder(os.Stdout).Encode(f))
			}
			return err
		}, converge.Options{Check: true, Parallel: 1})
		fail(err)
		for _, h := range report.Failed() {
			fail(fmt.Errorf("%s: %s", h.Host, h.Error))
		}
		return
	}
	confirm := func(_ context.Context, plan []converge.HostPlan) (bool, error) {
		for _, h := range plan {
			for _, a := range h.Actions {
				fmt.Printf("%s: %s\n%s", h.Host, a.Desc, a.Diff)
			}
		}
		if *yes {
			return true, nil
		}
		fmt.Print("Do this? [y/N] ")
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n') // nothing, and the end of it, are a no
		answer := strings.ToLower(strings.TrimSpace(line))
		return answer == "y" || answer == "yes", nil
	}
	report, err := converge.Run(ctx, targets, configure, converge.Options{Check: *check, Limit: strings.Fields(*limit), Confirm: confirm})
	fail(err)
	fail(json.NewEncoder(os.Stdout).Encode(report))
	if len(report.Failed()) > 0 {
		os.Exit(1)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
