package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Difference is one way in which the world is not as a step left it.
type Difference struct {
	Step  string    `json:"step"`            // the engine fills it in
	What  string    `json:"what"`            // "the A record of loki.example.org"
	Want  string    `json:"want"`            // as the step left it
	Have  string    `json:"have"`            // as it is; "none" when it is gone
	First string    `json:"first,omitempty"` // what only a person can do, before Fix can work; "" for nothing
	Seen  time.Time `json:"seen,omitzero"`   // when it was seen last
	Fix   string    `json:"fix"`             // the command that puts it right; a step says FixRedeploy, or "" for `retry HOST from STEP`
}

// FixRedeploy is the Fix of what only a new machine puts right.
const FixRedeploy = "redeploy"

// String says the difference in words, without what puts it right.
func (d Difference) String() string {
	return fmt.Sprintf("%s: %s instead of %s", d.What, d.Have, d.Want)
}

// Said is the difference in words, with what puts it right.
func (d Difference) Said() string {
	if d.First != "" {
		return fmt.Sprintf("%s; %s, then `%s`", d, d.First, d.Fix)
	}
	return fmt.Sprintf("%s; `%s` puts it right", d, d.Fix)
}

// NotKnown is a step that could not read how the world is.
type NotKnown struct {
	Step string `json:"step"`
	Why  string `json:"why"`
}

// Look is what came of looking at one host.
type Look struct {
	Host    string        `json:"host"`
	FQDN    string        `json:"fqdn"`
	Run     int64         `json:"run"` // by which it stands
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took"`
	Asked   int           `json:"asked"` // how many steps were asked
	Differs []Difference  `json:"differs"`
	Unknown []NotKnown    `json:"unknown"`
	Before  []Difference  `json:"before,omitempty"` // seen by an earlier look by the clock, of steps that could not look now

	slow time.Duration // somebody asked us to slow down for so long
}

// maxSaid bounds each part of a difference: it is read in chat.
const maxSaid = 200

// lookLimit is how long one step may take to look.
const lookLimit = 2 * time.Minute

// lookReserve is what is left of an asker's time to say what was found.
const lookReserve = 5 * time.Second

var errNoTime = errors.New("no time was left to look")

// NotReadyError: a host has nothing that could be compared, for it does not stand by a run that is ready.
type NotReadyError struct{ Run Run }

// Error implements error.
func (e *NotReadyError) Error() string {
	return fmt.Sprintf("%s is not looked at: run %d is %s at %s, and what it left is compared once it is ready", e.Run.Host, e.Run.ID, e.Run.State, e.Run.Where())
}

// ErrMoved: the host does no longer stand as it did when the look began.
var ErrMoved = errors.New("a run began meanwhile, so what was seen says nothing")

// Look asks the steps of the run that a host stands by how the world differs from what they left. It only reads, starts
// nothing and does not hold the host. A *NotReadyError, ErrMoved, or an error of the record.
func (e *Engine) Look(ctx context.Context, h Standing) (Look, error) {
	r := h.Run
	if !h.comparable() {
		return Look{}, &NotReadyError{r}
	}
	left, err := e.leavers(ctx, &r)
	if err != nil {
		return Look{}, err
	}
	l := Look{Host: r.Host, FQDN: r.FQDN, Run: r.ID, At: time.Now(), Differs: []Difference{}, Unknown: []NotKnown{}}
	asking := ctx
	if until, ok := ctx.Deadline(); ok { // who asks waits no longer: what is known by then is said
		var end context.CancelFunc
		asking, end = context.WithDeadlineCause(ctx, until.Add(-lookReserve), errNoTime)
		defer end()
	}
	shared := &readings{}
	for _, s := range left {
		if ctx.Err() != nil {
			return Look{}, context.Cause(ctx)
		}
		e.ask(asking, &r, s, shared, &l)
	}
	if err := e.nameFixes(ctx, &r, l.Differs); err != nil {
		return Look{}, err
	}
	l.Took = time.Since(l.At)
	now, err := e.FindHost(ctx, r.FQDN)
	if err == nil && (now.ID != r.ID || now.epoch != r.epoch || !now.comparable()) {
		err = ErrMoved
	}
	return l, err
}

// comparable reports whether the host is what its run left: a run that is over, and was no task and no destruction.
func (h Standing) comparable() bool {
	return h.HasBegun() && h.State == Ready && h.Ending == EndReady && h.Verb != VerbTask && !h.IsImport()
}

// leaver is a step that left something, and the stage at which it did.
type leaver struct {
	Step
	stage int
}

