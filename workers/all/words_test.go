package all

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	labec2 "github.com/jarvisops/jarvis/lab/ec2"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// said is one thing that a clipboard can say of a machine: its lines under instance, and what the provider must have
// then.
type said struct {
	lines string // each of the keys that it sets takes the place of that in the clipboard
	want  []string
}

// sayings has a saying for each of provider.Paths: what a provider honours must come true, and the rest is refused.
var sayings = map[string]said{
	"guestid":                 {lines: "guestid: Debian 12"},
	"datacenter":              {lines: "datacenter: somewhere"},
	"size":                    {lines: "size: 2GB"},
	"size.cpus":               {lines: "size: {memory: 2GB, cpus: 2}"},
	"disk":                    {lines: "disk: 40GB"},
	"disks":                   {lines: "disks: [{size: 10GB}, {size: 100GB}]"},
	"disks.type":              {lines: "disks: [{size: 10GB, type: gp3}]"},
	"disks.encrypted":         {lines: "disks: [{size: 10GB, encrypted: true}]"},
	"disks.iops":              {lines: "disks: [{size: 10GB, iops: 4000}]"},
	"disks.throughput":        {lines: "disks: [{size: 10GB, throughput: 250}]"},
	"disks.mount":             {lines: "disks: [{size: 1GB}, {size: 2GB, mount: /srv/data}]", want: []string{"bootcmd:", "cloud-init-per", "mkfs.ext4"}},
	"network.subnet":          {lines: "network: {subnet: web}"},
	"network.portgroup":       {lines: "network: {portgroup: web}"},
	"network.vpc":             {lines: "network: {vpc: prod/web}"},
	"network.vlan":            {lines: "network: {vlan: backup}"},
	"network.bridge":          {lines: "network: {bridge: br0}"},
	"network.security_groups": {lines: "network: {security_groups: [web]}"},
	"network.firewall":        {lines: "network: {firewall: web}"},
	"network.address":         {lines: "network: {address: 10.0.0.5}"},
	"network.gateway":         {lines: "network: {gateway: 10.0.0.1}"},
	"network.nameservers":     {lines: "network: {nameservers: [10.0.0.2]}"},
	"network.public":          {lines: "network: {public: false}"},
	"network.private":         {lines: "network: {private: true}"},
	"network.ip6":             {lines: "network: {ip6: true}"},
	"tags":                    {lines: "tags: {team: web, cost: \"42\"}"},
	"user_data":               {lines: "user_data: \"#cloud-config\\npackages: [vim]\\nhostname: other\\n\"", want: []string{"packages: [vim]", "hostname: loki"}},
	"login":                   {lines: "login: {user: admin}", want: []string{"name: admin", "NOPASSWD:ALL", "disable_root: true"}},
}

