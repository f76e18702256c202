package converge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	for _, c := range []struct{ old, now, want string }{
		{"", "", ""},
		{"a\n", "a\n", ""},
		{"", "a\nb\n", "@@ line 1 @@\n+a\n+b\n"},
		{"a\n", "", "@@ line 1 @@\n-a\n"},
		{"1\n2\n3\n4\n5\n6\n7\n8\n", "1\n2\n3\n4\nfive\n6\n7\n8\n", "@@ line 5 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"},
		{"a\n", "a", "@@ line 1 @@\n-a\n+a (no newline at the end)\n"},
		{"x\n1\n2\n3\n4\n5\n6\n7\n8\n9\ny\n", "X\n1\n2\n3\n4\n5\n6\n7\n8\n9\nY\n", "@@ line 1 @@\n-x\n+X\n 1\n 2\n 3\n…\n 7\n 8\n 9\n-y\n+Y\n"},
	} {
		if got := Diff(c.old, c.now); got != c.want {
			t.Errorf("Diff(%q, %q) =\n%s\nwant\n%s", c.old, c.now, got, c.want)
		}
	}
}

func TestEdit(t *testing.T) {
	for _, c := range []struct {
		text string
		l    Line
		want string
	}{
		{"", Line{Line: "a"}, "a\n"},
		{"a\n", Line{Line: "a"}, "a\n"},
		{"a", Line{Line: "b"}, "a\nb\n"},
		{"#Port 22\nPort 2\nx\n", Line{Line: "Port 22", Instead: "Port "}, "#Port 22\nPort 22\nx\n"},
		{"a\nb\na\n", Line{Line: "a", Absent: true}, "b\n"},
		{"b", Line{Line: "a", Absent: true}, "b"},
		{"a\n", Line{Line: "a", Absent: true}, ""},
	} {
		if got := edit(c.text, c.l); got != c.want {
			t.Errorf("edit(%q, %+v) = %q, want %q", c.text, c.l, got, c.want)
		}
	}
}

// fake is a host that answers with what it is told to.
type fake func(script string) (stdout, stderr string, exit int, err error)

func (f fake) Sh(_ context.Context, script string) (string, string, int, error) { return f(script) }

// A host whose answer is cut off, or none, is left out, and not taken for an empty one.
func TestAnswersThatAreNone(t *testing.T) {
	for _, out := range []string{"script 0 5 4\nabcd1", "script 0 x 4\n", "nonsense", "script 0 999999999 4\nabcd", "script 0 -1 4\nabcd\n"} {
		target := Target{Name: "x", Dial: func(context.Context) (Host, func(), error) {
			return fake(func(string) (string, string, int, error) { return out, "", 0, nil }), func() {}, nil
		}}
		r, err := Run(t.Context(), []Target{target}, func(n *Node) error { _, err := n.Read("abcd"); return err }, Options{TrustReads: true})
		if err != nil || !strings.Contains(r.Hosts[0].Error, "cut off") {
			t.Errorf("%q: %v %+v", out, err, r)
		}
	}
}

// What cannot be read is an error of its host, also beside something that is not read yet, and never passes for a wish
// that is met.
func TestWhatCanNotBeReadIsSaid(t *testing.T) {
	answer := func(kind string, exit int, item, text string) string {
		return fmt.Sprintf("%s %d %d %d\n%s%s\n", kind, exit, len(text), len(item), item, text)
	}
	host := fake(func(string) (string, string, int, error) {
		return answer("cat", 1, "/etc/fstab", "it is larger than 1 MiB") + answer("cat", 1, "/etc/passwd", "it is larger than 1 MiB") + answer("stat", 0, "/etc/x", "what is this"), "", 0, nil
	})
	target := []Target{{Name: "x", Dial: func(context.Context) (Host, func(), error) { return host, func() {}, nil }}}
	for _, c := range []struct {
		r    Resource
		want string
	}{
		{Mount{Path: "/srv/x", Device: "a", Type: "b"}, "mount /srv/x: /etc/fstab cannot be edited: it is larger than 1 MiB"},
		{User{Name: "alice"}, "user alice: /etc/passwd cannot be edited: it is larger than 1 MiB"},
		{File{Path: "/etc/x"}, "file /etc/x: stat of /etc/x says"},
		{waiter{}, "waiter waits for something, and asked for nothing"},
	} {
		r, err := Run(t.Context(), target, func(n *Node) error { n.Want(c.r); return nil }, Options{TrustReads: true})
		if err != nil || r.Hosts[0].Stable || !strings.HasPrefix(r.Hosts[0].Error, c.want) {
			t.Errorf("%s: %v %+v", c.r.ID(), err, r)
		}
	}
}

// waiter is a resource that waits for ever.
type waiter struct{}

func (waiter) ID() string                   { return "waiter" }
func (waiter) Plan(*Node) ([]Action, error) { return nil, ErrPending }

