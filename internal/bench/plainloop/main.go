// Command plainloop is the floor that `jarvis exec` is measured against: x/crypto/ssh in a loop, and nothing else. It
// checks one host key for all, runs `true`, and reads no output.
//
//	plainloop DIR AT_ONCE    DIR as farm makes it
package main

import (
	"bytes"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: plainloop DIR AT_ONCE")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(os.Args[1], name))
		check(err)
		return b
	}
	signer, err := ssh.ParsePrivateKey(read("id"))
	check(err)
	_, _, hostKey, _, _, err := ssh.ParseKnownHosts(read("known_hosts"))
	check(err)
	n, err := strconv.Atoi(os.Args[2])
	check(err)
	cfg := &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(hostKey), HostKeyAlgorithms: []string{hostKey.Type()}}
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	var failed atomic.Int64
	for _, h := range strings.Fields(string(bytes.ReplaceAll(read("hosts"), []byte("root@"), nil))) {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			if err := one(h, cfg); err != nil {
				log.Print(h, ": ", err)
				failed.Add(1)
			}
		}()
	}
	wg.Wait()
	if failed.Load() > 0 {
		os.Exit(1)
	}
}

// one is the least that work on a host can be: a login, a command, the end.
func one(addr string, cfg *ssh.ClientConfig) error {
	c, err := ssh.Dial("tcp", addr, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	s, err := c.NewSession()
	if err != nil {
		return err
	}
	return s.Run("true")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