// own are the sayings of one provider where they differ, and its options (options.NAME).
var own = map[string]map[string]said{
	"linode": {
		"guestid":                  {"guestid: debian12", []string{`"image":"linode/debian12"`}},
		"datacenter":               {"datacenter: Atlanta, GA", []string{`"region":"us-southeast"`}},
		"size":                     {"size: 2 GB", []string{`"type":"g6-standard-1"`}},
		"size.cpus":                {"size: {memory: 2GB, cpus: 4}", []string{`"type":"g6-standard-4"`}},
		"disks":                    {"disks: [{size: 10GB}, {size: 20GB}]\ntags: {team: web}", []string{`"booted":false`, "-1: 10 GB at loki.websages.com", "-2: 20 GB at loki.websages.com", "encryption disabled, jarvis-", " team:web\n"}},
		"disks.encrypted":          {"disks: [{size: 10GB, encrypted: true}]", []string{"encryption enabled"}},
		"disks.mount":              {"disks: [{size: 10GB}, {size: 20GB, mount: /srv/data}]", []string{"/srv/data path:/dev/disk/by-id/scsi-0Linode_Volume_jarvis-", "/dev/disk/by-id/scsi-0Linode_Volume_jarvis-"}},
		"network.vpc":              {"network: {vpc: prod/web}", []string{`"purpose":"public"`, `"purpose":"vpc","subnet_id":311`}},
		"network.vlan":             {"network: {vlan: backup}", []string{`"label":"backup","purpose":"vlan"`}},
		"network.firewall":         {"network: {firewall: web}", []string{`"firewall_id":4711`}},
		"network.address":          {"network: {vpc: prod/web, address: 10.0.1.5}", []string{`"ipv4":{"vpc":"10.0.1.5"}`}},
		"network.private":          {"network: {private: true}", []string{`"private_ip":true`}},
		"network.ip6":              {"network: {ip6: true}", []string{`"ipv6":"2001:db8`}},
		"tags":                     {"tags: {team: web}", []string{`"team:web"`}},
		"options.class":            {"options: {class: dedicated}\nsize: 4GB", []string{`"type":"g6-dedicated-2"`}},
		"options.backups":          {"options: {backups: true}", []string{`"backups_enabled":true`}},
		"options.disk_encryption":  {"options: {disk_encryption: enabled}", []string{`"disk_encryption":"enabled"`}},
		"options.interfaces":       {"options: {interfaces: linode}\nnetwork: {vpc: prod/web, firewall: web}", []string{`"interface_generation":"linode"`, `"subnet_id":311`, `"firewall_id":4711`}},
		"options.interfaces, vlan": {"options: {interfaces: linode}\nnetwork: {vlan: backup, address: 10.9.0.5/24}", []string{`"vlan_label":"backup"`, `"ipam_address":"10.9.0.5/24"`}},
		"a plan by its label":      {"size: Linode 4 GB", []string{`"type":"g6-standard-2"`}},
	},
	"ec2": {
		"guestid":                  {"guestid: debian-13", []string{"ImageId=ami-0000000000000debf"}},
		"datacenter":               {"datacenter: us-east-1b", []string{"zone=us-east-1b"}},
		"size":                     {"size: 2GB", []string{"InstanceType=t3.small"}},
		"size.cpus":                {"size: {memory: 2GB, cpus: 4}", []string{"InstanceType=t3.xlarge"}},
		"disk":                     {"disk: 40GB", []string{"BlockDeviceMapping.1.DeviceName=/dev/xvda", "BlockDeviceMapping.1.Ebs.VolumeSize=40"}},
		"disks":                    {"disks: [{size: 10GB}, {size: 100GB}]", []string{"BlockDeviceMapping.1.DeviceName=/dev/sdf", "BlockDeviceMapping.1.Ebs.VolumeSize=10", "BlockDeviceMapping.2.DeviceName=/dev/sdg", "BlockDeviceMapping.2.Ebs.DeleteOnTermination=true"}},
		"disks.type":               {"disks: [{size: 10GB, type: io2}, {size: 4GB, type: io1}, {size: 125GB, type: st1}]", []string{"BlockDeviceMapping.1.Ebs.VolumeType=io2", "BlockDeviceMapping.1.Ebs.Iops=3000", "BlockDeviceMapping.2.Ebs.Iops=200", "BlockDeviceMapping.3.Ebs.VolumeType=st1"}},
		"disks.iops":               {"disks: [{size: 10GB, type: io2, iops: 4000}]", []string{"BlockDeviceMapping.1.Ebs.Iops=4000"}},
		"disks.throughput":         {"disks: [{size: 10GB, type: gp3, iops: 4000, throughput: 1000}]", []string{"BlockDeviceMapping.1.Ebs.Iops=4000", "BlockDeviceMapping.1.Ebs.Throughput=1000"}},
		"disks.encrypted":          {"disks: [{size: 10GB, encrypted: true}]", []string{"BlockDeviceMapping.1.Ebs.Encrypted=true"}},
		"disks.mount":              {"disks: [{size: 10GB}, {size: 20GB, mount: /srv/data}]", []string{"BlockDeviceMapping.2.DeviceName=/dev/sdg", "/srv/data path:/dev/sdg path:/dev/xvdg nvme:sdg"}},
		"network.subnet":           {"network: {subnet: Tier=web}\ndatacenter: us-east-1b", []string{"SubnetId=subnet-0000000000000web2"}},
		"network.security_groups":  {"network: {security_groups: [web, sg-0000000000000ssh]}", []string{"SecurityGroupId.1=sg-0000000000000ssh", "SecurityGroupId.2=sg-0000000000000web"}},
		"network.address":          {"network: {address: 172.31.0.77}", []string{"PrivateIpAddress=172.31.0.77"}},
		"network.public":           {"network: {public: false, subnet: inner}", []string{"AssociatePublicIpAddress=false", "public=false"}},
		"network.ip6":              {"network: {ip6: true}", []string{"Ipv6AddressCount=1"}},
		"tags":                     {"tags: {team: web}", []string{"tag team=web", "tag Name=loki.websages.com"}},
		"options.arch":             {"options: {arch: arm64}\nsize: 2GB", []string{"InstanceType=t4g.small", "ImageId=ami-0000000000000debe"}},
		"options.spot":             {"options: {spot: true}", []string{"InstanceMarketOptions.MarketType=spot"}},
		"options.tenancy":          {"options: {tenancy: dedicated}", []string{"Placement.Tenancy=dedicated"}},
		"options.disk_type":        {"options: {disk_type: gp3}", []string{"BlockDeviceMapping.1.Ebs.VolumeType=gp3"}},
		"options.disk_iops":        {"options: {disk_type: io1}", []string{"BlockDeviceMapping.1.Ebs.VolumeType=io1", "BlockDeviceMapping.1.Ebs.Iops=400"}},
		"options.disk_throughput":  {"options: {disk_type: gp3, disk_iops: 4000, disk_throughput: 500}\ndisk: 20GB", []string{"BlockDeviceMapping.1.Ebs.Iops=4000", "BlockDeviceMapping.1.Ebs.Throughput=500"}},
		"options.disk_encrypted":   {"options: {disk_encrypted: true}", []string{"BlockDeviceMapping.1.Ebs.Encrypted=true"}},
		"options.instance_profile": {"options: {instance_profile: web}", []string{"IamInstanceProfile.Name=web"}},
		"a type in capitals":       {"size: T3.micro", []string{"InstanceType=t3.micro"}},
		"an ARM type":              {"size: t4g.nano", []string{"ImageId=ami-0000000000000debe"}},
		"an image by its id":       {"guestid: ami-0000000000000debc", []string{"ImageId=ami-0000000000000debc"}},
	},
	"libvirt": {
		"guestid":        {"guestid: debian12", nil},
		"size":           {"size: 2GB", []string{"<memory unit='KiB'>2097152</memory>"}},
		"size.cpus":      {"size: {memory: 1GB, cpus: 2}", []string{"<vcpu placement='static'>2</vcpu>"}},
		"disk":           {"disk: 3GB", []string{"root.qcow2: 3072 MB"}},
		"disks":          {"disks: [{size: 1GB}, {size: 2GB}]", []string{"disk1.qcow2: 1024 MB", "disk2.qcow2: 2048 MB"}},
		"disks.mount":    {"disks: [{size: 1GB}, {size: 2GB, mount: /srv/data}]", []string{"<serial>jarvis-disk2</serial>", "/srv/data path:/dev/disk/by-id/virtio-jarvis-disk2"}},
		"network.bridge": {"network: {bridge: br0}", nil}, // workers/libvirt proves it
		"tags":           {"tags: {team: web}", []string{`name="team" value="web"`}},
	},
	"esx": {
		"guestid":             {"guestid: debian12", nil},
		"size":                {"size: 2GB", []string{"memory 2048"}},
		"size.cpus":           {"size: {memory: 2GB, cpus: 4}", []string{"memory 2048", "cpus 4"}},
		"disk":                {"disk: 40GB", []string{"disk 40960 MB"}},
		"disks":               {"disks: [{size: 10GB}, {size: 100GB}]", []string{"disk 10240 MB", "disk 102400 MB"}},
		"disks.mount":         {"disks: [{size: 10GB}, {size: 20GB, mount: /srv/data}]", []string{"disk 20480 MB\nits unit 9", "/srv/data scsi:9"}},
		"network.portgroup":   {"network: {portgroup: DC0_DVPG0}", []string{"portgroup dvportgroup-"}},
		"network.address":     {"network: {address: 10.0.0.5/24, gateway: 10.0.0.1}", []string{"10.0.0.5/24"}},
		"network.gateway":     {"network: {address: 10.0.0.5/24, gateway: 10.0.0.1}", []string{"10.0.0.1"}},
		"network.nameservers": {"network: {address: 10.0.0.5/24, gateway: 10.0.0.1, nameservers: [10.0.0.2]}", []string{"10.0.0.2"}},
		"tags":                {"tags: {team: web, cost: \"42\"}", []string{"attribute team=web\n", "attribute cost=42\n"}},
		"options.pool":        {"options: {pool: DC0_H0}", nil},
		"options.datastore":   {"options: {datastore: LocalDS_0}", nil},
	},
}

