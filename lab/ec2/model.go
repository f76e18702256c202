package ec2

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

const requestID = "00000000-0000-4000-8000-000000000000"

// The elements of the answers, named as in Amazon's API model (botocore's ec2/2016-11-15/service-2.json).

// Instance is one machine.
type Instance struct {
	InstanceID         string          `xml:"instanceId"`
	ImageID            string          `xml:"imageId"`
	State              State           `xml:"instanceState"`
	InstanceType       string          `xml:"instanceType"`
	LaunchTime         string          `xml:"launchTime"`
	Placement          Placement       `xml:"placement"`
	SubnetID           string          `xml:"subnetId"`
	VpcID              string          `xml:"vpcId"`
	PrivateIP          string          `xml:"privateIpAddress"`
	PublicIP           string          `xml:"ipAddress,omitempty"`
	Architecture       string          `xml:"architecture"`
	RootDeviceType     string          `xml:"rootDeviceType"`
	RootDeviceName     string          `xml:"rootDeviceName"`
	VirtualizationType string          `xml:"virtualizationType"`
	Hypervisor         string          `xml:"hypervisor"`
	ClientToken        string          `xml:"clientToken"`
	Metadata           MetadataOptions `xml:"metadataOptions"`
	Tags               []Tag           `xml:"tagSet>item"`
}

// State of an instance.
type State struct {
	Code int    `xml:"code"`
	Name string `xml:"name"`
}

var (
	pending      = State{0, "pending"}
	running      = State{16, "running"}
	shuttingDown = State{32, "shutting-down"}
	terminated   = State{48, "terminated"}
	stopping     = State{64, "stopping"}
	stopped      = State{80, "stopped"}
)

// Placement of an instance.
type Placement struct {
	AvailabilityZone string `xml:"availabilityZone"`
	Tenancy          string `xml:"tenancy"`
}

// MetadataOptions of an instance.
type MetadataOptions struct {
	State      string `xml:"state"`
	HTTPTokens string `xml:"httpTokens"`
	HopLimit   string `xml:"httpPutResponseHopLimit"`
	Endpoint   string `xml:"httpEndpoint"`
}

// Tag of a resource.
type Tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

// Reservation is the answer of RunInstances, and an item of DescribeInstances.
type Reservation struct {
	RequestID     string     `xml:"requestId,omitempty"`
	ReservationID string     `xml:"reservationId"`
	OwnerID       string     `xml:"ownerId"`
	Instances     []Instance `xml:"instancesSet>item"`
}

type describeInstancesResponse struct {
	RequestID    string        `xml:"requestId"`
	Reservations []Reservation `xml:"reservationSet>item"`
}

type stateChange struct {
	InstanceID string `xml:"instanceId"`
	Current    State  `xml:"currentState"`
	Previous   State  `xml:"previousState"`
}

type stateChanges struct {
	RequestID string        `xml:"requestId"`
	Changes   []stateChange `xml:"instancesSet>item"`
}

// Image is one AMI.
type Image struct {
	ImageID      string `xml:"imageId"`
	OwnerID      string `xml:"imageOwnerId"`
	State        string `xml:"imageState"`
	Public       bool   `xml:"isPublic"`
	Architecture string `xml:"architecture"`
	ImageType    string `xml:"imageType"`
	Name         string `xml:"name"`
	CreationDate string `xml:"creationDate"`
}

// images there are: a name of each kind that Debian's and Ubuntu's own accounts have given.
var images = func() map[string]Image {
	out := map[string]Image{}
	for _, i := range []Image{
		{ImageID: "ami-0000000000000debc", OwnerID: "136693071363", Name: "debian-12-amd64-20240211-1654", CreationDate: "2024-02-11T10:12:33.000Z", Architecture: "x86_64"},
		{ImageID: "ami-0000000000000debd", OwnerID: "136693071363", Name: "debian-12-amd64-20260210-2384", CreationDate: "2026-02-10T10:11:00.000Z", Architecture: "x86_64"},
		{ImageID: "ami-0000000000000debe", OwnerID: "136693071363", Name: "debian-12-arm64-20260210-2384", CreationDate: "2026-02-10T10:11:05.000Z", Architecture: "arm64"},
		{ImageID: "ami-0000000000000debf", OwnerID: "136693071363", Name: "debian-13-amd64-20260210-2384", CreationDate: "2026-02-10T11:40:00.000Z", Architecture: "x86_64"},
		{ImageID: "ami-0000000000000ubun", OwnerID: "099720109477", Name: "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260116", CreationDate: "2026-01-16T06:00:00.000Z", Architecture: "x86_64"},
		{ImageID: "ami-00000000000000bad", OwnerID: "999999999999", Name: "debian-12-amd64-20991231-9999", CreationDate: "2099-12-31T00:00:00.000Z", Architecture: "x86_64"}, // somebody's trap
	} {
		i.State, i.Public, i.ImageType = "available", true, "machine"
		out[i.ImageID] = i
	}
	return out
}()

