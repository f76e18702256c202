// Command farm is many SSH hosts in one process, for benchmarks of clients: it listens on N loopback addresses, lets
// the key in a file log in, and answers every command at once with success.
//
//	farm N DIR [FIRST]    writes DIR/id, if it is not there, adds to DIR/known_hosts and DIR/hosts, and says "ready" when
//	                      all listen; FIRST other hosts are another farm's
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: farm N DIR [FIRST]")
	}
	n, err := strconv.Atoi(os.Args[1])
	check(err)
	first := 0
	if len(os.Args) > 3 {
		first, err = strconv.Atoi(os.Args[3])
		check(err)
	}
	dir := os.Args[2]
	hostKey, _ := newKey()
	id := filepath.Join(dir, "id")
	if _, err := os.Stat(id); err != nil {
		_, private := newKey()
		check(os.WriteFile(id, private, 0o600))
	}
	private, err := os.ReadFile(id)
	check(err)
	userKey, err := ssh.ParsePrivateKey(private)
	check(err)
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) == string(userKey.PublicKey().Marshal()) {
			return nil, nil
		}
		return nil, fmt.Errorf("another key")
	}}
	cfg.AddHostKey(hostKey)
	var known, hosts strings.Builder
	for i := first; i < first+n; i++ {
		ip := fmt.Sprintf("127.30.%d.%d", i/250, 1+i%250)
		l, err := net.Listen("tcp", ip+":2222")
		check(err)
		fmt.Fprintf(&known, "[%s]:2222 %s", ip, ssh.MarshalAuthorizedKey(hostKey.PublicKey()))
		fmt.Fprintf(&hosts, "root@%s:2222\n", ip)
		go accept(l, cfg)
	}
	add(filepath.Join(dir, "known_hosts"), known.String())
	add(filepath.Join(dir, "hosts"), hosts.String())
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // lives as long as whoever started it
}

// add appends: several farms share one folder.
func add(name, text string) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(err)
	_, err = f.WriteString(text)
	check(err)
	check(f.Close())
}

func newKey() (ssh.Signer, []byte) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	check(err)
	block, err := ssh.MarshalPrivateKey(priv, "")
	check(err)
	s, err := ssh.NewSignerFromKey(priv)
	check(err)
	return s, pem.EncodeToMemory(block)
}

func accept(l net.Listener, cfg *ssh.ServerConfig) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			_, chans, reqs, err := ssh.NewServerConn(c, cfg)
			if err != nil {
				return
			}
			go ssh.DiscardRequests(reqs)
			for nc := range chans {
				ch, reqs, err := nc.Accept()
				if err != nil {
					return
				}
				go session(ch, reqs)
			}
		}()
	}
}

// session plays the host: it says what Jarvis waits for and does nothing of it. A lock is held until its input ends.
func session(ch ssh.Channel, reqs <-chan *ssh.Request) {
	for r := range reqs {
		if r.Type != "exec" {
			_ = r.Reply(r.Type == "env", nil)
			continue
		}
		_ = r.Reply(true, nil)
		if begins := beginMark.FindString(string(r.Payload)); begins != "" {
			_, _ = io.WriteString(ch, begins+"\n")
			_, _ = io.WriteString(ch.Stderr(), begins+"\n")
		}
		if strings.Contains(string(r.Payload), "flock") {
			_, _ = io.WriteString(ch, lockWord.ReplaceAllString(lockWord.FindString(string(r.Payload)), "$1\n"))
			_, _ = io.Copy(ch, ch)
		}
		_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
		_ = ch.Close()
	}
}

// beginMark is what stands before the output of a command; see Apart in package remote.
var beginMark = regexp.MustCompile(`jarvis-[A-Za-z0-9]+-begins`)

// lockWord is what the holder of a lock says; see package fleet.
var lockWord = regexp.MustCompile(`([A-Z2-7]{26}) && cat`)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
