package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
)

// A module may belong to a silo; then its steps run only there. Whoever is elsewhere knows them by their descriptions,
// which those who are in the silo have put on record: so a pipeline can be checked, and planned, from anywhere.

// siloed is what a registry knows of silos. It is set at start; the offers change.
type siloed struct {
	here   string
	of     map[string]string // silo by module
	offers map[string]Step   // descriptions of the steps of elsewhere, by name and older name
	told   map[string]bool   // modules and silos ("silo:NAME") of which a step is known
}

// Silos says where this process stands, and which modules belong to which silo; all others are outside of all silos.
func (r *Registry) Silos(here string, of map[string]string) {
	r.silos.Store(&siloed{here: here, of: of})
}

// SiloOf gives the silo in which a step runs, by its name on record; "" when it is in none.
func (r *Registry) SiloOf(step string) string {
	s := r.silos.Load()
	if s == nil {
		return ""
	}
	return s.of[Module(r.canonical(step, ""))]
}

// offer replaces the descriptions of the steps that run elsewhere.
func (r *Registry) offer(list []Step) {
	s := *r.silos.Load()
	s.offers, s.told = map[string]Step{}, map[string]bool{}
	for _, o := range list {
		s.offers[o.Name] = o
		s.told["silo:"+o.Silo], s.told[Module(o.Name)] = true, true
		for _, a := range o.Aliases {
			if _, taken := s.offers[a]; !taken {
				s.offers[a] = o
			}
		}
	}
	r.silos.Store(&s)
}

// away reports whether a step's module belongs to somewhere else.
func (r *Registry) away(canon string) (s *siloed, silo string, away bool) {
	if s = r.silos.Load(); s == nil {
		return nil, "", false
	}
	silo = s.of[Module(canon)]
	return s, silo, silo != s.here
}

// Has reports whether a step is known to exist: Lookup also gives one of a silo that has not described its steps yet.
func (r *Registry) Has(name, provider string) bool {
	s, err := r.Lookup(name, provider)
	return err == nil && !s.guessed
}

// describe finds a step that runs elsewhere. What nobody has told anything about is taken as it is written: who serves
// the silo may just not have come yet.
func (r *Registry) describe(s *siloed, silo, name, canon string) (Step, error) {
	if o, ok := s.offers[canon]; ok {
		return o, nil
	}
	if !stepName.MatchString(canon) {
		return Step{}, &UnknownStepError{Name: name, Why: badStepName}
	}
	told := s.told[Module(canon)] || silo == "" && s.told["silo:"]
	if local, err := r.here(name, canon); err == nil && !told {
		return local.described(silo), nil
	}
	if !told {
		d := Step{Name: canon, Doc: "a step of " + siloWords(silo) + ", which has not described it yet", Resume: Ask}
		d.guessed = true
		d.Undo = func(context.Context, *clipboard.Clipboard) error { return nil } // it may have to be
		return d.described(silo), nil
	}
	var names []string
	for n, o := range s.offers {
		if o.Silo == silo {
			names = append(names, n)
		}
	}
	return Step{}, &UnknownStepError{Name: name, Nearest: Nearest(canon, names), Why: siloWords(silo) + " has no such step"}
}

// described gives a step without what it does: with functions that say where they are.
func (s Step) described(silo string) Step {
	not := func(context.Context, *clipboard.Clipboard) error {
		return Permanentf("%s runs only in %s", s.Name, siloWords(silo))
	}
	s.Silo, s.away, s.Do, s.Plan = silo, true, not, nil
	if s.Check != nil {
		s.Check = not
	}
	if s.Release != nil {
		s.Release = not
	}
	if s.Undo != nil {
		s.Undo = not
	}
	if s.Drift != nil {
		s.Drift = func(context.Context, *clipboard.Clipboard) ([]Difference, error) {
			return nil, fmt.Errorf("only %s can look, and it is not looked from there", siloWords(silo))
		}
	}
	return s
}

// absent gives a step of which nothing begins, because nobody is there for it now.
func (s Step) absent() Step {
	s = s.described(s.Silo)
	not := func(context.Context, *clipboard.Clipboard) error { return ErrNotBegun }
	s.gone, s.Do = true, not
	for _, f := range []*func(context.Context, *clipboard.Clipboard) error{&s.Check, &s.Release, &s.Undo} {
		if *f != nil {
			*f = not
		}
	}
	return s
}

// siloWords names a silo in a sentence.
func siloWords(silo string) string {
	if silo == "" {
		return "a server that is in no silo"
	}
	return "the silo " + silo
}

// everywhere is Steps for a registry that knows of silos: what runs here as it is, what runs elsewhere as described.
func (s *siloed) everywhere(local []Step) []Step {
	var out []Step
	for _, l := range local {
		switch silo := s.of[Module(l.Name)]; {
		case silo == s.here:
			l.Silo = silo
			out = append(out, l)
		case !s.told[Module(l.Name)] && !(silo == "" && s.told["silo:"]):
			out = append(out, l.described(silo))
		}
	}
	for name, o := range s.offers {
		if name == o.Name {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b Step) int { return strings.Compare(a.Name, b.Name) })
	return out
}
