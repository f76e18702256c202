package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/fleet"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/web"
)

// sendFlags are those of upload and sync.
type sendFlags struct {
	manyFlags

	Root     string `short:"r" placeholder:"DIR" help:"Directory on the hosts; ~/DIR, and DIR without a slash before it, are in the home of the login (default: a new one each time, /var/run/orgalorg/TIME)."`
	Relative bool   `short:"e" help:"Name files as they are given, not by their whole path; of /a/b and ../a/b, by the last part."`
	NoUID    bool   `name:"no-preserve-uid" help:"Let files belong to root, or to whoever logs in."`
	NoGID    bool   `name:"no-preserve-gid" help:"The same for their group."`
	Compress string `enum:"auto,zstd,none" default:"auto" help:"zstd, none, or auto: zstd when all hosts have it and none is on this machine."`
}

type uploadCmd struct {
	sendFlags

	DryRun bool     `name:"dry-run" help:"Say for each host what would be sent; nothing is changed, and nothing is locked."`
	Paths  []string `arg:"" help:"Files and directories."`
}

// Help is shown under --help.
func (uploadCmd) Help() string {
	return "What a host has already is not sent; each file is replaced at once, when all have arrived.\n\nExamples:\n  jarvis upload -o 'web[1-20]' -r / -x /etc/motd\n  jarvis upload -o ./hosts -r /srv/app -e build/"
}

// Run is called by kong.
func (c *uploadCmd) Run(ctx context.Context, t *term) error {
	var err error
	if c.Root, err = there(c.Root); err != nil {
		return err
	}
	c.lockDir = c.Root
	tree, err := fleet.ReadTree(c.Paths, fleet.TreeOptions{Relative: c.Relative, NoUID: c.NoUID, NoGID: c.NoGID})
	if err != nil {
		return usage("%v", err)
	}
	root := c.root()
	if c.DryRun {
		c.NoLock = true
	}
	return c.onBy(ctx, t, web.FilesRequest{Command: "upload", Root: root, Entries: tree.Len(), DryRun: c.DryRun}, func(ctx context.Context, f crew, r *resolver, p *printer) ([]fleet.Result, error) {
		if c.DryRun {
			return c.would(ctx, f, tree, root, r.sudo(), p), nil
		}
		return c.send(ctx, f, tree, root, r.sudo(), p, "exit")
	})
}

// would says what would be sent.
func (c *uploadCmd) would(ctx context.Context, f crew, tree *fleet.Tree, root string, sudo *remote.Sudo, p *printer) []fleet.Result {
	skipped(tree, p)
	p.start("asking", f.Reached())
	lack, ok := 0, 0
	sent := fleet.SendBy(ctx, f, tree, fleet.SendOptions{Root: root, Sudo: sudo, Stall: time.Duration(c.Send), Dry: true, Done: func(i int, r fleet.SendResult) {
		if r.Err == nil {
			ok++
		}
		if len(r.Lacks) > 0 {
			lack++
		}
		for _, name := range r.Lacks {
			p.stream("would-send", fleet.Line{Host: i, Text: "would get " + plain.Line(name)}, name)
		}
		p.resultOf("exit", i, fleet.Result{Host: r.Host, Err: r.Err, Took: r.Took}, members{"dry_run": true, "directory": atHost(root), "sent": 0, "lacks": len(r.Lacks), "had": r.Had})
	}})
	switch n := tree.Len(); {
	case c.JSON || c.Quiet || ok == 0:
	case lack == 0:
		p.say("nothing was changed: %s %s the %d %s in %s already", hosts(ok), word(ok, "has", "have"), n, word(n, "entry", "entries"), atHost(root))
	default:
		p.say("nothing was changed: %d of %s would get something in %s", lack, hosts(ok), atHost(root))
	}
	return ended(sent)
}

// ended gives what became of sending as the results of hosts.
func ended(sent []fleet.SendResult) []fleet.Result {
	out := make([]fleet.Result, len(sent))
	for i, r := range sent {
		out[i] = fleet.Result{Host: r.Host, Err: r.Err, Took: r.Took}
	}
	return out
}

// atHost writes a directory on the hosts for people: what is not absolute is in the home of the login.
func atHost(root string) string {
	if strings.HasPrefix(root, "/") {
		return root
	}
	return "~/" + strings.TrimPrefix(strings.TrimPrefix(root, "."), "/")
}

// root is where files go: what the flags say, or a new directory, as orgalorg makes one.
func (c *sendFlags) root() string {
	if c.Root != "" {
		return c.Root
	}
	return "/var/run/orgalorg/" + time.Now().UTC().Format("20060102150405.000000")
}

// skipped names what is not sent.
func skipped(tree *fleet.Tree, p *printer) {
	for i, l := range tree.Skipped {
		if i == maxSkipped {
			p.note("and %d more were skipped", len(tree.Skipped)-i)
			break
		}
		p.note("%s", plain.Line(l))
	}
}

