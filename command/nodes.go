package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// Servers are those that share a record, and the silos of the configuration.
type Servers struct {
	Nodes []pipeline.Node `json:"nodes"`
	Silos []pipeline.Silo `json:"silos"`
}

func nodes() Verb {
	return Verb{
		Name: "nodes", Role: access.View,
		Doc:     "lists the servers that share this record: whether each lives, what it has in hand, and what it does for all",
		Example: "nodes",
		API:     []API{{Method: "GET", Path: "/v1/nodes", Gives: Servers{}}},
		Run: func(ctx context.Context, e *Env, _ *Call) (Answer, error) {
			now, err := e.servers(ctx)
			if err != nil {
				return Answer{}, err
			}
			a := Answer{Data: now}
			for _, n := range now.Nodes {
				a.Lines = append(a.Lines, e.nodeLine(n))
			}
			for _, s := range now.Silos {
				a.Lines = append(a.Lines, siloLine(s))
			}
			return a, nil
		},
	}
}

// Servers are what `nodes` lists.
func (t *Table) Servers(ctx context.Context) (Servers, error) { return t.env().servers(ctx) }

// NodeLine and SiloLine are what `nodes` says of one, after its name.
func (t *Table) NodeLine(n pipeline.Node) string { return behind(t.env().nodeLine(n)) }

// SiloLine is NodeLine for a silo.
func (t *Table) SiloLine(s pipeline.Silo) string { return behind(siloLine(s)) }

// behind takes the name off a line.
func behind(line string) string {
	_, rest, _ := strings.Cut(line, ": ")
	return rest
}

func (e *Env) servers(ctx context.Context) (s Servers, err error) {
	if s.Nodes, err = e.Engine.Nodes(ctx); err != nil {
		return s, err
	}
	s.Silos, err = e.Engine.Silos(ctx, s.Nodes)
	return s, err
}

// nodeLine begins with the name, and has its first ": " before what there is to say: behind cuts there.
func (e *Env) nodeLine(n pipeline.Node) string {
	name := n.Name
	if n.Silo != "" {
		name += " (silo " + n.Silo + ")"
	}
	ago := Short(e.Now().Sub(n.Renewed))
	switch {
	case n.State == store.Left:
		return fmt.Sprintf("%s, Jarvis %s: was stopped in order %s ago", name, n.Version, ago)
	case n.State != store.Lives:
		return fmt.Sprintf("%s, Jarvis %s: is dead since %s; what it had in hand goes on elsewhere", name, n.Version, ago)
	}
	line := fmt.Sprintf("%s, Jarvis %s: lives, started %s ago", name, n.Version, Short(e.Now().Sub(n.Started)))
	if !n.Drains.IsZero() {
		line = fmt.Sprintf("%s, Jarvis %s: drains since %s", name, n.Version, Short(e.Now().Sub(n.Drains)))
		if n.Runs == 0 {
			line += "; it can be stopped"
		}
	}
	line += fmt.Sprintf("; %d %s in hand", n.Runs, plural(n.Runs, "run"))
	if len(n.Roles) > 0 {
		line += "; does for all: " + strings.Join(n.Roles, ", ")
	}
	for _, silo := range slices.Sorted(maps.Keys(n.Serves)) {
		line += fmt.Sprintf("; has a line to %s for the silo %s", agents(n.Serves[silo]), silo)
	}
	if n.Twin {
		line += "; another server that lives has the same name: give each its own `node.name`"
	}
	if n.Differs {
		line += "; its configuration has other `silos` than the one that answers, so runs may wait for what nobody does: make them the same"
	}
	if n.Here {
		line += "; it is the one that answers"
	}
	return line
}

func agents(names []string) string {
	if len(names) == 1 {
		return "the agent " + names[0]
	}
	return "the agents " + strings.Join(names, ", ")
}

// siloLine says by whom a silo is served.
func siloLine(s pipeline.Silo) string {
	name := fmt.Sprintf("silo %s (%s): ", s.Name, strings.Join(s.Modules, ", "))
	if !s.Served {
		line := name + fmt.Sprintf("nobody serves it; a server with `node: {silo: %s}` or an agent would", s.Name)
		if s.Waiting > 0 {
			line += fmt.Sprintf("; %d %s for it", s.Waiting, map[bool]string{true: "run waits", false: "runs wait"}[s.Waiting == 1])
		}
		return line
	}
	var by []string
	if n := len(s.Servers); n > 0 {
		by = append(by, "the "+plural(n, "server")+" "+strings.Join(s.Servers, ", "))
	}
	for _, a := range s.Agents {
		by = append(by, fmt.Sprintf("the agent %s, with a line to %s", a.Name, strings.Join(a.Lines, ", ")))
	}
	return name + "served by " + strings.Join(by, "; ")
}

func drain() Verb {
	return Verb{
		Name: "drain", Usage: "NODE", Role: access.Admin, Min: 1, Max: 1, Acts: true,
		Doc:     "has a server begin nothing any more, before it is stopped: its runs go on at the others from their next step on",
		Example: "drain jarvis-2",
		API: []API{{Method: "POST", Path: "/v1/nodes/{node}/drain", Gives: Servers{}, Params: []Param{
			{Name: "node", In: InPath, Doc: "name of a node, as `nodes` lists it", Required: true}}}},
		Run: func(ctx context.Context, e *Env, c *Call) (Answer, error) {
			name := c.Args[0]
			err := e.Engine.Drain(ctx, name)
			var last *pipeline.LastNodeError
			var twin *pipeline.AmbiguousNodeError
			switch {
			case errors.Is(err, pipeline.ErrNotFound):
				return Answer{}, &UserError{Msg: fmt.Sprintf("no server %s lives", clip(name, 60)), Hint: "`nodes` lists them", Kind: ErrNotFound}
			case errors.As(err, &twin):
				return Answer{}, &UserError{Msg: twin.Error(), Hint: "give each a `node.name` of its own; until then, stop the one that is to go: its runs go on elsewhere"}
			case errors.As(err, &last):
				return Answer{}, &UserError{Msg: last.Error(), Hint: "stop it as it is: what is under way goes on at its next start"}
			case err != nil:
				return Answer{}, err
			}
			now, err := e.servers(ctx)
			if err != nil {
				return Answer{}, err
			}
			a := say("%s begins nothing any more; its runs go on elsewhere from their next step on. `nodes` says when it can be stopped; it works again once it is started again.", name)
			a.Data = now
			return a, nil
		},
	}
}
