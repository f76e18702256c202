package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/examples"
	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab"
	labec2 "github.com/jarvisops/jarvis/lab/ec2"
	lablinode "github.com/jarvisops/jarvis/lab/linode"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// site is everything that a deployment meets, the real server where there is one: ngIRCd, BIND, slapd, gitolite,
// Icinga, Alertmanager, OpenSSH hosts; and the three providers.
type site struct {
	*testing.T
	ircd    *real.IRCd
	named   *real.Named
	slapd   *real.Slapd
	git     *real.Gitolite
	icinga  *real.Icinga
	alerts  *real.Alertmanager
	rack    *lab.Rack
	vsphere *lab.VSphere
	clouds  map[string]lab.Cloud
	gist    *httptest.Server
	conf    string
	alice   *real.IRCClient

	prepare func(*real.Host) error // of every host that comes up; may be nil

	mu    sync.Mutex
	gists map[string]string
	hosts map[string]*real.Host // by address
}

// newSite starts it all, with Jarvis in this process and alice in the channel.
func newSite(t *testing.T, block int, hosts ...string) *site {
	t.Helper()
	return newSiteWith(t, block, "", "", hosts...)
}

// newSiteWith is newSite with more lines in its configuration: at its top, and under workers.
func newSiteWith(t *testing.T, block int, top, workers string, hosts ...string) *site {
	t.Helper()
	s := newServers(t, hosts...)
	s.newClouds(block)
	clouds := workers
	for _, c := range s.clouds {
		clouds += c.Config()
	}
	s.configure(top, clouds)
	serveInProcess(t, s.conf)
	s.join()
	return s
}

// newServers starts what is no provider.
func newServers(t *testing.T, hosts ...string) *site {
	t.Helper()
	ctx := t.Context()
	s := &site{T: t, gists: map[string]string{}, hosts: map[string]*real.Host{}}
	s.ircd = must[*real.IRCd](t)(real.StartIRCd())
	t.Cleanup(s.ircd.Stop)
	s.named = must[*real.Named](t)(real.StartNamed(ctx, ""))
	t.Cleanup(s.named.Stop)
	s.slapd = must[*real.Slapd](t)(real.StartSlapd(ctx, examples.LDAPSchema, yggdrasil))
	t.Cleanup(s.slapd.Stop)
	s.git = must[*real.Gitolite](t)(real.StartGitolite(ctx, hosts...))
	t.Cleanup(s.git.Stop)
	var full []string
	for _, h := range hosts {
		full = append(full, h+".websages.com")
	}
	s.icinga = must[*real.Icinga](t)(real.StartIcinga(ctx, full...))
	t.Cleanup(s.icinga.Stop)
	s.alerts = must[*real.Alertmanager](t)(real.StartAlertmanager(ctx))
	t.Cleanup(s.alerts.Stop)
	s.gist = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = fmt.Fprint(w, s.gists[strings.TrimPrefix(r.URL.Path, "/")])
	}))
	t.Cleanup(s.gist.Close)
	return s
}

// newClouds starts the simulated providers, whose machines are hosts with root file systems of their own.
func (s *site) newClouds(block int) {
	s.Helper()
	t := s.T
	s.rack = lab.NewRack(block, 22, func(addr, userData string) (lab.Machine, error) {
		h, err := real.StartHost(context.Background(), addr, userData)
		if err == nil && s.prepare != nil {
			err = s.prepare(h)
		}
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.hosts[strings.TrimSuffix(addr, ":22")] = h
		s.mu.Unlock()
		return h, nil
	})
	t.Cleanup(s.rack.Stop)
	li := must[*lablinode.Server](t)(lablinode.Start(s.rack))
	li.Kernel = "linode/latest-64bit" // what Linode gave for years: set_kernel has something to do
	s.vsphere = must[*lab.VSphere](t)(lab.StartVSphere(t.Context(), s.rack))
	s.clouds = map[string]lab.Cloud{"linode": li, "ec2": labec2.Start(s.rack), "esx": s.vsphere}
	for _, c := range s.clouds {
		t.Cleanup(c.Stop)
	}
}

