package all

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/pipeline"
)

// again are the stages of a redeploy that matter here: the machine goes, and another one comes.
var again = []string{"sp:shutdown", "sp:destroy", "keys:create", "sp:deploy"}

// impossible are clipboards that a provider cannot do, each with a word of its refusal. All of them pass for a
// clipboard.
var impossible = map[string]map[string]string{
	"": {
		"size: hugee":                     "\"size\"|no size",
		"size: 1000TB":                    "is more than any machine has (67108864 MB)|is more than any machine has (65536 GB)",
		"size: 0":                         "is nothing",
		"size: -1":                        "is no amount of memory",
		"guestid: Debian 6":               "newest there is Debian 1",
		"guestid: [Debian 12]":            "must be a single value",
		"disks: [{size: 4194305TB}]":      "is more than any machine has",
		"disks: {size: 10GB}":             "must be a list",
		"network: {address: 10.0.0.5/99}": `has the length "99"|which`,
		"network: {address: \"fe80::1\"}": "cannot be a machine's|which",
		"account: ' '":                    "is no name",
		"user_data: \"#include https://evil.example\"":  "it must be a cloud-config",
		"options: {spott: true}":                        "options has no \"spott\"",
		"login: [admin]":                                "must be a mapping, as in login:",
		"network: {security_groups: ['']}":              "has an empty entry",
		"user_data: \"packages: [vim]\\npackages: []\"": "\"packages\" twice",
	},
	"linode": {
		long("user_data", 17000):             "the cloud-init data has ",
		"tags: {t: ''}":                      "cannot be a tag at Linode",
		"tags: {team: " + text(60) + "}":     "cannot be a tag at Linode",
		"disks: [{size: 1GB}]":               "at Linode a disk has 10 to 16384 GB",
		"disks: [{size: 99TB}]":              "at Linode a disk has 10 to 16384 GB",
		"network: {address: 10.0.1.5}":       "needs a vpc or a vlan",
		"datacenter: Atlantis":               `did you mean "Atlanta"?`,
		"disks: [{size: 10GB, type: gp3}]":   "which Linode cannot do here",
		"disks: [{size: 10GB, iops: 40000}]": "which Linode cannot do here",
	},
	"ec2": {
		long("user_data", 30000):                            "the cloud-init data has 3",
		"disk: 1GB":                                         "has 8 GB already",
		"disk: 99TB":                                        "a disk of the type gp2 has 1 to 16384 GB",
		"disk: 99TB\noptions: {disk_type: io2}":             "a disk of the type io2 has 4 to 65536 GB",
		"disks: [{size: 2TB, type: standard}]":              "a disk of the type standard has 1 to 1024 GB",
		"disks: [{size: 10GB, type: gp9}]":                  `did you mean "gp2"?`,
		"disks: [{size: 100GB, type: st1}]":                 "a disk of the type st1 has 125 to 16384 GB",
		"disks: [{size: 2GB, type: io1}]":                   "a disk of the type io1 has 4 to 16384 GB",
		"disks: [{size: 10GB, type: io1, iops: 501}]":       "has 100 to 500 at EC2",
		"disks: [{size: 10GB, iops: 4000}]":                 "the iops of a disk of the type gp2 cannot be chosen",
		"disks: [{size: 10GB, type: gp3, throughput: 751}]": "with 3000 iops has 125 to 750",
		"disks: [{size: 10GB, type: io2, throughput: 200}]": "cannot be chosen at EC2; that of gp3 can",
		"disks: [" + strings.TrimSuffix(strings.Repeat("{size: 1GB},", 12), ",") + "]": "EC2 takes 11 beside the root disk",
		"options: {disk_type: st1}\ndisk: 200GB":                                       "EC2 takes gp3, gp2, io1, io2, standard",
		"options: {disk_type: gp3, disk_iops: many}":                                   "must be a whole number",
		"options: {disk_type: gp3, disk_iops: 99999}":                                  "has 3000 to 4000 at EC2",
		"tags: {" + numbered(60) + "}":                                                 "the clipboard has 60, and EC2 takes 50 on a machine, 3 of which are ours",
		"tags: {" + numbered(48) + "}":                                                 "EC2 takes 50",
		"tags: {" + text(129) + ": x}":                                                 "has 129 characters, and EC2 takes 128",
		"tags: {x: " + text(257) + "}":                                                 "has 257 characters, and EC2 takes 256",
		"tags: {'': x}":                                                                "one has no name",
		"tags: {'aws:x': x}":                                                           "is Amazon's",
		"tags: {'AWS:x': x}":                                                           "is Amazon's",
		"network: {address: 10.0.0.5}":                                                 "is in none of the subnets",
		"network: {address: 172.31.0.3}":                                               "among the first four",
		"network: {address: 172.31.15.255}":                                            "is the last one of",
		"network: {address: \"2001:db8::5\"}":                                          "is not of IPv4",
		"network: {address: 172.31.16.9}\ndatacenter: us-east-1a":                      "is in none of the subnets",
		"size: t3.micro\noptions: {arch: arm64}":                                       "which is not arm64 as options.arch says",
		"size: x9.micro\noptions: {arch: arm64}":                                       "or a type, as in t4g.micro",
		"datacenter: us-east-1z":                                                       `did you mean "us-east-1`,
		"options: {instance_profile: admin}":                                           "is not listed",
	},
	"esx": {
		long("user_data", 50000):          "vCenter takes 49152",
		"disk: 1MB":                       "and that of the template",
		"disk: 99TB":                      "a disk has up to 62 TB on vSphere",
		"disks: [{size: 99TB}]":           "a disk has up to 62 TB on vSphere",
		"size: 40TB":                      "has up to 24576 GB",
		"size: {memory: 2GB, cpus: 1000}": "and 768 CPUs",
		"size: 513":                       "a multiple of 4 MB",
		"disks: [" + strings.TrimSuffix(strings.Repeat("{size: 1GB},", 16), ",") + "]": "takes 15",
		"network: {address: 10.0.0.5}":                       "needs its length",
		"network: {address: 10.0.0.5/24, gateway: 10.9.0.1}": "needs a gateway in its network",
		"network: {portgroup: nowhere}":                      "has no network",
		"options: {datastore: nowhere}":                      "has no datastore",
	},
	"libvirt": {
		"network: {bridge: lo}":                                                        "is no bridge",
		"network: {bridge: nonexist}":                                                  "no network and no bridge",
		"network: {bridge: \"x'/><y\"}":                                                "no network and no bridge",
		"network: {bridge: a-name-that-is-too-long-for-linux}":                         "no network and no bridge",
		"disks: [" + strings.TrimSuffix(strings.Repeat("{size: 1MB},", 41), ",") + "]": "libvirt takes 24 beside the root disk",
		"disk: 10MB":   "has ",
		"disk: 99TB":   "make room, or ask for less",
		"size: 9TB":    "the hypervisor has up to ",
		"disk: 0":      "is nothing",
		"size: hugee2": "on libvirt it is memory",
	},
}

