package ec2

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func tagOf(tags []Tag, key string) string {
	for _, t := range tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
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
	Tags             []Tag  `xml:"tagSet>item"`
}

var subnets = map[string]Subnet{
	"subnet-0000000000000000a": {"subnet-0000000000000000a", "available", "vpc-00000000000000000", "172.31.0.0/20", "us-east-1a", true, true, nil},
	"subnet-0000000000000000b": {"subnet-0000000000000000b", "available", "vpc-00000000000000000", "172.31.16.0/20", "us-east-1b", true, true, nil},
	"subnet-0000000000000web1": {"subnet-0000000000000web1", "available", "vpc-00000000000000000", "172.31.32.0/20", "us-east-1a", false, true, []Tag{{"Name", "web-a"}, {"Tier", "web"}}},
	"subnet-0000000000000web2": {"subnet-0000000000000web2", "available", "vpc-00000000000000000", "172.31.48.0/20", "us-east-1b", false, true, []Tag{{"Name", "web-b"}, {"Tier", "web"}}},
	"subnet-000000000000inner": {"subnet-000000000000inner", "available", "vpc-00000000000000000", "172.31.64.0/20", "us-east-1a", false, false, []Tag{{"Name", "inner"}}},
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
			if key, ok := strings.CutPrefix(f, "tag:"); ok {
				return tagOf(n.Tags, key), true
			}
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

// groups are the security groups of the VPC, by id.
var groups = map[string]string{"sg-0000000000000def": "default", "sg-0000000000000web": "web", "sg-0000000000000ssh": "ssh from jarvis"}

func describeSecurityGroups(q url.Values) (any, *apiError) {
	type group struct {
		OwnerID     string `xml:"ownerId"`
		GroupID     string `xml:"groupId"`
		GroupName   string `xml:"groupName"`
		Description string `xml:"groupDescription"`
		VpcID       string `xml:"vpcId"`
	}
	out := struct {
		RequestID string  `xml:"requestId"`
		Groups    []group `xml:"securityGroupInfo>item"`
	}{RequestID: requestID}
	for _, id := range slices.Sorted(maps.Keys(groups)) {
		ok, e := passes(q, func(f string) (string, bool) {
			v, known := map[string]string{"vpc-id": "vpc-00000000000000000", "group-name": groups[id], "group-id": id}[f]
			return v, known
		})
		if e != nil {
			return nil, e
		}
		if ok {
			out.Groups = append(out.Groups, group{"123456789012", id, groups[id], "of the lab", "vpc-00000000000000000"})
		}
	}
	return out, nil
}

// address is an Elastic IP.
type address struct {
	PublicIP      string `xml:"publicIp"`
	AllocationID  string `xml:"allocationId"`
	AssociationID string `xml:"associationId,omitempty"`
	Domain        string `xml:"domain"`
	InstanceID    string `xml:"instanceId,omitempty"`
}

// Elastic allocates an Elastic IP, as somebody in the console would, and associates it with an instance when one is
// named.
func (s *Server) Elastic(instance string) (id, ip string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &address{PublicIP: s.rack.Address(), AllocationID: fmt.Sprintf("eipalloc-%017x", 0xe1a000000+s.next), Domain: "vpc", InstanceID: instance}
	s.next++
	if instance != "" {
		a.AssociationID = strings.Replace(a.AllocationID, "eipalloc", "eipassoc", 1)
	}
	s.elastic[a.AllocationID] = a
	return a.AllocationID, a.PublicIP
}

// describeAddresses frees an address first whose instance is gone, as EC2 does.
func (s *Server) describeAddresses(q url.Values) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := struct {
		RequestID string    `xml:"requestId"`
		Addresses []address `xml:"addressesSet>item"`
	}{RequestID: requestID}
	for _, id := range list(q, "AllocationId") {
		a := s.elastic[id]
		if a == nil {
			return nil, refusal("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", id)
		}
		s.release(a)
		out.Addresses = append(out.Addresses, *a)
	}
	return out, nil
}