// configure writes the configuration; top are lines at its top, clouds those under workers.
func (s *site) configure(top, clouds string) {
	s.Helper()
	t := s.T
	dir := t.TempDir()
	s.conf = filepath.Join(dir, "jarvis.yaml")
	text := top + fmt.Sprintf(`
data: ./data
listen: ""
approvals: {off: true}
limit: {burst: 1000}
chat:
  - irc: {server: %q, nick: jarvis, channels: ["#ops"], rate: {burst: 20, interval: 50ms}}
people:
  - {name: alice, irc: "nick:alice", roles: [deploy, run]}
sources: {urls: [%q]}
workers:
%s  dns: {server: %q, ttl: 2, tsig: {name: %s, secret: %s}}
  ldap: {url: %q, start_tls: true, ca: %q, bind_dn: %q, password: %s, base: "ou=Hosts,%s", dhcp: {base: "ou=DHCP,%s", install: ['filename "pxelinux.0"', "next-server 192.0.2.1"]}}
  monitor: {%s, alertmanager: {url: %q}}
  keys: {gitolite: {admin: %q, known_hosts: %q, key: %q}}
  ssh:
    default_config_management: lab
    config_management:
      lab: {check: "test -e /root/installed", install: "echo installed > /root/installed", run: "echo Applying; test -e /root/applied && exit 0; echo ran >> /root/applied; echo Finished; exit 2", ok: [0, 2], changed: [2]}
      puppet-apply:
        check: "command -v puppet"
        install: "export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq -y install --no-install-recommends puppet-agent"
        run: "echo 'file { \"/root/applied\": content => \"by puppet\\n\" }' > /root/site.pp && puppet apply --detailed-exitcodes --color false /root/site.pp"
        ok: [0, 2]
        changed: [2]
`, s.ircd.Addr, s.gist.URL+"/", clouds, s.named.Addr, real.TSIGName, real.TSIGSecret, s.slapd.URL, s.slapd.CA, real.BindDN, real.BindPassword, real.Base, real.Base,
		s.icinga.Config(), s.alerts.URL, s.git.Admin, s.git.KnownHosts, s.git.AdminKey)
	if err := os.WriteFile(s.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// join brings alice into the channel, and waits for Jarvis there.
func (s *site) join() {
	s.Helper()
	s.alice = must[*real.IRCClient](s.T)(real.DialIRC(s.Context(), s.ircd.Addr, "alice", "#ops"))
	s.Cleanup(s.alice.Close)
	if _, err := s.alice.Wait(`jarvis.*JOIN|353 .*jarvis`, 15*time.Second); err != nil {
		s.Fatal(err)
	}
}

// say says something in the channel; {name} stands for the URL of a gist.
func (s *site) say(line string) {
	s.mu.Lock()
	for name := range s.gists {
		line = strings.ReplaceAll(line, "{"+name+"}", s.gist.URL+"/"+name)
	}
	s.mu.Unlock()
	s.Log("> " + line)
	s.alice.Say("#ops", "jarvis: "+line)
}

func (s *site) hear(pattern string) string {
	s.Helper()
	return s.hearWithin(120*time.Second, pattern)
}

func (s *site) hearWithin(limit time.Duration, pattern string) string {
	s.Helper()
	l, err := s.alice.Next(pattern, limit)
	if err != nil {
		_, out, _ := jarvis(s.T, "", "--config", s.conf, "status")
		s.Fatalf("%v\nstatus: %s", err, out)
	}
	l = l[strings.Index(l, "PRIVMSG"):]
	s.Log(l)
	return l
}

func (s *site) put(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gists[name] = text
}

func (s *site) dig(name, kind string) string {
	s.Helper()
	return must[string](s.T)(s.named.Dig(s.Context(), name, kind))
}

func (s *site) update(lines ...string) {
	s.Helper()
	if err := s.named.Update(s.Context(), lines...); err != nil {
		s.Fatal(err)
	}
}

// address takes it out of "loki is ready: 127.80.0.11, …".
func address(ready string) string {
	return strings.Split(strings.Split(ready, "is ready: ")[1], ",")[0]
}

func (s *site) host(ip string) *real.Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts[ip]
}

// watch notes what the world looks like while f runs: what www points at, whether monitoring is quiet, in pairs with
// whether the old machine's services are away.
func (s *site) watch(f func()) (www, quiet []string) {
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	note := func(list *[]string, v string) {
		if !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for ctx.Err() == nil {
			if v, err := s.named.Dig(ctx, "www.websages.com", "CNAME"); err == nil && v != "" {
				note(&www, v)
			}
			depth, err1 := s.icinga.Depth(ctx, "loki.websages.com")
			silences, err2 := s.alerts.Silences(ctx)
			if err1 == nil && err2 == nil {
				note(&quiet, fmt.Sprintf("%d %d", depth, len(silences)))
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	f()
	cancel()
	wg.Wait()
	return www, quiet
}

// TestRedeployNineteenStages redeploys a host in production on each provider, in the channel, over real servers.
func TestRedeployNineteenStages(t *testing.T) {
	t.Parallel()
	s := newSite(t, 80, "loki", "web1", "web2", "web3")
	ctx := t.Context()
	for _, p := range []struct{ module, title, management string }{{"linode", "Linode", "puppet-apply"}, {"ec2", "EC2", "lab"}, {"esx", "ESX", "lab"}} {
		cloud := s.clouds[p.module]
		s.put("loki", fmt.Sprintf("instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: %s\n  guestid: Debian 12\n  size: 512\n  standby: thor\n  config_management: %s\n  filesystems:\n    - {device: tmpfs, mount: /srv/cache, type: tmpfs, options: \"size=16m\"}\n", p.title, p.management))
		s.say("deploy {loki}")
		s.hear(`alice: loki\.websages\.com on ` + p.title + `, 14 stages, run \d+\.`)
		oldIP := address(s.hear(`alice: loki is ready: .*, 14 stages in `))
		oldKey := must[string](t)(s.host(oldIP).ReadFile("/root/.ssh/id_ed25519"))
		s.update("add www.websages.com 2 CNAME loki.websages.com.", "add ftp.websages.com 2 A "+oldIP, "add _sip._tcp.websages.com 2 SRV 10 5 5060 loki.websages.com.",
			"add websages.com 2 MX 10 loki.websages.com.", "add websages.com 2 MX 20 thor.websages.com.")

		var ip string
		www, quiet := s.watch(func() {
			s.say("redeploy loki")
			s.hear(`alice: loki\.websages\.com on ` + p.title + `, 19 stages, run \d+\.`)
			ip = address(s.hear(`alice: loki is ready: .*, 19 stages in `))
			time.Sleep(200 * time.Millisecond)
		})
		if !slices.Equal(www, []string{"loki.websages.com.", "thor.websages.com.", "loki.websages.com."}[:2]) || s.dig("www.websages.com", "CNAME") != "loki.websages.com." {
			t.Errorf("www was at %v, and is at %s", www, s.dig("www.websages.com", "CNAME"))
		}
		if !slices.Contains(quiet, "1 1") {
			t.Errorf("downtimes and silences meanwhile: %v", quiet)
		}
		if d, a := must[int](t)(s.icinga.Depth(ctx, "loki.websages.com")), must[[]string](t)(s.alerts.Silences(ctx)); d != 0 || len(a) != 0 {
			t.Errorf("monitoring is still quiet: %d, %v", d, a)
		}
		if ip == oldIP || len(cloud.Machines()) != 1 {
			t.Errorf("address %s, was %s; machines %v", ip, oldIP, cloud.Machines())
		}
		if got := s.dig("loki.websages.com", "A") + " " + s.dig("ftp.websages.com", "A"); got != ip+" "+ip {
			t.Errorf("loki and ftp are at %s, want %s", got, ip)
		}
		if srv, mx := s.dig("_sip._tcp.websages.com", "SRV"), strings.Split(s.dig("websages.com", "MX"), "\n"); srv != "10 5 5060 loki.websages.com." || len(mx) != 2 || !slices.Contains(mx, "10 loki.websages.com.") {
			t.Errorf("SRV = %q, MX = %q", srv, mx)
		}
		if got := must[string](t)(s.slapd.Search(ctx, "(cn=loki)")); !strings.Contains(got, "ipHostNumber: "+ip+"\n") || strings.Contains(got, oldIP) {
			t.Errorf("the directory has:\n%s", got)
		}
		h := s.host(ip)
		if must[bool](t)(s.git.Reads(ctx, oldKey)) || !must[bool](t)(s.git.Reads(ctx, must[string](t)(h.ReadFile("/root/.ssh/id_ed25519")))) {
			t.Error("at gitolite the old machine's key must be refused, and the new one's taken")
		}
		want := map[string]string{"lab": "ran\n", "puppet-apply": "by puppet\n"}[p.management]
		if got := must[string](t)(h.ReadFile("/root/applied")); got != want {
			t.Errorf("config management left %q, want %q", got, want)
		}
		if got := must[string](t)(h.ReadFile("/etc/fstab")); !strings.Contains(got, "tmpfs\t/srv/cache\ttmpfs\tsize=16m,nofail\t0\t0\n") {
			t.Errorf("fstab = %q", got)
		}
		s.say("run loki findmnt -n -o FSTYPE /srv/cache")
		s.hear(`alice: loki: tmpfs`)

		// Gone for good, but not while services point at it.
		s.say("destroy loki")
		s.hear(`alice: loki failed at stage 2/10 dns:check_unused after .*these names still point at loki: .*www\.websages\.com \(CNAME\).*; move them first`)
		s.update("delete www.websages.com", "delete ftp.websages.com", "delete _sip._tcp.websages.com", "delete websages.com MX")
		s.say("retry loki")
		s.hear(`alice: loki is destroyed, 10 stages in`)
		if got := cloud.Machines(); len(got) != 0 {
			t.Errorf("machines = %v", got)
		}
		if got := s.dig("loki.websages.com", "A") + s.dig("loki.websages.com", "SSHFP"); got != "" {
			t.Errorf("DNS has %q", got)
		}
		if got := must[[]string](t)(s.git.Keys(ctx)); len(got) != 0 {
			t.Errorf("gitolite has %v", got)
		}
		if got := must[string](t)(s.slapd.Search(ctx, "(cn=loki)")); strings.Contains(got, "ipHostNumber") || !strings.Contains(got, "owner: ") {
			t.Errorf("the directory has:\n%s", got)
		}
	}
	if _, errs := s.rack.Booted(); len(errs) > 0 {
		t.Error(errs)
	}
	s.everyStepTwice()
	// Somebody else's host.
	s.put("fenrir", "instance:\n  hostname: fenrir\n  fqdn: fenrir.websages.com\n  provider: Linode\n  guestid: Debian 12\n  size: 512\n")
	s.say("redeploy {fenrir}")
	s.hear(`alice: fenrir failed at stage 1/19 ldap:check_production after .*: fenrir belongs to bob, and alice asks`)
}

// everyStepTwice redeploys with each stage written twice: the second one has nothing to do, and says so.
func (s *site) everyStepTwice() {
	s.Helper()
	one := "instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: EC2\n  guestid: Debian 12\n  size: 512\n  standby: thor\n  filesystems:\n    - {device: tmpfs, mount: /srv/cache, type: tmpfs}\n"
	s.put("once", one)
	s.say("deploy {once}")
	ip := address(s.hear(`alice: loki is ready: .*, 14 stages in `))
	s.update("add www.websages.com 2 CNAME loki.websages.com.", "add ftp.websages.com 2 A "+ip)
	twice := one + "steps:\n"
	for _, step := range []string{"ldap:check_production", "dns:move_services", "monitor:suppress", "sp:shutdown", "sp:destroy", "keys:create", "sp:deploy", "sp:get_pub_ip", "ssh:wait", "dns:update_host",
		"ssh:mount_filesystems", "ssh:upgrade_kernel", "sp:set_kernel", "ssh:make_root_keypair", "ldap:update_host_ou", "keys:update_deploy_key", "ssh:install_config_management", "ssh:run_config_management", "ldap:save_secret", "monitor:resume"} {
		twice += "  - " + step + "\n  - " + step + "\n"
	}
	s.put("twice", twice)
	s.say("redeploy {twice}")
	ready := s.hear(`alice: loki is ready: .*, 40 stages in `)
	_, out, _ := jarvis(s.T, "", "--config", s.conf, "log", "loki", "--json")
	var a struct{ Data []pipeline.Event }
	if err := contract.Unmarshal([]byte(out), &a); err != nil {
		s.Fatal(err)
	}
	n := 0
	for _, ev := range a.Data {
		if ev.Kind != pipeline.EvDone {
			continue
		}
		n++
		if ev.Stage%2 == 1 && !strings.HasPrefix(ev.Text, "nothing to do") {
			s.Errorf("the second %s said %q", ev.Step, ev.Text)
		}
	}
	if n != 40 {
		s.Errorf("%d stages are done", n)
	}
	// The host's own password: in clear on the host only, where root alone reads it, and good for the directory.
	h := s.host(address(ready))
	secret := strings.TrimSpace(must[string](s.T)(h.ReadFile("/etc/ldap/ldap.secret")))
	if st, err := os.Stat(filepath.Join(h.Root, "/etc/ldap/ldap.secret")); err != nil || st.Mode().Perm() != 0o400 {
		s.Errorf("the secret's mode is %v, %v", st.Mode(), err)
	}
	if err := s.slapd.Bind(s.Context(), "cn=loki,ou=Hosts,"+real.Base, secret); err != nil {
		s.Errorf("loki cannot log in with its own password: %v", err)
	}
	_, shown, _ := jarvis(s.T, "", "--config", s.conf, "show", "loki")
	if strings.Contains(shown, secret) || strings.Contains(out, secret) {
		s.Error("the host's password shows in the record")
	}
	// A slip in fstab changes nothing on the host.
	fstab := must[string](s.T)(h.ReadFile("/etc/fstab"))
	for slip, want := range map[string]string{
		"device: tmpfs, mount: /srv/new, type: tmpsf":                               `fstab is as it was`,
		"device: /dev/sdz9, mount: /srv/new, type: ext4, options: \"defaults,x y\"": `options "defaults,x y" are not a list`,
		"device: tmpfs, mount: /etc, type: tmpfs":                                   `mount "/etc" belongs to the system`,
		"device: \"tmpfs; reboot\", mount: /srv/new, type: tmpfs":                   `device "tmpfs; reboot" is not one`,
	} {
		s.put("slip", "instance:\n  hostname: slip\n  provider: EC2\n  ipaddress: "+address(ready)+"\n  hostkeys:\n"+s.firstKey()+"\n  filesystems:\n    - {"+slip+"}\nsteps: [ssh:mount_filesystems]\n")
		s.say("deploy {slip}")
		s.hear(`alice: slip failed at stage 1/1 ssh:mount_filesystems after .*` + regexp.QuoteMeta(want))
		s.say("cancel slip")
		s.hear(`alice: slip: run \d+ was cancelled`)
	}
	// A disk that the first boot could not mount is not passed over.
	s.put("slip", "instance:\n  hostname: slip\n  provider: EC2\n  ipaddress: "+address(ready)+"\n  hostkeys:\n"+s.firstKey()+"\n  disks: [{size: 1GB, mount: /srv/none}]\nsteps: [ssh:mount_filesystems]\n")
	s.say("deploy {slip}")
	s.hear(`alice: slip failed at stage 1/1 ssh:mount_filesystems after .*the first boot did not mount /srv/none \(cloud-init says nothing of it`)
	s.say("cancel slip")
	s.hear(`alice: slip: run \d+ was cancelled`)
	if got := must[string](s.T)(h.ReadFile("/etc/fstab")); got != fstab {
		s.Errorf("fstab was\n%s\nand is\n%s", fstab, got)
	}
	s.update("delete www.websages.com", "delete ftp.websages.com")
	s.say("destroy loki")
	s.hear(`alice: loki is destroyed`)
}

// firstKey is the line of loki's first host key in its clipboard.
func (s *site) firstKey() string {
	s.Helper()
	_, shown, _ := jarvis(s.T, "", "--config", s.conf, "show", "loki")
	_, keys, _ := strings.Cut(shown, "  hostkeys:\n")
	first, _, _ := strings.Cut(keys, "\n")
	return first
}

// TestDeployFromNetwork deploys a bare machine on ESX that installs itself from the network, as the first Jarvis did:
// DHCP's directory says install until it has rebooted, and from then on to boot from its disk.
func TestDeployFromNetwork(t *testing.T) {
	t.Parallel()
	s := newSite(t, 82, "loki")
	told := make(chan string, 1000)
	s.vsphere.NetBoot = func(mac string) (bool, error) {
		out, err := s.slapd.DHCP(context.Background(), mac)
		told <- out
		return strings.Contains(out, "pxelinux.0"), err
	}
	s.prepare = func(h *real.Host) error { return h.OldKernel(context.Background()) }
	s.put("bare", "instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: ESX\n  guestid: Debian 12\n  size: 1024\n  disk: 8\n  boot: network\n")
	s.say("deploy {bare}")
	s.hear(`alice: loki\.websages\.com on ESX, 20 stages, run \d+\.`)
	s.hear(`alice: loki is ready: .*, 20 stages in `)
	// Its kernel was old: upgraded with apt, and the host rebooted once.
	said := map[string]string{}
	_, out, _ := jarvis(t, "", "--config", s.conf, "log", "loki", "--json")
	var a struct{ Data []pipeline.Event }
	if err := contract.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err)
	}
	for _, ev := range a.Data {
		if ev.Kind == pipeline.EvDone {
			said[ev.Step] = ev.Text
		}
	}
	if said["ssh:upgrade_kernel"] != "the kernel 6.1.0-2-lab is installed and wants a reboot" || said["esx:set_kernel"] != "rebooted" {
		t.Errorf("the kernel's steps said %q and %q", said["ssh:upgrade_kernel"], said["esx:set_kernel"])
	}
	if first := <-told; !strings.Contains(first, `dhcpStatements: filename "pxelinux.0"`) || !strings.Contains(first, "next-server 192.0.2.1") {
		s.Errorf("DHCP told the bare machine:\n%s", first)
	}
	s.say("undo loki")
	s.hear(`alice: loki is undone: took back .*ldap:dhcp_local, ldap:dhcp_install, esx:deploy`)
	if got := s.clouds["esx"].Machines(); len(got) != 0 {
		s.Errorf("machines = %v", got)
	}
	if out, err := s.slapd.DHCP(s.Context(), "*"); err != nil || strings.Contains(out, "dn:") {
		s.Errorf("DHCP's directory still has, %v:\n%s", err, out)
	}
}