func text(n int) string { return strings.Repeat("x", n) }

func long(key string, n int) string {
	return fmt.Sprintf("%s: \"#!/bin/sh\\n# %s\\n\"", key, strings.Repeat("long ", n/5))
}

func numbered(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("t%d: x", i))
	}
	return strings.Join(out, ", ")
}

// TestWhatCannotBeDoneIsRefusedBeforeAnythingIsDeleted is the attack of a slip in a clipboard on a machine in
// production: it is to be redeployed as what the provider does not make. `plan` says so; the run fails at its first
// stage, whatever a person skips; the machine runs on.
func TestWhatCannotBeDoneIsRefusedBeforeAnythingIsDeleted(t *testing.T) {
	for _, s := range sites() {
		t.Run(s.module, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s)
			id := w.engine.Value(w.ready(w.start(w.clipboard("loki"), whole...)), "provider_id")
			cases := map[string]string{}
			for _, of := range []string{"", s.module} {
				for lines, words := range impossible[of] {
					cases[lines] = words
				}
			}
			for lines, words := range cases {
				c := w.with(said{lines: lines})
				plan := must(w.engine.Plan(w.Context(), pipeline.Request{Clipboard: c, Steps: w.steps(again...)}))(t)
				r := w.until(w.start(c, again...), nil)
				for _, text := range []string{plan[3].Text, r.Error} {
					if !slices.ContainsFunc(strings.Split(words, "|"), func(w string) bool { return strings.Contains(text, w) }) {
						t.Errorf("%.100s: said %q\nwant %q", lines, text, words)
					}
					if found := internal.FindString(text); found != "" {
						t.Errorf("%.100s: the refusal says %q: %s", lines, found, text)
					}
				}
				if r.State != pipeline.Failed || r.Stage != 0 {
					t.Errorf("%.100s: the run is %s at %s", lines, r.State, r.Where())
				}
				w.stays(id)
				must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(t)
			}
			// Nor does a person who skips the stage that says so.
			r := w.failed(w.start(w.with(said{lines: "guestid: Debian 6"}), again...), "would fail")
			must(w.engine.Skip(w.Context(), r.ID, "alice"))(t)
			if r = w.until(r, nil); r.State != pipeline.Failed || r.Stage != 1 {
				t.Errorf("after a skip the run is %s at %s: %s", r.State, r.Where(), r.Error)
			}
			w.stays(id)
			must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(t)
			// And what can be done is.
			r = w.ready(w.start(w.clipboard("loki"), again...))
			if now := w.engine.Value(r, "provider_id"); now == id {
				t.Errorf("the machine is still %s", id)
			}
			w.machines("loki")
		})
	}
}

