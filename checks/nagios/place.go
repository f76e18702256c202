package nagios

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// place is the folder of a tree, and what its files call it: it may be a copy from another machine, on which absolute
// paths mean something else than here.
type place struct {
	root string // as people said it; "": what was not read from files names none
	real string // the same, absolute, without links
	// mount is the folder below which the paths of the tree stand whole: / where the tree is at home, and where all
	// files of a machine were copied the folder that they are in; "": not known.
	mount string
	// origins are the folders which the copied ones were called where they come from, as far as that is known.
	origins map[string]bool
}

func newPlace(root string) place {
	p := place{root: root, origins: map[string]bool{}}
	p.real, _ = realPath(root)
	return p
}

// realPath gives a path as it is, whatever links lead to it.
func realPath(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	return path, err
}

// holds reports whether what is at a real path stands in the folder.
func (p *place) holds(real string) bool {
	return within(p.real, real)
}

// within compares the names alone: who calls has resolved what links there are.
func within(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// has reports whether a file, or a folder, is at a path, and whether that is in the folder of the tree.
func (p *place) has(path string, folder bool) (there, inside bool) {
	st, err := os.Stat(path)
	if err != nil || st.IsDir() != folder {
		return false, false
	}
	real, err := realPath(path)
	return true, err == nil && p.holds(real)
}

// learn sees by a path that the main file names where the tree comes from.
func (p *place) learn(path string, folder bool) {
	if !filepath.IsAbs(path) {
		return
	}
	path = filepath.Clean(path)
	above := []string{p.real}
	for up := p.real; up != filepath.Dir(up); {
		up = filepath.Dir(up)
		above = append(above, up)
	}
	for _, mount := range slices.Backward(above) {
		if _, inside := p.has(filepath.Join(mount, path), folder); inside {
			if p.mount == "" || len(mount) < len(p.mount) {
				p.mount = mount
			}
			return
		}
	}
	for rest := range ends(path) {
		if there, _ := p.has(filepath.Join(p.root, rest), folder); there {
			p.origins[strings.TrimSuffix(path, "/"+rest)] = true
			return
		}
	}
}

// ends gives the ends of a path, the longest first.
func ends(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for rest := path; rest != ""; {
			_, rest, _ = strings.Cut(rest, "/")
			if rest != "" && !yield(rest) {
				return
			}
		}
	}
}

// find gives where a file or folder of the tree stands. A path that is not absolute goes on from the folder of the main
// file. What stands in the folder of the tree goes before what this machine has at that path, which is another
// machine's: only a tree that is at home has there what it means.
func (p *place) find(path string, folder bool) (string, bool) {
	if p.root == "" || path == "" {
		return "", false
	}
	if !filepath.IsAbs(path) {
		return p.first(folder, slices.Concat([]string{path}, slices.Collect(ends(path))), "")
	}
	path = filepath.Clean(path)
	if _, inside := p.has(path, folder); inside {
		return path, true
	}
	if p.mount != "" {
		at := filepath.Join(p.mount, path)
		if there, _ := p.has(at, folder); there {
			return at, true
		}
	}
	if folder && p.origins[path] {
		return p.root, true
	}
	return p.first(folder, slices.Collect(ends(path)), path)
}

// first gives the first of some paths below the folder that is there, or else another one.
func (p *place) first(folder bool, below []string, other string) (string, bool) {
	for _, rest := range below {
		at := filepath.Join(p.root, rest)
		if there, _ := p.has(at, folder); there {
			return at, true
		}
	}
	there, _ := p.has(other, folder)
	return other, there
}

// Outside is what was read from outside of the folder that was to be read.
type Outside struct {
	Pos   Pos      // who names it
	Path  string   // the file or folder that was read
	Files []string // the files that were read of it
	Own   bool     // it is what the tree means by that path: the tree is at home, or was copied with all that is around it
}

// Outside gives what was read from outside of the folder that was to be read, each by who names it.
func (t *Tree) Outside() []Outside { return t.outside }

// strange notes that a file stands outside.
func (t *Tree) strange(by Pos, named, file string) {
	i := slices.IndexFunc(t.outside, func(o Outside) bool { return o.Pos == by && o.Path == named })
	if i < 0 {
		i = len(t.outside)
		t.outside = append(t.outside, Outside{Pos: by, Path: named, Own: t.place.mount != "" && within(t.place.mount, named)})
	}
	t.outside[i].Files = append(t.outside[i].Files, file)
}

// Root is the folder that was to be read.
func (t *Tree) Root() string { return t.place.root }
