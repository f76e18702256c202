package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/internal/contract"
	lablinode "github.com/jarvisops/jarvis/lab/linode"
	"github.com/jarvisops/jarvis/lab/real"
	"github.com/jarvisops/jarvis/pipeline"
)

// driftSite is a deployed host in the whole world of servers, and those who tamper with it.
type driftSite struct{ *site }

// look asks for drift, as a program does.
func (s *driftSite) look() pipeline.Look {
	s.Helper()
	code, out, errs := jarvis(s.T, "", "--config", s.conf, "drift", "loki", "--json")
	var a struct{ Data pipeline.Look }
	err := contract.Unmarshal([]byte(out), &a)
	want := exitOK
	if len(a.Data.Differs)+len(a.Data.Unknown) > 0 {
		want = exitFailed
	}
	if code != want || err != nil {
		s.Fatalf("drift: exit %d, want %d, %v: %s%s", code, want, err, out, errs)
	}
	return a.Data
}

// found makes sure that exactly these differences are found: each is words that its line has, split by |.
func (s *driftSite) found(name string, want ...string) pipeline.Look {
	s.Helper()
	l := s.look()
	ok := len(l.Differs) == len(want)
	for i := range min(len(l.Differs), len(want)) {
		for _, words := range strings.Split(want[i], "|") {
			ok = ok && strings.Contains(l.Differs[i].Step+": "+l.Differs[i].Said(), words)
		}
	}
	if !ok {
		s.Errorf("%s: found\n%+v\nwant\n%s", name, l.Differs, strings.Join(want, "\n"))
	}
	return l
}

// clean waits until nothing differs and all is known: what was put right may take its time.
func (s *driftSite) clean(name string) {
	s.Helper()
	var l pipeline.Look
	for limit := time.Now().Add(real.Patience(60 * time.Second)); time.Now().Before(limit); time.Sleep(200 * time.Millisecond) {
		if l = s.look(); len(l.Differs)+len(l.Unknown) == 0 {
			return
		}
	}
	s.Fatalf("%s: what was to put it right did not: %+v, not known %+v", name, l.Differs, l.Unknown)
}

// fix types what a difference says puts it right.
func (s *driftSite) fix(d pipeline.Difference) {
	s.Helper()
	stdin := ""
	for _, cmd := range strings.Split(strings.ReplaceAll(d.Fix, "jarvis ", ""), " | ") {
		if cmd == "grep -v !secret" {
			stdin = regexp.MustCompile(`(?m)^.*!secret.*\n`).ReplaceAllString(stdin, "")
			continue
		}
		code, out, errs := jarvis(s.T, stdin, append([]string{"--config", s.conf}, strings.Fields(cmd)...)...)
		if code != 0 {
			s.Fatalf("`%s` does not work: exit %d: %s%s", d.Fix, code, out, errs)
		}
		stdin = out
	}
}

func (s *driftSite) on(script string) {
	s.Helper()
	if code, out, errs := jarvis(s.T, "", "--config", s.conf, "exec", "-y", "-o", "loki", script); code != 0 {
		s.Fatalf("on the host: %s: %s%s", script, out, errs)
	}
}

func (s *driftSite) value(key string) string {
	s.Helper()
	_, shown, _ := jarvis(s.T, "", "--config", s.conf, "show", "loki")
	m := regexp.MustCompile(`(?m)^  ` + key + `: "?([^"\n]*)"?$`).FindStringSubmatch(shown)
	if m == nil {
		s.Fatalf("there is no %s in\n%s", key, shown)
	}
	return m[1]
}

