package ec2

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// honours is what of provider.Paths EC2 can do.
var honours = []string{"guestid", "datacenter", "size", "size.cpus", "disk", "disks", "disks.type", "disks.encrypted", "disks.mount", "disks.iops", "disks.throughput", "network.subnet", "network.security_groups",
	"network.address", "network.public", "network.ip6", "tags", "user_data", "login"}

// options are EC2's own words.
var options = []provider.Option{
	{Name: "arch", Doc: "architecture, when the size does not say it", Values: []string{"x86_64", "arm64"}},
	{Name: "instance_profile", Doc: "IAM role of the machine; one of workers.ec2.instance_profiles"},
	{Name: "spot", Doc: "spare capacity: cheaper, and EC2 may take the machine away", Values: []string{"true", "false"}},
	{Name: "tenancy", Doc: "hardware of one's own", Values: []string{"default", "dedicated"}},
	{Name: "elastic_ip", Doc: "allocation id of an Elastic IP that is free, as in eipalloc-0123"},
	{Name: "disk_type", Doc: "type of the root disk", Values: []string{"gp3", "gp2", "io1", "io2", "standard"}},
	{Name: "disk_iops", Doc: "operations a second of the root disk, when its disk_type is gp3, io1 or io2; empty: 3000, or what an io1 or io2 of its size can have"},
	{Name: "disk_throughput", Doc: "MB a second of the root disk, when its disk_type is gp3; empty: 125"},
	{Name: "disk_encrypted", Doc: "encrypts the root disk", Values: []string{"true", "false"}},
}

// order is what we ask EC2 for: one request, and the places where it may be made, the preferred one first.
type order struct {
	in    ec2.RunInstancesInput
	name  string
	image types.Image
	size  types.InstanceTypeInfo
	nets  []types.Subnet
}

// order reads the words of a spec. It needs no secret, so that Plan can use it.
func (w *Worker) order(ctx context.Context, s provider.Spec) (order, error) {
	o := order{name: s.FQDN}
	if s.Size.Said == "" {
		return o, pipeline.Permanentf("the clipboard names no \"size\": write 2GB, or an instance type as in t3.small")
	}
	arch := s.Options["arch"]
	var err error
	if o.size, arch, err = w.size(ctx, s.Size, arch); err != nil {
		return o, err
	}
	if o.image, err = w.image(ctx, s.Guest, arch); err != nil {
		return o, err
	}
	if o.nets, err = w.places(ctx, s); err != nil {
		return o, err
	}
	groups, err := w.groups(ctx, s.Network.SecurityGroups, aws.ToString(o.nets[0].VpcId))
	if err != nil {
		return o, err
	}
	o.in = ec2.RunInstancesInput{ImageId: o.image.ImageId, InstanceType: o.size.InstanceType, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		// User-data holds the key of the first contact: only IMDSv2 may read it, and no container behind a hop.
		MetadataOptions: &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1), HttpEndpoint: types.InstanceMetadataEndpointStateEnabled},
	}
	nic := types.InstanceNetworkInterfaceSpecification{DeviceIndex: aws.Int32(0), Groups: groups, AssociatePublicIpAddress: s.Network.Public, DeleteOnTermination: aws.Bool(true)}
	if s.Network.Address != "" {
		if o.nets, err = holding(o.nets, s.Network.Address); err != nil {
			return o, err
		}
		a, _, _ := strings.Cut(s.Network.Address, "/")
		nic.PrivateIpAddress = aws.String(a)
	}
	if s.Network.IP6 != nil && *s.Network.IP6 {
		nic.Ipv6AddressCount = aws.Int32(1)
	}
	o.in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{nic}
	if o.in.BlockDeviceMappings, err = disks(s, o.image); err != nil {
		return o, err
	}
	if err := checkTags(s.Tags); err != nil {
		return o, err
	}
	return o, w.special(ctx, s, &o)
}

