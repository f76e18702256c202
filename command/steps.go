package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

func steps() Verb {
	return Verb{
		Name: "steps", Usage: "[WORD]", Role: access.View, Max: 1,
		Doc:     "lists the steps that exist here, and the pipelines",
		Example: "steps dns",
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			type row struct {
				Name   string   `json:"name"`
				Doc    string   `json:"doc"`
				Needs  []string `json:"needs"`
				Gives  []string `json:"gives"`
				Resume string   `json:"resume"`
			}
			var a Answer
			var data []row
			for _, s := range e.Engine.Registry().Steps() {
				if len(c.Args) == 1 && !strings.Contains(s.Name+" "+s.Doc, c.Args[0]) {
					continue
				}
				data = append(data, row{s.Name, s.Doc, s.Needs, s.Gives, s.Resume.String()})
				a.Lines = append(a.Lines, s.Name+": "+s.Doc)
			}
			if len(c.Args) == 0 {
				for verb, byProvider := range e.Pipelines {
					for p, list := range byProvider {
						a.Lines = append(a.Lines, fmt.Sprintf("%s on %s: %s", verb, provider("/"+p), strings.Join(list, " ")))
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
