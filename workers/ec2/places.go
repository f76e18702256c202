package ec2

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// regions are what people call them
// (https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html).
var regions = map[string]string{
	"Virginia": "us-east-1", "N. Virginia": "us-east-1", "Ohio": "us-east-2", "N. California": "us-west-1", "Oregon": "us-west-2",
	"Ireland": "eu-west-1", "London": "eu-west-2", "Paris": "eu-west-3", "Frankfurt": "eu-central-1", "Zurich": "eu-central-2",
	"Stockholm": "eu-north-1", "Milan": "eu-south-1", "Spain": "eu-south-2", "Mumbai": "ap-south-1", "Singapore": "ap-southeast-1",
	"Sydney": "ap-southeast-2", "Tokyo": "ap-northeast-1", "Seoul": "ap-northeast-2", "Osaka": "ap-northeast-3",
	"Sao Paulo": "sa-east-1", "Central Canada": "ca-central-1",
}

// zone gives the zone that a clipboard's datacenter names; "" for any of the region.
func (w *Worker) zone(ctx context.Context, said string) (string, error) {
	if _, err := w.connect(ctx); err != nil {
		return "", err
	}
	if said == "" || said == w.region {
		return "", nil
	}
	out, err := call(ctx, w, "list the zones", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeAvailabilityZonesOutput, error) {
		return cl.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{})
	})
	if err != nil {
		return "", err
	}
	own := map[string]string{}
	for _, region := range regions {
		own[region] = region
	}
	for _, z := range out.AvailabilityZones {
		own[aws.ToString(z.ZoneName)] = aws.ToString(z.ZoneName)
	}
	where, err := provider.Word("datacenter", said, "EC2", own, regions)
	switch {
	case err != nil:
		return "", err
	case strings.HasPrefix(where, w.region) && where != w.region:
		return where, nil
	case where != w.region:
		return "", pipeline.Permanentf("\"datacenter\" is %q (%s), and workers.ec2.region is %s", said, where, w.region)
	}
	return "", nil
}

// places finds the subnets where the machine may be, one a zone, by zone: that of the clipboard or the configuration,
// or the zones' default ones. A machine that is to be reached from outside needs one that gives public addresses.
func (w *Worker) places(ctx context.Context, s provider.Spec) ([]types.Subnet, error) {
	wanted, err := w.zone(ctx, s.Place)
	if err != nil {
		return nil, err
	}
	in, said := &ec2.DescribeSubnetsInput{}, s.Network.Subnet
	filter := func(name, value string) {
		in.Filters = append(in.Filters, types.Filter{Name: aws.String(name), Values: []string{value}})
	}
	switch key, value, tagged := strings.Cut(said, "="); {
	case said == "":
		filter("default-for-az", "true")
	case strings.HasPrefix(said, "subnet-"):
		in.SubnetIds = []string{said}
	case tagged:
		filter("tag:"+key, value)
	default:
		filter("tag:Name", said)
	}
	if wanted != "" && len(in.SubnetIds) == 0 {
		filter("availability-zone", wanted)
	}
	out, err := call(ctx, w, "look for the subnet", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeSubnetsOutput, error) {
		return cl.DescribeSubnets(ctx, in)
	})
	switch {
	case err != nil:
		return nil, err
	case len(out.Subnets) == 0 && said == "":
		return nil, pipeline.Permanentf("EC2 has no default subnet in %s; name one under `network`, or set workers.ec2.subnet", strings.TrimSpace(w.region+" "+wanted))
	case len(out.Subnets) == 0:
		return nil, pipeline.Permanentf("EC2 has no subnet %q in %s", said, strings.TrimSpace(w.region+" "+wanted))
	}
	list := out.Subnets
	slices.SortFunc(list, func(a, b types.Subnet) int {
		return strings.Compare(aws.ToString(a.AvailabilityZone)+aws.ToString(a.SubnetId), aws.ToString(b.AvailabilityZone)+aws.ToString(b.SubnetId))
	})
	vpc := list[0].VpcId
	for i, n := range list {
		switch {
		case aws.ToString(n.VpcId) != aws.ToString(vpc):
			return nil, pipeline.Permanentf("the subnet %q is in several VPCs: %s and %s; name one by its id", said, aws.ToString(vpc), aws.ToString(n.VpcId))
		case i > 0 && aws.ToString(n.AvailabilityZone) == aws.ToString(list[i-1].AvailabilityZone):
			return nil, pipeline.Permanentf("the subnet %q is twice in %s: %s and %s; name one by its id", said, aws.ToString(n.AvailabilityZone), aws.ToString(list[i-1].SubnetId), aws.ToString(n.SubnetId))
		case wanted != "" && aws.ToString(n.AvailabilityZone) != wanted:
			return nil, pipeline.Permanentf("\"datacenter\" is %q, and the subnet %s is in %s", s.Place, aws.ToString(n.SubnetId), aws.ToString(n.AvailabilityZone))
		case s.Network.Public == nil && !w.cfg.Private && s.Options["elastic_ip"] == "" && !aws.ToBool(n.MapPublicIpOnLaunch):
			return nil, pipeline.Permanentf("the subnet %s gives machines no public address; write network: {public: true} to have one, or {public: false} to take the private one", aws.ToString(n.SubnetId))
		}
	}
	return list, nil
}

// groups turns names of security groups into ids.
func (w *Worker) groups(ctx context.Context, said []string, vpc string) ([]string, error) {
	var names, ids []string
	for _, g := range said {
		if strings.HasPrefix(g, "sg-") {
			ids = append(ids, g)
		} else {
			names = append(names, g)
		}
	}
	if len(names) == 0 {
		return ids, nil
	}
	out, err := call(ctx, w, "look for the security groups", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeSecurityGroupsOutput, error) {
		return cl.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{vpc}}}})
	})
	if err != nil {
		return nil, err
	}
	var there []string
	for _, g := range out.SecurityGroups {
		there = append(there, aws.ToString(g.GroupName))
		if slices.Contains(names, aws.ToString(g.GroupName)) {
			ids = append(ids, aws.ToString(g.GroupId))
		}
	}
	for _, n := range names {
		if !slices.Contains(there, n) {
			return nil, provider.Unknown("security_groups", n, there, "the VPC "+vpc)
		}
	}
	return ids, nil
}
