package linode

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/linode/linodego"

	"github.com/jarvisops/jarvis/internal/pattern"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// honours is what of provider.Paths Linode can do. Every machine has an IPv6 address.
var honours = []string{"guestid", "datacenter", "size", "size.cpus", "disks", "disks.encrypted", "disks.mount", "network.vpc", "network.vlan", "network.firewall", "network.address", "network.private", "network.ip6", "tags", "user_data", "login"}

// options are Linode's own words.
var options = []provider.Option{
	{Name: "class", Doc: "kind of plan for a size in memory", Values: []string{"shared", "dedicated", "highmem", "premium"}},
	{Name: "backups", Doc: "Linode's daily backups, which cost extra", Values: []string{"true", "false"}},
	{Name: "disk_encryption", Doc: "encrypts the disks", Values: []string{"enabled", "disabled"}},
	{Name: "interfaces", Doc: "generation of its network interfaces: those of the configuration profile, or Linode Interfaces", Values: []string{"legacy_config", "linode"}},
}

// labels: 3 to 64 letters, digits, - _ and ., beginning and ending with a letter or digit, no two of - _ . in a row.
var labels = pattern.New(`^[a-zA-Z0-9]([-_.]?[a-zA-Z0-9])+$`)

// maxUserData is what the API takes before base64: it says "decoded user_data must not exceed 16384 bytes" (the
// reference, of post-linode-instance, has two figures: 65535 bytes, and 16 KB).
const maxUserData = 16 << 10

// maxTag and minTag: a tag has 3 to 50 characters, and its case does not count.
const minTag, maxTag = 3, 50

// order is what we ask Linode for.
type order struct {
	opts  linodego.InstanceCreateOptions
	price linodego.LinodePrice
	plan  linodego.LinodeType
	place linodego.Region
}

// order reads the words of a spec. It needs no secret, so that Plan can use it.
func (w *Worker) order(ctx context.Context, s provider.Spec) (order, error) {
	var o order
	if len(s.FQDN) < 3 || len(s.FQDN) > 64 || !labels.MatchString(s.FQDN) {
		return o, pipeline.Permanentf("%q cannot be a label at Linode: 3 to 64 letters, digits, - and ., no two of - and . in a row; give the host another name", s.FQDN)
	}
	image, err := w.image(ctx, s.Guest)
	if err != nil {
		return o, err
	}
	if o.place, err = w.region(ctx, s.Place); err != nil {
		return o, err
	}
	if o.plan, err = w.planType(ctx, s.Size, s.Options["class"]); err != nil {
		return o, err
	}
	if o.plan.Price != nil {
		o.price = *o.plan.Price
	}
	for _, p := range o.plan.RegionPrices {
		if p.ID == o.place.ID {
			o.price = linodego.LinodePrice{Hourly: p.Hourly, Monthly: p.Monthly}
		}
	}
	if err := volumesOf(s, o.place); err != nil {
		return o, err
	}
	booted := len(s.Disks) == 0 // else finish boots it, when it has its disks
	o.opts = linodego.InstanceCreateOptions{Region: o.place.ID, Type: o.plan.ID, Label: s.FQDN, Image: image, Booted: &booted,
		PrivateIP: s.Network.Private != nil && *s.Network.Private, BackupsEnabled: s.Options["backups"] == "true",
		DiskEncryption: linodego.InstanceDiskEncryption(s.Options["disk_encryption"])}
	if s.Network.IP6 != nil && !*s.Network.IP6 {
		return o, pipeline.Permanentf("network: Linode gives every machine an IPv6 address; leave ip6 out")
	}
	for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
		if strings.Contains(k, ":") {
			return o, pipeline.Permanentf("tags: the key %q has a colon, at which Linode's tags are cut into key and value; write it without", k)
		}
	}
	o.opts.Tags = words(s.Tags)
	for _, t := range o.opts.Tags {
		if len(t) < minTag || len(t) > maxTag || strings.HasPrefix(strings.ToLower(t), "jarvis-") {
			return o, pipeline.Permanentf("tags: %q cannot be a tag at Linode: %d to %d characters, not beginning with jarvis-", t, minTag, maxTag)
		}
	}
	return o, w.connectTo(ctx, s, &o)
}

