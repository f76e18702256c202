package web

import (
	"net/http"
	"strings"
	"testing"
)

// The attack: who guesses tokens writes another's address into X-Forwarded-For, so that the other is locked out and
// on record, or a new one each time, so that nobody is. Only what trusted proxies wrote counts.
func TestWhoAsksBehindProxies(t *testing.T) {
	trusted, err := parseProxies([]string{"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		p    proxies
		peer string
		x, f string
		want string
	}{
		{"no proxy", nil, "198.51.100.1:5", "", "", "198.51.100.1"},
		{"a header, and nobody is trusted", nil, "198.51.100.1:5", "203.0.113.9", "for=203.0.113.9", "198.51.100.1"},
		{"a header from who is not trusted", trusted, "198.51.100.1:5", "203.0.113.9", "", "198.51.100.1"},
		{"one proxy", trusted, "10.1.1.1:5", "203.0.113.9", "", "203.0.113.9"},
		{"what the client wrote stands left", trusted, "10.1.1.1:5", "1.1.1.1, 203.0.113.9", "", "203.0.113.9"},
		{"two proxies", trusted, "10.1.1.1:5", "1.1.1.1, 203.0.113.9, 192.0.2.7", "", "203.0.113.9"},
		{"a proxy's own request", trusted, "10.1.1.1:5", "", "", "10.1.1.1"},
		{"only proxies", trusted, "10.1.1.1:5", "10.2.2.2, 192.0.2.7", "", "10.2.2.2"},
		{"the client called itself a proxy", trusted, "10.1.1.1:5", "10.9.9.9, 203.0.113.9", "", "203.0.113.9"},
		{"nonsense", trusted, "10.1.1.1:5", "203.0.113.9, unknown", "", "10.1.1.1"},
		{"nonsense after a proxy", trusted, "10.1.1.1:5", "<script>, 192.0.2.7", "", "192.0.2.7"},
		{"with a port", trusted, "10.1.1.1:5", "203.0.113.9:4711", "", "203.0.113.9"},
		{"IPv6", trusted, "[2001:db8::1]:5", "2001:db9::5", "", "2001:db9::5"},
		{"IPv4 in IPv6", trusted, "[::ffff:10.1.1.1]:5", "::ffff:203.0.113.9", "", "203.0.113.9"},
		{"Forwarded", trusted, "10.1.1.1:5", "", `for=1.1.1.1, For="[2001:db9::5]:80";proto=https`, "2001:db9::5"},
		{"Forwarded, hidden", trusted, "10.1.1.1:5", "", `for=_secret`, "10.1.1.1"},
		{"both, and they agree", trusted, "10.1.1.1:5", "203.0.113.9", `for=203.0.113.9`, "203.0.113.9"},
		{"both, and one is the client's own", trusted, "10.1.1.1:5", "203.0.113.9", `for=1.1.1.1`, "10.1.1.1"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{}}
		if c.x != "" {
			r.Header.Set("X-Forwarded-For", c.x)
		}
		if c.f != "" {
			r.Header.Set("Forwarded", c.f)
		}
		if got := c.p.client(r); got.String() != c.want {
			t.Errorf("%s: client = %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTrustedProxiesAreNetworks(t *testing.T) {
	for _, bad := range []string{"proxy.example.org", "10.0.0.0/33", "", "10.0.0", "*"} {
		if _, err := New(Config{HTTP: HTTP{TrustedProxies: []string{bad}}}); err == nil || !strings.Contains(err.Error(), "neither an address nor a network") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, all := range []string{"0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96", "::ffff:10.0.0.0/96"} {
		if _, err := New(Config{HTTP: HTTP{TrustedProxies: []string{all}}}); err == nil || !strings.Contains(err.Error(), "is everybody") {
			t.Errorf("%q: %v", all, err)
		}
	}
}

// Whoever asks is known by the IPv4 form of such an address, so a network of them means that form too.
func TestANetworkOfIPv4InIPv6(t *testing.T) {
	for in, want := range map[string]string{"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:192.0.2.7/128": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8::/32": "2001:db8::/32"} {
		p, err := parseProxies([]string{in})
		if err != nil || len(p) != 1 || p[0].String() != want {
			t.Errorf("%s is %v, %v; want %s", in, p, err, want)
		}
	}
	for _, wide := range []string{"::ffff:10.0.0.0/95", "::ffff:10.0.0.0/64"} {
		if _, err := parseProxies([]string{wide}); err == nil || !strings.Contains(err.Error(), "more than IPv4") {
			t.Errorf("%s: %v", wide, err)
		}
	}
}

// One customer has a /64 of IPv6 at the least: its addresses are one sender.
func TestAPlaceIsAnAddressOrASmallNetwork(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::/64", "2001:db8::ffff:1": "2001:db8::/64", "2001:db8:0:1::1": "2001:db8:0:1::/64"} {
		if got := place(addrOf(in)); got != want {
			t.Errorf("place(%s) = %s, want %s", in, got, want)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add("1.1.1.1, 10.0.0.1", `for="[::1]:5";by=x, for=2.2.2.2`)
	trusted, _ := parseProxies([]string{"10.0.0.0/8"})
	f.Fuzz(func(t *testing.T, x, fw string) {
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": {x}, "Forwarded": {fw}}}
		if got := trusted.client(r); !got.IsValid() {
			t.Errorf("%q %q: nobody asked", x, fw)
		}
		r.RemoteAddr = "198.51.100.1:1"
		if got := trusted.client(r); got.String() != "198.51.100.1" {
			t.Errorf("%q %q from who is not trusted: %s", x, fw, got)
		}
	})
}
