package ec2

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// What others do to the account, and what a test may look at. None of it goes over the API.

// Machines lists the names of all instances that are not terminated, whether they are shown or not.
func (s *Server) Machines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, i := range s.instances {
		if i.State.Name != "terminated" && i.State.Name != "shutting-down" {
			out = append(out, i.tag("Name"))
		}
	}
	slices.Sort(out)
	return out
}

// Wrong lists the requests that were refused because Amazon's model does not have them.
func (s *Server) Wrong() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wrong)
}

// Stranger makes a running instance of that name, without any other tag, as somebody else would.
func (s *Server) Stranger(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &instance{ip: s.rack.Address(), booted: true}
	i.Instance = Instance{InstanceID: fmt.Sprintf("i-%017x", 0xdef000000+s.next), State: running, InstanceType: "t3.nano", LaunchTime: "2024-02-29T08:00:00.000Z",
		PublicIP: i.ip, PrivateIP: "172.31.99.4", Tags: []Tag{{"Name", name}}, Metadata: MetadataOptions{State: "applied", HTTPTokens: "optional", HopLimit: "1", Endpoint: "enabled"}}
	s.next++
	s.instances[i.InstanceID] = i
	return i.InstanceID, nil
}

// Terminate ends an instance at once, as EC2 does to a spot instance.
func (s *Server) Terminate(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instances[id]
	i.State, i.goneAt = terminated, time.Now()
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		s.rack.Remove(s.key(i))
	}()
}

// Deny refuses an action for want of a right, as EC2 words it.
func (s *Server) Deny(action, right string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[action] = right
}

// LoseCreateIn has the answer to the next RunInstances that makes an instance in the zone be lost.
func (s *Server) LoseCreateIn(zone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loses[zone] = true
}

// Full makes a zone have no capacity.
func (s *Server) Full(zone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full[zone] = true
}

// Facts gives what EC2 has of the newest machine of that name: the parameters it was made with, and its tags.
func (s *Server) Facts(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var i *instance
	for _, id := range slices.Sorted(maps.Keys(s.instances)) {
		if s.instances[id].tag("Name") == name {
			i = s.instances[id]
		}
	}
	if i == nil {
		return ""
	}
	q, _ := url.ParseQuery(i.params)
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(q)) {
		fmt.Fprintf(&b, "%s=%s\n", k, q.Get(k))
	}
	for _, t := range i.Tags {
		fmt.Fprintf(&b, "tag %s=%s\n", t.Key, t.Value)
	}
	for _, id := range slices.Sorted(maps.Keys(s.elastic)) {
		if s.elastic[id].InstanceID == i.InstanceID {
			fmt.Fprintf(&b, "elastic %s\n", id)
		}
	}
	fmt.Fprintf(&b, "zone=%s\npublic=%v\n%s", i.Placement.AvailabilityZone, i.public, i.userData)
	return b.String()
}

// Retag replaces an instance's tags but its name.
func (s *Server) Retag(id string, tags ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instances[id]
	i.Tags = []Tag{{"Name", i.tag("Name")}}
	for _, t := range tags {
		i.Tags = append(i.Tags, Tag{t, "yes"})
	}
}

// Runs tells whether an instance is running.
func (s *Server) Runs(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.instances[id]
	return i != nil && i.State == running
}
