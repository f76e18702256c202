// Package command is the verbs: one table, one file per verb. Chat, the command line and HTTP run the same ones, so a
// rule about who may do what, or what an answer says, is written once.
//
//	bot, web ── Call{line, person, place} ──► Table.Do ── role? arguments? ──► Verb.Run ──► Answer
//	                                             └──► one audit row, whatever became of it
//
// To add a verb: one file with a function that gives a Verb, one line in Verbs, one dialogue in bot/testdata.
// Verbs know nothing of chat: an Answer is lines and data, and who asked from where is in the Call.
package command

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
	"github.com/jarvisops/jarvis/store"
	"github.com/jarvisops/jarvis/tasklog"
)

// Verb is one command, as data.
type Verb struct {
	Name    string
	Usage   string // its arguments: "HOST [from STEP]"
	Doc     string // one line
	Example string // a whole line as somebody types it
	Role    string // "" for everybody
	Min     int    // fewest arguments
	Max     int    // most; -1: the rest of the line belongs to the last
	Hidden  bool   // not in help
	Acts    bool   // changes something: only its whole name means it, and a client may wait for what came of it
	API     []API  // its operations over HTTP
	Short   string // it is a shorter word for this one, which has the operations
	Run     func(ctx context.Context, e *Env, c *Call) (Answer, error)
}

// Call is one command as somebody gave it.
type Call struct {
	Words  []string      // verb first
	Person access.Person // the zero Person is a stranger
	Asker  string        // how he is called where he asks; equals Person.Name when known
	Via    string        // "irc/libera/#ops", "console", "socket": for the audit record
	Origin string        // where notices about what he starts go; "" when nobody listens
	File   []byte        // a clipboard that the command line read; nil otherwise
	Local  bool          // files of this machine may be named (console)
	Secret bool          // only the asker reads the answer: it may hold a secret
	Free   bool          // not counted: he could as well open the database
	Key    string        // idempotency key of a client that may ask twice; "" otherwise
	Before int64         // for lists that come by pages: what is older than this number; 0: from the newest on
	Args   []string      // Words without the verb; set by Do
}

// Answer is what a verb says.
type Answer struct {
	Lines []string      `json:"lines"`
	Data  any           `json:"data,omitempty"`
	Run   *pipeline.Run `json:"run,omitempty"` // the run that was started or moved: a client may follow it
	// Cluster is the one that was started or moved.
	Cluster *pipeline.Cluster `json:"cluster,omitempty"`
	// Since is the newest event before the run was moved: a client that follows it from there hears nothing old.
	Since int64 `json:"since,omitempty"`
}

func say(format string, args ...any) Answer {
	return Answer{Lines: []string{fmt.Sprintf(format, args...)}}
}

// UserError is shown as written: what is wrong, then what to type. Kind tells an exit code or status.
type UserError struct {
	Msg, Hint string
	Kind      error         // one of the kinds below, or nil
	Wait      time.Duration // with ErrLimited: how long until the next command
}

func (e *UserError) Error() string {
	if e.Hint == "" {
		return e.Msg
	}
	return e.Msg + "; " + e.Hint
}
func (e *UserError) Unwrap() error { return e.Kind }

// Kinds of UserError.
var (
	ErrUsage    = errors.New("usage")
	ErrDenied   = errors.New("not allowed")
	ErrNotFound = errors.New("not found")
	ErrUnknown  = fmt.Errorf("%w: no such command", ErrUsage)
	ErrLimited  = errors.New("too fast")
)

