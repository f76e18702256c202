package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/checks/nagios"
	"github.com/jarvisops/jarvis/checks/transfer"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
)

// checkCmd is the verb `check`. `check import nagios DIR` is done here: it reads files of this machine and writes one,
// and asks no server.
type checkCmd struct {
	verbCmd
	Into    string `help:"With import: the folder or *.yaml file to write into (default: checks.dir of the configuration)." placeholder:"PATH"`
	From    string `help:"With import: the host on which the plugins are that look at others from outside." placeholder:"HOST"`
	Replace bool   `help:"With import: write over a file that is there."`
	DryRun  bool   `help:"With import: write nothing, and say what would be."`
}

// ImportedChecks is what an import of checks did, for programs.
type ImportedChecks struct {
	File   string          `json:"file"` // what was written
	DryRun bool            `json:"dry_run"`
	Counts transfer.Counts `json:"counts"`
	Notes  []transfer.Note `json:"notes"`
}

// Help is shown under --help.
func (c *checkCmd) Help() string {
	return c.verbCmd.Help() + "\n\n  jarvis check import nagios DIR\n      writes definitions of the objects of Nagios or Icinga 1, and lists what could not be carried over\n\nExample: jarvis check import nagios /etc/nagios4 --into checks.d"
}

// Run is called by kong.
func (c *checkCmd) Run(ctx context.Context, t *term) error {
	if len(c.Args) > 0 && c.Args[0] == "import" {
		t.json = c.JSON
		err := c.imports(ctx, t)
		if err != nil && ctx.Err() != nil && !t.json {
			_, _ = fmt.Fprintln(t.err, "jarvis: interrupted; nothing was written")
		}
		return err
	}
	if c.Into != "" || c.From != "" || c.Replace || c.DryRun {
		return &exitError{exitUsage, "--into, --from, --replace and --dry-run are for `jarvis check import nagios DIR`"}
	}
	return c.verbCmd.Run(ctx, t)
}

// imports writes the file last, when it is known that it fits what is declared beside it.
func (c *checkCmd) imports(ctx context.Context, t *term) error {
	if len(c.Args) != 3 || c.Args[1] != "nagios" {
		return &command.UserError{Msg: "`check import` is used as: jarvis check import nagios DIR", Hint: "DIR is the folder of nagios.cfg or icinga.cfg, that file, or a folder of *.cfg", Kind: command.ErrUsage}
	}
	if c.From != "" && !model.IsName(c.From) {
		return &command.UserError{Msg: fmt.Sprintf("--from %q is no name of a host", c.From), Hint: "a name is of letters, digits, dots, dashes and underscores", Kind: command.ErrUsage}
	}
	tree, err := nagios.Read(ctx, c.Args[2])
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		var perr *fs.PathError
		if errors.As(err, &perr) {
			err = fmt.Errorf("%s: %w", perr.Path, perr.Err)
		}
		return &command.UserError{Msg: "cannot read it: " + err.Error(), Hint: "name the folder of nagios.cfg", Kind: command.ErrNotFound}
	}
	beside, noMail, err := c.beside(t)
	if err != nil {
		return err
	}
	file, err := c.target(beside)
	if err != nil {
		return err
	}
	made, err := transfer.FromNagios(ctx, tree, transfer.Options{From: c.From, NoMail: noMail})
	if err != nil {
		return err
	}
	if err := transfer.Fits(made.YAML, beside, file); err != nil {
		return &command.UserError{Msg: fmt.Sprintf("beside what is declared, it is not right: %v", err), Hint: "nothing was written; rename or take away one of the two", Kind: command.ErrUsage}
	}
	if !c.DryRun {
		if err := writeWhole(ctx, file, made.YAML, c.Replace); err != nil {
			return err
		}
	}
	return t.answer(c.JSON, command.Envelope{Type: command.TypeAnswer, OK: true, Answer: command.Answer{
		Lines: c.lines(file, made, beside), Data: ImportedChecks{file, c.DryRun, made.Counts, append([]transfer.Note{}, made.Notes...)}}})
}

// beside gives the checks that are configured already, nil when there is no configuration, and whether mails would have
// no server.
func (c *checkCmd) beside(t *term) (conf *model.Config, noMail bool, err error) {
	if t.file() == "" {
		return nil, false, nil
	}
	all, err := t.load(config.Load)
	if err != nil {
		return nil, false, err
	}
	return &all.Checks, all.Mail.Server == "", nil
}

// target gives the file that is written.
func (c *checkCmd) target(beside *model.Config) (string, error) {
	into := c.Into
	if into == "" && beside != nil {
		into = beside.Dir
	}
	if into == "" {
		return "", &command.UserError{Msg: "where to write is not known: the configuration has no checks.dir", Hint: "say --into FOLDER, and name it as checks.dir in jarvis.yaml", Kind: command.ErrUsage}
	}
	file := into
	if !strings.HasSuffix(into, ".yaml") {
		if st, err := os.Stat(into); err != nil || !st.IsDir() {
			return "", &command.UserError{Msg: into + " is no folder", Hint: "make it, or name a file that ends in .yaml", Kind: command.ErrNotFound}
		}
		file = filepath.Join(into, "nagios.yaml")
	}
	if _, err := os.Lstat(file); err == nil && !c.Replace && !c.DryRun {
		return "", &command.UserError{Msg: file + " is there already, and was left as it is", Hint: "say --replace, or --into another file", Kind: command.ErrUsage}
	}
	return file, nil
}

// lines says for people what was done.
func (c *checkCmd) lines(file string, made transfer.Result, beside *model.Config) []string {
	n := made.Counts
	var out []string
	for _, note := range made.Notes {
		out = append(out, note.String())
	}
	verb := "was written"
	if c.DryRun {
		verb = "would be written; this was a dry run"
	}
	out = append(out, fmt.Sprintf("%d services on %d hosts are %d tasks; of %d attributes %d are carried over, %d mean nothing here, %d are overridden, %d are in the lines above",
		n.Services, n.Hosts, n.Tasks, n.Attributes, n.Carried, n.Without, n.Overridden, n.Listed), file+" "+verb)
	switch {
	case c.DryRun:
	case beside != nil && beside.Dir != "" && filepath.Clean(beside.Dir) == filepath.Dir(file):
		out = append(out, "a running server reads it now; `jarvis check list` shows what comes of it")
	default:
		out = append(out, "a server reads it when its folder is checks.dir in jarvis.yaml; then `jarvis config check`")
	}
	return out
}

// writeWhole writes a file, all of it or nothing. It may hold what was secret to Nagios: it is for the owner and the
// group of its folder, whom the server is one of. Without replace nothing that is there is lost, whoever made it
// meanwhile. An interrupt before it is whole leaves nothing.
func writeWhole(ctx context.Context, file string, text []byte, replace bool) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".import-*")
	if err != nil {
		return &command.UserError{Msg: fmt.Sprintf("cannot write %s: %v", file, err)}
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(text)
	err = errors.Join(err, likeFolder(tmp), tmp.Sync(), tmp.Close())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && replace {
		err = os.Rename(tmp.Name(), file)
	} else if err == nil {
		err = os.Link(tmp.Name(), file) // which fails when somebody was faster
	}
	if err != nil {
		return &command.UserError{Msg: fmt.Sprintf("cannot write %s: %v", file, err)}
	}
	return nil
}

// likeFolder gives a file the owner and group of its folder: root writes it for a server that runs as another.
func likeFolder(f *os.File) error {
	if err := f.Chmod(0o640); err != nil || os.Geteuid() != 0 {
		return err
	}
	st, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(sys.Uid), int(sys.Gid))
	}
	return nil
}
