package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// verbCmd is one verb of the table on the command line, as a client of the running server.
type verbCmd struct {
	JSON   bool     `help:"Print the answer as JSON." name:"json"`
	NoWait bool     `help:"Do not wait for the run to end."`
	Args   []string `arg:"" optional:"" help:"As in chat."`

	verb command.Verb
}

// Help is shown under --help of the verb.
func (c *verbCmd) Help() string {
	return "Usage: jarvis " + strings.TrimSpace(c.verb.Name+" "+cliUsage(c.verb)) + "\n\nExample: jarvis " + cliExample(c.verb)
}

func cliUsage(v command.Verb) string {
	if takesFile(v) {
		return v.Usage + " | FILE | -"
	}
	return v.Usage
}

func cliExample(v command.Verb) string {
	if takesFile(v) {
		return v.Name + " loki.yaml"
	}
	return v.Example
}

func takesFile(v command.Verb) bool {
	return v.Name == "deploy" || v.Name == "plan" || v.Name == "redeploy" || v.Name == "destroy"
}

// namesFile reports whether the last argument is a file. For deploy it is when it is nothing else; the others also take
// hosts on record, so there a file is what looks like one.
func namesFile(v command.Verb, args []string) bool {
	if v.Name == "check" {
		return len(args) == 4 && args[0] == "define" && !strings.HasPrefix(args[3], "{")
	}
	if !takesFile(v) || len(args) == 0 {
		return false
	}
	arg := args[len(args)-1]
	switch {
	case strings.Contains(arg, "://"), strings.HasPrefix(arg, "cn="):
		return false
	case v.Name == "deploy", v.Name == "plan" && len(args) == 1, arg == "-", strings.ContainsRune(arg, os.PathSeparator):
		return true
	}
	return strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml")
}

// afterFlags says again what kong takes out: a word of a host's command that looks like a flag stood after a "--".
func afterFlags(v command.Verb, args []string) []string {
	if v.Name == "run" && len(args) > 1 && strings.HasPrefix(args[1], "-") {
		return append([]string{args[0], "--"}, args[1:]...)
	}
	return args
}

// follows reports whether the command waits for the run that the verb moves.
func follows(v command.Verb) bool { return v.Acts && v.Name != "run" }

// Run is called by kong.
func (c *verbCmd) Run(ctx context.Context, t *term) error {
	cl, err := t.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	req := web.CommandRequest{Words: append([]string{c.verb.Name}, afterFlags(c.verb, c.Args)...)}
	if namesFile(c.verb, c.Args) {
		if req.File, err = readClipboard(c.Args[len(c.Args)-1], t.in); err != nil {
			return err
		}
	}
	a, err := ask(ctx, cl, req, c.verb)
	if err != nil {
		return err
	}
	wait := follows(c.verb) && (a.Run != nil || a.Cluster != nil) && !c.NoWait
	if c.JSON && !wait {
		return json.NewEncoder(t.out).Encode(a)
	}
	if !c.JSON {
		for _, l := range a.Lines {
			_, _ = fmt.Fprintln(t.out, l)
		}
	}
	if !wait {
		return nil
	}
	if a.Cluster != nil {
		return followCluster(ctx, t, cl, a.Cluster, c.verb.Name, c.JSON)
	}
	return follow(ctx, t, cl, a, c.verb.Name, c.JSON)
}

// client gives one of the server that the command line names, or of the one on this machine.
func (t *term) client() (*web.Client, error) {
	if t.server != "" {
		return web.NewRemoteClient(t.server, os.Getenv("JARVIS_TOKEN"))
	}
	conf, err := t.load()
	if err != nil {
		return nil, err
	}
	return web.NewClient(conf.Socket()), nil
}

// ask sends a command. What starts runs carries a key, so that it can be sent again when the connection broke before
// the answer.
func ask(ctx context.Context, cl *web.Client, req web.CommandRequest, v command.Verb) (command.Answer, error) {
	if !takesFile(v) || v.Name == "plan" {
		return cl.Command(ctx, req, "")
	}
	key := rand.Text()
	for try := 0; ; try++ {
		a, err := cl.Command(ctx, req, key)
		var said *command.UserError
		if err == nil || errors.As(err, &said) || try == 0 && errors.Is(err, web.ErrNoServer) || try == 3 || !sleep(ctx, time.Second) {
			return a, err
		}
	}
}

