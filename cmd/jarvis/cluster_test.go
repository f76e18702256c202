package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/internal/contract"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/pipeline"
)

const threeWebs = `on_failure: %s
barriers: [dns:update_host]
steps: [keys:create, sp:deploy, sp:get_pub_ip, ssh:wait, dns:update_host, ldap:update_host_ou, ssh:run]
instances:
  - hostname: web1
    fqdn: web1.websages.com
    provider: Linode
    guestid: Debian 12
    size: 512
    commands: [hostname]
  - hostname: web2
    fqdn: web2.websages.com
    provider: EC2
    guestid: Debian 12
    size: 512
    commands: ["echo web1 is ${web1.ipaddress} > /root/peers"]
  - hostname: web3
    fqdn: web3.websages.com
    provider: ESX
    guestid: Debian 12
    size: 512
    commands: ["echo ${web1.ipaddress} ${web2.ipaddress} > /root/peers"]
`

// TestClusterOverThreeProviders: three hosts in one clipboard, a barrier before DNS, and the second one fails.
func TestClusterOverThreeProviders(t *testing.T) {
	t.Parallel()
	s := newSite(t, 81, "web1")
	none := func() {
		t.Helper()
		for name, c := range s.clouds {
			if got := c.Machines(); len(got) != 0 {
				t.Errorf("%s has %v", name, got)
			}
		}
		for _, h := range []string{"web1", "web2", "web3"} {
			if got := s.dig(h+".websages.com", "A"); got != "" {
				t.Errorf("%s is at %s", h, got)
			}
			if got := must[string](t)(s.slapd.Search(t.Context(), "(cn="+h+")")); got != "" {
				t.Errorf("the directory has:\n%s", got)
			}
		}
	}
	events := func(run string) []pipeline.Event {
		_, out, _ := jarvis(t, "", "--config", s.conf, "log", run, "--json")
		var a struct{ Data []pipeline.Event }
		if err := contract.Unmarshal([]byte(out), &a); err != nil {
			t.Fatal(err)
		}
		return a.Data
	}
	fail := func() { s.clouds["ec2"].Chaos().Next(lab.Denied, "RunInstances", 1) }

	// hold: nobody goes on until somebody has dealt with web2; then all come to the barrier, and pass it together.
	fail()
	s.put("web", fmt.Sprintf(threeWebs, "hold"))
	s.say("deploy {web}")
	s.hear(`alice: web: 3 hosts \(web1 on Linode, web2 on EC2, web3 on ESX\), runs 1 to 3\. Ask .status web.`)
	s.hear(`alice: web2 failed at stage 2/7 ec2:deploy after .*no right to`)
	for range 100 {
		s.say("status web")
		l := s.hear(`alice: web: \d of 3 ready: `)
		if strings.Contains(l, "web1 held before stage") && strings.Contains(l, "web3 held before stage") && strings.Contains(l, "web2 failed at stage 2/7 ec2:deploy") {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	s.say("status web1")
	s.hear(`alice: web1: stage \d/7 .* — web holds: web2 failed at stage 2/7 ec2:deploy; .retry web2., .skip web2. or .cancel web2.`)
	s.say("retry web2")
	s.hear(`alice: web2 goes on at stage 2/7`)
	s.hear(`alice: web is ready: 3 of its hosts, in `)
	last, first := time.Time{}, time.Time{}
	for _, h := range []string{"web1", "web2", "web3"} {
		for _, ev := range events(h) {
			if ev.Kind == pipeline.EvDone && ev.Step == "ssh:wait" && ev.At.After(last) {
				last = ev.At
			}
			if ev.Kind == pipeline.EvStep && ev.Step == "dns:update_host" && (first.IsZero() || ev.At.Before(first)) {
				first = ev.At
			}
		}
	}
	if first.Before(last) {
		t.Errorf("the first passed the barrier at %s, and the last came to it at %s", first, last)
	}
	ip1, ip2, ip3 := s.dig("web1.websages.com", "A"), s.dig("web2.websages.com", "A"), s.dig("web3.websages.com", "A")
	if got := must[string](t)(s.host(ip3).ReadFile("/root/peers")); got != ip1+" "+ip2+"\n" {
		t.Errorf("web3 knows %q, want %s %s", got, ip1, ip2)
	}
	s.say("undo web")
	s.hear(`alice: web: taking back 3 hosts`)
	for range 3 {
		s.hear(`alice: web\d is undone: took back ldap:update_host_ou, dns:update_host, ssh:wait, \w+:deploy`)
	}
	none()

	// undo: all go back as soon as one fails.
	fail()
	s.put("web", fmt.Sprintf(threeWebs, "undo"))
	s.say("deploy {web}")
	s.hear(`alice: web2 failed at stage 2/7 ec2:deploy .* So web takes back all its hosts\.`)
	for range 3 {
		s.hear(`alice: web\d is undone: `)
	}
	none()

	// continue: the others go on without it, through the barrier; what needs its address fails and says why.
	fail()
	s.put("web", fmt.Sprintf(threeWebs, "continue"))
	s.say("deploy {web}")
	s.hear(`alice: web2 failed at stage 2/7 ec2:deploy`)
	for range 2 { // in whatever order
		s.hear(`alice: (web1 is ready|web3 failed at stage 7/7 ssh:run after .*it needs \$\{web2\.ipaddress\}, and web2 has not come so far: run 8 is failed)`)
	}
	s.say("retry web")
	s.hear(`alice: web: going on with web2, web3\. Not web1 is ready\.`)
	s.hear(`alice: web is ready: 3 of its hosts`)
	s.say("undo web")
	for range 3 {
		s.hear(`alice: web\d is undone: `)
	}
	none()
	if _, errs := s.rack.Booted(); len(errs) > 0 {
		t.Error(errs)
	}

	// What cannot work is refused before anything is made.
	for name, c := range map[string]struct{ from, to, want string }{
		"later":   {"commands: [hostname]", `commands: ["echo ${web3.ipaddress}"]`, `this cluster cannot work: web1 uses \$\{web3\.ipaddress\}, and web3 does not come before it`},
		"unknown": {"${web1.ipaddress} ${web2", "${web9.ipaddress} ${web2", `and the cluster has no host web9`},
		"nobody":  {"${web1.ipaddress} ${web2", "${web1.colour} ${web2", `which is neither in its clipboard nor given by a step of web1`},
		"barrier": {"barriers: [dns:update_host]", "barriers: [dns:udpate_host]", `the barrier dns:udpate_host is a stage of no host of web`},
	} {
		s.put(name, strings.Replace(fmt.Sprintf(threeWebs, "hold"), c.from, c.to, 1))
		s.say("deploy {" + name + "}")
		s.hear(c.want)
	}
	none()
}
