package converge_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jarvisops/jarvis/converge"
)

// TestTemplates: files made from what is known and true of each host, their mode and owner too, in one exchange when
// all is right; with a secret that nobody is shown, neither the new one nor that of before.
func TestTemplates(t *testing.T) {
	targets, hosts := start(t, 2)
	targets[1].Groups = append(targets[1].Groups, "edge")
	files := fstest.MapFS{"app.conf": {Data: []byte("# {{.Name}}, {{.Facts.OS.ID}} {{.Facts.OS.Version}}\nnumber = {{.Props.number}}\nworkers = {{mul .Facts.CPUs 2}}\n{{- if .In \"edge\"}}\nedge = yes\n{{- end}}\npassword = {{.Props.password}}\n")}}
	run := func(password converge.Secret, o converge.Options) (*converge.Report, string) {
		t.Helper()
		var shown strings.Builder
		for i := range targets {
			targets[i].Props["password"] = password
		}
		o.Confirm = func(_ context.Context, plan []converge.HostPlan) (bool, error) {
			for _, h := range plan {
				for _, a := range h.Actions {
					shown.WriteString(h.Host + " " + a.Desc + "\n" + a.Diff)
				}
			}
			return true, nil
		}
		rep := up(t, targets, func(n *converge.Node) error {
			n.Want(converge.Template{Path: "/etc/app.conf", Name: "app.conf", FS: files, Group: `{{if .In "edge"}}adm{{end}}`},
				converge.Template{Path: "/etc/open.conf", Text: "x={{.Props.number}}\n", Mode: `{{if .In "edge"}}0640{{else}}0600{{end}}`},
				converge.File{Path: "/etc/plain.conf", Content: "p " + n.Prop("password") + "\n"})
			return nil
		}, o)
		for i := range targets {
			if h := rep.Hosts[i]; !h.Stable {
				t.Fatalf("%s", h.Error)
			}
		}
		return rep, shown.String()
	}
	rep, shown := run("first one", converge.Options{})
	if strings.Contains(shown, "first one") || !strings.Contains(shown, "+password = •••\n") || !strings.Contains(shown, "+p •••\n") || rep.Changed() != 6 {
		t.Errorf("%d\n%s", rep.Changed(), shown)
	}
	for i, want := range []struct {
		text, group string
		open        os.FileMode
	}{{"# web1, debian 12\nnumber = 1\n", "0", 0o600}, {"# web2, debian 12\nnumber = 2\n", "4", 0o640}} {
		got := read(hosts[i], "etc/app.conf")
		if !strings.HasPrefix(got, want.text) || !strings.HasSuffix(got, "\npassword = first one\n") || strings.Contains(got, "\nedge = yes\n") != (i == 1) {
			t.Errorf("web%d has\n%s", i+1, got)
		}
		if st, err := os.Stat(filepath.Join(hosts[i].Root, "etc/app.conf")); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("a file with a secret: %v %v", st.Mode(), err)
		}
		if st, err := os.Stat(filepath.Join(hosts[i].Root, "etc/open.conf")); err != nil || st.Mode().Perm() != want.open {
			t.Errorf("%v %v", st.Mode(), err)
		}
	}
	rep, _ = run("first one", converge.Options{})
	if rep.Changed() != 0 || rep.Hosts[0].Exchanges != 1 || rep.Hosts[1].Exchanges != 1 {
		t.Errorf("again: %d changed, %d exchanges", rep.Changed(), rep.Hosts[0].Exchanges)
	}
	if _, shown = run("second two", converge.Options{}); strings.Contains(shown, "first one") || strings.Contains(shown, "second two") || !strings.Contains(shown, "-•••\n+password = •••\n") {
		t.Error(shown)
	}
	if got := read(hosts[0], "etc/app.conf"); !strings.HasSuffix(got, "\npassword = second two\n") {
		t.Error(got)
	}

	// A host whose template has a mistake is left out and named; the other goes on.
	r := up(t, targets, func(n *converge.Node) error {
		n.Want(converge.Template{Path: "/etc/x", Name: "x.conf", Text: "ok\n{{if .In \"edge\"}}{{.Props.none}}{{end}}\n"}, converge.Template{Path: "/etc/open.conf", Text: "y\n"})
		return nil
	}, converge.Options{})
	if failed := r.Failed(); len(failed) != 1 || failed[0].Error != `file /etc/x: x.conf:2:25: <.Props.none>: map has no entry for key "none", for the host web2` || read(hosts[0], "etc/x") != "ok\n\n" || read(hosts[1], "etc/open.conf") != "x=2\n" {
		t.Errorf("%q", r.Hosts[1].Error)
	}
	// What a command says when it fails is told without the secret.
	r = up(t, targets[:1], func(n *converge.Node) error {
		n.Want(converge.Command{Name: "leak", Unless: "false", Run: "echo 'no " + n.Prop("password") + "' >&2; exit 1"})
		return nil
	}, converge.Options{})
	if r.Hosts[0].Error != "run leak: no •••" {
		t.Errorf("%q", r.Hosts[0].Error)
	}
}