// ldap does something to the directory as its administrator.
func (s *driftSite) ldap(f func(*goldap.Conn) error) {
	s.Helper()
	pem, err := os.ReadFile(s.slapd.CA)
	if err != nil {
		s.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := goldap.DialURL(s.slapd.URL)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.StartTLS(&tls.Config{RootCAs: roots, ServerName: "localhost", InsecureSkipVerify: true}); err != nil {
		s.Fatal(err)
	}
	if err := conn.Bind(real.BindDN, real.BindPassword); err != nil {
		s.Fatal(err)
	}
	if err := f(conn); err != nil {
		s.Fatal(err)
	}
}

const lokiDN = "cn=loki,ou=Hosts," + real.Base

// driftHost is the clipboard of the tests: all that the steps of a deployment can leave.
const driftHost = `instance:
  hostname: loki
  fqdn: loki.websages.com
  provider: Linode
  guestid: Debian 12
  size: 512
  standby: thor
  converge: motd
  filesystems:
    - {device: tmpfs, mount: /srv/cache, type: tmpfs, options: "size=16m"}
`

// TestDriftTampered deploys a host with every step there is, over real servers, and tampers with it in each way that a
// step can know: each is found and named, nothing else is, and the command that the finding names puts it right.
func TestDriftTampered(t *testing.T) {
	t.Parallel()
	programs := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(programs, "motd"), "../../workers/converge/testdata/program").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	deploy := "[keys:create, linode:deploy, linode:get_pub_ip, ssh:wait, dns:update_host, ssh:mount_filesystems, ssh:upgrade_kernel, linode:set_kernel, ssh:make_root_keypair, ldap:update_host_ou, keys:update_deploy_key, ssh:install_config_management, ssh:run_config_management, converge:apply, monitor:resume]"
	redeploy := strings.Replace(deploy, "[", "[ldap:check_production, dns:move_services, monitor:suppress, linode:shutdown, linode:destroy, ", 1)
	s := &driftSite{site: newSiteWith(t, 84, fmt.Sprintf("drift: {every: 4s}\npipelines: {deploy: {linode: %s}, redeploy: {linode: %s}}", deploy, redeploy),
		fmt.Sprintf("  converge: {dir: %q}\n", programs), "loki")}
	ctx := t.Context()
	s.put("loki", driftHost)
	s.say("deploy {loki}")
	ip := address(s.hear(`alice: loki is ready: .*, 15 stages in `))
	rev := must[string](t)(godns.ReverseAddr(ip))
	if l := s.found("an untouched host"); len(l.Unknown) > 0 || l.Asked != 9 {
		t.Errorf("an untouched host: %d steps asked, not known %+v", l.Asked, l.Unknown)
	}

	// The clock says it once in the channel, and once more that it is over.
	s.update("delete loki.websages.com A", "add loki.websages.com 2 A 192.0.2.99")
	s.hear(`:loki has drifted: A of loki\.websages\.com in DNS: 192\.0\.2\.99 instead of ` + regexp.QuoteMeta(ip) + `; remove 192\.0\.2\.99 at .*, which no run of this host wrote, then .retry loki\.websages\.com from dns:update_host.`)
	l := s.found("A record changed", "dns:update_host: A of loki.websages.com in DNS: 192.0.2.99 instead of "+ip+"|`retry loki.websages.com from dns:update_host`")
	s.update("delete loki.websages.com A")
	s.fix(l.Differs[0])
	s.clean("A record changed")
	s.hear(`:loki is as it was deployed again\.`)
	if n := s.alice.Count(`loki has drifted`); n != 1 {
		t.Errorf("it was said %d times", n)
	}

	for _, tamper := range []struct {
		name string
		do   func()
		want []string
	}{
		{"PTR removed", func() { s.update("delete " + rev + " PTR") }, []string{"dns:update_host: PTR of " + ip + " in DNS: none instead of loki.websages.com"}},
		{"SSHFP removed", func() { s.update("delete loki.websages.com SSHFP") }, []string{"dns:update_host: SSHFP of loki.websages.com in DNS: none instead of 4 fingerprints"}},
		{"LDAP attribute changed", func() {
			s.ldap(func(c *goldap.Conn) error {
				m := goldap.NewModifyRequest(lokiDN, nil)
				m.Replace("ipHostNumber", []string{"192.0.2.98"})
				return c.Modify(m)
			})
		}, []string{"ldap:update_host_ou: ipHostNumber of |: 192.0.2.98 instead of " + ip}},
		{"LDAP entry gone", func() { s.ldap(func(c *goldap.Conn) error { return c.Del(goldap.NewDelRequest(lokiDN, nil)) }) },
			[]string{"ldap:update_host_ou: the entry cn=loki below |: gone instead of there"}},
		{"deploy key removed", func() {
			s.fix(pipeline.Difference{Fix: "jarvis show loki | grep -v !secret | jarvis step keys:remove_deploy_key"})
			if got := must[[]string](t)(s.git.Keys(ctx)); len(got) != 0 {
				t.Fatalf("gitolite still has %v", got)
			}
		}, []string{"keys:update_deploy_key: the deploy key of loki.websages.com at gitolite, root-loki,: gone instead of root's key"}},
		{"line of fstab removed, and unmounted", func() { s.on("sed -i '/srv.cache/d' /etc/fstab; umount /srv/cache") },
			[]string{"ssh:mount_filesystems: the line of fstab for /srv/cache: no such line instead of tmpfs /srv/cache tmpfs size=16m,nofail 0 0", "ssh:mount_filesystems: /srv/cache: not mounted instead of in use"}},
		{"unmounted", func() { s.on("umount /srv/cache") }, []string{"ssh:mount_filesystems: /srv/cache: not mounted instead of in use"}},
		{"downtime and silence left over", func() {
			// Somebody kept it quiet by hand, and forgot.
			s.fix(pipeline.Difference{Fix: "jarvis show loki | grep -v !secret | jarvis step monitor:suppress"})
			if d := must[int](t)(s.icinga.Depth(ctx, "loki.websages.com")); d != 1 {
				t.Fatalf("Icinga's downtimes: %d", d)
			}
		}, []string{"monitor:resume: monitoring of loki.websages.com: kept quiet by a downtime of ours in Icinga and a silence of ours in Alertmanager instead of on"}},
		{"converge finds a change", func() { s.on("echo other > /etc/motd") }, []string{"converge:apply: file /etc/motd, for motd: another content (-1 +1 lines) instead of the one that is wanted"}},
	} {
		tamper.do()
		l := s.found(tamper.name, tamper.want...)
		if len(l.Unknown) > 0 {
			t.Errorf("%s: not known %+v", tamper.name, l.Unknown)
		}
		if t.Failed() || len(l.Differs) == 0 {
			t.FailNow()
		}
		s.fix(l.Differs[0])
		s.clean(tamper.name)
	}

	// A silence of others is not ours.
	silence, _ := json.Marshal(map[string]any{"matchers": []map[string]any{{"name": "instance", "value": "loki.websages.com", "isRegex": false, "isEqual": true}},
		"startsAt": time.Now(), "endsAt": time.Now().Add(time.Hour), "createdBy": "bob", "comment": "jarvis-00000000-1: loki.websages.com is being redeployed"})
	if res, err := http.Post(s.alerts.URL+"/api/v2/silences", "application/json", bytes.NewReader(silence)); err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(err, res)
	}
	s.found("a silence of another installation")

	// A program that knows nothing of looking is not run.
	old := filepath.Join(programs, "motd")
	if err := errors.Join(os.Rename(old, old+".new"), os.WriteFile(old, []byte("#!/bin/sh\nread -r first\ncase $first in *'\"host\"'*) touch "+programs+"/applied;; *) echo no host >&2; exit 1;; esac\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if l := s.found("an old program"); len(l.Unknown) != 1 || !strings.Contains(l.Unknown[0].Why, "build it again") {
		t.Errorf("of an old program, not known is %+v", l.Unknown)
	}
	if _, err := os.Stat(filepath.Join(programs, "applied")); err == nil {
		t.Error("a look ran the program for real")
	}
	if err := os.Rename(old+".new", old); err != nil {
		t.Fatal(err)
	}

	// The machine: at another address, off, with another key, gone.
	li, id := s.clouds["linode"].(*lablinode.Server), s.value("provider_id")
	li.Move(id, "192.0.2.97")
	s.found("address changed", "linode:get_pub_ip: the address of the machine "+id+" at Linode: 192.0.2.97 instead of "+ip+"|`retry loki.websages.com from linode:get_pub_ip`")
	li.Move(id, ip)
	s.clean("address changed")

	s.fix(pipeline.Difference{Fix: "jarvis show loki | grep -v !secret | jarvis step linode:shutdown"})
	l = s.found("powered off", "linode:get_pub_ip: the machine "+id+" at Linode: offline instead of running|see who powered it off, then `jarvis show loki.websages.com | grep -v !secret | jarvis step linode:startup`")
	if len(l.Unknown) != 3 {
		t.Errorf("of a host that is off, not known is %+v", l.Unknown)
	}
	s.fix(l.Differs[0])
	s.clean("powered off")

	s.on("rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; kill -HUP $(cat /run/sshd.pid)")
	time.Sleep(500 * time.Millisecond)
	l = s.found("host key replaced", "ssh:wait: the host key at "+ip+":22: SHA256:|find out who changed it, for somebody may be in between, then `redeploy loki.websages.com`")
	if why := fmt.Sprint(l.Unknown); len(l.Unknown) != 2 || !strings.Contains(why, "another machine, or somebody is in between") {
		t.Errorf("with another key, not known is %s", why)
	}

	s.fix(pipeline.Difference{Fix: "jarvis show loki | grep -v !secret | jarvis step linode:destroy"})
	l = s.found("machine deleted", "linode:deploy: the machine "+id+" at Linode: gone instead of there|`redeploy loki.websages.com` puts it right")
	s.fix(l.Differs[0])
	s.clean("machine deleted")
	if got := s.clouds["linode"].Machines(); !slices.Equal(got, []string{"loki.websages.com"}) {
		t.Errorf("machines are %v", got)
	}

	// Somebody tidies the tags away. What is named puts them back, and the host is still found by all that takes it
	// down.
	id = s.value("provider_id")
	li.Retag(id)
	l = s.found("tags gone", "linode:deploy: the machine "+id+" at Linode: |instead of loki.websages.com's by its tags|then `adopt loki.websages.com "+id+"`")
	s.fix(l.Differs[0])
	s.clean("tags gone")
	if got := s.value("ipaddress"); got == "" {
		t.Error("the host's address is not on record any more")
	}
	s.fix(pipeline.Difference{Fix: "jarvis redeploy loki"})
	s.clean("adopted and redeployed")
	if got := s.clouds["linode"].Machines(); !slices.Equal(got, []string{"loki.websages.com"}) {
		t.Errorf("machines are %v", got)
	}
	_, out, _ := jarvis(t, "", "--config", s.conf, "drift")
	t.Log(out)
}
