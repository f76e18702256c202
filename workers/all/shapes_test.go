package all

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/cloudinit"
	"github.com/jarvisops/jarvis/workers/dns"
	"github.com/jarvisops/jarvis/workers/ssh"
)

// internal are words of the program that people have no use for.
var internal = regexp.MustCompile(`!!|construct|decode|unmarshal|map\[|interface\b|struct\b|provider\.|\[\]|yaml:|line \d+: line`)

// shapes are what a key may be that was written wrongly.
var shapes = []string{"x", "7", "true", "-1", "0", "1.5", "''", "' '", "null", "[]", "{}", "[a]", "['']", "[null]", "[1, 2]", "[[a]]", "[{a: b}]", "[{a: [b]}]", "[{size: []}]", "[{size: {a: b}}]", "{a: b}", "{a: [b]}", "{a: {b: c}}", "{[a]: b}", "{? {a: b} : c}",
	"{size: 10GB}", "[{size: 10GB, encrypted: maybe}]", "[{size: 10GB, iops: many}]", "[{size: 10GB, mount: [/srv]}]", "{memory: [1], cpus: 2}", "{memory: 2GB, cpus: two}", "{memory: 2GB, cpus: 99999}", "{public: maybe}", "{security_groups: web}", "{security_groups: [{a: b}]}", "{address: [10.0.0.5]}", "{user: [a]}", "{port: ssh}", "{port: {a: b}}",
	"!!int x", "!!binary x", "!!timestamp x", "!!seq x", "!!float [a]", "!!map [a]", "!!str {a: b}", "!!null x", "!!bool {a: b}", "{a: !!int b}", "{reverse: [off]}", "{ttl: {a: b}}", "[{device: [a]}]", "[{run: [a]}]", "{<<: {a: b}}", "!mine x", "[!mine {a: b}]", "2024-01-01", "0x1F", ".inf"}

