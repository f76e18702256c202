// Package bot answers people in chat and tells them, unasked, what became of what they started.
//
//	bot/irc, bot/console ── Message ──► Bot ── addressed to us? ──► command.Table ── Answer ──► Frontend.Say
//	pipeline.Events, checks.Notices ──► notices (a table: a row is claimed, said, marked) ──► Frontend.Deliver
//	                                                                                     └──► postman ──► post: webhooks, mail
//
// A row is claimed before it is said, and marked when the server took it: so it is said at least once, and with
// "(perhaps again)" when nobody can know. Of several nodes one makes rows (role "notices", with its place in the table
// followers), one speaks on a network ("chat NAME"), and one sends webhooks and mails ("post").
//
// The bot knows no network: a Frontend does. A person's messages are answered in their order, different persons'
// side by side; no frontend's reader ever waits for a verb. Run owns all goroutines and ends them before it returns.
package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/store"
)

// Feed is what has something to say beside the engine. A *checks.Monitor is one.
type Feed interface {
	// Notices gives those after an id, in the order of their ids.
	Notices(ctx context.Context, after int64, limit int) ([]checks.Notice, error)
	// NewNotices gives a channel that has something when there are new ones, and what ends that.
	NewNotices() (<-chan struct{}, func())
}

// Config of a Bot. Table, Engine, DB and Access must be set.
type Config struct {
	Name      string // what it is addressed by, besides its nick
	Unnamed   bool   // nobody gave it that name: it counts only where its configured nick is the same; see Nicked
	Table     *command.Table
	Engine    *pipeline.Engine
	DB        *store.DB
	Access    *access.Access
	Frontends []Frontend
	// Checks has notices of its own; may be nil.
	Checks Feed
	// Page stores a long answer and gives its address. Nil: long answers are told in private.
	Page func(ctx context.Context, lines []string) (string, error)
	// Pages is where people reach the pages, without a slash at its end: notices end with the address of what they tell
	// of. "": they do not.
	Pages string
	// Routes say where notices go beside the place where a run was asked; SetRoutes changes them. Mail is who takes
	// mails.
	Routes Routes
	Mail   post.MailConfig
	// Strangers bounds the answers to people who are not in the configuration.
	Strangers StrangersConfig
	Log       *slog.Logger
}

// Bot is made with New and runs once.
type Bot struct {
	Config
	notices *notices

	mu       sync.Mutex
	queues   map[string]chan Message // by frontend and person
	dropped  map[string]int          // lines that found their queue full
	moods    map[string]*mood
	late     map[string]int64 // by place: the connection on which we said that we act on nothing from before
	speaking map[string]bool  // by frontend
	wg       guard.Group

	strangers *strangers
}

// New makes the notices' table.
func New(ctx context.Context, c Config) (*Bot, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bot{Config: c, queues: map[string]chan Message{}, dropped: map[string]int{}, moods: map[string]*mood{}, late: map[string]int64{}, speaking: map[string]bool{}, strangers: newStrangers(c.Strangers)}
	var err error
	b.notices, err = newNotices(ctx, b)
	return b, err
}

// Run serves until ctx ends. The first frontend that gives up for good stops all.
func (b *Bot) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg guard.Group
	for _, f := range b.Frontends {
		caught := guard.Log(b.Log, "serve a chat network", "frontend", f.Name())
		wg.Go(caught, func() {
			err := guard.Loop(ctx, caught, func(ctx context.Context) error { return b.speak(ctx, f) })
			if err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", f.Name(), err))
			} else if ctx.Err() == nil {
				cancel(nil) // it was asked to end: the console's `quit`
			}
		})
	}
	caught := guard.Log(b.Log, "collect notices")
	wg.Go(caught, func() {
		_ = guard.Loop(ctx, caught, func(ctx context.Context) error { b.notices.run(ctx); return nil })
	})
	carried := guard.Log(b.Log, "send notices")
	wg.Go(carried, func() {
		_ = guard.Loop(ctx, carried, func(ctx context.Context) error { b.notices.post(ctx); return nil })
	})
	wg.Go(guard.Log(b.Log, "hear of notices"), func() { b.notices.listen(ctx) })
	wg.Wait()
	b.wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// maxQueued bounds the lines of one person that wait for an answer; what is dropped is on record.
const maxQueued = 1000