// TestNoMachineIsDeletedWhileTheProviderIsAway: whether another one can be made is not known then.
func TestNoMachineIsDeletedWhileTheProviderIsAway(t *testing.T) {
	for _, s := range sites() {
		t.Run(s.module, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s)
			id := w.engine.Value(w.ready(w.start(w.clipboard("loki"), whole...)), "provider_id")
			if !slices.Contains(s.lacks, lab.TooMany) {
				w.cloud.Chaos().Next(lab.TooMany, "", 3)
				r := w.start(w.clipboard("loki"), again...)
				w.until(r, func(r pipeline.Run) bool { return r.State == pipeline.Waiting && r.Waits == pipeline.ForCheck })
				w.stays(id)
				id = w.engine.Value(w.ready(r), "provider_id")
				if said := w.said(r, pipeline.EvRetrying); len(said) > 0 {
					t.Errorf("tries were counted: %q", said)
				}
			}
			w.cloud.Chaos().Next(lab.Broken, "", 1000)
			r := w.failed(w.start(w.clipboard("loki"), again...), s.module+":deploy would fail: ")
			if r.Stage != 0 {
				t.Errorf("it failed at %s", r.Where())
			}
			w.cloud.Chaos().Next(lab.Broken, "", 0)
			w.stays(id)
		})
	}
}

// TestEC2AdoptWantsAMachine: an id of something else is told as that.
func TestEC2AdoptWantsAMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, siteOf(t, "ec2"))
	r := w.failed(w.start(w.with(said{lines: "adopt_id: vol-0123"}), "sp:adopt"), "read the machine vol-0123: that is not the id of a machine at EC2, which is like i-0123456789abcdef0")
	// A fixed address chooses the zone whose subnet holds it.
	must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(t)
	r = w.ready(w.start(w.with(said{lines: "network: {address: 172.31.16.9}"}), "keys:create", "sp:deploy"))
	w.shows(said{want: []string{"zone=us-east-1b"}}, r)
}

// steps gives step names for this provider.
func (w *world) steps(tasks ...string) []string {
	out := make([]string, len(tasks))
	for i, t := range tasks {
		out[i] = strings.Replace(t, "sp:", w.site.module+":", 1)
	}
	return out
}
