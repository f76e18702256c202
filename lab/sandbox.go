package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/spf13/afero"
	"go.yaml.in/yaml/v4"
	gossh "golang.org/x/crypto/ssh"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Sandbox is a host that exists in memory: an SSH server on loopback whose shell is an interpreter in this process,
// on a file system in memory. Nothing it does can touch the machine it runs on. It has been through what cloud-init
// would do with its user-data: host key, names, who may log in.
type Sandbox struct {
	Addr string // host:port
	Name string

	fs     afero.Fs
	power  sync.Mutex // held while it is switched on or off
	boots  int
	gone   bool // stopped for good
	ctx    context.Context
	cancel context.CancelFunc // nil while it is off
	listen net.Listener
	wg     sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	hostKey []gossh.Signer // what sshd read last
	locks   map[string]int // of files: how many share one, -1 when one has it alone
	ran     map[string]int // commands that packages and config management ran, with how often
}

// bootData is the part of #cloud-config that a sandbox reads.
type bootData struct {
	Hostname       string            `yaml:"hostname"`
	FQDN           string            `yaml:"fqdn"`
	SSHKeys        map[string]string `yaml:"ssh_keys"`
	AuthorizedKeys []string          `yaml:"ssh_authorized_keys"`
}

// StartSandbox boots a host with its user-data on an address.
func StartSandbox(addr, userData string) (*Sandbox, error) {
	var d bootData
	if !strings.HasPrefix(userData, "#cloud-config\n") {
		return nil, errors.New("the user-data is no #cloud-config")
	}
	if err := yaml.Unmarshal([]byte(userData), &d); err != nil {
		return nil, fmt.Errorf("read the user-data: %w", err)
	}
	s := &Sandbox{Addr: addr, Name: d.Hostname, fs: afero.NewMemMapFs(), conns: map[net.Conn]bool{}, ran: map[string]int{}, locks: map[string]int{}}
	for name, text := range map[string]string{
		"/etc/hostname":                     d.Hostname + "\n",
		"/etc/ssh/ssh_host_ed25519_key":     d.SSHKeys["ed25519_private"],
		"/etc/ssh/ssh_host_ed25519_key.pub": d.SSHKeys["ed25519_public"] + "\n",
		"/root/.ssh/authorized_keys":        strings.Join(d.AuthorizedKeys, "\n") + "\n",
		"/run/sshd.pid":                     "1\n",
	} {
		if err := afero.WriteFile(s.fs, name, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{"/tmp", "/var/log", "/root"} {
		if err := s.fs.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	return s, s.On()
}

// On powers the host on: what runs only while it is up is new.
func (s *Sandbox) On() error {
	s.power.Lock()
	defer s.power.Unlock()
	if s.cancel != nil || s.gone {
		return nil
	}
	s.boots++
	boot := fmt.Sprintf("1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", s.boots) // proc(5), up to starttime and two more
	if err := errors.Join(afero.WriteFile(s.fs, "/proc/sys/kernel/random/boot_id", []byte(rand.Text()+"\n"), 0o444),
		afero.WriteFile(s.fs, "/proc/1/stat", []byte(boot), 0o444), s.readHostKeys()); err != nil {
		return err
	}
	var err error
	if s.listen, err = net.Listen("tcp", s.Addr); err != nil {
		return err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Add(1)
	go s.accept(s.ctx, s.listen)
	return nil
}

// Stop ends the host.
func (s *Sandbox) Stop() {
	s.power.Lock()
	s.gone = true
	s.power.Unlock()
	s.Off()
}

// Off pulls the plug.
func (s *Sandbox) Off() {
	s.power.Lock()
	defer s.power.Unlock()
	if s.cancel == nil {
		return
	}
	s.cancel()
	_ = s.listen.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	s.cancel = nil
}

// reboot is what the program of that name does: it does not wait for the machine to go down.
func (s *Sandbox) reboot() {
	go func() {
		s.Off()
		_ = s.On()
	}()
}

// Ran tells how often each command of a package or configuration management ran on the host.
func (s *Sandbox) Ran() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for k, v := range s.ran {
		out[k] = v
	}
	return out
}

// ReadFile reads a file of the host.
func (s *Sandbox) ReadFile(name string) (string, error) {
	b, err := afero.ReadFile(s.fs, name)
	return string(b), err
}

// readHostKeys is what sshd does at start and on a reload.
func (s *Sandbox) readHostKeys() error {
	files, err := afero.Glob(s.fs, "/etc/ssh/ssh_host_*_key")
	if err != nil {
		return err
	}
	sort.Sort(sort.Reverse(sort.StringSlice(files)))
	var keys []gossh.Signer
	for _, f := range files {
		b, err := afero.ReadFile(s.fs, f)
		if err != nil {
			return err
		}
		k, err := gossh.ParsePrivateKey(b)
		if err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return errors.New("the host has no host key")
	}
	s.mu.Lock()
	s.hostKey = keys
	s.mu.Unlock()
	return nil
}

// accept remembers its connections, for Off to cut them.
func (s *Sandbox) accept(ctx context.Context, l net.Listener) {
	defer s.wg.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer func() {
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
			s.serve(ctx, c)
		}()
	}
}

// serve reads authorized_keys at each login, as sshd does: a key that is gone there lets nobody in.
func (s *Sandbox) serve(ctx context.Context, c net.Conn) {
	cfg := &gossh.ServerConfig{PublicKeyCallback: func(_ gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
		b, err := afero.ReadFile(s.fs, "/root/.ssh/authorized_keys")
		if err != nil {
			return nil, err
		}
		for len(b) > 0 {
			k, _, _, rest, err := gossh.ParseAuthorizedKey(b)
			if err != nil {
				break
			}
			if bytes.Equal(k.Marshal(), key.Marshal()) {
				return nil, nil
			}
			b = rest
		}
		return nil, errors.New("unknown key")
	}}
	s.mu.Lock()
	for _, k := range s.hostKey {
		cfg.AddHostKey(k)
	}
	s.mu.Unlock()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	conn, chans, reqs, err := gossh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Time{})
	defer func() { _ = conn.Close() }()
	go gossh.DiscardRequests(reqs)
	var wg sync.WaitGroup
	for ch := range chans {
		if ch.ChannelType() != "session" {
			_ = ch.Reject(gossh.UnknownChannelType, "a sandbox has sessions only")
			continue
		}
		sess, requests, err := ch.Accept()
		if err != nil {
			return
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			s.session(ctx, sess, requests)
		}()
	}
	wg.Wait()
}

// session runs one command, as sshd does on "exec"; any signal ends it.
func (s *Sandbox) session(ctx context.Context, ch gossh.Channel, reqs <-chan *gossh.Request) {
	defer func() { _ = ch.Close() }()
	for r := range reqs {
		if r.Type != "exec" {
			_ = r.Reply(r.Type == "env", nil)
			continue
		}
		var p struct{ Command string }
		if err := gossh.Unmarshal(r.Payload, &p); err != nil {
			_ = r.Reply(false, nil)
			return
		}
		_ = r.Reply(true, nil)
		ctx, kill := context.WithCancel(ctx) // not when the session ends: what it left in the background goes on
		go func() {
			for r := range reqs {
				if r.Type == "signal" {
					kill()
				}
			}
		}()
		code := s.run(ctx, p.Command, nil, nil, ch, ch, ch.Stderr())
		_, _ = ch.SendRequest("exit-status", false, gossh.Marshal(struct{ Status uint32 }{uint32(code)}))
		return
	}
}

// run interprets a script. Its files are the host's, its programs those of this file.
func (s *Sandbox) run(ctx context.Context, script string, env, params []string, in io.Reader, out, errs io.Writer) int {
	prog, err := syntax.NewParser().Parse(strings.NewReader(script), "")
	if err != nil {
		_, _ = fmt.Fprintln(errs, "sh:", err)
		return 2
	}
	r, err := interp.New(
		interp.StdIO(in, out, errs),
		interp.Dir("/"),
		interp.Env(expand.ListEnviron(append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "SHELL=/bin/sh", "LANG=C.UTF-8"}, env...)...)),
		interp.Params(append([]string{"--"}, params...)...),
		interp.OpenHandler(s.open),
		interp.StatHandler(func(_ context.Context, name string, _ bool) (fs.FileInfo, error) { return s.fs.Stat(name) }),
		interp.ReadDirHandler2(func(_ context.Context, name string) ([]fs.DirEntry, error) {
			infos, err := afero.ReadDir(s.fs, name)
			var entries []fs.DirEntry
			for _, i := range infos {
				entries = append(entries, fs.FileInfoToDirEntry(i))
			}
			return entries, err
		}),
		interp.CallHandler(func(_ context.Context, args []string) ([]string, error) {
			if args[0] == "umask" { // the interpreter has none
				return []string{"true"}, nil
			}
			return args, nil
		}),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return s.exec }),
	)
	if err != nil {
		_, _ = fmt.Fprintln(errs, "sh:", err)
		return 2
	}
	var status interp.ExitStatus
	switch err := r.Run(ctx, prog); {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	default:
		_, _ = fmt.Fprintln(errs, "sh:", err)
		return 1
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error)    { return 0, io.EOF }
func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Close() error                { return nil }

// open gives the shell files of the memory, and a /dev/null.
func (s *Sandbox) open(_ context.Context, name string, flag int, perm os.FileMode) (io.ReadWriteCloser, error) {
	if name == "/dev/null" {
		return nothing{}, nil
	}
	return s.fs.OpenFile(path.Clean(name), flag, perm)
}
