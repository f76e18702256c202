package libvirt

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"github.com/jarvisops/jarvis/provider"
)

// mark is what we write into a domain's metadata, as one element of a namespace of ours.
type mark struct {
	XMLName xml.Name `xml:"https://github.com/jarvisops/jarvis/libvirt machine"`
	// For is the UUID of the domain that it was written for. A clone has the metadata of what it was cloned from, and a
	// UUID of its own: to it they mean nothing.
	For     string `xml:"for,attr"`
	Token   string `xml:"token,attr"`
	Owner   string `xml:"owner,attr"`
	Created string `xml:"created,attr"`
	Pool    string `xml:"pool,attr"`              // of its volumes
	Volumes string `xml:"volumes,attr,omitempty"` // the token in their names, when the machine does not carry it any more
	Forward string `xml:"forward,attr,omitempty"` // address and port of the hypervisor at which its SSH is reached
	Tags    []tag  `xml:"tag"`
}

// volumes gives the token in the names of the machine's volumes; "" when it has none of ours.
func (m mark) volumes() string {
	if m.Token != "" {
		return m.Token
	}
	return m.Volumes
}

// with gives the mark with that token and owner in place of its own. The volumes stay the machine's.
func (m mark) with(id string, now provider.Mark) mark {
	volumes := m.volumes()
	m.XMLName, m.For, m.Token, m.Owner, m.Volumes = xml.Name{}, id, now.Token, now.Owner, ""
	if now.Token != volumes {
		m.Volumes = volumes
	}
	return m
}

// empty reports whether a mark says nothing.
func (m mark) empty() bool {
	return m.Token == "" && m.Owner == "" && m.Volumes == "" && len(m.Tags) == 0
}

type tag struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

// markOf reads a domain's mark; the zero mark when it has none that was written for it.
func markOf(metadata, uuid string) mark {
	var all struct {
		Mark mark `xml:"https://github.com/jarvisops/jarvis/libvirt machine"`
	}
	if err := xml.Unmarshal([]byte("<metadata>"+metadata+"</metadata>"), &all); err != nil || all.Mark.For != uuid {
		return mark{}
	}
	return all.Mark
}

// into fills in what a mark says of a machine.
func (m mark) into(out *provider.Machine) {
	out.Mark = provider.Mark{Token: m.Token, Owner: m.Owner}
	out.Created, _ = time.Parse(time.RFC3339, m.Created)
	out.Tags = map[string]string{}
	for _, t := range m.Tags {
		out.Tags[t.Name] = t.Value
	}
}

// uuidOf is the UUID of the domain that a run makes.
func uuidOf(token string) golibvirt.UUID {
	sum := sha256.Sum256([]byte("jarvis domain " + token))
	var u golibvirt.UUID
	copy(u[:], sum[:])
	u[6] = u[6]&0x0f | 0x80 // version 8: from the maker's own rule (RFC 9562 §5.8)
	u[8] = u[8]&0x3f | 0x80
	return u
}

// text writes a UUID as libvirt does.
func text(u golibvirt.UUID) string {
	s := hex.EncodeToString(u[:])
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// uuid reads one.
func uuid(s string) (golibvirt.UUID, error) {
	var u golibvirt.UUID
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != len(u) {
		return u, fmt.Errorf("%q is no UUID of a machine", s)
	}
	copy(u[:], b)
	return u, nil
}

// mac is the address of a domain's network card, the same at every try: 52:54:00 is qemu's.
func mac(u golibvirt.UUID) string { return fmt.Sprintf("52:54:00:%02x:%02x:%02x", u[0], u[1], u[2]) }
