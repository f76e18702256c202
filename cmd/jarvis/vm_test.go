//go:build vm

// `make vm` runs this file alone: it is the longest test, and its machines really boot.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// machineTime is how long anything may take that waits for an emulated machine.
const machineTime = 20 * time.Minute

// vmSite is a site whose only provider is libvirtd, with Jarvis as a process of its own.
type vmSite struct {
	*site
	libvirt *real.Libvirt
	kernels real.Kernels
	jarvis  *process
	begun   time.Time
}

func newVMSite(t *testing.T) *vmSite {
	t.Helper()
	ctx := t.Context()
	s := &vmSite{site: newServers(t, "loki"), begun: time.Now()}
	s.libvirt = must[*real.Libvirt](t)(real.StartLibvirt(ctx))
	t.Cleanup(s.libvirt.Stop)
	s.kernels = must[real.Kernels](t)(s.libvirt.CloudImage(ctx, "debian12.qcow2"))
	s.stamp("the image is there, with the kernel %s and %s in its repository", s.kernels.Old, s.kernels.New)
	s.configure("", fmt.Sprintf("  libvirt: {url: \"qemu:///session\", socket: %q, type: qemu, network: user, forward: {addresses: 127.0.13.0/24, port: 2222}, images: {Debian 12: images/debian12.qcow2}}\n", s.libvirt.Socket))
	log := must[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "log")))
	s.jarvis = &process{t: t, bin: buildJarvis(t), conf: s.conf, log: log}
	s.jarvis.start()
	t.Cleanup(func() {
		s.jarvis.kill()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("the end of the log:\n%s", b[max(0, len(b)-4000):])
		}
	})
	s.join()
	return s
}

// stamp logs with the time since the beginning.
func (s *vmSite) stamp(format string, args ...any) {
	s.Helper()
	s.Logf("%4.0f s  %s", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
}

// events gives what happened in loki's newest run.
func (s *vmSite) events() []pipeline.Event {
	out, err := s.jarvis.cli(s.Context(), "log", "loki", "--json")
	var a struct{ Data []pipeline.Event }
	if err != nil || contract.Unmarshal(out, &a) != nil {
		return nil // it is being started again
	}
	return a.Data
}

// passes waits until the run has done a stage, counted from 0.
func (s *vmSite) passes(stage int, step string) {
	s.Helper()
	for end := time.Now().Add(machineTime); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		for _, ev := range s.events() {
			if ev.Step == step && ev.Stage == stage && ev.Kind == pipeline.EvDone {
				return
			}
		}
	}
	s.Fatalf("the run does not come past %s", step)
}

// in runs a command in the machine with OpenSSH, which trusts nothing but Jarvis's known_hosts. A machine that is
// booting starts its sshd again under us, so a connection that does not come about is tried again.
func (s *vmSite) in(command string) string {
	s.Helper()
	data := filepath.Join(filepath.Dir(s.conf), "data")
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		out, err := exec.CommandContext(s.Context(), "ssh", "-F", "none", "-i", filepath.Join(data, "id_ed25519"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null",
			"-o", "UserKnownHostsFile="+filepath.Join(data, "known_hosts"), "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-p", "2222", "root@"+s.dig("loki.websages.com", "A"), command).CombinedOutput()
		var ended *exec.ExitError
		if noConnection := errors.As(err, &ended) && ended.ExitCode() == 255; noConnection && time.Now().Before(end) {
			continue
		}
		if err != nil {
			s.Errorf("%s: %v: %s", command, err, out)
		}
		return strings.TrimSpace(string(out))
	}
}

