package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
	xterm "golang.org/x/term"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/remote"
)

// manyFlags are those of all commands that work on many hosts, with orgalorg's letters.
type manyFlags struct {
	Hosts     []string `name:"host" short:"o" sep:"none" placeholder:"HOST" help:"[user@]host[:port], as 'web[1-20]' or 'db{a,b}' too (quoted: the shell here expands them otherwise); @web is a cluster on record; a word with a slash, as ./hosts, is a file with a host on each line. May be given again."`
	FromStdin bool     `name:"read-stdin" short:"s" help:"Read hosts from stdin."`
	Direct    bool     `help:"Connect from here and ask no server: names mean what ~/.ssh/config says."`
	User      string   `short:"u" help:"Log in as this user."`
	Sudo      bool     `short:"x" help:"Work as root, by sudo; with --password it is given to sudo too."`
	Password  bool     `short:"p" help:"Ask for a password once, and use it everywhere."`
	Key       string   `short:"k" placeholder:"FILE" help:"Log in with this key."`
	HostKey   string   `enum:"strict,accept-new" default:"strict" help:"What to do with a host of which no key is known: strict refuses it, accept-new writes its key to known_hosts."`

	Skip    bool `name:"no-conn-fail" short:"w" help:"Go on without hosts that cannot be reached."`
	NoLock  bool `name:"no-lock" short:"y" help:"Do not lock the hosts."`
	MayLock bool `name:"no-lock-fail" short:"t" help:"Only warn when the lock is held by somebody else."`

	LockFile string `default:"" placeholder:"FILE" help:"Lock this file or directory, and nothing else (default: / or what --root says, and shared what is above it)."`

	command   string   // that was said
	after     []string // the words of the command for the hosts, where there is one
	lockDir   string   // what --root says, where there is one
	lockThere bool     // it must be there
	Threads   int      `short:"d" default:"64" help:"Handshakes at once."`
	Connect   millis   `name:"conn-timeout" short:"c" placeholder:"TIME" help:"Time to connect and log in (default: ConnectTimeout of ~/.ssh/config, or 10s)."`
	Send      millis   `name:"send-timeout" short:"j" default:"60s" help:"Time that a host may take nothing while it should."`
	Receive   millis   `name:"recv-timeout" short:"z" default:"0s" help:"Time that a command may take; 0: any. A time without a unit is milliseconds, here and in the others."`
	KeepAlive millis   `name:"keep-alive" short:"a" default:"10s" help:"Ask hosts so often whether they are there."`

	Quiet   bool `short:"q" help:"Print what hosts say without their names; exec and sync --simple print it byte for byte."`
	Verbose int  `short:"v" type:"counter" help:"Tell on stderr what is connected to and locked; upload and sync name the files too. -vv is the same."`
	JSON    bool `name:"json" help:"Print one JSON object a line."`
	Group   bool `help:"Print each host's output at once when it has ended; what is equal is printed once."`
}

// millis is a duration: 10s, 500ms, or a bare number of milliseconds as orgalorg takes it.
type millis time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *millis) UnmarshalText(b []byte) error {
	if n, err := strconv.Atoi(string(b)); err == nil && n >= 0 && time.Duration(n) <= math.MaxInt64/time.Millisecond {
		*m = millis(time.Duration(n) * time.Millisecond)
		return nil
	}
	d, err := time.ParseDuration(string(b))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no time as 10s or 500ms", b)
	}
	*m = millis(d)
	return nil
}

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Sprintf(format, args...)}
}

