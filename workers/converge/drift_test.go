package converge_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/converge"
	worker "github.com/jarvisops/jarvis/workers/converge"
)

// driftWishes are what TestDrift wants; each kind of resource in a shape that can differ.
func driftWishes(n *converge.Node) error {
	n.Want(
		converge.User{Name: "dora", Shell: "/bin/sh"}, converge.Group{Name: "ops", GID: 4242},
		converge.File{Path: "/etc/motd", Content: "hello\nworld\n", Mode: "0644"},
		converge.File{Path: "/etc/app.key", Content: n.Prop("key") + "\n", Mode: "0600"},
		converge.File{Path: "/etc/hidden", Content: "x\n", Secret: true},
		converge.File{Path: "/etc/gone", Absent: true}, converge.Line{Path: "/etc/lines", Line: "pin=1234"}, converge.Line{Path: "/etc/lines", Line: "Port 22"},
		converge.Directory{Path: "/srv/d", Mode: "2750"}, converge.Link{Path: "/srv/l", To: "d"},
		converge.Service{Name: "napd"}, converge.Package{Name: "jarvis-thing"},
		converge.Mount{Path: "/srv/mem", Device: "tmpfs", Type: "tmpfs", Options: "size=1m"},
		converge.AuthorizedKey{User: "root", Key: keyOne + " alice"},
		converge.Command{Name: "mark", Run: "echo done > /srv/mark", Unless: "test -e /srv/mark"},
	)
	return nil
}

// TestDrift: what has been changed on a host is told with what it was and is, without a secret, and without a change; a
// run puts right what was told, and nothing else.
func TestDrift(t *testing.T) {
	targets, hosts := start(t, 1)
	initScript(t, hosts[0])
	aptRepository(t, hosts[0])
	targets[0].Props["key"] = converge.Secret("k-first")
	said := func() string {
		t.Helper()
		list, err := converge.Drift(t.Context(), targets, driftWishes, converge.Options{})
		if err != nil || list[0].Unknown != "" {
			t.Fatalf("%v %+v", err, list)
		}
		var out strings.Builder
		for _, d := range list[0].Differs {
			fmt.Fprintf(&out, "%s | %s | %s | %s\n", d.Resource, d.What, d.Before, d.After)
			if strings.Contains(d.Diff, "k-") {
				t.Errorf("a secret is shown: %s", d.Diff)
			}
		}
		return out.String()
	}
	all := `user dora | create the user dora | missing | there
group ops | create the group ops | missing | there
file /etc/motd | write /etc/motd | another content (-LINES +2 lines) | the one that is wanted
file /etc/app.key | create /etc/app.key | missing | there
file /etc/hidden | create /etc/hidden | missing | there
line "pin=…" in /etc/lines | edit /etc/lines | another content (-0 +1 lines) | the one that is wanted
line "Port …" in /etc/lines | edit /etc/lines | another content (-0 +1 lines) | the one that is wanted
directory /srv/d | create the directory /srv/d | missing | there
link /srv/l | link /srv/l to d | missing | d
service napd | start the service napd | inactive | active
service napd | enable the service napd | disabled | enabled
package jarvis-thing | install the package jarvis-thing | missing | there
mount /srv/mem | edit /etc/fstab | another content (-0 +1 lines) | the one that is wanted
mount /srv/mem | mount /srv/mem | not mounted | mounted
key alice of root | let alice log in as root | missing | there
command mark | run mark | its guard says 1 | 0
`
	fresh := said()
	if diff := cmp.Diff(strings.Replace(all, "LINES", fmt.Sprint(strings.Count(read(hosts[0], "etc/motd"), "\n")), 1), keyID(fresh)); diff != "" {
		t.Error(diff)
	}
	if again := said(); again != fresh {
		t.Errorf("a look changed something:\n%s", cmp.Diff(fresh, again))
	}
	if rep := up(t, targets, driftWishes, converge.Options{}); len(rep.Failed()) > 0 || said() != "" {
		t.Fatalf("%s; it differs still: %s", rep.Hosts[0].Error, said())
	}
	onHost(t, targets[0], "echo hello > /etc/motd; chmod 600 /etc/motd; echo k-other > /etc/app.key; echo y > /etc/hidden; chmod 700 /srv/d; rm /srv/l; ln -s e /srv/l; touch /etc/gone; rm /run/napd; usermod -s /bin/bash dora; umount /srv/mem")
	if diff := cmp.Diff(`user dora | change the user dora | shell: /bin/bash | shell: /bin/sh
file /etc/motd | write /etc/motd | another content (-0 +1 lines) | the one that is wanted
file /etc/app.key | write /etc/app.key | another content (-1 +1 lines) | the one that is wanted
file /etc/hidden | write /etc/hidden | another content | the one that is wanted
file /etc/gone | remove /etc/gone | there | gone
directory /srv/d | set mode and owner of /srv/d | mode: 2700 | mode: 2750
link /srv/l | link /srv/l to d | e | d
service napd | start the service napd | inactive | active
mount /srv/mem | mount /srv/mem | not mounted | mounted
`, said()); diff != "" {
		t.Error(diff)
	}
	if rep := up(t, targets, driftWishes, converge.Options{}); len(rep.Failed()) > 0 || said() != "" {
		t.Fatalf("%s; it differs still: %s", rep.Hosts[0].Error, said())
	}
}

// keyID names the key as a person would: its fingerprint is in the ID.
func keyID(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if strings.Contains(line, "let alice log in") {
			line = "key alice of root" + line[strings.Index(line, " | "):]
		}
		out.WriteString(line)
	}
	return out.String()
}

// TestDriftOfAStep: the step says of a host what the library says, and a program's secret-free words reach the chat.
func TestDriftOfAStep(t *testing.T) {
	targets, hosts := start(t, 1)
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "motd"), "./testdata/program").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	w, err := worker.New(worker.Config{Dir: dir, Shell: func(ctx context.Context, _ *clipboard.Clipboard) (converge.Host, func(), error) {
		return targets[0].Dial(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := clipboard.Parse([]byte("instance:\n  hostname: web1\n  fqdn: web1.example.org\n  provider: esx\n  converge: motd\n"))
	if err != nil {
		t.Fatal(err)
	}
	step := w.Steps()[0]
	look := func() string {
		t.Helper()
		list, err := step.Drift(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, d := range list {
			out = append(out, d.String())
		}
		return strings.Join(out, "\n")
	}
	if err := step.Do(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := look(); got != "" {
		t.Errorf("right after it: %s", got)
	}
	onHost(t, targets[0], "echo other > /etc/motd")
	if got := look(); got != "file /etc/motd, for motd: another content (-1 +1 lines) instead of the one that is wanted" || read(hosts[0], "etc/motd") != "other\n" {
		t.Errorf("%s; it holds %s", got, read(hosts[0], "etc/motd"))
	}
	onHost(t, targets[0], "rm /etc/motd")
	if got := look(); got != "file /etc/motd, for motd: missing instead of there" {
		t.Error(got)
	}
}
