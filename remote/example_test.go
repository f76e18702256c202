package remote_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/jarvisops/jarvis/remote"
)

// One command on one host, found by ~/.ssh/config and proven by known_hosts.
func ExampleDial() {
	known, err := remote.NewResolver()
	if err != nil {
		log.Fatal(err)
	}
	defer known.Close()
	target, err := known.Target("root@loki:22")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := remote.Dial(ctx, target)
	if err != nil {
		log.Fatal(err) // a host that offers another key is a *remote.HostKeyError
	}
	defer func() { _ = c.Close() }()
	res, err := c.Run(ctx, remote.Command{Args: []string{"uname", "-r"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("exit %d: %s", res.Exit, res.Stdout)
}

// A command as root, line by line, with a password that is asked for only if sudo wants one.
func ExampleClient_Run() {
	var c *remote.Client // of Dial
	res, err := c.Run(context.Background(), remote.Command{
		Args:   []string{"apt-get", "-y", "upgrade"},
		Env:    map[string]string{"DEBIAN_FRONTEND": "noninteractive"},
		Sudo:   &remote.Sudo{Password: func() (string, error) { return os.Getenv("SUDO_PASSWORD"), nil }},
		Stdout: func(line string) { fmt.Println(line) },
		Stderr: func(line string) { fmt.Fprintln(os.Stderr, line) },
	})
	if err != nil {
		log.Fatal(err)
	}
	os.Exit(res.Exit)
}

// A pool keeps one connection to each host, however many use it.
func ExamplePool() {
	ssh, err := remote.NewResolver()
	if err != nil {
		log.Fatal(err)
	}
	defer ssh.Close()
	pool := remote.NewPool(remote.PoolConfig{Idle: 10 * time.Minute})
	defer pool.Close()
	for range time.Tick(time.Minute) {
		for _, host := range []string{"web1", "web2"} {
			t, err := ssh.Target(host) // of an IPv6 address too: a port is put beside it rightly
			if err != nil {
				log.Fatal(err)
			}
			res, err := pool.Run(context.Background(), t, remote.Command{Args: []string{"cat", "/proc/loadavg"}})
			fmt.Println(host, res.Stdout, err)
		}
	}
}