// leavers lists the steps of a run that can say what became of what they left, in its order, each once. A stage that
// somebody skipped left nothing.
func (e *Engine) leavers(ctx context.Context, r *Run) ([]leaver, error) {
	evs, err := e.Events(ctx, EventFilter{Run: r.ID, Kinds: []EventKind{EvDone, EvSkipped}})
	if err != nil {
		return nil, err
	}
	skipped := map[int]bool{}
	for _, ev := range evs {
		skipped[ev.Stage] = ev.Kind == EvSkipped
	}
	var out []leaver
	for i, name := range r.Steps {
		s, err := e.reg.Lookup(name, r.Provider)
		if skipped[i] || err == nil && s.Drift == nil {
			continue
		}
		if err != nil { // its worker is not configured any more
			missing := err
			s = Step{Name: name, Drift: func(context.Context, *clipboard.Clipboard) ([]Difference, error) { return nil, missing }}
		}
		s = e.nearby(s)
		s.Name = name // as on record, and as retry takes it
		if !slices.ContainsFunc(out, func(o leaver) bool { return o.Name == s.Name }) {
			out = append(out, leaver{s, i})
		}
	}
	return out, nil
}

// ask has one step look, and puts what it says into l.
func (e *Engine) ask(ctx context.Context, r *Run, s leaver, shared *readings, l *Look) {
	module := Module(s.Name)
	l.Asked++
	sr, err := e.open(r, s.Step, false)
	if err != nil {
		l.Unknown = append(l.Unknown, NotKnown{s.Name, plain.Line(err.Error())})
		return
	}
	sr.facts.Stage = s.stage
	var found []Difference
	free, err := e.drift.enter(ctx, r.Provider, module)
	if err == nil {
		found, err = sr.look(ctx, s.Step, shared)
		free()
	}
	if d, _, waits := AsWait(err); waits && module == r.Provider {
		l.slow = max(l.slow, d)
		e.drift.pause(module, d)
	}
	if err != nil {
		l.Unknown = append(l.Unknown, NotKnown{s.Name, sr.mask(oneLine(err))})
		return
	}
	for _, d := range found {
		d.Step, d.Seen = s.Name, l.At
		for _, text := range []*string{&d.What, &d.Want, &d.Have, &d.First} {
			*text = plain.Clip(sr.mask(*text), maxSaid)
		}
		// Two steps may see the same: that a machine is off. The first of them is whose it is.
		if !slices.ContainsFunc(l.Differs, func(o Difference) bool { return o.What == d.What && o.Want == d.Want && o.Have == d.Have }) {
			l.Differs = append(l.Differs, d)
		}
	}
}

// Module gives the part of a step's name before the colon: whose step it is.
func Module(step string) string {
	module, _, _ := strings.Cut(step, ":")
	return module
}

// nameFixes gives the commands that put the differences right: what repeatable takes, or a redeploy. The full name is
// never that of two hosts.
func (e *Engine) nameFixes(ctx context.Context, r *Run, list []Difference) error {
	together, err := fallsTogether(ctx, e.db, r)
	if err != nil {
		return err
	}
	for i := range list {
		switch d := &list[i]; {
		case d.Fix == FixRedeploy, d.Fix == "" && (together || slices.ContainsFunc(r.Steps[slices.Index(r.Steps, d.Step):], makesMachine)):
			d.Fix = "redeploy " + r.FQDN
		case d.Fix == "":
			d.Fix = fmt.Sprintf("retry %s from %s", r.FQDN, d.Step)
		}
	}
	return nil
}

// look calls the step's Drift with a deadline; a panic is an error of this step alone.
func (s *stepRun) look(ctx context.Context, step Step, shared *readings) (found []Difference, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, fmt.Errorf("gave up after %s", lookLimit))
	defer cancel()
	ctx = WithHost(ctx, &looking{s, shared})
	err = guard.Call(func() (err error) {
		found, err = step.Drift(ctx, s.view)
		return err
	})
	var p *guard.Panic
	switch {
	case errors.As(err, &p):
		s.e.logPanic(p, s, "look for drift")
		return nil, errStepBug
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return found, err
}

// looking is the Host of a step that looks: it has a record and nobody to report to, and keeps nothing.
type looking struct {
	*stepRun
	shared *readings
}

var (
	_ Recorder = (*looking)(nil)
	_ Host     = (*looking)(nil)
)

func (*looking) Progress(string) {}
func (*looking) Log(string)      {}

// Keep refuses: whatever calls it was about to change something.
func (*looking) Keep(context.Context, *clipboard.Clipboard) error {
	return errors.New("a look changes nothing, and a step wanted to: this is a bug of the step")
}

// readings are what the steps of one look have read, so that none reads it again.
type readings struct {
	mu   sync.Mutex
	have map[string]reading
}

type reading struct {
	value any
	err   error
}

// ReadOnce gives what read gives, which is called once for a key in one look at a host: several steps are about one
// machine, and its provider counts each question.
func ReadOnce[T any](ctx context.Context, key string, read func() (T, error)) (T, error) {
	l, ok := hostOf(ctx).(*looking)
	if !ok {
		return read()
	}
	l.shared.mu.Lock()
	defer l.shared.mu.Unlock()
	if r, ok := l.shared.have[key]; ok {
		return r.value.(T), r.err
	}
	v, err := read()
	if l.shared.have == nil {
		l.shared.have = map[string]reading{}
	}
	l.shared.have[key] = reading{v, err}
	return v, err
}
