package converge_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/jarvisops/jarvis/converge"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/remote"
)

// debian boots a Debian with systemd and cron; sh runs a script on it that must go well.
func debian(t *testing.T) (target converge.Target, sh func(script string) string) {
	t.Helper()
	h, err := real.StartSystemdHost(t.Context(), "deb1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	return converge.Target{Name: "deb1", Dial: func(context.Context) (converge.Host, func(), error) { return h, func() {}, nil }}, func(script string) string {
		t.Helper()
		out, errs, exit, err := h.Sh(t.Context(), "set -e\n"+script)
		if err != nil || exit != 0 {
			t.Errorf("%s: exit %d %v %s%s", script, exit, err, out, errs)
		}
		return out
	}
}

// unit gives a script that writes a unit of systemd.
func unit(name, text string) string {
	return "cat > /etc/systemd/system/" + name + " <<'UNIT'\n" + text + "UNIT\n"
}

// repository gives a script that makes a repository of packages in /srv/repo, of lines "NAME VERSION [PROVIDES]".
func repository(lines ...string) string {
	return `rm -rf /srv/repo /tmp/deb; mkdir -p /srv/repo; rm -f /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] copy:/srv/repo ./' > /etc/apt/sources.list
while read -r name version provides; do
  mkdir -p /tmp/deb/DEBIAN
  { echo "Package: $name"; echo "Version: $version"; echo "Architecture: all"; echo "Maintainer: nobody <nobody@example.org>"
    [ -z "$provides" ] || echo "Provides: $provides"
    echo "Description: a thing"; } > /tmp/deb/DEBIAN/control
  f=${name}_$version.deb
  dpkg-deb -b /tmp/deb "/srv/repo/$f" > /dev/null
  cd /srv/repo
  { cat /tmp/deb/DEBIAN/control; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$f" "$(stat -c %s "$f")" "$(sha256sum "$f" | cut -d' ' -f1)"; } >> Packages
done <<'LIST'
` + strings.Join(lines, "\n") + "\nLIST\n"
}

