package converge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// templated is a host of which all is known.
func templated() *Node {
	return &Node{target: Target{Name: "web1", Groups: []string{"web", "all"}, Props: map[string]any{
		"port": 8080, "json": float64(3), "password": Secret(`pa"ss wörd`), "disks": []any{"b", "a"}, "nothing": nil, "deep": map[string]any{"key": Secret("one\ntwo\n"), "gone": nil},
	}}, known: &Facts{CPUs: 4, Memory: 8 << 30, OS: OS{ID: "debian"}, Own: map[string]any{"rack": "a7"}}}
}

func TestTemplate(t *testing.T) {
	files := fstest.MapFS{"conf/site.conf": {Data: []byte("{{template \"conf/head.tmpl\" .}}port {{.Props.port}}\n")}, "conf/head.tmpl": {Data: []byte("# {{.Name}}\n")},
		"conf/wrong.conf": {Data: []byte("a\n{{template \"conf/bad.tmpl\" .}}\n")}, "conf/bad.tmpl": {Data: []byte("\n\n{{.Props.none}}")}}
	for _, c := range []struct{ name, text, want, err string }{
		{"what is known", `{{.Name}} {{.Groups}} {{.In "web"}} {{.In "db"}} {{.Props.port}}`, "web1 [web all] true false 8080", ""},
		{"what is true", `{{.Facts.OS.ID}} {{.Facts.CPUs}} {{.Facts.Own.rack}}`, "debian 4 a7", ""},
		{"data", `{{range .Data}}{{.}};{{end}}`, "1;2;", ""},
		{"lists", `{{sorted .Props.disks | join ","}} {{has "a" .Props.disks}} {{has "c" .Props.disks}} {{split "." "a.b"}} {{keys .Props.deep}}`, "a,b true false [a b] [key]", ""},
		{"texts", `{{upper "a"}}{{lower "B"}}{{trim " c "}}{{replace "d" "e" "d"}} {{contains "b" "abc"}} {{quote "it's"}}`, `Abce true 'it'\''s'`, ""},
		{"several lines", "{{indent 2 \"a\\n\\nb\\n\"}}", "  a\n\n  b\n", ""},
		{"numbers", `{{div .Facts.Memory 1048576}} {{mul .Facts.CPUs 2}} {{add 1 .Props.json}} {{sub 1 2}}`, "8192 8 4 -1", ""},
		{"what is empty", `{{default "none" ""}} {{default 1 2}}`, "none 2", ""},
		{"JSON", `{{json .Props.disks}} {{json .Props.deep}}`, `["b","a"] {"key":"one\ntwo\n"}`, ""},
		{"a secret", `{{.Props.password}} {{secret .Data}}`, `pa"ss wörd [1 2]`, ""},

		{"a property that is not there", "a\nb {{.Props.none}}", "", `site.conf:2:10: <.Props.none>: map has no entry for key "none", for the host web1`},
		{"one that is nothing", "{{.Props.nothing}}", "", `site.conf:1:8: <.Props.nothing>: map has no entry for key "nothing", for the host web1`},
		{"a fact that is none", "{{.Facts.Nope}}", "", `site.conf:1:8: <.Facts.Nope>: can't evaluate field Nope in type converge.Facts, for the host web1`},
		{"a fact of its own that is not there", "\n\n{{.Facts.Own.nope}}", "", `site.conf:3:8: <.Facts.Own.nope>: map has no entry for key "nope", for the host web1`},
		{"what is no template", "a\n{{if}}", "", "site.conf:2: missing value for if, for the host web1"},
		{"a function that is none", "{{nope 1}}", "", `site.conf:1: function "nope" not defined, for the host web1`},
		{"a refusal", `{{fail "no disk"}}`, "", `site.conf:1:2: <fail "no disk">: error calling fail: no disk, for the host web1`},
		{"a division by 0", `{{div 1 0}}`, "", `site.conf:1:2: <div 1 0>: error calling div: it is divided by 0, for the host web1`},
		{"half a number", `{{add 1 1.5}}`, "", `site.conf:1:2: <add 1 1.5>: error calling add: 1.5 is no whole number, for the host web1`},
		{"no list", `{{join "," 1}}`, "", `site.conf:1:2: <join "," 1>: error calling join: int is no list, for the host web1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Template{Path: "/etc/x", Name: "site.conf", Text: c.text, Data: []int{1, 2}}.file(templated())
			if said := fmt.Sprint(err); err == nil && (f.Content != c.want || c.err != "") || err != nil && said != c.err {
				t.Errorf("%q %v", f.Content, err)
			}
		})
	}
	f, err := Template{Path: "/etc/x", Name: "conf/site.conf", FS: files, Uses: []string{"conf/*.tmpl"}, Mode: `{{if .In "web"}}0644{{end}}`, Owner: "{{.Props.port}}", Group: "\n{{.Facts.OS.ID}}\n"}.file(templated())
	if err != nil || f.Content != "# web1\nport 8080\n" || f.Mode != "0644" || f.Owner != "8080" || f.Group != "debian" {
		t.Errorf("%+v %v", f, err)
	}
	for _, c := range []struct {
		t    Template
		want string
	}{
		{Template{Path: "/x", Name: "conf/wrong.conf", FS: files, Uses: []string{"conf/*"}}, `conf/bad.tmpl:3:8: <.Props.none>: map has no entry for key "none", for the host web1`},
		{Template{Path: "/x", Name: "none.conf", FS: files}, "the template none.conf: open none.conf: file does not exist"},
		{Template{Path: "/x", Name: "a", Text: "x", Uses: []string{"y"}}, "a uses y, and there is no FS where that is, for the host web1"},
		{Template{Path: "/x", Name: "a", Text: "x", FS: files, Uses: []string{"y"}}, "a uses y: there is none, for the host web1"},
		{Template{Path: "/x", Name: "a", Text: "x", Mode: "{{.Props.none}}"}, `a (mode):1:8: <.Props.none>: map has no entry for key "none", for the host web1`},
		{Template{Path: "/x", Name: "a", Text: "{{.Data}}", Data: Secret("s")}, "a: a secret of Data is printed as •••; say {{secret …}} where it is meant to be written, for the host web1"},
		{Template{Path: "/x", Text: "{{.Props.none}}"}, `/x:1:8: <.Props.none>: map has no entry for key "none", for the host web1`},
	} {
		if _, err := c.t.file(templated()); fmt.Sprint(err) != c.want {
			t.Errorf("%v\nwant %s", err, c.want)
		}
	}
	// Facts that are not read yet are waited for, where they are used and only there.
	n := templated()
	n.known, n.facts = nil, map[fact]reading{}
	if _, err := (Template{Path: "/x", Text: "{{.Facts.CPUs}}"}).file(n); !errors.Is(err, ErrPending) || len(n.asked) != 1 {
		t.Errorf("%v, asked for %v", err, n.asked)
	}
	n.asked = nil
	if _, err := (Template{Path: "/x", Text: "{{.Name}}"}).file(n); err != nil || len(n.asked) != 0 {
		t.Errorf("%v, asked for %v", err, n.asked)
	}
}

// TestNobodyIsShownASecret: not in a diff, whatever was made of it, nor in what is told of an error; and what was in
// its place before is not shown either.
func TestNobodyIsShownASecret(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"{{.Props.password}}", "•••"},
		{"a={{quote .Props.password}}", "a=•••"},
		{"{{json .Props.password}}", `"•••"`},
		{"{{upper .Props.password}} {{urlquery .Props.password}} {{html .Props.password}}", "••• ••• •••"},
		{`{{printf "%q" .Props.password}}`, "•••"},
		{"{{.Props.deep.key}}", "•••\n"},
		{"{{indent 2 .Props.deep.key}}", "  •••\n"},
		{"- {{replace \"\\n\" \"\\n- \" .Props.deep.key}}", "- ••• "},
		{"{{json .Props.deep}}", `{"key":"•••\n"}`},
		{`{{secret "pin"}} spin`, "••• s•••"},
		{`{{secret .Data}}`, "•••"},
	} {
		n := templated()
		f, err := Template{Path: "/x", Text: c.text, Data: Secret("data")}.file(n)
		if err != nil || n.mask(f.Content) != c.want {
			t.Errorf("%s: %v %q", c.text, err, n.mask(f.Content))
		}
	}
	n := templated()
	n.Hide("s3cret")
	if got, want := n.maskDiff("@@ line 1 @@\n a\n-key old\n-b\n+key s3cret\n+c\n"), "@@ line 1 @@\n a\n-•••\n-•••\n+key •••\n+c\n"; got != want {
		t.Errorf("%q", got)
	}
	if got, want := n.maskDiff("-b\n+c\n"), "-b\n+c\n"; got != want {
		t.Errorf("%q", got)
	}
	n.Hide("-")
	if got, want := n.maskDiff("-old\n+-\n"), "-•••\n+•••\n"; got != want {
		t.Errorf("%q", got)
	}
	if err := n.maskError(errors.New("cannot s3cret")); err.Error() != "cannot •••" {
		t.Error(err)
	}
	s := Secret("s3cret")
	b, err := json.Marshal(map[string]any{"a": s, "b": []Secret{s}})
	if said := fmt.Sprintf("%v %s %q %d %#v %+v %x %s", s, s, s, s, s, struct{ S Secret }{s}, s, b); err != nil || strings.Contains(said, "s3c") {
		t.Errorf("%s %v", said, err)
	}
	// Nor in the name of a resource, quoted, where it never settles, nor in what a script says that has it as a word.
	host := fake(func(script string) (string, string, int, error) {
		if strings.Contains(script, "abcd") {
			item := "abcd " + quote(`qz"zq'x`)
			return fmt.Sprintf("script 3 0 %d\n%s\n", len(item), item), "", 0, nil
		}
		return "", "", 0, nil
	})
	target := []Target{{Name: "x", Props: map[string]any{"p": Secret(`qz"zq'x`)}, Dial: func(context.Context) (Host, func(), error) { return host, func() {}, nil }}}
	for _, configure := range []Configurator{
		func(n *Node) error {
			n.Want(Line{Path: "/x", Line: "p=" + n.Prop("p"), OnChange: "tell " + quote(n.Prop("p"))})
			return nil
		},
		func(n *Node) error { _, err := n.Read("abcd " + quote(n.Prop("p"))); return err },
		func(n *Node) error { return fmt.Errorf("no %q", n.Prop("p")) },
	} {
		r, err := Run(t.Context(), target, configure, Options{TrustReads: true, Cycles: 1})
		b, merr := json.Marshal(r)
		if err != nil || merr != nil || r.Hosts[0].Stable || strings.Contains(string(b), "qz") || !strings.Contains(string(b), hidden) {
			t.Errorf("%v %v %s", err, merr, b)
		}
	}
	// A property is what it is to whoever asks for it.
	if got := n.Prop("password"); got != `pa"ss wörd` {
		t.Errorf("%q", got)
	}
	if got, err := PropAs[string](n, "password"); err != nil || got != `pa"ss wörd` {
		t.Errorf("%q %v", got, err)
	}
	if got, err := PropAs[map[string]string](n, "deep"); err != nil || got["key"] != "one\ntwo\n" {
		t.Errorf("%q %v", got, err)
	}
	// A program is told it, and told that it is one; not one that it could not be told.
	f, err := factsOf(Target{Props: map[string]any{"a": s, "b": "c"}})
	if b, merr := json.Marshal(f); err != nil || merr != nil || string(b) != `{"name":"","props":{"b":"c"},"secrets":{"a":"s3cret"}}` || f.props()["a"] != s {
		t.Errorf("%s %v %v", b, err, merr)
	}
	if _, err := factsOf(n.target); err == nil || !strings.Contains(err.Error(), `the property "deep" of web1 has a secret within it`) {
		t.Error(err)
	}
}