// A program and its driver talk over pipes.
func TestDrive(t *testing.T) {
	toProgram, fromDriver := io.Pipe()
	toDriver, fromProgram := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- serve(t.Context(), toProgram, fromProgram, func(n *Node) error {
			v, err := n.Read("abcd")
			if err != nil {
				return err
			}
			if v != "so\n" && n.Prop("x") == "y" && n.In("web") {
				if ports, err := PropAs[[]int](n, "ports"); err != nil || len(ports) != 2 || ports[1] != 443 {
					return fmt.Errorf("ports are %v %w", ports, err)
				}
				n.steps = append(n.steps, step{"it", Action{Desc: "make it so", Diff: "+so\n", Script: "make"}})
			}
			return nil
		}, Options{})
		_ = fromProgram.Close()
	}()
	state := "no\n"
	h := fake(func(script string) (string, string, int, error) {
		if script == "make" {
			state = "so\n"
			return "", "", 0, nil
		}
		return "script 0 3 4\nabcd" + state + "\n", "", 0, nil
	})
	var log []string
	r, err := Drive(t.Context(), toDriver, fromDriver, Target{Name: "loki", Groups: []string{"web"}, Props: map[string]any{"x": "y", "ports": []int{80, 443}}}, h, func(l string) { log = append(log, l) })
	if err != nil || !r.Stable || len(r.Done) != 1 || r.Host != "loki" || strings.Join(log, "|") != "make it so\n+so\n" {
		t.Errorf("%v %+v %q", err, r, log)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	// A program that ends without a word, or says something else.
	for _, said := range []string{"", "hello\n"} {
		if _, err := Drive(t.Context(), strings.NewReader(said), io.Discard, Target{}, h, func(string) {}); err == nil {
			t.Errorf("%q passes for a report", said)
		}
	}
	if err := serve(t.Context(), strings.NewReader("{}\n"), io.Discard, nil, Options{}); err == nil || errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// TestTree: what is known of a group is known of all in it, the nearest counts, and what contradicts itself is said.
func TestTree(t *testing.T) {
	type disk struct{ Size int }
	tree := HostGroup{Name: "all", Props: map[string]any{"dns": "one", "disk": disk{1}, "n": 1}, Groups: []HostGroup{
		{Name: "web", Props: map[string]any{"n": 2}, Hosts: []Target{{Name: "a"}, {Name: "b", Groups: []string{"own"}, Props: map[string]any{"n": 3}}}, Groups: []HostGroup{{Name: "edge", Hosts: []Target{{Name: "c"}}}}},
		{Name: "mail", Props: map[string]any{"spool": true}, Hosts: []Target{{Name: "a"}}},
	}, Hosts: []Target{{Name: "d"}, {Name: "a"}}}
	list, err := tree.Targets()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, x := range list {
		n := &Node{target: x}
		size, err := PropAs[disk](n, "disk")
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintln(&got, x.Name, x.Groups, n.Prop("dns"), n.Value("n"), n.Prop("spool"), size.Size)
	}
	if want := "d [all] one 1  1\na [all web mail] one 2 true 1\nb [own all web] one 3  1\nc [all web edge] one 2  1\n"; got.String() != want {
		t.Errorf("%s\nwant\n%s", got.String(), want)
	}
	if _, err := PropAs[int](&Node{target: list[0]}, "dns"); err == nil || !strings.Contains(err.Error(), `the property "dns" of d is a string, and no int`) {
		t.Error(err)
	}
	tree.Groups[1].Props["n"] = 5
	if _, err := tree.Targets(); err == nil || err.Error() != `the property "n" of a is 2 by all/web and 5 by all/mail; say it at the host, or in one of them` {
		t.Error(err)
	}
}

// TestAFunctionAsAction: it is marked what it owes before it begins, its panic leaves its host out, and what it runs is
// counted.
func TestAFunctionAsAction(t *testing.T) {
	var ran []string
	host := fake(func(script string) (string, string, int, error) {
		switch {
		case strings.Contains(script, "rm -f -- \"$owed/"):
			ran = append(ran, "pay")
		case strings.Contains(script, "mkdir -p -- \"$owed\""):
			ran = append(ran, "mark")
		case script == "mine":
			ran = append(ran, "mine")
		}
		return "", "", 0, nil
	})
	target := []Target{{Name: "x", Dial: func(context.Context) (Host, func(), error) { return host, func() {}, nil }}}
	do := func(_ context.Context, h Host) error { _, _, _, err := h.Sh(t.Context(), "mine"); return err }
	done := false
	configure := func(n *Node) error {
		if !done {
			n.steps = append(n.steps, step{"it", Action{Desc: "it", After: "reload", Do: func(ctx context.Context, h Host) error { done = true; return do(ctx, h) }}})
		}
		return nil
	}
	r, err := Run(t.Context(), target, configure, Options{TrustReads: true})
	if h := r.Hosts[0]; err != nil || !h.Stable || len(h.Done) != 2 || strings.Join(ran, " ") != "mark mine pay" {
		t.Errorf("%v %+v %q", err, h, ran)
	}
	for _, f := range []func(context.Context, Host) error{func(context.Context, Host) error { panic("no") }, func(context.Context, Host) error { return errors.New("no") }} {
		r, err = Run(t.Context(), target, func(n *Node) error { n.steps = append(n.steps, step{"it", Action{Desc: "it", Do: f}}); return nil }, Options{TrustReads: true})
		if h := r.Hosts[0]; err != nil || !strings.Contains(h.Error, "no") || len(h.Done) != 0 {
			t.Errorf("%v %+v", err, h)
		}
	}
}

// TestLocked: what dnf's versionlock keeps, as its versions 4 and 5 write it.
func TestLocked(t *testing.T) {
	const four = "# Added lock on Sun\nlab-thing-2:1.5-3.*\n!lab-one-0:1.0-1.*\nlab-dep-doc-0:1-1.*\nlab-any-*:1-1.*\n"
	const five = "version = \"1.0\"\n\n[[packages]]\nname = \"lab-thing\"\n[[packages.conditions]]\nkey = \"evr\"\nvalue = \"2:1.5-3\"\n"
	for _, c := range []struct {
		list, name string
		want       bool
	}{
		{four, "lab-thing", true}, {four, "lab-one", false}, {four, "lab-dep", false}, {four, "lab-dep-doc", true}, {four, "lab-any", true}, {four, "lab", false}, {"", "lab-thing", false},
		{five, "lab-thing", true}, {five, "lab", false},
	} {
		if got := locked(c.list, c.name); got != c.want {
			t.Errorf("locked(%q) = %v in %q", c.name, got, c.list)
		}
	}
}