// words writes a clipboard's tags as Linode has them.
func words(tags map[string]string) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, k+":"+tags[k])
	}
	return out
}

func (w *Worker) plan(ctx context.Context, s provider.Spec) (string, error) {
	o, err := w.order(ctx, s)
	if err != nil {
		return "", err
	}
	price := o.price.Monthly
	extra := ""
	if o.opts.BackupsEnabled && o.plan.Addons != nil && o.plan.Addons.Backups != nil && o.plan.Addons.Backups.Price != nil {
		price += o.plan.Addons.Backups.Price.Monthly
		extra = " with backups"
	}
	for _, d := range s.Disks {
		extra += ", and a Volume of " + d.Size.String()
	}
	if len(s.Disks) > 0 {
		extra += " (not in the price)"
	}
	return fmt.Sprintf("would make %s: %s (%s, %d MB), %s, in %s (%s), $%.2f a month%s", o.opts.Label, o.plan.Label, o.plan.ID, o.plan.Memory, o.opts.Image, o.place.Label, o.place.ID, price, extra), nil
}

func (w *Worker) create(ctx context.Context, s provider.Spec, mark provider.Mark) (provider.Machine, error) {
	o, err := w.order(ctx, s)
	if err != nil {
		return provider.Machine{}, err
	}
	pass, err := s.Clipboard.Secret("root_password")
	if err != nil {
		return provider.Machine{}, pipeline.Permanent(err)
	}
	o.opts.RootPass = string(pass)
	o.opts.Metadata = &linodego.InstanceMetadataOptions{UserData: base64.StdEncoding.EncodeToString([]byte(s.UserData))}
	o.opts.Tags = append([]string{mark.Token, mark.Owner}, o.opts.Tags...)
	pipeline.Progress(ctx, fmt.Sprintf("making a %s in %s", o.plan.Label, o.place.Label))
	var in *linodego.Instance
	err = w.call(ctx, "make the machine", func(ctx context.Context) error {
		in, err = w.client.CreateInstance(ctx, o.opts)
		return err
	})
	if err != nil {
		return provider.Machine{}, err
	}
	return machine(in), nil
}

// connectTo puts firewall, VPC and VLAN into the order, by either generation of interfaces
// (https://techdocs.akamai.com/linode-api/reference/post-linode-instance). The public one comes first, for Jarvis.
func (w *Worker) connectTo(ctx context.Context, s provider.Spec, o *order) error {
	subnet, firewall := 0, 0
	var err error
	if s.Network.VPC != "" {
		if subnet, err = w.subnet(ctx, s.Network.VPC, o.place.ID); err != nil {
			return err
		}
	}
	if s.Network.Firewall != "" {
		if firewall, err = w.firewall(ctx, s.Network.Firewall); err != nil {
			return err
		}
	}
	if s.Network.Address != "" && subnet == 0 && s.Network.VLAN == "" {
		return pipeline.Permanentf("network: at Linode an address of one's own needs a vpc or a vlan")
	}
	if s.Network.Address != "" && subnet != 0 && s.Network.VLAN != "" {
		return pipeline.Permanentf("network: the address could be that of the vpc or of the vlan; name one of the two")
	}
	if s.Options["interfaces"] == "linode" {
		o.opts.InterfaceGeneration = linodego.GenerationLinode
		linodeInterfaces(s, o, subnet, firewall)
		return nil
	}
	o.opts.FirewallID = firewall
	if subnet == 0 && s.Network.VLAN == "" {
		return nil
	}
	o.opts.Interfaces = []linodego.InstanceConfigInterfaceCreateOptions{{Purpose: linodego.InterfacePurposePublic, Primary: true}}
	if subnet != 0 {
		i := linodego.InstanceConfigInterfaceCreateOptions{Purpose: linodego.InterfacePurposeVPC, SubnetID: &subnet}
		if a := bare(s.Network.Address); a != "" {
			i.IPv4 = &linodego.VPCIPv4{VPC: a}
		}
		o.opts.Interfaces = append(o.opts.Interfaces, i)
	}
	if s.Network.VLAN != "" {
		o.opts.Interfaces = append(o.opts.Interfaces, linodego.InstanceConfigInterfaceCreateOptions{Purpose: linodego.InterfacePurposeVLAN, Label: s.Network.VLAN, IPAMAddress: s.Network.Address})
	}
	return nil
}