// with gives loki's clipboard with the lines of a saying in place of its own.
func (w *world) with(s said) *clipboard.Clipboard {
	w.Helper()
	c := w.clipboard("loki")
	var keys map[string]any
	if err := yaml.Unmarshal([]byte(s.lines), &keys); err != nil {
		w.Fatalf("%v in %s", err, s.lines)
	}
	for k, v := range keys {
		if err := c.Set(k, v); err != nil {
			w.Fatal(err)
		}
	}
	return c
}

// TestWhatAClipboardCanSay holds docs/reference/providers.md to its word: each ● comes true at the provider, and each –
// is refused by plan and by deploy, with the key, before anything is made.
func TestWhatAClipboardCanSay(t *testing.T) {
	for _, s := range sites() {
		t.Run(s.module, func(t *testing.T) {
			t.Parallel()
			probe := newWorld(t, s)
			calls := probe.calls
			cases := map[string]said{}
			for _, path := range provider.Paths {
				cases[path] = sayings[path]
				if o, ok := own[s.module][path]; ok {
					cases[path] = said{o.lines, append(o.want, sayings[path].want...)}
				}
				if cases[path].lines == "" {
					t.Errorf("no saying has %s", path)
				}
				if _, ok := own[s.module][path]; !ok && slices.Contains(calls.Honours, path) && len(sayings[path].want) == 0 {
					t.Errorf("%s honours %s, and nothing shows it: give own[%q] a saying of it, with what %s has then", s.module, path, s.module, calls.Title)
				}
			}
			for name, o := range own[s.module] {
				cases[name] = o
			}
			for _, o := range calls.Options {
				if _, ok := cases["options."+o.Name]; !ok && !slices.Contains([]string{"elastic_ip", "linked"}, o.Name) { // tests of their own below
					t.Errorf("no saying has options.%s of %s", o.Name, s.module)
				}
			}
			for name, c := range cases {
				if s.module == "libvirt" && name == "network.bridge" {
					continue // workers/libvirt proves it, on a libvirtd that may make bridges
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					change := []string{"secret_key:", "instance_profiles: [web], secret_key:"}
					w := newWorld(t, s, change...)
					if path := name; slices.Contains(provider.Paths, path) && !slices.Contains(calls.Honours, path) {
						w.refusesTo(c, path)
						return
					}
					r := w.ready(w.start(w.with(c), "keys:create", "sp:deploy"))
					w.shows(c, r)
				})
			}
		})
	}
}