// send sends the files. stream is what the object of a host is called that has them, with --json; one that failed has
// ended.
func (c *sendFlags) send(ctx context.Context, f crew, tree *fleet.Tree, root string, sudo *remote.Sudo, p *printer, stream string) ([]fleet.Result, error) {
	skipped(tree, p)
	p.start("sending", f.Reached())
	same := 0
	var left []*fleet.LeftFile
	o := fleet.SendOptions{Root: root, Sudo: sudo, Stall: time.Duration(c.Send), Compress: c.Compress, Progress: p.bytes, Left: func(l *fleet.LeftFile) { left = append(left, l) }}
	if c.Verbose > 0 {
		o.Sends = func(name string) { p.note("sending %s", plain.Line(name)) }
	}
	o.Done = func(at int, r fleet.SendResult) {
		res, what := fleet.Result{Host: r.Host, Err: r.Err, Took: r.Took}, "exit"
		if r.Err == nil {
			what = stream
		}
		if r.Same {
			same++
		}
		p.resultOf(what, at, res, members{"directory": atHost(root), "sent": r.Sent, "had": r.Had})
	}
	out := ended(fleet.SendBy(ctx, f, tree, o))
	ok := 0
	for _, r := range out {
		if r.Err == nil {
			ok++
		}
	}
	switch n := tree.Len() - len(left); {
	case c.JSON || ok == 0:
	case c.Quiet && c.Root == "" && stream == "exit": // whoever goes on there must know it
		p.say("%s", root)
	case !c.Quiet:
		p.say("%d %s to %s on %s%s", n, word(n, "entry", "entries"), atHost(root), hosts(ok), unchanged(same, ok))
	}
	if len(left) > 0 && ok > 0 {
		return out, partly(left)
	}
	return out, nil
}

// partly says which files were not sent, with an exit code of its own, as rsync has for that.
func partly(left []*fleet.LeftFile) error {
	if len(left) == 1 {
		return &exitError{exitPartly, plain.Line(left[0].Error()) + ", so it was not sent, and what was there before stays; all else is there"}
	}
	var names []string
	for i, l := range left {
		if i == maxLeft {
			names = append(names, fmt.Sprintf("and %d more", len(left)-i))
			break
		}
		names = append(names, plain.Line(l.Local))
	}
	return &exitError{exitPartly, fmt.Sprintf("%d files changed or went away before they were read, so they were not sent, and what was there before stays; all else is there: %s", len(left), strings.Join(names, ", "))}
}

// maxLeft bounds how many files that were not sent are named.
const maxLeft = 20

// maxSkipped bounds how many sockets and the like are named.
const maxSkipped = 20

// unchanged ends the sentence of how many have the files; "" when each of them got something.
func unchanged(same, ok int) string {
	switch {
	case same == 0:
		return ""
	case same == ok:
		return "; all of them had the files already"
	}
	return fmt.Sprintf("; %d of them had the files already", same)
}

func hosts(n int) string { return fmt.Sprintf("%d %s", n, word(n, "host", "hosts")) }