// Env is what verbs work with. Engine must be set; a nil function means that the thing is not configured.
type Env struct {
	Name      string // the bot's
	Version   string
	Engine    *pipeline.Engine
	Pipelines map[string]map[string][]string // verb, provider, steps
	Providers []string                       // with a pipeline here
	Repos     []string                       // that whoever may deploy can let a host read: owner/name or owner/*
	Fetch     func(ctx context.Context, url string) ([]byte, error)
	LDAP      func(ctx context.Context, cn string) ([]byte, error)
	ReadFile  func(name string) ([]byte, error) // for the console
	Exec      func(ctx context.Context, h pipeline.Standing, args []string, line func(string)) (remote.Result, error)
	Access    *access.Access // tokens and the audit record; nil: neither is kept
	Limiter   *access.Limiter
	Tasks     *tasklog.Log // repositories of one-off tasks; may be nil
	Checks    *checks.Monitor
	Approvals Approvals
	// InDirectory says what the directory knows about whether a host is in production. Nil: there is no directory.
	InDirectory func(ctx context.Context, c *clipboard.Clipboard) (what string, yes bool, err error)
	// Observe is told of every command, for metrics.
	Observe func(verb string, c Call, took time.Duration, err error)
	Log     *slog.Logger
	Now     func() time.Time
	Table   *Table // set by NewTable
}

// Table runs verbs. It is safe for concurrent use.
type Table struct {
	env   *Env
	verbs []Verb
}

// Verbs is the one table.
func Verbs() []Verb {
	return []Verb{
		deploy(), redeploy(), destroy(), approve(), deny(), plan(), status(), hosts(), history(), logOf(), show(),
		retry(), skip(), cancel(), undo(), steps(), run(), task(), check(), checksVerb(), ack(), audit(), token(), whoami(), help(), version(),
	}
}

// NewTable binds the verbs to what they work with.
func NewTable(env *Env) *Table {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.Limiter == nil {
		env.Limiter = access.NewLimiter(access.LimitConfig{})
	}
	if env.Observe == nil {
		env.Observe = func(string, Call, time.Duration, error) {}
	}
	if env.Approvals.Expires <= 0 {
		env.Approvals.Expires = defaultExpires
	}
	t := &Table{env: env, verbs: Verbs()}
	env.Table = t
	return t
}

// Pipelines gives the lists of steps by verb and provider.
func (t *Table) Pipelines() map[string]map[string][]string { return t.env.Pipelines }

// Find gives the verb for a word, or for a prefix that only one verb has, when that verb only reads: what acts is never
// guessed. The error is a *UserError with the nearest, or with the whole word to say.
func (t *Table) Find(word string) (Verb, error) {
	word = strings.ToLower(word)
	var match []Verb
	var names []string
	for _, v := range t.verbs {
		if v.Name == word {
			return v, nil
		}
		if strings.HasPrefix(v.Name, word) && word != "" {
			match = append(match, v)
		}
		names = append(names, v.Name)
	}
	if len(match) == 1 && match[0].Acts {
		return Verb{}, &UserError{Msg: fmt.Sprintf("%q is not a whole word, and `%s` changes things", word, match[0].Name), Hint: fmt.Sprintf("say `%s`", match[0].Name), Kind: ErrUsage}
	}
	if len(match) == 1 {
		return match[0], nil
	}
	if len(match) > 1 {
		var could []string
		for _, v := range match {
			could = append(could, v.Name)
		}
		return Verb{}, &UserError{Msg: fmt.Sprintf("%q could be %s", word, strings.Join(could, " or ")), Kind: ErrUsage}
	}
	e := &UserError{Msg: fmt.Sprintf("I do not know %q", clip(word, 40)), Hint: "`help` lists what I know", Kind: ErrUnknown}
	if near := pipeline.Nearest(word, names); near != "" {
		e.Hint = fmt.Sprintf("did you mean `%s`?", near)
	}
	return Verb{}, e
}

