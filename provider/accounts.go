package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
)

// Entries are a provider's entries in the configuration: one mapping, or a list of several accounts, regions or
// servers.
type Entries[C any] []C

// UnmarshalYAML reads either form.
func (e *Entries[C]) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.MappingNode {
		var one C
		err := n.Decode(&one)
		*e = Entries[C]{one}
		return err
	}
	var list []C
	err := n.Decode(&list)
	*e = list
	return err
}

// OneOrMany tells the configuration's checker that a mapping will do for a list of one.
func (Entries[C]) OneOrMany() {}

// Worker is a provider's worker, made from one entry of the configuration.
type Worker interface {
	Calls() Calls
	Steps(h Host) []pipeline.Step
	Close() // ends what it holds open
}

// Accounts gives the steps of a provider that has one or several entries: each step is that of the entry which the
// clipboard's `account` names, or else of the first.
func Accounts(h Host, workers []Worker) []pipeline.Step {
	lists := make([][]pipeline.Step, len(workers))
	for i, w := range workers {
		lists[i] = w.Steps(h)
	}
	out := slices.Clone(lists[0])
	for k := range out {
		s := &out[k]
		if !slices.Contains(s.Needs, "account?") {
			s.Needs = append(slices.Clone(s.Needs), "account?")
		}
		own := func(i int) pipeline.Step { return lists[i][k] }
		// What is to be done is done where the host's machine is, or refused; what was done is looked at and taken back
		// there.
		act := func(ctx context.Context, c *clipboard.Clipboard) (pipeline.Step, error) {
			i, err := chosen(ctx, c, workers, true)
			return own(i), err
		}
		look := func(ctx context.Context, c *clipboard.Clipboard) (pipeline.Step, error) {
			i, err := chosen(ctx, c, workers, false)
			return own(i), err
		}
		// Each step is checked, for an account that is not there stops every one of them.
		check := s.Check
		s.Check = func(ctx context.Context, c *clipboard.Clipboard) error {
			own, err := act(ctx, c)
			if err != nil || check == nil {
				return err
			}
			return own.Check(ctx, c)
		}
		s.Do = byAccount(s.Do, act, func(s pipeline.Step) call { return s.Do })
		s.Undo = unlessUntouched(s.Name, byAccount(s.Undo, look, func(s pipeline.Step) call { return s.Undo }))
		s.Release = byAccount(s.Release, look, func(s pipeline.Step) call { return s.Release })
		s.Plan = tellByAccount(s.Plan, act, func(s pipeline.Step) asked[string] { return s.Plan })
		s.Drift = tellByAccount(s.Drift, look, func(s pipeline.Step) asked[[]pipeline.Difference] { return s.Drift })
	}
	return out
}

type (
	call         = func(context.Context, *clipboard.Clipboard) error
	asked[T any] = func(context.Context, *clipboard.Clipboard) (T, error)
	chooser      func(context.Context, *clipboard.Clipboard) (pipeline.Step, error)
)

// byAccount gives a call of a step that is made on the account's own step; nil when the step has none.
func byAccount(have call, choose chooser, of func(pipeline.Step) call) call {
	if have == nil {
		return nil
	}
	return func(ctx context.Context, c *clipboard.Clipboard) error {
		s, err := choose(ctx, c)
		if err != nil {
			return err
		}
		return of(s)(ctx, c)
	}
}

// tellByAccount is the same for a call that answers.
func tellByAccount[T any](have asked[T], choose chooser, of func(pipeline.Step) asked[T]) asked[T] {
	if have == nil {
		return nil
	}
	return func(ctx context.Context, c *clipboard.Clipboard) (T, error) {
		s, err := choose(ctx, c)
		if err != nil {
			var none T
			return none, err
		}
		return of(s)(ctx, c)
	}
}

// traces are the keys that a step puts on record before it changes anything.
var traces = map[string][]string{
	"deploy": {"provider_asked", "provider_id"}, "adopt": {"adopt_before"},
	"shutdown": {"powering_off", "powered_off"}, "destroy": {"destroying", "destroyed"},
}

