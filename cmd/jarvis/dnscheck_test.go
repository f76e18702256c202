package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab"
	lablinode "github.com/jarvisops/jarvis/lab/linode"
	"github.com/jarvisops/jarvis/lab/real"
)

// What DNS would refuse is said before a machine is made and paid for, in a run as in a plan.
func TestNoMachineForANameThatDNSRefuses(t *testing.T) {
	named := must[*real.Named](t)(real.StartNamedWith(t.Context(), real.NamedConf{Keys: []string{"full", "none"}, Probe: "- part.example",
		Conf:  `zone "part.example" { type primary; file "fwd"; update-policy { grant full zonesub ANY; }; };`,
		Files: map[string]string{"fwd": "taken A 203.0.113.9\n"}}))
	t.Cleanup(named.Stop)
	rack := lab.NewRack(83, 22, func(string, string) (lab.Machine, error) { return nil, errors.New("no machine is to be made") })
	t.Cleanup(rack.Stop)
	cloud := must[*lablinode.Server](t)(lablinode.Start(rack))
	t.Cleanup(cloud.Stop)
	for key, cases := range map[string]map[string]string{
		"full": {"taken": `taken.part.example is 203.0.113.9 in DNS already`},
		"none": {"free": `refused to write A of free.part.example in the zone part.example (REFUSED, key "none")`},
	} {
		conf := filepath.Join(t.TempDir(), "jarvis.yaml")
		text := fmt.Sprintf("data: ./data\nlisten: \"\"\napprovals: {off: true}\nworkers:\n%s  dns: {server: %q, tsig: {name: %s, secret: %s}}\n", cloud.Config(), named.Addr, key, real.TSIGSecret)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		stop, _ := serveInProcess(t, conf)
		for host, want := range cases {
			clip := "instance:\n  hostname: " + host + "\n  fqdn: " + host + ".part.example\n  provider: Linode\n  guestid: Debian 12\n  size: 512\n  datacenter: Atlanta\n"
			if code, out, errs := jarvis(t, clip, "--config", conf, "plan", "-"); code != exitFailed || !strings.Contains(out, "would fail: ") || !strings.Contains(out, want) {
				t.Errorf("plan: exit %d, %s%s", code, out, errs)
			}
			code, out, errs := jarvis(t, clip, "--config", conf, "deploy", "-")
			if said := out + errs; code == 0 || !strings.Contains(said, "stage 1/") || !strings.Contains(said, "dns:update_host would fail: ") || !strings.Contains(said, want) {
				t.Errorf("deploy: exit %d, %s", code, said)
			}
		}
		stop()
	}
	if list := cloud.Machines(); len(list) != 0 {
		t.Errorf("machines were made: %v", list)
	}
}
