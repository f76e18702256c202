package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/workers/all"
	"github.com/jarvisops/jarvis/workers/ssh"
)

type stepCmd struct {
	Name  string `arg:"" help:"MODULE:TASK, built in or external." placeholder:"MODULE:TASK"`
	Undo  bool   `help:"Take the step back instead."`
	Plan  bool   `help:"Only say what it would do."`
	Token string `help:"Tag of what the step makes; give the same one again to adopt it. Empty: one for this host alone."`
}

// Help is shown under --help.
func (c *stepCmd) Help() string {
	return "Example: jarvis step dns:update_host < in.yaml > out.yaml\n\nThe clipboard comes on stdin; the new one goes to stdout, secrets in clear: keep it safe. Progress goes to stderr."
}

// byHand is the Host of a step that runs outside any run.
type byHand struct {
	t     *term
	began time.Time
	token string
	owner string
	undo  bool
}

func (h *byHand) Progress(l string) { _, _ = fmt.Fprintln(h.t.err, l) }
func (h *byHand) Log(l string)      { _, _ = fmt.Fprintln(h.t.err, l) }
func (h *byHand) Keep(context.Context, *clipboard.Clipboard) error {
	return nil
}
func (h *byHand) Facts() pipeline.Facts {
	return pipeline.Facts{Token: h.token, Owner: h.owner, By: os.Getenv("USER"), Waited: time.Since(h.began), Undo: h.undo}
}

// byNobody stands for the installation where a step is run by hand in a data folder that no server has used.
const byNobody = "by-hand"

// installationFile is written by the server at each start.
func installationFile(data string) string { return filepath.Join(data, "installation") }

// installation tells whose machines a step by hand works on: those of the server with this data folder.
func installation(data string) (string, error) {
	b, err := os.ReadFile(installationFile(data))
	switch id := strings.TrimSpace(string(b)); {
	case errors.Is(err, fs.ErrNotExist):
		return byNobody, nil
	case err != nil:
		return "", fmt.Errorf("read which installation this is: %w", err)
	case !installed.MatchString(id):
		return "", &exitError{exitUsage, fmt.Sprintf("%s holds %q, which is no installation's number; start the server once, it writes the file", installationFile(data), plain.Line(id))}
	default:
		return id, nil
	}
}

var installed = pattern.New(`^[0-9a-f]{8}$`)

// hasKey refuses where the server's own SSH key is in a database, and not yet in the data folder: one made here would
// be another one.
func hasKey(conf *config.Config) error {
	if c := conf.Workers.SSH; c != nil && c.Key != "" {
		return nil
	}
	file := ssh.KeyFile(ssh.Config{}, conf.Data)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(filepath.Join(conf.Data, "jarvis.db")); conf.Database == "" && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &exitError{exitUsage, fmt.Sprintf("%s is not there; it is kept in the database, and `jarvis serve` writes it: start the server here once", file)}
}

// handToken is the token of what steps by hand make for one host: short enough for every provider, and no other host's.
func handToken(install, fqdn string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(fqdn)))
	if install != byNobody {
		install += "-hand"
	}
	return "jarvis-" + install + "-" + hex.EncodeToString(sum[:8])
}

// Run is called by kong.
func (c *stepCmd) Run(ctx context.Context, t *term) error {
	conf, err := t.load(config.Load)
	if err != nil {
		return err
	}
	src, err := io.ReadAll(io.LimitReader(t.in, clipboard.MaxBytes+1))
	if err != nil {
		return fmt.Errorf("read the clipboard from stdin: %w", err)
	}
	cb, err := clipboard.Parse(src)
	if err != nil {
		return &command.UserError{Msg: "standard input: " + err.Error(), Kind: command.ErrUsage}
	}
	in, err := cb.Instance()
	if err != nil {
		return &command.UserError{Msg: "standard input: " + err.Error(), Kind: command.ErrUsage}
	}
	if err := os.MkdirAll(conf.Data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	if err := hasKey(conf); err != nil {
		return err
	}
	set, err := all.Build(conf.Workers, conf.Data)
	if err != nil {
		return &exitError{exitUsage, err.Error()}
	}
	defer set.Close()
	steps, err := set.Registry.Check([]string{c.Name}, cb, in.Provider)
	if err != nil {
		return &command.UserError{Msg: err.Error(), Kind: command.ErrUsage}
	}
	s := steps[0]
	if cb.HasSealed() {
		key, err := readKey(conf)
		if err == nil {
			cb, err = cb.OpenAll(key)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	h := &byHand{t: t, began: time.Now(), token: c.Token, undo: c.Undo}
	var install string
	if install, err = installation(conf.Data); err != nil {
		return err
	}
	h.owner = pipeline.OwnerOf(install, in.FQDN)
	if h.token == "" {
		h.token = handToken(install, in.FQDN)
	}
	if c.Plan {
		text := s.Doc
		if s.Plan != nil {
			if text, err = s.Plan(pipeline.WithHost(ctx, h), cb); err != nil {
				return err
			}
		}
		_, _ = fmt.Fprintln(t.out, text)
		return nil
	}
	do := s.Do
	if c.Undo {
		if do = s.Undo; do == nil {
			_, _ = fmt.Fprintf(t.err, "%s has nothing to undo\n", s.Name)
			do = func(context.Context, *clipboard.Clipboard) error { return nil }
		}
	}
	if s.Timeout == 0 {
		s.Timeout = pipeline.DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("gave up after %s", s.Timeout))
	defer cancel()
	for {
		err := do(pipeline.WithHost(ctx, h), cb)
		if what, ok := pipeline.AsStays(err); ok {
			_, _ = fmt.Fprintln(t.err, "what stays:", what)
			err = nil
		}
		d, why, wait := pipeline.AsWait(err)
		if !wait {
			if err != nil {
				return fmt.Errorf("%s failed: %s", s.Name, cb.Redact(err.Error()))
			}
			_, err = t.out.Write(cb.Bytes())
			return err
		}
		_, _ = fmt.Fprintln(t.err, why)
		if !sleep(ctx, d) {
			return fmt.Errorf("%s gave up: %s", s.Name, why)
		}
	}
}
