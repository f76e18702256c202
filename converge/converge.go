package converge

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jarvisops/jarvis/internal/guard"
	"github.com/jarvisops/jarvis/internal/plain"
)

// Host runs shell scripts, as root unless nothing that is wanted needs that.
type Host interface {
	// Sh runs a POSIX shell script and gives what it printed and its exit code. err is for what kept it from running to
	// its end, not for a code other than 0.
	Sh(ctx context.Context, script string) (stdout, stderr string, exit int, err error)
}

// Target is a host to be.
type Target struct {
	Name   string
	Groups []string       // what it belongs to; Node.In asks
	Props  map[string]any // what else is known of it; Node.Prop and PropAs ask. In the step of a pipeline they come as JSON does. What is a Secret nobody is shown
	// Dial connects; close is called when all is over.
	Dial func(ctx context.Context) (h Host, close func(), err error)
}

// Configurator says what a host shall be like. It is called several times, for many hosts at once, and must want the
// same whenever it sees the same. An error that Node.Read gave is to be handed up.
type Configurator func(n *Node) error

// Resource is one thing that a host shall have or be.
type Resource interface {
	// ID names it: "user alice". What has the same ID twice is a mistake.
	ID() string
	// Plan compares what is with what shall be, and gives what is to be done. It reads by the Node only; ErrPending
	// from there is to be handed up.
	Plan(n *Node) ([]Action, error)
}

// Action is something to do on a host.
type Action struct {
	Desc string `json:"desc"`           // "create the user alice"
	Diff string `json:"diff,omitempty"` // of a file, as diff -u writes it
	// Resource names who wants it: as told in chat. "": its ID.
	Resource string `json:"resource,omitempty"`
	// Have and Want say in a few words what is and what shall be: "inactive", "active". What Diff says is taken where
	// both are "". They are told in chat: no content of a file, no secret.
	Have   string `json:"have,omitempty"`
	Want   string `json:"want,omitempty"`
	Script string `json:"-"` // run by sh; safe to repeat
	// Do is a function that does it, where a script is not enough; with a Script, after that. h is the host, for one
	// script at a time. Safe to repeat.
	Do func(ctx context.Context, h Host) error `json:"-"`
	// After is a script that is run once, after all other actions of the host, when this action was: "systemctl reload
	// nginx". Where another action fails first, a mark on the host has the next run do it. Safe to repeat.
	After string `json:"-"`
}

// Options of Run.
type Options struct {
	Check    bool          // only say what is missing
	Limit    []string      // names and patterns (path.Match) of hosts, or groups as @web; nil: all
	Parallel int           // hosts at once; 64
	Cycles   int           // analyze and modify so often at most; 10
	Timeout  time.Duration // of one exchange with a host; 10 min
	// TrustReads lets scripts of Node.Read, guards of commands, and programs of facts run where they cannot be kept
	// from writing: that needs root and unshare on the host. What the library itself reads needs neither.
	TrustReads bool
	// FactsDir is a folder on each host whose programs and files are facts of your own (Facts.Own), each by its name
	// without what follows its last dot. It and they must be root's alone. "": /etc/converge/facts.d.
	FactsDir string
	// Facts are facts of your own, as functions, by their names in Facts.Own.
	Facts map[string]Fact
	// Confirm is shown what is to be done, and says whether it shall be. nil: yes.
	Confirm func(ctx context.Context, plan []HostPlan) (bool, error)
	// Progress is told what happens, one event at a time. nil: nobody is.
	Progress func(Event)
}

// HostPlan is what is to be done on a host.
type HostPlan struct {
	Host    string   `json:"host"`
	Actions []Action `json:"actions"`
}

// Event is something that happened.
type Event struct {
	Kind   string // "analyzed", "done", "failed", "stable"
	Host   string
	Action *Action // of done, and of failed when an action did
	Err    error   // of failed
	Left   int     // hosts that this phase is not yet over for
	All    int
}

// Report is what came of it.
type Report struct {
	Cycles    int           `json:"cycles"`    // how often it was analyzed
	Confirmed bool          `json:"confirmed"` // false: Confirm said no, or Check was set and something is missing
	Took      time.Duration `json:"took"`      // as JSON: seconds, with a fraction
	Hosts     []HostReport  `json:"hosts"`
}

