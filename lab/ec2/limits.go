package ec2

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What EC2 refuses of a machine's disks, tags and address. The numbers are those of its documentation: EBS volume
// types, tag restrictions, subnet sizing.

// imageGB is how large the disk of every image is.
const imageGB = 8

type volume struct{ least, most, leastIOPS, mostIOPS, perGB int }

var volumeTypes = map[string]volume{
	"gp2": {1, 16384, 0, 0, 0}, "gp3": {1, 65536, 3000, 80000, 500}, "io1": {4, 16384, 100, 64000, 50}, "io2": {4, 65536, 100, 256000, 1000},
	"st1": {125, 16384, 0, 0, 0}, "sc1": {125, 16384, 0, 0, 0}, "standard": {1, 1024, 0, 0, 0},
}

// volumes refuses disks that EBS would not make.
func volumes(q url.Values) *apiError {
	for n := 1; q.Has(fmt.Sprintf("BlockDeviceMapping.%d.DeviceName", n)); n++ {
		ebs := func(name string) string { return q.Get(fmt.Sprintf("BlockDeviceMapping.%d.Ebs.%s", n, name)) }
		root := q.Get(fmt.Sprintf("BlockDeviceMapping.%d.DeviceName", n)) == "/dev/xvda"
		kind := cmp.Or(ebs("VolumeType"), "gp2")
		v, known := volumeTypes[kind]
		gb, _ := strconv.Atoi(ebs("VolumeSize")) // its form was checked against the model
		iops, _ := strconv.Atoi(ebs("Iops"))
		rate, _ := strconv.Atoi(ebs("Throughput"))
		if root && ebs("VolumeSize") == "" {
			gb = imageGB
		}
		switch {
		case !known:
			return refusal("InvalidParameterValue", "Value (%s) for parameter volumeType is invalid.", kind)
		case root && (kind == "st1" || kind == "sc1"):
			return refusal("InvalidParameterValue", "The volume type '%s' is not supported for a root volume.", kind)
		case root && gb < imageGB:
			return refusal("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot 'snap-0', expect size >= %dGB", gb, imageGB)
		case gb < v.least || gb > v.most:
			return refusal("InvalidParameterValue", "Volume of %dGiB is invalid for the type %s: valid sizes are %d to %d", gb, kind, v.least, v.most)
		case (kind == "io1" || kind == "io2") && ebs("Iops") == "":
			return refusal("MissingParameter", "The parameter iops must be specified for %s volumes.", kind)
		case ebs("Iops") != "" && v.mostIOPS == 0:
			return refusal("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", kind)
		case ebs("Iops") != "" && (iops < v.leastIOPS || iops > v.mostIOPS || iops > max(v.leastIOPS, v.perGB*gb)):
			return refusal("InvalidParameterValue", "The iops %d of a %s volume of %dGiB are invalid", iops, kind, gb)
		case ebs("Throughput") != "" && kind != "gp3":
			return refusal("InvalidParameterCombination", "The parameter throughput is not supported for %s volumes.", kind)
		case ebs("Throughput") != "" && (rate < 125 || rate > 2000 || rate > max(iops, 3000)/4):
			return refusal("InvalidParameterValue", "The throughput %d of a volume with %d iops is invalid", rate, max(iops, 3000))
		}
	}
	return nil
}

// tagLimits refuses tags that EC2 does not take.
func tagLimits(q url.Values) *apiError {
	for t := 1; q.Has(fmt.Sprintf("TagSpecification.%d.ResourceType", t)); t++ {
		n := 1
		for ; q.Has(fmt.Sprintf("TagSpecification.%d.Tag.%d.Key", t, n)); n++ {
			key, value := q.Get(fmt.Sprintf("TagSpecification.%d.Tag.%d.Key", t, n)), q.Get(fmt.Sprintf("TagSpecification.%d.Tag.%d.Value", t, n))
			switch {
			case key == "":
				return refusal("InvalidParameterValue", "Tag key cannot be null or empty.")
			case utf8.RuneCountInString(key) > 128 || utf8.RuneCountInString(value) > 256:
				return refusal("InvalidParameterValue", "Tag keys have 128 characters at most, and values 256.")
			case strings.HasPrefix(strings.ToLower(key), "aws:"):
				return refusal("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
			}
		}
		if n-1 > 50 {
			return refusal("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
		}
	}
	return nil
}

// inSubnet refuses a private address that the subnet does not have, or keeps for itself.
func inSubnet(q url.Values) *apiError {
	const nic = "NetworkInterface.1."
	said := q.Get(nic + "PrivateIpAddress")
	if said == "" {
		return nil
	}
	a, err := netip.ParseAddr(said)
	if err != nil || !a.Is4() {
		return refusal("InvalidParameterValue", "Value (%s) for parameter privateIpAddress is invalid. Invalid IPv4 address", said)
	}
	net, err := netip.ParsePrefix(subnets[q.Get(nic+"SubnetId")].CidrBlock)
	if err != nil || !net.Contains(a) || a.Less(net.Addr().Next().Next().Next().Next()) || !net.Contains(a.Next()) {
		return refusal("InvalidParameterValue", "Address %s does not fall within the subnet's address range", said)
	}
	return nil
}