// unlessUntouched has an undo ask first whether the step changed anything: one that never got so far is not held up by
// what kept it from that.
func unlessUntouched(step string, undo call) call {
	if undo == nil {
		return nil
	}
	_, task, _ := strings.Cut(step, ":")
	keys, known := traces[task]
	return func(ctx context.Context, c *clipboard.Clipboard) error {
		err := undo(ctx, c)
		if known && pipeline.IsPermanent(err) && !slices.ContainsFunc(keys, c.Has) {
			pipeline.Progress(ctx, "nothing was made")
			return nil
		}
		return err
	}
}

// chosen gives the entry at which a step works: that of the host's machine, or else the one that the clipboard names,
// or else the first. to says that something is to be done: then a clipboard that means another place than the machine's
// is refused, for the machine would be left behind there.
func chosen(ctx context.Context, c *clipboard.Clipboard, workers []Worker, to bool) (int, error) {
	p := workers[0].Calls()
	said, err := c.String("account")
	if err != nil && !errors.Is(err, clipboard.ErrMissing) {
		return 0, pipeline.Permanent(err)
	}
	i, unknown := named(said, workers)
	if said == "" { // in a redeploy, where the machine was that is gone by now
		i, unknown = named(c.Get("provider_account"), workers)
	}
	list, _, err := pipeline.MachinesOf(ctx)
	if err != nil {
		return 0, err
	}
	if unknown != nil && to {
		return 0, unknown
	}
	for _, m := range slices.Backward(list) {
		if m.Provider != p.Module {
			if to {
				return 0, pipeline.Permanentf("%s has the machine %s at %s on record, and a host stays where it was made: `destroy %s` takes it down there first", m.FQDN, m.ID, m.Provider, m.FQDN)
			}
			continue
		}
		at, err := entryOf(ctx, m, workers)
		switch {
		case err != nil:
			return 0, err
		case at < 0:
		case said == "" || at == i && unknown == nil || !to:
			return at, nil
		default:
			return 0, pipeline.Permanentf("%s has the machine %s at the account %q of workers.%s on record, and the clipboard says %q: a host stays where it was made; `destroy %s` takes it down there first",
				m.FQDN, m.ID, workers[at].Calls().Account, p.Module, said, m.FQDN)
		}
	}
	return i, unknown
}

// entryOf finds the entry at which a machine was made; -1 when it cannot be told. One that had no name may have got one
// since: then it is the entry that has the machine.
func entryOf(ctx context.Context, m pipeline.Machine, workers []Worker) (int, error) {
	at := slices.IndexFunc(workers, func(w Worker) bool { return w.Calls().Account == m.Account })
	switch {
	case at >= 0:
		return at, nil
	case m.Account != "":
		return -1, pipeline.Permanentf("%s has the machine %s at the account %q on record, which workers.%s does not have any more: put that entry back, or give the entry that it was its name again", m.FQDN, m.ID, m.Account, m.Provider)
	case len(workers) == 1:
		return 0, nil
	}
	for i, w := range workers {
		switch found, err := w.Calls().Get(ctx, m.ID); {
		case errors.Is(err, ErrGone), err == nil && found.State == Gone:
		case err != nil:
			return -1, err
		default:
			return i, nil
		}
	}
	return -1, nil
}

// named finds the entry that a clipboard names.
func named(account string, workers []Worker) (int, error) {
	module := workers[0].Calls().Module
	if account != "" && strings.TrimSpace(account) == "" {
		return 0, pipeline.Permanentf("\"account\" is %q, which is no name; leave it out, or name an entry of workers.%s", account, module)
	}
	var names []string
	for i, w := range workers {
		name := w.Calls().Account
		if account == "" || account == name {
			return i, nil
		}
		if name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return 0, pipeline.Permanentf("\"account\" is %q, and workers.%s has one entry without a name; leave it out, or give that entry this `account`", account, module)
	}
	return 0, Unknown("account", account, names, "workers."+module)
}

// CheckAccounts says what is wrong with the names of several entries: each needs one of its own.
func CheckAccounts(module string, names []string) error {
	if len(names) < 2 {
		return nil
	}
	for i, n := range names {
		if strings.TrimSpace(n) == "" {
			return mistake.At(fmt.Sprintf("workers.%s[%d]", module, i), "is one of several entries, and has no `account`: the name by which clipboards choose it")
		}
		if slices.Contains(names[:i], n) {
			return mistake.At(fmt.Sprintf("workers.%s[%d].account", module, i), "is %q, and so is that of an entry before it", n)
		}
	}
	return nil
}
