package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// verbCmd is one verb of the table on the command line, as a client of the running server.
type verbCmd struct {
	JSON bool     `help:"Print the answer as JSON." name:"json"`
	Args []string `arg:"" optional:"" help:"As in chat."`

	verb  command.Verb
	watch watchFlags                  // of a verb that moves runs
	then  func(*term, command.Answer) // said after the answer, for people; nil: nothing
}

// watchFlags are those of a verb that moves runs: others have nothing to wait for.
type watchFlags struct {
	NoWait  bool          `help:"Do not wait for the run to end. Exit code 5 when it waits for a second person." xor:"watch"`
	Timeout time.Duration `placeholder:"DURATION" xor:"watch" help:"Watch no longer than this, as in 5m; the run goes on, and the exit code is 5. Without it: until the run rests."`
}

// limited gives a context that ends when the time to watch is over.
func limited(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, errTimeout)
}

// movesCmd is a verb that moves runs.
type movesCmd struct {
	verbCmd
	watchFlags
}

// Run is called by kong.
func (c *movesCmd) Run(ctx context.Context, t *term) error {
	c.watch = c.watchFlags
	return c.verbCmd.Run(ctx, t)
}

// moves reports whether what a verb began may go on after its answer, so that somebody can wait for it.
func moves(v command.Verb) bool {
	return slices.ContainsFunc(v.API, func(a command.API) bool { return a.Accepted && !strings.HasPrefix(a.Path, "/v1/tasks/") })
}

// Help is shown under --help of the verb.
func (c *verbCmd) Help() string {
	if c.verb.Words != nil {
		var b strings.Builder
		for _, w := range c.verb.Words {
			fmt.Fprintf(&b, "  jarvis %s\n      %s\n", strings.TrimSpace(c.verb.Name+" "+w.Name+" "+w.Usage), w.Doc)
		}
		return "It knows these words:\n\n" + b.String() + "\nExample: jarvis " + cliExample(c.verb)
	}
	return "Usage: jarvis " + strings.TrimSpace(c.verb.Name+" "+cliUsage(c.verb)) + "\n\nExample: jarvis " + cliExample(c.verb)
}

// cliUsage adds what the command line alone takes: a file, or - for standard input.
func cliUsage(v command.Verb) string {
	if takesFile(v) {
		usage, timed := strings.CutSuffix(v.Usage, command.AtUsage)
		if usage += " | FILE | -"; timed {
			usage += command.AtUsage
		}
		return usage
	}
	return v.Usage
}

func cliExample(v command.Verb) string {
	if takesFile(v) {
		return v.Name + " loki.yaml"
	}
	return v.Example
}

// takesFile reports whether a clipboard's file will do in the place of what the usage names.
func takesFile(v command.Verb) bool {
	return v.Name == "deploy" || v.Name == "plan" || v.Name == "redeploy" || v.Name == "destroy"
}

// fileAmong gives the argument that may be a file: the last, or what stands before the time at which something is to
// begin.
func fileAmong(v command.Verb, args []string) string {
	if source, at := command.ForTime(args); at != "" && (v.Name == "deploy" || v.Name == "redeploy") {
		return source[0]
	}
	return args[len(args)-1]
}

// fileIn gives the argument that is FILE in the usage of a verb, or of its word; "" when none is. What begins with a
// brace stands for what would be in the file.
func fileIn(v command.Verb, args []string) string {
	usage := v.Usage
	if v.Words != nil && len(args) > 0 {
		w, _ := v.Word(args[0])
		usage, args = w.Usage, args[1:]
	}
	words := strings.Fields(usage)
	i := slices.Index(words, "FILE")
	if i < 0 || i >= len(args) || i == len(words)-1 && len(args) > len(words) || strings.HasPrefix(args[i], "{") {
		return ""
	}
	return args[i]
}

// namesFile reports whether that argument is a file with a clipboard. For deploy it is when it is nothing else; the
// others also take hosts on record, so there a file is what looks like one. For plan it is also what is there: whoever
// is asked only reads.
func namesFile(v command.Verb, args []string) bool {
	if !takesFile(v) || len(args) == 0 {
		return false
	}
	arg := fileAmong(v, args)
	switch {
	case strings.Contains(arg, "://"), strings.HasPrefix(arg, "cn="):
		return false
	case v.Name == "deploy", arg == "-", strings.ContainsRune(arg, os.PathSeparator):
		return true
	case v.Name == "plan" && len(args) == 1:
		if st, err := os.Stat(arg); err == nil && !st.IsDir() {
			return true
		}
	}
	return strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml")
}

