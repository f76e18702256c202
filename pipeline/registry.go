package pipeline

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync/atomic"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/internal/plain"
)

var stepName = pattern.New(`^[a-z][a-z0-9]*:[a-z][a-z0-9_]*$`)

// Registry holds the steps that exist here. It is filled at start and only read afterwards, so it is safe for
// concurrent use then.
type Registry struct {
	steps   map[string]Step
	aliases map[string]string // whole names and module prefixes ("dnswizard:")
	find    []func(name string) (Step, bool, error)
	list    []func() []Step
	titles  map[string]string      // modules that people know by another spelling
	silos   atomic.Pointer[siloed] // nil: there are none
}

// NewRegistry gives an empty registry.
func NewRegistry() *Registry {
	return &Registry{steps: map[string]Step{}, aliases: map[string]string{}, titles: map[string]string{}}
}

// Add registers steps. A bad or double name is a programmer's error and panics at start.
func (r *Registry) Add(steps ...Step) {
	for _, s := range steps {
		if !stepName.MatchString(s.Name) {
			panic(fmt.Sprintf("step name %q is not module:verb_object", s.Name))
		}
		if _, dup := r.steps[s.Name]; dup {
			panic(fmt.Sprintf("step %q is registered twice", s.Name))
		}
		r.steps[s.Name] = s
		for _, a := range s.Aliases {
			r.aliases[a] = s.Name
		}
	}
}

// Name says how people write a module's name: "EC2" for ec2. It may name one that has no steps here.
func (r *Registry) Name(module, title string) { r.titles[module] = title }

// Title gives what Name said; "" for a module that nobody named.
func (r *Registry) Title(module string) string { return r.titles[strings.ToLower(module)] }

// Alias lets a module's older name stand for it: Alias("dnswizard", "dns").
func (r *Registry) Alias(old, module string) { r.aliases[old+":"] = module + ":" }

// Resolve adds a source of steps that are looked up by name when they are needed: external workers, whose folder
// may change while we run. ok false means that the name is not the source's.
func (r *Registry) Resolve(find func(name string) (s Step, ok bool, err error)) {
	r.find = append(r.find, find)
}

// Offer adds a list of the steps that a source of Resolve has now, for people to read.
func (r *Registry) Offer(list func() []Step) { r.list = append(r.list, list) }

// Offered lists what the sources have now, of what runs here. It may take seconds: programs are asked.
func (r *Registry) Offered() []Step {
	var out []Step
	for _, f := range r.list {
		for _, s := range f() {
			if _, silo, away := r.away(s.Name); !away {
				s.Silo = silo
				out = append(out, s)
			}
		}
	}
	return out
}

// Steps lists the built-in steps, and those of silos elsewhere, sorted by name.
func (r *Registry) Steps() []Step {
	out := make([]Step, 0, len(r.steps))
	for _, s := range r.steps {
		out = append(out, s)
	}
	if s := r.silos.Load(); s != nil {
		return s.everywhere(out)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// UnknownStepError names a step that nobody here offers.
type UnknownStepError struct {
	Name    string
	Nearest string // "" when none is near
	Why     string // more than "nobody offers it"; may be empty
}

// Error implements error.
func (e *UnknownStepError) Error() string {
	msg := fmt.Sprintf("no worker here offers the step %q", e.Name)
	if e.Why != "" {
		msg = fmt.Sprintf("the step %q cannot run: %s", e.Name, e.Why)
	}
	if e.Nearest != "" {
		msg += fmt.Sprintf("; did you mean %q?", e.Nearest)
	}
	return msg
}

// Lookup finds a step by name, older name, or sp:task with the provider it stands for. The error is an
// *UnknownStepError.
func (r *Registry) Lookup(name, provider string) (Step, error) {
	canon := r.canonical(name, provider)
	s, silo, away := r.away(canon)
	if away {
		return r.describe(s, silo, name, canon)
	}
	step, err := r.here(name, canon)
	step.Silo = silo
	return step, err
}

// canonical gives a name as it is in the registry: sp: and older names are resolved.
func (r *Registry) canonical(name, provider string) string {
	canon := name
	if task, ok := strings.CutPrefix(name, "sp:"); ok && provider != "" {
		canon = provider + ":" + task
	}
	if module, task, ok := strings.Cut(canon, ":"); ok {
		if to, ok := r.aliases[module+":"]; ok {
			canon = to + task
		}
	}
	if to, ok := r.aliases[canon]; ok {
		canon = to
	}
	return canon
}

const badStepName = "a step is written module:task, in small letters, digits and _"

// here finds a step that this process has itself.
func (r *Registry) here(name, canon string) (Step, error) {
	if s, ok := r.steps[canon]; ok {
		return s, nil
	}
	if !stepName.MatchString(canon) {
		return Step{}, &UnknownStepError{Name: name, Why: badStepName}
	}
	for _, f := range r.find {
		s, ok, err := f(canon)
		if err != nil {
			return Step{}, &UnknownStepError{Name: name, Why: err.Error()}
		}
		if ok {
			return s, nil
		}
	}
	var names []string
	for n := range r.steps {
		names = append(names, n)
	}
	return Step{}, &UnknownStepError{Name: name, Nearest: Nearest(canon, names)}
}

// NeedsError says that a pipeline cannot work, before it starts: Step needs Key and nothing before it gives it.
type NeedsError struct {
	Step, Key string
	GivenBy   string // a later step that gives it, or ""
}

// Error implements error.
func (e *NeedsError) Error() string {
	msg := fmt.Sprintf("%s needs %q, which is neither in the clipboard nor given by a step before it", e.Step, e.Key)
	if e.GivenBy != "" {
		msg += fmt.Sprintf("; %s gives it, but comes later", e.GivenBy)
	}
	return msg
}

// Check resolves a pipeline's names for a clipboard and makes sure that each step's needs are met. The steps come
// back under their own names. A *clipboard.KeyError when a step is of "the provider" (sp:) and the clipboard names
// none.
func (r *Registry) Check(names []string, c *clipboard.Clipboard, provider string) ([]Step, error) {
	steps := make([]Step, 0, len(names))
	for _, n := range names {
		if provider == "" && strings.HasPrefix(n, "sp:") {
			return nil, clipboard.NoProvider()
		}
		s, err := r.Lookup(n, provider)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	return steps, checkNeeds(steps, c)
}

// checkNeeds finds the key that a step needs and nothing gives before it. A key with a ? is missed by nobody.
func checkNeeds(steps []Step, c *clipboard.Clipboard) error {
	given := map[string]bool{}
	for _, s := range steps {
		for _, key := range s.Needs {
			if strings.HasSuffix(key, "?") || given[key] || c.Has(key) {
				continue
			}
			e := &NeedsError{Step: s.Name, Key: key}
			for _, later := range steps {
				if slices.Contains(later.Gives, key) {
					e.GivenBy = later.Name
				}
			}
			return e
		}
		for _, key := range s.Gives {
			given[key] = true
		}
	}
	return nil
}

// Given lists the keys that the steps of Steps give, sorted: what a person may not bring along.
func (r *Registry) Given() []string {
	set := map[string]bool{}
	for _, s := range r.Steps() {
		for _, k := range s.Gives {
			set[k] = true
		}
	}
	out := make([]string, 0, len(set))
	for k := range set {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// Nearest gives the word closest to s by edit distance, or "" when none is near: at most a third of its letters
// differ.
func Nearest(s string, words []string) string { return plain.Nearest(s, words) }
