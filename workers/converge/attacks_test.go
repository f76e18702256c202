package converge_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/converge"
)

const (
	keyOne = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7Xk4D5gQ2h5o1hRk1Y2o0b2Zv0o3yqg1rY9p3m0x01"
	keyTwo = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7Xk4D5gQ2h5o1hRk1Y2o0b2Zv0o3yqg1rY9p3m0x02"
)

// TestNoUserLeadsRootElsewhere tells attacks on a host: alice, who owns her folder, puts links there to what is root's,
// and waits for the next run.
func TestNoUserLeadsRootElsewhere(t *testing.T) {
	targets, _ := start(t, 1)
	sh := func(script string) string {
		t.Helper()
		c, done, err := targets[0].Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		out, errs, exit, err := c.Sh(t.Context(), "set -e\n"+script)
		if err != nil || exit != 0 {
			t.Fatalf("%s: %d %v %s", script, exit, err, errs)
		}
		return out
	}
	sh("useradd -m -s /bin/sh alice; mkdir -m 700 /srv/roots; echo root:hash > /srv/roots/authorized_keys; chmod 600 /srv/roots/authorized_keys")
	const look = "cd /srv/roots; stat -c '%A %U %n' . ./*; cat ./*"
	before := sh(look)
	for _, c := range []struct {
		name, prepare string
		want          converge.Resource
		err           string
	}{
		{"her .ssh leads to a folder of root's", "ln -s /srv/roots /home/alice/.ssh", converge.AuthorizedKey{User: "alice", Key: keyOne}, "/home/alice/.ssh does not belong to alice; it is left as it is"},
		{"her keys are a link", "mkdir /home/alice/.ssh; ln -s /srv/roots/authorized_keys /home/alice/.ssh/; chown -hR alice: /home/alice/.ssh", converge.AuthorizedKey{User: "alice", Key: keyOne}, "/home/alice/.ssh/authorized_keys is a link; it is left as it is"},
		{"her .ssh is root's", "mkdir /home/alice/.ssh", converge.AuthorizedKey{User: "alice", Key: keyOne}, "/home/alice/.ssh does not belong to alice"},
		{"a file below a link", "ln -s /srv/roots /home/alice/conf", converge.File{Path: "/home/alice/conf/authorized_keys", Content: "x", Owner: "alice", Mode: "0666"}, "/home/alice/conf is a link that somebody else than root can have put there, and is not followed"},
		{"a new file below a link", "ln -s /srv/roots /home/alice/conf", converge.File{Path: "/home/alice/conf/new", Content: "x"}, "/home/alice/conf is a link"},
		{"a file to be removed below a link", "ln -s /srv/roots /home/alice/conf", converge.File{Path: "/home/alice/conf/authorized_keys", Absent: true}, "/home/alice/conf is a link"},
		{"a line in a link", "ln -s /srv/roots/authorized_keys /home/alice/.profile2", converge.Line{Path: "/home/alice/.profile2", Line: "x"}, "/home/alice/.profile2 cannot be edited: /home/alice/.profile2 is a link"},
		{"a link to a link", "ln -s /home/alice/.profile2 /etc/profile2; ln -s /srv/roots/authorized_keys /home/alice/.profile2", converge.Line{Path: "/etc/profile2", Line: "x"}, "/home/alice/.profile2 is a link"},
		{"a directory below a link", "ln -s /srv /home/alice/conf", converge.Directory{Path: "/home/alice/conf/roots", Owner: "alice", Mode: "0777"}, "/home/alice/conf is a link"},
		{"a new directory below a link", "ln -s /srv/roots /home/alice/conf", converge.Directory{Path: "/home/alice/conf/a/b", Owner: "alice"}, "/home/alice/conf is a link"},
		{"a directory to be removed below a link", "ln -s /srv /home/alice/conf", converge.Directory{Path: "/home/alice/conf/roots", Absent: true}, "/home/alice/conf is a link"},
		{"a link below a link", "ln -s /srv/roots /home/alice/conf", converge.Link{Path: "/home/alice/conf/authorized_keys2", To: "/x"}, "/home/alice/conf is a link"},
		{"a checkout below a link", "ln -s /srv/roots /home/alice/conf", converge.Checkout{Path: "/home/alice/conf/c", Repo: "file:///nothing", Commit: strings.Repeat("a", 40), Owner: "alice"}, "/home/alice/conf is a link"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh("rm -rf /home/alice/.ssh /home/alice/conf /home/alice/.profile2 /etc/profile2\n" + c.prepare)
			rep := up(t, targets, func(n *converge.Node) error { n.Want(c.want); return nil }, converge.Options{Cycles: 2})
			if !strings.Contains(rep.Hosts[0].Error, c.err) {
				t.Errorf("%+v", rep.Hosts[0])
			}
			if after := sh(look); after != before {
				t.Errorf("root's folder is\n%s\nand was\n%s", after, before)
			}
		})
	}
	t.Run("what is hers is done as ever", func(t *testing.T) {
		sh("rm -rf /home/alice/.ssh /home/alice/conf /home/alice/.profile2; mkdir /srv/www; ln -s /srv/www /srv/site; chown alice: /srv/www")
		all := func(n *converge.Node) error {
			n.Want(converge.AuthorizedKey{User: "alice", Key: keyOne}, converge.Directory{Path: "/home/alice/d/e", Owner: "alice", Mode: "0700"},
				converge.File{Path: "/home/alice/d/e/f", Content: "x\n", Owner: "alice", Mode: "0600"}, converge.Link{Path: "/home/alice/l", To: "d"},
				converge.File{Path: "/srv/site/index", Content: "y\n"}, converge.Line{Path: "/home/alice/.profile2", Line: "z"})
			return nil
		}
		for i, n := range []int{6, 0} {
			if rep := up(t, targets, all, converge.Options{}); len(rep.Failed()) > 0 || rep.Changed() != n {
				t.Errorf("%d: %+v", i, rep)
			}
		}
		got := sh("cd /home/alice; stat -c '%a %U %n' .ssh .ssh/* d d/e d/e/* /srv/www/*; ls -A /home/alice/d/e /srv/www; cat /home/alice/.profile2")
		if want := "700 alice .ssh\n600 alice .ssh/authorized_keys\n755 root d\n700 alice d/e\n600 alice d/e/f\n644 root /srv/www/index\n/home/alice/d/e:\nf\n\n/srv/www:\nindex\nz\n"; got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	})
}

