package external

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/proc"
	"github.com/jarvisops/jarvis/pipeline"
)

// run runs the program for one task.
func (w *Worker) run(ctx context.Context, file string, args []string, resume pipeline.Resume, c *clipboard.Clipboard) error {
	f := pipeline.FactsOf(ctx)
	last := ""
	stderr := &lineWriter{f: func(l string) {
		if l = strings.TrimSpace(l); l != "" {
			last = l
			pipeline.Progress(ctx, l)
		}
	}}
	word := "" // by hand: two may run at the same time
	if f.Run > 0 {
		word = fmt.Sprintf("%s-%d", f.Token, f.Stage)
	}
	var out limited
	e, err := proc.Run(ctx, proc.Command{Path: file, Args: args, Dir: filepath.Dir(file), Grace: w.cfg.Grace, Silence: w.cfg.Silence, Word: word,
		Env:   append(proc.Environ(), "JARVIS_RUN="+strconv.FormatInt(f.Run, 10), "JARVIS_TOKEN="+f.Token, "JARVIS_BY="+f.By),
		Stdin: bytes.NewReader(c.Bytes()), Stdout: &out, Stderr: stderr})
	if caught := stderr.flush(); caught != nil {
		return caught
	}
	if e.Swept > 0 {
		pipeline.Log(ctx, fmt.Sprintf("ended first what an earlier try had left running (processes: %d)", e.Swept))
	}
	if e.Left != "" {
		pipeline.Log(ctx, "still running, and not ours to end: process "+e.Left)
	}
	name := filepath.Base(file) + " " + strings.Join(args, " ")
	var start *proc.StartError
	// Who was told to stop, and still printed the clipboard and left with 0, was at its end.
	stopped := e.Stopped && (e.Signal != 0 || e.Code != 0 || len(bytes.TrimSpace(out.b.Bytes())) == 0)
	switch {
	case ctx.Err() != nil && (err != nil || stopped):
		return context.Cause(ctx)
	case errors.As(err, &start) && passes(start.Err):
		return start // it did not begin: later it may
	case errors.As(err, &start):
		return pipeline.Permanent(start)
	case errors.Is(err, proc.ErrLost), err == nil && stopped:
		if err == nil {
			err = errors.New("it was stopped from outside")
		}
		err = fmt.Errorf("%s: %w%s", name, err, said(last))
		if resume == pipeline.Ask {
			return pipeline.AskPerson(err)
		}
		return err
	case err != nil:
		return err // it did not begin: later it may
	case e.Signal != 0:
		return pipeline.Permanentf("%s was killed by signal %d (%s)%s", name, e.Signal, e.Signal, said(last))
	case e.Code == 75:
		return fmt.Errorf("%s (exit code 75)", reason(last))
	case e.Code != 0:
		return pipeline.Permanentf("%s (exit code %d)", reason(last), e.Code)
	case len(bytes.TrimSpace(out.b.Bytes())) == 0:
		return nil
	}
	if err := replace(c, out.b.Bytes()); err != nil {
		return pipeline.Permanentf("what %s printed is not a clipboard for this host: %v; the old clipboard stays", name, err)
	}
	return nil
}

// passes reports whether a program could not be started for want of what others give back: files, memory, processes.
func passes(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.EAGAIN, unix.ENOMEM, unix.ETXTBSY} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func reason(last string) string {
	if last == "" {
		return "it said nothing on stderr"
	}
	return last
}

func said(last string) string {
	if last == "" {
		return "; it said nothing on stderr"
	}
	return "; the last it said: " + last
}

// replace takes a program's output as the new clipboard. Its host may not change: the record, the lock and the
// names of the machine hang on it.
func replace(c *clipboard.Clipboard, out []byte) error {
	before, err := c.Instance()
	if err != nil {
		return err
	}
	n := c.Clone()
	if err := n.Replace(out); err != nil {
		return err
	}
	after, err := n.Instance()
	if err != nil {
		return err
	}
	if after.Hostname != before.Hostname || after.FQDN != before.FQDN {
		return fmt.Errorf("it is about another host, %s instead of %s", after.FQDN, before.FQDN)
	}
	return c.Replace(out)
}

// limited keeps the start of a stream: one byte more than a clipboard may have tells that there was too much.
type limited struct{ b bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := clipboard.MaxBytes + 1 - l.b.Len(); room > 0 {
		l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// lineWriter cuts a stream into lines.
type lineWriter struct {
	f   func(string)
	buf []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p...)
	for {
		i := bytes.IndexByte(l.buf, '\n')
		if i < 0 {
			break
		}
		line := string(l.buf[:i])
		l.buf = l.buf[i+1:]
		if err := l.say(line); err != nil {
			return 0, err
		}
	}
	if len(l.buf) > 64<<10 {
		if err := l.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// flush gives what no end of a line came after.
func (l *lineWriter) flush() error {
	line := strings.TrimSuffix(string(l.buf), "\r")
	l.buf = nil
	if line == "" {
		return nil
	}
	return l.say(line)
}

// say makes an error of a panic: os/exec calls Write in a goroutine of its own.
func (l *lineWriter) say(line string) error {
	return guard.Call(func() error { l.f(line); return nil })
}