// Do runs one command and writes its audit row. The error, if any, is a *UserError: safe to show as it is.
func (t *Table) Do(ctx context.Context, c Call) (Answer, error) {
	if len(c.Words) == 0 {
		return say("yes? `help` lists what I know"), nil
	}
	began := t.env.Now()
	c.Asker = plain.Line(c.Asker)
	who := c.Person.Name
	if who == "" {
		who = "stranger " + c.Asker
	}
	v, a, err := t.limited(ctx, who, &c)
	a.Lines = plainLines(a.Lines)
	outcome := "ok"
	if err != nil {
		user := t.explain(ctx, c, err)
		user.Msg, user.Hint = plain.Line(user.Msg), plain.Line(user.Hint)
		err, outcome = user, user.Error()
	}
	t.env.Observe(v.Name, c, t.env.Now().Sub(began), err)
	t.Record(ctx, access.Record{Who: who, Via: c.Via, Line: strings.Join(c.Words, " "), Outcome: outcome})
	return a, err
}

// plainLines makes what is answered fit for chat and terminals, also where an old record is not: each entry is one line.
func plainLines(lines []string) []string {
	if !slices.ContainsFunc(lines, func(l string) bool { return plain.Line(l) != l }) {
		return lines
	}
	var out []string
	for _, l := range lines {
		if strings.Contains(l, "\n") {
			out = append(out, strings.Split(plain.Text(l), "\n")...)
		} else {
			out = append(out, plain.Line(l))
		}
	}
	return out
}

// Record writes one audit row. What has happened by now is said all the same; that its row is missing is in the log.
func (t *Table) Record(ctx context.Context, r access.Record) {
	if t.env.Access == nil {
		return
	}
	r = access.Record{Who: clip(r.Who, 100), Via: clip(r.Via, 200), Line: clip(r.Line, 1000), Outcome: clip(r.Outcome, 1000)}
	if err := t.env.Access.Audit(context.WithoutCancel(ctx), r); err != nil {
		t.env.Log.Error("audit", "err", err)
	}
}

func (t *Table) limited(ctx context.Context, who string, c *Call) (Verb, Answer, error) {
	if !c.Free {
		if wait := t.env.Limiter.Take(who); wait > 0 {
			return Verb{}, Answer{}, &UserError{Msg: "that is too fast for me", Hint: "try again in " + Short(max(wait.Round(time.Second), time.Second)), Kind: ErrLimited, Wait: wait}
		}
	}
	v, err := t.Find(c.Words[0])
	if err != nil {
		return v, Answer{}, err
	}
	a, err := t.run(ctx, v, c)
	return v, a, err
}

func (t *Table) run(ctx context.Context, v Verb, c *Call) (Answer, error) {
	if !c.Person.Has(v.Role) {
		if c.Person.Name == "" {
			return Answer{}, &UserError{Msg: fmt.Sprintf("`%s` needs the role %q, and I do not know you", v.Name, v.Role), Hint: "`whoami` says how I see you", Kind: ErrDenied}
		}
		return Answer{}, &UserError{Msg: fmt.Sprintf("`%s` needs the role %q, which %s does not have", v.Name, v.Role, c.Person.Name), Kind: ErrDenied}
	}
	c.Args = c.Words[1:]
	if len(c.Args) < v.Min || v.Max >= 0 && len(c.Args) > v.Max {
		return Answer{}, &UserError{Msg: fmt.Sprintf("`%s` is used as: %s", v.Name, strings.TrimSpace(v.Name+" "+v.Usage)), Hint: "as in `" + v.Example + "`", Kind: ErrUsage}
	}
	var since int64
	var a Answer
	err := guard.Call(func() (err error) {
		if v.Acts { // what a client follows begins after what is on record now
			if since, err = t.env.Engine.LastEvent(ctx); err != nil {
				return err
			}
		}
		a, err = v.Run(ctx, t.env, c)
		return err
	})
	if a.Run != nil {
		a.Since = since
	}
	return a, err
}