// names gives the hosts as words, in the order given, each once.
func (m *manyFlags) names(t *term) ([]string, error) {
	var out []string
	for _, w := range m.Hosts {
		if strings.Contains(w, "/") { // no host has one
			list, err := listed(w)
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
			continue
		}
		list, err := fleet.Expand(w)
		if err != nil {
			return nil, usage("%v", err)
		}
		out = append(out, list...)
	}
	if m.FromStdin {
		list, err := fleet.ReadHosts(t.in)
		if err != nil {
			return nil, usage("%v", notListed("", err))
		}
		out = append(out, list...)
	}
	switch {
	case len(out) > 0:
	case len(m.Hosts) > 0:
		return nil, usage("%s names no host", strings.Join(m.Hosts, " "))
	case m.FromStdin:
		return nil, usage("stdin names no host; it takes one on each line")
	default:
		if slices.Contains(m.after, "-o") || slices.Contains(m.after, "-s") {
			return nil, usage("no hosts are given: -o and -s stand after the command here, and are words of it; they stand before it, as in `jarvis exec -o HOST uptime`")
		}
		return nil, usage("no hosts are given; name them with -o HOST, or on stdin with -s")
	}
	seen := map[string]bool{}
	var once []string
	for _, n := range out {
		if !seen[n] {
			seen[n] = true
			once = append(once, n)
		}
	}
	return once, nil
}

// listed reads a file with a host on each line.
func listed(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, usage("read the hosts: %v", err)
	}
	defer func() { _ = f.Close() }()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, usage("%s is a folder; -o takes a host, or a file with a host on each line", file)
	}
	list, err := fleet.ReadHosts(f)
	if err != nil {
		return nil, usage("%v", notListed(file, err))
	}
	return list, nil
}

// notListed says where in a list of hosts what is wrong: FILE:LINE, as editors take it.
func notListed(file string, err error) error {
	hint := ""
	if errors.Is(err, fleet.ErrInventory) {
		hint = "; `jarvis import FILE` takes one, and then -o @GROUP means its hosts"
	}
	var line *fleet.LineError
	switch {
	case errors.As(err, &line) && file != "":
		return fmt.Errorf("%s:%d: %w%s", file, line.Line, line.Err, hint)
	case file != "":
		return fmt.Errorf("%s: %w", file, err)
	}
	return fmt.Errorf("the hosts on stdin, %w%s", err, hint)
}

// resolver makes targets of words, by ~/.ssh and what the flags say.
type resolver struct {
	*remote.Resolver
	flags *manyFlags
}

// newResolver asks for a password at once, and for passphrases when a key needs one. Without a terminal it cannot ask.
func newResolver(m *manyFlags, t *term) (*resolver, error) {
	rr, err := remote.NewResolver()
	if err != nil {
		return nil, usage("%v", err)
	}
	r := &resolver{rr, m}
	r.User, r.Timeout, r.AcceptNew = m.User, time.Duration(m.Connect), m.HostKey == "accept-new"
	r.Note = func(what string) {
		if _, said := t.noted.LoadOrStore(what, true); !said {
			_, _ = fmt.Fprintf(t.err, "jarvis: %s\n", what)
		}
	}
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		_ = tty.Close()
		r.Passphrase = func(file string) (string, error) { return t.secret("passphrase of " + file) }
		r.Ask = func(who, question string, echo bool) (string, error) {
			return t.ask(who+": "+strings.TrimSuffix(plain.Line(question), ":"), echo)
		}
	}
	if m.Key != "" {
		s, err := remote.LoadKey(m.Key, func(file string) (string, error) { return t.secret("passphrase of " + file) })
		if err != nil {
			return nil, usage("%v", err)
		}
		r.Keys = []gossh.Signer{s}
	}
	if m.Password {
		r.Password = sync.OnceValues(func() (string, error) { return t.secret("password") })
		if _, err := r.Password(); err != nil {
			return nil, usage("%v", err)
		}
	}
	return r, nil
}

// sudo says how commands become root; nil: not at all.
func (r *resolver) sudo() *remote.Sudo {
	if !r.flags.Sudo {
		return nil
	}
	return &remote.Sudo{Password: r.Password}
}

// secret asks for one on the terminal, without echo.
func (t *term) secret(what string) (string, error) { return t.ask(what, false) }

// ask asks one question at a time.
func (t *term) ask(what string, echo bool) (string, error) {
	t.asking.Lock()
	defer t.asking.Unlock()
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("there is no terminal to ask for the %s", what)
	}
	defer func() { _ = tty.Close() }()
	_, _ = fmt.Fprintf(tty, "%s: ", what)
	if echo {
		line, err := bufio.NewReader(tty).ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("read the %s: %w", what, err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	b, err := xterm.ReadPassword(int(tty.Fd()))
	_, _ = fmt.Fprintln(tty)
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	return string(b), nil
}
