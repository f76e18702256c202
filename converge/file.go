package converge

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"text/template"
)

// stat is what a path is.
type stat struct {
	mode         uint64 // st_mode
	owner, group string
	uid, gid     string
	size         int64
}

const (
	sIFMT, sIFDIR, sIFREG, sIFLNK = 0o170000, 0o040000, 0o100000, 0o120000
)

// is is false of a path that is not there.
func (s *stat) is(kind uint64) bool { return s != nil && s.mode&sIFMT == kind }

// stat gives what a path is; nil when nothing is there.
func (n *Node) stat(path string) (*stat, error) {
	r, err := n.fact("stat", path)
	if err != nil || r.text == "" {
		return nil, err
	}
	f := strings.Fields(r.text)
	if len(f) != 6 {
		return nil, fmt.Errorf("stat of %s says %q", path, r.text)
	}
	s := &stat{owner: f[1], group: f[2], uid: f[4], gid: f[5]}
	if s.mode, err = strconv.ParseUint(f[0], 16, 64); err != nil {
		return nil, err
	}
	s.size, err = strconv.ParseInt(f[3], 10, 64)
	return s, err
}

// access is who may do what with a file or directory. Owner and group are names or numbers.
type access struct{ mode, owner, group string }

// differs says what is not as it shall be, as a diff; "" when nothing is.
func (a access) differs(s *stat) string {
	var diff strings.Builder
	if want, err := strconv.ParseUint(a.mode, 8, 32); err == nil && s.mode&0o7777 != want {
		fmt.Fprintf(&diff, "-mode: %04o\n+mode: %04o\n", s.mode&0o7777, want)
	}
	if a.owner != "" && a.owner != s.owner && a.owner != s.uid {
		diff.WriteString("-owner: " + s.owner + "\n+owner: " + a.owner + "\n")
	}
	if a.group != "" && a.group != s.group && a.group != s.gid {
		diff.WriteString("-group: " + s.group + "\n+group: " + a.group + "\n")
	}
	return diff.String()
}

// set gives a script that sets what is said of mode and owner. The name must be one that nobody can replace meanwhile.
func (a access) set(name string) string {
	var b strings.Builder
	if a.owner != "" || a.group != "" {
		who := a.owner
		if a.group != "" {
			who += ":" + a.group
		}
		fmt.Fprintf(&b, "chown %s %s || exit\n", quote(who), name) // first: it takes setuid away
	}
	if a.mode != "" {
		fmt.Fprintf(&b, "chmod %s %s || exit\n", quote(a.mode), name)
	}
	return b.String()
}

// check refuses what would mean something else in a script.
func (a access) check() error {
	if a.mode != "" {
		if _, err := strconv.ParseUint(a.mode, 8, 12); err != nil {
			return fmt.Errorf("the mode %q is not octal as 0644", a.mode)
		}
	}
	for _, who := range []string{a.owner, a.group} {
		if who != "" {
			if err := checkName("user or group", who); err != nil {
				return err
			}
		}
	}
	return nil
}

// File is a regular file with the given content. It is replaced by rename(2), whole at any moment.
type File struct {
	Path     string
	Content  string
	Template string // text/template, instead of Content, over Data alone. Template, the resource, has the host's facts and properties
	Data     any    // for Template
	Mode     string // octal; "": 0644 when it is made, as it is otherwise
	Owner    string // a name or a number; "": as whoever runs us, or as it is
	Group    string
	Absent   bool
	Secret   bool   // the content is shown in no diff
	OnChange string // a script that is run once, after all other actions, when the content changed
}

// ID implements Resource.
func (f File) ID() string { return "file " + f.Path }

