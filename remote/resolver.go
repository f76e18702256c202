package remote

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/internal/pattern"
)

// Resolver makes a Target of a host as somebody names it, as ssh would: by ~/.ssh/config and /etc/ssh/ssh_config, the
// keys and the agent that these name, or the usual ones, known_hosts, and signed SSHFP records. A ProxyCommand and the
// command of a `Match exec` are run, as ssh runs them. What it reads it keeps, so one is enough for thousands of hosts.
// Safe for concurrent use once it is set up.
type Resolver struct {
	User      string                 // for hosts that name none; "": as the files say
	Keys      []gossh.Signer         // instead of the files' and the agent's
	Password  func() (string, error) // nil: none is offered
	AcceptNew bool                   // the key of a host of which nothing is known is written to known_hosts
	Timeout   time.Duration          // to connect; 0: as ConnectTimeout says, or as for Dial
	Note      func(string)           // told of each line of known_hosts that is skipped, and of keywords that are not followed; may be nil
	// Ask answers what a host asks beside the password; see Target.Ask. One question at a time.
	Ask func(who, question string, echo bool) (string, error)
	// Passphrase opens a key file when a host wants that key; nil: such a key counts when an agent holds it.
	Passphrase func(file string) (string, error)

	conf  *SSHConfig
	agent *Agent // of SSH_AUTH_SOCK; nil: none
	sshfp *SSHFP

	mu     sync.Mutex
	known  map[string]HostKeys
	files  map[string]*identity // key files read
	agents map[string]*Agent    // by socket, those that the configuration names
	asked  atomic.Int32         // questions that wait for an answer
}

// NewResolver reads the files. Close it.
func NewResolver() (*Resolver, error) {
	r := &Resolver{known: map[string]HostKeys{}, files: map[string]*identity{}, agents: map[string]*Agent{}, sshfp: &SSHFP{}}
	var err error
	if r.conf, err = DefaultSSHConfig(); err != nil {
		return nil, err
	}
	if sock := os.Getenv("SSH_AUTH_SOCK"); sock != "" {
		r.agent = NewAgent(sock)
	}
	return r, nil
}

// Close ends the connections to agents.
func (r *Resolver) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.agent != nil {
		_ = r.agent.Close()
	}
	for _, a := range r.agents {
		_ = a.Close()
	}
}

const maxJumps = 8

// Target gives the target that [user@]host[:port] means.
func (r *Resolver) Target(word string) (Target, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.target(word, nil, 0)
}

// target follows ProxyJump, each host by what the configuration says of it. A host of a list is reached through the one
// that stands before it, whatever the configuration says of the way to it: for `ProxyJump a,b` OpenSSH runs `ssh -J a
// -W … b`, and the command line comes first (ssh.c). by is that one; depth ends a circle.
func (r *Resolver) target(word string, by *Target, depth int) (Target, error) {
	user, host, port, err := SplitHost(word)
	if err != nil {
		return Target{}, err
	}
	if depth > maxJumps {
		return Target{}, fmt.Errorf("%s: more than %d jump hosts one after the other; does ProxyJump go in a circle?", word, maxJumps)
	}
	if user == "" && depth == 0 {
		user = r.User
	}
	h, err := r.conf.Host(host, user)
	if err != nil {
		return Target{}, fmt.Errorf("%s: %w", word, err)
	}
	for _, key := range h.Ignored {
		if r.Note != nil {
			r.Note("the ssh configuration sets " + key + " for " + host + ", which is not followed here")
		}
	}
	if by != nil {
		h.ProxyJump, h.ProxyCommand = "", ""
	}
	t := Target{Jump: by, Addr: net.JoinHostPort(h.HostName, cmp.Or(port, h.Port)), User: h.User, Timeout: cmp.Or(r.Timeout, h.ConnectTimeout), Password: r.Password, Network: h.Network, Asking: func() bool { return r.asked.Load() > 0 }}
	t.Algorithms = Algorithms{HostKeys: h.HostKeyAlgorithms, KeyExchanges: h.KexAlgorithms, Ciphers: h.Ciphers, MACs: h.MACs}
	if h.ProxyCommand != "" {
		t.Through, t.Way = proxy(h.ProxyCommand), "the ProxyCommand "+h.ProxyCommand
	}
	if r.Ask != nil {
		t.Ask = func(who, question string, echo bool) (string, error) {
			defer r.asking()()
			return r.Ask(who, question, echo)
		}
	}
	r.prove(&t, h)
	t.HostKeys = r.hostKeys(h)
	if i := slices.IndexFunc(h.KnownHosts, func(f string) bool { return f != os.DevNull }); i >= 0 {
		t.KnownAt = h.KnownHosts[i]
	}
	if h.HostKeyAlias != "" {
		t.HostKeys = Alias{Name: net.JoinHostPort(h.HostKeyAlias, "22"), Of: t.HostKeys}
	}
	for _, j := range strings.Split(h.ProxyJump, ",") {
		if j == "" {
			continue
		}
		jump, err := r.target(strings.TrimPrefix(j, "ssh://"), t.Jump, depth+1)
		if err != nil {
			return t, err
		}
		t.Jump = &jump
	}
	return t, nil
}