// TestShapesOfADebian: what has several shapes on a real host is brought where it is wanted from each of them, and the
// second run is silent.
func TestShapesOfADebian(t *testing.T) {
	target, sh := debian(t)
	const long = "[Service]\nExecStart=/bin/sleep infinity\n"
	// The machine's kernel is not the host's to change, but for the one parameter that each host has of its own.
	sh("mount -t proc proc /mnt && mount --bind /mnt/sys/kernel/domainname /proc/sys/kernel/domainname")
	git := `export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@x GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@x
git config --system protocol.file.allow always; git config --system --replace-all safe.directory '*'
`
	sh(git + `mkdir -p /srv/git/sub /srv/git/top
cd /srv/git/sub; git init -q; echo 1 > s; git add s; git commit -qm one
cd /srv/git/top; git init -q; echo 1 > f; git add f; git submodule -q add file:///srv/git/sub sub; git commit -qm one`)
	commit := strings.TrimSpace(sh("git -C /srv/git/top rev-parse HEAD"))
	checkout := converge.Checkout{Path: "/srv/work", Repo: "file:///srv/git/top", Commit: commit}
	const tidy = "cd /srv/work; git status --porcelain; git submodule status | cut -c1; cat f sub/s"
	type list = []converge.Resource
	for _, c := range []struct {
		name, prepare string
		want          list
		look, sees    string
		err           string // it is refused, and says this
	}{
		{name: "an owner by number", prepare: "touch /srv/num", want: list{
			converge.File{Path: "/srv/num", Content: "x\n", Owner: "65534", Group: "4"}, converge.Directory{Path: "/srv/numd", Owner: "4711"}},
			look: "stat -c '%u %g' /srv/num /srv/numd", sees: "65534 4\n4711 0\n"},

		{name: "a static unit", prepare: unit("lab-static.service", long), want: list{converge.Service{Name: "lab-static"}}, look: "systemctl is-active lab-static", sees: "active\n"},
		{name: "a static unit that shall not start at boot", want: list{converge.Service{Name: "lab-static", Disabled: true}}, look: "systemctl is-active lab-static", sees: "active\n"},
		{name: "an indirect unit", prepare: unit("lab-ind.service", long+"[Install]\nAlso=lab-also.service\n") + unit("lab-also.service", long+"[Install]\nWantedBy=multi-user.target\n"),
			want: list{converge.Service{Name: "lab-ind"}}, look: "systemctl is-active lab-ind; systemctl is-enabled lab-also", sees: "active\nenabled\n"},
		{name: "an indirect unit that shall not start at boot", want: list{converge.Service{Name: "lab-ind", Stopped: true, Disabled: true}},
			look: "systemctl is-active lab-ind || true; systemctl is-enabled lab-also || true", sees: "inactive\ndisabled\n"},
		{name: "a oneshot unit", prepare: unit("lab-once.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo ran >> /srv/once'\n[Install]\nWantedBy=multi-user.target\n"),
			want: list{converge.Service{Name: "lab-once"}}, look: "cat /srv/once; systemctl is-enabled lab-once", sees: "ran\nenabled\n"},
		{name: "a oneshot unit that failed", prepare: "rm /srv/once; mkdir /srv/once; systemctl start lab-once || true; rmdir /srv/once",
			want: list{converge.Service{Name: "lab-once"}}, look: "cat /srv/once", sees: "ran\n"},
		{name: "a timer", prepare: unit("lab-once.timer", "[Timer]\nOnCalendar=yearly\n[Install]\nWantedBy=timers.target\n"), want: list{converge.Service{Name: "lab-once.timer"}},
			look: "systemctl is-active lab-once.timer", sees: "active\n"},
		{name: "a unit that is written", want: list{
			converge.File{Path: "/etc/systemd/system/lab-unit.service", Content: "[Service]\nType=exec\nExecStart=/bin/sleep 1111\n[Install]\nWantedBy=multi-user.target\n", OnChange: "systemctl restart lab-unit"},
			converge.Service{Name: "lab-unit"}}, look: "ps -o args= -p $(systemctl show -P MainPID lab-unit)", sees: "/bin/sleep 1111\n"},
		{name: "a unit that is changed", want: list{
			converge.File{Path: "/etc/systemd/system/lab-unit.service", Content: "[Service]\nType=exec\nExecStart=/bin/sleep 2222\n[Install]\nWantedBy=multi-user.target\n", OnChange: "systemctl restart lab-unit"},
			converge.Service{Name: "lab-unit"}}, look: "ps -o args= -p $(systemctl show -P MainPID lab-unit)", sees: "/bin/sleep 2222\n"},
		{name: "a unit that somebody changed", prepare: "sed -i s/2222/3333/ /etc/systemd/system/lab-unit.service", want: list{converge.Service{Name: "lab-unit"}},
			look: "systemctl show -P NeedDaemonReload lab-unit", sees: "no\n"},

		{name: "a virtual package", prepare: repository("lab-one 1.0 lab-virtual", "lab-thing 1.0-1", "lab-thing 2.0-1") + "rm -rf /var/lib/apt/lists/*", want: list{converge.Package{Name: "lab-virtual"}},
			look: "dpkg-query -W -f '${Version}\n' lab-one", sees: "1.0\n"},
		{name: "a glob of versions", want: list{converge.Package{Name: "lab-thing", Version: "1.*"}}, look: "dpkg-query -W -f '${Version}\n' lab-thing", sees: "1.0-1\n"},
		{name: "a held package", prepare: "apt-mark hold lab-thing", want: list{converge.Package{Name: "lab-thing", Version: "2.0-1"}},
			look: "dpkg-query -W -f '${Version}\n' lab-thing; apt-mark showhold", sees: "2.0-1\nlab-thing\n"},
		{name: "a held package that shall go", want: list{converge.Package{Name: "lab-thing", Absent: true}}, look: "dpkg-query -W -f '${db:Status-Status}\n' lab-thing || echo none", sees: "none\n"},
		{name: "a package of an architecture", want: list{converge.Package{Name: "libc6:" + runtime.GOARCH}, converge.Package{Name: "lab-thing:" + runtime.GOARCH}},
			look: "dpkg-query -W -f '${Version}\n' lab-thing", sees: "2.0-1\n"},
		{name: "a real package that another one provides", prepare: repository("lab-two 1.0 lab-three", "lab-three 1.0") + "apt-get -q update; apt-get -qy install lab-two",
			want: list{converge.Package{Name: "lab-three"}}, look: "dpkg-query -W -f '${Version}\n' lab-three", sees: "1.0\n"},
		{name: "lists older than the mirror", prepare: repository("lab-old 1.0") + "apt-get -q update\n" + repository("lab-old 1.1"), want: list{converge.Package{Name: "lab-old"}},
			look: "dpkg-query -W -f '${Version}\n' lab-old", sees: "1.1\n"},
		{name: "lists that are locked", prepare: repository("lab-first 1.0") + `rm -rf /var/lib/apt/lists; mkdir -p /var/lib/apt/lists
perl -e 'open F, ">", "/var/lib/apt/lists/lock"; $l = pack("s s x4 q q l x4", 1, 0, 0, 0, 0); fcntl(F, 6, $l) or die $!; open G, ">", "/srv/locked"; sleep 6' > /dev/null 2>&1 &
for i in $(seq 300); do [ ! -e /srv/locked ] || break; sleep 0.1; done; [ -e /srv/locked ]`, want: list{converge.Package{Name: "lab-first"}}, look: "dpkg-query -W -f '${Version}\n' lab-first", sees: "1.0\n"},

		{name: "a kernel parameter with slashes", want: list{converge.Sysctl{Key: "kernel/domainname", Value: "one.example"}},
			look: "cat /proc/sys/kernel/domainname; echo x > /proc/sys/kernel/domainname; /lib/systemd/systemd-sysctl 2> /dev/null || true; cat /proc/sys/kernel/domainname", sees: "one.example\none.example\n"},
		{name: "a kernel parameter that a later file sets", prepare: "echo kernel/domainname=other > /etc/sysctl.d/99-lab.conf", want: list{converge.Sysctl{Key: "kernel.domainname", Value: "two.example"}},
			look: "echo x > /proc/sys/kernel/domainname; /lib/systemd/systemd-sysctl 2> /dev/null || true; cat /proc/sys/kernel/domainname", sees: "two.example\n"},
		{name: "a kernel parameter that the last file sets", prepare: "echo kernel.domainname = other > /etc/sysctl.d/zzz.conf", want: list{converge.Sysctl{Key: "kernel.domainname", Value: "two.example"}},
			err: "/etc/sysctl.d/zzz.conf sets it to other"},

		{name: "options of a mount", prepare: "mkdir /srv/mem; echo 'tmpfs /srv/mem tmpfs size=1m,mode=700 0 0' >> /etc/fstab; mount /srv/mem; touch /srv/mem/kept",
			want: list{converge.Mount{Path: "/srv/mem", Device: "tmpfs", Type: "tmpfs", Options: "size=2m,nosuid,mode=700"}},
			look: "grep ' /srv/mem ' /proc/mounts | sed s/,inode64//; ls /srv/mem", sees: "tmpfs /srv/mem tmpfs rw,nosuid,relatime,size=2048k,mode=700 0 0\nkept\n"},
		{name: "options of a mount that somebody changed", prepare: "mount -o remount,suid,ro,size=3m tmpfs /srv/mem",
			want: list{converge.Mount{Path: "/srv/mem", Device: "tmpfs", Type: "tmpfs", Options: "size=2m,nosuid,mode=700"}},
			look: "grep ' /srv/mem ' /proc/mounts | sed s/,inode64//; ls /srv/mem", sees: "tmpfs /srv/mem tmpfs rw,nosuid,relatime,size=2048k,mode=700 0 0\nkept\n"},
		{name: "another device of a mount", want: list{converge.Mount{Path: "/srv/mem", Device: "other", Type: "tmpfs", Options: "size=2m,mode=700"}},
			look: "grep ' /srv/mem ' /proc/mounts | sed s/,inode64//", sees: "other /srv/mem tmpfs rw,relatime,size=2048k,mode=700 0 0\n"},

		{name: "a checkout into an empty folder, with its submodules", prepare: "mkdir /srv/work", want: list{checkout}, look: tidy, sees: " \n1\n1\n"},
		{name: "a checkout with local edits", prepare: "echo mine > /srv/work/f", want: list{checkout}, look: tidy, sees: " \n1\n1\n"},
		{name: "a checkout with edits in a submodule", prepare: "echo mine > /srv/work/sub/s", want: list{checkout}, look: tidy, sees: " \n1\n1\n"},
		{name: "a checkout whose submodule is elsewhere", prepare: git + "cd /srv/work/sub; echo 2 > s; git commit -qam two", want: list{checkout}, look: tidy, sees: " \n1\n1\n"},
		{name: "a checkout of somebody by number", prepare: "useradd -u 4712 -m num", want: list{converge.Checkout{Path: "/home/num/c", Repo: checkout.Repo, Commit: commit, Owner: "4712"}},
			look: "stat -c %U /home/num/c /home/num/c/f; cat /home/num/c/sub/s", sees: "num\nnum\n1\n"},

		{name: "a home that moves", prepare: "useradd -m mover; echo hers > /home/mover/file", want: list{converge.User{Name: "mover", Home: "/srv/mover"}},
			look: "cat /srv/mover/file; ls -d /home/mover 2> /dev/null || echo gone", sees: "hers\ngone\n"},
		{name: "a home that moves where something is", prepare: "mkdir /srv/there", want: list{converge.User{Name: "mover", Home: "/srv/there"}}, err: "/srv/there is there already"},
		{name: "a home that was never theirs", prepare: "useradd -d /var/lib shared", want: list{converge.User{Name: "shared", Home: "/srv/shared"}},
			look: "ls -d /var/lib; getent passwd shared | cut -d: -f6", sees: "/var/lib\n/srv/shared\n"},
		{name: "a group, then the user of that name", want: list{converge.Group{Name: "twin"}, converge.User{Name: "twin"}}, look: "id -gn twin", sees: "twin\n"},

		{name: "groups by number", want: list{converge.User{Name: "bynum", Group: "100", Groups: []string{"4"}}}, look: "id -Gn bynum", sees: "users adm\n"},
		{name: "other groups by number", want: list{converge.User{Name: "bynum", Group: "33", Groups: []string{"4", "24"}}}, look: "id -Gn bynum", sees: "www-data adm cdrom\n"},

		{name: "a password", want: list{converge.User{Name: "pw", Password: "$6$saltsalt$one"}}, look: "getent shadow pw | cut -d: -f2", sees: "$6$saltsalt$one\n"},
		{name: "a password that changes", want: list{converge.User{Name: "pw", Shell: "/bin/sh", Password: "$6$saltsalt$two"}}, look: "getent shadow pw | cut -d: -f2; getent passwd pw | cut -d: -f7", sees: "$6$saltsalt$two\n/bin/sh\n"},
		{name: "a password that is none", want: list{converge.User{Name: "pw", Password: "*"}}, look: "getent shadow pw | cut -d: -f2", sees: "*\n"},
		{name: "a password in clear", want: list{converge.User{Name: "pw", Password: "hunter2"}}, err: "user pw: the password is no hash of one; `openssl passwd -6` makes it"},
		{name: "a function as an action", want: list{converge.Command{Name: "f", Unless: "test -e /srv/f", Do: func(ctx context.Context, h converge.Host) error {
			_, _, _, err := h.Sh(ctx, "echo f > /srv/f")
			return err
		}}}, look: "cat /srv/f", sees: "f\n"},

		{name: "a line of a file with CRLF", prepare: `printf 'a=1\r\nb=2\r\n' > /srv/crlf`, want: list{converge.Line{Path: "/srv/crlf", Line: "a=1"}, converge.Line{Path: "/srv/crlf", Line: "b=3", Instead: "b="}},
			look: "od -An -c /srv/crlf | tr -d ' '", sees: `a=1\r\nb=3\r\n` + "\n"},
		{name: "no line of a file with CRLF", want: list{converge.Line{Path: "/srv/crlf", Line: "a=1", Absent: true}}, look: "od -An -c /srv/crlf | tr -d ' '", sees: `b=3\r\n` + "\n"},
		{name: "a line behind another of its kind", prepare: `printf 'Port 2\nx\nPort 22\n' > /srv/lines`, want: list{converge.Line{Path: "/srv/lines", Line: "Port 22", Instead: "Port "}}, look: "cat /srv/lines", sees: "Port 22\nx\n"},
		{name: "a line before another of its kind", prepare: `printf 'Port 22\nx\nPort 2\n' > /srv/lines`, want: list{converge.Line{Path: "/srv/lines", Line: "Port 22", Instead: "Port "}}, look: "cat /srv/lines", sees: "Port 22\nx\n"},

		{name: "a cron entry", prepare: "echo '@daily theirs' | crontab -", want: list{converge.Cron{Name: "lab", When: "*/5 * * * *", Command: "ours"}}, look: "crontab -l | grep -v '^#'", sees: "@daily theirs\n*/5 * * * * ours\n"},
		{name: "a cron entry that is changed", want: list{converge.Cron{Name: "lab", When: "@weekly", Command: "ours 2"}}, look: "crontab -l | grep -v '^#'", sees: "@daily theirs\n@weekly ours 2\n"},
		{name: "a cron entry of others under our mark", prepare: "crontab -l | sed '/^# converge/a @hourly inserted' | crontab -", want: list{converge.Cron{Name: "lab", When: "@weekly", Command: "ours 3"}},
			look: "crontab -l | grep -v '^#'", sees: "@daily theirs\n@weekly ours 3\n@hourly inserted\n"},
		{name: "a cron entry whose time somebody changed", prepare: "crontab -l | sed 's/@weekly/@monthly/' | crontab -", want: list{converge.Cron{Name: "lab", When: "@weekly", Command: "ours 3"}},
			look: "crontab -l | grep -v '^#'", sees: "@daily theirs\n@weekly ours 3\n@hourly inserted\n"},
		{name: "no cron entry where others wrote under our mark", prepare: "crontab -l | grep -v 'ours 3' | crontab -", want: list{converge.Cron{Name: "lab", Absent: true}},
			look: "crontab -l | grep -v '^# ' ", sees: "@daily theirs\n@hourly inserted\n"},
		{name: "a cron entry of others with our command", prepare: "printf '# converge: lab\\n@daily same\\n@hourly same\\n' | crontab -", want: list{converge.Cron{Name: "lab", When: "@daily", Command: "same"}},
			look: "crontab -l | grep -v '^# '", sees: "@daily same\n@hourly same\n"},
		{name: "a cron entry under a mark of before", prepare: "printf '# converge: lab\n@daily old\nCONVERGE\n' | sed 's/^CONVERGE/@daily CONVERGE/' | crontab -", want: list{converge.Cron{Name: "lab", When: "@daily", Command: "new"}},
			look: "crontab -l | grep -v '^#'", sees: "@daily new\n@daily CONVERGE\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh(c.prepare)
			want := func(n *converge.Node) error { n.Want(c.want...); return nil }
			rep := up(t, []converge.Target{target}, want, converge.Options{Cycles: 3})
			if c.err != "" {
				if !strings.Contains(rep.Hosts[0].Error, c.err) || rep.Changed() > 0 {
					t.Errorf("%+v, want %q", rep.Hosts[0], c.err)
				}
				return
			}
			if len(rep.Failed()) > 0 {
				t.Errorf("first: %+v", rep.Hosts[0])
			}
			if got := sh(c.look); got != c.sees {
				t.Errorf("%s says\n%s\nwant\n%s", c.look, got, c.sees)
			}
			if rep := up(t, []converge.Target{target}, want, converge.Options{Cycles: 3}); len(rep.Failed()) > 0 || rep.Changed() > 0 {
				t.Errorf("second: %+v", rep.Hosts[0])
			}
		})
	}

	t.Run("an rpm with an epoch", func(t *testing.T) {
		sh(`cat > /tmp/x.spec <<'S'
Name: lab-rpm
Epoch: 2
Version: 1.5
Release: 3
Summary: x
License: x
BuildArch: noarch
Provides: lab-rpm-virtual
%description
x
%files
S
rpmbuild -bb --define '_topdir /tmp/rpm' /tmp/x.spec; rpm -i --nodeps /tmp/rpm/RPMS/noarch/*.rpm
mv /usr/bin/dpkg-query /usr/bin/dpkg-query.away`)
		defer sh("mv /usr/bin/dpkg-query.away /usr/bin/dpkg-query")
		for _, p := range []converge.Package{{Name: "lab-rpm", Version: "2:1.5-3"}, {Name: "lab-rpm", Version: "1.5-3"}, {Name: "lab-rpm", Version: "1.5"}, {Name: "lab-rpm", Version: "1.*"}, {Name: "lab-rpm"}} {
			if rep := up(t, []converge.Target{target}, func(n *converge.Node) error { n.Want(p); return nil }, converge.Options{Check: true}); !rep.Hosts[0].Stable {
				t.Errorf("%+v: %+v", p, rep.Hosts[0])
			}
		}
		if rep := up(t, []converge.Target{target}, func(n *converge.Node) error {
			n.Want(converge.Package{Name: "lab-rpm", Version: "1:1.5-3"})
			return nil
		}, converge.Options{Check: true}); rep.Hosts[0].Stable {
			t.Errorf("another epoch passes: %+v", rep.Hosts[0])
		}
	})

	t.Run("a hold is not lost when we are killed", func(t *testing.T) {
		sh(repository("lab-held 1.0", "lab-held 2.0") + "apt-get -q update; apt-get -qy install lab-held=1.0; apt-mark hold lab-held")
		dying := target
		dying.Dial = func(ctx context.Context) (converge.Host, func(), error) {
			h, done, err := target.Dial(ctx)
			return killedBefore{h, "e=$?"}, done, err
		}
		want := func(n *converge.Node) error { n.Want(converge.Package{Name: "lab-held", Version: "2.0"}); return nil }
		look := func() string { return sh("dpkg-query -W -f '${Version} ' lab-held; apt-mark showhold") }
		if rep := up(t, []converge.Target{dying}, want, converge.Options{}); rep.Hosts[0].Stable || look() != "2.0 " {
			t.Fatalf("it was not killed: %s", look())
		}
		if rep := up(t, []converge.Target{target}, want, converge.Options{}); !rep.Hosts[0].Stable || look() != "2.0 lab-held\n" {
			t.Errorf("%s, %s", rep.Hosts[0].Error, look())
		}
	})

	t.Run("a new user logs in where sshd goes without PAM", func(t *testing.T) {
		_, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := gossh.NewSignerFromKey(priv)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key.PublicKey())))
		rep := up(t, []converge.Target{target}, func(n *converge.Node) error {
			n.Want(converge.User{Name: "newcomer", Shell: "/bin/sh"}, converge.AuthorizedKey{User: "newcomer", Key: line})
			return nil
		}, converge.Options{})
		if len(rep.Failed()) > 0 {
			t.Fatalf("%+v", rep)
		}
		const addr = "127.96.7.1:22"
		sh("mkdir -p /run/sshd; /usr/sbin/sshd -o UsePAM=no -o ListenAddress=" + addr + " -o PidFile=/run/lab-sshd.pid")
		host, _, _, _, err := gossh.ParseAuthorizedKey([]byte(sh("cat /etc/ssh/ssh_host_ed25519_key.pub")))
		if err != nil {
			t.Fatal(err)
		}
		c, err := remote.Dial(t.Context(), remote.Target{Addr: addr, User: "newcomer", Signers: []gossh.Signer{key}, HostKeys: remote.Pinned{host}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if out, _, _, err := (remote.Shell{Client: c}).Sh(t.Context(), "id -un"); err != nil || out != "newcomer\n" {
			t.Errorf("%q %v", out, err)
		}
	})

	t.Run("what fails in the middle, or is killed there, owes nothing in the end", func(t *testing.T) {
		sh(unit("lab-owed.service", "[Service]\nExecStart=/bin/sh -c 'exec sleep $(cat /etc/lab-owed)'\n") + "echo 1111 > /etc/lab-owed; systemctl start lab-owed")
		runs := func() string { // once its shell has become the command
			return sh("for i in $(seq 600); do a=$(ps -o args= -p $(systemctl show -P MainPID lab-owed)); case $a in sleep*) break ;; esac; sleep 0.1; done; echo \"$a\"")
		}
		broken := true
		want := func(seconds int) converge.Configurator {
			return func(n *converge.Node) error {
				n.Want(converge.File{Path: "/etc/lab-owed", Content: fmt.Sprintf("%d\n", seconds), OnChange: "systemctl restart lab-owed"})
				if broken {
					n.Want(converge.Command{Name: "break", Unless: "false", Run: "exit 3"})
				}
				return nil
			}
		}
		for i, args := range []string{"sleep 1111\n", "sleep 2222\n"} { // the change, and the next run, which fails still
			if rep := up(t, []converge.Target{target}, want(2222), converge.Options{}); len(rep.Failed()) != 1 || runs() != args {
				t.Errorf("%d: %+v, %s", i, rep.Hosts[0], runs())
			}
		}
		broken = false
		if rep := up(t, []converge.Target{target}, want(2222), converge.Options{}); rep.Changed() != 0 || !rep.Hosts[0].Stable {
			t.Errorf("then: %+v", rep.Hosts[0])
		}
		// We are killed as soon as the file is there.
		dying := target
		dying.Dial = func(ctx context.Context) (converge.Host, func(), error) {
			h, done, err := target.Dial(ctx)
			return &mortal{Host: h}, done, err
		}
		if rep := up(t, []converge.Target{dying}, want(3333), converge.Options{}); len(rep.Failed()) != 1 || runs() != "sleep 2222\n" || sh("cat /etc/lab-owed") != "3333\n" {
			t.Errorf("killed: %+v, %s", rep.Hosts[0], runs())
		}
		for i, n := range []int{1, 0} {
			if rep := up(t, []converge.Target{target}, want(3333), converge.Options{}); rep.Changed() != n || !rep.Hosts[0].Stable || runs() != "sleep 3333\n" {
				t.Errorf("after that, %d: %+v, %s", i, rep.Hosts[0], runs())
			}
		}
	})
}

