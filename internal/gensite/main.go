// Command gensite writes the documentation as static HTML: `make site`. Any file server shows it, and so does a browser
// that opens site/index.html from the disk.
package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"flag"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"

	"github.com/jarvisops/jarvis/docs"
)

//go:embed page.html site.css search.js
var files embed.FS

func main() {
	out := flag.String("out", "site", "folder to write to")
	flag.Parse()
	n, err := write(*out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gensite:", err)
		os.Exit(1)
	}
	fmt.Printf("%d pages are in %s/index.html\n", n, *out)
}

// hit is one section in the search's index. Short names, for there are hundreds.
type hit struct {
	Address string `json:"a"`
	Page    string `json:"p"`
	Title   string `json:"t"`
	Text    string `json:"x"`
}

// view is what page.html shows.
type view struct {
	Root       string // to the site's root from this page: "" or ../
	Groups     []docs.Group
	Page       *docs.Page // nil on the first page
	Prev, Next *docs.Page
}

// write makes the whole site, and gives how many pages it has.
func write(dir string) (int, error) {
	groups, err := docs.Load(func(from, to string) string { return root(from) + to + ".html" })
	if err != nil {
		return 0, err
	}
	page, err := template.ParseFS(files, "page.html")
	if err != nil {
		return 0, err
	}
	var all []*docs.Page
	var index []hit
	for _, g := range groups {
		for _, p := range g.Pages {
			all = append(all, p)
			for _, s := range p.Sections {
				address := p.Name + ".html"
				if s.Anchor != "" {
					address += "#" + s.Anchor
				}
				index = append(index, hit{address, p.Title, s.Title, s.Text})
			}
		}
	}
	if err := put(dir, "index.html", page, view{Groups: groups}); err != nil {
		return 0, err
	}
	for i, p := range all {
		v := view{Root: root(p.Name), Groups: groups, Page: p}
		if i > 0 {
			v.Prev = all[i-1]
		}
		if i+1 < len(all) {
			v.Next = all[i+1]
		}
		if err := put(dir, p.Name+".html", page, v); err != nil {
			return 0, err
		}
	}
	b, err := json.Marshal(index)
	if err != nil {
		return 0, err
	}
	// A script, not JSON: a page that is opened from the disk may fetch nothing.
	if err := os.WriteFile(filepath.Join(dir, "index.js"), []byte("window.manual="+string(b)+"\n"), 0o644); err != nil {
		return 0, err
	}
	for _, name := range []string{"site.css", "search.js"} {
		b, err := files.ReadFile(name)
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return 0, err
		}
	}
	return len(all) + 1, os.CopyFS(dir, docs.Pictures)
}

func root(name string) string { return strings.Repeat("../", strings.Count(name, "/")) }

func put(dir, name string, page *template.Template, v view) error {
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}
