package command

import (
	"context"
	"fmt"
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
				return none(c.Person, "I do not know you: nothing that the server vouches for matches a person in my configuration. You may ask for help."), nil
			}
			a := say("%s", WhoLine(c.Person))
			a.Data = c.Person
			return a, nil
		},
	}
}

// WhoLine says who somebody is, and what they may do.
func WhoLine(p access.Person) string {
	roles := "no role"
	if len(p.Roles) > 0 {
		roles = plural(len(p.Roles), "role") + " " + strings.Join(p.Roles, ", ")
	}
	return fmt.Sprintf("you are %s, with the %s", p.Name, roles)
}