// mortal is a host that nobody reaches any more once something was written on it.
type mortal struct {
	converge.Host
	dead bool
}

func (m *mortal) Sh(ctx context.Context, script string) (string, string, int, error) {
	if m.dead {
		return "", "", 0, errors.New("killed")
	}
	m.dead = strings.Contains(script, "mv -fT")
	return m.Host.Sh(ctx, script)
}

// TestResourcesOnSystemd brings each kind of resource that needs systemd, or cron, to where it is wanted, finds it
// there, and away again.
func TestResourcesOnSystemd(t *testing.T) {
	target, sh := debian(t)
	sh(repository("lab-thing 1.0") + unit("lab-svc.service", "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"))
	const key = keyOne + " alice"
	want := []converge.Resource{
		converge.Group{Name: "ops", GID: 4242}, converge.User{Name: "dora", UID: 4243, Shell: "/bin/sh", Home: "/srv/dora", Groups: []string{"ops"}},
		converge.AuthorizedKey{User: "dora", Key: key}, converge.File{Path: "/etc/lab", Content: "x\n", Mode: "0640"}, converge.Line{Path: "/etc/lab2", Line: "y"},
		converge.Directory{Path: "/srv/d", Mode: "2750"}, converge.Link{Path: "/srv/l", To: "d"}, converge.Package{Name: "lab-thing"}, converge.Service{Name: "lab-svc"},
		converge.Mount{Path: "/srv/mem", Device: "tmpfs", Type: "tmpfs", Options: "size=1m"}, converge.Cron{Name: "tick", When: "* * * * *", Command: "touch /srv/ticked"},
		converge.Command{Name: "mark", Run: "echo > /srv/mark", Unless: "test -e /srv/mark"},
	}
	away := []converge.Resource{
		converge.Service{Name: "lab-svc", Stopped: true, Disabled: true}, converge.AuthorizedKey{User: "dora", Key: key, Absent: true}, converge.Cron{Name: "tick", Absent: true},
		converge.Mount{Path: "/srv/mem", Absent: true}, converge.Package{Name: "lab-thing", Absent: true}, converge.Link{Path: "/srv/l", Absent: true}, converge.Directory{Path: "/srv/d", Absent: true},
		converge.File{Path: "/etc/lab", Absent: true}, converge.Line{Path: "/etc/lab2", Line: "y", Absent: true}, converge.User{Name: "dora", Absent: true}, converge.Group{Name: "ops", Absent: true},
	}
	both := func(list []converge.Resource) {
		t.Helper()
		for i := range 2 {
			rep := up(t, []converge.Target{target}, func(n *converge.Node) error { n.Want(list...); return nil }, converge.Options{})
			if len(rep.Failed()) > 0 || !rep.Hosts[0].Stable || (rep.Changed() > 0) != (i == 0) {
				t.Errorf("%d: %+v", i, rep.Hosts[0])
			}
		}
	}
	both(want)
	// The entry of cron is one: cron runs it within its minute.
	for deadline := time.Now().Add(real.Patience(3 * time.Minute)); strings.TrimSpace(sh("ls /srv/ticked 2> /dev/null || true")) == ""; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatalf("cron does not run it: %s", sh("crontab -l; systemctl status cron || true"))
		}
	}
	both(away)
}