// HostReport is what came of one host.
type HostReport struct {
	Host      string   `json:"host"`
	Stable    bool     `json:"stable"`              // nothing is missing
	Done      []Action `json:"done,omitempty"`      // in order
	Missing   []Action `json:"missing,omitempty"`   // with Check, after a no, or when it never settles
	Unsettled []string `json:"unsettled,omitempty"` // resources that wanted something in every cycle
	Error     string   `json:"error,omitempty"`     // why it was left out
	Exchanges int      `json:"exchanges"`           // scripts sent to it
}

// Failed lists the hosts that are not as they shall be, and were to be brought there.
func (r *Report) Failed() []HostReport {
	var out []HostReport
	for _, h := range r.Hosts {
		if h.Error != "" || len(h.Unsettled) > 0 {
			out = append(out, h)
		}
	}
	return out
}

// Changed counts the actions that were done.
func (r *Report) Changed() int {
	n := 0
	for _, h := range r.Hosts {
		n += len(h.Done)
	}
	return n
}

// Run brings hosts to where configure wants them. The error is for what concerns all of them: ctx ended, Limit fits
// none, Confirm failed. What failed on a host stands in the report.
func Run(ctx context.Context, targets []Target, configure Configurator, o Options) (*Report, error) {
	began := time.Now()
	r := &runner{o: o, configure: configure}
	if r.o.Parallel <= 0 {
		r.o.Parallel = 64
	}
	if r.o.Cycles <= 0 {
		r.o.Cycles = 10
	}
	if r.o.Timeout <= 0 {
		r.o.Timeout = 10 * time.Minute
	}
	if r.o.FactsDir == "" {
		r.o.FactsDir = FactsDir
	}
	if err := checkPath(r.o.FactsDir); err != nil {
		return nil, fmt.Errorf("the folder of facts: %w", err)
	}
	for _, t := range targets {
		if !limited(t, o.Limit) {
			continue
		}
		if slices.ContainsFunc(r.nodes, func(n *Node) bool { return n.target.Name == t.Name }) {
			return nil, fmt.Errorf("two hosts are called %s", t.Name)
		}
		n := &Node{target: t, report: HostReport{Host: t.Name}, timeout: r.o.Timeout, trust: o.TrustReads, factsDir: r.o.FactsDir, own: o.Facts}
		reveal(t.Props, func(s string) { n.Hide(s) })
		r.nodes = append(r.nodes, n)
	}
	if len(r.nodes) == 0 {
		return nil, fmt.Errorf("no host is meant: there are %d, and the limit is %q", len(targets), o.Limit)
	}
	defer r.close()
	report := &Report{}
	err := r.run(ctx, report)
	for _, n := range r.nodes {
		report.Hosts = append(report.Hosts, n.report)
	}
	report.Took = time.Since(began)
	return report, err
}

// limited reports whether a host is among those that are chosen; without a limit all are.
func limited(t Target, limit []string) bool {
	for _, l := range limit {
		if group, ok := strings.CutPrefix(l, "@"); ok && slices.Contains(t.Groups, group) {
			return true
		}
		if ok, err := path.Match(l, t.Name); ok && err == nil || l == t.Name {
			return true
		}
	}
	return len(limit) == 0
}

type runner struct {
	o         Options
	configure Configurator
	nodes     []*Node
	mu        sync.Mutex // of Progress
}

func (r *runner) close() {
	for _, n := range r.nodes {
		if n.close != nil {
			n.close()
		}
	}
}

// live gives the hosts that are not left out.
func (r *runner) live() []*Node {
	return slices.DeleteFunc(slices.Clone(r.nodes), func(n *Node) bool { return n.report.Error != "" })
}

