// Package ssh is the worker that makes a new machine known and runs the one-off commands that hand it to
// configuration management.
//
//	ssh:wait ── first contact by the key of keys:create ──► the host's own keys ──► known_hosts, hostkeys
//	ssh:mount_filesystems, ssh:upgrade_kernel, ssh:reboot, ssh:make_root_keypair
//	ssh:run, ssh:install_…, ssh:run_config_management ── remote.Job ──► each command once, its log followed
//
// Commands run on the host as jobs that outlive the connection and are started once (remote.Job); when Jarvis dies
// in the middle, the next start takes the same job up. A host without a known key is never spoken to.
package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// Config of the worker.
type Config struct {
	User       string                `yaml:"user" doc:"login name on new hosts, when the clipboard has no login; one that is not root becomes root by sudo" default:"root"`
	Key        string                `yaml:"key" path:"relative" doc:"file of Jarvis's private key; empty: DATA/id_ed25519, made at first start and kept in the database for all nodes"`
	Port       int                   `yaml:"port" check:"port" doc:"SSH port of new hosts, when neither the clipboard's login nor the provider (libvirt's forward) names one" default:"22"`
	KnownHosts string                `yaml:"known_hosts" path:"relative" doc:"file that is kept up to date with the hosts' keys, which are in the database for all nodes; empty: DATA/known_hosts"`
	Management map[string]Management `yaml:"config_management" doc:"how to install and run each configuration management; puppet, chef, cinc, salt, ansible-pull and script are there without being named"`
	Default    string                `yaml:"default_config_management" doc:"the one used when the clipboard names none in config_management" default:"puppet"`

	// Ledger keeps what is known of hosts' keys for all nodes; nil: the file alone does.
	Ledger Ledger `yaml:"-"`
	// Passing writes no key where there is none: the worker is made to be looked at.
	Passing bool `yaml:"-"`
	// Through has a target be reached through a silo; nil: every host is reached from here.
	Through func(t *remote.Target, silo string) `yaml:"-"`
}

// Management is one line of the command table. The commands run as root under sh, with JARVIS_HOSTNAME and
// JARVIS_FQDN set.
type Management struct {
	Check   string `yaml:"check" doc:"succeeds when it is installed already; empty: install is always run"`
	Install string `yaml:"install" doc:"installs it on a bare host"`
	Run     string `yaml:"run" doc:"runs it once; its output is followed to the end"`
	OK      []int  `yaml:"ok" doc:"exit codes of run that mean success; empty: 0"`
	Changed []int  `yaml:"changed" doc:"those of ok that mean that it changed something; empty: it does not tell"`
}

// builtin is the command table. Each install line is safe to repeat; what comes from a package needs nothing else, and
// what Debian does not have is fetched from its maker over TLS.
var builtin = map[string]Management{
	// puppet-agent(8), --detailed-exitcodes: 2 says that it changed something.
	"puppet": {
		Check:   "command -v puppet",
		Install: "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && { apt-get -qq -y install puppet-agent || apt-get -qq -y install puppet; }",
		Run:     "puppet agent --test --waitforcert 60 --color false",
		OK:      []int{0, 2},
		Changed: []int{2},
	},
	// https://docs.chef.io/chef_install_script/; the licence is accepted by whoever chooses chef.
	"chef": {
		Check:   "command -v chef-client",
		Install: "curl -fsSL https://omnitruck.chef.io/install.sh | bash -s -- -P chef",
		Run:     "chef-client --once --no-color --chef-license accept",
	},
	// https://cinc.sh/start/client/
	"cinc": {
		Check:   "command -v cinc-client",
		Install: "curl -fsSL https://omnitruck.cinc.sh/install.sh | bash -s -- -P cinc",
		Run:     "cinc-client --once --no-color",
	},
	// https://docs.saltproject.io/salt/install-guide/en/latest/topics/bootstrap.html
	"salt": {
		Check:   "command -v salt-call",
		Install: "curl -fsSL -o /root/bootstrap-salt.sh https://github.com/saltstack/salt-bootstrap/releases/latest/download/bootstrap-salt.sh && sh /root/bootstrap-salt.sh -P stable",
		Run:     "salt-call --no-color --retcode-passthrough state.apply",
	},
	// ansible-pull(1); the image says in a file which repository to pull from.
	"ansible-pull": {
		Check:   "command -v ansible-pull && command -v git",
		Install: "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq -y install ansible-core git",
		Run:     "ANSIBLE_NOCOLOR=1 ansible-pull --url \"$(cat /etc/ansible/pull-url)\"",
	},
	// A script that the image or an earlier command put there.
	"script": {
		Run: "exec /usr/local/sbin/bootstrap",
	},
}

