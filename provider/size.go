package provider

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/pattern"
)

// Space is an amount of memory or disk, in MB (2^20 bytes, as providers count).
type Space int64

// GB gives the amount in gigabytes, rounded up.
func (s Space) GB() int64 { return (int64(s) + 1023) >> 10 }

// String implements fmt.Stringer.
func (s Space) String() string {
	if s%1024 == 0 && s > 0 {
		return fmt.Sprintf("%d GB", s/1024)
	}
	return fmt.Sprintf("%d MB", int64(s))
}

var amount = pattern.New(`(?i)^\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(M|MB|MIB|G|GB|GIB|T|TB|TIB)?\s*$`)

// leastMemory is what any system boots with: less is a slip.
const leastMemory Space = 64

// mostBare is the largest disk, in GB, that a number without a unit means: more is a slip for MB.
const mostBare = 4096

// tooLittle says why a machine cannot have so little memory, "" when it can; for a number without a unit with both of
// what it may mean.
func tooLittle(said string, m Space) string {
	if m >= leastMemory {
		return ""
	}
	if said = strings.TrimSpace(said); bare(said) {
		return fmt.Sprintf("would be %s MB of memory, and no machine boots with less than %s; write %sGB or %d", said, leastMemory, said, int64(m)*1024)
	}
	return fmt.Sprintf("is too little: no machine boots with less than %s of memory", leastMemory)
}

// bare reports whether an amount has no unit.
func bare(said string) bool { return strings.Trim(strings.TrimSpace(said), "0123456789") == "" }

// Shape says memory and CPUs in words.
func Shape(memory string, cpus int) string {
	if cpus == 1 {
		return memory + ", 1 CPU"
	}
	return fmt.Sprintf("%s, %d CPUs", memory, cpus)
}

// What no machine has, at any provider: more memory, more in one disk, more CPUs. What each takes is less.
const (
	maxMemory = 64 << 20   // MB
	maxDisk   = 1024 << 20 // MB
	maxCPUs   = 4096
)

// parseSpace reads "512", "512 MB", "1.5GB"; a bare number has the given unit. A part of a MB counts as one. wrong says
// why that cannot be; it is "" for what is no amount at all, which ok tells.
func parseSpace(said string, unit, most Space) (s Space, ok bool, wrong string) {
	m := amount.FindStringSubmatch(said)
	if m == nil {
		return 0, false, ""
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false, ""
	}
	if m[2] != "" {
		unit = map[byte]Space{'M': 1, 'G': 1 << 10, 'T': 1 << 20}[strings.ToUpper(m[2])[0]]
	}
	switch mb := math.Ceil(n * float64(unit)); {
	case mb < 1:
		return 0, true, "is nothing"
	case mb > float64(most):
		return 0, true, "is more than any machine has (" + most.String() + ")"
	default:
		return Space(mb), true, ""
	}
}

// UnmarshalYAML reads a disk's size; a bare number means gigabytes.
func (s *Space) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return &clipboard.SyntaxError{Line: n.Line, Msg: "the size of a disk is one value: write 40GB"}
	}
	v, ok, wrong := parseSpace(n.Value, 1<<10, maxDisk)
	if !ok {
		wrong = "is no size"
	}
	if wrong != "" {
		return &clipboard.SyntaxError{Line: n.Line, Msg: fmt.Sprintf("the size of a disk: %q %s: write 40GB", n.Value, wrong)}
	}
	if v > mostBare<<10 && bare(n.Value) {
		return &clipboard.SyntaxError{Line: n.Line, Msg: fmt.Sprintf("a disk of %[1]s would have %[1]s GB; write %[1]sMB or %[1]sGB", strings.TrimSpace(n.Value))}
	}
	*s = v
	return nil
}

// Size is how large a machine is to be: `2GB` (a bare number means MB), {memory: 2GB, cpus: 2}, or the provider's own
// name.
type Size struct {
	Said   string // as it was written
	Memory Space  // 0 when Own says it
	CPUs   int    // 0: as many as come with the memory
	Own    string // the provider's own name; "" when Memory says it
}

