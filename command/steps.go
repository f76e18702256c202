package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

// StepView is a step as `steps` gives it.
type StepView struct {
	Name   string   `json:"name"`
	Doc    string   `json:"doc"`
	Needs  []string `json:"needs"`
	Gives  []string `json:"gives"`
	Resume string   `json:"resume"`
	Silo   string   `json:"silo"` // in which it runs; "" outside of all
}

func steps() Verb {
	return Verb{
		Name: "steps", Usage: "[WORD]", Role: access.View, Max: 1,
		Doc:     "lists the steps that exist here, and the pipelines",
		Example: "steps dns",
		API:     []API{{Method: "GET", Path: "/v1/steps", Params: []Param{{Name: "word", In: InQuery, Doc: "only steps with this in name or description"}}, Gives: []StepView{}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			var a Answer
			var data []StepView
			reg := e.Engine.Registry()
			for _, s := range append(reg.Steps(), reg.Offered()...) {
				if len(c.Args) == 1 && !strings.Contains(s.Name+" "+s.Doc, c.Args[0]) {
					continue
				}
				data = append(data, StepView{s.Name, s.Doc, s.Needs, s.Gives, s.Resume.String(), s.Silo})
				where := ""
				if s.Silo != "" {
					where = " (silo " + s.Silo + ")"
				}
				a.Lines = append(a.Lines, s.Name+where+": "+s.Doc)
			}
			if len(c.Args) == 0 {
				for verb, byProvider := range e.Pipelines {
					for p, list := range byProvider {
						when := ""
						if reg.Title(p) == "" {
							if short, variant, ok := strings.Cut(p, "-"); ok && reg.Title(short) != "" {
								when = fmt.Sprintf(" with `boot: %s`", variant)
							}
						}
						a.Lines = append(a.Lines, fmt.Sprintf("%s on %s%s: %s", verb, listed(reg, p), when, strings.Join(list, " ")))
					}
				}
			}
			slices.Sort(a.Lines)
			if len(a.Lines) == 0 {
				return Answer{}, &UserError{Msg: fmt.Sprintf("no step here has %q in it", clip(c.Args[0], 40)), Kind: ErrNotFound}
			}
			a.Data = data
			return a, nil
		},
	}
}