// Run is called by kong.
func (c *verbCmd) Run(ctx context.Context, t *term) error {
	t.json = c.JSON
	as := c.verb
	as.Usage, as.Example = cliUsage(as), cliExample(as)
	if err := as.CheckArgs(c.Args); err != nil {
		return err
	}
	req := web.CommandRequest{Words: append([]string{c.verb.Name}, c.Args...)}
	var err error
	switch file := fileIn(c.verb, c.Args); {
	case namesFile(c.verb, c.Args):
		req.File, err = readClipboard(fileAmong(c.verb, c.Args), t.in)
	case file != "" && c.verb.Name == "check":
		req.File, err = readDefinition(file, t.in)
	case file != "": // the verb says what is wrong in it
		req.File, err = readWhole(file, t.in)
	}
	if err != nil {
		return err
	}
	cl, err := t.client()
	var a command.Envelope
	if err == nil {
		defer cl.Close()
		a, err = ask(ctx, cl, req, c.verb)
	}
	if err != nil {
		a, err = c.alone(ctx, t, req, err)
	}
	if err != nil {
		return err
	}
	if c.verb.Name == "version" {
		a.Answer = versions(a.Answer)
	}
	follows := c.verb.Acts && (a.Run != nil || a.Cluster != nil) && !isLater(a.Answer)
	if undecided(a.Answer) && c.verb.Acts && !(follows && !c.watch.NoWait) {
		return t.notYet(c.JSON, a.Answer)
	}
	if err := t.answer(c.JSON, a); err != nil {
		return err
	}
	if !follows || c.watch.NoWait {
		if c.then != nil && !c.JSON {
			c.then(t, a.Answer)
		}
		return verdictOf(a)
	}
	ctx, cancel := limited(ctx, c.watch.Timeout)
	defer cancel()
	if a.Cluster != nil {
		return followCluster(ctx, t, cl, a.Cluster, c.verb.Name, c.JSON)
	}
	return follow(ctx, t, cl, a, c.verb.Name, c.JSON)
}

// answer prints what a verb said.
func (t *term) answer(asJSON bool, a command.Envelope) error {
	if asJSON {
		return t.envelope(a)
	}
	for _, l := range a.Lines {
		_, _ = fmt.Fprintln(t.out, l)
	}
	return nil
}

// verdictOf tells by the exit code that what was asked after is not well; the lines say what.
func verdictOf(a command.Envelope) error {
	if !a.OK {
		return &exitError{code: a.Exit}
	}
	return nil
}

// ask sends a command. What starts runs carries a key, so that it can be sent again when the connection broke before
// the answer.
func ask(ctx context.Context, cl *web.Client, req web.CommandRequest, v command.Verb) (command.Envelope, error) {
	if !takesFile(v) || v.Name == "plan" {
		return cl.Command(ctx, req, "")
	}
	key := rand.Text()
	for try := 0; ; try++ {
		a, err := cl.Command(ctx, req, key)
		if err == nil || isVerdict(err) || errors.Is(err, command.ErrLimited) || try == 0 && errors.Is(err, web.ErrNoServer) || try == 3 || !sleep(ctx, time.Second) {
			return a, err
		}
	}
}

// readClipboard reads a file, or standard input for "-". It is checked here already, so that a file with a slip in it
// is refused with its own name.
func readClipboard(name string, stdin io.Reader) ([]byte, error) {
	b, err := readWhole(name, stdin)
	if err != nil {
		return nil, err
	}
	if name == "-" {
		name = "standard input"
	}
	if _, err := clipboard.Parse(b); err != nil {
		return nil, &command.UserError{Msg: name + ": " + err.Error(), Kind: command.ErrUsage}
	}
	return b, nil
}

// readDefinition reads a definition of `check define`. The server says what is wrong with it; an empty one is refused
// here.
func readDefinition(name string, stdin io.Reader) ([]byte, error) {
	b, err := readWhole(name, stdin)
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		err = &command.UserError{Msg: name + " is empty", Hint: "a definition has the keys of jarvis.yaml, as in {command: check_disk -w 10%}", Kind: command.ErrUsage}
	}
	return b, err
}

// readWhole reads a file, or standard input for "-".
func readWhole(name string, stdin io.Reader) (b []byte, err error) {
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
		return nil, &command.UserError{Msg: fmt.Sprintf("cannot read %s: %v", name, err), Kind: command.ErrNotFound}
	}
	return b, nil
}

// follow shows a run until it is at rest; Ctrl-C ends the showing, not the run.
func follow(ctx context.Context, t *term, cl *web.Client, a command.Envelope, verb string, asJSON bool) error {
	id := a.Run.ID
	var v view = &plainView{out: t.out}
	switch {
	case asJSON:
		v = &jsonView{t: t, verb: verb}
	case canRedraw(t.out):
		v = &liveView{out: t.out}
	}
	r, err := watch(ctx, cl, id, a.Since, v)
	if err != nil {
		if r.ID == 0 { // it was never seen
			r.Run = *a.Run
		}
		return t.unwatched(ctx, asJSON, leftRun(r.Run), err)
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
			r, err := steadily(ctx, func() (web.RunView, error) { return cl.Run(ctx, c.Runs[i].ID) })
			if err != nil {
				return t.unwatched(ctx, asJSON, &leftError{what: c.Name, name: c.Name, a: command.Answer{Data: c, Cluster: c}}, err)
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
			switch {
			case shown[r.ID] == line:
			case asJSON:
				_ = t.envelope(command.Envelope{Type: typeOf(r.Run), OK: true, Answer: command.Answer{Lines: []string{r.Host + ": " + line}, Data: r.Run, Run: &r.Run}})
			default:
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
			end := command.Envelope{Type: command.TypeEnd, OK: good == len(c.Runs), Answer: command.Answer{Lines: []string{fmt.Sprintf("%s: %d of %d hosts", c.Name, good, len(c.Runs))}, Data: c, Cluster: c}}
			if !end.OK {
				end.Exit = exitFailed
			}
			if asJSON {
				if err := t.envelope(end); err != nil {
					return err
				}
			}
			return verdictOf(end)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}
