package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

func help() Verb {
	return Verb{
		Name: "help", Usage: "[COMMAND]", Max: 1,
		Doc:     "lists what you may say, or explains one command",
		Example: "help deploy",
		Run: func(_ context.Context, e *Env, c *Call) (Answer, error) {
			if len(c.Args) == 1 {
				v, err := e.Table.Find(c.Args[0])
				if err != nil {
					return Answer{}, err
				}
				s := fmt.Sprintf("%s — %s. As in: %s", strings.TrimSpace(v.Name+" "+v.Usage), v.Doc, v.Example)
				if v.Role != "" {
					s += fmt.Sprintf(" (needs the role %q)", v.Role)
				}
				return say("%s", s), nil
			}
			var names []string
			for _, v := range e.Table.verbs {
				if !v.Hidden && c.Person.Has(v.Role) {
					names = append(names, v.Name)
				}
			}
			return say("you may say: %s. `help COMMAND` explains one.", strings.Join(names, " · ")), nil
		},
	}
}

func whoami() Verb {
	return Verb{
		Name: "whoami", Max: 0,
		Doc:     "says who I take you for, and what you may do",
		Example: "whoami",
		Run: func(_ context.Context, e *Env, c *Call) (Answer, error) {
			if c.Person.Name == "" {
				return say("I do not know you: nothing that the server vouches for matches a person in my configuration. You may ask for help."), nil
			}
			roles := "no role"
			if len(c.Person.Roles) > 0 {
				roles = plural(len(c.Person.Roles), "role") + " " + strings.Join(c.Person.Roles, ", ")
			}
			a := say("you are %s, with the %s", c.Person.Name, roles)
			a.Data = access.Person{Name: c.Person.Name, Roles: c.Person.Roles}
			return a, nil
		},
	}
}

func version() Verb {
	return Verb{
		Name: "version", Max: 0,
		Doc:     "says which version runs",
		Example: "version",
		Run: func(_ context.Context, e *Env, _ *Call) (Answer, error) {
			a := say("%s %s", e.Name, e.Version)
			a.Data = map[string]string{"version": e.Version}
			return a, nil
		},
	}
}
