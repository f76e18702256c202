// Package gitcmd runs git(1) with nobody's configuration, no hooks and no prompts, so that it does the same on every
// machine.
//
//	Run, Feed ──► git ──► the transports of git
//	Over      ──► git ──► a connection of the caller's, who knows the host and its key
//
// It keeps no state. A command that is given up gets an interrupt first, so that git removes its lock files.
//
// Why not go-git, or ssh(1): docs/adr/0008-git-over-our-own-ssh.md
package gitcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Repo is a repository on this machine, or the directory where one is to be.
type Repo struct {
	Dir    string
	Config []string // more of git's configuration: name=value
	SSH    string   // the command line of ssh, as GIT_SSH_COMMAND has it; "": git's own
	Login  Login
}

// Login is as whom git logs in at a server over HTTP. It goes to git in the environment, which only we can read: every
// user of the machine reads arguments, and a URL with a login is one, of git and of what it starts.
type Login struct {
	At             string // the server, https://HOST[:PORT]; "": there is none
	User, Password string
}

// helper answers git when a server asks who it is; `get` is the question among those that git has.
const helper = `!f() { if [ "$1" = get ]; then printf 'username=%s\npassword=%s\n' "$JARVIS_GIT_USER" "$JARVIS_GIT_PASSWORD"; fi; }; f`

// timeout bounds one command; a first clone of a big repository takes the longest.
const timeout = 15 * time.Minute

// endTime is how long the other side of Over may take to end after git has.
const endTime = 10 * time.Second

// Error is what git said of a command that failed.
type Error struct{ Verb, Text string }

// Error implements error.
func (e *Error) Error() string { return "git " + e.Verb + ": " + e.Text }

// Run gives what a git command prints, without the last newline. The error is an *Error where git itself failed.
func (r Repo) Run(ctx context.Context, args ...string) (string, error) {
	return r.Feed(ctx, "", args...)
}

// Feed is Run for a command that reads stdin.
func (r Repo) Feed(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := r.command(ctx, args)
	cmd.Stdin = strings.NewReader(stdin)
	return run(ctx, cmd, args)
}

// Over is Run for a command that speaks with a repository elsewhere, whose URL must be one of ssh. serve gives git's
// words to that side and that side's to git, and returns when it has ended; its error counts when git failed.
func (r Repo) Over(ctx context.Context, serve func(ctx context.Context, in io.Reader, out io.Writer) error, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	fromGit, gitSays, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer func() { _ = fromGit.Close() }()
	gitHears, toGit, err := os.Pipe()
	if err != nil {
		_ = gitSays.Close()
		return "", err
	}
	cmd := r.command(ctx, args)
	// In ssh's place stand two copies, from and to the pipes that we hold: 3 and 4 there. As ssh, it ends when the
	// other side has.
	cmd.Env = append(cmd.Env, "GIT_SSH_VARIANT=ssh", "GIT_SSH_COMMAND=sh -c 'exec 5<&0; cat <&5 >&4 3<&- & exec cat <&3 4>&- 5<&-'")
	cmd.ExtraFiles = []*os.File{gitHears, gitSays}
	served := make(chan error, 1)
	guard.Send(served, func() error {
		defer func() { _ = toGit.Close() }()
		return serve(ctx, fromGit, toGit)
	})
	out, err := runThen(ctx, cmd, args, func() { _, _ = gitHears.Close(), gitSays.Close() })
	late := time.AfterFunc(endTime, guard.Func(guard.Count, cancel))
	defer late.Stop()
	if serr := <-served; err != nil && serr != nil && !errors.Is(serr, syscall.EPIPE) { // that git has gone is no news
		return "", errors.Join(serr, err)
	}
	return out, err
}

// command makes a git that reads nobody's configuration, runs no hooks, asks nothing, and leaves nothing running.
func (r Repo) command(ctx context.Context, args []string) *exec.Cmd {
	var all []string
	config := r.Config
	if r.Login.At != "" {
		config = append(slices.Clip(config), "credential."+r.Login.At+".helper="+helper)
	}
	for _, c := range append([]string{"core.hooksPath=/dev/null", "protocol.ext.allow=never", "gc.autoDetach=false", "maintenance.autoDetach=false", "advice.pushUpdateRejected=false", "advice.statusHints=false", "user.name=jarvis", "user.email=jarvis@localhost", "safe.directory=*"}, config...) {
		all = append(all, "-c", c)
	}
	cmd := exec.CommandContext(ctx, "git", append(append(all, "-C", r.Dir), args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	// What a hook or a shell around us set would lead git elsewhere.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	cmd.Env = append(cmd.Env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false", "LC_ALL=C")
	if r.Login.At != "" {
		cmd.Env = append(cmd.Env, "JARVIS_GIT_USER="+r.Login.User, "JARVIS_GIT_PASSWORD="+r.Login.Password)
	}
	if r.SSH != "" {
		cmd.Env = append(cmd.Env, "GIT_SSH_COMMAND="+r.SSH)
	}
	return cmd
}

func run(ctx context.Context, cmd *exec.Cmd, args []string) (string, error) {
	return runThen(ctx, cmd, args, func() {})
}

// runThen calls begun when git has begun, or could not.
func runThen(ctx context.Context, cmd *exec.Cmd, args []string, begun func()) (string, error) {
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Start()
	begun()
	if err == nil {
		err = cmd.Wait()
	}
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("git is not installed; `apt-get install git`")
	}
	if err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		text := strings.TrimSpace(errs.String())
		if text == "" {
			text = err.Error()
		}
		return "", &Error{verb(args), plain.Line(plain.Joined(text))}
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// verb gives the git command of its words.
func verb(args []string) string {
	for len(args) > 2 && args[0] == "-c" {
		args = args[2:]
	}
	return args[0]
}

// Blob is a file as a commit has it.
type Blob struct {
	Hash string // "" when it is not there
	Text []byte
}

// Files gives files of commits, each named as COMMIT:PATH, by two processes however many they are. Of a file that comes
// twice the text is read once.
func (r Repo) Files(ctx context.Context, names []string) ([]Blob, error) {
	hashes, err := r.Feed(ctx, strings.Join(names, "\n")+"\n", "cat-file", "--batch-check=%(objecttype) %(objectname)")
	if err != nil {
		return nil, err
	}
	said := strings.Split(hashes, "\n")
	if len(said) != len(names) {
		return nil, fmt.Errorf("git cat-file: %d answers to %d questions", len(said), len(names))
	}
	out, ask := make([]Blob, len(names)), []string{}
	for i, s := range said {
		if kind, hash, _ := strings.Cut(s, " "); kind == "blob" {
			out[i].Hash, ask = hash, append(ask, hash)
		}
	}
	slices.Sort(ask)
	if ask = slices.Compact(ask); len(ask) == 0 {
		return out, nil
	}
	rest, err := r.Feed(ctx, strings.Join(ask, "\n")+"\n", "cat-file", "--batch")
	if err != nil {
		return nil, err
	}
	rest += "\n"
	texts := map[string][]byte{}
	for _, hash := range ask {
		head, after, _ := strings.Cut(rest, "\n")
		var size int
		if _, err := fmt.Sscanf(head, hash+" blob %d", &size); err != nil || size > len(after) {
			return nil, fmt.Errorf("git cat-file: it says %q of %s", plain.Line(head), hash)
		}
		texts[hash], rest = []byte(after[:size]), strings.TrimPrefix(after[size:], "\n")
	}
	for i := range out {
		out[i].Text = texts[out[i].Hash]
	}
	return out, nil
}
