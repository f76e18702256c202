package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// plainLogin has all hosts know a login that is not root, and that sudo lets do anything.
func (c *carrying) plainLogin(t *testing.T) {
	t.Helper()
	for i := range c.hosts {
		c.inside(t, i+1, `useradd -m -s /bin/sh -p '*' plain; mkdir -p /home/plain/.ssh; cp /root/.ssh/authorized_keys /home/plain/.ssh; chown -R plain: /home/plain
mkdir -p /etc/sudoers.d; echo 'plain ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/plain; chmod 440 /etc/sudoers.d/plain`)
	}
}

// filesWays is how files go: by the connections of a server, and by our own.
var filesWays = map[string][]string{"by the server": nil, "from here": {"--direct"}}

// The fault: what the login may not read was not there, and nothing said what to do.
func TestFetchOfWhatTheLoginMayNotRead(t *testing.T) {
	c := newCarrying(t, 1, 147)
	c.plainLogin(t)
	c.inside(t, 1, "mkdir -p /srv/shut; echo a > /srv/shut/a; echo b > /srv/b; chmod 700 /srv/shut; chmod 600 /srv/b")
	for way, more := range filesWays {
		t.Run(way, func(t *testing.T) {
			fetch := func(args ...string) (int, string, string) {
				return c.jarvis(t, append(append([]string{"fetch"}, more...), args...)...)
			}
			for path, want := range map[string]string{
				"/srv/shut/a":  "jarvis: plain@web1: /srv/shut/a: /srv/shut may not be entered by plain; -x reads as root there (sudo)\n",
				"/srv/shut/*":  "jarvis: plain@web1: /srv/shut/*: /srv/shut may not be entered by plain; -x reads as root there (sudo)\n",
				"/srv/b":       "jarvis: plain@web1: b may not be read by plain; -x reads as root there (sudo)\n",
				"/srv/nowhere": "jarvis: plain@web1: /srv/nowhere: no such file\n",
			} {
				if code, out, errs := fetch("-o", "plain@web1", path); code != 1 || out != "" || errs != want {
					t.Errorf("%s: exit %d\n%s%s", path, code, out, errs)
				}
			}
			if code, out, _ := fetch("--json", "-o", "plain@web1", "/srv/b"); code != 1 || !strings.Contains(out, `"error":"b may not be read by plain; -x reads as root there (sudo)"`) {
				t.Errorf("exit %d: %s", code, out)
			}
			to := t.TempDir()
			if code, out, errs := fetch("-x", "-r", to, "-o", "plain@web1", "/srv/shut/*", "/srv/b"); code != 0 {
				t.Errorf("exit %d: %s%s", code, out, errs)
			}
			local(t, "cd '"+to+"'; [ \"$(cat a b)\" = \"$(printf 'a\\nb')\" ]")
		})
	}
}

// objects reads what --json prints.
func objects(t *testing.T, out string) (list []map[string]any) {
	t.Helper()
	for l := range strings.Lines(out) {
		var m map[string]any
		if err := json.Unmarshal([]byte(l), &m); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(a, b map[string]any) int { return strings.Compare(a["node"].(string), b["node"].(string)) })
	return list
}

