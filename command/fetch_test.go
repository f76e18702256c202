package command

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	godns "github.com/miekg/dns"

	"github.com/jarvisops/jarvis/lab"
)

// TestANameThatLeadsInsideIsRefused tells the attack: an allowed name's owner points it at a loopback address, and the
// bot would fetch from its own machine. The address is looked at when the name is resolved, so changing it afterwards
// gains nothing.
func TestANameThatLeadsInsideIsRefused(t *testing.T) {
	secret := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("instance: {}")) }))
	defer secret.Close()
	dns, err := lab.StartDNS("websages.com")
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Stop()
	c := &godns.Client{Net: "tcp", TsigSecret: map[string]string{lab.TSIGName + ".": lab.TSIGSecret}}
	m := new(godns.Msg)
	m.SetUpdate("websages.com.")
	rr, err := godns.NewRR("evil.websages.com. 60 A 127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	m.Insert([]godns.RR{rr})
	m.SetTsig(lab.TSIGName+".", godns.HmacSHA256, 300, 0)
	m.Extra[0].(*godns.TSIG).TimeSigned = uint64(time.Now().Unix())
	if _, _, err := c.Exchange(m, dns.Addr); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(secret.URL, "http://"))
	f := &fetcher{resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", dns.Addr)
	}}}
	u, err := url.Parse("http://evil.websages.com:" + port + "/")
	if err != nil {
		t.Fatal(err)
	}
	f.allowed = []prefix{{u, false}}
	_, err = f.fetch(t.Context(), u.String()+"x")
	if err == nil || !strings.Contains(err.Error(), "leads to a private address") {
		t.Errorf("fetch = %v", err)
	}
}

func TestPrefixesAllowWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		prefix, url string
		want        bool
	}{
		{"https://gist.github.com/", "https://gist.github.com/912450", true},
		{"https://gist.github.com/", "https://GIST.github.com:443/912450", true},
		{"https://gist.github.com/", "http://gist.github.com/912450", false},
		{"https://gist.github.com/", "https://gist.github.com.evil.org/912450", false},
		{"https://gist.github.com/", "https://evil.org/https://gist.github.com/", false},
		{"https://gist.github.com/", "https://user@gist.github.com/1", false},
		{"https://x.org/ops/", "https://x.org/ops/loki.yaml", true},
		{"https://x.org/ops/", "https://x.org/ops/../secret", false},
		{"https://x.org/ops/", "https://x.org/ops/%2e%2e/secret", false},
		{"https://x.org/ops", "https://x.org/opsx", false},
		{"http://127.0.0.1:8000/", "http://127.0.0.1:8000/a", true},
		{"http://127.0.0.1:8000/", "http://127.0.0.1:8001/a", false},
		{"http://127.0.0.1:8000/", "http://2130706433:8000/a", false},
	} {
		p, err := url.Parse(c.prefix)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := (prefix{u: p}).allows(u); got != c.want {
			t.Errorf("%s allows %s = %v", c.prefix, c.url, got)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for a, want := range map[string]bool{"203.0.113.5": true, "2606:4700::1": true, "127.0.0.1": false, "::1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "fe80::1": false, "fd00:ec2::254": false, "100.64.0.1": false, "0.0.0.0": false, "::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "224.0.0.1": false, "255.255.255.255": false} {
		if got := public(netip.MustParseAddr(a)); got != want {
			t.Errorf("public(%s) = %v", a, got)
		}
	}
}

func TestAGistsPageBecomesItsText(t *testing.T) {
	for in, want := range map[string]string{
		"https://gist.github.com/912450":                                    "https://gist.github.com/912450/raw",
		"https://gist.github.com/alice/0123456789abcdef0123#file-loki-yaml": "https://gist.github.com/alice/0123456789abcdef0123/raw",
		"https://gist.github.com/alice/0123/raw/loki.yaml":                  "https://gist.github.com/alice/0123/raw/loki.yaml",
		"https://example.org/912450":                                        "https://example.org/912450",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := rawForm(u).String(); got != want {
			t.Errorf("rawForm(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestTheAPIsAnswerGivesItsYAMLFile(t *testing.T) {
	text, raw, ok := gistFile([]byte(`{"files":{"README.md":{"content":"# no"},"loki.yaml":{"content":"instance: {}"}}}`))
	if !ok || raw != "" || string(text) != "instance: {}" {
		t.Errorf("gistFile = %q %q %v", text, raw, ok)
	}
	if _, raw, ok := gistFile([]byte(`{"files":{"a.yaml":{"truncated":true,"raw_url":"https://x/y"}}}`)); !ok || raw != "https://x/y" {
		t.Errorf("a cut file: %q %v", raw, ok)
	}
}

// FuzzFetchURL: whatever URL is given, nothing outside the list is asked.
func FuzzFetchURL(f *testing.F) {
	for _, s := range []string{"https://gist.github.com/1", "https://gist.github.com@evil.org/", "https://gist.github.com\\@evil.org", "//gist.github.com/x", "https://gist.github.com/../..", "https://gist.github.com:444/", "https://[::1]/", "HTTPS://gist.github.com/"} {
		f.Add(s)
	}
	allowed, err := url.Parse("https://gist.github.com/")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return
		}
		if (prefix{u: allowed}).allows(u) && (u.Scheme != "https" || !strings.EqualFold(u.Hostname(), "gist.github.com") || u.User != nil) {
			t.Errorf("%q is allowed", raw)
		}
		_ = rawForm(u)
	})
}
