package ec2

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/provider"
)

// kind is what EC2 says of a type of disk (https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html).
type kind struct {
	min, max          int64 // GB
	boots             bool
	minIOPS, maxIOPS  int // 0: they cannot be chosen
	perGB             int // operations a second for each GB, at most; minIOPS can be had at any size
	needs             bool
	minRate, maxRate  int // MB a second; 0: it cannot be chosen
	operationsPerRate int
}

var kinds = map[string]kind{
	"gp2":      {min: 1, max: 16 << 10, boots: true},
	"gp3":      {min: 1, max: 64 << 10, boots: true, minIOPS: 3000, maxIOPS: 80000, perGB: 500, minRate: 125, maxRate: 2000, operationsPerRate: 4},
	"io1":      {min: 4, max: 16 << 10, boots: true, minIOPS: 100, maxIOPS: 64000, perGB: 50, needs: true},
	"io2":      {min: 4, max: 64 << 10, boots: true, minIOPS: 100, maxIOPS: 256000, perGB: 1000, needs: true},
	"st1":      {min: 125, max: 16 << 10},
	"sc1":      {min: 125, max: 16 << 10},
	"standard": {min: 1, max: 1 << 10, boots: true},
}

// unsaid is the type of a disk that names none.
const unsaid = "gp2"

// usualIOPS of a disk whose type must be told them, when its size allows as many: as a gp3 has.
const usualIOPS = 3000

// maxDisks is how many disks a machine takes beside the root disk: the names from /dev/sdf to /dev/sdp.
const maxDisks = 11

// disks says what the machine's disks are to be; none for what the image says. All go when the machine goes. What EC2
// would refuse is refused here, before a machine is deleted for it.
func disks(s provider.Spec, image types.Image) ([]types.BlockDeviceMapping, error) {
	if len(s.Disks) > maxDisks {
		return nil, pipeline.Permanentf("the clipboard asks for %d disks, and EC2 takes %d beside the root disk", len(s.Disks), maxDisks)
	}
	root, err := rootDisk(s, image)
	if err != nil {
		return nil, err
	}
	var out []types.BlockDeviceMapping
	if root != nil {
		out = append(out, types.BlockDeviceMapping{DeviceName: image.RootDeviceName, Ebs: root})
	}
	for i, d := range s.Disks {
		e, err := ebs("disks", d, d.Size.GB())
		if err != nil {
			return nil, err
		}
		out = append(out, types.BlockDeviceMapping{DeviceName: aws.String("/dev/sd" + letter(i)), Ebs: e})
	}
	return out, nil
}

// letter of the i-th further disk: from /dev/sdf on
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/device_naming.html).
func letter(i int) string { return string(rune('f' + i)) }

// diskAt: a Xen machine has the disk as xvdf. Any other has it as an NVMe disk of any number, which tells the name that
// it was asked for by (https://docs.aws.amazon.com/ebs/latest/userguide/identify-nvme-ebs-device.html); some images
// make a link of that.
func diskAt(_ provider.Spec, i int, _ provider.Mark) []string {
	return []string{"path:/dev/sd" + letter(i), "path:/dev/xvd" + letter(i), "nvme:sd" + letter(i)}
}

// rootDisk says how the root disk differs from what the image says; nil when it does not.
func rootDisk(s provider.Spec, image types.Image) (*types.EbsBlockDevice, error) {
	d := provider.Disk{Size: s.Disk, Type: s.Options["disk_type"], Encrypted: s.Options["disk_encrypted"] == "true"}
	for name, into := range map[string]*int{"disk_iops": &d.IOPS, "disk_throughput": &d.Throughput} {
		said := s.Options[name]
		if said == "" {
			continue
		}
		n, err := strconv.Atoi(said)
		if err != nil || n < 1 {
			return nil, pipeline.Permanentf("options: %s is %q; it must be a whole number", name, said)
		}
		*into = n
	}
	if s.Disk == 0 && d.Type == "" && s.Options["disk_encrypted"] == "" && d.IOPS == 0 && d.Throughput == 0 {
		return nil, nil
	}
	has := int64(0)
	for _, m := range image.BlockDeviceMappings {
		if m.Ebs != nil && aws.ToString(m.DeviceName) == aws.ToString(image.RootDeviceName) {
			has = int64(aws.ToInt32(m.Ebs.VolumeSize))
		}
	}
	if s.Disk > 0 && s.Disk.GB() < has {
		return nil, pipeline.Permanentf("\"disk\" is %s, and the image %s (%s) has %d GB already", s.Disk, aws.ToString(image.ImageId), aws.ToString(image.Name), has)
	}
	if k, known := kinds[d.Type]; known && !k.boots {
		return nil, pipeline.Permanentf("options: no machine starts from a disk of the type %s; take another disk_type", d.Type)
	}
	return ebs("disk", d, max(s.Disk.GB(), has))
}