// TestRedeployOnAMachineThatBoots redeploys a host on a machine that boots by its own boot loader, runs the real
// cloud-init, gets a newer kernel and reboots into it. Jarvis is killed while the machine boots. Nineteen stages, from
// one line in chat.
func TestRedeployOnAMachineThatBoots(t *testing.T) {
	s := newVMSite(t)
	ctx := t.Context()
	one := "instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: libvirt\n  guestid: Debian 12\n  size: {memory: 450MB, cpus: 2}\n  disk: 4GB\n  disks: [{size: 2GB}, {size: 1GB, mount: /srv/data}]\n  tags: {team: web}\n  login: {port: 2222}\n  standby: thor\n" +
		"  filesystems:\n    - {device: tmpfs, mount: /srv/cache, type: tmpfs, options: \"size=16m\"}\n"

	// The old machine comes as far as it must to be found in production, and to obey when it is to shut down.
	s.put("old", one+"steps: [keys:create, libvirt:deploy, libvirt:get_pub_ip, ssh:wait, dns:update_host]\n")
	s.put("loki", one)
	s.say("deploy {old}")
	s.hearWithin(machineTime, `alice: loki is ready: .*, 5 stages in `)
	oldID := s.in("cat /var/lib/cloud/data/instance-id")
	s.stamp("the old machine is %s, with the kernel %s", oldID, s.in("uname -r"))
	s.update("add www.websages.com 2 CNAME loki.websages.com.")

	s.say("redeploy {loki}")
	s.hear(`alice: loki\.websages\.com on libvirt, 19 stages, run \d+\.`)
	s.passes(7, "libvirt:get_pub_ip")
	time.Sleep(5 * time.Second)
	s.jarvis.kill()
	s.stamp("Jarvis was killed while the new machine boots")
	time.Sleep(3 * time.Second)
	s.jarvis.start()
	ready := s.hearWithin(2*machineTime, `alice: loki is ready: .*, 19 stages in `)
	s.stamp("%s", ready)

	said := map[string]string{}
	done := 0
	for _, ev := range s.events() {
		if ev.Kind == pipeline.EvDone {
			done++
			said[ev.Step] = ev.Text
			s.Logf("%s  %2d %-30s %-8s %s", ev.At.Format("15:04:05"), ev.Stage+1, ev.Step, ev.Took.Round(time.Second), ev.Text)
		}
	}
	if done != 19 {
		t.Errorf("%d stages are done", done)
	}
	uname := s.in("uname -r")
	newest := s.in("ls /boot | sed -n 's/^vmlinuz-//p' | sort -V | tail -n 1")
	s.stamp("uname -r: %s; /boot has %s", uname, s.in("ls /boot | grep vmlinuz | tr '\\n' ' '"))
	if uname != newest || said["ssh:upgrade_kernel"] != "the kernel "+newest+" is installed and wants a reboot" || said["libvirt:set_kernel"] != "rebooted" {
		t.Errorf("it runs %s, and has %s; the kernel's steps said %q and %q", uname, newest, said["ssh:upgrade_kernel"], said["libvirt:set_kernel"])
	}
	if got := s.in("dpkg-query -W -f '${Version}' linux-image-cloud-amd64"); got != s.kernels.New {
		t.Errorf("the kernel's package is %s, want %s", got, s.kernels.New)
	}
	status := s.in("cloud-init status --wait --long")
	s.stamp("cloud-init status --long: %s", status)
	if !strings.Contains(status, "status: done") || strings.Contains(status, "error") {
		t.Errorf("cloud-init says %s", status)
	}
	if log := s.in("grep -ciE 'traceback|schema.*(error|invalid)' /var/log/cloud-init.log || true"); log != "0" {
		t.Errorf("cloud-init's log has %s lines of trouble", log)
	}
	if id := s.in("cat /var/lib/cloud/data/instance-id"); id == oldID {
		t.Errorf("the machine is still %s", id)
	}
	if got := s.in("hostname -f") + " " + s.in("df -BG --output=size / | tail -n 1 | tr -d ' '"); got != "loki.websages.com 4G" {
		t.Errorf("name and disk are %q", got)
	}
	if got := s.in("cat /root/applied; findmnt -n -o FSTYPE /srv/cache"); got != "ran\ntmpfs" {
		t.Errorf("the machine has %q", got)
	}
	// The second disk got a file system at the first boot, and fstab has mounted it at the next one, with the new
	// kernel.
	if got, disk := s.in("findmnt -n -o SOURCE,FSTYPE,OPTIONS /srv/data"), s.in("readlink -f /dev/disk/by-id/virtio-jarvis-disk2"); !strings.HasPrefix(got, disk+" ") || !strings.Contains(got, "ext4") {
		t.Errorf("/srv/data is %q, want %s", got, disk)
	}
	if got := s.in("grep ^jarvis: /var/log/cloud-init-output.log; blkid -p /dev/disk/by-id/virtio-jarvis-disk1; grep -c /srv/data /etc/fstab"); !strings.Contains(got, "it becomes ext4 for /srv/data") || !strings.HasSuffix(got, "\n1") || strings.Contains(got, "disk1:") {
		t.Errorf("of its disks the machine says %q", got)
	}
	// Its own keys, made after the first contact: that of the user-data is not among them.
	first := s.in("grep -o 'ssh-ed25519 [^ ]*' /var/lib/cloud/instance/user-data.txt | head -n 1")
	if own := s.in("cat /etc/ssh/ssh_host_*_key.pub"); first == "" || strings.Contains(own, first) {
		t.Errorf("the host key of the user-data is still the host's: %q in %q", first, own)
	}
	if got := s.dig("www.websages.com", "CNAME"); got != "loki.websages.com." {
		t.Errorf("www is at %s", got)
	}
	if !must[bool](t)(s.git.Reads(ctx, s.in("cat /root/.ssh/id_ed25519")+"\n")) {
		t.Error("gitolite refuses the machine's key")
	}
	s.say("run loki uname -r")
	s.hear(`alice: loki: ` + newest)

	s.update("delete www.websages.com")
	s.say("destroy loki")
	s.hearWithin(machineTime, `alice: loki is destroyed, 10 stages in`)
	if left := must[[]string](t)(s.libvirt.Volumes()); len(left) > 0 {
		t.Errorf("the pool still has %v", left)
	}
	s.stamp("destroyed")
}
