package remote_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	gossh "golang.org/x/crypto/ssh"

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
	key, err := remote.LoadKey("/home/alice/.ssh/id_ed25519", nil)
	if err != nil {
		log.Fatal(err)
	}
	pool := remote.NewPool(remote.PoolConfig{Idle: 10 * time.Minute})
	defer pool.Close()
	known := remote.NewKnownHosts("/home/alice/.ssh/known_hosts")
	for range time.Tick(time.Minute) {
		for _, host := range []string{"web1", "web2"} {
			t := remote.Target{Addr: host + ":22", User: "alice", Signers: []gossh.Signer{key}, HostKeys: known}
			res, err := pool.Run(context.Background(), t, remote.Command{Args: []string{"cat", "/proc/loadavg"}})
			fmt.Println(host, res.Stdout, err)
		}
	}
}
