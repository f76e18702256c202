// Package console is the frontend for one person at a terminal: what they type is a private message, and they started
// the process, so they may do everything.
package console

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"strings"
	"sync"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Frontend reads lines from In and writes to Out; it implements bot.Frontend.
type Frontend struct {
	In     io.Reader
	Out    io.Writer
	Bot    string // the bot's name
	User   string // who types; empty: the login name
	Script []Line // typed before the person's own lines
	Prompt bool   // show a prompt: In is a terminal
	// Edit begins to read lines in a way of its own, with a prompt, when the script is over; Out then leaves that
	// prompt in its place. Nil: lines come from In as they are.
	Edit func(prompt string) (read func() (string, error), err error)

	mu sync.Mutex
}

// Line of a script, typed when Wait returns.
type Line struct {
	Text string
	Wait func(ctx context.Context) error // nil: at once
}

var _ bot.Frontend = (*Frontend)(nil)

// Name gives "console".
func (f *Frontend) Name() string { return "console" }

// Network gives "console".
func (f *Frontend) Network() string { return "console" }

// Nick gives the bot's name.
func (f *Frontend) Nick() string { return f.Bot }

// who gives the name under which lines are typed: the configured one, else that of the login.
func (f *Frontend) who() string {
	if f.User == "" {
		f.User = "you"
		if u, err := user.Current(); err == nil && u.Username != "" {
			f.User = u.Username
		}
	}
	return f.User
}

// Run types the script and then hands on what comes from In, until its end, `quit`, or ctx.
func (f *Frontend) Run(ctx context.Context, in func(bot.Message)) error {
	who := f.who()
	for _, l := range f.Script {
		if l.Wait != nil {
			if err := l.Wait(ctx); err != nil {
				return err
			}
		}
		if l.Text == "" {
			continue
		}
		f.print(who + "> " + l.Text)
		in(bot.Message{Nick: who, Account: who, Place: "console", Private: true, Text: l.Text})
	}
	if f.In == nil {
		return nil
	}
	read, err := f.reader(who)
	if err != nil {
		return err
	}
	lines := make(chan string)
	errs := make(chan error, 1)
	guard.Go(func(p *guard.Panic) { errs <- p }, func() {
		for {
			l, err := read()
			if err != nil {
				errs <- err
				return
			}
			select {
			case lines <- l:
			case <-ctx.Done():
				return
			}
		}
	})
	f.prompt()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-errs:
			if errors.Is(err, io.EOF) {
				return nil
			}
			if errors.Is(err, bufio.ErrTooLong) {
				return fmt.Errorf("a line on the console is longer than %d bytes", bufio.MaxScanTokenSize)
			}
			return err
		case l := <-lines:
			switch strings.TrimSpace(l) {
			case "":
				f.prompt()
			case "quit", "exit":
				return nil
			default:
				in(bot.Message{Nick: who, Account: who, Place: "console", Private: true, Text: l})
			}
		}
	}
}

// reader gives what reads a line; io.EOF after the last.
func (f *Frontend) reader(who string) (func() (string, error), error) {
	if f.Edit != nil {
		return f.Edit(who + "> ")
	}
	sc := bufio.NewScanner(f.In)
	return func() (string, error) {
		if sc.Scan() {
			return sc.Text(), nil
		}
		return "", cmp.Or(sc.Err(), io.EOF)
	}, nil
}

// Say prints lines.
func (f *Frontend) Say(_ string, lines []string) {
	for _, l := range lines {
		f.print(f.Bot + "> " + plain.Line(l))
	}
	f.prompt()
}

// Deliver prints one line; printed is delivered.
func (f *Frontend) Deliver(_ context.Context, n bot.Notice) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	cr := ""
	if f.Prompt {
		cr = "\r"
	}
	_, err := fmt.Fprintf(f.Out, "%s%s> %s\n", cr, f.Bot, plain.Line(n.Line))
	if err == nil && f.Prompt {
		_, err = fmt.Fprintf(f.Out, "%s> ", f.who())
	}
	return err
}

// print begins at the left edge: a prompt may stand there.
func (f *Frontend) print(line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	cr := ""
	if f.Prompt {
		cr = "\r"
	}
	_, _ = fmt.Fprintln(f.Out, cr+line)
}

func (f *Frontend) prompt() {
	if !f.Prompt {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = fmt.Fprintf(f.Out, "\r%s> ", f.who())
}
