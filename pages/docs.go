package pages

import (
	"context"
	"html/template"
	"regexp"
	"strings"
	"sync"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/docs"
	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/pipeline"
)

// maxHits is how many sections a search shows.
const maxHits = 50

func docsPage() *page {
	return &page{path: "/docs", file: "docs.html", name: "Docs", key: "d", role: access.View, still: true,
		read: func(s *Site, _ context.Context, q query, _ view, _ []pipeline.Event) (view, error) {
			groups, err := s.docs()
			if err != nil {
				return nil, err
			}
			v := &docsView{name: "documentation", contents: docsList{Find: q.find}}
			if q.find == "" {
				v.contents.Groups = groups
			} else {
				v.contents.Hits = docs.Find(groups, strings.Fields(q.find), maxHits)
			}
			return v, nil
		}}
}

func docPage() *page {
	return &page{path: "/docs/{name...}", file: "doc.html", of: "Docs", role: access.View, still: true,
		read: func(s *Site, _ context.Context, q query, _ view, _ []pipeline.Event) (view, error) {
			groups, err := s.docs()
			if err != nil {
				return nil, err
			}
			for _, g := range groups {
				for _, p := range g.Pages {
					if p.Name == q.name {
						return &docsView{name: p.Title, Page: p}, nil
					}
				}
			}
			return nil, &command.UserError{Msg: "the documentation has no page " + q.name, Hint: "`docs` in the navigation lists them", Kind: command.ErrNotFound}
		}}
}

// anchorAhead stands before the anchors of the documentation: a heading "Keys" must not have the id of the layout's
// keys.
const anchorAhead = "doc-"

var heading = pattern.New(`(<h[1-6] id=")`)

// loadDocs gives the documentation as it is in the program, with links for these pages. It is read once.
func (s *Site) loadDocs() func() ([]docs.Group, error) {
	return sync.OnceValues(func() ([]docs.Group, error) {
		ours := s.prefix + "/docs/"
		groups, err := docs.Load(func(_, to string) string { return ours + to })
		links := regexp.MustCompile(`(href="(?:` + regexp.QuoteMeta(ours) + `[^"#]*)?#)`)
		for _, g := range groups {
			for _, p := range g.Pages {
				html := heading.ReplaceAllString(string(p.HTML), "${1}"+anchorAhead)
				p.HTML = template.HTML(links.ReplaceAllString(html, "${1}"+anchorAhead))
			}
		}
		return groups, err
	})
}

// docsView is the contents, what a search found, or a page.
type docsView struct {
	name     string
	contents docsList
	Page     *docs.Page
}

type docsList struct {
	Find   string
	Groups []docs.Group
	Hits   []docs.Hit
}

func (v *docsView) title() string            { return v.name }
func (v *docsView) at() int64                { return 0 }
func (v *docsView) own(access.Person) []part { return nil }
func (v *docsView) parts() []part            { return []part{{"list", "docs-list", v.contents}} }
