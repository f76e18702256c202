package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	gogitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/go-git/go-git/v5/storage/memory"
	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

// login is go-git's AuthMethod with our key and a verified host key.
type login struct {
	user   string
	signer gossh.Signer
	known  *remote.KnownHosts
	addr   string
	alarm  error // why the host's key was refused
}

var _ gogitssh.AuthMethod = (*login)(nil)

func (l *login) Name() string   { return "jarvis-public-key" }
func (l *login) String() string { return l.user }

func (l *login) ClientConfig() (*gossh.ClientConfig, error) {
	check := func(_ string, _ net.Addr, key gossh.PublicKey) error {
		l.alarm = guard.Call(func() error { return l.known.Check(l.addr, key) }) // in a goroutine of the library's
		return l.alarm
	}
	return &gossh.ClientConfig{User: l.user, Auth: []gossh.AuthMethod{gossh.PublicKeys(l.signer)}, HostKeyCallback: check,
		HostKeyAlgorithms: l.known.Algorithms(l.addr), Timeout: 20 * time.Second}, nil
}

// knownHosts gives what is known of the git host's key, and the file in which it is to be written down.
func (w *Worker) knownHosts(ctx context.Context) (*remote.KnownHosts, string, error) {
	file := cmp.Or(w.cfg.Gitolite.KnownHosts, filepath.Join(w.cfg.Data, "known_hosts"))
	if file == w.cfg.KnownFile {
		k, err := w.cfg.Known(ctx)
		return k, file, err
	}
	k := remote.NewKnownHosts(file)
	if err := k.Err(); err != nil {
		return nil, file, pipeline.Permanent(err)
	}
	return k, file, nil
}

func (w *Worker) login(known *remote.KnownHosts, file string) (*login, error) {
	u, err := url.Parse(w.cfg.Gitolite.Admin)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "22"
	}
	l := &login{user: u.User.Username(), signer: w.cfg.Signer, known: known, addr: net.JoinHostPort(u.Hostname(), port)}
	if l.known.Algorithms(l.addr) == nil {
		return nil, fmt.Errorf("the key of the git host %s is not known; add it to %s, as ssh-keyscan prints it, after checking it", l.addr, file)
	}
	if w.cfg.Gitolite.Key != "" {
		b, err := os.ReadFile(w.cfg.Gitolite.Key)
		if err != nil {
			return nil, fmt.Errorf("read workers.keys.gitolite.key: %w", err)
		}
		if l.signer, err = gossh.ParsePrivateKey(b); err != nil {
			return nil, fmt.Errorf("workers.keys.gitolite.key (%s): %w", w.cfg.Gitolite.Key, err)
		}
	}
	return l, nil
}

// user is gitolite's name for the host.
func (w *Worker) user(in clipboard.Instance) string {
	return strings.NewReplacer("HOSTNAME", in.Hostname, "FQDN", in.FQDN).Replace(w.cfg.Gitolite.User)
}

// whoseKey gives the full name that a host's key says it is of: ssh:make_root_keypair writes root@FQDN as its comment. ""
// when it says none.
func whoseKey(line string) string {
	f := strings.Fields(line)
	if len(f) < 3 {
		return ""
	}
	name, ok := strings.CutPrefix(f[2], "root@")
	if !ok || clipboard.CheckName(name) != nil {
		return ""
	}
	return strings.ToLower(name)
}

// signed gives the key with the host's full name as its comment.
func signed(key string, in clipboard.Instance) string {
	f := strings.Fields(key)
	return strings.Join(f[:min(2, len(f))], " ") + " root@" + in.FQDN
}

// ours refuses a key that is not the host's: neither says its comment so, nor is it one that the host's runs made. Two hosts
// of one short name share gitolite's name for them, unless workers.keys.gitolite.user says FQDN; and somebody may have put a
// key there by hand.
func (w *Worker) ours(ctx context.Context, c *clipboard.Clipboard, in clipboard.Instance, name, key string) error {
	whose := whoseKey(key)
	if key == "" || whose == in.FQDN {
		return nil
	}
	made, known, err := pipeline.Given(ctx, "make_root_keypair", "root_pubkey")
	if err != nil {
		return err
	}
	if !known { // by hand there is no record, and the clipboard is asked
		made = []string{c.Get("root_pubkey")}
	}
	if slices.ContainsFunc(made, func(m string) bool { return withoutComment(m) != "" && withoutComment(m) == withoutComment(key) }) {
		return nil
	}
	is := "no key that a run of " + in.FQDN + " made, and does not say that it is"
	if whose != "" {
		is = "the key of " + whose + ", not of " + in.FQDN
	}
	return pipeline.Permanentf("%s at %s is %s: %w; remove it there if it is not needed, or set workers.keys.gitolite.user to root-FQDN, or give the host another name", name, w.cfg.Gitolite.Admin, is, errForeign)
}

