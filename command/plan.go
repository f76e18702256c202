package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

func plan() Verb {
	return Verb{
		Name: "plan", Usage: "[redeploy | destroy] " + sourceUsage + " | HOST", Role: access.View, Min: 1, Max: 2,
		Doc:     "says what deploy, redeploy or destroy would do, and does nothing; of a HOST on record alone, what redeploy would do",
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
					return Answer{}, &UserError{Msg: fmt.Sprintf("%q cannot be planned", clip(verb, 40)), Hint: "`plan redeploy loki`, `plan destroy loki`, `plan URL`", Kind: ErrUsage}
				}
				c.Args = c.Args[1:]
			}
			f := order
			// A host on record, and no file: what would a redeploy do?
			host := verb == "deploy" && c.File == nil && !strings.ContainsAny(c.Args[0], ":=/")
			if host {
				_, err := e.Engine.FindHost(ctx, c.Args[0])
				var several *pipeline.AmbiguousError
				switch {
				case err == nil:
					verb = "redeploy"
				case errors.As(err, &several):
					return Answer{}, err
				case !c.Local || e.ReadFile == nil:
					return Answer{}, &UserError{Msg: fmt.Sprintf("%q is no host on record, no file, no URL and no cn=NAME", clip(c.Args[0], 80)), Hint: "`hosts` lists what is on record; files are taken on the command line: `jarvis plan FILE`", Kind: ErrNotFound}
				}
			}
			if verb != "deploy" {
				f = func(ctx context.Context, e *Env, c *Call, verb string) (ordered, error) { return e.again(ctx, c, verb) }
			}
			o, err := f(ctx, e, c, verb)
			if err != nil {
				return Answer{}, err
			}
			head, err := e.before(ctx, verb, &o)
			if err != nil {
				return Answer{}, err
			}
			if o.cluster == nil {
				list, err := e.Engine.Plan(ctx, o.requests[0])
				a := Answer{Data: list, Bad: wouldFail(list)}
				if err == nil { // first of all, for chat shows few lines
					a.Lines = append(head, planLines("", list)...)
				}
				if ignored := e.unreadOf(o); ignored != "" && verb != "destroy" {
					a.Lines = append(a.Lines, ignored)
				}
				return a, err
			}
			lists, err := e.Engine.PlanCluster(ctx, *o.cluster, o.requests)
			a := Answer{}
			all := []pipeline.PlanLine{}
			if err == nil {
				a.Lines = head
			}
			for i, list := range lists {
				host := o.cluster.Members[i].Get("hostname")
				a.Lines = append(a.Lines, planLines(host+" ", list)...)
				for _, l := range list {
					l.Host = host
					all = append(all, l)
				}
				a.Bad = a.Bad || wouldFail(list)
			}
			a.Data = all
			if ignored := e.unreadOf(o); ignored != "" && verb != "destroy" {
				a.Lines = append(a.Lines, ignored)
			}
			return a, err
		},
	}
}

func wouldFail(list []pipeline.PlanLine) bool {
	return slices.ContainsFunc(list, func(l pipeline.PlanLine) bool { return l.Fails })
}

// before says what comes before the first stage: what holds the hosts, and that a second person is asked.
func (e *Env) before(ctx context.Context, verb string, o *ordered) ([]string, error) {
	lines := e.underWay(ctx, o.requests)
	if err := e.askFirst(ctx, verb, o); err != nil {
		return nil, err
	}
	if need := o.requests[0].Approval; need != nil {
		lines = append(lines, fmt.Sprintf("The %s needs a second person, because %s.", verb, need.Why))
	}
	return lines, nil
}

// underWay says which runs hold the hosts of a plan, each in a line: what is planned cannot begin before they are over.
func (e *Env) underWay(ctx context.Context, list []pipeline.Request) []string {
	var out []string
	for _, q := range list {
		in, err := q.Clipboard.Instance()
		if err != nil {
			continue
		}
		if r, err := e.Engine.Holder(ctx, in.FQDN); err == nil {
			out = append(out, fmt.Sprintf("%s is held by run %d, %s by %s: %s at %s. What is planned here cannot begin before that is over.", r.Host, r.ID, r.Pipeline, r.By, r.State, r.Where()))
		}
	}
	return out
}

func planLines(who string, list []pipeline.PlanLine) []string {
	var out []string
	for i, l := range list {
		out = append(out, fmt.Sprintf("%s%d/%d %s: %s", who, i+1, len(list), l.Step, l.Text))
	}
	return out
}
