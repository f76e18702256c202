package pages

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/internal/plain"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

func nodesPage() *page {
	return &page{path: "/nodes", file: "nodes.html", name: "Nodes", key: "n", role: access.View, slow: true,
		read: func(s *Site, ctx context.Context, _ query, _ view, _ []pipeline.Event) (view, error) {
			v := &nodesView{s: s}
			var err error
			if v.event, err = s.Engine.LastEvent(ctx); err != nil {
				return nil, err
			}
			v.Servers, err = s.Table.Servers(ctx)
			return v, err
		},
		words: func(form url.Values) [][]string {
			if name := plain.Line(form.Get("node")); name != "" && form.Get("verb") == "drain" {
				return [][]string{{"drain", name}}
			}
			return nil
		}}
}

// nodesView is the servers that share the record, and the silos.
type nodesView struct {
	s     *Site
	event int64
	command.Servers
}

func (v *nodesView) title() string {
	lives := 0
	for _, n := range v.Nodes {
		if n.State == store.Lives {
			lives++
		}
	}
	return fmt.Sprintf("%d of %d live", lives, len(v.Nodes))
}

func (v *nodesView) at() int64 { return v.event }

// nodeRow is a server or a silo in its list.
type nodeRow struct {
	row
	Drain string // the name to say; "": it cannot be drained, or not by this reader
}

type nodeRows struct {
	Title, None string
	List        []nodeRow
}

func (v *nodesView) parts() []part {
	silos := nodeRows{Title: "Silos", None: "No silo is in the configuration: every step may run on every server."}
	for _, x := range v.Silos {
		r := row{Kind: "good", Word: "served", Name: x.Name, Rest: " " + strings.Join(x.Modules, ", "), Text: v.s.Table.SiloLine(x)}
		if !x.Served {
			if r.Kind, r.Word = "warn", "nobody"; x.Waiting > 0 {
				r.Kind = "bad"
			}
		}
		silos.List = append(silos.List, nodeRow{row: r})
	}
	return []part{{"silos", "node-list", silos}}
}

// own gives the servers, for the button that drains one needs a role.
func (v *nodesView) own(p access.Person) []part {
	d := nodeRows{Title: "Servers", None: "No server is on record."}
	for _, n := range v.Nodes {
		r := row{Kind: "good", Word: "lives", Name: n.Name, Text: v.s.Table.NodeLine(n), At: n.Renewed.Truncate(time.Second)}
		if n.Silo != "" {
			r.Rest = " silo " + n.Silo
		}
		switch {
		case n.State == store.Left:
			r.Kind, r.Word = "off", "stopped"
		case n.State != store.Lives:
			r.Kind, r.Word = "bad", "dead"
		case !n.Drains.IsZero():
			r.Kind, r.Word = "wait", "drains"
		case n.Twin || n.Differs:
			r.Kind = "warn"
		}
		x := nodeRow{row: r}
		if p.Has(access.Admin) && n.State == store.Lives && n.Drains.IsZero() && len(v.Nodes) > 1 {
			x.Drain = n.Name
		}
		d.List = append(d.List, x)
	}
	return []part{{"servers", "node-list", d}}
}
