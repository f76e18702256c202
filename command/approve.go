package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/tasklog"
)

// Approvals says what waits for a second person.
type Approvals struct {
	Off     bool          `yaml:"off" doc:"nothing waits for a second person: for teams of one"`
	Expires time.Duration `yaml:"expires" doc:"how long a run waits for its approval" default:"24h"`
}

const defaultExpires = 24 * time.Hour

// askFirst marks the requests that a second person has to approve: whatever destroys, and whatever touches a host that
// is in production. For a host that is to be deployed again, a directory that does not answer counts as yes.
func (e *Env) askFirst(ctx context.Context, verb string, o *ordered) error {
	if e.Approvals.Off {
		return nil
	}
	var why []string
	for _, q := range o.requests {
		list, err := e.reasons(ctx, verb, q)
		if err != nil {
			return err
		}
		why = append(why, list...)
	}
	if len(why) == 0 {
		return nil
	}
	for i := range o.requests { // a cluster waits as a whole
		o.requests[i].Approval = &pipeline.NeedApproval{Why: strings.Join(why, "; "), For: e.Approvals.Expires}
	}
	return nil
}

// reasons says why a request needs a second person: every reason there is, for whoever agrees agrees to all of it. None
// when it does not.
func (e *Env) reasons(ctx context.Context, verb string, q pipeline.Request) ([]string, error) {
	in, err := q.Clipboard.Instance()
	if err != nil {
		return nil, err
	}
	var why []string
	destroys := verb == "destroy"
	for _, s := range q.Steps {
		destroys = destroys || q.Kind.Verb == pipeline.VerbOwn && strings.HasSuffix(s, ":destroy")
		if strings.HasSuffix(s, ":adopt") {
			is, err := e.adoptee(ctx, q, s)
			if err != nil {
				return nil, err
			}
			why = append(why, is)
		}
	}
	if destroys {
		why = append(why, "it destroys "+in.Hostname)
	}
	switch r, err := e.Engine.InProduction(ctx, in.FQDN); {
	case err == nil && r.FQDN != in.FQDN:
		return append(why, fmt.Sprintf("%s, which has the same short name, is in production since run %d", r.FQDN, r.ID)), nil
	case err == nil:
		return append(why, fmt.Sprintf("%s is in production since run %d", in.Hostname, r.ID)), nil
	case !errors.Is(err, pipeline.ErrNotFound):
		return nil, err
	}
	if e.InDirectory == nil {
		return why, nil
	}
	what, yes, err := e.InDirectory(ctx, q.Clipboard)
	switch {
	case err != nil && verb == "deploy":
		// A new host that nothing here knows of. Where it matters, the pipeline asks the directory again, and fails.
		e.Log.Warn("see whether a host is in production", "host", in.Hostname, "err", err)
	case err != nil:
		why = append(why, fmt.Sprintf("I cannot see whether %s is in production: %s", in.Hostname, clip(err.Error(), 200)))
	case yes:
		why = append(why, in.Hostname+" is "+what)
	}
	return why, nil
}

// waitsFor is the second half of an answer about something that waits.
func waitsFor(why, name string, until time.Time) string {
	return fmt.Sprintf("It waits for a second person, because %s: `approve %s`, until %s.", why, name, plain.Time(until))
}

func approve() Verb {
	return Verb{
		Name: "approve", Usage: "RUN [because REASON]", Role: access.Deploy, Min: 1, Max: -1, Acts: true,
		Doc:     "lets go ahead what somebody else asked for, and what waits for a second person",
		Example: "approve 12 because the change is agreed",
		API:     []API{runAPI("approve", becauseParam())},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			reason, err := reasonOf(c, "approve RUN [because REASON]")
			if err != nil {
				return Answer{}, err
			}
			if u := NotSecond(e.Access, c.Person, pipeline.Approval{}); u != nil {
				return Answer{}, u
			}
			// A number, and nothing else: a name may mean another run by now than the one that was looked at.
			id, err := strconv.ParseInt(c.Args[0], 10, 64)
			if err != nil {
				return Answer{}, e.whichRun(ctx, c.Args[0])
			}
			r, err := find(ctx, e, strconv.FormatInt(id, 10))
			if err != nil {
				return Answer{}, err
			}
			p, err := e.Engine.Pending(ctx, r.ID)
			if err != nil && !errors.Is(err, pipeline.ErrNotFound) {
				return Answer{}, err
			}
			if err == nil {
				if u := NotSecond(e.Access, c.Person, p); u != nil {
					return Answer{}, u
				}
				if p.What == pipeline.ToStart && !tasklog.IsTask(r) {
					if _, err := e.frozen(c.Person, r.At, ""); err != nil {
						return Answer{}, err
					}
				}
			}
			if r.Cluster != 0 && asOne(p) {
				whole, err := e.Engine.ClusterOf(ctx, r)
				if err != nil {
					return Answer{}, err
				}
				return e.approveCluster(ctx, whole, who(c), reason)
			}
			if tasklog.IsTask(r) && !c.Person.Has(access.Admin) {
				// Whoever wrote it may take any name in git, and must not be who approves it.
				if t, err := tasklog.Of(ctx, e.Engine, r); err != nil {
					return Answer{}, err
				} else if t.Signer == "" {
					return Answer{}, &UserError{Msg: fmt.Sprintf("nothing proves that it was not you who wrote the task of run %d: nobody of `people` signed its commit", r.ID), Hint: "a person with the role admin can approve it", Kind: ErrDenied}
				}
			}
			r, p, err = e.Engine.Approve(ctx, r.ID, who(c), reason)
			if err != nil {
				return Answer{}, err
			}
			a := say("%s: run %d starts, %d %s.", r.Host, r.ID, len(r.Steps), plural(len(r.Steps), "stage"))
			if r.State == pipeline.Planned {
				a = say("%s: run %d is approved, and begins on %s.", r.Host, r.ID, beginsOn(r))
			}
			switch p.What {
			case pipeline.ToUndo:
				a = say("%s: taking back run %d.", r.Host, r.ID)
			case pipeline.ToRepeat:
				a = say("%s goes on at %s.", r.Host, r.Where())
			case pipeline.ToGiveUp:
				a = say("%s: run %d is given up, and the host is free.", r.Host, r.ID)
			}
			a.Run, a.Data = &r, r
			return a, nil
		},
	}
}

