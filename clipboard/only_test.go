package clipboard

import (
	"strings"
	"testing"
)

const away = `# loki
instance:
  hostname: loki
  fqdn: loki.example.org
  provider: esx # there
  size: &s {memory: 2GB}
  like: *s
  password: !secret opensesame-1
  other: !secret someoneelses-2
`

func TestOnlyGivesWhatIsNamed(t *testing.T) {
	c, err := Parse([]byte(away))
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Seal(key); err != nil {
		t.Fatal(err)
	}
	if c, err = c.Open(key, []string{"password"}); err != nil {
		t.Fatal(err)
	}
	if none, err := c.Only(nil); err != nil || strings.Contains(none.Text(), "opensesame-1") || !strings.Contains(none.Text(), "hostname: loki") {
		t.Errorf("a step that names no key gets %v\n%s", err, none.Text())
	}
	only, err := c.Only([]string{"password", "like", "other"})
	if err != nil {
		t.Fatal(err)
	}
	text := only.Text()
	for _, want := range []string{"hostname: loki", "memory: 2GB", `!secret "opensesame-1"`, "other: !sealed withheld"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	for _, not := range []string{"someoneelses", "# ", "size:"} {
		if strings.Contains(text, not) {
			t.Errorf("%q is in\n%s", not, text)
		}
	}
}

// TestAnAgentChangesOnlyWhatItsStepNames: an agent that somebody has broken into answers with another host's name, and
// with keys that are not its step's.
func TestAnAgentChangesOnlyWhatItsStepNames(t *testing.T) {
	for _, x := range []struct{ what, from, to, want string }{
		{"a key of its own", "opensesame-1", "another-one-3", ""},
		{"a new key", "provider: esx", "provider: esx\n  ipaddress: 192.0.2.7", ""},
		{"many lines", "provider: esx", "provider: esx\n  motd: |\n    one\n    two", ""},
		{"a tree", "provider: esx", "provider: esx\n  disks:\n    - {size: 1GB}\n    - size: 2GB", ""},
		{"another host", "fqdn: loki.example.org", "fqdn: thor.example.org", "another host"},
		{"another provider", "provider: esx", "provider: ec2", "another host"},
		{"a key that it was not given", "provider: esx", "provider: esx\n  size: 1TB", "does not name"},
		{"what is beside the host", "instance:", "deploy: [a]\ninstance:", "beside instance"},
	} {
		t.Run(x.what, func(t *testing.T) {
			c, err := Parse([]byte(away))
			if err != nil {
				t.Fatal(err)
			}
			sent, err := c.Only([]string{"password"})
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(sent.Text(), x.from, x.to, 1)
			if text == sent.Text() {
				t.Fatalf("nothing to change in\n%s", text)
			}
			got, err := Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			before := c.Text()
			err = c.Merge(sent, got, []string{"password"})
			switch {
			case x.want == "" && err != nil:
				t.Fatal(err)
			case x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want) || c.Text() != before):
				t.Fatalf("Merge = %v, and the clipboard is\n%s", err, c.Text())
			case x.want == "" && !strings.HasPrefix(c.Text(), "# loki\n"):
				t.Errorf("the rest changed:\n%s", c.Text())
			}
			if x.want != "" {
				return
			}
			again, err := c.Only(append(got.Keys(), "password"))
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range got.Keys() {
				if !equal(again.node(k), got.node(k)) {
					t.Errorf("%s is now\n%s", k, again.Text())
				}
			}
		})
	}
}
