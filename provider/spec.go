package provider

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/internal/mistake"
	"github.com/jarvisops/jarvis/pipeline"
)

// Wish is what a clipboard says of its machine, or the configuration's `defaults` for every machine.
type Wish struct {
	Size    Size              `yaml:"size" doc:"as in 2GB, {memory: 2GB, cpus: 2}, or the provider's own name"`
	Disk    Space             `yaml:"disk" doc:"root disk, as in 40GB"`
	Disks   []Disk            `yaml:"disks" doc:"more disks: {size: 100GB, type: gp3, encrypted: true, mount: /srv, iops: 4000, throughput: 250}"`
	Network Network           `yaml:"network" doc:"how it is connected; docs/reference/providers.md has the keys of each provider"`
	Tags    map[string]string `yaml:"tags" doc:"labels at the provider, as in {team: web}"`
	Options map[string]string `yaml:"options" doc:"the provider's own words; docs/reference/providers.md has the list of each"`
}

// Spec is the machine that is asked for: the clipboard's wishes over the configuration's.
type Spec struct {
	clipboard.Instance
	Guest    string // guestid
	Place    string // datacenter
	Boot     string // "network", or ""
	UserData string // for Create and Finish: what cloud-init is to read; "" in a Plan
	Owner    string // what the host's machine carries that may be there now, and is gone when another one is made
	Wish
	Clipboard *clipboard.Clipboard // for what one provider alone reads
}

// Option is a word of the provider's own under `options`.
type Option struct {
	Name, Doc string
	Values    []string // those that are taken; nil: any
}

// wishKeys are the keys of the clipboard that make a Wish, as a step's table wants them.
var wishKeys = []string{"size?", "disk?", "disks?", "network?", "tags?", "options?", "account?"}

// Spec reads what the clipboard asks for, and refuses what the provider cannot do: nothing is ignored.
func (p Calls) Spec(c *clipboard.Clipboard) (Spec, error) {
	s := Spec{Clipboard: c}
	var err error
	if s.Instance, err = c.Instance(); err != nil {
		return s, pipeline.Permanent(err)
	}
	for key, into := range map[string]*string{"guestid": &s.Guest, "datacenter": &s.Place, "boot": &s.Boot} {
		if *into, err = c.String(key); err != nil && !errors.Is(err, clipboard.ErrMissing) {
			return s, pipeline.Permanent(err)
		}
	}
	for _, k := range []struct {
		key  string
		into any
	}{{"size", &s.Size}, {"disk", &s.Disk}, {"disks", &s.Disks}, {"network", &s.Network}, {"tags", &s.Tags}, {"options", &s.Options}} {
		if err := c.Decode(k.key, k.into); err != nil && !errors.Is(err, clipboard.ErrMissing) {
			return s, pipeline.Permanent(err)
		}
	}
	if s.Place != "" && !slices.Contains(p.Honours, "datacenter") {
		return s, p.cannot("the clipboard", "datacenter")
	}
	if s.Boot != "" && !slices.Contains(p.Needs, "boot?") {
		return s, p.cannot("the clipboard", "boot")
	}
	if err := p.refuse(s.Wish, "the clipboard"); err != nil {
		return s, err
	}
	s.over(p.Defaults)
	return s, nil
}

// over fills in the configuration's wishes where the clipboard has none of its own.
func (w *Wish) over(d Wish) {
	if w.Size.Said == "" {
		w.Size = d.Size
	}
	if w.Disk == 0 {
		w.Disk = d.Disk
	}
	if w.Disks == nil {
		w.Disks = d.Disks
	}
	mine, theirs := reflect.ValueOf(&w.Network).Elem(), reflect.ValueOf(d.Network)
	for i := range mine.NumField() {
		if mine.Field(i).IsZero() {
			mine.Field(i).Set(theirs.Field(i))
		}
	}
	w.Tags, w.Options = joined(w.Tags, d.Tags), joined(w.Options, d.Options)
}

// joined lets mine win. The result is nobody else's map.
func joined(mine, theirs map[string]string) map[string]string {
	out := maps.Clone(theirs)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, mine)
	return out
}

// paths lists what is wished for, in the words of Honours.
func (w Wish) paths() []string {
	var out []string
	add := func(is bool, path string) {
		if is {
			out = append(out, path)
		}
	}
	add(w.Size.Said != "", "size")
	add(w.Size.CPUs > 0, "size.cpus")
	add(w.Disk > 0, "disk")
	add(len(w.Disks) > 0, "disks")
	for _, d := range w.Disks {
		add(d.Type != "", "disks.type")
		add(d.Encrypted, "disks.encrypted")
		add(d.Mount != "", "disks.mount")
		add(d.IOPS > 0, "disks.iops")
		add(d.Throughput > 0, "disks.throughput")
	}
	n := reflect.ValueOf(w.Network)
	for i := range n.NumField() {
		add(!n.Field(i).IsZero(), "network."+tagOf(n.Type().Field(i)))
	}
	add(len(w.Tags) > 0, "tags")
	return out
}

