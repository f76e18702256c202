package ec2

import (
	"maps"
	"net/url"
	"slices"
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
	RootDevice   string `xml:"rootDeviceName"`
	Disks        []Disk `xml:"blockDeviceMapping>item"`
}

// Disk of an image.
type Disk struct {
	Device string `xml:"deviceName"`
	GB     int    `xml:"ebs>volumeSize"`
	Type   string `xml:"ebs>volumeType"`
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
		i.State, i.Public, i.ImageType, i.RootDevice = "available", true, "machine", "/dev/xvda"
		i.Disks = []Disk{{"/dev/xvda", imageGB, "gp3"}}
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

// size is an instance type.
type size struct {
	mb, cpus int
	arch     string
}

var sizes = map[string]size{
	"t3.nano": {512, 2, "x86_64"}, "t3.micro": {1024, 2, "x86_64"}, "t3.small": {2048, 2, "x86_64"}, "t3.medium": {4096, 2, "x86_64"}, "t3.large": {8192, 2, "x86_64"},
	"t3.xlarge": {16384, 4, "x86_64"}, "t3.2xlarge": {32768, 8, "x86_64"}, "m7i.large": {8192, 2, "x86_64"},
	"t4g.nano": {512, 2, "arm64"}, "t4g.small": {2048, 2, "arm64"},
}

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
			v, known := map[string]string{"instance-type": name, "processor-info.supported-architecture": sizes[name].arch, "current-generation": "true"}[f]
			return v, known
		})
		if e != nil {
			return nil, e
		}
		if ok {
			out.Types = append(out.Types, item{name, true, []string{sizes[name].arch}, sizes[name].cpus, sizes[name].mb})
		}
	}
	return out, nil
}
