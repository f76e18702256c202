package command

import (
	"context"
	"strings"
)

func help() Verb {
	return Verb{
		Name: "help", Usage: "[COMMAND [WORD]]", Max: 2,
		Doc:     "lists what you may say, or explains one command",
		Example: "help deploy",
		API:     []API{{Method: "GET", Path: "/v1/help", Params: []Param{{Name: "command", In: InQuery, Doc: "explain this one"}, {Name: "word", In: InQuery, Doc: "explain this word of it, as show of check"}}}},
		Run: func(_ context.Context, e *Env, c *Call) (Answer, error) {
			if len(c.Args) > 0 {
				v, err := e.Table.explained(c.Args[0])
				if err != nil {
					return Answer{}, err
				}
				word := ""
				if len(c.Args) > 1 {
					word = c.Args[1]
				}
				s, err := v.explain(word)
				if err != nil {
					return Answer{}, err
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

// explained gives the verb that a word means; also one that acts, by a word of elsewhere: to explain it does nothing.
func (t *Table) explained(word string) (Verb, error) {
	if v, ok := t.synonym(strings.ToLower(word)); ok {
		return v, nil
	}
	return t.Find(word)
}
