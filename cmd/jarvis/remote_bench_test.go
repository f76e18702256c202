package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkRemote sets `jarvis exec` and `jarvis upload` beside what an administrator would use otherwise, in one run
// on one machine: docs/design/performance.md has its figures. `make bench-remote` installs the others first.
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
		t := &bench{}
		b.Run("files", func(b *testing.B) { t.B, t.home = b, b.TempDir(); t.files(jarvis) })
		b.Run("idle", func(b *testing.B) { t.B, t.home = b, b.TempDir(); t.idle(jarvis) })
		b.Run("commands", func(b *testing.B) { t.B, t.home = b, b.TempDir(); t.commands(jarvis, plain) })
	}
}

type bench struct {
	*testing.B
	home string
	ours time.Duration // what jarvis took, for a second ratio; 0: none
}

// cost is what some runs of a program took: the medians, and the most memory.
type cost struct {
	wall, cpu time.Duration // cpu: with the children that it waited for
	mb        float64
}

// took runs a program some times. Memory is that of its own (RssAnon of proc(5)) that it and its children had at one
// time. (getrusage(2) would count what the forked test had, and pages of the program file.)
func (t *bench) took(times int, name string, args ...string) cost {
	t.Helper()
	var all, cpu []time.Duration
	most := 0
	for range times {
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "HOME="+t.home, "SSH_AUTH_SOCK=", "ANSIBLE_SSH_RETRIES=3", "PDSH_SSH_ARGS_APPEND=-F "+filepath.Join(t.home, ".ssh", "config"))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		began := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		over, measured := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(measured)
			for {
				select {
				case <-over:
					return
				case <-time.After(20 * time.Millisecond):
					most = max(most, anonymous(cmd.Process.Pid))
				}
			}
		}()
		err := cmd.Wait()
		all = append(all, time.Since(began))
		cpu = append(cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		close(over)
		<-measured
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, last(out.Bytes()))
		}
	}
	return cost{wall: median(all), cpu: median(cpu), mb: float64(most) / 1024}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// anonymous gives the memory of a process and its children, without pages of files, in KiB.
func anonymous(pid int) (kib int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, after, ok := strings.Cut(string(status), "RssAnon:"); ok {
		_, _ = fmt.Sscan(after, &kib)
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, l := range lists {
		children, _ := os.ReadFile(l)
		for _, c := range strings.Fields(string(children)) {
			if n, err := strconv.Atoi(c); err == nil {
				kib += anonymous(n)
			}
		}
	}
	return kib
}

func last(b []byte) string {
	if len(b) > 2000 {
		b = b[len(b)-2000:]
	}
	return string(b)
}

// say prints a line of the table: what it cost, and its ratio to what stands first, and to ours.
func (t *bench) say(what string, c, base cost) {
	ours := ""
	if t.ours > 0 {
		ours = fmt.Sprintf("  %6.2f of jarvis", c.wall.Seconds()/t.ours.Seconds())
	}
	fmt.Printf("%-40s %8.3f s  %6.2f of the first%s  %7.3f s of CPU  %5.0f MB\n", what, c.wall.Seconds(), c.wall.Seconds()/base.wall.Seconds(), ours, c.cpu.Seconds(), c.mb)
}

// commands runs `true` on many hosts.
func (t *bench) commands(jarvis, plain string) {
	n := small(number("JARVIS_BENCH_HOSTS", 500), 8)
	ssh := filepath.Join(t.home, ".ssh")
	if err := os.MkdirAll(ssh, 0o700); err != nil {
		t.Fatal(err)
	}
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
	direct := func(args ...string) []string { return append(slices.Clone(exe), args...) }
	// Both in turn, so that what else the machine does meets both alike.
	var bases, colds []cost
	for range 7 {
		bases = append(bases, t.took(1, plain, ssh, "64"))
		colds = append(colds, t.took(1, jarvis, direct("-y", "-w", "true")...))
	}
	base, cold := among(bases), among(colds)
	t.ours = cold.wall
	t.say("x/crypto/ssh in a loop", base, base)
	t.say("jarvis exec -y -w", cold, base)
	t.say("jarvis exec -y (all hosts or none)", t.took(3, jarvis, direct("-y", "true")...), base)
	t.say("jarvis exec (with the lock)", t.took(3, jarvis, direct("true")...), base)
	t.ReportMetric(cold.wall.Seconds()/base.wall.Seconds(), "cold/loop")
	t.ReportMetric(cold.mb, "MB")

	conf := filepath.Join(t.home, "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "data: %s\nlisten: \"\"\nworkers: {ssh: {key: %s}}\n", filepath.Join(t.home, "data"), id), 0o600); err != nil {
		t.Fatal(err)
	}
	srv, stop := t.serve(jarvis, conf)
	defer stop()
	through := []string{"--config", conf, "exec", "-y", "-o", hosts, "true"}
	t.took(1, jarvis, through...) // opens the connections
	warm := t.took(7, jarvis, through...)
	t.say("jarvis exec -y, through the server", warm, base)
	t.ReportMetric(cold.wall.Seconds()/warm.wall.Seconds(), "cold/warm")
	_, _ = fmt.Printf("%-40s %.0f MB\n", fmt.Sprintf("the server, with %d connections open", n), float64(anonymous(srv.Process.Pid))/1024)
	stop()
	if testing.Short() {
		return
	}

	t.others(ssh, n, base, cold)
	t.one(jarvis, id, filepath.Join(ssh, "config"), strings.Fields(bare)[0])
}