// release frees an address whose instance is gone; s.mu is held by the caller.
func (s *Server) release(a *address) {
	if i := s.instances[a.InstanceID]; a.InstanceID != "" && (i == nil || i.State == terminated) {
		a.InstanceID, a.AssociationID = "", ""
	}
}

// associateAddress boots the machine's host again: in the lab a host has one address, and now it is this.
func (s *Server) associateAddress(q url.Values) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.elastic[q.Get("AllocationId")]
	if a == nil {
		return nil, refusal("InvalidAllocationID.NotFound", "The allocation ID '%s' does not exist", q.Get("AllocationId"))
	}
	s.release(a)
	all, e := s.find([]string{q.Get("InstanceId")})
	if e != nil {
		return nil, e
	}
	i := all[0]
	switch {
	case i.State != running && i.State != stopped:
		return nil, refusal("InvalidInstanceID", "The instance ID '%s' is not valid for this operation: it is %s", i.InstanceID, i.State.Name)
	case a.InstanceID != "" && a.InstanceID != i.InstanceID && q.Get("AllowReassociation") != "true":
		return nil, refusal("Resource.AlreadyAssociated", "resource %s is already associated with associate-id %s", a.AllocationID, a.AssociationID)
	}
	a.InstanceID, a.AssociationID = i.InstanceID, strings.Replace(a.AllocationID, "eipalloc", "eipassoc", 1)
	i.PublicIP, i.ip = a.PublicIP, a.PublicIP
	s.rack.Remove(s.key(i)) // its host moves to the address
	i.booted = false
	s.later(i, running, func() { s.up(i) })
	return struct {
		RequestID     string `xml:"requestId"`
		Return        bool   `xml:"return"`
		AssociationID string `xml:"associationId"`
	}{requestID, true, a.AssociationID}, nil
}

// Profiles are the IAM instance profiles of the account.
var Profiles = []string{"web", "admin"}

// combination refuses parameters that do not go together, as EC2 does.
func combination(q url.Values) *apiError {
	nic := "NetworkInterface.1."
	if q.Get(nic+"DeviceIndex") != "" && (q.Get("SubnetId") != "" || q.Has("SecurityGroupId.1")) {
		return refusal("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request")
	}
	for n := 1; q.Has(nic + "SecurityGroupId." + strconv.Itoa(n)); n++ {
		if id := q.Get(nic + "SecurityGroupId." + strconv.Itoa(n)); groups[id] == "" {
			return refusal("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
	}
	for _, check := range []func(url.Values) *apiError{volumes, tagLimits, inSubnet} {
		if e := check(q); e != nil {
			return e
		}
	}
	if p := q.Get("IamInstanceProfile.Name"); p != "" && !slices.Contains(Profiles, p) {
		return refusal("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", p)
	}
	return nil
}

// done is the answer of calls that have nothing to tell.
func done() (any, *apiError) {
	return struct {
		RequestID string `xml:"requestId"`
		Return    bool   `xml:"return"`
	}{requestID, true}, nil
}

func (s *Server) createTags(q url.Values) (any, *apiError) {
	return s.retag(q, func(tags []Tag, t Tag) []Tag { return append(without(tags, t.Key), t) })
}

func (s *Server) deleteTags(q url.Values) (any, *apiError) {
	return s.retag(q, func(tags []Tag, t Tag) []Tag { return without(tags, t.Key) })
}

func (s *Server) retag(q url.Values, change func([]Tag, Tag) []Tag) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, e := s.find(list(q, "ResourceId"))
	if e != nil {
		return nil, e
	}
	for _, i := range all {
		for n := 1; q.Has(fmt.Sprintf("Tag.%d.Key", n)); n++ {
			i.Tags = change(i.Tags, Tag{q.Get(fmt.Sprintf("Tag.%d.Key", n)), q.Get(fmt.Sprintf("Tag.%d.Value", n))})
		}
	}
	return done()
}

func without(tags []Tag, key string) []Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t Tag) bool { return t.Key == key })
}
