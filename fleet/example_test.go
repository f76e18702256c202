package fleet_test

import (
	"context"
	"fmt"
	"log"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/remote"
)

// Twenty hosts: locked, given a file, and reloaded, all or none of them.
func ExampleOpen() {
	ctx := context.Background()
	ssh, err := remote.NewResolver() // ~/.ssh/config, known_hosts, keys and the agent, as ssh reads them
	if err != nil {
		log.Fatal(err)
	}
	defer ssh.Close()
	names, err := fleet.Expand("web[1-20].example.org")
	if err != nil {
		log.Fatal(err)
	}
	var hosts []fleet.Host
	for _, n := range names {
		t, err := ssh.Target("root@" + n)
		if err != nil {
			log.Fatal(err)
		}
		hosts = append(hosts, fleet.Host{Name: n, Target: t})
	}
	f, err := fleet.Open(ctx, hosts, fleet.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	lock, err := f.Lock(ctx, fleet.LockOptions{})
	if err != nil {
		log.Fatal(err) // names the host, and who holds it there
	}
	defer func() { _ = lock.Release() }()
	ctx, cancel := lock.Context(ctx) // ends when the lock is lost
	defer cancel()
	tree, err := fleet.ReadTree([]string{"nginx.conf"}, fleet.TreeOptions{Relative: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range f.Send(ctx, tree, fleet.SendOptions{Root: "/etc/nginx", Compress: "auto"}) {
		if r.Err != nil {
			log.Fatal(r.Host.Name, ": ", r.Err)
		}
	}
	results := f.Exec(ctx, remote.Command{Args: []string{"systemctl", "reload", "nginx"}}, fleet.ExecOptions{}, func(l fleet.Line) {
		fmt.Printf("%s: %s\n", f.Hosts[l.Host].Name, l.Text)
	})
	for _, r := range results {
		if !r.OK() {
			fmt.Println(r.Host.Name, r.Exit, r.Err)
		}
	}
}

func ExampleFold() {
	fmt.Println(fleet.Fold([]string{"web1", "web2", "web3", "db1"}))
	// Output: web[1-3],db1
}
