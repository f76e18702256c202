// Package bot answers people in chat and tells them, unasked, what became of what they started.
//
//	bot/irc, bot/console ── Message ──► Bot ── addressed to us? ──► command.Table ── Answer ──► Frontend.Say
//	pipeline.Events ──► notices (a table: written once, marked when a server took it) ──► Frontend.Deliver
//
// The bot knows no network: a Frontend does. A person's messages are answered in their order, different persons'
// side by side; no frontend's reader ever waits for a verb. Run owns all goroutines and ends them before it returns.
package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// Message is one line that somebody said.
type Message struct {
	Nick    string // what he is called there
	Account string // proven by the server; "" when it is not
	Place   string // channel or room; for a private message, the nick
	Private bool
	Text    string
}

// Frontend is one chat network.
type Frontend interface {
	// Name is unique and the same after a restart: notices wait under it. "irc/irc.example.org", "console".
	Name() string
	// Network is the kind of identity that the frontend vouches for: "irc", "xmpp", "console".
	Network() string
	// Nick is what the bot is called there now.
	Nick() string
	// Run connects, hands every message to in, and reconnects until ctx ends. in never blocks.
	Run(ctx context.Context, in func(Message)) error
	// Say queues lines for a place. They may be lost when the connection breaks: whoever asked will ask again.
	Say(place string, lines []string)
	// Deliver says one line and returns nil only when the server took it.
	Deliver(ctx context.Context, place, line string) error
}

// Config of a Bot. Table, Engine, DB and Access must be set.
type Config struct {
	Name      string // what it is addressed by, besides its nick
	Table     *command.Table
	Engine    *pipeline.Engine
	DB        *store.DB
	Access    *access.Access
	Frontends []Frontend
	// Page stores a long answer and gives its address. Nil: long answers are told in private.
	Page func(ctx context.Context, lines []string) (string, error)
	Log  *slog.Logger
}

// Bot is made with New and runs once.
type Bot struct {
	Config
	notices *notices

	mu     sync.Mutex
	queues map[string]chan Message // by frontend and nick
	wg     sync.WaitGroup
}

// New makes the notices' table.
func New(ctx context.Context, c Config) (*Bot, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bot{Config: c, queues: map[string]chan Message{}}
	var err error
	b.notices, err = newNotices(ctx, b)
	return b, err
}

// Run serves until ctx ends. The first frontend that gives up for good stops all.
func (b *Bot) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, f := range b.Frontends {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f.Run(ctx, func(m Message) { b.receive(ctx, f, m) }); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", f.Name(), err))
			} else if ctx.Err() == nil {
				cancel(nil) // it was asked to end: the console's `quit`
			}
		}()
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		b.notices.run(ctx)
	}()
	wg.Wait()
	b.wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// maxQueued bounds the lines of one person that wait for an answer; more are dropped, with a word.
const maxQueued = 20

// receive puts a message into its person's queue, and starts the goroutine that answers it when none runs.
func (b *Bot) receive(ctx context.Context, f Frontend, m Message) {
	text, ok := b.addressed(f, m)
	if !ok {
		return
	}
	m.Text = text
	key := f.Name() + "\x00" + m.Nick
	b.mu.Lock()
	defer b.mu.Unlock()
	q, running := b.queues[key]
	if !running {
		q = make(chan Message, maxQueued)
		b.queues[key] = q
		b.wg.Add(1)
		go b.answerAll(ctx, f, key, q)
	}
	select {
	case q <- m:
	default:
		b.Log.Warn("too many lines from one person; one is dropped", "via", f.Name(), "nick", m.Nick)
	}
}

func (b *Bot) answerAll(ctx context.Context, f Frontend, key string, q chan Message) {
	defer b.wg.Done()
	for {
		select {
		case m := <-q:
			b.answer(ctx, f, m)
		default:
			b.mu.Lock()
			if len(q) == 0 {
				delete(b.queues, key)
				b.mu.Unlock()
				return
			}
			b.mu.Unlock()
		}
	}
}

// addressed gives the text behind `jarvis:`, `jarvis,` or `@jarvis`, or a private message as it is. ok is false for
// what is not for us.
func (b *Bot) addressed(f Frontend, m Message) (text string, ok bool) {
	t := strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1 // formatting codes of chat clients, and worse
		}
		return r
	}, m.Text))
	for _, name := range []string{b.Name, f.Nick()} {
		if name == "" {
			continue
		}
		if strings.HasPrefix(strings.ToLower(t), "@"+strings.ToLower(name)) {
			rest := t[1+len(name):]
			if rest == "" || strings.ContainsAny(rest[:1], " :,") {
				return strings.TrimLeft(rest, " :,"), true
			}
		}
		if len(t) > len(name) && strings.EqualFold(t[:len(name)], name) && (t[len(name)] == ':' || t[len(name)] == ',') {
			return strings.TrimSpace(t[len(name)+1:]), true
		}
	}
	return t, m.Private && t != ""
}

// commandTimeout bounds one answer; a deploy itself goes on in the engine.
const commandTimeout = 60 * time.Second

func (b *Bot) answer(ctx context.Context, f Frontend, m Message) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	p := b.Access.Who(access.Identity{Network: f.Network(), Account: m.Account, Nick: m.Nick})
	if f.Network() == "console" {
		p = access.Person{Name: m.Account, Roles: []string{access.Admin}}
	}
	place := m.Place
	if m.Private {
		place = m.Nick
	}
	a, err := b.Table.Do(ctx, command.Call{
		Words: command.SplitWords(m.Text), Person: p, Asker: m.Nick, Via: f.Name() + "/" + m.Place,
		Origin: origin{f.Name(), place, m.Nick}.String(), Local: f.Network() == "console",
	})
	lines := a.Lines
	if err != nil {
		lines = []string{strings.TrimRight(err.Error(), ".?") + "."}
		if strings.HasSuffix(err.Error(), "?") {
			lines = []string{err.Error()}
		}
	}
	prefix := m.Nick + ": "
	if m.Private {
		prefix = ""
	}
	switch {
	case f.Network() == "console":
	case len(lines) > maxLines && !m.Private:
		// Longer things go to the one who asked, and the channel stays readable.
		f.Say(place, []string{fmt.Sprintf("%s%d lines; I tell you in private.", prefix, len(lines))})
		place, prefix = m.Nick, ""
		lines = trim(lines, maxPrivateLines, m.Text)
	case m.Private:
		lines = trim(lines, maxPrivateLines, m.Text)
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = prefix + l
	}
	f.Say(place, out)
}

// Lines of one answer: in a channel, and in private.
const (
	maxLines        = 4
	maxPrivateLines = 30
)

func trim(lines []string, n int, asked string) []string {
	if len(lines) <= n {
		return lines
	}
	return append(lines[:n-1:n-1], fmt.Sprintf("… and %d more; `jarvis %s` on the command line shows all", len(lines)-n+1, asked))
}

// origin says where somebody asked; it travels with the run as text.
type origin struct{ frontend, place, nick string }

func (o origin) String() string { return o.frontend + "\x1f" + o.place + "\x1f" + o.nick }

func parseOrigin(s string) (origin, bool) {
	p := strings.Split(s, "\x1f")
	if len(p) != 3 {
		return origin{}, false
	}
	return origin{p[0], p[1], p[2]}, true
}
