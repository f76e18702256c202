package converge_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/converge"
	"github.com/jarvisops/jarvis/lab/real"
)

// rpms gives a script that makes a repository of packages in /srv/repo, and forgets what was known of it. Lines are
// "NAME EVR [REST]": an epoch is optional, and REST are lines of the spec, with | between them. A package named …d has
// a service of its name.
func rpms(lines ...string) string {
	return `rm -rf /srv/repo /tmp/rpm; mkdir -p /srv/repo /etc/yum.repos.d
printf '[lab]\nname=lab\nbaseurl=file:///srv/repo\n' > /etc/yum.repos.d/lab.repo
while read -r name evr rest; do
  epoch=0 vr=$evr
  case $evr in *:*) epoch=${evr%%:*} vr=${evr#*:} ;; esac
  digits=$(printf %s "${vr%-*}" | tr -d .)
  { printf 'Name: %s\nEpoch: %s\nVersion: %s\nRelease: %s\nSummary: x\nLicense: x\nBuildArch: noarch\n' "$name" "$epoch" "${vr%-*}" "${vr#*-}"
    printf '%s\n' "$rest" | tr '|' '\n'
    printf '%%description\nx\n'
    case $name in
    *d) printf '%%install\nmkdir -p %%{buildroot}/usr/lib/systemd/system\nprintf "[Service]\\nType=exec\\nExecStart=/bin/sleep 1%s\\n[Install]\\nWantedBy=multi-user.target\\n" > %%{buildroot}/usr/lib/systemd/system/%s.service\ntouch -d @17000001%s %%{buildroot}/usr/lib/systemd/system/%s.service\n%%files\n/usr/lib/systemd/system/%s.service\n' "$digits" "$name" "$digits" "$name" "$name" ;; # by the time of the file systemd sees that it is another one
    *) printf '%%files\n' ;;
    esac; } > /tmp/x.spec
  rpmbuild -bb --define '_topdir /tmp/rpm' /tmp/x.spec > /tmp/rpmbuild.log 2>&1 || { cat /tmp/rpmbuild.log; exit 1; }
done <<'LIST'
` + strings.Join(lines, "\n") + "\nLIST\ncp /tmp/rpm/RPMS/noarch/*.rpm /srv/repo; createrepo_c -q /srv/repo\n"
}

