package real

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// SystemdHost is a Debian whose process 1 is systemd, for what is installed as a package: units, users, journal,
// reboots. It has a root file system and namespaces of its own, but the machine's network, so that it reaches the other
// servers of the lab on loopback; it has no kernel, block devices or udev. It needs root and a mount of cgroup2.
type SystemdHost struct {
	Root string // its file system, as seen from here

	dir, name, cgroup string

	mu    sync.Mutex
	proc  *proc // nil while it is off
	boots int
	gone  bool
	fault error // of the last boot that it did by itself
}

//go:embed systemd.sh
var systemdScript string

// masked are the units of Debian that need a kernel, consoles or a network of the host's own. Without this the host
// would be "degraded" before anything was done to it.
var masked = []string{"systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udev-settle.service", "systemd-udevd-kernel.socket",
	"systemd-udevd-control.socket", "systemd-modules-load.service", "kmod-static-nodes.service", "systemd-sysctl.service",
	"systemd-remount-fs.service", "systemd-pstore.service", "systemd-binfmt.service", "systemd-timesyncd.service",
	"systemd-networkd.service", "systemd-resolved.service", "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-config.mount",
	"sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount", "proc-sys-fs-binfmt_misc.automount",
	"proc-sys-fs-binfmt_misc.mount", "getty.target", "console-getty.service", "getty@tty1.service", "e2scrub_reap.service",
	"apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer",
	"ssh.service", "ssh.socket"} // port 22 is the machine's; a test starts sshd at an address of its own

// systemdBase makes the root file system that these hosts share, once, in the user's cache folder. What the package of
// Jarvis depends on and recommends is in it, so that installing it asks no mirror; rpm, for the other package; and cron
// and sshd, for what hosts are brought to.
func systemdBase(ctx context.Context) (string, error) {
	return debian(ctx, "bookworm-systemd-2", "systemd-sysv,dbus,procps,ca-certificates,git,tzdata,rpm,cron,openssh-server", furnish)
}

// furnish makes a system one that boots without a kernel of its own.
func furnish(dir string) error {
	etc := filepath.Join(dir, "etc/systemd")
	for _, unit := range masked {
		if err := os.Symlink("/dev/null", filepath.Join(etc, "system", unit)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	var errs []error
	for name, text := range map[string]string{
		"journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\nReadKMsg=no\nAudit=no\n",
		"system.conf.d/lab.conf":   "[Manager]\nDefaultTimeoutStopSec=10s\n",
		"../machine-id":            "",
	} {
		name = filepath.Join(etc, name)
		errs = append(errs, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644))
	}
	return errors.Join(append(errs, os.Symlink("/lib/systemd/system/multi-user.target", filepath.Join(etc, "system/default.target")))...)
}

// cgroup2 finds where the machine has its one tree of cgroups; on a hybrid machine that is not the usual place.
func cgroup2() (string, error) {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("no cgroup2 file system is mounted, which systemd needs; run: mount -t cgroup2 none /mnt")
}

// StartSystemdHost boots a host, and answers when systemd says that all of it runs.
func StartSystemdHost(ctx context.Context, name string) (*SystemdHost, error) {
	lower, err := systemdBase(ctx)
	if err != nil {
		return nil, err
	}
	return startSystemd(ctx, name, lower)
}

// startSystemd boots a host with what is in lower.
func startSystemd(ctx context.Context, name, lower string) (*SystemdHost, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("hosts with systemd need root")
	}
	tree, err := cgroup2()
	if err != nil {
		return nil, err
	}
	dir, err := folder("systemd-" + name)
	if err != nil {
		return nil, err
	}
	h := &SystemdHost{dir: dir, name: name, Root: filepath.Join(dir, "root"), cgroup: filepath.Join(tree, filepath.Base(dir))}
	if err := overlay(lower, dir); err != nil {
		return nil, err
	}
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil, errors.Join(err, h.stop())
	}
	for file, text := range map[string]string{
		"etc/hostname":    name + "\n",
		"etc/hosts":       "127.0.0.1 localhost " + name + "\n",
		"etc/resolv.conf": string(resolv),
	} {
		if err := os.WriteFile(filepath.Join(h.Root, file), []byte(text), 0o644); err != nil {
			return nil, errors.Join(err, h.stop())
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "systemd.sh"), []byte(systemdScript), 0o755); err != nil {
		return nil, errors.Join(err, h.stop())
	}
	if err := h.On(ctx); err != nil {
		return nil, errors.Join(err, h.stop())
	}
	return h, nil
}

