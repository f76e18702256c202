package tasklog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jarvisops/jarvis/internal/gitcmd"
	"github.com/jarvisops/jarvis/remote"
)

// git is a bare copy of one repository.
type git struct {
	cfg *Config
	dir string
}

// at gives git in a directory. A signature is one of allowed_signers, or none: OpenPGP and X.509 would be asked of
// whatever keys the server's user happens to know.
func (g *git) at(dir string) gitcmd.Repo {
	ssh := "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + remote.Quote(g.cfg.KnownHosts)
	if g.cfg.Key != "" {
		ssh += " -o IdentitiesOnly=yes -i " + remote.Quote(g.cfg.Key)
	}
	_, login := withoutSecret(g.cfg.Repo)
	return gitcmd.Repo{Dir: dir, SSH: ssh, Login: login, Config: []string{"gpg.format=ssh", "gpg.program=/bin/false", "gpg.openpgp.program=/bin/false", "gpg.x509.program=/bin/false", "gpg.ssh.allowedSignersFile=" + g.cfg.AllowedSigners}}
}

// url is where the repository is, without who logs in there.
func (g *git) url() string {
	clean, _ := withoutSecret(g.cfg.Repo)
	return clean
}

// run gives what a git command prints, without the last newline.
func (g *git) run(ctx context.Context, args ...string) (string, error) {
	return g.at(g.dir).Run(ctx, args...)
}

func (g *git) feed(ctx context.Context, stdin string, args ...string) (string, error) {
	return g.at(g.dir).Feed(ctx, stdin, args...)
}

// fetch brings the copy up to date, making it first.
func (g *git) fetch(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(g.dir, "HEAD")); err != nil {
		if err := os.MkdirAll(g.dir, 0o700); err != nil {
			return err
		}
		if _, err := g.run(ctx, "init", "--quiet", "--bare"); err != nil {
			return err
		}
	}
	_, err := g.run(ctx, "fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--", g.url(), "+refs/heads/*:refs/remotes/origin/*", "+refs/jarvis/*:refs/jarvis/*")
	return err
}

// commit gives the commit that a ref names; "" when there is none.
func (g *git) commit(ctx context.Context, ref string) (string, error) {
	out, err := g.run(ctx, "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	var ge *gitcmd.Error
	if errors.As(err, &ge) {
		return "", nil
	}
	return out, err
}

// within reports whether a commit is another one or before it.
func (g *git) within(ctx context.Context, commit, head string) (bool, error) {
	out, err := g.run(ctx, "rev-list", "-n", "1", commit, "^"+head)
	return err == nil && out == "", err
}

// heads gives the commits of the branches of what is wanted and of what is done; "" for one that is not there.
func (g *git) heads(ctx context.Context) (wanted, done string, err error) {
	names := []string{g.cfg.Branch}
	if g.cfg.Branch == "" {
		names = []string{"main", "master"}
	}
	for _, n := range names {
		if wanted, err = g.commit(ctx, "refs/remotes/origin/"+n); err != nil || wanted != "" {
			break
		}
	}
	if err == nil {
		done, err = g.commit(ctx, "refs/remotes/origin/"+g.cfg.Done)
	}
	return wanted, done, err
}

// inherit makes the branch of what is done, where it is not there, from the one that all environments shared.
func (g *git) inherit(ctx context.Context) error {
	if g.cfg.inherits == "" {
		return nil
	}
	if own, err := g.commit(ctx, "refs/remotes/origin/"+g.cfg.Done); err != nil || own != "" {
		return err
	}
	shared, err := g.commit(ctx, "refs/remotes/origin/"+g.cfg.inherits)
	if err != nil || shared == "" {
		return err
	}
	branch := "refs/heads/" + g.cfg.Done
	// It must not be there yet: another server may do the same, and then its branch counts.
	if _, err := g.run(ctx, "push", "--quiet", "--no-verify", "--force-with-lease="+branch+":", "--", g.url(), shared+":"+branch); err != nil {
		if ferr := g.fetch(ctx); ferr != nil {
			return errors.Join(err, ferr)
		}
		if own, cerr := g.commit(ctx, "refs/remotes/origin/"+g.cfg.Done); cerr != nil || own == "" {
			return fmt.Errorf("the branch %s cannot be made: %w", g.cfg.Done, err)
		}
		return nil
	}
	return g.fetch(ctx)
}

// lines gives what a command prints, line by line.
func (g *git) lines(ctx context.Context, args ...string) ([]string, error) {
	out, err := g.run(ctx, args...)
	if err != nil || out == "" {
		return nil, err
	}
	return strings.Split(out, "\n"), nil
}

// checkout makes a folder with a commit's files, as a clone that shares the copy's objects.
func (g *git) checkout(ctx context.Context, commit, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if _, err := g.run(ctx, "clone", "--quiet", "--shared", "--no-checkout", "--", g.dir, dir); err != nil {
		return err
	}
	at := g.at(dir)
	if _, err := at.Run(ctx, "checkout", "--quiet", "--force", "--detach", commit); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(dir, ".gitmodules")); err != nil {
		return nil // there are none
	}
	// Where a submodule is may be told relative to the repository. One that is a path leads elsewhere on this machine
	// only where the repository is one itself.
	args := []string{"submodule", "--quiet", "update", "--init", "--recursive", "--force"}
	if !strings.Contains(g.cfg.Repo, ":") {
		args = append([]string{"-c", "protocol.file.allow=always"}, args...)
	}
	// The task reads this checkout: what it holds names no password.
	if _, err := at.Run(ctx, "remote", "set-url", "origin", g.url()); err != nil {
		return err
	}
	_, err := at.Run(ctx, args...)
	return err
}