// Worker offers the steps.
type Worker struct {
	cfg    Config
	signer gossh.Signer
	public string // in words: the public half of the key, and where it is
}

// New reads the key, or makes it in data when the configuration names none.
func New(cfg Config, data string) (*Worker, error) {
	if cfg.User == "" {
		cfg.User = "root"
	}
	if strings.ContainsAny(cfg.User, " \t\r\n:/") || strings.HasPrefix(cfg.User, "-") {
		return nil, mistake.At("workers.ssh.user", "is %q, which can be no login name", cfg.User)
	}
	if cfg.Port == 0 {
		cfg.Port = 22
	}
	if cfg.Default == "" {
		cfg.Default = "puppet"
	}
	cfg.KnownHosts = KnownFile(cfg, data)
	table := map[string]Management{}
	for k, v := range builtin {
		table[k] = v
	}
	for k, v := range cfg.Management {
		table[k] = v
	}
	cfg.Management = table
	w := &Worker{cfg: cfg}
	file := KeyFile(cfg, data)
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) && cfg.Key == "" {
		if b, err = remote.NewKey(KeyComment); err == nil && !cfg.Passing {
			if err = remote.PutKey(file, b, KeyComment, false); errors.Is(err, os.ErrExist) { // another process was faster
				b, err = os.ReadFile(file)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the SSH key: %w", err)
	}
	if !cfg.Passing {
		w.public = "the server's key, " + PublicFile(file)
	}
	w.signer, err = gossh.ParsePrivateKey(b)
	var locked *gossh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, fmt.Errorf("the SSH key %s has a passphrase, which a server cannot type; give it a key without", file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not an SSH private key", file)
	}
	return w, nil
}

// KeyComment is what Jarvis's own key is called in lists of keys.
const KeyComment = "jarvis"

// KeyFile says where Jarvis's own key is.
func KeyFile(cfg Config, data string) string {
	return cmp.Or(cfg.Key, filepath.Join(data, "id_ed25519"))
}

// PublicFile says in words where the public half of a key is. Of a key that a person put somewhere it may not lie
// beside it.
func PublicFile(key string) string {
	if abs, err := filepath.Abs(key); err == nil {
		key = abs
	}
	if _, err := os.Stat(key + ".pub"); err != nil {
		return fmt.Sprintf("which `ssh-keygen -y -f %s` prints", key)
	}
	return key + ".pub"
}

// PublicKeyAt says in words where the public half of our key is, for people who put it on hosts.
func (w *Worker) PublicKeyAt() string { return w.public }

// KnownFile says where the file of hosts' keys is.
func KnownFile(cfg Config, data string) string {
	return cmp.Or(cfg.KnownHosts, filepath.Join(data, "known_hosts"))
}

// Signer gives our key for signing, for other workers that log in somewhere.
func (w *Worker) Signer() gossh.Signer { return w.signer }

// PublicKey gives our key as a line of authorized_keys.
func (w *Worker) PublicKey() string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(w.signer.PublicKey()))) + " jarvis"
}

// Steps lists what the worker offers.
func (w *Worker) Steps() []pipeline.Step {
	return []pipeline.Step{w.wait(), w.mountFilesystems(), w.upgradeKernel(), w.reboot(), w.makeRootKeypair(), w.run(),
		w.installConfigManagement(), w.runConfigManagement(), w.forgetHost()}
}

// User gives the login name for hosts whose clipboard names none.
func (w *Worker) User() string { return w.cfg.User }

// login says how a clipboard's host is logged in to: where, and as whom.
func (w *Worker) login(c *clipboard.Clipboard) (addr, user string, err error) {
	a, err := c.Addr("ipaddress")
	if err != nil {
		return "", "", pipeline.Permanent(err)
	}
	l, err := c.Login()
	if err != nil {
		return "", "", pipeline.Permanent(err)
	}
	l = w.over(l)
	return net.JoinHostPort(a.String(), strconv.Itoa(l.Port)), l.User, nil
}