// What went where, how much of it, and how long it took, for programs and for people.
func TestFilesTellWhatTheyDid(t *testing.T) {
	c := newCarrying(t, 2, 148)
	local(t, "mkdir -p d/e; echo a > d/a; echo b > d/e/b; echo c > d/c")
	for way, more := range filesWays {
		t.Run(way, func(t *testing.T) {
			run := func(want int, args ...string) (out, errs string) {
				t.Helper()
				code, out, errs := c.jarvis(t, append(append([]string{args[0]}, more...), args[1:]...)...)
				if code != want {
					t.Errorf("%q: exit %d\n%s%s", args, code, out, errs)
				}
				return out, errs
			}
			c.inside(t, 1, "rm -rf /srv/* /var/run/orgalorg /root/up")
			c.inside(t, 2, "rm -rf /srv/* /root/up")
			// A dry run changes nothing, not even a directory, and heeds no lock.
			out, errs := run(0, "upload", "--dry-run", "-o", "web[1-2]", "-e", "-r", "/srv/up", "d/a")
			if sorted(out) != "nothing was changed: 2 of 2 hosts would get something in /srv/up\nweb1: would get d/a\nweb2: would get d/a" || errs != "" || c.inside(t, 1, "ls /srv") != "" {
				t.Errorf("%s%s%s", out, errs, c.inside(t, 1, "ls /srv"))
			}
			run(0, "upload", "-o", "web1", "-e", "-r", "/srv/up", "d")
			run(0, "upload", "-o", "web2", "-e", "-r", "/srv/up", "d/a", "d/c")
			c.inside(t, 1, "echo other > /srv/up/d/c")
			out, _ = run(0, "upload", "--dry-run", "--json", "-o", "web[1-2]", "-e", "-r", "/srv/up", "d")
			var would []string
			for _, o := range objects(t, out) {
				switch o["stream"] {
				case "would-send":
					would = append(would, o["node"].(string)+" "+o["body"].(string))
				case "exit":
					if o["dry_run"] != true || o["directory"] != "/srv/up" || o["sent"] != 0.0 || o["lacks"].(float64)+o["had"].(float64) != 5 {
						t.Errorf("%v", o)
					}
				}
			}
			if got := strings.Join(would, ", "); got != "web1 d/, web1 d/c, web2 d/, web2 d/e/, web2 d/e/b" {
				t.Error(got)
			}
			if out, _ := run(0, "upload", "--dry-run", "-o", "web1", "-e", "-r", "/srv/up", "d/a"); out != "nothing was changed: 1 host has the 1 entry in /srv/up already\n" {
				t.Error(out)
			}
			// What a file cannot take the place of is told by both.
			c.inside(t, 1, "mkdir -p /srv/in-the-way/d/a/theirs")
			for _, dry := range [][]string{{"--dry-run"}, {"-y"}} {
				if _, errs := run(1, append(append([]string{"upload"}, dry...), "-o", "web1", "-e", "-r", "/srv/in-the-way", "d/a")...); errs != "jarvis: web1: d/a is a directory there, and d/a is not; nothing was changed: take the directory away, or send it under another name\n" {
					t.Errorf("%q: %s", dry, errs)
				}
			}
			// With -v the names of what goes, and of nothing else.
			if _, errs := run(0, "upload", "-v", "-o", "web1", "-e", "-r", "/srv/up", "d"); strings.Count(errs, "sending") != 2 || !strings.Contains(errs, "jarvis: sending d/c\n") || !strings.Contains(errs, "jarvis: sending d/\n") {
				t.Error(errs)
			}
			if _, errs := run(0, "upload", "-v", "-o", "web1", "-e", "-r", "/srv/up", "d"); strings.Contains(errs, "sending") {
				t.Error(errs)
			}
			out, _ = run(0, "upload", "--json", "-o", "web[1-2]", "-e", "-r", "/srv/up", "d")
			list := objects(t, out)
			if len(list) != 2 || list[0]["sent"] != 0.0 || list[0]["had"] != 5.0 || list[1]["sent"] != 3.0 || list[1]["had"] != 2.0 {
				t.Errorf("%v", list)
			}
			for _, o := range list {
				if o["directory"] != "/srv/up" || o["exit"] != 0.0 || o["seconds"] == 0.0 || o["stream"] != "exit" {
					t.Errorf("%v", o)
				}
			}
			// Without -r all learn where it is; a directory that does not begin with a slash is in the home of the
			// login.
			where := regexp.MustCompile(`^/var/run/orgalorg/[0-9.]+$`)
			out, _ = run(0, "upload", "--json", "-o", "web1", "-e", "d/a")
			if o := objects(t, out)[0]; !where.MatchString(o["directory"].(string)) {
				t.Errorf("%v", o)
			} else if out, _ := run(0, "exec", "-q", "-o", "web1", "cat "+o["directory"].(string)+"/d/a"); out != "a\n" { // /run is a file system of its own there
				t.Error(out)
			}
			if out, _ = run(0, "upload", "-q", "-o", "web1", "-e", "d/a"); !where.MatchString(strings.TrimSpace(out)) {
				t.Error(out)
			}
			for _, r := range []string{"up", "~/up"} {
				if out, _ = run(0, "upload", "-o", "web[1-2]", "-e", "-r", r, "d/a"); !strings.HasPrefix(out, "1 entry to ~/up on 2 hosts") || c.inside(t, 1, "cat /root/up/d/a") != "a\n" {
					t.Error(out)
				}
			}
			// Of /a/b and ../a/b the last part.
			here := must[string](t)(filepath.Abs("."))
			local(t, "echo f > f1")
			run(0, "upload", "-o", "web1", "-e", "-r", "/srv/e", "../"+filepath.Base(here)+"/f1")
			if got := c.inside(t, 1, "ls /srv/e"); got != "f1\n" {
				t.Error(got)
			}
			// sync tells of the files apart from how the tool ended.
			out, _ = run(0, "sync", "--json", "-m", "-o", "web[1-2]", "-e", "-r", "/srv/s", "-n", "true", "d/a")
			var streams []string
			for _, o := range objects(t, out) {
				streams = append(streams, o["stream"].(string))
				if o["stream"] == "sent" && (o["sent"] != 1.0 || o["directory"] != "/srv/s") {
					t.Errorf("%v", o)
				}
			}
			if got := strings.Join(streams, " "); got != "sent exit sent exit" {
				t.Error(got)
			}
			c.inside(t, 2, "mkdir -p /srv/s2/d/a")
			out, _ = run(1, "sync", "--json", "-m", "-o", "web[1-2]", "-e", "-r", "/srv/s2", "-n", "true", "d/a")
			for _, o := range objects(t, out) {
				if o["stream"] == "exit" && o["error"] == nil {
					t.Errorf("%v", o)
				}
			}
			// fetch.
			to := t.TempDir()
			out, _ = run(0, "fetch", "--json", "-r", to, "-o", "web[1-2]", "/srv/up/d")
			for i, o := range objects(t, out) {
				if o["directory"] != filepath.Join(to, []string{"web1", "web2"}[i]) || o["files"] != 3.0 || o["bytes"] != 6.0 || o["seconds"] == 0.0 || o["exit"] != 0.0 {
					t.Errorf("%v", o)
				}
			}
			if _, errs := run(2, "fetch", "-r", "-", "-o", "web1", "/srv/up/d/a"); !strings.Contains(errs, "-r - : fetch writes files, and none to stdout; `jarvis exec -q -o HOST cat FILE` prints one") {
				t.Error(errs)
			}
		})
	}
	if _, said, _ := c.jarvis(t, "audit", "900"); !strings.Contains(said, "1 entry to /srv/up, only asked (dry run)") {
		t.Error(said)
	}
}

