package ec2

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// official are the images that distributions publish: "owner name-pattern", ARCH standing for the architecture as
// they write it (https://wiki.debian.org/Cloud/AmazonEC2Image, https://documentation.ubuntu.com/aws/,
// https://docs.aws.amazon.com/linux/al2023/, https://rockylinux.org/download,
// https://wiki.almalinux.org/cloud/AWS.html).
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

// image finds an image by the configuration's names, by a distribution's, or by its id. The configuration's come first.
func (w *Worker) image(ctx context.Context, said, arch string) (types.Image, error) {
	in := &ec2.DescribeImagesInput{}
	where := said
	if !strings.HasPrefix(said, "ami-") {
		var err error
		if where, err = provider.Word("guestid", said, "EC2", w.cfg.Images, official); err != nil {
			return types.Image{}, err
		}
	}
	if strings.HasPrefix(where, "ami-") {
		in.ImageIds = []string{where}
	} else {
		owner, pattern, _ := strings.Cut(where, " ")
		debian := map[string]string{"x86_64": "amd64", "arm64": "arm64"}[arch]
		rest := map[string]string{"x86_64": "x86_64", "arm64": "a*64"}[arch] // aarch64 or arm64
		pattern = strings.ReplaceAll(strings.ReplaceAll(pattern, "DEBARCH", debian), "ARCH", rest)
		in.Owners = []string{owner}
		in.Filters = []types.Filter{{Name: aws.String("name"), Values: []string{pattern}}, {Name: aws.String("state"), Values: []string{"available"}},
			{Name: aws.String("architecture"), Values: []string{arch}}}
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
		return strings.Compare(aws.ToString(a.CreationDate)+aws.ToString(a.ImageId), aws.ToString(b.CreationDate)+aws.ToString(b.ImageId))
	})
	if a := string(newest.Architecture); a != arch {
		return types.Image{}, pipeline.Permanentf("the image %s is for %s, and the machine is to be %s", aws.ToString(newest.ImageId), a, arch)
	}
	return newest, nil
}

// memory is in MiB; 0 where EC2 does not tell.
func memory(t types.InstanceTypeInfo) int64 {
	if t.MemoryInfo == nil {
		return 0
	}
	return aws.ToInt64(t.MemoryInfo.SizeInMiB)
}

func cpus(t types.InstanceTypeInfo) int {
	if t.VCpuInfo == nil {
		return 0
	}
	return int(aws.ToInt32(t.VCpuInfo.DefaultVCpus))
}

// size finds the instance type: an amount of memory gives the smallest of the configured family that has it, and as
// many CPUs as are asked for; else the type's own name, whose architecture then counts when none is asked for.
func (w *Worker) size(ctx context.Context, want provider.Size, arch string) (types.InstanceTypeInfo, string, error) {
	var none types.InstanceTypeInfo
	said := strings.ToLower(want.Own)
	family, _, _ := strings.Cut(said, ".")
	if want.Memory > 0 {
		arch = cmp.Or(arch, w.cfg.Arch)
		if family = w.cfg.Family; family == "" || arch != w.cfg.Arch {
			family = map[string]string{"x86_64": "t3", "arm64": "t4g"}[arch]
		}
	}
	in := &ec2.DescribeInstanceTypesInput{Filters: []types.Filter{{Name: aws.String("instance-type"), Values: []string{family + ".*"}}}}
	if arch != "" && want.Memory > 0 {
		in.Filters = append(in.Filters, types.Filter{Name: aws.String("processor-info.supported-architecture"), Values: []string{arch}})
	}
	var list []types.InstanceTypeInfo
	for {
		page, err := call(ctx, w, "list the instance types", func(ctx context.Context, cl *ec2.Client) (*ec2.DescribeInstanceTypesOutput, error) {
			return cl.DescribeInstanceTypes(ctx, in)
		})
		if err != nil {
			return none, "", err
		}
		list = append(list, page.InstanceTypes...)
		if aws.ToString(page.NextToken) == "" {
			break
		}
		in.NextToken = page.NextToken
	}
	slices.SortFunc(list, func(a, b types.InstanceTypeInfo) int {
		if d := int(memory(a) - memory(b)); d != 0 {
			return d
		}
		return strings.Compare(string(a.InstanceType), string(b.InstanceType))
	})
	var names []string
	for _, t := range list {
		switch {
		case want.Memory > 0 && memory(t) >= int64(want.Memory) && cpus(t) >= want.CPUs:
			return t, arch, nil
		case string(t.InstanceType) == said && arch != "" && !runs(t, arch):
			return none, "", pipeline.Permanentf("\"size\" is %s, which is not %s as options.arch says; leave arch out, or name a type that is", said, arch)
		case string(t.InstanceType) == said:
			return t, cmp.Or(arch, w.archOf(t)), nil
		}
		names = append(names, string(t.InstanceType))
	}
	if want.Memory > 0 {
		most, cores := int64(0), 0
		for _, t := range list {
			most, cores = max(most, memory(t)), max(cores, cpus(t))
		}
		return none, "", pipeline.Permanentf("\"size\" is %q: EC2's family %s has up to %d MB and %d CPUs; name a type of another family, or set workers.ec2.family", want.Said, family, most, cores)
	}
	if len(names) == 0 {
		return none, "", pipeline.Permanentf("\"size\" is %q: EC2 has no instance family %q; write memory, as in 2GB, or a type, as in %s", want.Said, family, map[string]string{"": "t3.micro", "x86_64": "t3.micro", "arm64": "t4g.micro"}[arch])
	}
	return none, "", provider.Unknown("size", want.Said, names, "EC2")
}

// runs reports whether a type has that architecture.
func runs(t types.InstanceTypeInfo, arch string) bool {
	return t.ProcessorInfo == nil || slices.Contains(t.ProcessorInfo.SupportedArchitectures, types.ArchitectureType(arch))
}

// archOf gives the architecture of a type that was named: the configured one when it has that, else its first.
func (w *Worker) archOf(t types.InstanceTypeInfo) string {
	if t.ProcessorInfo == nil || len(t.ProcessorInfo.SupportedArchitectures) == 0 || slices.Contains(t.ProcessorInfo.SupportedArchitectures, types.ArchitectureType(w.cfg.Arch)) {
		return w.cfg.Arch
	}
	for _, a := range t.ProcessorInfo.SupportedArchitectures {
		if a == types.ArchitectureTypeX8664 || a == types.ArchitectureTypeArm64 {
			return string(a)
		}
	}
	return w.cfg.Arch
}
