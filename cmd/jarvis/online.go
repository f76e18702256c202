package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/config"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pages"
	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/tasklog"
	"github.com/jarvisops/jarvis/workers/all"
)

// How long one thing may take to be tried, and how long a channel may take to refuse us once we are in.
const (
	tryWithin  = 20 * time.Second
	joinWithin = 3 * time.Second
)

// postProbes try the mail server, and where webhooks are; what is wrong in their configuration was told before.
func postProbes(conf *config.Config) []all.Probe {
	var list []all.Probe
	if conf.Mail != (post.MailConfig{}) {
		list = append(list, all.Probe{Key: "mail", Do: func(ctx context.Context) (string, error) {
			m, err := conf.Mail.To("somebody@example.org")
			if err != nil {
				return "", err
			}
			return m.Try(ctx)
		}})
	}
	for i, r := range conf.Notices {
		if !strings.Contains(r.To, "://") {
			continue
		}
		list = append(list, all.Probe{Key: fmt.Sprintf("notices[%d]", i), Do: func(ctx context.Context) (string, error) {
			h, err := post.NewHook(r.To, r.Secret, r.CA)
			if err != nil {
				return "", err
			}
			return h.Try(ctx)
		}})
	}
	return list
}

// online tries what a configuration names, all at the same time, and says a line of each. It changes nothing; in chat
// it is to be seen for a moment, under a nick of its own.
func online(ctx context.Context, t *term, conf *config.Config) error {
	set, err := all.Build(conf.Workers.Passing(), conf.Data) // where no server has run, its keys are not made yet
	if set != nil {
		defer set.Close()
	}
	if err != nil {
		return conf.Wrong(err)
	}
	list := set.Probes()
	for i, ch := range conf.Chat {
		list = append(list, all.Probe{Key: fmt.Sprintf("chat[%d]", i), Do: func(ctx context.Context) (string, error) { return tryChat(ctx, conf, ch) }})
	}
	for i, task := range conf.Tasks {
		list = append(list, all.Probe{Key: fmt.Sprintf("tasks[%d]", i), Do: func(ctx context.Context) (string, error) { return tryRepo(ctx, task) }})
	}
	list = append(list, postProbes(conf)...)
	if o := conf.HTTP.OIDC; o != nil {
		list = append(list, all.Probe{Key: "http.oidc", Do: func(context.Context) (string, error) { return pages.TryOIDC(o) }})
	}
	if len(list) == 0 {
		_, _ = fmt.Fprintln(t.out, "nothing is configured that could be tried")
		return nil
	}
	var mask clipboard.Masker
	for _, s := range conf.Secrets() {
		mask.Add(s)
	}
	lines := make([]string, len(list))
	bad := make([]bool, len(list))
	var wg guard.Group
	for i, p := range list {
		bug := func(p *guard.Panic) { bad[i], lines[i] = true, "this is a bug of ours: "+p.Error() }
		wg.Go(bug, func() {
			ctx, cancel := context.WithTimeout(ctx, tryWithin)
			defer cancel()
			said, err := within(ctx, p.Do)
			if err != nil {
				bad[i], said = true, err.Error()
			}
			lines[i] = plain.Line(mask.Mask(strings.ReplaceAll(said, "\n", "; ")))
		})
	}
	wg.Wait()
	failed := 0
	for i, p := range list {
		mark := "ok   "
		if bad[i] {
			mark = "wrong"
			failed++
		}
		_, _ = fmt.Fprintf(t.out, "%s %s: %s\n", mark, p.Key, lines[i])
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed > 0 {
		return &exitError{exitFailed, fmt.Sprintf("%d of %d do not work", failed, len(list))}
	}
	return nil
}

// within does not wait for what does not end in its time: some libraries look at no context.
func within(ctx context.Context, do func(context.Context) (string, error)) (string, error) {
	type answer struct {
		said string
		err  error
	}
	done := make(chan answer, 1)
	guard.Go(func(p *guard.Panic) { done <- answer{err: p} }, func() {
		said, err := do(ctx)
		done <- answer{said, err}
	})
	select {
	case a := <-done:
		return a.said, a.err
	case <-ctx.Done():
		select {
		case a := <-done:
			return a.said, a.err
		case <-time.After(time.Second):
			return "", fmt.Errorf("no answer within %s", tryWithin)
		}
	}
}

// tryRepo uses a folder of its own: the clones of a server that runs stay untouched.
func tryRepo(ctx context.Context, c tasklog.Config) (said string, err error) {
	dir, err := os.MkdirTemp("", "jarvis-online-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := tasklog.New([]tasklog.Config{c}, dir)
	if err != nil {
		return "", err
	}
	l.Probe(ctx, func(name string, e error) { said, err = name+" can be read", e })
	return said, err
}

// tryChat logs in and joins, under a nick beside the bot's.
func tryChat(ctx context.Context, conf *config.Config, ch config.Chat) (string, error) {
	troubles := &troubles{}
	f, err := ch.Settings().Beside(conf.Name).Open(conf.Name, slog.New(troubles))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg guard.Group
	wg.Go(guard.Count, func() { _ = f.Run(ctx, func(bot.Message) {}) })
	defer wg.Wait()
	defer cancel()
	link, ok := f.(bot.LinkChecker)
	for ok && !link.Up() {
		if err := troubles.first(); err != nil {
			return "", err
		}
		if !sleep(ctx, pollSocket) {
			return "", fmt.Errorf("%s does not let us in within %s", f.Name(), tryWithin)
		}
	}
	sleep(ctx, joinWithin)
	if err := troubles.first(); err != nil {
		return "", err
	}
	said := f.Name() + " lets us in"
	if r, ok := f.(bot.Roomer); ok && len(r.Rooms()) > 0 {
		said += ", and nothing keeps us out of " + strings.Join(r.Rooms(), ", ")
	}
	return said, nil
}

// troubles is a log that keeps the first warning.
type troubles struct {
	mu  sync.Mutex
	err error
}

func (t *troubles) first() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Enabled, Handle, WithAttrs and WithGroup are slog.Handler.
func (t *troubles) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle keeps the first alone.
func (t *troubles) Handle(_ context.Context, r slog.Record) error {
	said := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "retry" {
			said += ", " + a.Value.String()
		}
		return true
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = errors.New(said)
	}
	return nil
}

// WithAttrs gives itself: attributes are no trouble.
func (t *troubles) WithAttrs([]slog.Attr) slog.Handler { return t }

// WithGroup gives itself.
func (t *troubles) WithGroup(string) slog.Handler { return t }