// Paths are all that a clipboard can say of a machine, in the order of the docs.
var Paths = slices.Concat([]string{"guestid", "datacenter", "size", "size.cpus", "disk", "disks", "disks.type", "disks.encrypted", "disks.mount", "disks.iops", "disks.throughput"},
	prefixed("network.", keysOf(Network{})), []string{"tags", "user_data", "login"})

func prefixed(prefix string, list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, prefix+s)
	}
	return out
}

// refuse says what this provider cannot do of a wish. where is who wishes: the clipboard, or workers.X.defaults.
func (p Calls) refuse(w Wish, where string) error {
	for _, path := range w.paths() {
		if !slices.Contains(p.Honours, path) {
			return p.cannot(where, path)
		}
	}
	for i, d := range w.Disks {
		if d.Mount != "" && slices.ContainsFunc(w.Disks[:i], func(o Disk) bool { return o.Mount == d.Mount }) {
			return pipeline.Permanentf("%s: disks: two of them have the mount %s", where, d.Mount)
		}
	}
	if err := checkAddresses(w.Network); err != nil {
		return pipeline.Permanentf("%s: network: %w", where, err)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Options)) {
		value := w.Options[name]
		i := slices.IndexFunc(p.Options, func(o Option) bool { return o.Name == name })
		if i < 0 {
			var known []string
			for _, o := range p.Options {
				known = append(known, o.Name)
			}
			return pipeline.Permanent(knownKey("options", name, known))
		}
		if v := p.Options[i].Values; v != nil && !slices.Contains(v, value) {
			return pipeline.Permanentf("%s: options: %s is %q; %s takes %s", where, name, value, p.Title, strings.Join(v, ", "))
		}
	}
	return nil
}

// checkAddresses says which address cannot be a machine's.
func checkAddresses(n Network) error {
	host, length, has := strings.Cut(n.Address, "/")
	if has {
		if _, err := netip.ParsePrefix(n.Address); err != nil {
			if a, err := netip.ParseAddr(host); err == nil {
				return fmt.Errorf("the address %s has the length %q, which is from 1 to %d, as in %s/24", host, length, a.BitLen(), host)
			}
		}
	}
	for _, one := range []struct{ what, said string }{{"address", host}, {"gateway", n.Gateway}} {
		if one.said == "" {
			continue
		}
		a, err := netip.ParseAddr(one.said)
		switch {
		case err != nil:
			return fmt.Errorf("the %s %q is no address", one.what, one.said)
		case a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || one.what == "address" && a.IsLinkLocalUnicast():
			return fmt.Errorf("the %s %s cannot be a machine's", one.what, one.said)
		}
	}
	for _, s := range n.Nameservers {
		if _, err := netip.ParseAddr(s); err != nil {
			return fmt.Errorf("the nameserver %q is no address", s)
		}
	}
	return nil
}

// cannot is permanent: no retry teaches a provider what it does not know.
func (p Calls) cannot(where, path string) error {
	return pipeline.Permanentf("%s asks for %q, which %s cannot do here; leave it out (docs/reference/providers.md says what each provider can)", where, path, p.Title)
}

// CheckDefaults says what is wrong with the configuration's wishes.
func (p Calls) CheckDefaults() error {
	where := "workers." + p.Module + ".defaults"
	if err := p.refuse(p.Defaults, where); err != nil {
		return mistake.At(where, "%s", strings.TrimSpace(strings.TrimPrefix(err.Error(), where)))
	}
	return nil
}

// knownKey says that a key is unknown, with the nearest there is.
func knownKey(where, key string, known []string) error {
	if slices.Contains(known, key) {
		return nil
	}
	if near := pipeline.Nearest(key, known); near != "" {
		return fmt.Errorf("%s has no %q; did you mean %q?", where, key, near)
	}
	if len(known) == 0 {
		return fmt.Errorf("%s has no %q: there are none here", where, key)
	}
	return fmt.Errorf("%s has no %q; it has %s", where, key, strings.Join(known, ", "))
}

func tagOf(f reflect.StructField) string { return f.Tag.Get("yaml") }

func keysOf(v any) []string {
	var out []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		out = append(out, tagOf(f))
	}
	return out
}

// address gives the address of a machine by which the host is known: the public one, the private one where no other is
// asked for, or else the IPv6 address.
func (s Spec) address(m Machine) netip.Addr {
	switch {
	case s.Network.Public != nil && !*s.Network.Public:
		return m.Private
	case m.V4.IsValid():
		return m.V4
	}
	return m.V6
}

func (s Spec) wantsIP6() bool { return s.Network.IP6 != nil && *s.Network.IP6 }