// each works on hosts at once, and leaves out those where it fails.
func (r *runner) each(ctx context.Context, nodes []*Node, kind string, work func(*Node) error) {
	slots := make(chan struct{}, r.o.Parallel)
	var wg guard.Group
	left := len(nodes)
	for _, n := range nodes {
		slots <- struct{}{}
		wg.Go(guard.Count, func() {
			defer func() { <-slots }()
			err := ctx.Err()
			if err == nil {
				err = n.maskError(guard.Call(func() error { return work(n) }))
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			left--
			ev := Event{Kind: kind, Host: n.target.Name, Left: left, All: len(nodes)}
			if err != nil {
				n.report.Error = err.Error()
				ev.Kind, ev.Err = "failed", err
			}
			r.tell(ev)
		})
	}
	wg.Wait()
}

func (r *runner) tell(ev Event) {
	if r.o.Progress != nil {
		r.o.Progress(ev)
	}
}

// run goes on until nothing is missing anywhere, nobody confirms, or Cycles is reached. What then is missing is in the
// report, and no error.
func (r *runner) run(ctx context.Context, report *Report) error {
	wanted := map[*Node]map[string]int{} // in how many cycles a resource wanted something
	for report.Cycles = 1; ; report.Cycles++ {
		r.each(ctx, r.live(), "analyzed", func(n *Node) error { return n.analyze(ctx, r.configure) })
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var plan []HostPlan
		var busy []*Node
		for _, n := range r.live() {
			n.report.Missing = nil
			n.report.Stable = len(n.steps) == 0
			if n.report.Stable {
				continue
			}
			if wanted[n] == nil {
				wanted[n] = map[string]int{}
			}
			for _, id := range n.ids() {
				wanted[n][id]++
			}
			busy = append(busy, n)
			plan = append(plan, HostPlan{n.target.Name, n.actions()})
		}
		if len(busy) == 0 {
			report.Confirmed = true
			return nil
		}
		if report.Cycles > r.o.Cycles {
			for _, n := range busy {
				n.report.Missing = n.actions()
				for _, id := range n.ids() {
					if wanted[n][id] == report.Cycles {
						n.report.Unsettled = append(n.report.Unsettled, id)
					}
				}
				if n.report.Unsettled == nil {
					n.report.Unsettled = n.ids()
				}
			}
			return nil
		}
		yes := !r.o.Check
		if yes && r.o.Confirm != nil {
			var err error
			if yes, err = r.o.Confirm(ctx, plan); err != nil {
				return err
			}
		}
		if !yes {
			for _, n := range busy {
				n.report.Missing = n.actions()
			}
			return nil
		}
		report.Confirmed = true
		r.each(ctx, busy, "stable", func(n *Node) error { return r.modify(ctx, n) })
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// modify runs the actions of a host, in order, and then what is owed after them. When one fails, what this run changed
// stays owed: a service is not told of half a change. What an earlier run left is done all the same where no action
// here owes it, too: its own resources are as they shall be, and what fails may fail for weeks.
func (r *runner) modify(ctx context.Context, n *Node) error {
	var after []string
	n.forget() // what was read is no longer so
	failed := r.change(ctx, n)
	for _, s := range n.steps {
		a := s.action
		if a.After == "" || slices.Contains(after, a.After) || failed != nil && (ctx.Err() != nil || n.changes(a.After)) {
			continue
		}
		after = append(after, a.After)
	}
	for _, s := range after {
		if err := r.act(ctx, n, Action{Desc: n.mask("run " + s), Script: s}, pay(s)); err != nil {
			err = fmt.Errorf("%w (the next run tries it again, unless the mark /var/lib/converge/owed/%s is removed)", err, owedMark(s))
			if failed == nil {
				return err
			}
			failed = fmt.Errorf("%w; and %w", failed, err)
		}
	}
	return failed
}

// change runs the actions of a host, until one fails.
func (r *runner) change(ctx context.Context, n *Node) error {
	for _, a := range n.actions() {
		if !a.works() {
			continue
		}
		if err := r.act(ctx, n, a, a.owe()); err != nil {
			return err
		}
	}
	return nil
}

// act runs a script that does an action.
func (r *runner) act(ctx context.Context, n *Node, a Action, script string) error {
	var stderr string
	var exit int
	var err error
	if script != "" {
		_, stderr, exit, err = n.sh(ctx, script)
	}
	if err == nil && exit != 0 {
		err = errors.New(plain.Last(stderr, fmt.Sprintf("exit code %d", exit)))
	}
	if err == nil && a.Do != nil {
		err = a.Do(ctx, exchanges{n})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.Desc, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n.report.Done = append(n.report.Done, a)
	r.tell(Event{Kind: "done", Host: n.target.Name, Action: &a})
	return nil
}

// works reports whether there is something to do, and not only something owed.
func (a Action) works() bool { return a.Script != "" || a.Do != nil }

// exchanges is a node's host for a function: with its timeout, and counted.
type exchanges struct{ n *Node }

// Sh implements Host.
func (e exchanges) Sh(ctx context.Context, script string) (stdout, stderr string, exit int, err error) {
	return e.n.sh(ctx, script)
}
