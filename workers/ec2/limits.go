package ec2

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/jarvisops/jarvis/pipeline"
)

// Limits of tags (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions), in characters.
const (
	maxTags     = 50
	ourTags     = 3 // Name, and our two
	maxTagKey   = 128
	maxTagValue = 256
)

// checkTags says which tag EC2 would refuse, or is not for a clipboard to set.
func checkTags(tags map[string]string) error {
	if len(tags) > maxTags-ourTags {
		return pipeline.Permanentf("tags: the clipboard has %d, and EC2 takes %d on a machine, %d of which are ours", len(tags), maxTags, ourTags)
	}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		switch {
		case k == "":
			return pipeline.Permanentf("tags: one has no name; write them as in {team: web}")
		case k == "Name" || k == tag || k == tagOwner:
			return pipeline.Permanentf("tags: %q is not for a clipboard to set", k)
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return pipeline.Permanentf("tags: %q is not for a clipboard to set: what begins with aws: is Amazon's", k)
		case utf8.RuneCountInString(k) > maxTagKey:
			return pipeline.Permanentf("tags: the name %.20s… has %d characters, and EC2 takes %d", k, utf8.RuneCountInString(k), maxTagKey)
		case utf8.RuneCountInString(tags[k]) > maxTagValue:
			return pipeline.Permanentf("tags: the value of %q has %d characters, and EC2 takes %d", k, utf8.RuneCountInString(tags[k]), maxTagValue)
		}
	}
	return nil
}

// holding gives those of the subnets that a fixed address is in. EC2 keeps the first four addresses and the last of
// each for itself (https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html).
func holding(nets []types.Subnet, address string) ([]types.Subnet, error) {
	bare, _, _ := strings.Cut(address, "/")
	a, err := netip.ParseAddr(bare)
	if err != nil || !a.Is4() {
		return nil, pipeline.Permanentf("network: the address %s is not of IPv4; at EC2 a fixed one is", address)
	}
	var out []types.Subnet
	var have []string
	for _, n := range nets {
		p, err := netip.ParsePrefix(aws.ToString(n.CidrBlock))
		if err != nil {
			continue
		}
		have = append(have, p.String()+" ("+aws.ToString(n.SubnetId)+")")
		if !p.Contains(a) {
			continue
		}
		first, last := p.Masked().Addr(), a
		for range 4 {
			if first == a {
				return nil, pipeline.Permanentf("network: the address %s is among the first four of %s, which EC2 keeps for itself", bare, p)
			}
			first = first.Next()
		}
		if last = last.Next(); !p.Contains(last) {
			return nil, pipeline.Permanentf("network: the address %s is the last one of %s, which EC2 keeps for itself", bare, p)
		}
		out = append(out, n)
	}
	if len(out) == 0 {
		return nil, pipeline.Permanentf("network: the address %s is in none of the subnets where the machine may be: %s", bare, strings.Join(have, ", "))
	}
	return out, nil
}
