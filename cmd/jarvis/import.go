package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/inventory"
	"github.com/jarvisops/jarvis/web"
)

// importCmd is the verb `import`: the file is read here, and the server reads what is in it.
type importCmd struct {
	Format string `help:"Format of the file: list, known_hosts, ini or yaml (default: as it looks)." enum:",list,known_hosts,ini,yaml" default:"" placeholder:"FORMAT"`
	DryRun bool   `help:"Say what would be done, and do none of it."`
	JSON   bool   `help:"Print the answer as JSON." name:"json"`
	File   string `arg:"" help:"List of hosts, known_hosts, or inventory of Ansible's in INI or YAML; - reads standard input."`

	verb command.Verb
}

// Help is shown under --help.
func (c *importCmd) Help() string {
	return "Nothing is contacted. It may be said again: hosts that Jarvis deployed, and host keys that are known, stay as they are.\n\nExamples:\n  jarvis import --dry-run /etc/ansible/hosts\n  jarvis import ~/.ssh/known_hosts"
}

// Run is called by kong.
func (c *importCmd) Run(ctx context.Context, t *term) error {
	t.json = c.JSON
	src, err := readInventory(c.File, t.in)
	if err != nil {
		return err
	}
	words := []string{c.verb.Name, c.File}
	format := c.Format
	if format == "" && (strings.HasSuffix(c.File, ".yaml") || strings.HasSuffix(c.File, ".yml")) {
		format = inventory.YAML
	}
	if format != "" {
		words = append(words, "as", format)
	}
	if c.DryRun {
		words = append(words, "dry-run")
	}
	cl, err := t.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	a, err := cl.Command(ctx, web.CommandRequest{Words: words, File: src}, "")
	if err != nil {
		return err
	}
	a.Lines = append(a.Lines, besideInventory(c.File)...)
	if err := t.answer(c.JSON, a); err != nil {
		return err
	}
	return verdictOf(a)
}

// besideInventory says what Ansible reads that stands beside the file, and is not read here.
func besideInventory(file string) []string {
	var out []string
	for _, name := range []string{"group_vars", "host_vars"} {
		dir := filepath.Join(filepath.Dir(file), name)
		if st, err := os.Stat(dir); file != "-" && err == nil && st.IsDir() {
			out = append(out, dir+" is not read: an ansible_host, ansible_port or ansible_user in it stands in the inventory, or does not count here.")
		}
	}
	return out
}

// readInventory reads a file, or standard input for "-", up to inventory.MaxBytes.
func readInventory(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err == nil {
			defer func() { _ = f.Close() }()
			if st, serr := f.Stat(); serr == nil && st.IsDir() {
				err = &os.PathError{Err: errors.New("it is a folder, and one file of it is wanted")}
			}
		}
		if err != nil {
			var perr *os.PathError
			if errors.As(err, &perr) {
				err = perr.Err
			}
			return nil, &command.UserError{Msg: fmt.Sprintf("cannot read %s: %v", name, err), Kind: command.ErrNotFound}
		}
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, inventory.MaxBytes+1))
	if err != nil {
		return nil, &command.UserError{Msg: fmt.Sprintf("cannot read %s: %v", name, err), Kind: command.ErrNotFound}
	}
	if len(b) > inventory.MaxBytes {
		return nil, &command.UserError{Msg: fmt.Sprintf("%s is too large: at most %d KiB are taken", name, inventory.MaxBytes>>10), Hint: "split it", Kind: command.ErrUsage}
	}
	return b, nil
}
