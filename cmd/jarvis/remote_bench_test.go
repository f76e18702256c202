package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRemote sets `jarvis exec` and `jarvis upload` beside what an administrator would use otherwise, in one run on
// one machine: docs/performance.md has its figures. `make bench-remote` installs the others first.
func BenchmarkRemote(b *testing.B) {
	for range b.N {
		bin := b.TempDir()
		build := func(name, pkg string) string {
			out := filepath.Join(bin, name)
			if msg, err := exec.Command("go", "build", "-o", out, pkg).CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, msg)
			}
			return out
		}
		jarvis, plain := build("jarvis", "."), build("plainloop", "../../internal/bench/plainloop")
		t := &bench{B: b, home: b.TempDir()}
		b.Run("files", func(b *testing.B) { t.B = b; t.files(jarvis) })
		b.Run("commands", func(b *testing.B) { t.B = b; t.commands(jarvis, plain) })
	}
}

type bench struct {
	*testing.B
	home string
}

// took runs a program some times and gives the median, and the most memory it had (getrusage(2)), in MB.
func (t *bench) took(times int, name string, args ...string) (time.Duration, float64) {
	t.Helper()
	var all []time.Duration
	rss := int64(0)
	for range times {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "HOME="+t.home, "SSH_AUTH_SOCK=", "PDSH_SSH_ARGS_APPEND=-F "+filepath.Join(t.home, ".ssh", "config"))
		began := time.Now()
		out, err := cmd.CombinedOutput()
		all = append(all, time.Since(began))
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, last(out))
		}
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			rss = max(rss, u.Maxrss)
		}
	}
	slices.Sort(all)
	return all[len(all)/2], float64(rss) / 1024
}

func last(b []byte) string {
	if len(b) > 2000 {
		b = b[len(b)-2000:]
	}
	return string(b)
}

func (t *bench) say(what string, d time.Duration, mb float64, base time.Duration) {
	fmt.Printf("%-44s %8.3f s  %6.2f of the first  %5.0f MB\n", what, d.Seconds(), d.Seconds()/base.Seconds(), mb)
}

// commands runs `true` on 500 hosts.
func (t *bench) commands(jarvis, plain string) {
	const n = 500
	ssh := filepath.Join(t.home, ".ssh")
	if err := os.MkdirAll(ssh, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	startFarm(t, n, ssh)
	hosts := filepath.Join(ssh, "hosts")
	list, err := os.ReadFile(hosts)
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.ReplaceAll(strings.ReplaceAll(string(list), "root@", ""), ":2222", "")
	for name, text := range map[string]string{"bare": bare, "pssh": strings.ReplaceAll(string(list), "root@", "")} {
		if err := os.WriteFile(filepath.Join(ssh, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id := filepath.Join(ssh, "id")
	if err := os.WriteFile(filepath.Join(ssh, "config"), []byte("Host *\n  User root\n  Port 2222\n  IdentityFile "+id+"\n  UserKnownHostsFile "+filepath.Join(ssh, "known_hosts")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n`true` on %d hosts that answer at once\n", n)
	exe := []string{"exec", "--direct", "-k", id, "-o", hosts}
	// Both in turn, so that what else the machine does meets both alike.
	var base, cold time.Duration
	var baseMB, coldMB float64
	var bases, colds []time.Duration
	for range 7 {
		d, mb := t.took(1, plain, ssh, "64")
		bases, baseMB = append(bases, d), max(baseMB, mb)
		d, mb = t.took(1, jarvis, append(slices.Clone(exe), "-y", "-w", "true")...)
		colds, coldMB = append(colds, d), max(coldMB, mb)
	}
	slices.Sort(bases)
	slices.Sort(colds)
	base, cold = bases[3], colds[3]
	t.say("x/crypto/ssh in a loop", base, baseMB, base)
	t.say("jarvis exec -y -w", cold, coldMB, base)
	d, mb := t.took(3, jarvis, append(slices.Clone(exe), "-y", "true")...)
	t.say("jarvis exec -y (all hosts or none)", d, mb, base)
	d, mb = t.took(3, jarvis, append(slices.Clone(exe), "true")...)
	t.say("jarvis exec (with the lock)", d, mb, base)
	t.ReportMetric(cold.Seconds()/base.Seconds(), "cold/loop")
	t.ReportMetric(coldMB, "MB")

	conf := filepath.Join(t.home, "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "data: %s\nlisten: \"\"\nworkers: {ssh: {key: %s}}\n", filepath.Join(t.home, "data"), id), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := exec.CommandContext(ctx, jarvis, "--config", conf, "serve")
	srv.Env = append(os.Environ(), "HOME="+t.home)
	logs, err := srv.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(logs)
	for {
		l, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the server ended: %v", err)
		}
		if strings.Contains(l, "msg=ready") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	through := []string{"--config", conf, "exec", "-y", "-o", hosts, "true"}
	t.took(1, jarvis, through...) // opens the connections
	warm, mb := t.took(7, jarvis, through...)
	t.say("jarvis exec -y, through the server", warm, mb, base)
	t.ReportMetric(cold.Seconds()/warm.Seconds(), "cold/warm")
	_ = srv.Process.Signal(os.Interrupt)
	_ = srv.Wait()

	for _, peer := range []struct {
		name string
		args []string
	}{
		{"parallel-ssh", []string{"-h", filepath.Join(ssh, "pssh"), "-l", "root", "-p", "64", "-x", "-F " + filepath.Join(ssh, "config"), "true"}},
		{"clush", []string{"--hostfile", filepath.Join(ssh, "bare"), "-f", "64", "-l", "root", "-o", "-F " + filepath.Join(ssh, "config"), "true"}},
		{"pdsh", []string{"-R", "ssh", "-l", "root", "-f", "64", "-w", "^" + filepath.Join(ssh, "bare"), "true"}},
	} {
		if _, err := exec.LookPath(peer.name); err != nil {
			t.Fatalf("%v; run `make bench-remote`, which installs it", err)
		}
		d, mb := t.took(1, peer.name, peer.args...)
		t.say(peer.name, d, mb, base)
	}
}