// TestShapesOfDnf: on a host whose packages are dnf's, what has several shapes is brought where it is wanted from each
// of them, and the second run is silent.
func TestShapesOfDnf(t *testing.T) {
	h, err := real.StartDnfHost(t.Context(), "rpm1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	target := converge.Target{Name: "rpm1", Dial: func(context.Context) (converge.Host, func(), error) { return h, func() {}, nil }}
	sh := func(script string) string {
		t.Helper()
		out, errs, exit, err := h.Sh(t.Context(), "set -e\n"+script)
		if err != nil || exit != 0 {
			t.Fatalf("%s: exit %d %v %s%s", script, exit, err, out, errs)
		}
		return out
	}
	all := []string{"lab-thing 1.0-1", "lab-thing 2:1.5-3", "lab-thing 2:2.0-1", "lab-one 1.0-1 Provides: lab-virtual", "lab-two 1.0-1 Provides: lab-three", "lab-three 1.0-1", "lab-needs 1.0-1 Requires: lab-dep",
		"lab-dep 1.0-1", "lab-svcd 1.0-1", "lab-svcd 1.1-1"}
	sh(rpms(all...))
	f, rep := factsOf(t, target, converge.Options{})
	if !rep.Stable || f.PackageManager != "dnf" || f.Init != "systemd" || f.OS.Family != "redhat" || f.OS.Major != "9" || f.Virtual != "container-other" && f.Virtual != "lab" || f.Hostname != "rpm1" {
		t.Errorf("%+v\n%s", f, rep.Error)
	}
	const version, locks = `rpm -q --qf '%{EPOCH}:%{VERSION}-%{RELEASE}\n' lab-thing`, "; grep -v '^#' /etc/dnf/plugins/versionlock.list | tr -d '\n'"
	thing := func(version string) []converge.Resource {
		return []converge.Resource{converge.Package{Name: "lab-thing", Version: version}}
	}
	for _, c := range []struct {
		name, prepare string
		want          []converge.Resource
		look, sees    string
		err           string
	}{
		{name: "a version", want: thing("1.0"), look: version, sees: "0:1.0-1\n"},
		{name: "a glob, to what is newer", want: thing("1.5*"), look: version, sees: "2:1.5-3\n"},
		{name: "an epoch, a version and a release", want: thing("2:2.0-1"), look: version, sees: "2:2.0-1\n"},
		{name: "an older version", want: thing("1.0-1"), look: version, sees: "0:1.0-1\n"},
		{name: "an older version of a later epoch", prepare: "dnf -q -y install lab-thing-2.0", want: thing("2:1.5-3"), look: version, sees: "2:1.5-3\n"},
		{name: "any version that is there", want: thing(""), look: version, sees: "2:1.5-3\n"},
		{name: "a held package that fits", prepare: "dnf -q versionlock add lab-thing", want: thing("1.*"), look: version + locks, sees: "2:1.5-3\nlab-thing-2:1.5-3.*"},
		{name: "a held package", want: thing("2.0"), look: version + locks, sees: "2:2.0-1\nlab-thing-2:2.0-1.*"},
		{name: "a held package that cannot be changed", want: thing("9.9"), err: "lab-thing-9.9"},
		{name: "which is held as before", want: thing("2.0"), look: version + locks, sees: "2:2.0-1\nlab-thing-2:2.0-1.*"},
		{name: "a held package that shall go", want: []converge.Resource{converge.Package{Name: "lab-thing", Absent: true}}, look: "rpm -q lab-thing || true" + locks, sees: "package lab-thing is not installed\n"},
		{name: "a package that another lock is not for", prepare: "dnf -q versionlock add lab-dep; dnf -q -y install lab-one", want: thing("1.0"), look: version + locks + "; : > /etc/dnf/plugins/versionlock.list", sees: "0:1.0-1\nlab-dep-0:1.0-1.*"},
		{name: "a package of an architecture", prepare: "dnf -q -y remove lab-thing", want: []converge.Resource{converge.Package{Name: "lab-thing:noarch", Version: "1.5"}}, look: version, sees: "2:1.5-3\n"},
		{name: "an older one of an architecture", want: []converge.Resource{converge.Package{Name: "lab-thing:noarch", Version: "1.0-1"}}, look: version, sees: "0:1.0-1\n"},
		{name: "a virtual package", prepare: "dnf -q -y remove lab-one", want: []converge.Resource{converge.Package{Name: "lab-virtual"}}, look: "rpm -q lab-one", sees: "lab-one-1.0-1.noarch\n"},
		{name: "a real package that another one provides", prepare: "dnf -q -y install lab-two", want: []converge.Resource{converge.Package{Name: "lab-three"}}, look: "rpm -q lab-three", sees: "lab-three-1.0-1.noarch\n"},
		{name: "a package that needs another", want: []converge.Resource{converge.Package{Name: "lab-needs"}}, look: "rpm -q lab-dep", sees: "lab-dep-1.0-1.noarch\n"},
		{name: "and away with what needs it", want: []converge.Resource{converge.Package{Name: "lab-dep", Absent: true}}, look: "rpm -q lab-needs lab-dep || true", sees: "package lab-needs is not installed\npackage lab-dep is not installed\n"},
		{name: "none that was never there", want: []converge.Resource{converge.Package{Name: "lab-never", Absent: true}}, look: "true"},
		{name: "a package that is not", want: []converge.Resource{converge.Package{Name: "lab-never"}}, err: "install the package lab-never: Error: Unable to find a match: lab-never"},
		{name: "a pattern as a name", want: []converge.Resource{converge.Package{Name: "lab-*"}}, err: `"lab-*" is a pattern; a package has a name`},
		{name: "lists older than the mirror", prepare: "dnf -q -y remove lab-thing\n" + rpms("lab-thing 3.0-1"), want: thing(""), look: version, sees: "0:3.0-1\n"},
		{name: "lists that somebody else works on", prepare: rpms(append(all, "lab-late 1.0-1")...) + "dnf -q clean all > /dev/null; mkdir -p /var/cache/dnf\nsleep 4 > /dev/null 2>&1 & echo $! > /var/cache/dnf/metadata_lock.pid",
			want: []converge.Resource{converge.Package{Name: "lab-late"}}, look: "rpm -q lab-late", sees: "lab-late-1.0-1.noarch\n"},

		{name: "a package and its service", want: []converge.Resource{converge.Package{Name: "lab-svcd", Version: "1.0"}, converge.Service{Name: "lab-svcd"}},
			look: "systemctl is-enabled lab-svcd; systemctl is-active lab-svcd", sees: "enabled\nactive\n"},
		{name: "a service that somebody stopped", prepare: "systemctl disable -q --now lab-svcd", want: []converge.Resource{converge.Package{Name: "lab-svcd", Version: "1.0"}, converge.Service{Name: "lab-svcd"}},
			look: "systemctl is-enabled lab-svcd; systemctl is-active lab-svcd", sees: "enabled\nactive\n"},
		{name: "a newer package, whose unit systemd has not read", want: []converge.Resource{converge.Package{Name: "lab-svcd", Version: "1.1"}, converge.Service{Name: "lab-svcd"}},
			look: "systemctl show -P NeedDaemonReload lab-svcd; systemctl restart lab-svcd; ps -o args= -p $(systemctl show -P MainPID lab-svcd)", sees: "no\n/bin/sleep 111\n"},
		{name: "a service that shall not run", want: []converge.Resource{converge.Service{Name: "lab-svcd", Stopped: true, Disabled: true}},
			look: "systemctl is-enabled lab-svcd || true; systemctl is-active lab-svcd || true", sees: "disabled\ninactive\n"},
		{name: "its package shall go", want: []converge.Resource{converge.Package{Name: "lab-svcd", Absent: true}, converge.Service{Name: "lab-svcd", Stopped: true, Disabled: true}}, look: "rpm -q lab-svcd || true", sees: "package lab-svcd is not installed\n"},
	} {
		ok := t.Run(c.name, func(t *testing.T) {
			sh(c.prepare)
			want := func(n *converge.Node) error { n.Want(c.want...); return nil }
			rep := up(t, []converge.Target{target}, want, converge.Options{Cycles: 3}).Hosts[0]
			if c.err != "" {
				if !strings.Contains(rep.Error, c.err) || len(rep.Done) > 0 {
					t.Errorf("%q %d done, want %q", rep.Error, len(rep.Done), c.err)
				}
				return
			}
			if !rep.Stable {
				t.Fatalf("first: %s %v %s", rep.Error, rep.Unsettled, descs(rep.Missing))
			}
			if got := sh(c.look); got != c.sees {
				t.Errorf("%s says\n%s\nwant\n%s", c.look, got, c.sees)
			}
			if rep := up(t, []converge.Target{target}, want, converge.Options{Cycles: 3}).Hosts[0]; !rep.Stable || len(rep.Done) > 0 || rep.Exchanges != 1 {
				t.Errorf("second: %s %s, %d exchanges", rep.Error, descs(rep.Done), rep.Exchanges)
			}
		})
		if !ok {
			t.Log(sh("dnf -q versionlock list; rpm -qa 'lab*'"))
		}
	}

	// We are killed when the package is no longer held, and not yet again: the next run holds it.
	t.Run("a hold is not lost", func(t *testing.T) {
		sh("dnf -q -y install lab-thing-2:1.5; : > /etc/dnf/plugins/versionlock.list; dnf -q versionlock add lab-thing")
		dying := target
		dying.Dial = func(context.Context) (converge.Host, func(), error) { return killedBefore{h, "e=$?"}, func() {}, nil }
		want := func(n *converge.Node) error { n.Want(thing("2.0")...); return nil }
		if rep := up(t, []converge.Target{dying}, want, converge.Options{}).Hosts[0]; rep.Stable {
			t.Errorf("it was not killed: %s", descs(rep.Done))
		}
		if got := sh(version + locks); got != "2:2.0-1\n" {
			t.Fatalf("it was killed elsewhere: %s", got)
		}
		if rep := up(t, []converge.Target{target}, want, converge.Options{}).Hosts[0]; !rep.Stable || sh(version+locks) != "2:2.0-1\nlab-thing-2:2.0-1.*" {
			t.Errorf("%s, %s", rep.Error, sh(version+locks))
		}
	})
}

func descs(list []converge.Action) string {
	var out []string
	for _, a := range list {
		out = append(out, a.Desc)
	}
	return strings.Join(out, "; ")
}

// killedBefore is a host that goes away where a script comes to a line that begins so.
type killedBefore struct {
	converge.Host
	line string
}

func (k killedBefore) Sh(ctx context.Context, script string) (string, string, int, error) {
	return k.Host.Sh(ctx, strings.Replace(script, "\n"+k.line, "\nexit 137\n"+k.line, 1))
}
