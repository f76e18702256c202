package ec2

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// official are the images that distributions publish: "owner name-pattern", ARCH standing for the architecture as
// they write it (https://wiki.debian.org/Cloud/AmazonEC2Image, https://documentation.ubuntu.com/aws/,
// https://docs.aws.amazon.com/linux/al2023/, https://rockylinux.org/download, https://wiki.almalinux.org/cloud/AWS.html).
var official = map[string]string{
	"Debian 11":         "136693071363 debian-11-DEBARCH-*",
	"Debian 12":         "136693071363 debian-12-DEBARCH-*",
	"Debian 13":         "136693071363 debian-13-DEBARCH-*",
	"Ubuntu 22.04":      "099720109477 ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-DEBARCH-server-*",
	"Ubuntu 24.04":      "099720109477 ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-DEBARCH-server-*",
	"Amazon Linux 2023": "137112412989 al2023-ami-2023.*-ARCH",
	"Rocky Linux 9":     "792107900819 Rocky-9-EC2-Base-9*.ARCH*",
	"AlmaLinux 9":       "764336703387 AlmaLinux OS 9*ARCH*",
}

// image finds an image by the configuration's names, by a distribution's, or by its id.
func (w *Worker) image(ctx context.Context, said string) (types.Image, error) {
	in := &ec2.DescribeImagesInput{}
	table := map[string]string{}
	for name, where := range official {
		table[name] = where
	}
	for name, id := range w.cfg.Images {
		table[name] = id
	}
	where := said
	if !strings.HasPrefix(said, "ami-") {
		var err error
		if where, err = provider.Word("guestid", said, table, "EC2"); err != nil {
			return types.Image{}, err
		}
	}
	if strings.HasPrefix(where, "ami-") {
		in.ImageIds = []string{where}
	} else {
		owner, pattern, _ := strings.Cut(where, " ")
		debian := map[string]string{"x86_64": "amd64", "arm64": "arm64"}[w.cfg.Arch]
		rest := map[string]string{"x86_64": "x86_64", "arm64": "a*64"}[w.cfg.Arch] // aarch64 or arm64
		pattern = strings.ReplaceAll(strings.ReplaceAll(pattern, "DEBARCH", debian), "ARCH", rest)
		in.Owners = []string{owner}
		in.Filters = []types.Filter{{Name: aws.String("name"), Values: []string{pattern}}, {Name: aws.String("state"), Values: []string{"available"}},
			{Name: aws.String("architecture"), Values: []string{w.cfg.Arch}}}
	}
	out, err := call(ctx, w, "look for the image", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeImagesOutput, error) {
		return cl.DescribeImages(ctx, in)
	})
	if err != nil {
		return types.Image{}, err
	}
	if len(out.Images) == 0 {
		return types.Image{}, pipeline.Permanentf("EC2 shows no image for guestid %q in this region (%s); name one of your own under workers.ec2.images", said, where)
	}
	newest := slices.MaxFunc(out.Images, func(a, b types.Image) int {
		return strings.Compare(aws.ToString(a.CreationDate), aws.ToString(b.CreationDate))
	})
	if a := string(newest.Architecture); a != w.cfg.Arch {
		return types.Image{}, pipeline.Permanentf("the image %s is for %s, and workers.ec2.arch is %s", aws.ToString(newest.ImageId), a, w.cfg.Arch)
	}
	return newest, nil
}

// size finds the instance type: megabytes of memory give the smallest of the configured family that has them; else
// the type's own name.
func (w *Worker) size(ctx context.Context, said string) (types.InstanceTypeInfo, error) {
	mb, err := strconv.ParseInt(said, 10, 64)
	bySize := err == nil
	family, _, _ := strings.Cut(said, ".")
	if bySize {
		family = w.cfg.Family
	}
	in := &ec2.DescribeInstanceTypesInput{Filters: []types.Filter{{Name: aws.String("instance-type"), Values: []string{family + ".*"}},
		{Name: aws.String("processor-info.supported-architecture"), Values: []string{w.cfg.Arch}}}}
	var list []types.InstanceTypeInfo
	for {
		page, err := call(ctx, w, "list the instance types", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeInstanceTypesOutput, error) {
			return cl.DescribeInstanceTypes(ctx, in)
		})
		if err != nil {
			return types.InstanceTypeInfo{}, err
		}
		list = append(list, page.InstanceTypes...)
		if aws.ToString(page.NextToken) == "" {
			break
		}
		in.NextToken = page.NextToken
	}
	memory := func(t types.InstanceTypeInfo) int64 {
		if t.MemoryInfo == nil {
			return 0
		}
		return aws.ToInt64(t.MemoryInfo.SizeInMiB)
	}
	slices.SortFunc(list, func(a, b types.InstanceTypeInfo) int { return int(memory(a) - memory(b)) })
	var names []string
	for _, t := range list {
		if bySize && memory(t) >= mb && mb > 0 || string(t.InstanceType) == said {
			return t, nil
		}
		names = append(names, string(t.InstanceType))
	}
	if bySize {
		most := int64(0)
		if len(list) > 0 {
			most = memory(list[len(list)-1])
		}
		return types.InstanceTypeInfo{}, pipeline.Permanentf("\"size\" is %q: EC2's family %s has up to %d MB; name a type of another family, or set workers.ec2.family", said, family, most)
	}
	if len(names) == 0 {
		return types.InstanceTypeInfo{}, pipeline.Permanentf("\"size\" is %q: EC2 has no instance family %q for %s; write megabytes, as in 512, or a type, as in t3.micro", said, family, w.cfg.Arch)
	}
	return types.InstanceTypeInfo{}, provider.Unknown("size", said, names, "EC2")
}