// one runs `true` on a single host, where the start of a program is most of what it takes.
func (t *bench) one(jarvis, id, conf, host string) {
	fmt.Print("\n`true` on one host\n")
	t.ours = 0
	var theirs, ours []cost
	for range 15 {
		theirs = append(theirs, t.took(1, "ssh", "-F", conf, host, "true"))
		ours = append(ours, t.took(1, jarvis, "exec", "--direct", "-y", "-w", "-k", id, "-o", "root@"+host+":2222", "true"))
	}
	t.say("ssh", among(theirs), among(theirs))
	t.say("jarvis exec -y -w", among(ours), among(theirs))
}

// among gives the medians of several.
func among(all []cost) (c cost) {
	var wall, cpu []time.Duration
	for _, one := range all {
		wall, cpu, c.mb = append(wall, one.wall), append(cpu, one.cpu), max(c.mb, one.mb)
	}
	c.wall, c.cpu = median(wall), median(cpu)
	return c
}

// others runs the programs that one would use otherwise, cold, and ssh with its masters, cold and warm.
func (t *bench) others(ssh string, n int, base, ours cost) {
	conf, bare := filepath.Join(ssh, "config"), filepath.Join(ssh, "bare")
	for _, peer := range []struct {
		name  string
		times int
		args  []string
	}{
		{"parallel-ssh", 3, []string{"-h", filepath.Join(ssh, "pssh"), "-l", "root", "-p", "64", "-x", "-F " + conf, "true"}},
		{"clush", 3, []string{"--hostfile", bare, "-f", "64", "-l", "root", "-o", "-F " + conf, "true"}},
		{"pdsh", 3, []string{"-R", "ssh", "-l", "root", "-f", "64", "-w", "^" + bare, "true"}},
		{"ansible -m raw", 1, []string{"all", "-i", bare, "--ssh-common-args", "-F " + conf, "-f", "64", "-m", "raw", "-a", "true"}},
	} {
		program, _, _ := strings.Cut(peer.name, " ")
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v; run `make bench-remote`, which installs it", err)
		}
		c := t.took(peer.times, program, peer.args...)
		t.say(peer.name, c, base)
		t.ReportMetric(c.wall.Seconds()/ours.wall.Seconds(), program+"/jarvis")
	}
	// 100 hosts are enough: each master is a process, whose own time nobody waits for and so is not in the figures.
	n = min(n, 100)
	master := func(args string) []string {
		return []string{"-ec", fmt.Sprintf("head -%d %s | xargs -P 64 -I H ssh -F %s -o ControlPath=%s/%%h %s", n, bare, conf, ssh, args)}
	}
	t.say(fmt.Sprintf("ssh with ControlMaster, %d hosts, cold", n), t.took(1, "bash", master("-o ControlMaster=auto -o ControlPersist=60 -n H true > /dev/null 2>&1")...), base)
	t.say("the same again, warm", t.took(3, "bash", master("-n H true")...), base)
	t.took(1, "bash", master("-O exit H 2> /dev/null")...)
}

// serve starts a server, and gives what ends it.
func (t *bench) serve(jarvis, conf string) (*exec.Cmd, func()) {
	t.Helper()
	srv := exec.Command(jarvis, "--config", conf, "serve")
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
	return srv, sync.OnceFunc(func() {
		_ = srv.Process.Signal(os.Interrupt)
		_ = srv.Wait()
	})
}

// idle holds 10,000 connections for a minute, in which each is asked twice whether it is still there, and uses them.
func (t *bench) idle(jarvis string) {
	ssh := filepath.Join(t.home, ".ssh")
	if err := os.MkdirAll(ssh, 0o700); err != nil {
		t.Fatal(err)
	}
	n, held := small(5000, 20), small(time.Minute, time.Second)
	startFarm(t, n, ssh) // two, as one process has too few files for listening and for what it accepted
	startFarm(t, n, ssh, fmt.Sprint(n))
	conf := filepath.Join(t.home, "jarvis.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "data: %s\nlisten: \"\"\nworkers: {ssh: {key: %s}}\n", filepath.Join(t.home, "data"), filepath.Join(ssh, "id")), 0o600); err != nil {
		t.Fatal(err)
	}
	srv, stop := t.serve(jarvis, conf)
	defer stop()
	through := []string{"--config", conf, "exec", "-y", "-w", "-q", "-o", filepath.Join(ssh, "hosts"), "true"}
	before := float64(anonymous(srv.Process.Pid)) / 1024
	cold := t.took(1, jarvis, through...)
	fmt.Printf("\n%d hosts through the server\n%-44s %8.3f s\n", 2*n, "first time", cold.wall.Seconds())
	cpu := t.cpu(srv.Process.Pid)
	time.Sleep(held)
	fmt.Printf("%-44s %8.1f %% of a core\n", "held for "+held.String(), (t.cpu(srv.Process.Pid)-cpu).Seconds()/held.Seconds()*100)
	after := float64(anonymous(srv.Process.Pid)) / 1024
	warm := t.took(1, jarvis, through...)
	fmt.Printf("%-44s %8.3f s\n%-44s %8.0f KiB each\n", "again, a minute later", warm.wall.Seconds(), "memory", (after-before)/float64(2*n)*1024)
}

// cpu gives what a process has used.
func (t *bench) cpu(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	sys, _ := strconv.Atoi(f[12])
	return time.Duration(user+sys) * 10 * time.Millisecond // USER_HZ
}
