// Package command is the verbs: one table, one file per verb. Chat, the command line and HTTP run the same ones, so a
// rule about who may do what, or what an answer says, is written once.
//
//	bot, web ── Call{line, person, place} ──► Table.Do ── role? arguments? ──► Verb.Run ──► Answer
//	                                             └──► one audit row when it has ended, whatever became of it
//
// That row is a transaction of its own: when a server dies between the two, a run that was started is on record with
// who asked, and the row is missing.
//
// To add a verb: one file with a function that gives a Verb, one line in Verbs, one dialogue in bot/testdata.
// Verbs know nothing of chat: an Answer is lines and data, and who asked from where is in the Call.
//
// Why not handlers for each way in: docs/adr/0028-what-can-be-done-is-a-verb.md
package command

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/remote"
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
	Words   []Word // what it does, where that is several things: see worded
	Short   string // it is a shorter word for this one, which has the operations
	// CLI is a line for each word that only the command line has.
	CLI map[string]string
	Run func(ctx context.Context, e *Env, c *Call) (Answer, error)
}

// Call is one command as somebody gave it.
type Call struct {
	Words  []string      // verb first
	Person access.Person // the zero Person is a stranger
	Asker  string        // how they are called where they ask; equals Person.Name when known
	Via    string        // "irc/libera/#ops", "console", "socket": for the audit record
	Origin string        // where notices about what they start go; "" when nobody listens
	File   []byte        // a clipboard that the command line read; nil otherwise
	Local  bool          // files of this machine may be named (console)
	Secret bool          // only the asker reads the answer: it may hold a secret
	// Private says that they asked in private: others do not read the answer, though somebody's log may keep it.
	Private bool
	Free    bool     // not counted: they could as well open the database
	Key     string   // idempotency key of a client that may ask twice; "" otherwise
	Before  int64    // for lists that come by pages: what is older than this number; 0: from the newest on
	Args    []string // Words without the verb; set by Do

	// Patience is how long a verb may wait for what it began before it answers that this goes on; 0: as long as it
	// likes.
	Patience time.Duration
	// Began and Ended, when set, hear of a verb that does the same on many hosts while it goes on: on which, and what
	// came of it on one. Ended is called by several goroutines.
	Began func(hosts []string)
	Ended func(Output)

	secrets *clipboard.Masker // of the hosts that the words name; set by Do
}

// line is what was typed as it may be told and kept.
func (c *Call) line() string { return c.secrets.Mask(strings.Join(c.Words, " ")) }

// Answer is what a verb says.
type Answer struct {
	Lines []string      `json:"lines" doc:"what chat would say"`
	Data  any           `json:"data" doc:"the same for programs; null where there is nothing more to say than lines"`
	Run   *pipeline.Run `json:"run,omitempty" doc:"the run that was started or moved: a client may follow it"`
	// Bad: what was asked after is not well, as a plan that would fail. The envelope is not ok, and the command line
	// ends with 1.
	Bad     bool              `json:"-"`
	Cluster *pipeline.Cluster `json:"cluster,omitempty" doc:"the cluster that was started or moved"`
	// Approval is what waits for a second person, where no run was moved: `approve` decides.
	Approval *pipeline.Approval `json:"approval,omitempty" doc:"what was asked for, and waits for a second person"`
	// Since lets a client that follows a run hear nothing old.
	Since int64 `json:"since,omitempty" doc:"the newest event before the run was moved"`
}

func say(format string, args ...any) Answer {
	return Answer{Lines: []string{fmt.Sprintf(format, args...)}}
}

// none says that a list is empty, which is data too.
func none(list any, format string, args ...any) Answer {
	a := say(format, args...)
	a.Data = list
	return a
}

// asked says that a second person must decide.
func asked(p pipeline.Approval, format string, args ...any) Answer {
	a := say(format, args...)
	a.Approval, a.Data = &p, p
	return a
}

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
	// PublicKeyAt says in words where the public key is that hosts need in authorized_keys to let the server in; "":
	// nobody knows.
	PublicKeyAt string
	// ForgetKeys takes a host's keys out of the server's known_hosts.
	ForgetKeys func(ctx context.Context, h pipeline.Standing) error
	Access     *access.Access // tokens and the audit record; nil: neither is kept
	Limiter    *access.Limiter
	Tasks      *tasklog.Log // repositories of one-off tasks; may be nil
	Checks     *checks.Monitor
	Approvals  Approvals
	Freeze     Freezes
	Zone       Zone
	// InDirectory says what the directory knows about whether a host is in production. Nil: there is no directory.
	InDirectory func(ctx context.Context, c *clipboard.Clipboard) (what string, yes bool, err error)
	// Pages gives the address of the pages, without a slash at its end; "" when there are none.
	Pages func() string
	// Observe is told of every command, for metrics.
	Observe func(verb string, c Call, took time.Duration, err error)
	Log     *slog.Logger
	Now     func() time.Time
	Table   *Table // set by NewTable
}

