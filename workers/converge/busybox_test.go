package converge_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jarvisops/jarvis/converge"
)

// TestFilesWithBusybox: what is on a host's disk is brought where it is wanted by busybox alone, edited, and taken away
// again.
func TestFilesWithBusybox(t *testing.T) {
	targets, hosts := start(t, 1)
	target := targets[0]
	target.Dial = func(ctx context.Context) (converge.Host, func(), error) {
		h, done, err := targets[0].Dial(ctx)
		return busyBox{h}, done, err
	}
	twice := func(list ...converge.Resource) {
		t.Helper()
		for i := range 2 {
			rep := up(t, []converge.Target{target}, func(n *converge.Node) error { n.Want(list...); return nil }, converge.Options{}).Hosts[0]
			if !rep.Stable || (len(rep.Done) > 0) != (i == 0) {
				t.Fatalf("%d: %s %s", i, rep.Error, descs(rep.Done))
			}
		}
	}
	list := func(text, line string) []converge.Resource {
		return []converge.Resource{converge.File{Path: "/etc/lab/file", Content: text, Mode: "0640", Group: "4"}, converge.Template{Path: "/etc/lab/made", Text: text + "{{.Name}} {{.Facts.OS.ID}}\n"},
			converge.Line{Path: "/etc/lab/lines", Line: line, Instead: "Port "}, converge.Link{Path: "/etc/lab/link", To: line},
			converge.Command{Name: "mark", Run: "echo done > /srv/mark", Unless: "test -e /srv/mark"}}
	}
	twice(append([]converge.Resource{converge.Directory{Path: "/etc/lab", Mode: "2750"}}, list("one\n", "Port 1")...)...)
	if err := os.Chmod(filepath.Join(hosts[0].Root, "etc/lab/made"), 0o604); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(hosts[0].Root, "etc/lab/made"), 33, 34); err != nil {
		t.Fatal(err)
	}
	twice(list("two\n", "Port 2")...)
	for name, want := range map[string]string{"etc/lab/file": "two\n", "etc/lab/made": "two\nweb1 debian\n", "etc/lab/lines": "Port 2\n"} {
		if got := read(hosts[0], name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	onHost(t, targets[0], `[ "$(stat -c '%a %u %g' /etc/lab/made)" = "604 33 34" ] && [ "$(stat -c '%a %u %g' /etc/lab/file)" = "640 0 4" ]`)
	twice(converge.File{Path: "/etc/lab/file", Absent: true}, converge.Link{Path: "/etc/lab/link", Absent: true}, converge.Line{Path: "/etc/lab/lines", Line: "Port 2", Absent: true})
	onHost(t, targets[0], "mkdir -p '/etc/lab/a b'; mount -t tmpfs none '/etc/lab/a b'; touch '/etc/lab/a b/kept'")
	away := converge.Directory{Path: "/etc/lab", Absent: true}
	rep := up(t, []converge.Target{target}, func(n *converge.Node) error { n.Want(away); return nil }, converge.Options{}).Hosts[0]
	if rep.Error != "remove /etc/lab and all in it: something is mounted in /etc/lab" {
		t.Errorf("%q", rep.Error)
	}
	onHost(t, targets[0], "[ -e '/etc/lab/a b/kept' ] && umount '/etc/lab/a b'")
	twice(away)
}