func word(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

type syncCmd struct {
	sendFlags

	Tool     string   `name:"sync-cmd" short:"n" default:"/usr/lib/orgalorg/sync \"$${@}\"" placeholder:"CMD" help:"Tool to run on the hosts when the files are there."`
	ToolArgs []string `name:"arg" short:"g" sep:"none" help:"Argument for the tool. May be given again."`
	Simple   bool     `short:"m" help:"The tool does not speak the sync protocol."`
	NoUpload bool     `name:"no-upload" help:"Send no files; run the tool only, in --root, which must be there."`
	Input    string   `name:"stdin" short:"i" placeholder:"FILE" help:"Give this file to the tool; with --simple."`
	Serial   bool     `short:"l" help:"The tool runs on one host after the other; with --simple."`
	Shell    string   `default:"bash -c {}" help:"Shell that runs the tool; {} is the command. Empty: the login shell there reads it."`
	Paths    []string `arg:"" optional:"" help:"Files and directories."`
}

// Help is shown under --help.
func (syncCmd) Help() string {
	return "Locks the hosts, sends files to a new directory (or --root), and runs a tool there that puts them in place; orgalorg's tools and protocol work as they are (docs/howto/exec.md).\n\nExamples:\n  jarvis sync -o 'web[1-20]' -xm -n 'systemctl reload nginx' -r / /etc/nginx.conf\n  jarvis sync -o ./hosts -g production build/"
}

// Run is called by kong.
func (c *syncCmd) Run(ctx context.Context, t *term) error {
	if len(c.Paths) == 0 && !c.NoUpload {
		return usage("no files are named; with --no-upload the tool runs without them")
	}
	if err := hasCommand(c.Shell); err != nil {
		return err
	}
	if c.Input != "" && !c.Simple {
		return usage("the sync protocol needs the tool's stdin; -i goes with --simple")
	}
	var tree *fleet.Tree
	var err error
	if c.Root, err = there(c.Root); err != nil {
		return err
	}
	c.lockDir, c.lockThere = c.Root, c.NoUpload
	if !c.NoUpload {
		if tree, err = fleet.ReadTree(c.Paths, fleet.TreeOptions{Relative: c.Relative, NoUID: c.NoUID, NoGID: c.NoGID}); err != nil {
			return usage("%v", err)
		}
	}
	if c.Serial && !c.Simple {
		return usage("the sync protocol has all tools step together; -l goes with --simple")
	}
	o := fleet.ExecOptions{Serial: c.Serial, Timeout: time.Duration(c.Receive), Stall: time.Duration(c.Send), Raw: c.Simple && c.Quiet && !c.JSON && !c.Group}
	if c.Input != "" {
		in, err := t.open(c.Input)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		o.Stdin = in
	}
	q := web.FilesRequest{Command: "sync", Root: c.Root, Tool: shellLine(c.Shell, c.Tool, c.ToolArgs), Timeout: o.Timeout}
	if tree != nil {
		q.Root, q.Entries = c.root(), tree.Len()
	}
	return c.onBy(ctx, t, q, func(ctx context.Context, f crew, r *resolver, p *printer) ([]fleet.Result, error) {
		tool := remote.Command{Line: q.Tool, Dir: q.Root, Sudo: r.sudo()}
		if tree != nil {
			sent, err := c.send(ctx, f, tree, q.Root, r.sudo(), p, "sent")
			left := (*exitError)(nil)
			some := errors.As(err, &left)
			if some || slices.ContainsFunc(sent, func(r fleet.Result) bool { return r.Err != nil }) { // the tool runs where all have the files, or nowhere
				p.ranNowhere(sent)
			}
			if some {
				left.msg += ", and the tool ran nowhere"
				return sent, left
			}
			if slices.ContainsFunc(sent, func(r fleet.Result) bool { return r.Err != nil }) {
				return sent, nil
			}
		} else if c.Root != "" {
			if missing := without(ctx, f, c.Root, r.sudo()); missing != nil {
				return missing, nil
			}
		}
		p.start("the tool runs", f.Reached())
		o.Done = p.result
		if p.raw = o.Raw; c.Simple {
			return f.Exec(ctx, tool, o, p.line), nil
		}
		ended := o.Done
		o.Done = func(host int, r fleet.Result) {
			var waited *fleet.WaitedError // the summary names these
			if ended(host, r); !r.OK() && len(f.Reached()) > 1 && ctx.Err() == nil && !errors.As(r.Err, &waited) {
				p.note("the tool on %s has ended: %s", r.Host.Name, r.How()) // at once: the others may wait for it
			}
		}
		return f.Sync(ctx, tool, o, p.line), nil
	})
}

// without gives the hosts that have no such directory as failed; nil when all have it.
func without(ctx context.Context, f crew, dir string, sudo *remote.Sudo) []fleet.Result {
	results := f.Has(ctx, dir, sudo)
	bad := false
	for i, r := range results {
		switch {
		case r.OK():
			continue
		case r.Err == nil:
			results[i].Err = fmt.Errorf("there is no directory %s; the tool ran nowhere", dir)
		}
		bad = true
	}
	if !bad {
		return nil
	}
	return results
}

// there writes a path for the hosts, where no shell reads it: ~ is the home of the login, in which every command
// begins.
func there(path string) (string, error) {
	rest, home := strings.CutPrefix(path, "~")
	switch {
	case !home:
		return path, nil
	case rest == "":
		return ".", nil
	case rest[0] == '/':
		return "." + rest, nil
	}
	return "", usage("%s: only ~ and ~/ are known here; name the directory by its whole path", path)
}

// shellLine puts a command and its arguments into a shell's command line. Without a shell the login shell there reads
// both.
func shellLine(shell, cmd string, args []string) string {
	if shell == "" {
		return strings.TrimSpace(cmd + " " + remote.Quote(args...))
	}
	return inShell(shell, cmd) + " " + remote.Quote(append([]string{"jarvis"}, args...)...)
}

// hasCommand refuses a shell that would be given no command, and end well without having done anything.
func hasCommand(shell string) error {
	if shell != "" && !strings.Contains(shell, "{}") {
		return usage("--shell %s has no {} for the command, which would not run; write it as in --shell 'bash -c {}'", remote.Quote(shell))
	}
	return nil
}

// inShell puts a command into a shell's command line: {} becomes the command as one quoted word, with quotes of the
// caller's around it or without.
func inShell(shell, cmd string) string {
	word := remote.Quote(cmd)
	return strings.NewReplacer("'{}'", word, `"{}"`, word, "{}", word).Replace(shell)
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