func (w *world) shows(s said, r pipeline.Run) {
	w.Helper()
	facts := w.cloud.Facts("loki.websages.com") + w.cloud.Facts("loki")
	if facts == "" {
		w.Fatal("there is no machine")
	}
	for _, want := range s.want {
		if !strings.Contains(facts, want) {
			w.Errorf("%s: %q is not in\n%s", s.lines, want, facts)
		}
	}
}

func (w *world) refusesTo(s said, path string) {
	w.Helper()
	words := "asks for \"" + path + "\", which"
	lines := must(w.engine.Plan(w.Context(), pipeline.Request{Clipboard: w.with(s), Steps: []string{"keys:create", w.site.module + ":deploy"}}))(w.T)
	if !strings.Contains(lines[1].Text, words) && !strings.Contains(lines[1].Text, "asks for \""+strings.Split(path, ".")[0]) {
		w.Errorf("plan of %s says %q", s.lines, lines[1].Text)
	}
	w.failed(w.start(w.with(s), "keys:create", "sp:deploy"), "which "+w.calls.Title+" cannot do here")
	w.machines()
}

// TestWrongWords: what nobody can mean is refused with what was probably meant.
func TestWrongWords(t *testing.T) {
	for _, s := range sites() {
		for lines, words := range map[string]string{
			"network: {subnett: web}":                       `did you mean "subnet"?`,
			"size: {memory: 2GB, cpu: 2}":                   `did you mean "cpus"?`,
			"disks: [{type: gp3}]":                          "a disk needs its size",
			"disks: [{size: 10GB, mont: /srv}]":             "did you mean \"mount\"?",
			"disks: [{size: 10GB, mount: srv}]":             "is not a path",
			"disks: [{size: 10GB, mount: \"/srv;reboot\"}]": "is not a path",
			"disks: [{size: 10GB, mount: /var}]":            "belongs to the system",

			"disk: huge":                                        `"huge" is no size: write 40GB`,
			"options: {spott: true}":                            "options has no \"spott\"",
			"login: {user: Admin}":                              "is not a login name",
			"login: {user: root, prt: 22}":                      "is not a key of login",
			"user_data: \"#include\\nhttps://evil.example\\n\"": "it must be a cloud-config",
			"account: eu":                                       "has one entry without a name",
		} {
			t.Run(s.module+"/"+lines, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, s)
				r := w.failed(w.start(w.with(said{lines: lines}), "keys:create", "sp:deploy"), words)
				t.Log(r.Error)
				w.machines()
			})
		}
	}
}

