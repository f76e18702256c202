package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The site is whole: every address that the search gives, and every link of a page, is a file of it.
func TestTheSiteIsWhole(t *testing.T) {
	dir := t.TempDir()
	n, err := write(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.js"))
	if err != nil {
		t.Fatal(err)
	}
	var index []hit
	if err := json.Unmarshal([]byte(strings.TrimPrefix(string(b), "window.manual=")), &index); err != nil {
		t.Fatal(err)
	}
	pages := map[string]bool{"index.html": true}
	for _, h := range index {
		file, anchor, _ := strings.Cut(h.Address, "#")
		pages[file] = true
		page, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if anchor != "" && !strings.Contains(string(page), `id="`+anchor+`"`) {
			t.Errorf("%s has no %s", file, anchor)
		}
		if up := strings.Repeat("../", strings.Count(file, "/")); !strings.Contains(string(page), `href="`+up+`howto/install.html"`) || !strings.Contains(string(page), `href="`+up+`site.css"`) {
			t.Errorf("%s does not lead to howto/install.html and site.css", file)
		}
	}
	if len(pages) != n {
		t.Errorf("%d pages are in the search, %d were written", len(pages), n)
	}
	// Nothing from elsewhere, nothing inline: it may be served under a strict content security policy.
	for page := range pages {
		b, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"<style", " style=", "<script>", "src=\"http", " onclick="} {
			if strings.Contains(string(b), bad) {
				t.Errorf("%s has %s", page, bad)
			}
		}
	}
}
