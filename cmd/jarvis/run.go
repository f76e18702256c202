package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/alecthomas/kong"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/web"
)

// Exit codes: people's scripts rely on them, so they stay as they are. docs/reference/json.md lists them.
const (
	exitOK          = command.ExitOK
	exitFailed      = command.ExitFailed
	exitUsage       = command.ExitUsage
	exitDenied      = command.ExitDenied
	exitNotFound    = command.ExitNotFound
	exitInterrupted = command.ExitInterrupted
	exitPartly      = 24 // as rsync's, of files that went away
)

// term is what a command speaks through.
type term struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	conf   string         // --config
	server string         // --server, or what stands for it
	asked  bool           // --server was said
	place  config.Place   // of the server on this machine, as locate found it
	lost   error          // why it found none
	used   *config.Config // that of what runs here; nil: none was read
	json   bool           // a verb was said with --json: a refusal is an envelope too

	noted  sync.Map   // what was said of files that are read more than once
	asking sync.Mutex // one question at a time
}

// isTerminal reports whether a stream is a terminal; a file handed to it keeps that.
func isTerminal(v any) bool {
	f, ok := fileOf(v)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && st.Name() != "null"
}

// canRedraw reports whether a stream is a terminal that knows how to move its cursor: a dumb one, and one that does not
// say what it is, is written line after line, as a file is. (There are no colours, so NO_COLOR asks for nothing.)
func canRedraw(v any) bool {
	kind := os.Getenv("TERM")
	return isTerminal(v) && kind != "" && kind != "dumb"
}

// file gives the configuration that the command line names, or the first there is; "" when there is none.
func (t *term) file() string {
	if t.conf != "" {
		return t.conf
	}
	return config.Find()
}

// load reads the configuration, for what runs here: a client only locates the server.
func (t *term) load(read func(file string) (*config.Config, error)) (*config.Config, error) {
	file := t.file()
	if file == "" {
		return config.Parse("jarvis.yaml", nil, os.LookupEnv)
	}
	c, err := read(file)
	t.used = c
	return c, err
}

// exitError carries an exit code; an empty message means that nothing more is to be printed.
type exitError struct {
	code int
	msg  string
}

func (e *exitError) Error() string { return e.msg }

// run is the whole program. Everything it says about a failure is one sentence on stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &outlet{w: stdout}
	t := &term{in: stdin, out: out, err: stderr}
	var c global
	done := -1
	if len(args) == 0 {
		args = []string{"--help"}
	}
	names, all := speaksOf(args)
	parser, err := newParser(&c, names, all,
		kong.Writers(out, stderr),
		kong.Exit(func(code int) { done = code; panic(errExit) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(t))
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
		t.json = slices.Contains(args, "--json") && !manyHosts(args)
		kctx, err := understand(parser, args)
		if err != nil {
			return err
		}
		t.json = false // whoever prints JSON says so on their own
		t.conf, t.server, t.asked = c.Config, c.Server, c.Server != ""
		t.locate()
		return kctx.Run()
	}()
	if done >= 0 {
		return t.outOfOutput(done)
	}
	return t.outOfOutput(t.explain(ctx, err))
}

// manyHosts reports whether a command line is one of those whose JSON is of another form (docs/howto/exec.md).
func manyHosts(args []string) bool {
	i := firstWord(args)
	return i >= 0 && slices.Contains([]string{"exec", "upload", "sync", "fetch", "lock"}, args[i])
}

var errExit = errors.New("kong asked to exit")

// codeOf gives an error's exit code, and whether there is something to say.
func codeOf(ctx context.Context, err error) (code int, silent bool) {
	var ee *exitError
	var ce config.Errors
	switch {
	case errors.As(err, &ee) && ee.msg == "": // nothing more is to be printed, and the code stands, interrupted or not
		return ee.code, true
	case ctx.Err() != nil:
		return exitInterrupted, true
	case errors.As(err, &ee):
		return ee.code, ee.msg == ""
	case errors.As(err, &ce):
		return exitUsage, false
	}
	return command.KindOf(err).Exit, false
}

// explain says an error and gives its exit code.
func (t *term) explain(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	code, silent := codeOf(ctx, err)
	var left *leftError
	isLeft := errors.As(err, &left)
	switch {
	case t.json && isLeft:
		_ = t.envelope(left.envelope(code))
	case t.json && code == exitInterrupted:
		_ = t.envelope(command.Envelope{Type: command.TypeAnswer, Exit: code, Error: &command.Fault{Kind: command.KindOf(command.ErrLost).Name, Detail: "interrupted before an answer came; what was asked for may be done all the same"}})
	case t.json && !silent:
		e := command.Refused(err)
		if e.Exit != code {
			e.Exit, e.Error.Kind = code, kindOfExit(code)
		}
		_ = t.envelope(e)
	case isLeft && silent:
		_, _ = fmt.Fprintln(t.err, "\n"+left.Error())
	}
	if silent {
		return code
	}
	if errors.Is(err, web.ErrNoServer) && t.server == "" && t.file() == "" {
		err = fmt.Errorf("%w\nthere is no jarvis.yaml here and none in /etc/jarvis; a server that was started elsewhere is found by --config FILE or JARVIS_CONFIG", err)
	}
	for _, line := range strings.Split(t.used.Conceal(t.place.Conceal(err.Error())), "\n") {
		line = strings.TrimSuffix(line, ".")
		if !strings.HasPrefix(line, " ") { // what is indented belongs to the line above it
			line = "jarvis: " + line
		}
		_, _ = fmt.Fprintln(t.err, line)
	}
	var ce config.Errors
	if errors.As(err, &ce) && len(ce) > 1 {
		_, _ = fmt.Fprintf(t.err, "jarvis: %d mistakes in %s; nothing was done\n", len(ce), ce[0].File)
	}
	return code
}

// kindOfExit gives the kind of what carries its exit code by itself, as a slip on the command line.
func kindOfExit(code int) string {
	for _, k := range command.ErrorKinds() {
		if k.Exit == code && code != exitFailed {
			return k.Name
		}
	}
	return command.KindOf(nil).Name
}
