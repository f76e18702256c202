package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks"
	"github.com/jarvisops/jarvis/internal/contract"
)

// BenchmarkChecks sets the scheduled checks beside Icinga 2 with check_by_ssh, in one run on one machine, on the same
// addresses of one OpenSSH server: docs/design/performance.md has the figures. `make bench-checks` installs the others
// first.
func BenchmarkChecks(b *testing.B) {
	for range b.N {
		c := newCheckBench(b, number("JARVIS_BENCH_HOSTS", small(1000, 5)))
		c.sustained()
		most := c.most()
		if !testing.Short() {
			c.icinga(most)
		}
	}
}

// checkBench is an sshd on very many addresses.
type checkBench struct {
	*testing.B
	n         int
	home, bin string
	sshd      *exec.Cmd
	hosts     []string
	plugin    string
}

// rate is what a monitor did in a time, and what it cost.
type rate struct {
	checks float64 // a second
	own    float64 // seconds of CPU a second, of the monitor and its children
	sshd   float64 // and of the hosts
}

func (r rate) String() string {
	return fmt.Sprintf("%7.1f checks/s, %5.2f cores for the monitor, %5.2f for the hosts; a check costs %6.2f ms and %6.2f ms", r.checks, r.own, r.sshd, 1000*r.own/r.checks, 1000*r.sshd/r.checks)
}

func newCheckBench(b *testing.B, n int) *checkBench {
	c := &checkBench{B: b, n: n, home: b.TempDir(), plugin: "/usr/lib/nagios/plugins/check_load -w 1000,1000,1000 -c 2000,2000,2000"}
	if testing.Short() { // the plugins come with Icinga, which is left out
		c.plugin = "/bin/echo LOAD OK"
	} else if _, err := os.Stat("/usr/lib/nagios/plugins/check_by_ssh"); err != nil {
		b.Fatal("apt-get install monitoring-plugins-basic")
	}
	c.bin = filepath.Join(b.TempDir(), "jarvis")
	if out, err := exec.Command("go", "build", "-o", c.bin, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	ssh := filepath.Join(c.home, ".ssh")
	if err := os.MkdirAll(ssh, 0o700); err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(c.home, 0o755); err != nil {
		b.Fatal(err)
	}
	c.shell("ssh-keygen -q -t ed25519 -N '' -f " + ssh + "/id; ssh-keygen -q -t ed25519 -N '' -f " + ssh + "/host; cp " + ssh + "/id.pub " + ssh + "/authorized")
	var known, conf strings.Builder
	pub, err := os.ReadFile(filepath.Join(ssh, "host.pub"))
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		ip := fmt.Sprintf("127.33.%d.%d", i/250, i%250+1)
		c.hosts = append(c.hosts, ip)
		fmt.Fprintf(&known, "[%s]:2233 %s", ip, pub)
	}
	fmt.Fprintf(&conf, "Host *\n  IdentityFile %s/id\n  User root\n  Port 2233\n  UserKnownHostsFile %s/known_hosts\n", ssh, ssh)
	c.write(".ssh/known_hosts", known.String())
	c.write(".ssh/config", conf.String())
	c.write("sshd_config", fmt.Sprintf("Port 2233\nListenAddress 0.0.0.0\nHostKey %[1]s/host\nAuthorizedKeysFile %[1]s/authorized\nPermitRootLogin prohibit-password\nUsePAM no\nStrictModes no\nMaxStartups 500:1:1000\nPidFile none\nLogLevel QUIET\nUseDNS no\nSetEnv HOME=%[2]s\n", ssh, c.home))
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		b.Fatal(err)
	}
	c.sshd = exec.Command("/usr/sbin/sshd", "-D", "-f", filepath.Join(c.home, "sshd_config"))
	c.sshd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.sshd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.sshd.Process.Kill(); _ = c.sshd.Wait() })
	return c
}

func (c *checkBench) shell(script string) string {
	c.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		c.Fatalf("%s: %v: %s", script, err, out)
	}
	return string(out)
}