// errForeign: the key that is there is not the host's.
var errForeign = errors.New("nothing is written")

// checkout is the admin repository in memory, with the key that is there under a host's name, "" for none.
type checkout struct {
	auth *login
	repo *git.Repository
	tree billy.Filesystem
	name string // of the key's file
	key  string
}

func (w *Worker) checkout(ctx context.Context, in clipboard.Instance) (*checkout, error) {
	known, file, err := w.knownHosts(ctx)
	if err != nil {
		return nil, err
	}
	auth, err := w.login(known, file)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	co := &checkout{auth: auth, tree: memfs.New(), name: path.Join(w.cfg.Gitolite.Dir, w.user(in)+".pub")}
	if co.repo, err = git.CloneContext(ctx, memory.NewStorage(), co.tree, &git.CloneOptions{URL: w.cfg.Gitolite.Admin, Auth: auth, SingleBranch: true, Tags: git.NoTags}); err != nil {
		return nil, w.sayGit(auth, "clone", err)
	}
	if co.key, err = readFile(co.tree, co.name); err != nil {
		return nil, fmt.Errorf("read %s: %w", co.name, err)
	}
	return co, nil
}

// gitolite clones the admin repository into memory, asks change for the key that should be there in place of the one
// that is ("" for none), and pushes. Somebody else's push meanwhile is an error that the next try cures.
func (w *Worker) gitolite(ctx context.Context, c *clipboard.Clipboard, in clipboard.Instance, change func(before string) (string, error)) (changed bool, err error) {
	w.push.Lock()
	defer w.push.Unlock()
	co, err := w.checkout(ctx, in)
	if err != nil {
		return false, err
	}
	tree, name, before := co.tree, co.name, co.key
	if err := w.ours(ctx, c, in, name, before); err != nil {
		return false, err
	}
	after, err := change(before)
	if err != nil || after == before {
		return false, err
	}
	wt, err := co.repo.Worktree()
	if err != nil {
		return false, err
	}
	what := "key of " + in.FQDN
	if after == "" {
		what = "no " + what
		_, err = wt.Remove(name)
	} else if err = util.WriteFile(tree, name, []byte(after+"\n"), 0o644); err == nil {
		_, err = wt.Add(name)
	}
	if err != nil {
		return false, fmt.Errorf("change %s: %w", name, err)
	}
	who := &object.Signature{Name: "jarvis", Email: "jarvis@localhost", When: time.Now()}
	if _, err := wt.Commit(what+"\n\n"+pipeline.FactsOf(ctx).Token+", by "+pipeline.FactsOf(ctx).By+"\n", &git.CommitOptions{Author: who, Committer: who}); err != nil {
		return false, fmt.Errorf("commit %s: %w", name, err)
	}
	if err := co.repo.PushContext(ctx, &git.PushOptions{Auth: co.auth}); err != nil {
		return false, w.sayGit(co.auth, "push to", err)
	}
	return true, nil
}

// readFile gives a file's content without its last newline; "" when it is not there.
func readFile(tree billy.Filesystem, name string) (string, error) {
	b, err := util.ReadFile(tree, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// sayGit puts go-git's errors into words.
func (w *Worker) sayGit(auth *login, what string, err error) error {
	var key *gossh.ServerAuthError
	text := err.Error()
	switch {
	case auth.alarm != nil:
		return pipeline.Permanentf("%s %s: %w", what, w.cfg.Gitolite.Admin, auth.alarm)
	case strings.Contains(text, "unable to authenticate"), errors.As(err, &key):
		return pipeline.Permanentf("%s %s: the git host does not take our key; give it %s", what, w.cfg.Gitolite.Admin, w.cfg.PublicKey)
	case strings.Contains(text, "DENIED"), strings.Contains(text, "repository not found"), strings.Contains(text, "authentication required"), strings.Contains(text, "authorization"):
		return pipeline.Permanentf("%s %s: gitolite does not let us; our key must be an admin's", what, w.cfg.Gitolite.Admin)
	}
	return fmt.Errorf("%s %s: %w", what, w.cfg.Gitolite.Admin, err)
}