// The fault: what a server did that was killed had no end on record.
func TestWhatAKilledServerDidHasAnEnd(t *testing.T) {
	c := newCarrying(t, 1, 150)
	local(t, "head -c 400000000 /dev/zero > big")
	c.inside(t, 1, "mkdir /srv/from; head -c 400000000 /dev/zero > /srv/from/big")
	free := func(t *testing.T) {
		t.Helper()
		until(t, 60*time.Second, "a command on the host", func() bool { code, _, _ := c.jarvis(t, "exec", "-o", "web1", "true"); return code == 0 })
	}
	for name, w := range map[string]struct {
		args  []string
		under func() bool
	}{
		"upload": {[]string{"upload", "-o", "web1", "-e", "-r", "/srv/up", "--compress", "none", "big"}, func() bool {
			big, _ := filepath.Glob(c.hosts[0].Root + "/srv/up/.jarvis-*/in/tree/big")
			return len(big) > 0
		}},
		"fetch": {[]string{"fetch", "-o", "web1", "-r", "got", "/srv/from"}, func() bool {
			big, _ := filepath.Glob("got/.jarvis-*/tree/from/big")
			return len(big) > 0
		}},
		"exec": {[]string{"exec", "-o", "web1", "touch /srv/runs; exec sleep 7789"}, func() bool { return !strings.HasPrefix(c.read(1, "srv/runs"), "!") }},
	} {
		t.Run(name, func(t *testing.T) {
			free(t) // of the lock of what was ended before
			cl := c.command(w.args...)
			if err := cl.Start(); err != nil {
				t.Fatal(err)
			}
			until(t, 30*time.Second, "it is in the middle", w.under)
			if said := c.audit(t); !strings.Contains(said, "begins") {
				t.Error(said)
			}
			_ = c.server.Process.Kill()
			_ = c.server.Wait()
			_ = cl.Wait()
		})
		c.serve(t)
		until(t, 30*time.Second, "its end is on record", func() bool {
			for l := range strings.Lines(c.audit(t)) {
				if strings.Contains(l, name+" web1") && strings.Contains(l, "the server went away in the middle; what ran on the hosts was ended, or nobody knows") {
					return true
				}
			}
			return false
		})
	}
	// Once, and of nothing that has an end.
	free(t)
	_ = c.server.Process.Kill()
	_ = c.server.Wait()
	c.serve(t)
	free(t)
	if _, out, _ := c.jarvis(t, "audit", "900"); strings.Count(out, "went away in the middle") != 3 {
		t.Error(out)
	}
}
