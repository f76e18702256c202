package real

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Gitolite is a git host behind an sshd of its own, with the repository `app` that hosts may read: their keys are in
// keydir/hosts of gitolite-admin, and their names are root-HOSTNAME.
type Gitolite struct {
	Admin      string // ssh://…/gitolite-admin
	KnownHosts string // file with the server's key
	AdminKey   string // file of the key that may push to gitolite-admin

	dir, ip, port string
	user          string // owns the repositories; sshd wants a login of its own for them
	proc          *proc
}

// StartGitolite starts a server whose hosts may be the ones named. It needs root.
func StartGitolite(ctx context.Context, hosts ...string) (*Gitolite, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("gitolite behind its own sshd needs root")
	}
	gitolite, err := need("gitolite", "gitolite3")
	if err != nil {
		return nil, err
	}
	sshd, err := need("sshd", "openssh-server")
	if err != nil {
		return nil, err
	}
	keygen, err := need("ssh-keygen", "openssh-client")
	if err != nil {
		return nil, err
	}
	dir, err := folder("gitolite")
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	g := &Gitolite{dir: dir, ip: "127.0.0.1", port: strconv.Itoa(port), AdminKey: filepath.Join(dir, "admin"), KnownHosts: filepath.Join(dir, "known_hosts")}
	g.user = "jarvislab" + g.port
	g.Admin = fmt.Sprintf("ssh://%s@%s:%s/gitolite-admin", g.user, g.ip, g.port)
	home := filepath.Join(dir, "home")
	// With the password * nobody can log in by one, and the account is not locked: sshd without PAM refuses a locked
	// one.
	if err := errors.Join(run(ctx, "", "useradd", "-r", "-M", "-s", "/bin/bash", "-p", "*", "-d", home, g.user), os.MkdirAll(home, 0o755), os.MkdirAll("/run/sshd", 0o755)); err != nil {
		return nil, err
	}
	for _, k := range []string{"admin", "hostkey"} {
		if err := run(ctx, "", keygen, "-q", "-t", "ed25519", "-N", "", "-C", k, "-f", filepath.Join(dir, k)); err != nil {
			return nil, err
		}
	}
	pub, err := os.ReadFile(filepath.Join(dir, "hostkey.pub"))
	if err != nil {
		return nil, err
	}
	adminPub, err := os.ReadFile(g.AdminKey + ".pub")
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("HostKey %s/hostkey\nPort %s\nListenAddress %s\nUsePAM no\nPidFile none\nStrictModes no\nAllowUsers %s\nPasswordAuthentication no\n", dir, g.port, g.ip, g.user)
	if err := errors.Join(os.WriteFile(g.KnownHosts, []byte(fmt.Sprintf("[%s]:%s %s", g.ip, g.port, pub)), 0o644),
		os.WriteFile(filepath.Join(home, "admin.pub"), adminPub, 0o644), os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(conf), 0o644), own(home, g.user)); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, gitolite, "setup", "-pk", filepath.Join(home, "admin.pub"))
	cmd.Env, cmd.Dir = []string{"HOME=" + home, "PATH=/usr/bin:/bin", "USER=" + g.user}, home
	if cmd.SysProcAttr, err = as(g.user); err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("gitolite setup: %w: %s", err, out)
	}
	if g.proc, err = start("", sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config")); err != nil {
		return nil, err
	}
	if err := g.proc.until("gitolite's sshd", 10*time.Second, dial(g.ip+":"+g.port)); err != nil {
		g.Stop()
		return nil, err
	}
	// The rule for hosts' keys, as an admin writes it.
	work := filepath.Join(dir, "work")
	rule := "repo app\n    RW+ = admin\n"
	for _, h := range hosts {
		rule += "    R = root-" + h + "\n"
	}
	script := `set -e; git clone -q "$1" "$2"; cd "$2"; printf '%s' "$3" >> conf/gitolite.conf; git add -A; git -c user.name=admin -c user.email=admin@lab commit -qm "app, read by hosts"; git push -q origin HEAD`
	c := exec.CommandContext(ctx, "sh", "-c", script, "sh", g.Admin, work, rule)
	c.Env = append(os.Environ(), g.sshEnv(g.AdminKey))
	if out, err := c.CombinedOutput(); err != nil {
		g.Stop()
		return nil, fmt.Errorf("set up gitolite's rules: %w: %s", err, out)
	}
	return g, nil
}

// sshEnv has git use this key and no other, and nothing of the user's configuration.
func (g *Gitolite) sshEnv(key string) string {
	return "GIT_SSH_COMMAND=ssh -q -F none -i " + key + " -o IdentitiesOnly=yes -o UserKnownHostsFile=" + g.KnownHosts
}

// Reads says whether a private key, given as text, may read the repository app.
func (g *Gitolite) Reads(ctx context.Context, key string) (bool, error) {
	file := filepath.Join(g.dir, "try")
	if err := errors.Join(os.RemoveAll(file), os.WriteFile(file, []byte(key), 0o600)); err != nil {
		return false, err
	}
	cmd := exec.CommandContext(ctx, "git", "ls-remote", strings.Replace(g.Admin, "gitolite-admin", "app", 1))
	cmd.Env = append(os.Environ(), g.sshEnv(file))
	return cmd.Run() == nil, nil
}

// Keys lists the hosts' key files in the admin repository.
func (g *Gitolite) Keys(ctx context.Context) ([]string, error) {
	cmd := exec.CommandContext(ctx, "git", "--git-dir", filepath.Join(g.dir, "home/repositories/gitolite-admin.git"), "-c", "safe.directory=*", "ls-tree", "-r", "--name-only", "HEAD", "keydir/hosts")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("git ls-tree: %w: %s", err, out)
	}
	return strings.Fields(string(out)), nil
}

// Stop ends it and removes its folder.
func (g *Gitolite) Stop() {
	if g.proc != nil {
		g.proc.kill()
	}
	_ = exec.Command("userdel", g.user).Run()
	_ = os.RemoveAll(g.dir)
}
