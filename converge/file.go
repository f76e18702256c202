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
	size         int64
}

const (
	sIFMT, sIFDIR, sIFREG, sIFLNK = 0o170000, 0o040000, 0o100000, 0o120000
)

func (s *stat) is(kind uint64) bool { return s != nil && s.mode&sIFMT == kind }

// stat gives what a path is; nil when nothing is there.
func (n *Node) stat(path string) (*stat, error) {
	r, err := n.fact("stat", path)
	if err != nil || r.text == "" {
		return nil, err
	}
	f := strings.Fields(r.text)
	if len(f) != 4 {
		return nil, fmt.Errorf("stat of %s says %q", path, r.text)
	}
	s := &stat{owner: f[1], group: f[2]}
	if s.mode, err = strconv.ParseUint(f[0], 16, 64); err != nil {
		return nil, err
	}
	s.size, err = strconv.ParseInt(f[3], 10, 64)
	return s, err
}

// access is who may do what with a file or directory.
type access struct{ mode, owner, group string }

// fix gives the action that is missing for mode and owner, nil when none is.
func (a access) fix(path string, s *stat) *Action {
	var diff, script []string
	if a.mode != "" {
		want, err := strconv.ParseUint(a.mode, 8, 32)
		if err == nil && s.mode&0o7777 != want {
			diff = append(diff, fmt.Sprintf("-mode: %04o\n+mode: %04o\n", s.mode&0o7777, want))
			script = append(script, "chmod "+quote(a.mode)+" "+quote(path))
		}
	}
	who := ""
	if a.owner != "" && a.owner != s.owner {
		diff = append(diff, "-owner: "+s.owner+"\n+owner: "+a.owner+"\n")
		who = a.owner
	}
	if a.group != "" && a.group != s.group {
		diff = append(diff, "-group: "+s.group+"\n+group: "+a.group+"\n")
		who += ":" + a.group
	}
	if who != "" {
		script = append([]string{"chown -h " + quote(who) + " " + quote(path)}, script...) // chown takes setuid away
	}
	if script == nil {
		return nil
	}
	return &Action{Desc: "set mode and owner of " + path, Diff: strings.Join(diff, ""), Script: strings.Join(script, " && ")}
}

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
	Template string // text/template, instead of Content
	Data     any    // for Template
	Mode     string // octal; "": 0644 when it is made, as it is otherwise
	Owner    string // "": as whoever runs us, or as it is
	Group    string
	Absent   bool
	Secret   bool   // the content is shown in no diff
	OnChange string // a script that is run once, behind all other actions, when the content changed
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
			return nil, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, f.Data); err != nil {
			return nil, err
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
		return []Action{{Desc: "remove " + f.Path, Script: "rm -f -- " + quote(f.Path), After: f.OnChange}}, nil
	}
	if s != nil && !s.is(sIFREG) {
		return nil, fmt.Errorf("%s is there, and is no regular file", f.Path)
	}
	want := sha256.Sum256([]byte(content))
	if s != nil && sum.text == hex.EncodeToString(want[:]) {
		if fix := acc.fix(f.Path, s); fix != nil {
			return []Action{*fix}, nil
		}
		return nil, nil
	}
	n.will("cat", f.Path, content)
	a := Action{Desc: "write " + f.Path, Script: writeFile(f.Path, content, acc), After: f.OnChange}
	switch {
	case f.Secret:
		a.Diff = "(secret)\n"
	case s == nil:
		a.Desc = "create " + f.Path
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
	}
	return []Action{a}, nil
}

// maxDiff is the size of the largest file whose content is fetched to show what changes.
const maxDiff = 256 << 10

// writeFile gives a script that replaces a file; what is not said of mode and owner stays as it is.
func writeFile(path, content string, a access) string {
	var b strings.Builder
	fmt.Fprintf(&b, "p=%s\n[ ! -L \"$p\" ] || p=$(readlink -f -- \"$p\") || exit\nt=$(mktemp \"${p%%/*}/.converge.XXXXXX\") || exit\ntrap 'rm -f -- \"$t\"' EXIT\nbase64 -d > \"$t\" <<'CONVERGE' || exit\n", quote(path))
	text := base64.StdEncoding.EncodeToString([]byte(content))
	for len(text) > 76 {
		b.WriteString(text[:76] + "\n")
		text = text[76:]
	}
	b.WriteString(text + "\nCONVERGE\n")
	b.WriteString("if [ -e \"$p\" ]; then cp --attributes-only --preserve=all -- \"$p\" \"$t\" && touch -- \"$t\"; else chmod 0644 \"$t\"; fi || exit\n")
	if a.owner != "" || a.group != "" {
		who := a.owner
		if a.group != "" {
			who += ":" + a.group
		}
		fmt.Fprintf(&b, "chown %s \"$t\" || exit\n", quote(who))
	}
	if a.mode != "" {
		fmt.Fprintf(&b, "chmod %s \"$t\" || exit\n", quote(a.mode))
	}
	b.WriteString("mv -f -- \"$t\" \"$p\"")
	return b.String()
}

// Line is a line that a text file shall have, or not have.
type Line struct {
	Path     string
	Line     string
	Instead  string // a line that begins with this is replaced, the last one if there are several; "": Line is added at the end
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
	if strings.Contains(l.Line, "\n") {
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
	return []Action{{Desc: "edit " + l.Path, Diff: Diff(old, now), Script: writeFile(l.Path, now, access{}), After: l.OnChange}}, nil
}

func edit(text string, l Line) string {
	var lines []string
	if text != "" {
		lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	at, out := -1, []string{}
	for _, x := range lines {
		if l.Absent && x == l.Line {
			continue
		}
		if x == l.Line {
			return text
		}
		if l.Instead != "" && strings.HasPrefix(x, l.Instead) {
			at = len(out)
		}
		out = append(out, x)
	}
	switch {
	case l.Absent && len(out) == len(lines):
		return text
	case l.Absent:
	case at >= 0:
		out[at] = l.Line
	default:
		out = append(out, l.Line)
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "\n") + "\n"
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
		return []Action{{Desc: "remove " + d.Path + " and all in it", Script: "rm -rf --one-file-system -- " + quote(d.Path)}}, nil
	case s != nil && !s.is(sIFDIR):
		return nil, fmt.Errorf("%s is there, and is no directory", d.Path)
	case s == nil:
		script := "mkdir -p -- " + quote(d.Path)
		fresh := &stat{mode: 0o10000} // no mode that anybody wants, so that it is set
		if acc.mode == "" {
			acc.mode = "0755"
		}
		if fix := acc.fix(d.Path, fresh); fix != nil {
			script += " && " + fix.Script
		}
		return []Action{{Desc: "create the directory " + d.Path, Script: script}}, nil
	}
	if fix := acc.fix(d.Path, s); fix != nil {
		return []Action{*fix}, nil
	}
	return nil, nil
}

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
		return []Action{{Desc: "remove the link " + l.Path, Script: "rm -f -- " + quote(l.Path)}}, nil
	case l.Absent || r.text == l.To && s != nil:
		return nil, nil
	}
	t := l.Path + ".converge"
	return []Action{{Desc: "link " + l.Path + " to " + l.To, Diff: Diff(r.text, l.To), Script: "ln -sfn -- " + quote(l.To) + " " + quote(t) + " && mv -fT -- " + quote(t) + " " + quote(l.Path)}}, nil
}
