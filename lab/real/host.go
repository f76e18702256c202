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

// base makes the root file system that hosts share, once, in the user's cache folder.
func base(ctx context.Context) (string, error) {
	return debian(ctx, "bookworm-3", "openssh-server,sudo,tini,busybox,procps,monitoring-plugins-basic,tcsh,fish,dropbear-bin,libpam-oath", func(dir string) error {
		keys, err := filepath.Glob(filepath.Join(dir, "etc/ssh/ssh_host_*"))
		for _, k := range keys {
			err = errors.Join(err, os.Remove(k))
		}
		return err
	})
}

// hostUser is one of user-data's.
type hostUser struct {
	Name, Shell, Sudo string
	Keys              []string `yaml:"ssh_authorized_keys"`
}

// make does what cloud-init does for a user who is not root.
func (u hostUser) make(ctx context.Context, root string) error {
	if u.Name == "root" {
		return nil
	}
	script := `set -e
useradd -m -s "$2" -p '*' "$1"
mkdir -m 700 "/home/$1/.ssh"
printf '%s\n' "$4" > "/home/$1/.ssh/authorized_keys"
chown -R "$1:" "/home/$1/.ssh"
printf '%s %s\n' "$1" "$3" > "/etc/sudoers.d/$1"`
	out, err := exec.CommandContext(ctx, "chroot", root, "sh", "-c", script, "jarvis", u.Name, u.Shell, u.Sudo, strings.Join(u.Keys, "\n")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make the user %s: %w: %s", u.Name, err, out)
	}
	return nil
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
		NoRoot   bool              `yaml:"disable_root"`
		Users    []hostUser        `yaml:"users"`
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
	if err := overlay(lower, dir); err != nil {
		return nil, err
	}
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if d.NoRoot {
		d.Login = nil // cloud-init leaves root a key that runs nothing
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
	for _, u := range d.Users {
		if err := u.make(ctx, h.Root); err != nil {
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

// stop ends the host for good, with its disk.
func (h *Host) stop() error {
	h.mu.Lock()
	h.gone = true
	h.mu.Unlock()
	h.Off()
	return removeOverlay(h.dir)
}