// regions are what people call them (https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html).
var regions = map[string]string{
	"Virginia": "us-east-1", "N. Virginia": "us-east-1", "Ohio": "us-east-2", "N. California": "us-west-1", "Oregon": "us-west-2",
	"Ireland": "eu-west-1", "London": "eu-west-2", "Paris": "eu-west-3", "Frankfurt": "eu-central-1", "Zurich": "eu-central-2",
	"Stockholm": "eu-north-1", "Milan": "eu-south-1", "Spain": "eu-south-2", "Mumbai": "ap-south-1", "Singapore": "ap-southeast-1",
	"Sydney": "ap-southeast-2", "Tokyo": "ap-northeast-1", "Seoul": "ap-northeast-2", "Osaka": "ap-northeast-3",
	"Sao Paulo": "sa-east-1", "Central Canada": "ca-central-1",
}

// place finds the subnet: the configured one, or the default one of the zone that the clipboard names, or else of the
// first zone by name that has one.
func (w *Worker) place(ctx context.Context, said string) (subnet, zone string, err error) {
	if _, err := w.connect(ctx); err != nil {
		return "", "", err
	}
	wanted := ""
	if said != "" && said != w.region {
		out, err := call(ctx, w, "list the zones", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeAvailabilityZonesOutput, error) {
			return cl.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{})
		})
		if err != nil {
			return "", "", err
		}
		table := map[string]string{}
		for name, region := range regions {
			table[name] = region
		}
		for _, region := range regions {
			table[region] = region
		}
		for _, z := range out.AvailabilityZones {
			table[aws.ToString(z.ZoneName)] = aws.ToString(z.ZoneName)
		}
		where, err := provider.Word("datacenter", said, table, "EC2")
		if err != nil {
			return "", "", err
		}
		switch {
		case strings.HasPrefix(where, w.region) && where != w.region:
			wanted = where
		case where != w.region:
			return "", "", pipeline.Permanentf("\"datacenter\" is %q (%s), and workers.ec2.region is %s", said, where, w.region)
		}
	}
	in := &ec2.DescribeSubnetsInput{}
	if w.cfg.Subnet != "" {
		in.SubnetIds = []string{w.cfg.Subnet}
	} else {
		in.Filters = append(in.Filters, types.Filter{Name: aws.String("default-for-az"), Values: []string{"true"}})
		if wanted != "" {
			in.Filters = append(in.Filters, types.Filter{Name: aws.String("availability-zone"), Values: []string{wanted}})
		}
	}
	out, err := call(ctx, w, "look for the subnet", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeSubnetsOutput, error) {
		return cl.DescribeSubnets(ctx, in)
	})
	if err != nil {
		return "", "", err
	}
	if len(out.Subnets) == 0 {
		return "", "", pipeline.Permanentf("EC2 has no default subnet in %s; set workers.ec2.subnet", strings.TrimSpace(w.region+" "+wanted))
	}
	first := slices.MinFunc(out.Subnets, func(a, b types.Subnet) int {
		return strings.Compare(aws.ToString(a.AvailabilityZone), aws.ToString(b.AvailabilityZone))
	})
	zone = aws.ToString(first.AvailabilityZone)
	if wanted != "" && zone != wanted {
		return "", "", pipeline.Permanentf("\"datacenter\" is %q, and the subnet %s is in %s", said, aws.ToString(first.SubnetId), zone)
	}
	return aws.ToString(first.SubnetId), zone, nil
}