// hear is what a frontend's reader calls. A message on which we have a bug costs that message, and not the link.
func (b *Bot) hear(ctx context.Context, f Frontend, m Message) {
	if p := guard.Do(func() { b.receive(ctx, f, m) }); p != nil {
		guard.Log(b.Log, "hear a message", "frontend", f.Name())(p)
	}
}

// receive puts a message into its person's queue, and starts the goroutine that answers it when none runs.
func (b *Bot) receive(ctx context.Context, f Frontend, m Message) {
	text, more, ok := b.addressed(f, m)
	if !ok {
		return
	}
	m.Text, m.more = text, more
	if m.Past != 0 && b.toldLate(f, m) {
		return
	}
	key := f.Name() + "\x00" + m.direct()
	if f.Network() != "console" && b.who(f, m).Name == "" {
		m.stranger = true
		if m.last, ok = b.strangers.admit(f, m); !ok {
			b.passOver(ctx, f, m)
			return
		}
		key = strangersKey(f, m) // one queue, one goroutine for all of them
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q, running := b.queues[key]
	if !running {
		q = make(chan Message, maxQueued)
		b.queues[key] = q
		caught := guard.Log(b.Log, "answer a person", "frontend", f.Name())
		b.wg.Go(caught, func() {
			_ = guard.Loop(ctx, caught, func(ctx context.Context) error { b.answerAll(ctx, f, key, q); return nil })
		})
	}
	select {
	case q <- m:
	default:
		b.dropped[key]++
	}
}

// answerAll answers what one person says, in order, and ends when nothing of theirs waits. Lines that found the queue
// full go on record, as one.
func (b *Bot) answerAll(ctx context.Context, f Frontend, key string, q chan Message) {
	var last Message
	for {
		select {
		case last = <-q:
			b.answerOne(ctx, f, last)
		default:
			b.mu.Lock()
			n := b.dropped[key]
			delete(b.dropped, key)
			if n == 0 && len(q) == 0 {
				delete(b.queues, key)
				b.mu.Unlock()
				return
			}
			b.mu.Unlock()
			if n > 0 {
				b.Table.Record(ctx, access.Record{Who: b.who(f, last).Name, Via: via(f, last), Line: fmt.Sprintf("(%d lines)", n), Outcome: "dropped: they came faster than they could be refused"})
			}
		}
	}
}

// commandTimeout bounds one answer; a deploy itself goes on in the engine.
const commandTimeout = 60 * time.Second

// who gives the person who wrote a message.
func (b *Bot) who(f Frontend, m Message) access.Person {
	if f.Network() == "console" {
		return access.Person{Name: m.Account, Roles: []string{access.Admin}}
	}
	return b.Access.Who(access.Identity{Network: f.Network(), Account: m.Account, Nick: m.Nick})
}

// via names in the record where a command came from.
func via(f Frontend, m Message) string { return f.Name() + "/" + m.Place }

// answerOne answers a message, and says so when we have a bug there: the Table catches those of a verb, this those of
// what is around it.
func (b *Bot) answerOne(ctx context.Context, f Frontend, m Message) {
	p := guard.Do(func() { b.answer(ctx, f, m) })
	if p == nil {
		return
	}
	guard.Log(b.Log, "answer a message", "frontend", f.Name(), "line", b.Table.Shown(ctx, m.Text))(p)
	m.Nick = plain.Line(m.Nick)
	const said = "this is a bug of mine, and it is in my log; nothing else is harmed."
	p = guard.Do(func() {
		b.say(f, m, []string{said})
		b.Table.Record(ctx, access.Record{Who: m.Nick, Via: via(f, m), Line: m.Text, Outcome: said})
	})
	if p != nil {
		guard.Log(b.Log, "say that there is a bug", "frontend", f.Name())(p)
	}
}

// answer runs the command of one message and says what came of it: what is too long for its place becomes a page, or
// goes to private.
func (b *Bot) answer(ctx context.Context, f Frontend, m Message) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if m.Past != 0 {
		b.sayLate(ctx, f, m)
		return
	}
	if m.Corrected {
		m.Nick = plain.Line(m.Nick)
		b.say(f, m, []string{"I do not act on corrections; say it again as a new message."})
		return
	}
	if m.Encrypted {
		m.Nick = plain.Line(m.Nick)
		b.say(f, m, []string{"I cannot read encrypted messages here; switch the encryption off for me, and say it again."})
		return
	}
	p := b.who(f, m)
	key := f.Name() + "\x00" + m.direct()
	if m.stranger {
		key = strangersKey(f, m) + "\x00" + m.origin()
	}
	m.Nick = plain.Line(m.Nick) // from here on it is only shown; whose it is was asked with the nick as it is
	console := f.Network() == "console"
	b.notices.seen(ctx, f, m, p)
	a, err := b.Table.Do(ctx, command.Call{
		Words: command.SplitWords(m.Text), Person: p, Asker: m.Nick, Via: via(f, m),
		Origin: origin{f.Name(), m.Place, m.Nick, m.direct()}.String(), Local: console, Secret: console, Private: m.Private, Free: console,
	})
	lines := a.Lines
	if err != nil {
		lines = []string{strings.TrimRight(err.Error(), ".?") + "."}
		if strings.HasSuffix(err.Error(), "?") {
			lines = []string{err.Error()}
		}
	}
	if !console && !b.worthAnswer(key, err, &lines) {
		return
	}
	if m.more {
		lines = append(slices.Clip(lines), "Your message had more lines, and I took the first only; say each command in a message of its own.")
	}
	if console {
		f.Say(m.Place, lines)
		return
	}
	if m.last {
		lines = append(slices.Clip(lines), "I do not know you, and answer strangers slowly: your next answer comes in "+b.strangers.pause()+" at the earliest.")
	}
	limit := maxLines
	if m.Private {
		limit = maxPrivateLines
	}
	if len(lines) > limit && b.Page != nil {
		url, perr := b.Page(ctx, lines)
		if perr == nil {
			lines = append(lines[:limit-1:limit-1], fmt.Sprintf("… and %d more: %s", len(lines)-limit+1, url))
		} else {
			b.Log.Error("keep a long answer", "err", perr)
		}
	}
	if len(lines) > maxLines && !m.Private {
		// Longer things go to the one who asked, and the channel stays readable.
		b.say(f, m, []string{fmt.Sprintf("%d lines; I tell you in private.", len(lines))})
		m.Place, m.Private = m.direct(), true
	}
	if m.Private {
		lines = trim(lines, maxPrivateLines, m.Text)
	}
	b.sayChoices(ctx, f, m, lines, a)
}

