package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/console"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/examples"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/pipeline"
)

type demoCmd struct {
	Keep  bool   `help:"Keep the data folder and say where it is." xor:"what"`
	World string `placeholder:"DIR" help:"Bring up the world alone, write a jarvis.yaml and a clipboard for it into DIR, and stay; docs/tutorial/first-steps.md goes on from there." xor:"what"`
}

// Run is called by kong. Without a terminal the script is played, and the exit code tells whether loki became ready.
func (c *demoCmd) Run(ctx context.Context, t *term) error {
	if c.World != "" {
		return c.worldAlone(ctx, t)
	}
	began := time.Now()
	dir, err := os.MkdirTemp("", "jarvis-demo-")
	if err != nil {
		return err
	}
	if c.Keep {
		_, _ = fmt.Fprintln(t.out, "data:", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	_, _ = fmt.Fprintln(t.out, "Bringing up a world on loopback: vSphere (a simulator), DNS, a directory, SSH hosts in a sandbox …")
	port, err := freePort()
	if err != nil {
		return err
	}
	w, err := lab.Start(ctx, lab.Options{Port: port})
	if err != nil {
		return fmt.Errorf("bring up the demo's world: %w", err)
	}
	defer w.Stop()
	interactive := isTerminal(t.in) && isTerminal(t.out)
	text := w.Config(filepath.Join(dir, "data"), "")
	if interactive { // there is time to look at the pages
		text = strings.Replace(text, "listen: \"\"\n", "listen: 127.0.0.1:0\n", 1) + "people: [{name: you, roles: [admin]}]\n"
	}
	conf, err := config.Parse(filepath.Join(dir, "jarvis.yaml"), []byte(text), os.LookupEnv)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	a, err := newApp(ctx, conf, log)
	if err != nil {
		return err
	}
	defer a.close()
	const file = "examples/loki.yaml"
	a.readFile = func(name string) ([]byte, error) {
		if b, err := os.ReadFile(name); err == nil || name != file {
			return b, err
		}
		return []byte(examples.Loki), nil // the demo runs from any folder
	}

	out := &lockedWriter{w: t.out}
	d := &demo{a: a, out: out, end: make(chan pipeline.Run, 1)}
	_, _ = fmt.Fprintf(out, "Ready in %s. Everything below is real but the world it happens in.\nApprovals are off here, for you are alone: elsewhere what destroys, or touches what is in production, waits for a second person (`approve`).\n\n", time.Since(began).Round(100*time.Millisecond))
	front := &console.Frontend{Out: out, Bot: conf.Name, Script: []console.Line{
		{Text: "jarvis: plan " + file},
		{Text: "jarvis: deploy " + file, Wait: pause(1200 * time.Millisecond)},
		{Text: "jarvis: status loki", Wait: pause(1500 * time.Millisecond)},
		{Wait: d.wait},
		{Text: "jarvis: show loki", Wait: pause(300 * time.Millisecond)},
		{Wait: pause(700 * time.Millisecond)},
	}}
	if interactive {
		front.Script = append([]console.Line{{Wait: d.pages}}, front.Script...)
		front.In = t.in
		if front.Prompt = !canRedraw(t.out); front.Prompt {
			d.cr = "\r"
		} else {
			in, _ := fileOf(t.in) // both are terminals
			screen, _ := fileOf(t.out)
			e := &editor{in: in, screen: screen, out: out}
			front.Edit = e.start
			defer e.restore()
		}
		front.Script = append(front.Script, console.Line{Wait: func(context.Context) error {
			_, err := fmt.Fprint(out, "\nThe prompt is yours. Try `status loki`, `log loki`, `run loki hostname`, `undo loki`, `help`; `quit` ends it.\n")
			return err
		}})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		d.show(ctx)
	}()
	err = a.serve(ctx, []bot.Frontend{front}, nil)
	cancel()
	wg.Wait()
	if err != nil {
		return err
	}
	select {
	case r := <-d.end:
		if r.State == pipeline.Ready {
			return nil
		}
		return &exitError{exitFailed, fmt.Sprintf("the demo's host did not become ready: %s %s", r.State, r.Error)}
	default:
		if interactive {
			return nil
		}
		return &exitError{exitFailed, "the demo ended before its host became ready"}
	}
}

// pages prints where the pages are, with a link that signs in once.
func (d *demo) pages(ctx context.Context) error {
	for d.a.pagesAt() == "" {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	_, link, err := d.a.access.NewLink(ctx, d.a.access.Person("you"), "the demo")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(d.out, "Watch it in a browser, too: %s/login/%s (good once, for two minutes)\n\n", d.a.pagesAt(), link)
	return err
}

// worldAlone is for a person who starts the server themselves.
func (c *demoCmd) worldAlone(ctx context.Context, t *term) error {
	if err := os.MkdirAll(c.World, 0o755); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	w, err := lab.Start(ctx, lab.Options{Port: port})
	if err != nil {
		return fmt.Errorf("bring up the world: %w", err)
	}
	defer w.Stop()
	var made written
	conf, clip := filepath.Join(c.World, "jarvis.yaml"), filepath.Join(c.World, "loki.yaml")
	head := "# A world on loopback, made by `jarvis demo --world`. Its ports are new each time.\n"
	if err := errors.Join(made.file(conf, head+w.Config("./data", ""), 0o600), made.file(clip, examples.Loki, 0o644)); err != nil {
		made.undo()
		return err
	}
	_, _ = fmt.Fprintf(t.out, "wrote %s\nwrote %s\nThe world is up: vSphere (a simulator), DNS, a directory; hosts are sandboxes. Ctrl-C ends it; the files stay, and lead nowhere then.\n", conf, clip)
	<-ctx.Done()
	return nil
}

// demo shows the stages of the demo's run between the lines of the dialogue.
type demo struct {
	a   *app
	out io.Writer
	cr  string // takes the prompt away
	end chan pipeline.Run
}

// show prints the stages until ctx ends, from the first event of the record on.
func (d *demo) show(ctx context.Context) {
	f := pipeline.Follower{Failed: func(error) {}, Kinds: func() []pipeline.EventKind { return nil }} // the server's log tells of a record that cannot be read
	f.Take = func(ctx context.Context, ev pipeline.Event) {
		r, err := d.a.engine.Get(ctx, ev.Run)
		if err != nil {
			return
		}
		if l := stageLine(ev, r); l != "" {
			_, _ = fmt.Fprintln(d.out, d.cr+l)
		}
	}
	_ = f.Follow(ctx, d.a.engine) // nil: it ends with ctx
}

// stageLine gives "" for what the dialogue tells itself.
func stageLine(ev pipeline.Event, r pipeline.Run) string {
	at := fmt.Sprintf("    %2d/%d %-30s", ev.Stage+1, len(r.Steps), ev.Step)
	switch ev.Kind {
	case pipeline.EvDone:
		return fmt.Sprintf("%s ✔ %s", at, strings.TrimSpace(fmt.Sprintf("%6s  %s", shortTime(ev.Took), ev.Text)))
	case pipeline.EvWaiting, pipeline.EvRetrying:
		return fmt.Sprintf("%s … %s", at, ev.Text)
	case pipeline.EvStepUndone:
		return fmt.Sprintf("%s ↶ %s", at, ev.Text)
	}
	return ""
}

func shortTime(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }

// wait waits for the end of the first run.
func (d *demo) wait(ctx context.Context) error {
	changed, done := d.a.engine.Changed()
	defer done()
	for {
		r, err := d.a.engine.Get(ctx, 1)
		if err == nil && r.State.Resting() {
			// The notice is on its way to the console; let it come first.
			sleep(ctx, 400*time.Millisecond)
			d.end <- r
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-time.After(time.Second):
		}
	}
}

// pause makes an action of the demo that does nothing for some time.
func pause(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		sleep(ctx, d)
		return nil
	}
}

// lockedWriter lets several goroutines write whole lines, to what it is set to.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) set(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w = w
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
