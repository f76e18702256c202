package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/console"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/lab/real"
)

// consoleWay is the demo's prompt: one person, who may do everything.
type consoleWay struct {
	in  io.Writer
	out *real.Buffer
	at  int
}

func (w *consoleWay) config() string { return "" }

func (w *consoleWay) open(t *testing.T, s *talkSite) {
	r, wr := io.Pipe()
	w.in, w.out = wr, &real.Buffer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runConsole(ctx, s.conf, "alice", r, w.out) }()
	t.Cleanup(func() {
		_ = wr.Close()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the console does not end with its input")
		}
		cancel()
	})
}

func (w *consoleWay) say(t *testing.T, _, text string) {
	if _, err := fmt.Fprintln(w.in, text); err != nil {
		t.Error(err)
	}
}

func (w *consoleWay) hear(t *testing.T, _, pattern string, _ bool) {
	t.Helper()
	re := regexp.MustCompile(`(?m)^(?:jarvis> )?(?:alice: )?` + pattern + `$`)
	for end := time.Now().Add(hearLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if loc := re.FindStringIndex(w.out.String()[w.at:]); loc != nil {
			w.at += loc[1]
			return
		}
	}
	t.Errorf("the console shows no %s after:\n%s", pattern, w.out.String()[w.at:])
}

// runConsole is a server whose one frontend is a console.
func runConsole(ctx context.Context, confFile, user string, in io.Reader, out io.Writer) error {
	conf, err := config.Load(confFile)
	if err != nil {
		return err
	}
	a, err := newApp(ctx, conf, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer a.close()
	return a.serve(ctx, []bot.Frontend{&console.Frontend{In: in, Out: out, Bot: conf.Name, User: user}}, nil)
}
