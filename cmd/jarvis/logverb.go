package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/web"
)

// logCmd is the verb `log`.
type logCmd struct {
	verbCmd
	Follow bool `short:"f" help:"From the first line on, and go on with what comes until the run ends. Ctrl-C ends this, not the run."`

	Timeout time.Duration `placeholder:"DURATION" help:"With -f: follow no longer than this, as in 5m; the run goes on, and the exit code is 5."`
}

// Run is called by kong.
func (c *logCmd) Run(ctx context.Context, t *term) error {
	c.then = sayHowToFollow
	t.json = c.JSON
	switch {
	case !c.Follow && c.Timeout != 0:
		return &command.UserError{Msg: "`log` shows what there is and waits for nothing, so --timeout means nothing", Hint: "with -f it follows the run", Kind: command.ErrUsage}
	case !c.Follow:
		return c.verbCmd.Run(ctx, t)
	}
	if err := c.verb.CheckArgs(c.Args); err != nil {
		return err
	}
	cl, err := t.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	a, err := cl.Command(ctx, web.CommandRequest{Words: []string{"status", c.Args[0]}}, "")
	if err != nil {
		return err
	}
	if a.Run == nil {
		return &command.UserError{Msg: c.Args[0] + " is no host", Hint: "`log` follows one host, or the run of a number", Kind: command.ErrUsage}
	}
	f := &logFollower{t: t, cl: cl, run: *a.Run, json: c.JSON}
	if len(c.Args) == 2 {
		if f.stage, err = command.StageOf(f.run, c.Args[1]); err != nil {
			return err
		}
	}
	ctx, cancel := limited(ctx, c.Timeout)
	defer cancel()
	if err := f.follow(ctx); err != nil {
		return t.unwatched(ctx, c.JSON, leftRun(f.run), err)
	}
	return nil
}

// sayHowToFollow comes after the log so far of a run that goes on.
func sayHowToFollow(t *term, a command.Answer) {
	if a.Run != nil && !a.Run.State.Resting() {
		_, _ = fmt.Fprintf(t.err, "run %d goes on; `jarvis log -f %d` follows it\n", a.Run.ID, a.Run.ID)
	}
}

// logFollower prints what a run does, each line once, whatever becomes of the connection meanwhile.
type logFollower struct {
	t     *term
	cl    *web.Client
	run   pipeline.Run
	stage int   // only this one; 0: all
	json  bool  // print envelopes
	last  int64 // the newest event that is printed
}

// follow goes on after the last printed event when the connection breaks, until linkTries in a row brought nothing.
func (f *logFollower) follow(ctx context.Context) error {
	for tries := 0; ; tries++ {
		err := f.cl.Follow(ctx, f.run.ID, f.last, func(ev pipeline.Event) {
			f.last, tries = ev.ID, 0
			f.print(ev)
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			return f.end(ctx)
		case isVerdict(err):
			return err
		case tries > linkTries:
			return gone(err)
		case tries == 1: // the first is a server that starts again
			_, _ = fmt.Fprintf(f.t.err, "jarvis: the connection broke (%s); trying again\n", strings.TrimSuffix(plain.Line(err.Error()), "."))
		}
		sleep(ctx, linkPause)
	}
}

// print passes over the stages that were not asked for.
func (f *logFollower) print(ev pipeline.Event) {
	switch {
	case f.stage > 0 && (ev.Step == "" || ev.Stage != f.stage-1):
	case f.json:
		_ = f.t.envelope(eventEnvelope(ev, len(f.run.Steps)))
	default:
		_, _ = fmt.Fprintln(f.t.out, plain.Line(command.EventLine(ev, len(f.run.Steps))))
	}
}

// end says how the run stands now that nothing more comes. Only asking can fail: a run that failed is no error of
// `log`.
func (f *logFollower) end(ctx context.Context) error {
	r, err := steadily(ctx, func() (web.RunView, error) { return f.cl.Run(ctx, f.run.ID) })
	switch {
	case err != nil:
		return err
	case f.json:
		return f.t.envelope(command.Envelope{Type: command.TypeEnd, OK: true, Answer: command.Answer{Lines: []string{outcome(r)}, Data: r.Run, Run: &r.Run}})
	}
	_, err = fmt.Fprintln(f.t.out, plain.Line(outcome(r)))
	return err
}
