package command

import (
	"context"
	"strings"

	"github.com/jarvisops/jarvis/access"
)

func whoami() Verb {
	return Verb{
		Name: "whoami", Max: 0,
		Doc:     "says who I take you for, and what you may do",
		Example: "whoami",
		API:     []API{{Method: "GET", Path: "/v1/whoami", Gives: access.Person{}}},
		Run: func(_ context.Context, e *Env, c *Call) (Answer, error) {
			if c.Person.Name == "" {
				return say("I do not know you: nothing that the server vouches for matches a person in my configuration. You may ask for help."), nil
			}
			roles := "no role"
			if len(c.Person.Roles) > 0 {
				roles = plural(len(c.Person.Roles), "role") + " " + strings.Join(c.Person.Roles, ", ")
			}
			a := say("you are %s, with the %s", c.Person.Name, roles)
			a.Data = c.Person
			return a, nil
		},
	}
}