// over fills in what a login leaves open.
func (w *Worker) over(l clipboard.Login) clipboard.Login {
	return clipboard.Login{User: cmp.Or(l.User, w.cfg.User), Port: cmp.Or(l.Port, w.cfg.Port)}
}

func (w *Worker) target(addr, user string, keys []gossh.PublicKey) remote.Target {
	return remote.Target{Addr: addr, User: user, Signers: []gossh.Signer{w.signer}, PublicKey: w.public, HostKeys: remote.Pinned(keys), Timeout: 10 * time.Second}
}

// host is a connection on which everything runs as root: by sudo when somebody else logs in.
type host struct {
	*remote.Client
	sudo *remote.Sudo
}

func sudoFor(user string) *remote.Sudo {
	if user == "root" {
		return nil
	}
	return &remote.Sudo{}
}

// Run runs a command as root.
func (h *host) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	cmd.Sudo = h.sudo
	return h.Client.Run(ctx, cmd)
}

// Job runs a job as root.
func (h *host) Job(ctx context.Context, j remote.Job) (int, error) {
	j.Sudo = h.sudo
	return h.Client.Job(ctx, j)
}

// parseKeys reads lines of authorized_keys form.
func parseKeys(lines []string) ([]gossh.PublicKey, error) {
	var out []gossh.PublicKey
	for _, l := range lines {
		k, _, _, _, err := gossh.ParseAuthorizedKey([]byte(l))
		if err != nil {
			return nil, fmt.Errorf("%q is not a host key", l)
		}
		out = append(out, k)
	}
	return out, nil
}

// dial opens a connection to a host whose own keys are known, for the steps after ssh:wait. A host that does not
// answer is waited for: it may be rebooting.
func (w *Worker) dial(ctx context.Context, c *clipboard.Clipboard) (*host, error) {
	addr, user, err := w.login(c)
	if err != nil {
		return nil, err
	}
	lines, err := c.Strings("hostkeys")
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	keys, err := parseKeys(lines)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	return w.open(ctx, w.via(c, w.target(addr, user, keys)))
}

// via has a target be reached through the silo in which the clipboard says that its host stands.
func (w *Worker) via(c *clipboard.Clipboard, t remote.Target) remote.Target {
	if silo := pipeline.SiloOfHost(c); silo != "" && w.cfg.Through != nil {
		w.cfg.Through(&t, silo)
	}
	return t
}

// open connects to a host.
func (w *Worker) open(ctx context.Context, t remote.Target) (*host, error) {
	cl, err := remote.Dial(ctx, t)
	if err != nil {
		return nil, w.classify(ctx, t.Addr, err)
	}
	return &host{cl, sudoFor(t.User)}, nil
}

// Shell connects to the clipboard's host and runs scripts there, for package converge.
func (w *Worker) Shell(ctx context.Context, c *clipboard.Clipboard) (remote.Shell, func(), error) {
	cl, err := w.dial(ctx, c)
	if err != nil {
		return remote.Shell{}, nil, err
	}
	return remote.Shell{Client: cl.Client, Sudo: cl.sudo}, func() { _ = cl.Close() }, nil
}

// classify says what an error of Dial means to a step.
func (w *Worker) classify(ctx context.Context, addr string, err error) error {
	var wrong *remote.HostKeyError
	var login *remote.LoginError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case errors.As(err, &wrong):
		return pipeline.Permanent(err)
	case errors.As(err, &login): // one that boots does not have our key yet
		why := *login
		why.PublicKey = ""
		return pipeline.Wait(pause(ctx), fmt.Sprintf("%s (yet); if it stays so, put %s, into the authorized_keys of %s there", why.Error(), login.PublicKey, login.User))
	case errors.Is(err, remote.ErrRefused):
		return pipeline.Wait(pause(ctx), err.Error()+" (yet)")
	default:
		return pipeline.Wait(pause(ctx), fmt.Sprintf("nothing on %s yet (%s)", addr, strings.TrimPrefix(err.Error(), remote.ErrUnreachable.Error()+": ")))
	}
}

// pause grows with the time waited, so that a host which comes soon is seen soon, and a thousand that never come
// cost little.
func pause(ctx context.Context) time.Duration {
	return min(max(pipeline.FactsOf(ctx).Waited/8, 500*time.Millisecond), 30*time.Second)
}
