package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/examples"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// serveInProcess runs `jarvis serve` on a configuration until the test ends, or the returned function is called.
func serveInProcess(t testing.TB, confFile string, flags ...string) (stop func(), log *real.Buffer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log = &real.Buffer{}
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"--config", confFile, "serve"}, flags...), strings.NewReader(""), log, log)
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Error("serve does not stop")
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("the server's log:\n%s", log)
		}
	})
	for range 1000 {
		if strings.Contains(log.String(), "msg=ready") {
			return stop, log
		}
		select {
		case code := <-done:
			stopped = true
			t.Fatalf("serve ended with %d:\n%s", code, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("serve does not get ready:\n%s", log)
	return nil, nil
}

// jarvis runs one command line and gives what it printed.
func jarvis(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs real.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	code = run(ctx, args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

const yggdrasil = "instance:\n  hostname: ymir\n  fqdn: ymir.websages.com\n  provider: ESX\n  guestid: Debian 12\n"

// TestDeployFromIRCOverRealServers is the main job as a person does it: ngIRCd, BIND, slapd, OpenSSH on hosts with
// root file systems of their own.
func TestDeployFromIRCOverRealServers(t *testing.T) {
	ctx := t.Context()
	ircd := must[*real.IRCd](t)(real.StartIRCd())
	t.Cleanup(ircd.Stop)
	named := must[*real.Named](t)(real.StartNamed(ctx, "127.0.9.54"))
	t.Cleanup(named.Stop)
	slapd := must[*real.Slapd](t)(real.StartSlapd(ctx, examples.LDAPSchema, yggdrasil))
	t.Cleanup(slapd.Stop)
	rack := lab.NewRack(78, 22, func(addr, userData string) (lab.Machine, error) {
		return real.StartHost(context.Background(), addr, userData)
	})
	t.Cleanup(rack.Stop)
	vs := must[*lab.VSphere](t)(lab.StartVSphere(ctx, rack))
	t.Cleanup(vs.Stop)
	gist := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, examples.Loki)
	}))
	t.Cleanup(gist.Close)

	dir := t.TempDir()
	conf := filepath.Join(dir, "jarvis.yaml")
	text := fmt.Sprintf(`
data: ./data
listen: ""
limit: {burst: 1000}
chat:
  - irc: {server: %q, tls: true, ca: %q, nick: jarvis, channels: ["#ops"], rate: {burst: 10, interval: 100ms}}
people:
  - {name: root, local: root, roles: [admin]}
  - {name: alice, irc: "nick:alice", roles: [deploy, run]}
  - {name: bob, irc: "nick:bob", roles: [deploy]}
  - {name: victor, irc: "nick:victor", roles: [view]}
sources: {urls: [%q]}
workers:
  esx: {url: %q, insecure: true, template: %s, pool: %s}
  dns: {server: %q, ttl: 60, tsig: {name: %s, secret: %s}}
  ldap: {url: %q, start_tls: true, ca: %q, bind_dn: %q, password: %s, base: "ou=Hosts,%s"}
  ssh:
    port: 22
    default_config_management: lab
    config_management:
      lab: {install: "echo \"installed on $JARVIS_FQDN\" >> /root/bootstrap.log", run: "echo Applying; sleep 4; echo ran >> /root/bootstrap.log; echo Finished"}
`, ircd.TLS, ircd.CA, gist.URL+"/", vs.URL, lab.Template, lab.Pool, named.Addr, real.TSIGName, real.TSIGSecret, slapd.URL, slapd.CA, real.BindDN, real.BindPassword, real.Base)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, log := serveInProcess(t, conf)
	alice := must[*real.IRCClient](t)(real.DialIRC(ctx, ircd.Addr, "alice", "#ops"))
	t.Cleanup(alice.Close)
	if _, err := alice.Wait(`jarvis.*JOIN|353 .*jarvis`, 15*time.Second); err != nil {
		t.Fatal(err)
	}
	hear := func(pattern string) string {
		t.Helper()
		l, err := alice.Wait(pattern, 60*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(l[strings.Index(l, "PRIVMSG"):])
		return l
	}
	bob := must[*real.IRCClient](t)(real.DialIRC(ctx, ircd.Addr, "bob", "#ops"))
	t.Cleanup(bob.Close)
	approve := func(run int) {
		t.Helper()
		bob.Say("#ops", fmt.Sprintf("jarvis: approve %d", run))
		if _, err := bob.Wait(`bob: (loki|ymir): (run \d+ starts|taking back run)`, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	// The directory says that loki is in production: nobody deploys it alone.
	alice.Say("#ops", "jarvis: deploy "+gist.URL+"/loki")
	hear(`alice: loki\.websages\.com on ESX, 12 stages, run 1\. It waits for a second person, because loki is in production: its entry says so`)
	approve(1)
	hear(`alice: loki: run 1 is approved by bob`)
	alice.Say("#ops", "jarvis: status loki")
	hear(`alice: loki: stage \d+/12 [a-z]+:[a-z_]+`)
	ready := hear(`alice: loki is ready: 127\.78\.\d+\.\d+, 12 stages in .*, SHA256:`)
	if err := func() error { _, errs := rack.Booted(); return joined(errs) }(); err != nil {
		t.Fatal(err)
	}
	ip := strings.Split(strings.Split(ready, "is ready: ")[1], ",")[0]

	// BIND
	if got := must[string](t)(named.Dig(ctx, "loki.websages.com", "A")); got != ip {
		t.Errorf("A = %q, want %s", got, ip)
	}
	p := strings.Split(ip, ".")
	if got := must[string](t)(named.Dig(ctx, p[3]+"."+p[2]+"."+p[1]+"."+p[0]+".in-addr.arpa", "PTR")); got != "loki.websages.com." {
		t.Errorf("PTR = %q", got)
	}
	if got := must[string](t)(named.Dig(ctx, "loki.websages.com", "SSHFP")); strings.Count(got, "\n") != 3 {
		t.Errorf("SSHFP = %q; want two keys with two digests each", got)
	}
	// slapd
	if got := must[string](t)(slapd.Search(ctx, "(cn=loki)")); !strings.Contains(got, "ipHostNumber: "+ip) || !strings.Contains(got, "sshPublicHostKey: ssh-ed25519") {
		t.Errorf("the directory has:\n%s", got)
	}
	// ssh, trusting known_hosts only
	key := filepath.Join(dir, "data", "id_ed25519")
	base := []string{"-F", "none", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null"}
	ssh := func(name string, args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	got, err := ssh("ssh", append(base, "-o", "UserKnownHostsFile="+filepath.Join(dir, "data", "known_hosts"), "root@"+ip, "hostname")...)
	if err != nil || got != "loki" {
		t.Errorf("ssh with known_hosts = %q, %v", got, err)
	}
	// ssh, trusting SSHFP in the signed zone only: a resolv.conf of its own, in a mount namespace of its own
	quoted := strings.Join(append(base, "-o", "UserKnownHostsFile=/dev/null", "-o", "VerifyHostKeyDNS=yes", "root@loki.websages.com", "hostname"), " ")
	got, err = ssh("unshare", "--mount", "--propagation", "private", "sh", "-c", "mount --bind "+named.ResolvConf+" /etc/resolv.conf && exec ssh "+quoted)
	if err != nil || !strings.HasSuffix(got, "loki") {
		t.Errorf("ssh with SSHFP = %q, %v", got, err)
	}
	// the one-off commands ran once each
	got, err = ssh("ssh", append(base, "-o", "UserKnownHostsFile="+filepath.Join(dir, "data", "known_hosts"), "root@"+ip, "cat", "/root/bootstrap.log")...)
	if err != nil || got != "installed on loki.websages.com\nran" {
		t.Errorf("bootstrap.log = %q, %v", got, err)
	}

	// What people also say.
	alice.Say("#ops", "jarvis, run loki hostname -f")
	hear(`alice: loki: loki\.websages\.com`)
	alice.Say("#ops", "@jarvis whoami")
	hear(`alice: you are alice, with the roles deploy, run`)
	alice.Say("jarvis", "show loki")
	hear(`PRIVMSG alice :.*hostkey_private: !secret •••`)
	alice.Say("#ops", "jarvis: deploy "+gist.URL+"/loki")
	hear(`alice: loki\.websages\.com on ESX, 12 stages, run 2\. It waits for a second person`)
	approve(2)
	hear(`alice: loki failed at stage 2/12 esx:deploy after .*there is a machine loki\S* on .* already, and this run did not make it`)
	alice.Say("#ops", "jarvis: cancel loki")
	hear(`alice: loki: run 2 was cancelled by alice`)

	// A stranger, and one who may only look.
	mallory := must[*real.IRCClient](t)(real.DialIRC(ctx, ircd.Addr, "mallory", "#ops"))
	t.Cleanup(mallory.Close)
	mallory.Say("#ops", "jarvis: undo loki")
	if _, err := mallory.Wait("mallory: `undo` needs the role \"deploy\", and I do not know you", 10*time.Second); err != nil {
		t.Error(err)
	}
	victor := must[*real.IRCClient](t)(real.DialIRC(ctx, ircd.Addr, "victor", "#ops"))
	t.Cleanup(victor.Close)
	victor.Say("#ops", "jarvis: run loki reboot")
	if _, err := victor.Wait("victor: `run` needs the role \"run\", which victor does not have", 10*time.Second); err != nil {
		t.Error(err)
	}

	// From the directory, and back again: nothing is left.
	alice.Say("#ops", "jarvis: deploy cn=ymir")
	hear(`alice: ymir is ready`)
	alice.Say("#ops", "jarvis: undo ymir")
	hear(`alice: ymir: to undo run 3\. It waits for a second person, because ymir is in production: `)
	approve(3)
	hear(`alice: ymir is undone: took back ldap:update_host_ou, dns:update_host, ssh:wait, esx:deploy`)
	if got := must[string](t)(named.Dig(ctx, "ymir.websages.com", "ANY")); strings.Contains(got, "127.78") {
		t.Errorf("DNS still has %q", got)
	}
	if got := must[string](t)(slapd.Search(ctx, "(cn=ymir)")); !strings.Contains(got, "ipHostNumber: 192.0.2.7") {
		t.Errorf("the directory has:\n%s", got)
	}
	if got := vs.Machines(); len(got) != 1 || got[0] != "loki" {
		t.Errorf("machines = %v", got)
	}

	// The chat server goes away while a run ends; the notice comes when it is back.
	alice.Say("#ops", "jarvis: undo 1")
	hear(`alice: loki: to undo run 1\. It waits for a second person`)
	ircd.Kill()
	code, out, errs := jarvis(t, "", "--config", conf, "approve", "1", "--no-wait")
	if code != 0 || !strings.Contains(out, "taking back run 1") {
		t.Fatalf("undo = %d %s %s", code, out, errs)
	}
	code, out, errs = jarvis(t, "", "--config", conf, "status", "1")
	for range 200 {
		if strings.Contains(out, "undone") {
			break
		}
		time.Sleep(50 * time.Millisecond)
		code, out, errs = jarvis(t, "", "--config", conf, "status", "1")
	}
	if code != 0 || !strings.Contains(out, "undone") {
		t.Fatalf("status = %d %s %s", code, out, errs)
	}
	if err := ircd.Start(); err != nil {
		t.Fatal(err)
	}
	again := must[*real.IRCClient](t)(real.DialIRC(ctx, ircd.Addr, "alice", "#ops"))
	t.Cleanup(again.Close)
	if _, err := again.Wait(`alice: loki is undone: took back`, 40*time.Second); err != nil {
		t.Error(err)
	}
	stop()
	if s := log.String(); strings.Contains(s, "level=ERROR") {
		t.Errorf("the log has errors:\n%s", s)
	}
}

func joined(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}
