//go:build package

// Package packaging holds what is around the program in its packages. This is their test: a fresh Debian with systemd,
// on which an administrator does nothing but what docs/howto/install.md and docs/howto/backup.md say.
package packaging

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// TestPackage is the life of an installation: from the package to a host that is ready, through reload, reboot and what
// is wrong, to another machine, on which what waited goes on.
func TestPackage(t *testing.T) {
	deb := built(t, "../dist", "jarvis_*_"+runtime.GOARCH+".deb")
	w := newWorld(t)
	m := newMachine(t, "jarvis1", w.here(deb))
	w.bring(m, deb)
	installed(m)
	configured(m, w)
	peopleOfTheMachine(m)
	alice := w.person(t, "alice")
	alice.meet()
	deployed(m, w, alice)
	bob := reloaded(m, w)
	rebooted(m, w, alice, bob)
	reinstalled(m)
	tasksOfAnotherUser(m)
	wrongConfiguration(m)
	moved(m, w, deb, bob)
}

// installed: it serves already, with nothing to work on.
func installed(m *machine) {
	m.t.Helper()
	m.asWritten("sha256sum -c --ignore-missing SHA256SUMS", "apt install ./jarvis_0.2.0_amd64.deb", "systemctl status jarvis")
	m.serving()
	m.want("stat -c '%U:%G %a %n' /etc/jarvis/jarvis.yaml /var/lib/jarvis /run/jarvis", "root:jarvis 640 /etc/jarvis/jarvis.yaml\njarvis:jarvis 700 /var/lib/jarvis\njarvis:jarvis 755 /run/jarvis")
	exposed(m)
	m.want("jarvis whoami | cut -d, -f1", "you are root")
	m.want("bash -c '. /usr/share/bash-completion/completions/jarvis; COMP_WORDS=(jarvis redep) COMP_CWORD=1; _jarvis; echo $COMPREPLY'", "redeploy")
}

// exposed: the unit lets the service do little, by systemd's own measure, of which 10 is no protection.
func exposed(m *machine) {
	m.t.Helper()
	for _, of := range []string{"--offline=true /usr/lib/systemd/system/jarvis.service", "jarvis"} {
		said := m.run("systemd-analyze security --no-pager " + of + " | grep 'exposure level for jarvis.service'")
		if got, err := strconv.ParseFloat(between(m.t, said, "jarvis.service: ", " "), 64); err != nil || got >= 2 {
			m.t.Errorf("the unit's exposure is %v, %v; want less than 2: %s", got, err, said)
		}
	}
}

// configured: by `jarvis init`, its questions answered by flags, and a few lines more that it does not ask for.
func configured(m *machine, w *world) {
	m.t.Helper()
	infra(m)
	m.copy("testdata/house", "etc/jarvis/workers/house")
	m.asWritten("cp authority.crt /usr/local/share/ca-certificates/", "update-ca-certificates")
	if out := m.asWritten("jarvis init --dir /etc/jarvis --yes "); !strings.Contains(out, "/etc/jarvis/jarvis.yaml is right; next:") {
		m.t.Errorf("jarvis init says %s", out)
	}
	m.want("stat -c '%U:%G %a' /etc/jarvis/jarvis.yaml; jarvis init --dir /etc/jarvis --yes 2>&1 | grep -o 'is there already'", "root:jarvis 640\nis there already")
	m.edit(func(text string) string { return text + w.more() })
	if out := m.asWritten("jarvis config check --online"); strings.Contains(out, "wrong") {
		m.t.Errorf("jarvis config check --online says\n%s", out)
	}
	m.edit(func(text string) string {
		return text + "tasks:\n  - {name: infra, repo: /var/lib/jarvis/infra.git, every: 1s}\n"
	}) // a folder of another user, which git as root would not touch
	m.asWritten("systemctl daemon-reload", "systemctl enable jarvis", "systemctl restart jarvis", "systemctl status jarvis", "usermod -aG jarvis alice", "jarvis doctor")
	m.serving()
	m.until("cat /var/lib/jarvis/said", "jarvis") // a reviewed task, on this machine
}