// TestKeysAmongOtherBytes: a NUL in a comment made grep say "binary file matches" instead of the keys, and all were
// gone.
func TestKeysAmongOtherBytes(t *testing.T) {
	targets, hosts := start(t, 1)
	file := filepath.Join(hosts[0].Root, "root/.ssh/authorized_keys")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keep := string(before) + "# \x00\x00 a comment\n# M\xfcnchen\n"
	want := func(list ...converge.Resource) *converge.Report {
		t.Helper()
		rep := up(t, targets, func(n *converge.Node) error { n.Want(list...); return nil }, converge.Options{})
		if len(rep.Failed()) > 0 {
			t.Errorf("%+v", rep)
		}
		return rep
	}
	if err := os.WriteFile(file, []byte(keep+keyOne+" a\n"+keyTwo+" b"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(converge.AuthorizedKey{User: "root", Key: "restrict " + keyOne + " a"})
	if got := read(hosts[0], "root/.ssh/authorized_keys"); got != keep+keyTwo+" b\nrestrict "+keyOne+" a\n" {
		t.Errorf("%q", got)
	}
	want(converge.AuthorizedKey{User: "root", Key: keyTwo, Absent: true}, converge.AuthorizedKey{User: "root", Key: keyOne, Absent: true})
	if got := read(hosts[0], "root/.ssh/authorized_keys"); got != keep {
		t.Errorf("%q", got)
	}
	// Two keys are two, whatever their comments say; one key is one.
	want(converge.AuthorizedKey{User: "root", Key: keyOne + " alice laptop 2024"}, converge.AuthorizedKey{User: "root", Key: keyTwo + " alice desktop 2024"})
	if got := read(hosts[0], "root/.ssh/authorized_keys"); got != keep+keyOne+" alice laptop 2024\n"+keyTwo+" alice desktop 2024\n" {
		t.Errorf("%q", got)
	}
	rep := up(t, targets, func(n *converge.Node) error {
		n.Want(converge.AuthorizedKey{User: "root", Key: keyOne + " a"}, converge.AuthorizedKey{User: "root", Key: "restrict " + keyOne + " b"})
		return nil
	}, converge.Options{})
	if got := rep.Hosts[0].Error; !strings.HasPrefix(got, "key SHA256:") || !strings.HasSuffix(got, " of root is wanted twice") {
		t.Errorf("%q", got)
	}
}
