// Package docs holds the documentation as pages: the Markdown files of this folder, their order from README.md, and
// what a search needs. `make site` writes them as static HTML.
//
// Links are those that GitHub follows too: to a file beside the page, with the anchors that GitHub gives to headings.
package docs

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"

	"github.com/jarvisops/jarvis/internal/pattern"
)

//go:embed README.md tutorial/*.md howto/*.md reference/*.md design/*.md adr/*.md
var files embed.FS

// Pictures are those that pages show, in the folder pictures.
//
//go:embed pictures/*.png
var Pictures embed.FS

// Group is a heading of the contents, with its pages in order.
type Group struct {
	Title string
	Pages []*Page
}

// Page is one file.
type Page struct {
	Name     string // of the file without its ending, as in design/drift
	Title    string
	About    string // what the contents say of it
	HTML     template.HTML
	Sections []Section
}

// Section is what stands below one heading, for the table of contents and the search.
type Section struct {
	Anchor string // without #; "" for what stands before the first heading below the title
	Title  string
	Level  int
	Text   string // without markup
}

// source is where files that are no pages are read: what a page says about the code is there.
const source = "https://github.com/jarvisops/jarvis/blob/main/"

// entry is a line of the contents.
var entry = pattern.New(`^- \[([^\]]+)\]\(([^)]+)\.md\): (.+)$`)

// Load renders all pages, in the order of the contents. href gives the address of a page from where the pages are
// shown; an anchor is put behind it.
func Load(href func(from, to string) string) ([]Group, error) {
	index, err := files.ReadFile("README.md")
	if err != nil {
		return nil, err
	}
	var out []Group
	for _, l := range strings.Split(string(index), "\n") {
		if title, ok := strings.CutPrefix(l, "## "); ok {
			out = append(out, Group{Title: title})
			continue
		}
		m := entry.FindStringSubmatch(l)
		switch {
		case m == nil && strings.HasPrefix(l, "- "):
			return nil, fmt.Errorf("docs/README.md: %q is no entry as in - [Title](file.md): what it is about", l)
		case m == nil:
			continue
		case len(out) == 0:
			return nil, fmt.Errorf("docs/README.md: %q stands before the first heading", l)
		}
		p, err := render(m[2], href)
		if err != nil {
			return nil, err
		}
		p.About = strings.ReplaceAll(m[3], "`", "")
		g := &out[len(out)-1]
		g.Pages = append(g.Pages, p)
	}
	return out, nil
}

// render makes one page.
func render(name string, href func(from, to string) string) (*Page, error) {
	b, err := files.ReadFile(name + ".md")
	if err != nil {
		return nil, fmt.Errorf("docs/README.md names %s.md: %w", name, err)
	}
	b = comment.ReplaceAll(b, nil)
	md := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	doc := md.Parser().Parse(text.NewReader(b), parser.WithContext(parser.NewContext(parser.WithIDs(anchors{}))))
	p := &Page{Name: name, Sections: []Section{{Level: 1}}}
	err = ast.Walk(doc, func(n ast.Node, enter bool) (ast.WalkStatus, error) {
		if !enter {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			n.Destination = []byte(follow(name, string(n.Destination), href))
		case *ast.Heading:
			id, _ := n.AttributeString("id")
			s := Section{Title: plain(n, b), Level: n.Level}
			if anchor, ok := id.([]byte); ok && n.Level > 1 {
				s.Anchor = string(anchor)
			}
			if n.Level == 1 && p.Title == "" {
				p.Title, p.Sections[0].Title = s.Title, s.Title
			} else {
				p.Sections = append(p.Sections, s)
			}
		case *ast.Paragraph, *ast.TextBlock, *ast.CodeBlock, *ast.FencedCodeBlock:
			p.add(plain(n, b))
		case *east.TableCell:
			p.add(plain(n, b))
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return nil, err
	}
	if p.Title == "" {
		return nil, fmt.Errorf("docs/%s.md has no title", name)
	}
	var html bytes.Buffer
	if err := md.Renderer().Render(&html, b, doc); err != nil {
		return nil, fmt.Errorf("render docs/%s.md: %w", name, err)
	}
	p.HTML = template.HTML(html.String()) // goldmark leaves raw HTML out
	return p, nil
}

// comment is for who edits the file, not for who reads the page.
var comment = pattern.New(`(?s)<!--.*?-->\n*`)

func (p *Page) add(s string) {
	last := &p.Sections[len(p.Sections)-1]
	last.Text = strings.TrimSpace(last.Text + " " + strings.Join(strings.Fields(s), " "))
}

// follow gives the address of a link: of another page, or of a file of the source.
func follow(from, to string, href func(from, to string) string) string {
	if strings.Contains(to, "://") || strings.HasPrefix(to, "#") || strings.HasPrefix(to, "mailto:") {
		return to
	}
	file, anchor, _ := strings.Cut(to, "#")
	full := path.Join(path.Dir(from), file)
	name, isPage := strings.CutSuffix(full, ".md")
	if _, err := files.Open(full); !isPage || err != nil {
		return source + path.Join("docs", full)
	}
	out := href(from, name)
	if anchor != "" {
		out += "#" + anchor
	}
	return out
}