// infra makes a repository of reviewed tasks, as a team has it: one environment for the service's own user, one for
// another.
func infra(m *machine) {
	m.t.Helper()
	m.run(`git init -q --bare -b main /var/lib/jarvis/infra.git
git clone -q /var/lib/jarvis/infra.git infra 2>/dev/null
cd infra
git config user.name alice
git config user.email alice@example.org
mkdir -p envs/default envs/other
echo --- | tee envs/default/tasks.yaml >envs/other/tasks.yaml
git add -A
git commit -qm start
git push -q origin HEAD:main HEAD:done HEAD:done-other
echo '- task: {name: Say who, shell: "id -un >>/var/lib/jarvis/said"}' >>envs/default/tasks.yaml
echo '- task: {name: Say who, shell: "id -un >/tmp/said; cat /tmp/said"}' >>envs/other/tasks.yaml
git commit -qam 'say who'
git push -q origin HEAD:main
chown -R jarvis: /var/lib/jarvis/infra.git`)
}

// peopleOfTheMachine are who the kernel says; somebody who is not of the group reaches nothing.
func peopleOfTheMachine(m *machine) {
	m.t.Helper()
	m.want("runuser -u alice -- jarvis whoami", "you are alice, with the role admin")
	if out, err := m.Run(m.t.Context(), "runuser -u mallory -- jarvis status"); err == nil {
		m.t.Errorf("mallory is answered: %s", out)
	}
}

// deployed: from chat to a host that is ready.
func deployed(m *machine, w *world, alice person) {
	m.t.Helper()
	alice.Say("#ops", "jarvis: deploy cn=ymir")
	ip := between(m.t, alice.hear(`alice: ymir is ready: 127\.82\.`), "is ready: ", ",")
	if got, err := w.named.Dig(m.t.Context(), "ymir.websages.com", "A"); err != nil || got != ip {
		m.t.Errorf("ymir's address in DNS = %q, %v, want %s", got, err, ip)
	}
	if got, err := w.slapd.Search(m.t.Context(), "(cn=ymir)"); err != nil || !strings.Contains(got, "ipHostNumber: "+ip) {
		m.t.Errorf("ymir in the directory = %v\n%s", err, got)
	}
}

// reloaded: a second person comes in while the server runs, and so do approvals; a mistake is told, and changes
// nothing.
func reloaded(m *machine, w *world) person {
	m.t.Helper()
	m.edit(func(text string) string {
		text = strings.Replace(text, "approvals: {off: true}", "#", 1)
		return strings.Replace(text, "people:\n", "people:\n  - {name: bob, irc: \"nick:bob\", roles: [deploy]}\n", 1)
	})
	process := m.run("systemctl show -P MainPID jarvis")
	m.asWritten("systemctl reload jarvis")
	bob := w.person(m.t, "bob")
	bob.meet()
	bob.Say("#ops", "jarvis: whoami")
	bob.hear(`bob: you are bob, with the role deploy`)
	m.broken(func() {
		if out, err := m.Run(m.t.Context(), "systemctl reload jarvis"); err == nil {
			m.t.Errorf("a wrong configuration is taken over: %s", out)
		}
	})
	m.asWritten("systemctl reload jarvis")
	m.want("systemctl show -P MainPID jarvis", process)
	return bob
}