// special puts EC2's own words into the order.
func (w *Worker) special(ctx context.Context, s provider.Spec, o *order) error {
	if p := s.Options["instance_profile"]; p != "" {
		if !slices.Contains(w.cfg.InstanceProfiles, p) {
			return pipeline.Permanentf("options: the instance_profile %q is not listed under workers.ec2.instance_profiles, and whoever has the host has its rights", p)
		}
		o.in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(p)}
	}
	if s.Options["spot"] == "true" {
		o.in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot,
			SpotOptions: &types.SpotMarketOptions{SpotInstanceType: types.SpotInstanceTypeOneTime, InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate}}
	}
	if t := s.Options["tenancy"]; t != "" {
		o.in.Placement = &types.Placement{Tenancy: types.Tenancy(t)}
	}
	if id := s.Options["elastic_ip"]; id != "" {
		_, err := w.elastic(ctx, id, "")
		return err
	}
	return nil
}

func (w *Worker) plan(ctx context.Context, s provider.Spec) (string, error) {
	o, err := w.order(ctx, s)
	if err != nil {
		return "", err
	}
	more := ""
	if s.Disk > 0 {
		more += ", " + s.Disk.String() + " root disk"
	}
	for _, d := range s.Disks {
		more += ", a disk of " + d.Size.String()
	}
	if s.Options["spot"] == "true" {
		more += ", spot"
	}
	first := o.nets[0]
	return fmt.Sprintf("would make %s: %s (%d MB), %s (%s)%s, in %s, %s", o.name, o.size.InstanceType, aws.ToInt64(o.size.MemoryInfo.SizeInMiB), aws.ToString(o.image.ImageId), aws.ToString(o.image.Name), more, aws.ToString(first.AvailabilityZone), aws.ToString(first.SubnetId)), nil
}

// maxTokens bounds how many machines of one run EC2 may have terminated.
const maxTokens = 20

// create tags the machine and its volumes in the request that makes them, so that nothing is ever without its mark.
func (w *Worker) create(ctx context.Context, s provider.Spec, mark provider.Mark) (provider.Machine, error) {
	o, err := w.order(ctx, s)
	if err != nil {
		return provider.Machine{}, err
	}
	o.in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte(s.UserData)))
	tags := []types.Tag{{Key: aws.String("Name"), Value: aws.String(o.name)}, {Key: aws.String(tag), Value: aws.String(mark.Token)}, {Key: aws.String(tagOwner), Value: aws.String(mark.Owner)}}
	for _, k := range slices.Sorted(maps.Keys(s.Tags)) {
		tags = append(tags, types.Tag{Key: aws.String(k), Value: aws.String(s.Tags[k])})
	}
	o.in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: tags}, {ResourceType: types.ResourceTypeVolume, Tags: tags}}
	return w.inSomeZone(ctx, s, o, mark)
}

// inSomeZone asks zone after zone. The next one is asked only when EC2 said clearly that it has no capacity in this
// one, and which one is asked is on record before: a repeat asks the same one again, for an answer may have been lost.
func (w *Worker) inSomeZone(ctx context.Context, s provider.Spec, o order, mark provider.Mark) (provider.Machine, error) {
	from := max(0, slices.IndexFunc(o.nets, func(n types.Subnet) bool {
		return aws.ToString(n.AvailabilityZone) == s.Clipboard.Get("provider_zone")
	}))
	var full []string
	for i := from; ; i++ {
		zone := ""
		if i < len(o.nets) {
			zone = aws.ToString(o.nets[i].AvailabilityZone)
		}
		if i > from || i >= len(o.nets) {
			// Nothing was made in the zones before this one.
			err := s.Clipboard.Delete("provider_zone")
			if zone != "" {
				err = s.Clipboard.Set("provider_zone", zone)
			}
			if err := errors.Join(err, pipeline.Keep(ctx, s.Clipboard)); err != nil {
				return provider.Machine{}, err
			}
		}
		if zone == "" {
			return provider.Machine{}, fmt.Errorf("make the machine: EC2 has no capacity for a %s now in %s", o.size.InstanceType, strings.Join(full, ", "))
		}
		o.in.NetworkInterfaces[0].SubnetId = o.nets[i].SubnetId
		token := mark.Token
		if i > 0 {
			token += "-" + zone
		}
		pipeline.Progress(ctx, fmt.Sprintf("making a %s in %s", o.size.InstanceType, zone))
		m, err := w.run(ctx, o, token)
		if !errors.Is(err, errNoCapacity) {
			return m, err
		}
		pipeline.Log(ctx, err.Error())
		full = append(full, zone)
	}
}

