// Package floors guards the shape of the house: it reads the sources with go/parser and reports every import
// that climbs or goes sideways. Its test runs it over the whole module, so a bad import fails `make test`.
//
//	7  cmd/jarvis
//	6  config                       (puts the Config types of all below together)
//	5  lab  bot/*  pages            (played, one chat network each, seen in a browser)
//	4  bot  web  reach
//	3  command  workers/all
//	2  workers/*  tasklog  checks  checks/transfer   (workers never import each other, nor store)
//	   inventory  agent
//	1½ provider  checks/model
//	1  pipeline  fleet  access  cloudinit  backup  keyring  post
//	0  clipboard  remote  store  converge  examples  docs  checks/calendar  checks/nagios
//	−1 internal/proc  internal/gitcmd  internal/cafile  (everybody may import them)
//	−2 internal/guard  internal/plain  internal/mistake  internal/contract  internal/pattern  internal/lcs  internal/loopback
//
// It reads sources instead of asking `go list`, because a cached test result would hide a new bad import.
package floors

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Module is the module path; every import that starts with it is ours.
const Module = "github.com/jarvisops/jarvis"

// floorOf gives the floor of a package by its path inside the module. ok is false for a package that has no
// place in the house yet: give it one here first.
func floorOf(pkg string) (floor float64, ok bool) {
	switch pkg {
	case "internal/guard", "internal/plain", "internal/mistake", "internal/contract", "internal/pattern", "internal/lcs", "internal/loopback": // what must be the same everywhere: no text, no goroutine comes past them
		return -2, true
	case "internal/proc", "internal/gitcmd", "internal/cafile": // no program comes past them, and no file of authorities
		return -1, true
	case "clipboard", "remote", "store", "converge", "examples", "docs", "checks/calendar", "checks/nagios":
		return 0, true
	case "pipeline", "fleet", "access", "cloudinit", "backup", "keyring", "post":
		return 1, true
	case "provider": // what the providers of machines share: above the engine, below the workers
		return 1.5, true
	case "checks/model": // what checks are, below what runs them
		return 1.5, true
	case "checks/transfer": // makes what checks/model reads
		return 2, true
	case "tasklog", "checks", "inventory", "agent":
		return 2, true
	case "command", "workers/all":
		return 3, true
	case "bot", "web", "reach":
		return 4, true
	case "lab", "pages":
		return 5, true
	case "config":
		return 6, true
	}
	first, _, _ := strings.Cut(pkg, "/")
	switch first {
	case "workers":
		return 2, true
	case "bot", "lab":
		return 5, true
	case "cmd", "internal", "examples", "packaging": // packaging: the test of the packages
		return 7, true
	}
	return 0, false
}

// never lists imports that are refused although they go down: who may not see whom, and why.
var never = []struct{ from, to, why string }{
	{"workers/", "store", "a worker keeps nothing in the database; the engine does"},
	{"checks/model", "store", "what checks are does not know where they are kept; package checks does"},
	{"checks/model", "remote", "what checks are does not know how they are run; package checks does"},
	{"checks/model", "pipeline", "what checks are does not know the engine; package checks tells it what is on record"},
	{"pipeline", "access", "the engine does not know who may do what; command decides"},
	{"converge", "", "converge is a public library and imports nothing of ours"}, // but guard: a goroutine is one everywhere
	{"internal/guard", "", "everybody imports guard, so it imports nothing of ours"},
	{"internal/plain", "", "everybody imports plain, so it imports nothing of ours"},
	{"internal/mistake", "", "everybody imports mistake, so it imports nothing of ours"},
	{"internal/pattern", "", "everybody imports pattern, so it imports nothing of ours"},
	{"internal/contract", "", "it writes what anybody gives it, and imports nothing of ours"},
}

// Check reads every Go file below root, which must be the module's root folder, and returns one sentence per
// import that breaks the floors, sorted. Test files are held to the same rule but for one thing: they may
// import upwards into lab, whose servers they start.
func Check(root string) ([]string, error) {
	var bad []string
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); file != root && (strings.HasPrefix(n, ".") || n == "testdata" || n == "data" || n == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("read the imports of %s: %w", rel, err)
		}
		from := path.Dir(filepath.ToSlash(rel))
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("read the imports of %s: %w", rel, err)
			}
			to, ours := strings.CutPrefix(imp, Module+"/")
			if !ours || to == from {
				continue
			}
			isTest := strings.HasSuffix(file, "_test.go")
			if why := refuse(from, to, isTest); why != "" {
				bad = append(bad, fmt.Sprintf("%s imports %s: %s", filepath.ToSlash(rel), to, why))
			}
		}
		return nil
	})
	sort.Strings(bad)
	return bad, err
}

// refuse says why package from may not import package to, or "" when it may.
func refuse(from, to string, isTest bool) string {
	for _, n := range never {
		if !isTest && strings.HasPrefix(from, n.from) && (to == n.to || n.to == "" && !(n.from == "converge" && (to == "internal/guard" || to == "internal/plain" || to == "internal/lcs"))) {
			return n.why
		}
	}
	if isTest && (to == "lab" || strings.HasPrefix(to, "lab/") || strings.HasPrefix(to, from+"/")) {
		return ""
	}
	// lab/world puts lab's own rooms together; internal holds this guard and the generators.
	if sameRoom(from, to) {
		return ""
	}
	a, okA := floorOf(from)
	b, okB := floorOf(to)
	switch {
	case !okA:
		return fmt.Sprintf("%s has no floor; give it one in internal/floors", from)
	case !okB:
		return fmt.Sprintf("%s has no floor; give it one in internal/floors", to)
	case strings.HasPrefix(from, "workers/") && strings.HasPrefix(to, "workers/") && from != "workers/all":
		return "workers never import each other; what two share goes down a floor"
	case b > a:
		return fmt.Sprintf("it climbs from floor %g to floor %g", a, b)
	case b == a:
		return fmt.Sprintf("it goes sideways on floor %g", a)
	}
	return ""
}

// sameRoom reports whether both packages belong to the lab, whose parts may use one another.
func sameRoom(from, to string) bool {
	in := func(p string) bool { return p == "lab" || strings.HasPrefix(p, "lab/") }
	return in(from) && in(to)
}
