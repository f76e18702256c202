package converge

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/template"
)

// Template is a file that is made for each host from a template of text/template. In it there are
//
//	.Name      the host's name           .In "web"   whether it belongs to a group      .Groups   all of them
//	.Props     what is known of it (Target.Props): .Props.port, .Props.disks
//	.Facts     what is true of it: .Facts.OS.ID, .Facts.CPUs, .Facts.Own.rack. A template that does not use it costs no reading
//	.Read "…"  what a script prints there, as Node.Read
//	.Data      the field Data
//
// and beside the functions of text/template those of templateFuncs: join, split, sorted, keys, has, lower, upper, trim,
// contains, replace, indent, quote, json, default, add, sub, mul, div, secret, fail.
//
// What is asked for and not there is a mistake, and not an empty text. Mistakes name the template's file, line and
// column, and the host. Values that are a Secret are written to the file, and shown in no diff.
type Template struct {
	Path string // of the file on the host
	Name string // of the template: as mistakes name it, and where it is in FS. "": Path
	Text string // the template; "": what FS has under Name
	FS   fs.FS  // for Name and Uses: an embed.FS, or os.DirFS of a folder. nil: Text is all
	Uses []string
	Data any

	// Mode, Owner and Group are as those of File, and may each be a template with the same in it: "{{if .In
	// \"web\"}}0644{{end}}". A file that is new and has a secret in it is 0600 where Mode is "".
	Mode, Owner, Group string

	Funcs    template.FuncMap // functions of your own
	Secret   bool             // as File.Secret: no content at all is shown in a diff
	OnChange string           // as File.OnChange
}

// ID implements Resource. It is the file's: a path is wanted once, by a File or a Template.
func (t Template) ID() string { return File{Path: t.Path}.ID() }

// Plan implements Resource.
func (t Template) Plan(n *Node) ([]Action, error) {
	if err := checkPath(t.Path); err != nil {
		return nil, err
	}
	s, err := n.stat(t.Path) // asked for in one exchange with what the template must know
	_, serr := n.fact("sum", t.Path)
	f, terr := t.file(n)
	if err := first(err, serr, terr); err != nil {
		return nil, err
	}
	if s == nil && f.Mode == "" && n.holds(f.Content) {
		f.Mode = "0600"
	}
	return f.Plan(n)
}

// file gives the file that the template makes for a host.
func (t Template) file(n *Node) (File, error) {
	f := File{Path: t.Path, Secret: t.Secret, OnChange: t.OnChange}
	name := t.Name
	if name == "" {
		name = t.Path
	}
	text := t.Text
	if text == "" && t.FS != nil {
		b, err := fs.ReadFile(t.FS, name)
		if err != nil {
			return f, fmt.Errorf("the template %s: %w", name, err)
		}
		text = string(b)
	}
	d := newDot(n, t.Data)
	var errs []error
	for _, x := range []struct {
		what, text string
		to         *string
	}{{"", text, &f.Content}, {" (mode)", t.Mode, &f.Mode}, {" (owner)", t.Owner, &f.Owner}, {" (group)", t.Group, &f.Group}} {
		said, err := t.render(name+x.what, x.text, d)
		if *x.to = said; x.what != "" {
			*x.to = strings.TrimSpace(said)
		}
		errs = append(errs, mistake(err, n.Name()))
	}
	return f, first(errs...)
}

// render executes one template.
func (t Template) render(name, text string, d *dot) (string, error) {
	tmpl, err := template.New(name).Option("missingkey=error").Funcs(templateFuncs(d.node)).Funcs(t.Funcs).Parse(text)
	if err == nil && len(t.Uses) > 0 {
		tmpl, err = t.parts(tmpl)
	}
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := tmpl.Execute(&b, d); err != nil {
		return "", err
	}
	if strings.Contains(b.String(), hidden) && !strings.Contains(text, hidden) {
		return "", fmt.Errorf("%s: a secret of Data is printed as %s; say {{secret …}} where it is meant to be written", name, hidden)
	}
	return b.String(), nil
}

// parts adds the templates that this one uses, each under its path in FS.
func (t Template) parts(tmpl *template.Template) (*template.Template, error) {
	for _, pattern := range t.Uses {
		if t.FS == nil {
			return nil, fmt.Errorf("%s uses %s, and there is no FS where that is", tmpl.Name(), pattern)
		}
		names, err := fs.Glob(t.FS, pattern)
		if err == nil && len(names) == 0 {
			err = errors.New("there is none")
		}
		if err != nil {
			return nil, fmt.Errorf("%s uses %s: %w", tmpl.Name(), pattern, err)
		}
		for _, name := range names {
			if name == tmpl.Name() {
				continue
			}
			b, err := fs.ReadFile(t.FS, name)
			if err != nil {
				return nil, err
			}
			if _, err := tmpl.New(name).Parse(string(b)); err != nil {
				return nil, err
			}
		}
	}
	return tmpl, nil
}

// mistake says what is wrong in a template: at which file, line and column, and for which host.
func mistake(err error, host string) error {
	if err == nil || errors.Is(err, ErrPending) {
		return err
	}
	said := strings.TrimPrefix(err.Error(), "template: ")
	if at, rest, ok := strings.Cut(said, `: executing "`); ok {
		if _, what, ok := strings.Cut(rest, `" at <`); ok {
			said = at + ": <" + what
		}
	}
	return fmt.Errorf("%s, for the host %s", said, host)
}

// dot is what a template is given.
type dot struct {
	Name   string
	Groups []string
	Props  map[string]any
	Data   any

	node *Node
}

// newDot shows secrets to the template, and has every diff hide them.
func newDot(n *Node, data any) *dot {
	props := reveal(map[string]any(n.target.Props), func(s string) { n.Hide(s) }).(map[string]any)
	return &dot{Name: n.Name(), Groups: slices.Clone(n.target.Groups), Props: props, Data: data, node: n}
}

// Facts is for templates.
func (d *dot) Facts() (Facts, error) { return d.node.Facts() }

// In is for templates.
func (d *dot) In(group string) bool { return d.node.In(group) }

// Read is for templates.
func (d *dot) Read(script string) (string, error) { return d.node.Read(script) }