// Table runs verbs. It is safe for concurrent use.
type Table struct {
	changing sync.Mutex // held by Change
	now      atomic.Pointer[Env]
	verbs    []Verb
}

// Verbs is the one table.
func Verbs() []Verb {
	return []Verb{
		deploy(), redeploy(), destroy(), forget(), importVerb(), adopt(), approve(), deny(), plan(), status(), hosts(), history(), logOf(), show(),
		retry(), skip(), cancel(), undo(), hold(), release(), drift(), steps(), run(), task(), check(), checksVerb(), ack(), nodes(), drain(), audit(), token(), page(), whoami(), help(), version(),
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
	t := &Table{verbs: Verbs()}
	env.Table = t
	t.now.Store(env)
	return t
}

// env gives what verbs work with now.
func (t *Table) env() *Env { return t.now.Load() }

// Change lets what verbs work with be another from the next command on.
func (t *Table) Change(f func(*Env)) {
	t.changing.Lock()
	defer t.changing.Unlock()
	e := *t.env()
	f(&e)
	if e.Approvals.Expires <= 0 {
		e.Approvals.Expires = defaultExpires
	}
	t.now.Store(&e)
}

// Pipelines gives the lists of steps by verb and provider.
func (t *Table) Pipelines() map[string]map[string][]string { return t.env().Pipelines }

// Do runs one command and writes its audit row. The error, if any, is a *UserError: safe to show as it is.
func (t *Table) Do(ctx context.Context, c Call) (Answer, error) {
	if len(c.Words) == 0 {
		return say("yes? `help` lists what I know"), nil
	}
	began := t.env().Now()
	c.Asker = plain.Line(c.Asker)
	who := c.Person.Name
	if who == "" {
		who = "stranger " + c.Asker
	}
	v, a, err := t.limited(ctx, who, &c)
	line := strings.Join(c.Words, " ")
	if c.secrets == nil { // refused before it was looked at
		c.secrets, line = t.refused(ctx, c.Words, line)
	}
	a.Lines = plainLines(a.Lines)
	outcome := "ok"
	if err != nil {
		user := t.explain(ctx, c, err)
		user.Msg, user.Hint = plain.Line(c.secrets.Mask(user.Msg)), plain.Line(c.secrets.Mask(user.Hint))
		err, outcome = user, user.Error()
	}
	t.env().Observe(v.Name, c, t.env().Now().Sub(began), err)
	t.record(ctx, access.Record{Who: who, Via: c.Via, Line: line, Outcome: outcome}, c.secrets)
	return a, err
}

// hide gives what hides the secrets of the hosts that a line names. When they cannot be read, that is in the log; the
// line is kept all the same, for who did what must be on record.
func (t *Table) hide(ctx context.Context, line string) *clipboard.Masker {
	if t.env().Engine == nil {
		return &clipboard.Masker{}
	}
	m, err := t.env().Engine.Hide(context.WithoutCancel(ctx), line)
	if err != nil {
		t.env().Log.Error("look for the secrets of the hosts that a command names", "err", err)
	}
	return m
}

// refusedLine bounds what is looked at of a line that is refused.
const refusedLine = 2000

// refused gives what hides the secrets in what a refused command says, and the line as it goes on record. Each word of
// a line is asked of the database, and who may do nothing here must not have it work: a long line is looked at up to a
// bound, and on record by its first word alone, because a host at its end may be what tells a secret at its beginning.
func (t *Table) refused(ctx context.Context, words []string, line string) (*clipboard.Masker, string) {
	if len(line) <= refusedLine {
		return t.hide(ctx, line), line
	}
	return t.hide(ctx, line[:refusedLine]), fmt.Sprintf("%s … (%d words)", clip(words[0], 40), len(words))
}

// Shown gives a line that somebody typed as it may be told and kept: without the secrets of the hosts that it names.
func (t *Table) Shown(ctx context.Context, line string) string { return t.hide(ctx, line).Mask(line) }

// ShownRefused is Shown of a command that ended with an error: it is looked at up to a bound.
func (t *Table) ShownRefused(ctx context.Context, words []string) string {
	m, line := t.refused(ctx, words, JoinWords(words))
	return m.Mask(line)
}

// plainLines makes what is answered fit for chat and terminals, also where an old record is not: each entry is one
// line.
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

// Record writes one audit row, and the same to the log. It cannot fail: that a row could not be written is in the log
// alone.
func (t *Table) Record(ctx context.Context, r access.Record) { t.record(ctx, r, t.hide(ctx, r.Line)) }

// RecordBegin writes that something begins, and gives its name: RecordEnd of that writes what became of it. When this
// server goes away before, another one writes that.
func (t *Table) RecordBegin(ctx context.Context, r access.Record) (name string) {
	name, r.Outcome = rand.Text(), access.Begins
	t.recordBy(ctx, r, t.hide(ctx, r.Line), func(ctx context.Context, a *access.Access, r access.Record) error { return a.AuditBegin(ctx, name, r) })
	return name
}

// RecordEnd is Record of what began by that name.
func (t *Table) RecordEnd(ctx context.Context, name string, r access.Record) {
	t.recordBy(ctx, r, t.hide(ctx, r.Line), func(ctx context.Context, a *access.Access, r access.Record) error { return a.AuditEnd(ctx, name, r) })
}

// record is the one door by which a command line gets into the audit record and the log. It is masked before it is cut:
// half a secret would not be known.
func (t *Table) record(ctx context.Context, r access.Record, secrets *clipboard.Masker) {
	t.recordBy(ctx, r, secrets, func(ctx context.Context, a *access.Access, r access.Record) error { return a.Audit(ctx, r) })
}

// recordBy masks, cuts and logs a row before write gets it. It goes on record also when who asked has gone.
func (t *Table) recordBy(ctx context.Context, r access.Record, secrets *clipboard.Masker, write func(context.Context, *access.Access, access.Record) error) {
	r = access.Record{Who: clip(r.Who, 100), Via: clip(r.Via, 200), Line: clip(secrets.Mask(r.Line), 1000), Outcome: clip(secrets.Mask(r.Outcome), 1000)}
	level := slog.LevelInfo
	if r.Outcome != "ok" {
		level = slog.LevelWarn
	}
	t.env().Log.Log(ctx, level, "command", "who", r.Who, "via", r.Via, "line", r.Line, "outcome", r.Outcome)
	if t.env().Access == nil {
		return
	}
	if err := write(context.WithoutCancel(ctx), t.env().Access, r); err != nil {
		t.env().Log.Error("audit", "err", err)
	}
}

// limited counts the command before it looks at it: a wrong one costs as much as any.
func (t *Table) limited(ctx context.Context, who string, c *Call) (Verb, Answer, error) {
	if !c.Free {
		if wait := t.env().Limiter.Take(who); wait > 0 {
			return Verb{}, Answer{}, &UserError{Msg: "that is too fast for me", Hint: "try again in " + Short(max(wait.Round(time.Second), time.Second)), Kind: ErrLimited, Wait: wait}
		}
	}
	v, err := t.Find(c.Words[0], c.Words[1:]...)
	if err != nil {
		return v, Answer{}, err
	}
	if v, c.Args, err = Rephrase(v, c.Words[1:]); err != nil {
		return v, Answer{}, err
	}
	a, err := t.run(ctx, v, c)
	return v, a, err
}

// run checks role and arguments, and turns a panic of the verb into an error.
func (t *Table) run(ctx context.Context, v Verb, c *Call) (Answer, error) {
	if !c.Person.Has(v.Role) {
		if c.Person.Name == "" {
			return Answer{}, &UserError{Msg: fmt.Sprintf("`%s` needs the role %q, and I do not know you", v.Name, v.Role), Hint: "`whoami` says how I see you", Kind: ErrDenied}
		}
		return Answer{}, &UserError{Msg: fmt.Sprintf("`%s` needs the role %q, which %s does not have", v.Name, v.Role, c.Person.Name), Kind: ErrDenied}
	}
	if err := v.CheckArgs(c.Args); err != nil {
		return Answer{}, err
	}
	c.secrets = t.hide(ctx, strings.Join(c.Words, " ")) // before it runs: it may be what forgets the host
	var since int64
	var a Answer
	err := guard.Call(func() (err error) {
		if v.Acts { // what a client follows begins after what is on record now
			if since, err = t.env().Engine.LastEvent(ctx); err != nil {
				return err
			}
		}
		a, err = v.Run(ctx, t.env(), c)
		return err
	})
	if a.Run != nil || a.Cluster != nil {
		a.Since = since
	}
	return a, err
}

// CheckArgs says how a verb is used when it has too few words, or too many.
func (v Verb) CheckArgs(args []string) error {
	if len(args) < v.Min || v.Max >= 0 && len(args) > v.Max {
		return &UserError{Msg: fmt.Sprintf("`%s` is used as: %s", v.Name, strings.TrimSpace(v.Name+" "+v.Usage)), Hint: "as in `" + v.Example + "`", Kind: ErrUsage}
	}
	return nil
}

var subWord = pattern.New(`(?:^\[?|\| )([a-z]+)(?: |\]|$)`)

// SubWords gives the words that may come first after a verb and are no names: those with which an alternative of its
// usage begins.
func (v Verb) SubWords() (out []string) {
	for _, w := range v.Words {
		out = append(out, w.Name)
	}
	if out != nil {
		return out
	}
	for _, m := range subWord.FindAllStringSubmatch(v.Usage, -1) {
		out = append(out, m[1])
	}
	return out
}

// clip makes what people wrote plain, and shortens it, before it is repeated or stored.
func clip(s string, n int) string {
	return plain.Clip(plain.Line(s), n)
}
