package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func plan() Verb {
	return Verb{
		Name: "plan", Usage: "[redeploy | destroy] " + sourceUsage + " | HOST", Role: access.View, Min: 1, Max: 2,
		Doc:     "says what deploy, redeploy or destroy would do, and does nothing",
		Example: "plan https://gist.github.com/912450",
		API: []API{{Method: "POST", Path: "/v1/plan", Gives: []pipeline.PlanLine{}, Params: []Param{
			{Name: "verb", In: InBody, Doc: "deploy, redeploy or destroy; without it, deploy"},
			{Name: "source", In: InBody, Doc: "URL of a clipboard, cn=NAME, or a host on record; without it, clipboard"},
			{Name: "clipboard", In: InBody, Doc: "the clipboard itself, as YAML", Kind: Document},
		}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			verb := "deploy"
			if len(c.Args) == 2 {
				if verb = c.Args[0]; verb != "deploy" && verb != "redeploy" && verb != "destroy" {
					return Answer{}, &UserError{Msg: fmt.Sprintf("%q can not be planned", clip(verb, 40)), Hint: "`plan redeploy loki`, `plan destroy loki`, `plan URL`", Kind: ErrUsage}
				}
				c.Args = c.Args[1:]
			}
			f := order
			// A host on record, and no file: what would a redeploy do?
			if _, err := e.Engine.FindHost(ctx, c.Args[0]); verb == "deploy" && c.File == nil && err == nil && !strings.ContainsAny(c.Args[0], ":=/") {
				verb = "redeploy"
			}
			if verb != "deploy" {
				f = func(ctx context.Context, e *Env, c *Call, verb string) (ordered, error) { return e.again(ctx, c, verb) }
			}
			o, err := f(ctx, e, c, verb)
			if err != nil {
				return Answer{}, err
			}
			if o.cluster == nil {
				list, err := e.Engine.Plan(ctx, o.requests[0])
				return Answer{Data: list, Lines: planLines("", list)}, err
			}
			lists, err := e.Engine.PlanCluster(ctx, *o.cluster, o.requests)
			a := Answer{Data: lists}
			for i, list := range lists {
				a.Lines = append(a.Lines, planLines(o.cluster.Members[i].Get("hostname")+" ", list)...)
			}
			return a, err
		},
	}
}

func planLines(who string, list []pipeline.PlanLine) []string {
	var out []string
	for i, l := range list {
		out = append(out, fmt.Sprintf("%s%d/%d %s: %s", who, i+1, len(list), l.Step, l.Text))
	}
	return out
}
