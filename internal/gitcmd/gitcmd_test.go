package gitcmd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// far is a repository elsewhere with one commit, and a repository here.
func far(t *testing.T) (dir string, here Repo) {
	t.Helper()
	there := Repo{Dir: t.TempDir()}
	if _, err := there.Run(t.Context(), "init", "--quiet", "--bare", "-b", "main"); err != nil {
		t.Fatal(err)
	}
	commit(t, there, "refs/heads/main", "first")
	return there.Dir, Repo{Dir: t.TempDir()}
}

// commit puts a commit of one file named a on a branch.
func commit(t *testing.T, r Repo, branch, text string) string {
	t.Helper()
	do := func(stdin string, args ...string) string {
		out, err := r.Feed(t.Context(), stdin, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	blob := do(text, "hash-object", "-w", "--stdin")
	c := do(text, "commit-tree", do("100644 blob "+blob+"\ta\n", "mktree"))
	do("", "update-ref", branch, c)
	return c
}

// served is the other side: a service of git on a directory, as sshd would start it.
func served(service, dir string) func(context.Context, io.Reader, io.Writer) error {
	return func(ctx context.Context, in io.Reader, out io.Writer) error {
		cmd := exec.CommandContext(ctx, service, dir)
		cmd.Stdin, cmd.Stdout = in, out
		return cmd.Run()
	}
}

const url = "ssh://git@git.example.org:2222/admin"

func TestOverAConnectionOfOurs(t *testing.T) {
	dir, here := far(t)
	if _, err := here.Over(t.Context(), served("git-upload-pack", dir), "clone", "--quiet", "--bare", "--depth", "1", "--", url, "."); err != nil {
		t.Fatal(err)
	}
	files, err := here.Files(t.Context(), []string{"HEAD:a", "HEAD:b", "HEAD:a"})
	if err != nil || len(files) != 3 || string(files[0].Text) != "first" || files[1].Hash != "" || string(files[2].Text) != "first" {
		t.Fatalf("%v, %v", files, err)
	}
	c := commit(t, here, "refs/heads/new", "second")
	if _, err := here.Over(t.Context(), served("git-receive-pack", dir), "push", "--quiet", "--", url, c+":refs/heads/new"); err != nil {
		t.Fatal(err)
	}
	if got, err := (Repo{Dir: dir}).Run(t.Context(), "rev-parse", "new"); got != c {
		t.Errorf("%q, %v", got, err)
	}
	// Somebody else was there first: that is git's to say, and nothing is overwritten.
	other := commit(t, here, "refs/heads/other", "third")
	var said *Error
	if _, err := here.Over(t.Context(), served("git-receive-pack", dir), "push", "--quiet", "--", url, other+":refs/heads/new"); !errors.As(err, &said) || said.Verb != "push" || !strings.Contains(said.Text, "new") {
		t.Errorf("%v", err)
	}
}

// Whatever becomes of the other side, or of the one who asked: an error tells, and nothing stays.
func TestOverABrokenConnection(t *testing.T) {
	dir, here := far(t)
	away := errors.New("the host is away")
	for name, serve := range map[string]func(context.Context, io.Reader, io.Writer) error{
		"it refuses": func(context.Context, io.Reader, io.Writer) error { return away },
		"it breaks at once": func(_ context.Context, _ io.Reader, out io.Writer) error {
			_, _ = io.WriteString(out, "00")
			return away
		},
		"it reads, and breaks": func(ctx context.Context, in io.Reader, out io.Writer) error {
			_ = served("git-upload-pack", dir)(ctx, io.LimitReader(in, 4), out)
			return away
		},
		"a bug": func(context.Context, io.Reader, io.Writer) error { panic(away) },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := here.Over(t.Context(), serve, "clone", "--quiet", "--bare", "--", url, "."); !errors.Is(err, away) {
				t.Errorf("%v", err)
			}
			if left, err := os.ReadDir(here.Dir); len(left) > 0 {
				t.Errorf("%v, %v", left, err)
			}
		})
	}
	t.Run("nobody answers, and it is given up", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		_, err := here.Over(ctx, func(ctx context.Context, _ io.Reader, _ io.Writer) error {
			cancel(enough)
			<-ctx.Done()
			return context.Cause(ctx)
		}, "clone", "--quiet", "--bare", "--", url, ".")
		if !errors.Is(err, enough) {
			t.Errorf("%v", err)
		}
	})
	t.Run("git fails by itself", func(t *testing.T) {
		var said *Error
		if _, err := here.Over(t.Context(), served("git-upload-pack", dir), "clone", "--no-such-flag", "--", url, "."); !errors.As(err, &said) || said.Verb != "clone" {
			t.Errorf("%v", err)
		}
	})
	t.Run("there is no git", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		for _, err := range []error{
			func() error { _, err := here.Run(t.Context(), "version"); return err }(),
			func() error { _, err := here.Over(t.Context(), served("x", dir), "version"); return err }(),
		} {
			if err == nil || !strings.Contains(err.Error(), "git is not installed; `apt-get install git`") {
				t.Errorf("%v", err)
			}
		}
	})
}