// On powers the host on, and waits until it runs.
func (h *SystemdHost) On(ctx context.Context) error {
	h.mu.Lock()
	err := h.boot()
	h.mu.Unlock()
	if err != nil {
		return err
	}
	return h.running(ctx)
}

// boot starts process 1 in a cgroup of its own, which it must be in before its cgroup namespace is made.
func (h *SystemdHost) boot() error {
	if h.proc != nil || h.gone {
		return nil
	}
	h.boots++
	cg := filepath.Join(h.cgroup, "boot-"+strconv.Itoa(h.boots))
	if err := os.MkdirAll(cg, 0o755); err != nil {
		return err
	}
	p, err := start("", "/bin/sh", "-c", `echo $$ >"$1/cgroup.procs" && exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child --propagation private -- /bin/sh "$2" "$3" "$4"`,
		"boot", cg, filepath.Join(h.dir, "systemd.sh"), h.Root, h.name)
	if err != nil {
		return err
	}
	h.proc = p
	go func() {
		<-p.done
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.proc != p {
			return
		}
		h.proc = nil
		// The kernel ends process 1 of a pid namespace by SIGHUP when it called for a reboot (reboot(2)).
		if st, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signaled() && st.Signal() == syscall.SIGHUP {
			h.fault = h.boot() // told to who waits for the host
		}
	}()
	return nil
}

// running waits until systemd has come to its end, and says which units failed.
func (h *SystemdHost) running(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		out, err := h.Run(ctx, "systemctl is-system-running --wait")
		if err == nil {
			return nil
		}
		if strings.TrimSpace(out) == "degraded" {
			failed, ferr := h.Run(ctx, "systemctl --failed --no-legend --plain; journalctl -b -p warning --no-pager | tail -20")
			return errors.Join(fmt.Errorf("units failed on the host %s: %s", h.name, failed), ferr)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the host %s does not boot: %w; it said: %s", h.name, err, h.said())
		case <-time.After(50 * time.Millisecond): // before process 1 listens there is nothing to be told by
		}
	}
}

// said is what the host wrote on its console in this boot, or why it has none.
func (h *SystemdHost) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc == nil {
		return fmt.Sprintf("nothing, it is off (%v)", h.fault)
	}
	return h.proc.out.String()
}

// init gives the number of process 1, as seen from here.
func (h *SystemdHost) init() (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc == nil {
		return "", fmt.Errorf("the host %s is off", h.name)
	}
	pid := strconv.Itoa(h.proc.cmd.Process.Pid)
	b, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	if err != nil {
		return "", err
	}
	child, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	// Until systemd is there, the namespaces are still being furnished.
	if comm, err := os.ReadFile("/proc/" + child + "/comm"); err != nil || strings.TrimSpace(string(comm)) != "systemd" {
		return "", fmt.Errorf("the host %s has no systemd yet", h.name)
	}
	return child, nil
}

// Run runs a shell script on the host as root, and gives what it printed on stdout. The error has what it said on
// stderr.
func (h *SystemdHost) Run(ctx context.Context, script string, args ...string) (string, error) {
	out, errs, err := h.shell(ctx, nil, "cd /root\n"+script, args...)
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", script, err, strings.TrimSpace(out+errs))
	}
	return out, nil
}

