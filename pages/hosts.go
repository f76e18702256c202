package pages

import (
	"context"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

// hostRows is how many hosts a page of the list has.
const hostRows = 100

func hostsPage() *page {
	return &page{path: "/hosts", file: "hosts.html", name: "Hosts", key: "h", role: access.View, slow: true,
		read: func(s *Site, ctx context.Context, q query, _ view, _ []pipeline.Event) (view, error) {
			v := &hostsView{}
			var err error
			if v.event, err = s.Engine.LastEvent(ctx); err != nil {
				return nil, err
			}
			list, err := s.Engine.FindHosts(ctx, q.find, q.after, hostRows+1)
			if err != nil {
				return nil, err
			}
			v.list = hostList{Find: q.find}
			if len(list) > hostRows {
				list = list[:hostRows]
				v.list.After = list[hostRows-1].FQDN
			}
			for _, h := range list {
				v.list.Rows = append(v.list.Rows, rowOfHost(h))
			}
			counts, err := s.Engine.CountHosts(ctx)
			if v.list.Sum = sumOfHosts(counts); q.find != "" {
				v.list.Sum = "those with " + q.find + " in their name"
			}
			return v, err
		}}
}

// sumOfHosts says how many stand how, the most first.
func sumOfHosts(counts []pipeline.Stands) string {
	all, n, by := 0, map[string]int{}, []string{}
	for _, c := range counts {
		_, _, word := look(pipeline.Run{Kind: pipeline.Kind{Verb: c.Verb}, State: c.State, Ending: c.Ending})
		if all += c.Hosts; n[word] == 0 {
			by = append(by, word)
		}
		n[word] += c.Hosts
	}
	for i, word := range by {
		by[i] = fmt.Sprintf("%d %s", n[word], word)
	}
	if all == 0 {
		return "none is on record yet"
	}
	return fmt.Sprintf("%d on record: %s", all, strings.Join(by, ", "))
}

// hostRow is a host in a list.
type hostRow struct {
	pipeline.Standing
	Kind, Word string
	Name, Rest string
}

// rowOfHost looks like the host's newest run.
func rowOfHost(h pipeline.Standing) hostRow {
	r := hostRow{Standing: h}
	r.Kind, _, r.Word = look(h.Run)
	r.Name, r.Rest = named(h.Run)
	return r
}

// hostsView is the hosts on record.
type hostsView struct {
	event int64
	list  hostList
}

type hostList struct {
	Sum   string
	Rows  []hostRow
	Find  string
	After string // those after this one are on another page; "": there are none
}

func (v *hostsView) title() string            { return "hosts" }
func (v *hostsView) at() int64                { return v.event }
func (v *hostsView) own(access.Person) []part { return nil }
func (v *hostsView) parts() []part {
	return []part{{"sum", "host-sum", v.list.Sum}, {"list", "host-list", v.list}}
}