// TestEC2InTheWild: what EC2 does to those who know it from its tutorials only.
func TestEC2InTheWild(t *testing.T) {
	start := func(t *testing.T, change ...string) (*world, *labec2.Server) {
		t.Parallel()
		w := newWorld(t, siteOf(t, "ec2"), change...)
		return w, w.cloud.(*labec2.Server)
	}
	t.Run("a client token stands for a terminated machine", func(t *testing.T) {
		w, cloud := start(t)
		c := w.clipboard("loki")
		if err := c.Set("ipaddress", "127.0.0.9"); err != nil { // where nobody is
			t.Fatal(err)
		}
		r := w.start(c, "keys:create", "sp:deploy", "ssh:wait")
		w.until(r, func(r pipeline.Run) bool { return r.State == pipeline.Waiting && r.Stage == 2 })
		must(w.engine.Cancel(w.Context(), r.ID, pipeline.Who{Name: "alice"}))(w.T)
		r = w.until(r, func(r pipeline.Run) bool { return r.State == pipeline.Cancelled })
		gone := w.engine.Value(r, "provider_id")
		cloud.Terminate(gone)
		w.machines()
		must(w.engine.Retry(w.Context(), r.ID, "ec2:deploy", "alice"))(w.T)
		w.until(r, func(r pipeline.Run) bool { return r.State == pipeline.Waiting && r.Stage == 2 })
		if id := w.engine.Value(must(w.engine.Get(w.Context(), r.ID))(w.T), "provider_id"); id == gone {
			t.Errorf("the machine is still %s, which was terminated", id)
		}
		w.machines("loki")
	})
	t.Run("a zone without capacity", func(t *testing.T) {
		w, cloud := start(t)
		cloud.Full("us-east-1a")
		r := w.ready(w.start(w.clipboard("loki"), whole...))
		w.shows(said{want: []string{"zone=us-east-1b"}}, r)
		if said := w.said(r, pipeline.EvRetrying); len(said) > 0 {
			t.Errorf("tries were counted: %q", said)
		}
		cloud.Full("us-east-1b")
		w.failed(w.start(w.clipboard("thor"), "keys:create", "sp:deploy"), "no capacity for a t3.nano now in us-east-1a, us-east-1b")
		w.machines("loki")
	})
	t.Run("an answer that is lost in the second zone", func(t *testing.T) {
		w, cloud := start(t)
		cloud.Full("us-east-1a")
		cloud.LoseCreateIn("us-east-1b")
		w.ready(w.start(w.clipboard("loki"), whole...))
		w.machines("loki")
	})
	t.Run("a subnet without public addresses is told before anything is made", func(t *testing.T) {
		w, _ := start(t)
		c := w.clipboard("thor")
		if err := c.Set("network", map[string]string{"subnet": "inner"}); err != nil {
			t.Fatal(err)
		}
		w.failed(w.start(c, "keys:create", "sp:deploy"), "gives machines no public address; write network: {public: true}")
		w.machines()
		w.ready(w.start(w.with(said{lines: "network: {subnet: inner, public: false}"}), whole...)) // it is reached by its private one
	})
	t.Run("the right that lacks is the one that EC2 names", func(t *testing.T) {
		w, cloud := start(t)
		cloud.Deny("RunInstances", "ec2:CreateTags")
		r := w.failed(w.start(w.clipboard("loki"), "keys:create", "sp:deploy"), "allow ec2:CreateTags")
		t.Log(r.Error)
	})
	t.Run("an Elastic IP", func(t *testing.T) {
		w, cloud := start(t)
		id, ip := cloud.Elastic("")
		r := w.ready(w.start(w.with(said{lines: "options: {elastic_ip: " + id + "}"}), whole...))
		if got := w.engine.Value(r, "ipaddress"); got != ip {
			t.Errorf("the address is %s, want %s", got, ip)
		}
		// Another host does not take it away.
		c := w.clipboard("thor")
		if err := c.Set("options", map[string]string{"elastic_ip": id}); err != nil {
			t.Fatal(err)
		}
		w.failed(w.start(c, "keys:create", "sp:deploy"), "and is not taken away")
		w.machines("loki")
	})
	t.Run("a profile that nobody granted", func(t *testing.T) {
		w, _ := start(t)
		w.failed(w.start(w.with(said{lines: "options: {instance_profile: admin}"}), "keys:create", "sp:deploy"), "is not listed under workers.ec2.instance_profiles")
		w.machines()
	})
	t.Run("an image of one's own comes first, however it is written", func(t *testing.T) {
		w, _ := start(t, "secret_key:", "images: {debian 12: ami-0000000000000debc}, secret_key:")
		r := w.ready(w.start(w.clipboard("loki"), "keys:create", "sp:deploy"))
		w.shows(said{want: []string{"ImageId=ami-0000000000000debc"}}, r)
	})
}

