package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/gitcmd"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
)

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

// connect logs in at the git host, whose key is verified.
func (w *Worker) connect(ctx context.Context) (*remote.Client, error) {
	known, file, err := w.knownHosts(ctx)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(w.cfg.Gitolite.Admin)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	addr := net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "22"))
	if known.Algorithms(addr) == nil {
		return nil, pipeline.Permanentf("the key of the git host %s is not known; add it to %s, as ssh-keyscan prints it, after checking it", addr, file)
	}
	signer := w.cfg.Signer
	if w.cfg.Gitolite.Key != "" {
		b, err := os.ReadFile(w.cfg.Gitolite.Key)
		if err != nil {
			return nil, pipeline.Permanentf("read workers.keys.gitolite.key: %w", err)
		}
		if signer, err = gossh.ParsePrivateKey(b); err != nil {
			return nil, pipeline.Permanentf("workers.keys.gitolite.key (%s): %w", w.cfg.Gitolite.Key, err)
		}
	}
	conn, err := remote.Dial(ctx, remote.Target{Addr: addr, User: u.User.Username(), HostKeys: known, Signers: []gossh.Signer{signer}, Timeout: 20 * time.Second})
	var wrong *remote.HostKeyError
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, remote.ErrRefused):
		return nil, pipeline.Permanentf("the git host %s does not take our key; give it %s", addr, w.cfg.PublicKey)
	case errors.As(err, &wrong), errors.Is(err, remote.ErrUnknownHost):
		return nil, pipeline.Permanent(err)
	}
	return nil, fmt.Errorf("the git host %s: %w", addr, err)
}

// user is gitolite's name for the host.
func (w *Worker) user(in clipboard.Instance) string {
	return strings.NewReplacer("HOSTNAME", in.Hostname, "FQDN", in.FQDN).Replace(w.cfg.Gitolite.User)
}

// whoseKey gives the full name that a host's key says it is of: ssh:make_root_keypair writes root@FQDN as its comment.
// "" when it says none.
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

// ours refuses a key that is not the host's: neither says its comment so, nor is it one that the host's runs made. Two
// hosts of one short name share gitolite's name for them, unless workers.keys.gitolite.user says FQDN; and somebody may
// have put a key there by hand.
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

// checkout is a copy of the admin repository, with the key that is there under a host's name, "" for none.
type checkout struct {
	conn   *remote.Client
	url    *url.URL
	repo   gitcmd.Repo
	branch string // what is pushed to
	name   string // of the key's file
	key    string
}

// checkout makes the copy that close removes.
func (w *Worker) checkout(ctx context.Context, in clipboard.Instance) (*checkout, error) {
	co := &checkout{name: path.Join(w.cfg.Gitolite.Dir, w.user(in)+".pub")}
	if err := w.open(ctx, co); err != nil {
		co.close()
		return nil, err
	}
	return co, nil
}

// open fills a checkout, which is to be closed after an error too.
func (w *Worker) open(ctx context.Context, co *checkout) (err error) {
	if co.url, err = url.Parse(w.cfg.Gitolite.Admin); err != nil {
		return pipeline.Permanent(err)
	}
	if co.conn, err = w.connect(ctx); err != nil {
		return err
	}
	sweep()
	if co.repo.Dir, err = os.MkdirTemp("", copyPrefix); err != nil {
		return err
	}
	if err := co.over(ctx, "git-upload-pack", "clone", "--quiet", "--bare", "--depth", "1", "--no-tags", "--", w.cfg.Gitolite.Admin, "."); err != nil {
		return w.sayGit("clone", err)
	}
	if co.branch, err = co.repo.Run(ctx, "symbolic-ref", "HEAD"); err != nil {
		return err
	}
	files, err := co.repo.Files(ctx, []string{"HEAD:" + co.name})
	if err != nil {
		return fmt.Errorf("read %s: %w", co.name, err)
	}
	co.key = strings.TrimSpace(string(files[0].Text))
	return nil
}

// copyPrefix begins the names of our copies among the temporary files.
const copyPrefix = "jarvis-gitolite-"

// sweep removes copies that a process which was killed has left: none lives so long.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), copyPrefix+"*"))
	for _, dir := range left {
		if st, err := os.Lstat(dir); err == nil && st.IsDir() && time.Since(st.ModTime()) > 2*hostTime {
			_ = os.RemoveAll(dir) // one of another user stays
		}
	}
}

