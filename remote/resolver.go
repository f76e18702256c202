package remote

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Resolver makes a Target of a host as somebody names it, as ssh would: by ~/.ssh/config and /etc/ssh/ssh_config, the usual
// keys, the agent of SSH_AUTH_SOCK, known_hosts, and signed SSHFP records. What it reads it keeps, so one is enough for
// thousands of hosts. Safe for concurrent use once it is set up.
type Resolver struct {
	User      string                 // for hosts that name none; "": as the files say
	Keys      []gossh.Signer         // instead of the files' and the agent's
	Password  func() (string, error) // nil: none is offered
	AcceptNew bool                   // the key of a host of which nothing is known is written to known_hosts
	Timeout   time.Duration          // to connect; 0: as Dial has it
	Note      func(string)           // told of each line of known_hosts that is skipped; may be nil

	conf  *SSHConfig
	agent *Agent
	sshfp *SSHFP

	mu    sync.Mutex
	known map[string]HostKeys
	files map[string]gossh.Signer // key files read
}

// NewResolver reads the files. Close it.
func NewResolver() (*Resolver, error) {
	r := &Resolver{known: map[string]HostKeys{}, files: map[string]gossh.Signer{}, sshfp: &SSHFP{}}
	var err error
	if r.conf, err = DefaultSSHConfig(); err != nil {
		return nil, err
	}
	if sock := os.Getenv("SSH_AUTH_SOCK"); sock != "" {
		r.agent = NewAgent(sock)
	}
	return r, nil
}

// Close ends the connection to the agent.
func (r *Resolver) Close() {
	if r.agent != nil {
		_ = r.agent.Close()
	}
}

const maxJumps = 8

// Target gives the target that [user@]host[:port] means.
func (r *Resolver) Target(word string) (Target, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.target(word, 0)
}

func (r *Resolver) target(word string, depth int) (Target, error) {
	user, host, port, err := SplitHost(word)
	if err != nil {
		return Target{}, err
	}
	if depth > maxJumps {
		return Target{}, fmt.Errorf("%s: more than %d jump hosts one behind the other; does ProxyJump go in a circle?", word, maxJumps)
	}
	if user == "" && depth == 0 {
		user = r.User
	}
	h := r.conf.Host(host, user)
	t := Target{Addr: joinPort(h.HostName, cmp.Or(port, h.Port)), User: h.User, Timeout: r.Timeout, Password: r.Password}
	if r.agent != nil && r.Keys == nil && !h.IdentitiesOnly {
		t.Agent = r.agent.Signers
	}
	if t.Signers, err = r.keys(h); err != nil {
		return t, err
	}
	t.HostKeys = r.hostKeys(h)
	if h.HostKeyAlias != "" {
		t.HostKeys = Alias{Name: joinPort(h.HostKeyAlias, "22"), Of: t.HostKeys}
	}
	for _, j := range strings.Split(h.ProxyJump, ",") {
		if j == "" {
			continue
		}
		jump, err := r.target(strings.TrimPrefix(j, "ssh://"), depth+1)
		if err != nil {
			return t, err
		}
		if t.Jump != nil && jump.Jump == nil {
			jump.Jump = t.Jump
		}
		t.Jump = &jump
	}
	return t, nil
}

func joinPort(host, port string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]:" + port
	}
	return host + ":" + port
}

// keys gives those for a host: ours alone, or what the configuration names, or the usual files.
func (r *Resolver) keys(h HostConfig) ([]gossh.Signer, error) {
	if r.Keys != nil {
		return r.Keys, nil
	}
	named := len(h.IdentityFiles) > 0
	files := h.IdentityFiles
	if !named {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, nil
		}
		for _, n := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			files = append(files, filepath.Join(home, ".ssh", n))
		}
	}
	var out []gossh.Signer
	for _, f := range files {
		s, read := r.files[f]
		if !read {
			var err error
			s, err = LoadKey(f, nil)
			switch {
			case errors.Is(err, os.ErrNotExist), errors.Is(err, ErrPassphrase): // the agent may have it; Keys may hold it
			case err != nil:
				return nil, err
			}
			r.files[f] = s
		}
		if s != nil {
			out = append(out, s)
		}
	}
	for _, file := range h.Certificates {
		for _, s := range out {
			if c, err := LoadCertificate(s, file); err == nil { // it is for this key
				out = append([]gossh.Signer{c}, out...)
				break
			}
		}
	}
	return out, nil
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
	hostName = regexp.MustCompile(`^[\pL\pN_][\pL\pN._-]*$`)
	zoned    = regexp.MustCompile(`^[0-9A-Fa-f:.]+%[0-9A-Za-z._-]+$`)
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