// ebs describes one disk, which will have so many GB; 0 when that is not known. key is the clipboard's.
func ebs(key string, d provider.Disk, gb int64) (*types.EbsBlockDevice, error) {
	name := cmp.Or(d.Type, unsaid)
	k, known := kinds[name]
	switch {
	case !known:
		return nil, provider.Unknown(key+".type", d.Type, slices.Sorted(maps.Keys(kinds)), "EC2")
	case gb > k.max || gb < k.min && gb > 0:
		return nil, pipeline.Permanentf("%s: %d GB are asked for, and a disk of the type %s has %d to %d GB at EC2", key, gb, name, k.min, k.max)
	case gb == 0 && k.needs && d.IOPS == 0:
		return nil, pipeline.Permanentf("%s: EC2 does not say how large the image's disk is; say it by `disk`, for the operations a second of the type %s go by that", key, name)
	}
	e := &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(true), VolumeType: types.VolumeType(d.Type)}
	if d.Size > 0 {
		e.VolumeSize = aws.Int32(int32(d.Size.GB())) // k.max is far below what fits
	}
	if d.Encrypted {
		e.Encrypted = aws.Bool(true)
	}
	iops, err := k.operations(key, name, d.IOPS, gb)
	if err != nil {
		return nil, err
	}
	if iops > 0 {
		e.Iops = aws.Int32(int32(iops))
	}
	if d.Throughput > 0 {
		if err := k.checkRate(key, name, d.Throughput, max(iops, k.minIOPS)); err != nil {
			return nil, err
		}
		e.Throughput = aws.Int32(int32(d.Throughput))
	}
	return e, nil
}

// operations gives the operations a second to ask for; 0 for what the type has by itself.
func (k kind) operations(key, name string, said int, gb int64) (int, error) {
	most := k.maxIOPS
	if gb > 0 {
		most = min(most, max(k.minIOPS, k.perGB*int(gb)))
	}
	switch {
	case said == 0 && k.needs:
		return min(usualIOPS, most), nil
	case said > 0 && k.maxIOPS == 0:
		return 0, pipeline.Permanentf("%s: the iops of a disk of the type %s cannot be chosen at EC2; those of gp3, io1 and io2 can", key, name)
	case said > 0 && (said < k.minIOPS || said > most):
		return 0, pipeline.Permanentf("%s: %d iops are asked for, and a disk of the type %s and %d GB has %d to %d at EC2", key, said, name, gb, k.minIOPS, most)
	}
	return said, nil
}

// checkRate checks a throughput, in MB a second, against the type of disk and its iops.
func (k kind) checkRate(key, name string, said, iops int) error {
	most := k.maxRate
	if k.operationsPerRate > 0 {
		most = min(most, max(k.minRate, iops/k.operationsPerRate))
	}
	switch {
	case k.maxRate == 0:
		return pipeline.Permanentf("%s: the throughput of a disk of the type %s cannot be chosen at EC2; that of gp3 can", key, name)
	case said < k.minRate || said > most:
		return pipeline.Permanentf("%s: %d MB a second are asked for, and a disk of the type %s with %d iops has %d to %d at EC2", key, said, name, iops, k.minRate, most)
	}
	return nil
}