// linodeInterfaces leaves the default route with the public interface: SSH comes in by it, whatever else there is.
func linodeInterfaces(s provider.Spec, o *order, subnet, firewall int) {
	yes := true
	public := linodego.LinodeInterfaceCreateOptions{Public: &linodego.PublicInterfaceCreateOptions{}, DefaultRoute: &linodego.InterfaceDefaultRoute{IPv4: &yes, IPv6: &yes}}
	if firewall != 0 {
		public.FirewallID = &firewall
	}
	o.opts.LinodeInterfaces = []linodego.LinodeInterfaceCreateOptions{public}
	if subnet != 0 {
		v := &linodego.VPCInterfaceCreateOptions{SubnetID: subnet}
		if a := bare(s.Network.Address); a != "" {
			v.IPv4 = &linodego.VPCInterfaceIPv4CreateOptions{Addresses: &[]linodego.VPCInterfaceIPv4AddressCreateOptions{{Address: &a, Primary: &yes}}}
		}
		o.opts.LinodeInterfaces = append(o.opts.LinodeInterfaces, linodego.LinodeInterfaceCreateOptions{VPC: v})
	}
	if s.Network.VLAN != "" {
		v := &linodego.VLANInterface{VLANLabel: s.Network.VLAN}
		if s.Network.Address != "" {
			v.IPAMAddress = &s.Network.Address
		}
		o.opts.LinodeInterfaces = append(o.opts.LinodeInterfaces, linodego.LinodeInterfaceCreateOptions{VLAN: v})
	}
}

// bare cuts the length off an address.
func bare(address string) string {
	a, _, _ := strings.Cut(address, "/")
	return a
}

// subnet finds a VPC's subnet by its id, or as VPC/SUBNET; it must be in the machine's region.
func (w *Worker) subnet(ctx context.Context, said, region string) (int, error) {
	var list []linodego.VPC
	err := w.call(ctx, "list the VPCs", func(ctx context.Context) (err error) {
		list, err = w.client.ListVPCs(ctx, nil)
		return err
	})
	if err != nil {
		return 0, err
	}
	var words []string
	for _, v := range list {
		for _, n := range v.Subnets {
			name := v.Label + "/" + n.Label
			switch {
			case said != name && said != strconv.Itoa(n.ID):
				words = append(words, name)
			case v.Region != region:
				return 0, pipeline.Permanentf("network: the VPC %s is in %s, and the machine is to be in %s", v.Label, v.Region, region)
			default:
				return n.ID, nil
			}
		}
	}
	return 0, provider.Unknown("vpc", said, words, "Linode")
}

// firewall finds a firewall by its label or id.
func (w *Worker) firewall(ctx context.Context, said string) (int, error) {
	var list []linodego.Firewall
	err := w.call(ctx, "list the firewalls", func(ctx context.Context) (err error) {
		list, err = w.client.ListFirewalls(ctx, nil)
		return err
	})
	if err != nil {
		return 0, err
	}
	var words []string
	for _, f := range list {
		if said == f.Label || said == strconv.Itoa(f.ID) {
			return f.ID, nil
		}
		words = append(words, f.Label)
	}
	return 0, provider.Unknown("firewall", said, words, "Linode")
}
