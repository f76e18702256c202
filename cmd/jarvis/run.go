package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/alecthomas/kong"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
)

// Exit codes (DESIGN section 11).
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDenied      = 3
	exitNotFound    = 4
	exitInterrupted = 130
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = "devel"

// term is what a command speaks through.
type term struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	conf   string // --config
	server string // --server

	noted sync.Map // what was said of files that are read more than once
}

// isTerminal reports whether a stream is a terminal; a file handed to it keeps that.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && st.Name() != "null"
}

// load reads the configuration that the command line names, or the first there is.
func (t *term) load() (*config.Config, error) {
	file := t.conf
	if file == "" {
		file = config.Find()
	}
	if file == "" {
		return config.Default(), nil
	}
	return config.Load(file)
}

// cli is the command line but for the verbs, which run adds from the one table.
type cli struct {
	Config string `help:"Configuration file (default: ./jarvis.yaml, then /etc/jarvis/jarvis.yaml)." placeholder:"FILE"`

	Server string `help:"Address of a server elsewhere, as in https://jarvis.example.org; its token is taken from JARVIS_TOKEN." placeholder:"URL"`

	Serve serveCmd  `cmd:"" help:"Run the server: chat, the socket, and every run that is under way."`
	Demo  demoCmd   `cmd:"" help:"Watch a deployment in a world on this machine; then the prompt is yours."`
	Step  stepCmd   `cmd:"" help:"Run one step by hand: the clipboard on stdin, the new one on stdout."`
	Conf  configCmd `cmd:"" name:"config" help:"Check or show the configuration."`

	Exec   execCmd   `cmd:"" group:"Hosts" help:"Run a command on many hosts at once."`
	Upload uploadCmd `cmd:"" group:"Hosts" help:"Send files to many hosts at once."`
	Sync   syncCmd   `cmd:"" group:"Hosts" help:"Send files and run a tool there that puts them in place."`
	Fetch  fetchCmd  `cmd:"" group:"Hosts" help:"Bring files of hosts here."`
	Lock   lockCmd   `cmd:"" group:"Hosts" help:"Lock hosts against every other exec, sync and upload."`

	Completion completionCmd `cmd:"" help:"Print a shell's completion."`
	Man        manCmd        `cmd:"" hidden:"" help:"Print the manual page."`
}

// exitError carries an exit code; an empty message means that everything is said.
type exitError struct {
	code int
	msg  string
}

func (e *exitError) Error() string { return e.msg }

// run is the whole program. Everything it says about a failure is one sentence on stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := &term{in: stdin, out: stdout, err: stderr}
	var c cli
	done := -1
	opts := []kong.Option{
		kong.Name("jarvis"),
		kong.Description("Jarvis deploys hosts.\n\nExamples:\n  jarvis demo                      watch it work, nothing else needed\n  jarvis serve                     run the server\n  jarvis deploy loki.yaml          deploy a host and watch\n  jarvis status loki               where it stands\n  jarvis step dns:update_host < in.yaml > out.yaml\n\nExit codes: 0 done, 1 failed, 2 usage or configuration, 3 not allowed, 4 not found, 130 interrupted."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { done = code; panic(errExit) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t),
	}
	for _, v := range command.Verbs() {
		if v.Name != "help" {
			opts = append(opts, kong.DynamicCommand(v.Name, v.Doc+".", "Verbs", &verbCmd{verb: v}))
		}
	}
	parser, err := kong.New(&c, opts...)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "jarvis:", err)
		return exitUsage
	}
	err = func() (err error) {
		defer func() {
			if p := recover(); p != nil && p != errExit { //nolint:errorlint // the very value
				panic(p)
			}
		}()
		if len(args) == 0 {
			args = []string{"--help"}
		}
		if args[0] == "help" {
			args = append(args[1:], "--help")
		}
		args = likeOrgalorg(parser.Model.Node, args)
		kctx, err := parser.Parse(args)
		if err != nil {
			return notUnderstood(parser, args, err)
		}
		t.conf, t.server = c.Config, c.Server
		return kctx.Run()
	}()
	if done >= 0 {
		return done
	}
	return t.explain(ctx, err)
}

// notUnderstood says a slip in a verb in the same words as chat.
func notUnderstood(parser *kong.Kong, args []string, err error) error {
	for _, n := range parser.Model.Children {
		if len(args) > 0 && n.Name == args[0] {
			return &exitError{exitUsage, err.Error()}
		}
	}
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--config" || args[i] == "-c" || args[i] == "--server":
			i++
			continue
		case strings.HasPrefix(args[i], "-"):
			continue
		}
		_, ferr := command.NewTable(&command.Env{}).Find(args[i])
		var ue *command.UserError
		if errors.As(ferr, &ue) && strings.HasPrefix(ue.Hint, "did you mean") && strings.HasPrefix(err.Error(), "unexpected argument") {
			return ue
		}
		break
	}
	return &exitError{exitUsage, err.Error()}
}

var errExit = errors.New("kong asked to exit")

// explain says an error and gives its exit code.
func (t *term) explain(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFailed
	var ee *exitError
	var ce *config.Error
	var ue *command.UserError
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &ee):
		code = ee.code
		if ee.msg == "" {
			return code
		}
	case errors.As(err, &ce):
		code = exitUsage
	case errors.As(err, &ue):
		switch {
		case errors.Is(ue, command.ErrUsage):
			code = exitUsage
		case errors.Is(ue, command.ErrDenied), errors.Is(ue, command.ErrLimited):
			code = exitDenied
		case errors.Is(ue, command.ErrNotFound):
			code = exitNotFound
		}
	}
	_, _ = fmt.Fprintf(t.err, "jarvis: %s\n", strings.TrimSuffix(err.Error(), "."))
	return code
}