func describeImages(q url.Values) (any, *apiError) {
	ids, owners := list(q, "ImageId"), list(q, "Owner")
	for _, id := range ids {
		if images[id].ImageID == "" {
			return nil, refusal("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
		}
	}
	out := struct {
		RequestID string  `xml:"requestId"`
		Images    []Image `xml:"imagesSet>item"`
	}{RequestID: requestID}
	for _, id := range slices.Sorted(maps.Keys(images)) {
		i := images[id]
		if len(ids) > 0 && !slices.Contains(ids, id) || len(owners) > 0 && !slices.Contains(owners, i.OwnerID) {
			continue
		}
		ok, e := passes(q, func(name string) (string, bool) {
			v, known := map[string]string{"name": i.Name, "state": i.State, "architecture": i.Architecture}[name]
			return v, known
		})
		if e != nil {
			return nil, e
		}
		if ok {
			out.Images = append(out.Images, i)
		}
	}
	return out, nil
}

// sizes in MB of memory.
var sizes = map[string]int{"t3.nano": 512, "t3.micro": 1024, "t3.small": 2048, "t3.medium": 4096, "t3.large": 8192, "t3.xlarge": 16384, "t3.2xlarge": 32768, "m7i.large": 8192}

func describeInstanceTypes(q url.Values) (any, *apiError) {
	type item struct {
		InstanceType  string   `xml:"instanceType"`
		Current       bool     `xml:"currentGeneration"`
		Architectures []string `xml:"processorInfo>supportedArchitectures>item"`
		VCPUs         int      `xml:"vCpuInfo>defaultVCpus"`
		Memory        int      `xml:"memoryInfo>sizeInMiB"`
	}
	out := struct {
		RequestID string `xml:"requestId"`
		Types     []item `xml:"instanceTypeSet>item"`
	}{RequestID: requestID}
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		ok, e := passes(q, func(f string) (string, bool) {
			v, known := map[string]string{"instance-type": name, "processor-info.supported-architecture": "x86_64", "current-generation": "true"}[f]
			return v, known
		})
		if e != nil {
			return nil, e
		}
		if ok {
			out.Types = append(out.Types, item{name, true, []string{"x86_64"}, 2, sizes[name]})
		}
	}
	return out, nil
}

// Subnet is one.
type Subnet struct {
	SubnetID         string `xml:"subnetId"`
	State            string `xml:"state"`
	VpcID            string `xml:"vpcId"`
	CidrBlock        string `xml:"cidrBlock"`
	AvailabilityZone string `xml:"availabilityZone"`
	DefaultForAz     bool   `xml:"defaultForAz"`
	MapPublicIP      bool   `xml:"mapPublicIpOnLaunch"`
}

var subnets = map[string]Subnet{
	"subnet-0000000000000000a": {"subnet-0000000000000000a", "available", "vpc-00000000000000000", "172.31.0.0/20", "us-east-1a", true, true},
	"subnet-0000000000000000b": {"subnet-0000000000000000b", "available", "vpc-00000000000000000", "172.31.16.0/20", "us-east-1b", true, true},
}

func describeSubnets(q url.Values) (any, *apiError) {
	ids := list(q, "SubnetId")
	for _, id := range ids {
		if subnets[id].SubnetID == "" {
			return nil, refusal("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
		}
	}
	out := struct {
		RequestID string   `xml:"requestId"`
		Subnets   []Subnet `xml:"subnetSet>item"`
	}{RequestID: requestID}
	for _, id := range slices.Sorted(maps.Keys(subnets)) {
		n := subnets[id]
		if len(ids) > 0 && !slices.Contains(ids, id) {
			continue
		}
		ok, e := passes(q, func(f string) (string, bool) {
			v, known := map[string]string{"availability-zone": n.AvailabilityZone, "default-for-az": map[bool]string{true: "true", false: "false"}[n.DefaultForAz], "vpc-id": n.VpcID}[f]
			return v, known
		})
		if e != nil {
			return nil, e
		}
		if ok {
			out.Subnets = append(out.Subnets, n)
		}
	}
	return out, nil
}

func describeZones(url.Values) (any, *apiError) {
	type zone struct {
		Name   string `xml:"zoneName"`
		State  string `xml:"zoneState"`
		Region string `xml:"regionName"`
		ID     string `xml:"zoneId"`
		Type   string `xml:"zoneType"`
	}
	out := struct {
		RequestID string `xml:"requestId"`
		Zones     []zone `xml:"availabilityZoneInfo>item"`
	}{RequestID: requestID}
	for _, l := range strings.Split("a b", " ") {
		out.Zones = append(out.Zones, zone{Region + l, "available", Region, "use1-az" + map[string]string{"a": "1", "b": "2"}[l], "availability-zone"})
	}
	return out, nil
}