// say answers a message where it was said.
func (b *Bot) say(f Frontend, m Message, lines []string) { b.send(f, m, b.prefixed(f, m, lines)) }

// send is say without the asker's name. What a stranger hears in private waits for all else.
func (b *Bot) send(f Frontend, m Message, lines []string) {
	if l, ok := f.(Latecomer); ok && m.stranger && m.Private {
		l.SayLater(m.Place, lines)
		return
	}
	f.Say(m.Place, lines)
}

// prefixed says the asker's name first, where others read along.
func (b *Bot) prefixed(f Frontend, m Message, lines []string) []string {
	if m.Private {
		return lines
	}
	ml, ok := f.(Multiliner)
	out := slices.Clone(lines)
	for i := range out {
		if i == 0 || !ok || !ml.Multiline() {
			out[i] = m.Nick + ": " + out[i]
		}
	}
	return out
}

// Lines of one answer: in a channel, and in private.
const (
	maxLines        = 4
	maxPrivateLines = 30
)

// trim cuts an answer to n lines, of which the last says how many are missing and where they are.
func trim(lines []string, n int, asked string) []string {
	if len(lines) <= n {
		return lines
	}
	return append(lines[:n-1:n-1], fmt.Sprintf("… and %d more; `jarvis %s` on the command line shows all", len(lines)-n+1, asked))
}

// origin says where somebody asked; it travels with the run as text.
type origin struct{ frontend, place, nick, direct string }

// String is "" for somebody whose address has characters that are not stored: cleaned, it would be another's, and the
// notices would go there. Answers come all the same.
func (o origin) String() string {
	for _, address := range []string{o.frontend, o.place, o.direct} {
		if plain.Line(address) != address {
			return ""
		}
	}
	o.nick = plain.Line(o.nick)
	return o.frontend + "\x1f" + o.place + "\x1f" + o.nick + "\x1f" + o.direct
}

// parseOrigin reads what String wrote; false: nobody asked in chat.
func parseOrigin(s string) (origin, bool) {
	p := strings.Split(s, "\x1f")
	switch len(p) {
	case 3: // as written before a person had an address of their own
		return origin{p[0], p[1], p[2], p[2]}, true
	case 4:
		return origin{p[0], p[1], p[2], p[3]}, true
	}
	return origin{}, false
}