// claimRef is the ref that says who runs a task.
func (g *git) claimRef(id string) string { return "refs/jarvis/" + g.cfg.Env + "/" + id }

// emptyTree is the hash of a tree with nothing in it.
const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

// claim makes the task's ref on the server, if nobody has. by says who has it now.
func (g *git) claim(ctx context.Context, id, me string) (by string, err error) {
	if by, err = g.claimedBy(ctx, id); err != nil || by != "" {
		return by, err
	}
	if _, err := g.feed(ctx, "", "hash-object", "-w", "-t", "tree", "--stdin"); err != nil { // the empty one
		return "", err
	}
	commit, err := g.feed(ctx, me+"\n\nclaims the task "+id+", so that no other server runs it\n", "commit-tree", emptyTree)
	if err != nil {
		return "", err
	}
	ref := g.claimRef(id)
	perr := g.push(ctx, func(ctx context.Context) (bool, error) {
		by, err := g.claimedBy(ctx, id)
		return by != "", err
	}, "push", "--quiet", "--no-verify", "--force-with-lease="+ref+":", "--", g.url(), commit+":"+ref)
	var no *Trouble
	if errors.As(perr, &no) { // and not because somebody has it
		return "", troublef("the git server refuses the ref %s, by which Jarvis says that it runs a task: %s; let Jarvis push to refs/jarvis/*", ref, no.Msg)
	}
	if perr != nil && !errors.Is(perr, errMoved) {
		return "", perr
	}
	if err := g.fetch(ctx); err != nil {
		return "", err
	}
	return g.claimedBy(ctx, id)
}

// claimedBy gives who claimed a task, as far as the last fetch saw.
func (g *git) claimedBy(ctx context.Context, id string) (string, error) {
	c, err := g.commit(ctx, g.claimRef(id))
	if err != nil || c == "" {
		return "", err
	}
	return g.run(ctx, "log", "-1", "--format=%s", c)
}

// Trailers of the commits on the done branch.
const (
	trailerTask    = "Jarvis-Task"
	trailerEnv     = "Jarvis-Env" // another environment may have a task of the same commit and position
	trailerOutcome = "Jarvis-Outcome"
)

// moveDone puts a commit on the done branch, and takes the claims of its tasks away, in one push. merge is the commit
// of the wanted branch that is now done as a whole; "" while tasks of it are left. ErrMoved when somebody else moved
// it.
func (g *git) moveDone(ctx context.Context, done, merge, message string, claims []string) error {
	tree, args := done+"^{tree}", []string{"commit-tree", "-p", done}
	if merge != "" {
		tree = merge + "^{tree}"
		args = append(args, "-p", merge)
	}
	hash, err := g.run(ctx, "rev-parse", tree)
	if err != nil {
		return err
	}
	commit, err := g.feed(ctx, message, append(args, hash)...)
	if err != nil {
		return err
	}
	branch := "refs/heads/" + g.cfg.Done
	push := []string{"push", "--quiet", "--no-verify", "--atomic", "--force-with-lease=" + branch + ":" + done, "--", g.url(), commit + ":" + branch}
	for _, id := range claims {
		if by, err := g.claimedBy(ctx, id); err == nil && by != "" {
			push = append(push, ":"+g.claimRef(id))
		}
	}
	if err := g.push(ctx, func(ctx context.Context) (bool, error) {
		_, now, err := g.heads(ctx)
		return now != done, err
	}, push...); err != nil {
		var no *Trouble
		if errors.As(err, &no) {
			return troublef("the git server refuses to move the branch %s: %s; let Jarvis push there (a protected branch, a key that may only read?)", g.cfg.Done, no.Msg)
		}
		return err
	}
	return g.fetch(ctx)
}

// push pushes. When the server is there and refuses it twice that is a *Trouble with what it says; errMoved when moved,
// which is asked after a fetch, says so.
func (g *git) push(ctx context.Context, moved func(context.Context) (bool, error), push ...string) error {
	for again := false; ; again = true {
		_, err := g.run(ctx, push...)
		var ge *gitcmd.Error
		if !errors.As(err, &ge) {
			return err
		}
		if ferr := g.fetch(ctx); ferr != nil {
			return errors.Join(err, ferr)
		}
		if is, merr := moved(ctx); merr != nil {
			return errors.Join(err, merr)
		} else if is {
			return errMoved
		}
		if again {
			return &Trouble{refusal(ge.Text)}
		}
	}
}

// refusal gives why a push was refused, of all that git says: what the server's hooks said, or the words after the ref.
func refusal(text string) string {
	said, refs, _ := strings.Cut(" "+text, " To ")
	if said = strings.TrimSpace(said); said != "" {
		return said
	}
	refs, _, _ = strings.Cut(refs, " error: failed to push")
	if _, first, ok := strings.Cut(refs, "! "); ok {
		first, _, _ = strings.Cut(first, " ! ")
		return first
	}
	return text
}

// errMoved: somebody else moved the done branch meanwhile.
var errMoved = errors.New("somebody else moved it")