// errNoCapacity: EC2 has no room in that zone, and made nothing.
var errNoCapacity = errors.New("EC2 has no capacity for it there now")

// run makes one instance. A client token stands for its instance for ever, also when that was terminated: EC2 then
// gives the terminated one, or says IdempotentInstanceTerminated
// (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html), and the next token is due.
func (w *Worker) run(ctx context.Context, o order, token string) (provider.Machine, error) {
	for n := 1; n <= maxTokens; n++ {
		o.in.ClientToken = aws.String(token)
		if n > 1 {
			o.in.ClientToken = aws.String(fmt.Sprintf("%s-%d", token, n))
		}
		out, err := call(ctx, w, "make the machine", func(ctx context.Context, cl *ec2.Client) (*ec2.RunInstancesOutput, error) {
			return cl.RunInstances(ctx, &o.in)
		})
		var api smithy.APIError
		if errors.As(err, &api) {
			switch api.ErrorCode() {
			case "IdempotentInstanceTerminated":
				continue
			case "IdempotentParameterMismatch":
				return provider.Machine{}, pipeline.Permanent(errors.New("EC2 made a machine for this run with other settings, and the clipboard has changed since; `undo` removes it"))
			}
		}
		if err != nil {
			return provider.Machine{}, err
		}
		if len(out.Instances) != 1 {
			return provider.Machine{}, fmt.Errorf("make the machine: EC2 named %d instances", len(out.Instances))
		}
		if m := w.machine(out.Instances[0]); m.State != provider.Gone && m.State != provider.Deleting {
			return m, nil
		}
	}
	return provider.Machine{}, pipeline.Permanentf("EC2 terminated every machine of this run; look at its reasons in the console")
}

// finish gives the machine its Elastic IP, when it is to have one.
func (w *Worker) finish(ctx context.Context, s provider.Spec, m provider.Machine, _ provider.Mark) error {
	id := s.Options["elastic_ip"]
	if id == "" {
		return nil
	}
	has, err := w.elastic(ctx, id, m.ID)
	if err != nil || has {
		return err
	}
	pipeline.Progress(ctx, "giving it the address "+id)
	_, err = call(ctx, w, "give the machine its Elastic IP", func(ctx context.Context, cl *ec2.Client) (*ec2.AssociateAddressOutput, error) {
		return cl.AssociateAddress(ctx, &ec2.AssociateAddressInput{AllocationId: aws.String(id), InstanceId: aws.String(m.ID), AllowReassociation: aws.Bool(false)})
	})
	return err
}

// elastic makes sure that an Elastic IP is there and that nobody else uses it; has tells whether the instance has it.
func (w *Worker) elastic(ctx context.Context, id, instance string) (has bool, err error) {
	out, err := call(ctx, w, "look for the Elastic IP", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeAddressesOutput, error) {
		return cl.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{AllocationIds: []string{id}})
	})
	if err != nil {
		return false, err
	}
	if len(out.Addresses) == 0 {
		return false, pipeline.Permanentf("EC2 knows no Elastic IP %s here", id)
	}
	a := out.Addresses[0]
	switch used := aws.ToString(a.InstanceId); {
	case used != "" && used == instance:
		return true, nil
	case used != "" && instance == "":
		// A plan, or the order before the machine is made: a redeploy frees it when it deletes the old machine.
		m, err := w.get(ctx, used)
		if err == nil && m.State != provider.Gone && m.State != provider.Deleting && m.Owner != pipeline.FactsOf(ctx).Owner {
			return false, pipeline.Permanentf("the Elastic IP %s (%s) belongs to the machine %s (%s) now, and is not taken away", id, aws.ToString(a.PublicIp), used, m.Name)
		}
	case used != "" || aws.ToString(a.AssociationId) != "":
		return false, pipeline.Permanentf("the Elastic IP %s (%s) is in use by %s now, and is not taken away", id, aws.ToString(a.PublicIp), cmp.Or(used, aws.ToString(a.NetworkInterfaceId)))
	}
	return false, nil
}