// TestAWrongShapeIsToldInPeoplesWords feeds each documented key each wrong shape. What is refused is refused with the
// key, and without a word of the program's own.
func TestAWrongShapeIsToldInPeoplesWords(t *testing.T) {
	cfg := Nobody(t.TempDir())
	cfg.DNS, cfg.SSH = &dns.Config{Server: "127.0.0.1:1"}, &ssh.Config{User: "root"}
	set, err := Build(cfg, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	// reads gives what reads a key.
	type reader func(*clipboard.Clipboard) error
	plan := func(step string) reader {
		s, err := set.Registry.Lookup(step, "")
		if err != nil {
			t.Fatal(err)
		}
		return func(c *clipboard.Clipboard) error {
			_, err := s.Plan(context.Background(), c)
			return err
		}
	}
	readers := map[string][]reader{
		"filesystems": {plan("ssh:mount_filesystems")}, "commands": {plan("ssh:run")}, "dns": {plan("dns:update_host")}, "config_management": nil, "standby": nil,
		"user_data": {cloudinit.Check}, "login": {cloudinit.Check}, "account": {plan("linode:shutdown")},
		"sshpubkey": {func(c *clipboard.Clipboard) error { _, err := c.Instance(); return err }},
	}
	for _, p := range set.Providers {
		for _, key := range []string{"guestid", "datacenter", "boot", "size", "disk", "disks", "network", "tags", "options"} {
			readers[key] = append(readers[key], func(c *clipboard.Clipboard) error { _, err := p.Spec(c); return err })
		}
	}
	for _, key := range documented(t) {
		readers, ok := readers[key]
		if !ok {
			t.Errorf("docs/reference/clipboard.md has %q, and nothing here reads it", key)
		}
		for _, shape := range shapes {
			c, err := clipboard.Parse(fmt.Appendf(nil, "instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: ec2\n  %s: %s\n", key, shape))
			if err != nil {
				continue // refused at the door, whose own tests are in clipboard
			}
			for _, read := range readers {
				err := read(c)
				if err == nil {
					continue
				}
				if found := internal.FindString(err.Error()); found != "" {
					t.Errorf("%s: %s says %q: %v", key, shape, found, err)
				}
			}
		}
	}
	for lines, want := range map[string]string{
		"disks: {size: 10GB}":              `line 5: "disks" must be a list, as in disks: [{size: 100GB}]`,
		"disks: [10GB]":                    `line 5: "disks" must be a list, and each of its entries a mapping, as in disks: [{size: 100GB}]`,
		"disks: [{size: 1GB, iops: x}]":    `line 5: "disks.iops" must be a whole number`,
		"disk: {size: 10GB}":               `line 5: the size of a disk is one value: write 40GB`,
		"size: {memory: lots}":             `line 5: "size": "lots" is no amount of memory: write 2GB, 1.5GB, 512 (MB), {memory: 2GB, cpus: 2}, or the provider's own name`,
		"size: [2GB]":                      `line 5: "size" must be a mapping, as in size: 2GB or size: {memory: 2GB, cpus: 2}`,
		"size: -1":                         `line 5: "size": "-1" is no amount of memory`,
		"size: 0":                          `line 5: "size": "0" is nothing`,
		"size: 999999999TB":                `line 5: "size": "999999999TB" is more than any machine has (65536 GB)`,
		"size: {memory: 2GB, cpus: 9999}":  `line 5: "size": no machine has 9999 CPUs`,
		"disk: 4194305TB":                  `line 5: the size of a disk: "4194305TB" is more than any machine has`,
		"disks: [{size: 999999999TB}]":     `line 5: the size of a disk: "999999999TB" is more than any machine has`,
		"disks: [null]":                    `line 5: "disks" has an empty entry`,
		"network: web":                     `line 5: "network" must be a mapping, as in network: {subnet: web}`,
		"network: {public: maybe}":         `line 5: "network.public" must be true or false`,
		"network: {security_groups: web}":  `line 5: "network.security_groups" must be a list, as in security_groups: [web]`,
		`network: {security_groups: [""]}`: `line 5: "network.security_groups" has an empty entry`,
		"tags: [web]":                      `line 5: "tags" must be a mapping, as in tags: {team: web}`,
		"tags: {team: [web]}":              `line 5: "tags.team" must be a single value, not a list or mapping`,
		"options: spot":                    `line 5: "options" must be a mapping, as in options: {spot: true}`,
		"guestid: [a]":                     `line 5: "guestid" must be a single value, not a list or mapping`,
		"network: {address: 10.0.0.5/99}":  `the address 10.0.0.5 has the length "99", which is from 1 to 32, as in 10.0.0.5/24`,
		"network: {address: fe80::1}":      `the address fe80::1 cannot be a machine's`,
	} {
		c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  fqdn: loki.websages.com\n  provider: ec2\n  " + lines + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := set.Providers[1].Spec(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", lines, err, want)
		}
	}
	for lines, want := range map[string]string{
		"commands: [{resume: again}]":                `line 3: "commands": an entry has no ` + "`run`",
		"commands: [{run: reboot, resume: perhaps}]": `line 3: "commands": resume is again or ask, not "perhaps"`,
		"commands: [[reboot]]":                       `line 3: "commands" must be a list, and each of its entries a command, or a mapping with ` + "`run`, as in commands:",
		"commands: reboot":                           `line 3: "commands" must be a list, as in commands:`,
		"commands: [{run: {a: b}}]":                  `line 3: "commands.run" must be a single value, not a list or mapping`,
	} {
		c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  " + lines + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := readers["commands"][0](c); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", lines, err, want)
		}
	}
	c, err := clipboard.Parse([]byte("instance:\n  hostname: loki\n  disk: 1.5GB\n  size: 1.5GB\n"))
	if s, err := set.Providers[1].Spec(c); err != nil || s.Disk != 1536 || s.Size.Memory != 1536 {
		t.Errorf("1.5GB is %s and %s, %v", s.Disk, s.Size.Memory, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// documented lists the keys under instance that docs/reference/clipboard.md shows.
func documented(t *testing.T) []string {
	t.Helper()
	var doc struct {
		Instance yaml.Node `yaml:"instance"`
	}
	_, text, ok := strings.Cut(string(must(os.ReadFile("../../docs/reference/clipboard.md"))(t)), "    instance:\n")
	text, _, end := strings.Cut(text, "\n    steps:")
	if !ok || !end {
		t.Fatal("docs/reference/clipboard.md shows no instance")
	}
	if err := yaml.Unmarshal([]byte("instance:\n"+text+"\n"), &doc); err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := 0; i < len(doc.Instance.Content); i += 2 {
		switch key := doc.Instance.Content[i].Value; key {
		case "hostname", "fqdn", "provider", "api_token": // read at the door
		default:
			out = append(out, key)
		}
	}
	if len(out) < 15 {
		t.Fatal(errors.New("docs/reference/clipboard.md shows few keys"), out)
	}
	return out
}
