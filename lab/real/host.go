package real

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.yaml.in/yaml/v4"
)

// Host is a Debian of its own on one address: overlay root, own mount, pid, uts and ipc namespaces, own sshd. It has
// been through what cloud-init does with its user-data. It needs root.
type Host struct {
	Addr string // host:port
	Root string // its file system, as seen from here

	dir, name string

	mu   sync.Mutex
	proc *proc // nil while it is off
	gone bool
}

//go:embed host.sh
var hostScript string

// base makes the shared root file system once, in the user's cache folder.
func base(ctx context.Context) (string, error) {
	bin, err := need("mmdebstrap", "mmdebstrap")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "jarvis-lab", "bookworm-2")
	if _, err := os.Stat(filepath.Join(dir, ".done")); err == nil {
		return dir, nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Dir(dir), 0o755)); err != nil {
		return "", err
	}
	args := []string{"--quiet", "--variant=minbase", "--include=openssh-server,sudo,tini,busybox,procps,monitoring-plugins-basic", `--aptopt=Acquire::Languages "none"`, "bookworm", dir}
	for _, sources := range []string{"/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"} {
		if b, err := os.ReadFile(sources); err == nil && strings.Contains(string(b), "bookworm") {
			args = append(args, sources)
			break
		}
	}
	if err := run(ctx, "", bin, args...); err != nil {
		return "", fmt.Errorf("make the hosts' base system: %w", err)
	}
	keys, err := filepath.Glob(filepath.Join(dir, "etc/ssh/ssh_host_*"))
	if err != nil {
		return "", err
	}
	for _, k := range keys {
		if err := os.Remove(k); err != nil {
			return "", err
		}
	}
	return dir, os.WriteFile(filepath.Join(dir, ".done"), nil, 0o644)
}

// StartHost boots a host on an address of 127/8 with its user-data.
func StartHost(ctx context.Context, addr, userData string) (*Host, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("hosts with root file systems of their own need root")
	}
	lower, err := base(ctx)
	if err != nil {
		return nil, err
	}
	var d struct {
		Hostname string            `yaml:"hostname"`
		FQDN     string            `yaml:"fqdn"`
		Keys     map[string]string `yaml:"ssh_keys"`
		Login    []string          `yaml:"ssh_authorized_keys"`
		Chpasswd struct {
			Users []struct{ Name, Password string } `yaml:"users"`
		} `yaml:"chpasswd"`
	}
	if err := yaml.Unmarshal([]byte(userData), &d); err != nil {
		return nil, fmt.Errorf("read the user-data: %w", err)
	}
	dir, err := folder("host-" + d.Hostname)
	if err != nil {
		return nil, err
	}
	h := &Host{Addr: addr, dir: dir, name: d.Hostname, Root: filepath.Join(dir, "root")}
	for _, sub := range []string{"up", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	opts := "lowerdir=" + lower + ",upperdir=" + filepath.Join(dir, "up") + ",workdir=" + filepath.Join(dir, "work")
	if err := syscall.Mount("overlay", h.Root, "overlay", 0, opts); err != nil {
		return nil, fmt.Errorf("mount the host's root: %w", err)
	}
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	files := []struct {
		name, text string
		mode       os.FileMode
	}{
		{"etc/hostname", d.Hostname + "\n", 0o644},
		{"etc/hosts", fmt.Sprintf("127.0.0.1 localhost\n%s %s %s\n", ip, d.FQDN, d.Hostname), 0o644},
		{"etc/ssh/ssh_host_ed25519_key", d.Keys["ed25519_private"], 0o600},
		{"etc/ssh/ssh_host_ed25519_key.pub", d.Keys["ed25519_public"] + "\n", 0o644},
		{"root/.ssh/authorized_keys", strings.Join(d.Login, "\n") + "\n", 0o600},
		{"etc/ssh/sshd_config", fmt.Sprintf("ListenAddress %s\nPort %s\nUsePAM no\nPermitRootLogin prohibit-password\nMaxStartups 100:30:200\nSubsystem sftp internal-sftp\n", ip, port), 0o644},
	}
	for _, word := range []string{"reboot", "poweroff", "shutdown"} {
		files = append(files, struct {
			name, text string
			mode       os.FileMode
		}{"usr/local/sbin/" + word, "#!/bin/sh\necho " + word + " > /.power\nkill -TERM 1\n", 0o755})
	}
	for _, f := range files {
		name := filepath.Join(h.Root, f.name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(f.text), f.mode)); err != nil {
			return nil, errors.Join(err, h.stop())
		}
	}
	for _, u := range d.Chpasswd.Users {
		cmd := exec.CommandContext(ctx, "chroot", h.Root, "chpasswd", "-e")
		cmd.Stdin = strings.NewReader(u.Name + ":" + u.Password + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("set the password of %s: %w: %s", u.Name, err, out), h.stop())
		}
	}
	script := filepath.Join(dir, "host.sh")
	if err := os.WriteFile(script, []byte(hostScript), 0o755); err != nil {
		return nil, errors.Join(err, h.stop())
	}
	if err := h.On(); err != nil {
		return nil, errors.Join(err, h.stop())
	}
	return h, nil
}

// On powers the host on.
func (h *Host) On() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc != nil || h.gone {
		return nil
	}
	p, err := start("", "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--propagation", "private", "--", "/bin/sh", filepath.Join(h.dir, "host.sh"), h.Root, h.name)
	if err != nil {
		return err
	}
	if err := p.until("the host "+h.name, 15*time.Second, dial(h.Addr)); err != nil {
		p.kill()
		return err
	}
	h.proc = p
	go func() {
		// When the host went down of itself, it said whether it wants to come back.
		<-p.done
		power := filepath.Join(h.Root, ".power")
		b, _ := os.ReadFile(power)
		_ = os.Remove(power)
		h.mu.Lock()
		mine := h.proc == p
		if mine {
			p.kill()
			h.proc = nil
		}
		h.mu.Unlock()
		if mine && strings.TrimSpace(string(b)) != "poweroff" && len(b) > 0 {
			_ = h.On()
		}
	}()
	return nil
}

// Off pulls the plug; what is on the disk stays.
func (h *Host) Off() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc != nil {
		h.proc.kill()
		h.proc = nil
	}
}

// ReadFile reads a file of the host.
func (h *Host) ReadFile(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(h.Root, name))
	return string(b), err
}

// Stop pulls the plug and removes the host.
func (h *Host) Stop() { _ = h.stop() }

func (h *Host) stop() error {
	h.mu.Lock()
	h.gone = true
	h.mu.Unlock()
	h.Off()
	var err error
	for range 100 {
		if err = syscall.Unmount(h.Root, 0); err == nil || errors.Is(err, syscall.EINVAL) {
			return os.RemoveAll(h.dir)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