// readClipboard reads a file, or standard input for "-". It is checked here already, so that a file with a slip in it
// is refused with its own name.
func readClipboard(name string, stdin io.Reader) ([]byte, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(io.LimitReader(stdin, clipboard.MaxBytes+1))
		name = "standard input"
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		var perr *os.PathError
		if errors.As(err, &perr) {
			err = perr.Err
		}
		return nil, &command.UserError{Msg: fmt.Sprintf("can not read %s: %v", name, err), Kind: command.ErrNotFound}
	}
	if _, err := clipboard.Parse(b); err != nil {
		return nil, &command.UserError{Msg: name + ": " + err.Error(), Kind: command.ErrUsage}
	}
	return b, nil
}

// follow shows a run until it is at rest; Ctrl-C ends the showing, not the run.
func follow(ctx context.Context, t *term, cl *web.Client, a command.Answer, verb string, asJSON bool) error {
	id := a.Run.ID
	var v view = &plainView{out: t.out}
	switch {
	case asJSON:
		v = &jsonView{enc: json.NewEncoder(t.out)}
	case isTerminal(t.out):
		v = &liveView{out: t.out}
	}
	err := watch(ctx, cl, id, a.Since, v)
	if ctx.Err() != nil {
		if !asJSON {
			_, _ = fmt.Fprintf(t.err, "\nstopped watching; run %d goes on (`jarvis status %d`, `jarvis cancel %d`)\n", id, id, id)
		}
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	r, err := cl.Run(ctx, id)
	if err != nil {
		return err
	}
	v.end(r)
	if wanted(verb, r.State) {
		return nil
	}
	return &exitError{code: exitFailed}
}

// wanted reports whether a run has come to what the verb was said for: `jarvis deploy x && next` must not go on when
// somebody cancelled or denied x.
func wanted(verb string, s pipeline.State) bool {
	switch verb {
	case "cancel", "deny":
		return s == pipeline.Cancelled
	case "undo":
		return s == pipeline.Undone
	case "approve":
		return s == pipeline.Ready || s == pipeline.Undone
	}
	return s == pipeline.Ready
}

// followCluster shows the stages of a cluster's hosts until all are at rest, or hold because one of them failed.
func followCluster(ctx context.Context, t *term, cl *web.Client, c *pipeline.Cluster, verb string, asJSON bool) error {
	shown := map[int64]string{}
	for {
		rest, good := 0, 0
		for i := range c.Runs {
			r, err := cl.Run(ctx, c.Runs[i].ID)
			if ctx.Err() != nil {
				if !asJSON {
					_, _ = fmt.Fprintf(t.err, "\nstopped watching; %s goes on (`jarvis status %s`, `jarvis cancel %s`)\n", c.Name, c.Name, c.Name)
				}
				return ctx.Err()
			}
			if err != nil {
				return err
			}
			c.Runs[i] = r.Run
			line := string(r.State)
			switch r.State {
			case pipeline.Running:
				line = r.Where()
			case pipeline.Waiting:
				line = r.Where() + " — " + r.Why
			case pipeline.Failed, pipeline.Asking:
				line = fmt.Sprintf("%s at %s: %s", r.State, r.Where(), r.Error)
			case pipeline.Undone, pipeline.Cancelled:
				line += ": " + r.Error
			}
			if shown[r.ID] != line && !asJSON {
				_, _ = fmt.Fprintf(t.out, "%s: %s\n", r.Host, line)
			}
			shown[r.ID] = line
			if r.State.Resting() || r.Waits == pipeline.ForHold {
				rest++
			}
			if wanted(verb, r.State) {
				good++
			}
		}
		if rest == len(c.Runs) {
			if asJSON {
				if err := json.NewEncoder(t.out).Encode(c); err != nil {
					return err
				}
			}
			if good < len(c.Runs) {
				return &exitError{code: exitFailed}
			}
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
}
