package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/converge"
	"github.com/jarvisops/jarvis/remote"
)

// BenchmarkConverge has 100 OpenSSH hosts with 50 resources each, which are as they shall be, looked at by package
// converge and by ansible-playbook with its own modules: docs/design/performance.md has the figures.
func BenchmarkConverge(b *testing.B) {
	for range b.N {
		t := &bench{B: b, home: b.TempDir()}
		t.converge(number("JARVIS_BENCH_HOSTS", small(100, 2)))
	}
}

func (t *bench) converge(n int) {
	const target = "/srv/jarvis-bench"
	ssh := filepath.Join(t.home, ".ssh")
	if err := os.MkdirAll(ssh, 0o700); err != nil {
		t.Fatal(err)
	}
	// Each host has an /etc of its own, above ours.
	addrs, id := t.openSSHFleet(n, target, "mkdir "+target+"/.up "+target+"/.work; mount -t overlay overlay -o lowerdir=/etc,upperdir="+target+"/.up,workdir="+target+"/.work /etc;")
	defer func() { _ = os.Remove(target) }()
	t.Setenv("HOME", t.home)
	t.Setenv("SSH_AUTH_SOCK", "")
	var play strings.Builder
	play.WriteString("- hosts: all\n  gather_facts: false\n  tasks:\n")
	task := func(module string, args ...string) {
		fmt.Fprintf(&play, "  - ansible.builtin.%s: {%s}\n", module, strings.Join(args, ", "))
	}
	var want []converge.Resource
	for i := range 10 {
		name := fmt.Sprintf("bench%d", i)
		want = append(want, converge.User{Name: name, Home: "/nonexistent/" + name, Shell: "/bin/sh", System: true})
		task("user", "name: "+name, "home: /nonexistent/"+name, "create_home: false", "shell: /bin/sh", "system: true")
		want = append(want, converge.Directory{Path: fmt.Sprintf("%s/d%d", target, i), Mode: "0750"})
		task("file", fmt.Sprintf("path: %s/d%d", target, i), "state: directory", "mode: '0750'")
	}
	for i := range 20 {
		want = append(want, converge.File{Path: fmt.Sprintf("%s/f%d", target, i), Content: fmt.Sprintf("this is file %d\n", i), Mode: "0644"})
		task("copy", fmt.Sprintf("dest: %s/f%d", target, i), fmt.Sprintf(`content: "this is file %d\n"`, i), "mode: '0644'")
	}
	for i := range 5 {
		want = append(want, converge.Link{Path: fmt.Sprintf("%s/l%d", target, i), To: "/etc/hosts"}, converge.Line{Path: "/etc/bench.conf", Line: fmt.Sprintf("line %d", i)})
		task("file", fmt.Sprintf("path: %s/l%d", target, i), "src: /etc/hosts", "state: link")
		task("lineinfile", "path: /etc/bench.conf", fmt.Sprintf("line: line %d", i), "create: true")
	}
	known, err := remote.NewResolver()
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	var targets []converge.Target
	for _, a := range addrs {
		targets = append(targets, converge.Target{Name: a, Dial: func(ctx context.Context) (converge.Host, func(), error) {
			to, err := known.Target(a)
			if err != nil {
				return nil, nil, err
			}
			c, err := remote.Dial(ctx, to)
			if err != nil {
				return nil, nil, err
			}
			return remote.Shell{Client: c}, func() { _ = c.Close() }, nil
		}})
	}
	up := func(changed bool) (time.Duration, int) {
		r, err := converge.Run(t.Context(), targets, func(n *converge.Node) error { n.Want(want...); return nil }, converge.Options{})
		if err != nil || len(r.Failed()) > 0 || (r.Changed() > 0) != changed {
			t.Fatalf("%v %+v", err, r.Failed())
		}
		sent := 0
		for _, h := range r.Hosts {
			sent = max(sent, h.Exchanges)
		}
		return r.Took, sent
	}
	fmt.Printf("\n%d hosts with %d resources each\n", n, len(want))
	first, _ := up(true)
	fmt.Printf("%-44s %8.3f s\n", "converge, to where they shall be", first.Seconds())
	took, sent := up(false)
	fmt.Printf("%-44s %8.3f s, %d command for each host\n", "converge, when they are there", took.Seconds(), sent)
	if testing.Short() {
		return
	}
	hosts, book := filepath.Join(t.home, "hosts"), filepath.Join(t.home, "play.yaml")
	for name, text := range map[string]string{hosts: strings.Join(addrs, "\n") + "\n", book: play.String()} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("ANSIBLE_PIPELINING", "True") // the fastest way it has
	t.Setenv("ANSIBLE_LOCALHOST_WARNING", "False")
	d := t.took(1, "ansible-playbook", "-i", hosts, "--ssh-common-args", "-F "+filepath.Join(ssh, "config"), "--private-key", id, "-f", "32", book)
	fmt.Printf("%-44s %8.3f s, %.0f times as long\n", "ansible-playbook, when they are there", d.wall.Seconds(), d.wall.Seconds()/took.Seconds())
	t.ReportMetric(d.wall.Seconds()/took.Seconds(), "ansible/converge")
}