func (c *checkBench) write(name, text string) {
	c.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(c.home, name)), 0o755); err != nil {
		c.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.home, name), []byte(text), 0o600); err != nil {
		c.Fatal(err)
	}
}

// tick of the CPU times in /proc, a second (sysconf(_SC_CLK_TCK)).
const tick = 100.0

// cpu gives the seconds of CPU that a process and all that descend from it have used, those that have ended included.
func cpu(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	sum := 0.0
	for _, i := range []int{11, 12, 13, 14} { // utime stime cutime cstime
		n, _ := strconv.ParseFloat(f[i], 64)
		sum += n / tick
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, l := range lists {
		children, _ := os.ReadFile(l)
		for _, w := range strings.Fields(string(children)) {
			n, _ := strconv.Atoi(w)
			sum += cpu(n)
		}
	}
	return sum
}

// server runs jarvis with so many tasks on all hosts, each so often.
func (c *checkBench) server(tasks int, every time.Duration) (pid int, stats func() checks.Stats, stop func()) {
	c.Helper()
	var defs strings.Builder
	fmt.Fprintf(&defs, "data: %s\nlisten: ''\nchecks:\n  at_once: 64\n  tasks:\n", filepath.Join(c.home, fmt.Sprint("data", time.Now().UnixNano())))
	for i := range tasks {
		fmt.Fprintf(&defs, "    - {name: load%d, command: %q, schedule: '@every %s'}\n", i, c.plugin, every)
	}
	defs.WriteString("  host_tasks: [{tasks: ['*'], hosts: [\"" + strings.Join(c.hosts, `", "`) + "\"]}]\n")
	c.write("jarvis.yaml", defs.String())
	conf := filepath.Join(c.home, "jarvis.yaml")
	env := append(os.Environ(), "HOME="+c.home, "SSH_AUTH_SOCK=")
	srv := exec.Command(c.bin, "--config", conf, "serve")
	srv.Env, srv.Stderr = env, os.Stderr
	srv.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := srv.Start(); err != nil {
		c.Fatal(err)
	}
	stats = func() (s checks.Stats) {
		cmd := exec.CommandContext(context.Background(), c.bin, "--config", conf, "check", "stats", "--json")
		cmd.Env = env
		out, err := cmd.Output()
		var a struct{ Data checks.Stats }
		if err == nil && contract.Unmarshal(out, &a) == nil {
			return a.Data
		}
		return s
	}
	for stats().Checks == 0 {
		time.Sleep(200 * time.Millisecond)
	}
	return srv.Process.Pid, stats, func() { _ = srv.Process.Signal(syscall.SIGTERM); _ = srv.Wait() }
}

// measured is how long a rate is counted.
func measured() time.Duration { return small(time.Minute, 3*time.Second) }

// measure gives what happens in that time.
func (c *checkBench) measure(pid int, count func() float64) rate {
	own, hosts, n, began := cpu(pid), cpu(c.sshd.Process.Pid), count(), time.Now()
	time.Sleep(measured())
	took := time.Since(began).Seconds()
	return rate{(count() - n) / took, (cpu(pid) - own) / took, (cpu(c.sshd.Process.Pid) - hosts) / took}
}

// sustained is what everybody has: each host ten times a minute.
func (c *checkBench) sustained() {
	pid, stats, stop := c.server(10, small(time.Minute, 6*time.Second))
	defer stop()
	time.Sleep(small(90*time.Second, 8*time.Second)) // all have run once, and connect no more
	var s checks.Stats
	r := c.measure(pid, func() float64 { s = stats(); return 0 })
	r.checks = float64(s.Started) / 60
	fmt.Printf("%d hosts × 10 checks a minute: %s; lag %.1f ms on average, %.0f ms at most; %d MB\n", c.n, r, float64(s.Lag.Microseconds())/1000, float64(s.MaxLag.Microseconds())/1000, anonymous(pid)/1024)
	if s.Problems > 0 || s.Down > 0 {
		c.Errorf("%+v", s)
	}
}

// most is the highest rate: everything is always due.
func (c *checkBench) most() rate {
	pid, stats, stop := c.server(10, time.Second)
	defer stop()
	time.Sleep(small(time.Minute, 3*time.Second))
	var s checks.Stats
	r := c.measure(pid, func() float64 { s = stats(); return 0 })
	r.checks = float64(s.Written) / 60
	fmt.Printf("as fast as it goes:              %s; %d MB\n", r, anonymous(pid)/1024)
	return r
}

// icinga runs Icinga 2 with check_by_ssh on the same hosts, as fast as it goes.
func (c *checkBench) icinga(jarvis rate) {
	dir := filepath.Join(c.home, "icinga")
	for _, sub := range []string{"data/certs", "cache", "log", "run", "spool"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			c.Fatal(err)
		}
	}
	var conf strings.Builder
	fmt.Fprintf(&conf, `const NodeName = "localhost"
const PluginDir = "/usr/lib/nagios/plugins"
const MaxConcurrentChecks = 64
object CheckerComponent "checker" { }
object CheckCommand "by_ssh" {
  command = [ PluginDir + "/check_by_ssh", "-q", "-F", "%s", "-t", "30", "-H", "$host.name$", "-C", "%s" ]
}
`, filepath.Join(c.home, ".ssh/config"), c.plugin)
	for _, h := range c.hosts {
		fmt.Fprintf(&conf, "object Host %q { check_command = \"by_ssh\"; enable_active_checks = false }\n", h)
		for i := range 10 {
			fmt.Fprintf(&conf, "object Service \"load%d\" { host_name = %q; check_command = \"by_ssh\"; check_interval = 1; retry_interval = 1; max_check_attempts = 1 }\n", i, h)
		}
	}
	c.write("icinga/icinga2.conf", conf.String())
	args := []string{"daemon", "-c", filepath.Join(dir, "icinga2.conf"), "-DPidPath=" + dir + "/icinga.pid", "-DRunAsUser=root", "-DRunAsGroup=root"}
	for k, sub := range map[string]string{"DataDir": "data", "CacheDir": "cache", "LogDir": "log", "InitRunDir": "run", "SpoolDir": "spool"} {
		args = append(args, "-D"+k+"="+filepath.Join(dir, sub))
	}
	i := exec.Command("icinga2", args...)
	i.Env = append(os.Environ(), "HOME="+c.home, "SSH_AUTH_SOCK=")
	i.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	log, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		c.Fatal(err)
	}
	i.Stdout, i.Stderr = log, log
	if err := i.Start(); err != nil {
		c.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-i.Process.Pid, syscall.SIGKILL); _ = i.Wait() }()
	time.Sleep(30 * time.Second)
	// Each check is one login at our sshd: its forks say how many there were.
	r := c.measure(i.Process.Pid, c.logins)
	fmt.Printf("Icinga 2 and check_by_ssh:       %s; %d MB\n", r, anonymous(i.Process.Pid)/1024)
	if r.checks == 0 {
		out, _ := os.ReadFile(log.Name())
		c.Fatalf("it ran nothing:\n%s", last(out))
	}
	fmt.Printf("at the same CPU of the monitor Jarvis runs %.1f times as many checks, at the same CPU of all %.1f times\n",
		(jarvis.checks/jarvis.own)/(r.checks/r.own), (jarvis.checks/(jarvis.own+jarvis.sshd))/(r.checks/(r.own+r.sshd)))
}

// logins counts connections that the machine accepted (PassiveOpens of /proc/net/snmp): each login is one.
func (c *checkBench) logins() float64 {
	b, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		c.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "Tcp:") {
			lines = append(lines, l)
		}
	}
	names, values := strings.Fields(lines[0]), strings.Fields(lines[1])
	for i, n := range names {
		if n == "PassiveOpens" {
			v, _ := strconv.ParseFloat(values[i], 64)
			return v
		}
	}
	return 0
}