// Plan implements Resource.
func (f File) Plan(n *Node) ([]Action, error) {
	acc := access{f.Mode, f.Owner, f.Group}
	if err := checkPath(f.Path); err != nil {
		return nil, err
	}
	if err := acc.check(); err != nil {
		return nil, err
	}
	content := f.Content
	if f.Template != "" {
		t, err := template.New(f.Path).Option("missingkey=error").Parse(f.Template)
		if err != nil {
			return nil, mistake(err, n.Name())
		}
		var b bytes.Buffer
		if err := t.Execute(&b, f.Data); err != nil {
			return nil, mistake(err, n.Name())
		}
		content = b.String()
	}
	s, err := n.stat(f.Path)
	sum, serr := n.fact("sum", f.Path)
	if err := first(err, serr); err != nil {
		return nil, err
	}
	if f.Absent {
		if s == nil {
			return nil, nil
		}
		if s.is(sIFDIR) {
			return nil, fmt.Errorf("%s is a directory", f.Path)
		}
		dir, name := folderOf(f.Path)
		return []Action{{Desc: "remove " + f.Path, Have: isThere, Want: isGone, Script: dir + "rm -f -- " + name + reloadUnits(f.Path), After: f.OnChange}}, nil
	}
	if s != nil && !s.is(sIFREG) {
		return nil, fmt.Errorf("%s is there, and is no regular file", f.Path)
	}
	want := sha256.Sum256([]byte(content))
	if s != nil && sum.text == hex.EncodeToString(want[:]) {
		diff := acc.differs(s)
		if diff == "" {
			return nil, nil
		}
		return []Action{{Desc: "set mode and owner of " + f.Path, Diff: diff, Script: writeFile(f.Path, content, acc)}}, nil
	}
	n.will("cat", f.Path, content)
	a := Action{Desc: "write " + f.Path, Script: writeFile(f.Path, content, acc) + reloadUnits(f.Path), After: f.OnChange}
	switch {
	case f.Secret && s == nil:
		a.Desc, a.Have, a.Want, a.Diff = "create "+f.Path, isMissing, isThere, "(secret)\n"
	case f.Secret:
		a.Diff = "(secret)\n"
	case s == nil:
		a.Desc, a.Have, a.Want = "create "+f.Path, isMissing, isThere
		a.Diff = Diff("", content)
	case s.size > maxDiff:
		a.Diff = fmt.Sprintf("(%d bytes become %d)\n", s.size, len(content))
	default:
		old, err := n.fact("cat", f.Path)
		if err != nil {
			return nil, err
		}
		if a.Diff = Diff(old.text, content); old.exit != 0 {
			a.Diff = "(" + old.text + ")\n"
		}
		if n.holds(content) { // what was there may be the secret of before
			a.Diff = hideOld(a.Diff)
		}
	}
	return []Action{a}, nil
}

// maxDiff is the size of the largest file whose content is fetched to show what changes.
const maxDiff = 256 << 10

// likeBefore is for scripts: new becomes as ../$n is, but for its content. Of a link cp makes a link: then somebody put
// it there just now. busybox cannot copy that alone: there it is asked for once, and is of a regular file (8...) or
// nothing.
const likeBefore = `if [ ! -e "../$n" ]; then chmod 0644 new
elif cp --help 2>&1 | grep -q -e --attributes-only; then cp -P --attributes-only --preserve=all -- "../$n" new && [ -f new ] && [ ! -L new ] && touch -- new
else
  set -- $(stat -c '%f %u:%g %a' -- "../$n")
  case $1 in 8???) { [ "$(stat -c %u:%g new)" = "$2" ] || chown "$2" new; } && chmod "$3" new ;; *) false ;; esac
fi || exit
`

