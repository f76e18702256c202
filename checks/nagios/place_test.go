package nagios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lay writes files below a folder, each with what it holds. @ in it is a folder.
func lay(t *testing.T, dir, at string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "@", at)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func host(name string) string { return "define host {\n\thost_name " + name + "\n}\n" }

// TestWhichOfTwoFilesIsRead has a tree in a folder and the one of this machine, whose paths its nagios.cfg names: each
// host says by its name which of the two was read.
func TestWhichOfTwoFilesIsRead(t *testing.T) {
	const names = "cfg_file=@/etc/nagios/objects/a.cfg\ncfg_dir=@/etc/nagios/conf.d\ncfg_dir=@/etc/plugins/config\nresource_file=@/etc/nagios/resource.cfg\n"
	machine := map[string]string{
		"etc/nagios/nagios.cfg": names, "etc/nagios/objects/a.cfg": host("a-machine"), "etc/nagios/conf.d/b.cfg": host("b-machine"),
		"etc/plugins/config/c.cfg": host("c-machine"), "etc/plugins/config/d.cfg": host("d-machine"), "etc/nagios/resource.cfg": "$USER1$=machine\n",
		"etc/nagios/e.cfg": host("e-machine"),
	}
	for name, c := range map[string]struct {
		copied  map[string]string // below a folder that is not the machine's
		read    string            // what is read, below that folder; "": the machine's own
		hosts   string
		user    string
		outside string
	}{
		"its own folder": {
			hosts: "a-machine b-machine c-machine d-machine", user: "machine",
			outside: "MACHINE/etc/nagios/nagios.cfg:3: MACHINE/etc/plugins/config (2) own",
		},
		"a copy of the folder": {
			copied: map[string]string{"nagios.cfg": names, "objects/a.cfg": host("a-copy"), "conf.d/b.cfg": host("b-copy"), "resource.cfg": "$USER1$=copy\n"}, read: ".",
			hosts: "a-copy b-copy c-machine d-machine", user: "copy",
			outside: "COPY/nagios.cfg:3: MACHINE/etc/plugins/config (2)",
		},
		"a copy of which a part is missing": {
			copied: map[string]string{"nagios.cfg": names, "objects/a.cfg": host("a-copy"), "config/c.cfg": host("c-copy")}, read: ".",
			hosts: "a-copy b-machine c-copy", user: "machine",
			outside: "COPY/nagios.cfg:2: MACHINE/etc/nagios/conf.d (1), COPY/nagios.cfg:4: MACHINE/etc/nagios/resource.cfg (1)",
		},
		"a folder and a file of one name": {
			copied: map[string]string{"nagios.cfg": names, "objects/a.cfg": host("a-copy"), "conf.d": "", "resource.cfg/x": ""}, read: ".",
			hosts: "a-copy b-machine c-machine d-machine", user: "machine",
			outside: "COPY/nagios.cfg:2: MACHINE/etc/nagios/conf.d (1), COPY/nagios.cfg:3: MACHINE/etc/plugins/config (2), COPY/nagios.cfg:4: MACHINE/etc/nagios/resource.cfg (1)",
		},
		"a copy with whole paths below it": {
			copied: map[string]string{"nagios.cfg": names, "@/etc/nagios/objects/a.cfg": host("a-copy"), "@/etc/nagios/conf.d/b.cfg": host("b-copy"), "@/etc/plugins/config/c.cfg": host("c-copy"),
				"@/etc/nagios/resource.cfg": "$USER1$=copy\n"}, read: ".",
			hosts: "a-copy b-copy c-copy", user: "copy",
		},
		"a copy of all files of the machine": {
			copied: map[string]string{"@/etc/nagios/nagios.cfg": names, "@/etc/nagios/objects/a.cfg": host("a-copy"), "@/etc/nagios/conf.d/b.cfg": host("b-copy"), "@/etc/plugins/config/c.cfg": host("c-copy"),
				"@/etc/nagios/resource.cfg": "$USER1$=copy\n"}, read: "@/etc/nagios",
			hosts: "a-copy b-copy c-copy", user: "copy",
			outside: "COPY@/etc/nagios/nagios.cfg:3: COPY@/etc/plugins/config (1) own",
		},
		"the folder itself is named": {
			copied: map[string]string{"nagios.cfg": "cfg_dir=@/etc/nagios\nresource_file=@/etc/nagios/resource.cfg\n", "e.cfg": host("e-copy"), "resource.cfg": "$USER1$=copy\n"}, read: ".",
			hosts: "e-copy", user: "copy",
		},
		"what files include": {
			copied: map[string]string{"nagios.cfg": "cfg_file=@/etc/nagios/objects/a.cfg\n", "objects/a.cfg": "include_file=@/etc/nagios/conf.d/b.cfg\ninclude_dir=@/etc/plugins/config\n", "conf.d/b.cfg": host("b-copy")}, read: ".",
			hosts:   "b-copy c-machine d-machine",
			outside: "COPY/objects/a.cfg:2: MACHINE/etc/plugins/config (2)",
		},
		"a folder without a main file": {
			copied: map[string]string{"a.cfg": "include_file=@/etc/nagios/conf.d/b.cfg\n", "conf.d/b.cfg": host("b-copy")}, read: ".",
			hosts: "b-copy",
		},
	} {
		t.Run(name, func(t *testing.T) {
			here, copied := filepath.Join(t.TempDir(), "machine"), filepath.Join(t.TempDir(), "copy")
			lay(t, here, here, machine)
			dir := filepath.Join(here, "etc/nagios")
			if c.read != "" {
				files := map[string]string{}
				for name, text := range c.copied {
					files[strings.ReplaceAll(name, "@", here)] = text
				}
				lay(t, copied, here, files)
				dir = filepath.Join(copied, strings.ReplaceAll(c.read, "@", here))
			}
			tr, err := Read(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			var hosts, outside []string
			for _, h := range tr.Of("host") {
				if !seen[h.Name()] {
					hosts = append(hosts, h.Name())
				}
				seen[h.Name()] = true
			}
			if got := strings.Join(hosts, " "); got != c.hosts {
				t.Errorf("the hosts are %s, want %s: %v", got, c.hosts, tr.Faults)
			}
			user := ""
			if u, ok := tr.User("USER1"); ok {
				user = u.Value
			}
			if user != c.user {
				t.Errorf("USER1 is %q, want %q", user, c.user)
			}
			for _, o := range tr.Outside() {
				outside = append(outside, fmt.Sprintf("%s: %s (%d)%s", o.Pos, o.Path, len(o.Files), map[bool]string{true: " own"}[o.Own]))
			}
			want := strings.NewReplacer("MACHINE", here, "COPY@", copied+here, "COPY", copied).Replace(c.outside)
			if got := strings.Join(outside, ", "); got != want {
				t.Errorf("outside are\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestALinkThatLeavesTheFolder reads what it leads to, and says so.
func TestALinkThatLeavesTheFolder(t *testing.T) {
	here, copied := t.TempDir(), t.TempDir()
	lay(t, here, here, map[string]string{"objects/a.cfg": host("a")})
	lay(t, copied, here, map[string]string{"nagios.cfg": "cfg_dir=objects\n"})
	if err := os.Symlink(filepath.Join(here, "objects"), filepath.Join(copied, "objects")); err != nil {
		t.Fatal(err)
	}
	tr, err := Read(t.Context(), copied)
	if err != nil {
		t.Fatal(err)
	}
	o := tr.Outside()
	if len(tr.Of("host")) != 1 || len(o) != 1 || o[0].Pos.Line != 1 || o[0].Path != filepath.Join(copied, "objects") || len(o[0].Files) != 1 {
		t.Errorf("%v, %+v, %v", tr.Of("host"), o, tr.Faults)
	}
}