// rebooted: a run that waits outlives a reboot of the machine.
func rebooted(m *machine, w *world, alice, bob person) {
	m.t.Helper()
	alice.Say("#ops", "jarvis: deploy "+w.gist.URL+"/loki")
	run := between(m.t, alice.hear(`alice: loki\.websages\.com on ESX, 12 stages, run \d+\. It waits for a second person`), ", run ", ".")
	if err := m.Reboot(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	m.serving()
	bob.meet()
	bob.Say("#ops", "jarvis: approve "+run)
	bob.hear(`bob: loki: run ` + run + ` starts`)
	alice.hear(`alice: loki is ready: 127\.82\.`)
}

// reinstalled: the same package again is a new process and the same record.
func reinstalled(m *machine) {
	m.t.Helper()
	before := m.run("systemctl show -P MainPID jarvis")
	m.run("apt-get install -y --reinstall ./jarvis_*.deb")
	m.serving()
	if after := m.run("systemctl show -P MainPID jarvis"); after == before {
		m.t.Errorf("after an upgrade the old process %s goes on", after)
	}
	m.until("jarvis status loki", "ready")
}

// tasksOfAnotherUser: as the drop-in for them allows.
func tasksOfAnotherUser(m *machine) {
	m.t.Helper()
	const other = "  - {name: other, repo: /var/lib/jarvis/infra.git, every: 1s, env: other, user: games}\n"
	m.edit(func(text string) string { return text + other })
	m.asWritten("mkdir -p /etc/systemd/system/jarvis.service.d", "cp /usr/share/doc/jarvis/examples/task-user.conf /etc/systemd/system/jarvis.service.d/", "systemctl daemon-reload && systemctl restart jarvis")
	m.until("jarvis log other", "games")
	m.edit(func(text string) string { return strings.Replace(text, other, "", 1) })
	m.run("rm /etc/systemd/system/jarvis.service.d/task-user.conf")
	m.asWritten("systemctl daemon-reload && systemctl restart jarvis")
	m.serving()
}

// wrongConfiguration is said once, and does not start again and again.
func wrongConfiguration(m *machine) {
	m.t.Helper()
	m.broken(func() {
		if out, err := m.Run(m.t.Context(), "systemctl restart jarvis"); err == nil {
			m.t.Errorf("a service with a wrong configuration starts: %s", out)
		}
		m.want("for p in ActiveState ExecMainStatus NRestarts; do systemctl show -P $p jarvis; done", "failed\n2\n0")
	})
	m.asWritten("systemctl restart jarvis")
	m.serving()
}

const web2 = "instance:\n  hostname: web2\n  fqdn: web2.example.org\n  door: !secret open-sesame\nsteps: [house:greet, house:gate]\n"

// moved: a backup, a purge, and a restore on another machine. The record is there; what waited for a person waits, and
// goes on when he answers; of what waited in a step somebody is asked first, because the record is older than the
// world.
func moved(m *machine, w *world, deb string, bob person) {
	m.t.Helper()
	asked := m.run("runuser -u alice -- jarvis redeploy --no-wait ymir || [ $? -eq 5 ]")
	run := between(m.t, asked, ", run ", ".")
	m.write("root/web2.yaml", web2)
	m.run("jarvis deploy --no-wait web2.yaml")
	m.until("jarvis status web2", "the gate is closed")
	history := m.run("jarvis history loki; jarvis history ymir")
	m.asWritten("jarvis backup jarvis.backup --passphrase-file passphrase", "tar -C / -czf jarvis-etc.tar.gz etc/jarvis etc/systemd/system/jarvis.service.d")

	next := newMachine(m.t, "jarvis2", w.here(deb))
	w.bring(next, deb)
	for _, file := range []string{"jarvis.backup", "jarvis-etc.tar.gz"} {
		next.copy(m.Root+"/root/"+file, "root/"+file)
	}
	removed(m)

	next.asWritten("apt install ./jarvis_0.2.0_amd64.deb", "cp authority.crt /usr/local/share/ca-certificates/", "update-ca-certificates",
		"systemctl stop jarvis", "rm -r /var/lib/jarvis/*", "tar -C / -xzf jarvis-etc.tar.gz",
		"jarvis restore jarvis.backup /var/lib/jarvis --passphrase-file passphrase")
	infra(next)
	next.asWritten("systemctl daemon-reload", "systemctl restart jarvis", "jarvis status", "usermod -aG jarvis alice", "jarvis doctor")
	next.serving()
	next.want("jarvis history loki; jarvis history ymir", history)
	next.want("jarvis show web2 | grep -c 'door: !secret •••'", "1")

	bob.meet()
	bob.Say("#ops", "jarvis: approve "+run)
	bob.hear(`bob: ymir: run ` + run + ` starts`)
	next.until("jarvis status "+run, "ymir: is ready")
	next.until("jarvis status web2", "from a backup of")
	next.run("touch /etc/jarvis/workers/open && jarvis retry web2")
	next.until("jarvis status web2", "web2: is ready")
}

// removed: what cannot be made again is there; purged, nothing of ours is.
func removed(m *machine) {
	m.t.Helper()
	m.run("apt-get remove -y jarvis") // apt itself asks, when it removes
	m.want("ls /var/lib/jarvis/jarvis.db /etc/jarvis/jarvis.yaml; pgrep -u jarvis || echo no process", "/etc/jarvis/jarvis.yaml\n/var/lib/jarvis/jarvis.db\nno process")
	m.run("apt-get purge -y jarvis")
	m.want("ls -d /usr/bin/jarvis /var/lib/jarvis /run/jarvis /etc/jarvis/jarvis.yaml /etc/systemd/system/*/jarvis.service /usr/share/doc/jarvis 2>/dev/null || true", "")
	m.want("systemctl is-system-running", "running")
}

// TestPackageUpgrade takes over what the program of an earlier commit left, by its own package: who was ready is, what
// waited goes on.
func TestPackageUpgrade(t *testing.T) {
	deb := built(t, "../dist", "jarvis_*_"+runtime.GOARCH+".deb")
	m := newMachine(t, "jarvis0", strings.NewReplacer("jarvis_NEW_amd64.deb", "new.deb", "jarvis_0.2.0_amd64.deb", "older.deb"))
	m.copy(built(t, "../dist-older", "jarvis_older_"+runtime.GOARCH+".deb"), "root/older.deb")
	m.asWritten("apt install ./jarvis_0.2.0_amd64.deb")
	older := m.run("jarvis version")
	m.copy("testdata/house", "etc/jarvis/workers/house")
	m.run(`printf 'listen: ""\nworkers: {external: {dir: /etc/jarvis/workers}}\n' >>/etc/jarvis/jarvis.yaml && touch /etc/jarvis/workers/open && systemctl restart jarvis`)
	m.write("root/web0.yaml", strings.ReplaceAll(web2, "web2", "web0"))
	m.write("root/web1.yaml", strings.ReplaceAll(web2, "web2", "web1"))
	m.run("jarvis deploy web0.yaml && rm /etc/jarvis/workers/open && jarvis deploy --no-wait web1.yaml")
	m.until("jarvis status web1", "the gate is closed")

	m.copy(deb, "root/new.deb")
	m.asWritten("apt install -o Dpkg::Options::=--force-confold ./jarvis_NEW_amd64.deb")
	m.serving()
	if now := m.run("jarvis version"); now == older {
		t.Errorf("after the upgrade it is %s still", now)
	}
	m.want("grep -c external /etc/jarvis/jarvis.yaml", "1")
	m.asWritten("jarvis doctor")
	m.until("jarvis status web0", "ready")
	m.want("jarvis show web0 | grep -c 'door: !secret •••'", "1")
	m.until("jarvis status web1", "the gate is closed")
	m.run("touch /etc/jarvis/workers/open")
	m.until("jarvis status web1", "ready")
}

// TestPackageRPM is the other package, as far as it can be tried on a Debian: its files are in place, its scripts do
// what they should. The distributions that have rpm start nothing by themselves.
func TestPackageRPM(t *testing.T) {
	m := newMachine(t, "jarvis3", strings.NewReplacer())
	m.copy(built(t, "../dist", "jarvis-*."+map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]+".rpm"), "root/jarvis.rpm")
	m.run("rpm --install --nodeps jarvis.rpm")
	m.want("systemctl is-active jarvis || true", "inactive")
	m.asWritten("systemctl daemon-reload", "systemctl enable jarvis", "systemctl restart jarvis")
	m.serving()
	m.want("stat -c '%U:%G %a' /etc/jarvis/jarvis.yaml", "root:jarvis 640")
	m.run("rpm --erase jarvis")
	m.want("pgrep -u jarvis || ls /usr/bin/jarvis 2>/dev/null || ls /var/lib/jarvis/jarvis.db", "/var/lib/jarvis/jarvis.db")
}