// writeFile gives a script that replaces a file; what is not said of mode and owner stays as it is.
func writeFile(path, content string, a access) string {
	var b strings.Builder
	b.WriteString("base64 -d > new <<'CONVERGE' || exit\n")
	text := base64.StdEncoding.EncodeToString([]byte(content))
	for len(text) > 76 {
		b.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	b.WriteString(text + "\nCONVERGE\n")
	b.WriteString(likeBefore)
	b.WriteString(a.set("new"))
	return walk + "reach " + quote(path) + " || exit\n" + replace(strings.TrimSuffix(b.String(), "\n"))
}

// reloadUnits gives the end of a script that changed a file which systemd reads: what is told to it afterwards, as a
// restart, is done by what it has read. "" for other files.
func reloadUnits(path string) string {
	for _, dir := range []string{"/etc/systemd/system/", "/run/systemd/system/", "/usr/local/lib/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"} {
		if strings.HasPrefix(path, dir) || path == "/etc/fstab" {
			return " || exit\n[ ! -d /run/systemd/system ] || systemctl daemon-reload"
		}
	}
	return ""
}

// Line is a line that a text file shall have, or not have. Where the file's lines end with CRLF, this one does.
type Line struct {
	Path string
	Line string
	// Instead: a line that begins with this is replaced. Where Line begins with it too, it is the only one that does:
	// others may win over it, be they before or after it. It stands where the first one stood. Where Line begins
	// otherwise, the last one is replaced. "": Line is added at the end.
	Instead  string
	Absent   bool   // no line shall be Line
	OnChange string // as File.OnChange
}

// ID implements Resource.
func (l Line) ID() string { return fmt.Sprintf("line %q in %s", l.Line, l.Path) }

// Plan implements Resource.
func (l Line) Plan(n *Node) ([]Action, error) {
	if err := checkPath(l.Path); err != nil {
		return nil, err
	}
	if strings.ContainsAny(l.Line, "\r\n") {
		return nil, fmt.Errorf("%q is more than one line", clip(l.Line))
	}
	old, err := n.text("cat", l.Path)
	if err != nil {
		return nil, err
	}
	now := edit(old, l)
	if now == old {
		return nil, nil
	}
	n.will("cat", l.Path, now)
	return []Action{{Desc: "edit " + l.Path, Resource: fmt.Sprintf("line %q in %s", l.begins(), l.Path), Diff: Diff(old, now), Script: writeFile(l.Path, now, access{}) + reloadUnits(l.Path), After: l.OnChange}}, nil
}

// begins is as much of the line as names it, and not what it says: "Port …".
func (l Line) begins() string {
	text := strings.TrimLeft(l.Line, " \t")
	if i := strings.IndexAny(text, " \t=:"); i >= 0 {
		return text[:i+1] + "…"
	}
	return text
}

// edit gives back a text that is right already byte for byte.
func edit(text string, l Line) string {
	end := "\n"
	if head, _, ok := strings.Cut(text, "\n"); ok && strings.HasSuffix(head, "\r") {
		end = "\r\n"
	}
	only := l.Instead != "" && strings.HasPrefix(l.Line, l.Instead)
	there, at, others := -1, -1, 0 // where Line is, and where a line is that it stands for
	var lines []string
	if text != "" {
		lines = strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	}
	for i, x := range lines {
		switch x = strings.TrimRight(x, "\r\n"); {
		case x == l.Line:
			there = i
			if only && at < 0 {
				at = i
			}
		case l.Instead != "" && strings.HasPrefix(x, l.Instead):
			others++
			if !only || at < 0 {
				at = i
			}
		}
	}
	if l.Absent && there < 0 || !l.Absent && there >= 0 && (!only || others == 0) {
		return text
	}
	var out strings.Builder
	for i, x := range lines {
		switch bare := strings.TrimRight(x, "\r\n"); {
		case l.Absent && bare == l.Line:
		case !l.Absent && i == at:
			out.WriteString(l.Line + end)
		case !l.Absent && only && strings.HasPrefix(bare, l.Instead):
		case strings.HasSuffix(x, "\n"):
			out.WriteString(x)
		case strings.HasSuffix(x, "\r"):
			out.WriteString(x + "\n")
		default:
			out.WriteString(x + end)
		}
	}
	if !l.Absent && at < 0 {
		out.WriteString(l.Line + end)
	}
	return out.String()
}

// Directory is a directory.
type Directory struct {
	Path               string
	Mode, Owner, Group string // as of File; 0755 when it is made
	Absent             bool   // with all that is in it
}

// ID implements Resource.
func (d Directory) ID() string { return "directory " + d.Path }

// Plan implements Resource.
func (d Directory) Plan(n *Node) ([]Action, error) {
	acc := access{d.Mode, d.Owner, d.Group}
	if err := checkPath(d.Path); err != nil {
		return nil, err
	}
	if err := acc.check(); err != nil {
		return nil, err
	}
	s, err := n.stat(d.Path)
	switch {
	case err != nil:
		return nil, err
	case d.Absent && s == nil:
		return nil, nil
	case d.Absent && s.is(sIFDIR):
		dir, name := folderOf(d.Path)
		return []Action{{Desc: "remove " + d.Path + " and all in it", Have: isThere, Want: isGone, Script: dir + removeTree(name) + reloadUnits(d.Path)}}, nil
	case s != nil && !s.is(sIFDIR):
		return nil, fmt.Errorf("%s is there, and is no directory", d.Path)
	case s == nil:
		if acc.mode == "" {
			acc.mode = "0755"
		}
		return []Action{{Desc: "create the directory " + d.Path, Have: isMissing, Want: isThere, Script: makeDir(d.Path) + acc.set(".")}}, nil
	}
	if diff := acc.differs(s); diff != "" {
		return []Action{{Desc: "set mode and owner of " + d.Path, Diff: diff, Script: walk + "into " + quote(d.Path) + " || exit\n" + acc.set(".")}}, nil
	}
	return nil, nil
}

// removeTree gives a script that removes a directory with all in it, but for what is mounted there. busybox does not
// tell that apart: there nothing is removed where something is mounted.
func removeTree(name string) string {
	return `if rm --help 2>&1 | grep -q -e --one-file-system; then rm -rf --one-file-system -- ` + name + `
else
  at=$(pwd -P) n=` + name + `
  at=$(printf %s "${at%/}/${n#./}" | sed 's/ /\\040/g')
  if grep -q -F -e " $at " -e " $at/" /proc/self/mounts; then echo "something is mounted in $at" >&2; exit 1; fi
  rm -rf -- "$n"
fi`
}

// makeDir gives a script that makes a directory and those above it, and goes there.
func makeDir(path string) string { return walk + "make=1; into " + quote(path) + " || exit\n" }

// Link is a symbolic link.
type Link struct {
	Path   string
	To     string
	Absent bool
}

// ID implements Resource.
func (l Link) ID() string { return "link " + l.Path }

// Plan implements Resource.
func (l Link) Plan(n *Node) ([]Action, error) {
	if err := checkPath(l.Path); err != nil {
		return nil, err
	}
	s, err := n.stat(l.Path)
	r, lerr := n.fact("link", l.Path)
	if err := first(err, lerr); err != nil {
		return nil, err
	}
	switch {
	case s != nil && !s.is(sIFLNK):
		return nil, fmt.Errorf("%s is there, and is no link", l.Path)
	case l.Absent && s != nil:
		dir, name := folderOf(l.Path)
		return []Action{{Desc: "remove the link " + l.Path, Have: "to " + r.text, Want: isGone, Script: dir + "rm -f -- " + name + reloadUnits(l.Path)}}, nil
	case l.Absent || r.text == l.To && s != nil:
		return nil, nil
	}
	dir, name := folderOf(l.Path)
	return []Action{{Desc: "link " + l.Path + " to " + l.To, Have: r.text, Want: l.To, Diff: Diff(r.text, l.To), Script: dir + "n=" + name + "\n" + replace("ln -s -- "+quote(l.To)+" new || exit") + reloadUnits(l.Path)}}, nil
}