// TestLinodeKeepsTheProfile: set_kernel changes the kernel of the configuration profile, and nothing else of it.
func TestLinodeKeepsTheProfile(t *testing.T) {
	w := newWorld(t, siteOf(t, "linode"), "region: Atlanta", "region: Atlanta, kernel: linode/latest-64bit")
	r := w.ready(w.start(w.with(said{lines: "network: {vpc: prod/web}"}), append(whole, "sp:set_kernel")...))
	w.shows(said{want: []string{`"kernel":"linode/latest-64bit"`, `profile: `, `"purpose":"vpc"`}}, r)
	_, profile, _ := strings.Cut(w.cloud.Facts("loki.websages.com"), "profile: ")
	if !strings.Contains(profile, `"purpose":"vpc"`) {
		t.Errorf("the profile lost its interfaces: %s", profile)
	}
}

// TestAccounts: one provider, two accounts. The clipboard says which; a wrong name is told with those there are.
func TestAccounts(t *testing.T) {
	w := newWorld(t, siteOf(t, "linode"), "  linode: {", "  linode: [{account: eu, ", "region: Atlanta}", "region: Atlanta}, {account: us, token: x, url: \"http://127.0.0.1:1/v4\", region: Atlanta}]")
	w.ready(w.start(w.with(said{lines: "account: eu"}), whole...))
	w.machines("loki")
	w.ready(w.start(w.clipboard("thor"), whole...)) // the first, when none is named
	w.failed(w.start(w.with(said{lines: "account: asia"}), "sp:shutdown"), `workers.linode has no account "asia"; it has eu, us`)
}

// TestEveryCallIsTheAccounts: a host of the second account is looked at there, too: the first one knows nothing of it.
func TestEveryCallIsTheAccounts(t *testing.T) {
	w := newWorld(t, siteOf(t, "linode"), "  linode: {", "  linode: [{account: eu, token: x, url: \"http://127.0.0.1:1/v4\", region: Atlanta}, {account: us, ", "region: Atlanta}", "region: Atlanta}]")
	r := w.ready(w.start(w.with(said{lines: "account: us"}), whole...))
	if l := w.looks(r); len(l.Unknown) > 0 || l.Asked != 3 {
		t.Errorf("an untouched host of the second account: asked %d, not known %+v", l.Asked, l.Unknown)
	}
}