// explain turns any error into a *UserError. What is not known to be fit for people is logged under an id, and only
// the id is said.
func (t *Table) explain(ctx context.Context, c Call, err error) *UserError {
	var user *UserError
	var bug *guard.Panic
	var syntax *clipboard.SyntaxError
	var key *clipboard.KeyError
	var unknown *pipeline.UnknownStepError
	var needs *pipeline.NeedsError
	var cluster *pipeline.ClusterError
	var busy *pipeline.BusyError
	var state *pipeline.StateError
	var many *pipeline.AmbiguousError
	var self *pipeline.SelfError
	var repeat *pipeline.RepeatError
	var sick *store.Trouble
	var uerr *url.Error
	switch {
	case errors.As(err, &bug): // first of all: a panic may hold any error
		id := logID()
		t.env.Log.Error("a bug: something panicked", "what", "run a command", "id", id, "line", strings.Join(c.Words, " "), "err", bug.Error(), "stack", string(bug.Stack))
		return &UserError{Msg: "this is a bug of mine, and it is in my log under " + id, Hint: "nothing else is harmed"}
	case errors.As(err, &user):
		e := *user
		return &e
	case errors.As(err, &sick):
		// The rest is for who keeps the server, and names its files.
		t.env.Log.Error("the database", "line", strings.Join(c.Words, " "), "err", err)
		return &UserError{Msg: sick.What, Hint: "try again in a moment; the server's log says more"}
	case errors.As(err, &syntax):
		return &UserError{Msg: "the clipboard is not right: " + syntax.Error(), Kind: ErrUsage}
	case errors.As(err, &key):
		return &UserError{Msg: "the clipboard is not right: " + key.Error(), Kind: ErrUsage}
	case errors.As(err, &unknown):
		return &UserError{Msg: unknown.Error(), Hint: "`steps` lists what there is", Kind: ErrUsage}
	case errors.As(err, &needs):
		return &UserError{Msg: "this pipeline can not work: " + needs.Error(), Kind: ErrUsage}
	case errors.As(err, &cluster):
		return &UserError{Msg: "this cluster can not work: " + cluster.Error(), Kind: ErrUsage}
	case errors.As(err, &busy):
		r := busy.Run
		e := &UserError{Msg: fmt.Sprintf("%s is held by run %d: %s at %s, by %s", r.Host, r.ID, r.State, r.Where(), r.By), Hint: fmt.Sprintf("`status %s` tells more, `cancel %s` stops it", r.Host, r.Host)}
		if r.State == pipeline.Proposed {
			e.Hint = fmt.Sprintf("`approve %d` starts it, `deny %d` frees the host", r.ID, r.ID)
		} else if !r.State.Moving() {
			e.Hint = fmt.Sprintf("`retry %s` goes on, `undo %s` removes what it made, `cancel %s` leaves things as they are", r.Host, r.Host, r.Host)
		}
		return e
	case errors.As(err, &self):
		return &UserError{Msg: self.Error(), Kind: ErrDenied}
	case errors.As(err, &repeat):
		return &UserError{Msg: repeat.Error(), Hint: "use another key", Kind: ErrUsage}
	case errors.As(err, &state):
		return &UserError{Msg: state.Error()}
	case errors.As(err, &many):
		return &UserError{Msg: many.Error(), Kind: ErrUsage}
	case errors.Is(err, pipeline.ErrNotFound):
		return &UserError{Msg: "I have no such run or host on record", Hint: "`hosts` lists them", Kind: ErrNotFound}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &uerr):
		return &UserError{Msg: "that took too long or was interrupted", Hint: "try again"}
	}
	id := logID()
	t.env.Log.Error("command failed", "id", id, "line", strings.Join(c.Words, " "), "err", err)
	return &UserError{Msg: "something broke on my side", Hint: "it is in my log under " + id}
}

// logID names a line of the log to somebody who cannot read it.
func logID() string {
	b := make([]byte, 4)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// clip makes what people wrote plain, and shortens it, before it is repeated or stored.
func clip(s string, n int) string {
	if s = plain.Line(s); len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
