package nagios

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what is read.
const (
	MaxFile  = 8 << 20  // bytes of one file
	MaxFiles = 20_000   // files
	maxValue = 64 << 10 // bytes of one value, also over templates
	maxDepth = 32       // folders in folders, files that include files
)

// Tree is all that was read.
type Tree struct {
	Objects  []*Object
	Settings []*Attr // of nagios.cfg, but for those that name files
	Users    []*Attr // $USER1$ and the like, of resource files
	Files    []string
	Faults   []Fault

	told      map[Fault]bool
	place     place
	outside   []Outside
	seen      map[string]bool // files that were read
	depth     int
	templates map[string]*Object // by type and name
	named     map[string]*Object // what is registered, by type and name
	groups    map[string]*members
	services  []Service
	ended     func() bool // nobody waits for it any more
}

// fault notes a fault once, however often its place is read.
func (t *Tree) fault(p Pos, format string, args ...any) {
	if f := (Fault{p, fmt.Sprintf(format, args...)}); !t.told[f] {
		t.told[f] = true
		t.Faults = append(t.Faults, f)
	}
}

// Main are the names under which the main file stands in its folder.
var Main = []string{"nagios.cfg", "icinga.cfg"}

// Read reads a folder: by its nagios.cfg or icinga.cfg, or every *.cfg in it where there is none. The path may be that
// file too. An error means that nothing could be read, or that ctx is over; all else that is wrong is in Faults.
func Read(ctx context.Context, path string) (*Tree, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	t := newTree()
	t.ended = func() bool { return ctx.Err() != nil }
	main := ""
	root := path
	if st.IsDir() {
		for _, name := range slices.Backward(Main) {
			if _, err := os.Stat(filepath.Join(path, name)); err == nil {
				main = filepath.Join(path, name)
			}
		}
	} else {
		root, main = filepath.Dir(path), path
	}
	t.place = newPlace(root)
	if main != "" {
		t.main(main)
	} else {
		t.folder(Pos{path, 0}, path, path)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(t.Files) == 0 {
		return nil, fmt.Errorf("no file of objects was found in %s: it has neither %s nor any *.cfg", path, strings.Join(Main, " nor "))
	}
	t.finish()
	return t, ctx.Err()
}

// Parse reads objects that stand in no file of this machine; name is said as theirs. Files that they name are not read.
func Parse(name string, src []byte) *Tree {
	t := newTree()
	t.Files = []string{name}
	t.objects(name, src)
	t.finish()
	return t
}

func newTree() *Tree {
	return &Tree{ended: func() bool { return false }, told: map[Fault]bool{}, seen: map[string]bool{}, templates: map[string]*Object{}, named: map[string]*Object{}, groups: map[string]*members{}}
}

// finish makes of what is written what it comes to.
func (t *Tree) finish() {
	t.resolve()
	t.group()
	t.expand()
	slices.SortStableFunc(t.Faults, func(a, b Fault) int { return a.Pos.Compare(b.Pos) })
}

// main reads nagios.cfg.
func (t *Tree) main(file string) {
	src, ok := t.read(Pos{file, 0}, file, file)
	if !ok {
		return
	}
	s, _ := text(src)
	var all []*Attr
	for _, l := range lines(s) {
		pos := Pos{file, l.no}
		l.text = strings.Trim(l.text, " \t")
		if l.text == "" || l.text[0] == '#' || l.text[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(l.text, "=")
		if !ok {
			t.fault(pos, "%q is no setting; one is written NAME=VALUE", clip(l.text))
			continue
		}
		name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
		all = append(all, &Attr{Name: name, Word: name, Value: value, Pos: pos})
	}
	for _, a := range all {
		if open := opens[a.Name]; open != nil {
			t.place.learn(a.Value, strings.HasSuffix(a.Name, "_dir"))
		}
	}
	for _, a := range all {
		if t.ended() {
			return
		}
		if open := opens[a.Name]; open != nil {
			open(t, a.Pos, a.Value)
		} else {
			t.Settings = append(t.Settings, a)
		}
	}
}

// opens are the settings of nagios.cfg that name files.
var opens = map[string]func(t *Tree, by Pos, path string){
	"cfg_file": (*Tree).file, "xodtemplate_config_file": (*Tree).file,
	"cfg_dir": (*Tree).dir, "xodtemplate_config_dir": (*Tree).dir,
	"resource_file": (*Tree).resources,
}

// Setting gives one of nagios.cfg; the last one counts.
func (t *Tree) Setting(name string) (*Attr, bool) {
	for _, a := range slices.Backward(t.Settings) {
		if a.Name == name {
			return a, true
		}
	}
	return nil, false
}

// include reads what include_file= and include_dir= name. It reports whether the line is one of them.
func (t *Tree) include(pos Pos, text string) bool {
	if name, ok := strings.CutPrefix(text, "include_file="); ok {
		t.file(pos, name)
		return true
	}
	if name, ok := strings.CutPrefix(text, "include_dir="); ok {
		t.dir(pos, name)
		return true
	}
	return false
}

// file reads a cfg_file. That it is missing is a fault, and the rest is read all the same.
func (t *Tree) file(by Pos, path string) {
	at, ok := t.place.find(path, false)
	if !ok {
		t.fault(by, "the file %s is not there; what it defines is missing. Copy it to this machine too", path)
		return
	}
	if src, ok := t.read(by, at, at); ok {
		t.depth++
		t.objects(at, src)
		t.depth--
	}
}

// dir reads a cfg_dir with all that is in it. That it is missing is a fault, and the rest is read all the same.
func (t *Tree) dir(by Pos, path string) {
	at, ok := t.place.find(path, true)
	if !ok {
		t.fault(by, "the folder %s is not there; what its files define is missing. Copy it to this machine too", path)
		return
	}
	t.folder(by, at, at)
}

// folder reads a folder and those in it; top is the one that was named.
func (t *Tree) folder(by Pos, top, at string) {
	if t.depth > maxDepth {
		t.fault(by, "folders are more than %d deep; %s was not read", maxDepth, at)
		return
	}
	real, err := filepath.EvalSymlinks(at)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	var entries []os.DirEntry
	if err == nil && !t.seen[real] {
		t.seen[real] = true
		entries, err = os.ReadDir(real)
	}
	if err != nil {
		t.fault(by, "%v", err)
		return
	}
	t.depth++
	defer func() { t.depth-- }()
	for _, e := range entries {
		if t.ended() {
			return
		}
		file := filepath.Join(at, e.Name())
		st, err := os.Stat(file)
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case err != nil:
			t.fault(by, "%v", err)
		case st.IsDir():
			t.folder(by, top, file)
		case !st.Mode().IsRegular() || !strings.HasSuffix(e.Name(), ".cfg"):
		default:
			if src, ok := t.read(by, top, file); ok {
				t.whole(file, src)
			}
		}
	}
}

// whole reads a file of a folder, where nobody has said what it is: settings of the web pages and resources end in .cfg
// too.
func (t *Tree) whole(file string, src []byte) {
	s, _ := text(src)
	define, setting := false, false
	for _, l := range lines(s) {
		l.text = plain(l.text)
		_, head := definition(l.text)
		define = define || head
		setting = setting || strings.HasPrefix(l.text, "$USER")
	}
	switch {
	case define:
		t.objects(file, src)
	case setting:
		t.users(file, s)
	case strings.TrimSpace(s) != "" && !onlyComments(s):
		t.fault(Pos{file, 0}, "it defines no object, and was passed over")
	}
}

func onlyComments(s string) bool {
	for _, l := range lines(s) {
		if l.text = plain(l.text); l.text != "" && l.text[0] != '#' {
			return false
		}
	}
	return true
}

// resources reads a resource_file, which has the macros $USER1$ to $USER256$.
func (t *Tree) resources(by Pos, path string) {
	at, ok := t.place.find(path, false)
	if !ok {
		t.fault(by, "the resource file %s is not there: macros as $USER1$ are empty. Copy it to this machine too", path)
		return
	}
	if src, ok := t.read(by, at, at); ok {
		s, _ := text(src)
		t.users(at, s)
	}
}

// users reads $USER1$=…
func (t *Tree) users(file, s string) {
	for _, l := range lines(s) {
		l.text = strings.Trim(l.text, " \t")
		if l.text == "" || l.text[0] == '#' || l.text[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(l.text, "=")
		name = strings.Trim(name, " \t")
		if !ok || len(name) < 3 || name[0] != '$' || !strings.HasSuffix(name, "$") {
			t.fault(Pos{file, l.no}, "%q is no resource; one is written $USER1$=VALUE", clip(name))
			continue
		}
		t.Users = append(t.Users, &Attr{Name: name[1 : len(name)-1], Word: name, Value: strings.Trim(value, " \t"), Pos: Pos{file, l.no}})
	}
}

// read gives a file, once: what two lines name is read by the first. named is the file or the folder for which it is
// read.
func (t *Tree) read(by Pos, named, file string) ([]byte, bool) {
	real, err := filepath.EvalSymlinks(file)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err == nil && t.seen[real] {
		t.fault(by, "%s was read already; it was not read again, which Nagios would do, and call what is in it duplicates", file)
		return nil, false
	}
	var st fs.FileInfo
	if err == nil {
		st, err = os.Stat(real)
	}
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = fmt.Errorf("%s is no file", file)
	case st.Size() > MaxFile:
		err = fmt.Errorf("%s is too large: at most %d MiB are read", file, MaxFile>>20)
	case len(t.seen) >= MaxFiles || t.depth > maxDepth:
		err = fmt.Errorf("%s was not read: there are too many files, or they include one another too deep", file)
	}
	var src []byte
	if err == nil {
		t.seen[real] = true
		src, err = os.ReadFile(real)
	}
	if err != nil {
		var perr *fs.PathError
		if errors.As(err, &perr) {
			err = fmt.Errorf("%s cannot be read: %w", file, perr.Err)
		}
		t.fault(by, "%v; what it defines is missing", err)
		return nil, false
	}
	t.Files = append(t.Files, file)
	if !t.place.holds(real) {
		t.strange(by, named, file)
	}
	return src, true
}