// asking counts a question until the function that it gives is called.
func (r *Resolver) asking() func() {
	r.asked.Add(1)
	return func() { r.asked.Add(-1) }
}

// passphrase opens a key file, if anybody can be asked.
func (r *Resolver) passphrase() func(string) (string, error) {
	if r.Passphrase == nil {
		return nil
	}
	return func(file string) (string, error) {
		defer r.asking()()
		return r.Passphrase(file)
	}
}

// hostKeys gives what vouches for a host: known_hosts, then signed DNS.
func (r *Resolver) hostKeys(h HostConfig) HostKeys {
	key := strings.Join(h.KnownHosts, "\x00")
	if k := r.known[key]; k != nil {
		return k
	}
	files := NewKnownHosts(h.KnownHosts...)
	files.Note = r.Note
	var k HostKeys = FirstOf{files, r.sshfp}
	if r.AcceptNew && len(h.KnownHosts) > 0 {
		_ = os.MkdirAll(filepath.Dir(h.KnownHosts[0]), 0o700)
		k = &AcceptNew{Known: k, File: h.KnownHosts[0]}
	}
	r.known[key] = k
	return k
}

var (
	hostName = pattern.New(`^[\pL\pN_][\pL\pN._-]*$`)
	zoned    = pattern.New(`^[0-9A-Fa-f:.]+%[0-9A-Za-z._-]+$`)
)

// SplitHost takes [user@]host[:port] apart. An IPv6 address with a port is in brackets.
func SplitHost(s string) (user, host, port string, err error) {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		user, s = s[:i], s[i+1:]
	}
	switch {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", "", fmt.Errorf("%q: a bracket is not closed", s)
		}
		host = s[1:end]
		if rest := s[end+1:]; strings.HasPrefix(rest, ":") {
			port = rest[1:]
		} else if rest != "" {
			return "", "", "", fmt.Errorf("%q is no host", s)
		}
	case strings.Count(s, ":") == 1:
		host, port, err = net.SplitHostPort(s)
		if err != nil {
			return "", "", "", fmt.Errorf("%q is no host", s)
		}
	default:
		host = s
	}
	if !hostName.MatchString(host) && net.ParseIP(host) == nil && !zoned.MatchString(host) {
		return "", "", "", fmt.Errorf("%q is no host; it is [user@]host[:port]", s)
	}
	if port != "" {
		if n, perr := strconv.Atoi(port); perr != nil || n < 1 || n > 65535 {
			return "", "", "", fmt.Errorf("%q: %q is no port", s, port)
		}
	}
	return user, host, port, nil
}