func (co *checkout) close() {
	if co.repo.Dir != "" {
		_ = os.RemoveAll(co.repo.Dir)
	}
	if co.conn != nil {
		_ = co.conn.Close()
	}
}

// hostTime is how long a git host may take for one answer, so that one that hangs holds up the others no longer.
const hostTime = 2 * time.Minute

var errSilent = fmt.Errorf("the git host did not end within %s", hostTime)

// over runs a git command that speaks with a service of the git host, over our connection.
func (co *checkout) over(ctx context.Context, service string, args ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, hostTime, errSilent)
	defer cancel()
	_, err := co.repo.Over(ctx, func(ctx context.Context, in io.Reader, out io.Writer) error {
		// gitolite wants the path between quotes; New refuses one that holds any.
		r, err := co.conn.Run(ctx, remote.Command{Line: service + " '" + co.url.Path + "'", Stdin: in, Output: out})
		if err == nil && r.Exit != 0 {
			err = errors.New(plain.Line(strings.TrimSpace(r.Stderr)))
		}
		return err
	}, args...)
	return err
}

// gitolite makes a copy of the admin repository, asks change for the key that should be there in place of the one
// that is ("" for none), and pushes. Somebody else's push meanwhile is an error that the next try cures.
func (w *Worker) gitolite(ctx context.Context, c *clipboard.Clipboard, in clipboard.Instance, change func(before string) (string, error)) (changed bool, err error) {
	select {
	case w.push <- struct{}{}:
		defer func() { <-w.push }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	co, err := w.checkout(ctx, in)
	if err != nil {
		return false, err
	}
	defer co.close()
	if err := w.ours(ctx, c, in, co.name, co.key); err != nil {
		return false, err
	}
	after, err := change(co.key)
	if err != nil || after == co.key {
		return false, err
	}
	what := "key of " + in.FQDN
	if after == "" {
		what = "no " + what
	}
	commit, err := co.commit(ctx, after, what+"\n\n"+pipeline.FactsOf(ctx).Token+", by "+pipeline.FactsOf(ctx).By+"\n")
	if err != nil {
		return false, fmt.Errorf("change %s: %w", co.name, err)
	}
	if err := co.over(ctx, "git-receive-pack", "push", "--quiet", "--", w.cfg.Gitolite.Admin, commit+":"+co.branch); err != nil {
		return false, w.sayGit("push to", err)
	}
	return true, nil
}

// commit makes a commit after HEAD in which the file holds another key, or is gone.
func (co *checkout) commit(ctx context.Context, key, message string) (string, error) {
	entry := "0 0000000000000000000000000000000000000000\t" + co.name + "\x00" // takes it away (git-update-index(1), --index-info)
	if key != "" {
		hash, err := co.repo.Feed(ctx, key+"\n", "hash-object", "-w", "--stdin")
		if err != nil {
			return "", err
		}
		entry = "100644 " + hash + "\t" + co.name + "\x00"
	}
	if _, err := co.repo.Run(ctx, "read-tree", "HEAD"); err != nil {
		return "", err
	}
	if _, err := co.repo.Feed(ctx, entry, "update-index", "-z", "--index-info"); err != nil {
		return "", err
	}
	tree, err := co.repo.Run(ctx, "write-tree")
	if err != nil {
		return "", err
	}
	return co.repo.Feed(ctx, message, "commit-tree", "-p", "HEAD", tree)
}

// sayGit puts into words what git and the git host said.
func (w *Worker) sayGit(what string, err error) error {
	if text := err.Error(); strings.Contains(text, "DENIED") || strings.Contains(text, "FATAL: ") && strings.Contains(text, "mis-spelled") {
		return pipeline.Permanentf("%s %s: gitolite does not let us; our key must be an admin's", what, w.cfg.Gitolite.Admin)
	}
	var git *gitcmd.Error
	if errors.As(err, &git) && strings.Contains(git.Text, "[rejected]") {
		return fmt.Errorf("%s %s: somebody else pushed in the same moment; nothing was written, and the next try takes that in", what, w.cfg.Gitolite.Admin)
	}
	return fmt.Errorf("%s %s: %w", what, w.cfg.Gitolite.Admin, err)
}
