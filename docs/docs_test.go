package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/docs"
)

func load(t *testing.T) map[string]*docs.Page {
	t.Helper()
	groups, err := docs.Load(func(_, to string) string { return "/docs/" + to })
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]*docs.Page{}
	for _, g := range groups {
		if g.Title == "" || len(g.Pages) == 0 {
			t.Errorf("group %q has %d pages", g.Title, len(g.Pages))
		}
		for _, p := range g.Pages {
			if pages[p.Name] != nil {
				t.Errorf("%s is in the contents twice", p.Name)
			}
			pages[p.Name] = p
		}
	}
	return pages
}

// Every file is a page of the contents.
func TestEveryFileIsInTheContents(t *testing.T) {
	pages := load(t)
	n := 0
	for _, pattern := range []string{"*.md", "*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name := strings.TrimSuffix(f, ".md")
			if name != "README" && pages[name] == nil {
				t.Errorf("%s is not in docs/README.md", f)
			}
			n++
		}
	}
	if n != len(pages)+1 {
		t.Errorf("%d files, %d pages", n, len(pages))
	}
}

var (
	link = regexp.MustCompile(`href="([^"]*)"`)
	ids  = regexp.MustCompile(`id="([^"]*)"`)
)

// Every link leads somewhere: to a page that is there, to a heading that it has, to a file of the source.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	pages := load(t)
	anchors := map[string]bool{}
	for name, p := range pages {
		anchors[name] = true
		for _, m := range ids.FindAllStringSubmatch(string(p.HTML), -1) {
			anchors[name+"#"+m[1]] = true
		}
	}
	n := 0
	check := func(where, to string) {
		n++
		switch {
		case strings.HasPrefix(to, "/docs/"):
			if !anchors[strings.TrimPrefix(to, "/docs/")] {
				t.Errorf("%s: %s is not there", where, to)
			}
		case strings.HasPrefix(to, "#"):
			if !anchors[where+to] {
				t.Errorf("%s: there is no heading %s", where, to)
			}
		case strings.HasPrefix(to, "https://github.com/jarvisops/jarvis/blob/main/"):
			file := strings.TrimPrefix(to, "https://github.com/jarvisops/jarvis/blob/main/")
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s: %s is not there", where, file)
			}
		case !strings.Contains(to, "://"):
			t.Errorf("%s: %s leads nowhere", where, to)
		}
	}
	for name, p := range pages {
		for _, m := range link.FindAllStringSubmatch(string(p.HTML), -1) {
			check(name, m[1])
		}
	}
	if n < 40 {
		t.Errorf("%d links", n)
	}
	// The README of the project, and what else is read on GitHub alone.
	for _, f := range []string{"README.md", "CONTRIBUTING.md", "docs/README.md"} {
		b, err := os.ReadFile(filepath.Join("..", f))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(b), -1) {
			to := filepath.Join("..", filepath.Dir(f), m[1])
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %s is not there", f, m[1])
			}
		}
	}
}

func TestSections(t *testing.T) {
	p := load(t)["howto/dns"]
	if p == nil || p.Title != "Names in DNS" || p.About == "" {
		t.Fatalf("%+v", p)
	}
	for _, s := range p.Sections {
		if s.Anchor == "below-a-wildcard" {
			if s.Title != "Below a wildcard" || s.Level != 2 || !strings.Contains(s.Text, "RFC 4592") || strings.Contains(s.Text, "`") {
				t.Errorf("%+v", s)
			}
			return
		}
	}
	t.Errorf("no such section in %+v", p.Sections)
}
