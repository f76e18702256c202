package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// openSSHFleet starts n OpenSSH servers that share this machine's programs; each sees a directory of its own at target,
// in memory (and what more makes of it), since the disks of rented machines write at another speed each time, and a
// home without the start-up files of ours. It needs root.
func (t *bench) openSSHFleet(n int, target, more string) (addrs []string, id string) {
	t.Helper()
	dir := t.TempDir()
	sh := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	key := func(name string) string { return filepath.Join(dir, name) }
	sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key("hk"))
	sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key("id"))
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("HostKey %s\nUsePAM no\nPidFile none\nStrictModes no\nAuthorizedKeysFile %s\nPermitRootLogin prohibit-password\nMaxStartups 100:30:200\nLogLevel ERROR\n", key("hk"), key("id.pub"))
	if err := os.WriteFile(key("cfg"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(key("hk.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		t.Fatal(err)
	}
	known := ""
	for i := range n {
		ip := fmt.Sprintf("127.32.0.%d", i+1)
		cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", "mount -t tmpfs none "+target+"; mount -t tmpfs none /root; "+more+" exec /usr/sbin/sshd -D -f "+key("cfg")+" -o ListenAddress="+ip+":2222")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		for range 200 {
			if c, err := net.Dial("tcp", ip+":2222"); err == nil {
				_ = c.Close()
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		addrs = append(addrs, ip)
		known += fmt.Sprintf("[%s]:2222 %s", ip, pub)
	}
	ssh := filepath.Join(t.home, ".ssh")
	for name, text := range map[string]string{
		"known_hosts": known, "config": "Host *\n  User root\n  Port 2222\n  IdentityFile " + key("id") + "\n  UserKnownHostsFile " + filepath.Join(ssh, "known_hosts") + "\n",
	} {
		if err := os.WriteFile(filepath.Join(ssh, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return addrs, key("id")
}

// files sends 100 MB, and a tree of 5,000 small files, to 20 hosts.
func (t *bench) files(jarvis string) {
	const target = "/srv/jarvis-bench"
	n := small(20, 2)
	fleet := fmt.Sprintf("127.32.0.[1-%d]:2222", n)
	if err := os.MkdirAll(filepath.Join(t.home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	addrs, id := t.openSSHFleet(n, target, "")
	conf := filepath.Join(t.home, ".ssh", "config")
	src := t.TempDir()
	sh := func(script string) {
		t.Helper()
		cmd := exec.Command("bash", "-ec", script)
		cmd.Dir = src
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, last(out))
		}
	}
	sh(fmt.Sprintf("mkdir big tree; head -c %d /dev/urandom > big/file; for d in $(seq %d);", small(100_000_000, 1_000_000), small(100, 2)) + ` do mkdir tree/$d; for f in $(seq 50); do head -c $((500 + RANDOM % 8000)) /dev/urandom > tree/$d/$f; done; done`)
	t.Chdir(src)
	clean := func() {
		t.took(1, jarvis, "exec", "--direct", "-y", "-k", id, "-o", fleet, "rm -rf "+target+"/*")
		sh("sync")
	}
	all := strings.Join(addrs, " ")
	upload := func(what string) []string {
		return []string{jarvis, "upload", "-q", "-y", "-k", id, "-e", "-o", "root@" + fleet, "-r", target, what}
	}
	tarSSH := func(what string) []string {
		return []string{"bash", "-ec", "for h in " + all + "; do tar -cf - " + what + " | ssh -F " + conf + " $h tar -xf - -C " + target + " & done; wait"}
	}
	rsync := func(what string) []string {
		return []string{"bash", "-ec", "for h in " + all + "; do rsync -a -e 'ssh -F " + conf + "' " + what + " $h:" + target + "/ & done; wait"}
	}
	server := filepath.Join(t.home, "jarvis.yaml")
	if err := os.WriteFile(server, fmt.Appendf(nil, "data: %s\nlisten: \"\"\nworkers: {ssh: {key: %s}}\n", filepath.Join(t.home, "data"), id), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stop := t.serve(jarvis, server)
	defer stop()
	through := func(what string) []string {
		return []string{jarvis, "--config", server, "upload", "-q", "-y", "-e", "-o", "root@" + fleet, "-r", target, what}
	}
	for _, what := range []string{"big", "tree"} {
		fmt.Printf("\n%s to %d hosts\n", map[string]string{"big": "one file of 100 MB", "tree": "5,000 small files"}[what], n)
		var base cost
		for _, c := range []struct {
			name  string
			args  []string
			again bool
		}{
			{"tar | ssh, all at once", tarSSH(what), false}, {"jarvis upload", upload(what), false}, {"rsync, all at once", rsync(what), false},
			{"rsync again, unchanged", rsync(what), true}, {"jarvis upload again, unchanged", upload(what), true},
			{"jarvis upload through the server", through(what), false}, {"the same again, unchanged", through(what), true},
		} {
			if testing.Short() && c.args[0] != jarvis {
				continue
			}
			if !c.again {
				clean()
			}
			if strings.HasPrefix(c.name, "jarvis upload again") {
				clean()
				t.took(1, jarvis, upload(what)[1:]...)
			}
			d := t.took(1, c.args[0], c.args[1:]...)
			if base.wall == 0 {
				base = d
			}
			t.say(c.name, d, base)
		}
	}
	clean()
	if testing.Short() {
		_ = os.Remove(target)
		return
	}
	// ansible's copy of a tree is an exchange for each file; that of one is enough to see.
	hosts := filepath.Join(t.home, ".ssh", "hosts")
	if err := os.WriteFile(hosts, []byte(strings.Join(addrs, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := t.took(1, "ansible", "all", "-i", hosts, "--ssh-common-args", "-F "+conf, "-f", fmt.Sprint(n), "-m", "copy", "-a", "src="+filepath.Join(src, "big/file")+" dest="+target+"/")
	t.say("ansible -m copy of the 100 MB", d, d)
	clean()
	_ = os.Remove(target)
}