// NotSecond says why somebody can be nobody's second person, or not that of who asked for this, whatever their roles
// are; nil when nothing speaks against it. That they did not ask themselves, the engine knows.
func NotSecond(a *access.Access, p access.Person, asked pipeline.Approval) *UserError {
	switch {
	case p.Unnamed:
		return &UserError{Msg: "an approval is a second person's, and " + p.Name + " may be anybody", Hint: "`people` in jarvis.yaml says who is `" + p.Entry() + "`", Kind: ErrDenied}
	case a == nil || asked.By == "":
		return nil
	}
	// Somebody of people may have come by the company's login, and by a name that the configuration does not know: to
	// ask, or to make one of the tokens.
	for _, by := range persons(asked.By, asked.Behind) {
		for _, name := range persons(p.Name, p.Behind) {
			if strings.EqualFold(name, by) || a.KnownApart(name, by) && a.KnownApart(by, name) {
				continue
			}
			u := &UserError{Msg: fmt.Sprintf("run %d was asked for by %s, and nothing proves that it was not you", asked.Run, asked.By), Hint: "one whose entry in `people` says his own `oidc` can approve it", Kind: ErrDenied}
			if by != asked.By || name != p.Name {
				u.Msg = fmt.Sprintf("run %d was asked for by %s, and for the tokens, nothing proves that %s and %s are two people", asked.Run, asked.By, by, name)
			}
			return u
		}
	}
	return nil
}

// persons gives somebody and those who speak through them, without whoever keeps the machine.
func persons(name string, behind []string) []string {
	return slices.DeleteFunc(append([]string{name}, behind...), func(s string) bool { return strings.HasPrefix(s, pipeline.Operator) })
}

// who is a call's person as the engine knows people.
func who(c *Call) pipeline.Who { return pipeline.Who{Name: c.Person.Name, Behind: c.Person.Behind} }

func becauseParam() Param {
	return Param{Name: "because", In: InBody, Doc: "why", Word: "because"}
}

// reasonOf takes the words after `because` off a call's arguments.
func reasonOf(c *Call, usage string) (string, error) {
	if len(c.Args) == 1 {
		return "", nil
	}
	if !strings.EqualFold(c.Args[1], "because") || len(c.Args) == 2 {
		return "", &UserError{Msg: "it is used as: " + usage, Hint: "as in `approve 12 because the change is agreed`", Kind: ErrUsage}
	}
	return clip(c.secrets.Mask(strings.Join(c.Args[2:], " ")), 300), nil
}

// whichRun says which number somebody may mean who approves a name.
func (e *Env) whichRun(ctx context.Context, name string) error {
	u := &UserError{Msg: "`approve` takes the number of a run, for a name may mean another one by now", Kind: ErrUsage}
	h, err := findHost(ctx, e, name)
	if err != nil {
		return u
	}
	if r, err := e.Engine.Proposal(ctx, h); err == nil && r.State == pipeline.Proposed {
		u.Hint = fmt.Sprintf("run %d, %s by %s, waits: `approve %d`", r.ID, r.Pipeline, r.By, r.ID)
	} else if a, err := e.Engine.Pending(ctx, h.ID); err == nil {
		what := map[string]string{pipeline.ToUndo: "undo", pipeline.ToRepeat: "retry", pipeline.ToGiveUp: "give up"}[a.What]
		u.Hint = fmt.Sprintf("to %s run %d, by %s, waits: `approve %d`", what, h.ID, a.By, h.ID)
	}
	return u
}

// approveCluster approves what waits of all hosts at once: an undo of the cluster, else the proposal of each member.
func (e *Env) approveCluster(ctx context.Context, cl pipeline.Cluster, by pipeline.Who, reason string) (Answer, error) {
	if p, err := e.Engine.Pending(ctx, cl.Runs[0].ID); err == nil && p.What == pipeline.ToUndo && p.Cluster > 0 {
		if _, _, err := e.Engine.Approve(ctx, cl.Runs[0].ID, by, reason); err != nil {
			return Answer{}, err
		}
		a := say("%s: taking back %d %s.", cl.Name, len(cl.Runs), plural(len(cl.Runs), "host"))
		a.Data, a.Cluster = cl, &cl
		return a, nil
	}
	if err := e.Engine.NoneHeld(ctx, cl.ID); err != nil { // all of it, or nothing
		return Answer{}, err
	}
	return eachMember(cl, "approved", func(r pipeline.Run) (pipeline.Run, error) {
		p, err := e.Engine.Pending(ctx, r.ID)
		if errors.Is(err, pipeline.ErrNotFound) || err == nil && !asOne(p) { // what was asked for about one host is that host's
			return r, &pipeline.StateError{Run: r, Want: "approve"}
		} else if err != nil {
			return r, err
		}
		r, _, err = e.Engine.Approve(ctx, r.ID, by, reason)
		return r, err
	})
}

// asOne reports whether what waits was asked for of a cluster as one: to start it, or to take all of it back.
func asOne(p pipeline.Approval) bool {
	return p.What == pipeline.ToStart || p.What == pipeline.ToUndo && p.Cluster > 0
}
