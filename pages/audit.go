package pages

import (
	"context"
	"fmt"
	"strings"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/pipeline"
)

// auditRows is how many lines of the audit a page has.
const auditRows = 100

func auditPage() *page {
	return &page{path: "/audit", file: "audit.html", name: "Audit", key: "u", role: access.Admin, slow: true,
		read: func(s *Site, ctx context.Context, q query, _ view, _ []pipeline.Event) (view, error) {
			v := &auditView{find: q.find}
			var err error
			if v.event, err = s.Engine.LastEvent(ctx); err != nil {
				return nil, err
			}
			list, far, err := s.Access.AuditFind(ctx, access.AuditFilter{With: strings.Fields(q.find), Before: q.before, Limit: auditRows})
			if err != nil {
				return nil, err
			}
			v.list = auditList{Far: far, Find: q.find}
			for i := len(list) - 1; i >= 0; i-- {
				r := list[i]
				v.list.Rows = append(v.list.Rows, auditRow{r, refused(r)})
			}
			if len(list) == auditRows || far > 0 {
				v.list.Older = far
				if len(list) > 0 {
					v.list.Older = list[0].ID
				}
			}
			return v, nil
		}}
}

// refused reports whether something was not done.
func refused(r access.Record) bool { return r.Outcome != "ok" }

// auditView is who said what.
type auditView struct {
	event int64
	find  string
	list  auditList
}

type auditList struct {
	Rows  []auditRow
	Find  string
	Older int64 // what is older than this line is on another page; 0: nothing is
	Far   int64 // it was looked through down to this line; 0: all was
}

type auditRow struct {
	access.Record
	Refused bool
}

func (v *auditView) title() string {
	if v.find != "" {
		return fmt.Sprintf("audit: %s", v.find)
	}
	return "audit"
}

func (v *auditView) at() int64                { return v.event }
func (v *auditView) own(access.Person) []part { return nil }
func (v *auditView) parts() []part            { return []part{{"list", "audit-list", v.list}} }