// Sh runs a POSIX shell script of any length on the host as root, as remote.Shell does; err is for what kept it from
// its end.
func (h *SystemdHost) Sh(ctx context.Context, script string) (stdout, stderr string, exit int, err error) {
	stdout, stderr, err = h.shell(ctx, strings.NewReader(script), `s=$(cat; printf .); eval "${s%.}" < /dev/null`)
	if e := (*exec.ExitError)(nil); errors.As(err, &e) && e.Exited() {
		return stdout, stderr, e.ExitCode(), nil
	}
	return stdout, stderr, 0, err
}

// shell runs a script inside the host, with nothing of our environment.
func (h *SystemdHost) shell(ctx context.Context, stdin io.Reader, script string, args ...string) (stdout, stderr string, err error) {
	pid, err := h.init()
	if err != nil {
		return "", "", err
	}
	words := []string{"--target", pid, "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--", "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "sh", "-c", script, "lab"}
	cmd := exec.CommandContext(ctx, "nsenter", append(words, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err = cmd.Start()
	if err == nil {
		stop := goOn(cmd.Process)
		err = cmd.Wait()
		stop()
	}
	return out.String(), errs.String(), err
}

// goOn keeps nsenter from stopping, until stop. A host that goes down stops all its processes before it ends them;
// nsenter sees that of its own one, and stops itself in sympathy. Nobody in there can wake it, and a host does not end
// before its last process is reaped, which nsenter would do.
func goOn(nsenter *os.Process) (stop func()) {
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				_ = nsenter.Signal(syscall.SIGCONT)
			}
		}
	}()
	return func() { close(done) }
}

// Reboot has the host reboot itself, in order, and waits until it is back. A host that still answers from its earlier
// boot is asked again, as systemd refuses a reboot while it is in another transaction.
func (h *SystemdHost) Reboot(ctx context.Context) error {
	before, err := h.Run(ctx, "cat /proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, Patience(2*time.Minute))
	defer cancel()
	var asked, looked error
	for next := time.Now(); ; {
		if time.Now().After(next) {
			// The shell that asks may die with the host: what it says is told only when the host does not come back.
			_, asked = h.Run(wait, "systemctl reboot")
			next = time.Now().Add(20 * time.Second)
		}
		after, err := h.Run(wait, "cat /proc/sys/kernel/random/boot_id")
		if err == nil && after != before {
			return h.running(ctx)
		}
		if err != nil { // it is on its way
			next = time.Now().Add(20 * time.Second)
		}
		looked = err
		select {
		case <-wait.Done():
			return fmt.Errorf("the host %s does not come back from its reboot; systemctl reboot said: %v; the last look: %v; the host said: %s; under way there: %s", h.name, asked, looked, h.said(), h.underWay(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// underWay says what a host that does not come down is doing.
func (h *SystemdHost) underWay(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := h.Run(ctx, "systemctl is-system-running; systemctl list-jobs --no-pager; ps -eo pid,stat,wchan:20,cgroup:60,args; journalctl -b --no-pager -n 30")
	return fmt.Sprint(out, " ", err)
}

// Off pulls the plug; what is on the disk stays.
func (h *SystemdHost) Off() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc != nil {
		h.proc.kill()
		h.proc = nil
	}
}

// Stop pulls the plug and removes the host.
func (h *SystemdHost) Stop() { _ = h.stop() }

// stop ends the host for good, with its disk and its cgroup.
func (h *SystemdHost) stop() error {
	h.mu.Lock()
	h.gone = true
	h.mu.Unlock()
	h.Off()
	return errors.Join(removeOverlay(h.dir), removeTree(h.cgroup))
}

// removeTree removes a tree of cgroups, whose processes the kernel may still be burying.
func removeTree(root string) error {
	var err error
	for range 100 {
		var dirs []string
		err = filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
			err = os.Remove(dirs[i])
		}
		if err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