// UnmarshalYAML reads either form.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.Said = strings.TrimSpace(n.Value)
		m, ok, wrong := parseSpace(n.Value, 1, maxMemory)
		switch {
		case wrong != "":
			return noSize(n, s.Said, wrong)
		case ok && tooLittle(n.Value, m) != "":
			return &clipboard.SyntaxError{Line: n.Line, Msg: "size: " + s.Said + " " + tooLittle(n.Value, m)}
		case ok:
			s.Memory = m
		case s.Said != "" && strings.ContainsAny(s.Said[:1], "0123456789+-.,"): // no provider's own name begins so
			return noSize(n, s.Said, "is no amount of memory")
		default:
			s.Own = s.Said
		}
		return nil
	}
	var v struct {
		Memory string `yaml:"memory"`
		CPUs   int    `yaml:"cpus"`
	}
	if err := strict(n, &v, "size", "memory", "cpus"); err != nil {
		return err
	}
	m, ok, wrong := parseSpace(v.Memory, 1, maxMemory)
	switch {
	case !ok || wrong != "":
		return noSize(n, v.Memory, cmp.Or(wrong, "is no amount of memory"))
	case v.CPUs < 0 || v.CPUs > maxCPUs:
		return &clipboard.SyntaxError{Line: n.Line, Msg: fmt.Sprintf("\"size\": no machine has %d CPUs: write {memory: 2GB, cpus: 2}", v.CPUs)}
	}
	if wrong := tooLittle(v.Memory, m); wrong != "" {
		return &clipboard.SyntaxError{Line: n.Line, Msg: "size: " + v.Memory + " " + wrong}
	}
	s.Said, s.Memory, s.CPUs = Shape(m.String(), v.CPUs), m, v.CPUs
	return nil
}

// noSize says at the line of the clipboard what is wrong with a size, and what one looks like.
func noSize(n *yaml.Node, said, wrong string) error {
	return &clipboard.SyntaxError{Line: n.Line, Msg: fmt.Sprintf("\"size\": %q %s: write 2GB, 1.5GB, 512 (MB), {memory: 2GB, cpus: 2}, or the provider's own name", said, wrong)}
}

// Disk is one more disk: {size: 100GB, type: gp3, mount: /srv}.
type Disk struct {
	Size      Space  `yaml:"size"`
	Type      string `yaml:"type"`      // the provider's own word
	Encrypted bool   `yaml:"encrypted"` // at rest, by the provider
	Mount     string `yaml:"mount"`     // where the first boot mounts it, with a file system on it; "": nowhere

	// What it is to do: operations a second, and MB a second; 0: as the provider has it for its type.
	IOPS       int `yaml:"iops"`
	Throughput int `yaml:"throughput"`
}

// UnmarshalYAML refuses what it does not know.
func (d *Disk) UnmarshalYAML(n *yaml.Node) error {
	type plain Disk
	if n.Kind != yaml.MappingNode {
		return clipboard.Misshapen(n, "disks", clipboard.MustEach+"a mapping")
	}
	if err := strict(n, (*plain)(d), "disks", keysOf(Disk{})...); err != nil {
		return err
	}
	wrong := ""
	if d.Mount != "" {
		if err := clipboard.CheckMount(d.Mount); err != nil {
			wrong = err.Error()
		}
	}
	switch {
	case d.Size == 0:
		wrong = "a disk needs its size, as in {size: 100GB}"
	case d.IOPS < 0 || d.Throughput < 0:
		wrong = "iops and throughput cannot be below 0; leave them out to have what is usual"
	case wrong == "":
		return nil
	}
	return &clipboard.SyntaxError{Line: n.Line, Msg: "disks: " + wrong}
}

// Network is how a machine is connected. Which keys a provider honours, docs/reference/providers.md says.
type Network struct {
	Subnet         string   `yaml:"subnet" doc:"id, or name, or tag as in Tier=web"`
	Portgroup      string   `yaml:"portgroup" doc:"vSphere's network"`
	VPC            string   `yaml:"vpc" doc:"Linode: NAME/SUBNET, or the subnet's id"`
	VLAN           string   `yaml:"vlan" doc:"Linode: label"`
	Bridge         string   `yaml:"bridge" doc:"libvirt: a bridge of the host, or a network's name"`
	SecurityGroups []string `yaml:"security_groups" doc:"ids or names"`
	Firewall       string   `yaml:"firewall" doc:"id or label"`
	Address        string   `yaml:"address" doc:"a fixed one; with its length where the machine sets it (10.0.0.5/24)"`
	Gateway        string   `yaml:"gateway" doc:"of address"`
	Nameservers    []string `yaml:"nameservers" doc:"of address"`
	Public         *bool    `yaml:"public" doc:"whether it has an address that the Internet reaches"`
	Private        *bool    `yaml:"private" doc:"Linode: a private address beside the public one"`
	IP6            *bool    `yaml:"ip6" doc:"whether it must have an IPv6 address"`
}

// UnmarshalYAML refuses what it does not know.
func (w *Network) UnmarshalYAML(n *yaml.Node) error {
	type plain Network
	return strict(n, (*plain)(w), "network", keysOf(Network{})...)
}

// strict decodes a mapping whose keys are known.
func strict(n *yaml.Node, v any, where string, known ...string) error {
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		if k := n.Content[i]; k.Kind == yaml.ScalarNode {
			if err := knownKey(where, k.Value, known); err != nil {
				return &clipboard.SyntaxError{Line: k.Line, Msg: err.Error()}
			}
		}
	}
	return clipboard.Shaped(n, v, where)
}
