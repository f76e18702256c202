package remote

import (
	"net"
	"net/netip"
	"testing"
)

// TestMatchLocalNetwork: the OpenSSH here may be too old to compare with.
func TestMatchLocalNetwork(t *testing.T) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	mine := ""
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			mine = p.Masked().String()
		}
	}
	for _, c := range []struct {
		list []string
		want bool
	}{{[]string{"203.0.113.0/29"}, false}, {[]string{"127.0.0.0/8"}, false}, {[]string{mine}, true}, {[]string{"203.0.113.0/29", mine}, true}, {[]string{mine, "!" + mine}, false}} {
		if mine == "" && c.want {
			continue // a machine without a network
		}
		if c.list[0] == "" {
			continue
		}
		if ok, err := localNetwork(c.list); err != nil || ok != c.want {
			t.Errorf("%v: %v, %v", c.list, ok, err)
		}
	}
	if _, err := localNetwork([]string{"here"}); err == nil {
		t.Error("what is no network is taken")
	}
}
