package clipboard

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const loki = `# the first host we lose
instance:
  hostname: loki      # as in the sagas
  fqdn: loki.websages.com
  provider: Linode

  guestid: "Debian 12"
  unknown:
    - {a: 1}
    # kept
    - b
  size: 512
# between

other: [1,   2]
`

func parse(t *testing.T, s string) *Clipboard {
	t.Helper()
	c, err := Parse([]byte(s))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

func TestSetChangesOnlyItsLines(t *testing.T) {
	for _, c := range []struct {
		name, in string
		do       func(*Clipboard) error
		want     string
	}{
		{"nothing", loki, func(c *Clipboard) error { return nil }, loki},
		{"the same value", loki, func(c *Clipboard) error { return c.Set("guestid", "Debian 12") }, loki},
		{"a new key goes behind the last", loki, func(c *Clipboard) error { return c.Set("ipaddress", "203.0.113.5") },
			strings.Replace(loki, "  size: 512\n", "  size: 512\n  ipaddress: 203.0.113.5\n", 1)},
		{"a comment stays", loki, func(c *Clipboard) error { return c.Set("hostname", "thor") },
			strings.Replace(loki, "hostname: loki      #", "hostname: thor #", 1)},
		{"a list is replaced whole", loki, func(c *Clipboard) error { return c.Set("unknown", []string{"x", "y: z"}) },
			strings.Replace(loki, "  unknown:\n    - {a: 1}\n    # kept\n    - b\n", "  unknown:\n    - x\n    - \"y: z\"\n", 1)},
		{"a key is deleted", loki, func(c *Clipboard) error { return c.Delete("unknown") },
			strings.Replace(loki, "  unknown:\n    - {a: 1}\n    # kept\n    - b\n", "", 1)},
		{"no newline at the end", "instance:\n  hostname: a", func(c *Clipboard) error { return c.Set("b", "c") }, "instance:\n  hostname: a\n  b: c\n"},
		{"CRLF stays", "instance:\r\n  hostname: a # x\r\n  q: 1\r\n", func(c *Clipboard) error { return c.Set("hostname", "b") }, "instance:\r\n  hostname: b # x\r\n  q: 1\r\n"},
		{"JSON becomes block", `{"instance": {"hostname": "a"}, "x": [1]}`, func(c *Clipboard) error { return c.Set("b", "c") }, "\"instance\":\n  \"hostname\": \"a\"\n  b: c\n\"x\": [1]\n"},
		{"a literal block is replaced", "instance:\n  k: |\n    # not a comment\n    x\n  z: 1\n", func(c *Clipboard) error { return c.Set("k", "v") }, "instance:\n  k: v\n  z: 1\n"},
		{"wide characters before the value", "instance:\n  名: x\n  k: é # ü\n", func(c *Clipboard) error { return c.Set("k", "v") }, "instance:\n  名: x\n  k: v # ü\n"},
		{"what looks like a number stays a string", "instance:\n  a: b\n", func(c *Clipboard) error { return c.Set("v", "512") }, "instance:\n  a: b\n  v: \"512\"\n"},
		{"a secret", "instance:\n  a: b\n", func(c *Clipboard) error { return c.SetSecret("p", "two\nlines") }, "instance:\n  a: b\n  p: !secret \"two\\nlines\"\n"},
		{"an empty instance", "instance:\nx: 1\n", func(c *Clipboard) error { return c.Set("a", "b") }, "instance:\n  a: b\nx: 1\n"},
		{"a map", "instance:\n  a: b\n", func(c *Clipboard) error { return c.Set("m", map[string]int{"x": 1}) }, "instance:\n  a: b\n  m:\n    x: 1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cb := parse(t, c.in)
			if err := c.do(cb); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, cb.Text()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"the seed's quote", "instance:\n  hostname: loki\n  gitosis-admin: 'git@x:gitosis-admin.git\n  sshpubkey: ssh-dss A\n", "line 3, column 18: this quote is never closed"},
		{"double quote", "instance:\n  a: \"x\n", "line 2, column 6: this quote is never closed"},
		{"tab", "instance:\n\thostname: x\n", "line 2, column 1: there is a tab here (indent with spaces)"},
		{"colon", "instance:\n  a: b: c\n", "line 2, column 7: a colon is not allowed here (put the value in quotes, or check the indentation)"},
		{"bracket", "instance:\n  a: [1, 2\n  b: 3\n", "this [ is never closed"},
		{"duplicate", "instance:\n  a: 1\n  a: 2\n", `line 3, column 3: the key "a" is here a second time; the first is in line 2 (keep one of them)`},
		{"two documents", "instance: {}\n---\nb: 1\n", "more than one YAML document"},
		{"a list", "- a\n", "line 1, column 1: this is not a clipboard"},
		{"a word", "hello\n", "this is not a clipboard"},
		{"empty", "", "the clipboard is empty"},
		{"comment only", "# x\n", "the clipboard is empty"},
		{"HTML", "<!DOCTYPE html>\n<html>", "this is a web page, not YAML"},
		{"NUL", "instance:\n a: b\x00\n", "line 2: there is a NUL byte here"},
		{"large", strings.Repeat("#", MaxBytes+1), "at most 65536"},
		{"laughs", "a: &a [x]\nb: &b [*a, *a]\n", "an anchor may not contain an alias"},
		{"many aliases", "a: &a x\nb: [" + strings.Repeat("*a, ", 40) + "]\n", "more than 32 aliases"},
		{"secret list", "instance:\n  a: !secret [x]\n", "`!secret` takes a single value"},
		{"secret in flow", "instance: {a: !secret x}\n", "cannot stand inside [ ] or { }"},
		{"secret block", "instance:\n  a: !secret |\n    x\n", "must stand on one line"},
		{"unknown anchor", "a: *b\n", "unknown anchor 'b' referenced"},
		{"deep", strings.Repeat("[", 80) + strings.Repeat("]", 80), "this is not a clipboard"},
		{"deep below", "a: " + strings.Repeat("[", 80) + strings.Repeat("]", 80), "nested more than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse(%q) = %v, want %q", c.in, err, c.want)
			}
		})
	}
}

func TestInstance(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"good", "instance: {hostname: Loki, fqdn: loki.websages.com, provider: Linode}", ""},
		{"no instance", "hostname: loki\n", "the key `instance` is missing (indent hostname"},
		{"no hostname", "instance: {provider: esx}", `"hostname" is missing`},
		{"empty hostname", "instance: {hostname: '', provider: esx}", `"hostname" is missing`},
		{"no provider", "instance: {hostname: a}", ""},
		{"bad hostname", "instance:\n  hostname: a_b\n", `line 2: "hostname" is wrong: "a_b" is not a host name`},
		{"shell in hostname", "instance:\n  hostname: $(reboot)\n", "is not a host name"},
		{"fqdn of another", "instance: {hostname: a, fqdn: b.c, provider: esx}", `does not start with the hostname`},
		{"DSA", "instance: {hostname: a, provider: esx, sshpubkey: ssh-dss AAAA x}", "OpenSSH refuses DSA keys since 7.0; give an ed25519 or rsa key"},
		{"no key", "instance: {hostname: a, provider: esx, sshpubkey: hello}", "this is not an SSH public key"},
		{"steps no list", "instance: {hostname: a, provider: esx}\nsteps: {a: b}", `"steps" must be a list`},
		{"steps empty", "instance: {hostname: a, provider: esx}\nsteps: []", "the list `steps` is empty"},
		{"instance is text", "instance: hello", "`instance` must be a mapping"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, c.in).Instance()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Instance() = %v, want %q", err, c.want)
			}
		})
	}
}

func TestSecretsAreSealedOpenedAndMasked(t *testing.T) {
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, "instance:\n  a: !secret hunter22 # mine\n  list:\n    - !secret \"two words\"\n  b: plain\n")
	if err := c.Seal(k); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(c.Text(), "hunter22") || strings.Contains(c.Text(), "two words") {
		t.Fatalf("clear text remains:\n%s", c.Text())
	}
	if got := c.Masked(); strings.Count(got, Mask) != 2 || !strings.Contains(got, "# mine") {
		t.Errorf("Masked() =\n%s", got)
	}
	if _, err := c.String("a"); err == nil {
		t.Error("a sealed value can be read")
	}
	o, err := c.Open(k, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := o.Secret("a"); err != nil || string(s) != "hunter22" {
		t.Errorf("Secret(a) = %q, %v", string(s), err)
	}
	if strings.Contains(o.Text(), "two words") {
		t.Error("Open showed a secret that was not asked for")
	}
	if got := o.Redact("login with hunter22 refused"); got != "login with ••• refused" {
		t.Errorf("Redact = %q", got)
	}
	if err := o.Seal(k); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c.Text(), o.Text()); d != "" {
		t.Errorf("open and seal without a change changed bytes:\n%s", d)
	}
	other, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.OpenAll(other); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("OpenAll with another key: %v", err)
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := Secret("hunter22")
	j, _ := json.Marshal(map[string]any{"s": s})
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%q %v %+v %#v %x %s %d", s, s, s, s, s, s, s), string(j), fmt.Sprint(struct{ S Secret }{s}), fmt.Errorf("x %w %v", ErrMissing, s).Error()} {
		if strings.Contains(got, "hunter") || strings.Contains(got, "68756e") {
			t.Errorf("a secret printed: %q", got)
		}
	}
}

func TestDiffIsMaskedAndSmall(t *testing.T) {
	a := parse(t, loki)
	b := a.Clone()
	for _, err := range []error{b.Set("ipaddress", "203.0.113.5"), b.SetSecret("pw", "hunter22"), b.Set("hostname", "thor")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "-   hostname: loki      # as in the sagas\n+   hostname: thor # as in the sagas\n+   ipaddress: 203.0.113.5\n+   pw: !secret •••\n"
	if d := cmp.Diff(want, Diff(a, b)); d != "" {
		t.Error(d)
	}
	if got := Diff(a, a.Clone()); got != "" {
		t.Errorf("Diff of equals = %q", got)
	}
}

// FuzzParse: what is accepted survives a set and a delete of another key byte for byte, and seals without a trace.
func FuzzParse(f *testing.F) {
	for _, s := range []string{loki, "instance: {a: b}", "instance:\n  p: !secret x\n", "{\"instance\": {}}", "instance:\r\n  a: b\r\n", "a: &x 1\ninstance:\n  b: *x\n", "instance: &i\n  a: 1\nc: *i\n", "instance:\n  ? a\n  : b\n", "instance:\n  a: |+\n    x\n\n"} {
		f.Add([]byte(s))
	}
	k, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse(src)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than one line: %q", err)
			}
			return
		}
		if c.Text() != string(src) {
			t.Fatal("parsing changed the text")
		}
		_, _ = c.Instance()
		d := c.Clone()
		if err := d.Set("zz_new", "v: \"1\" # x"); err == nil {
			if got := d.Get("zz_new"); got != "v: \"1\" # x" {
				t.Fatalf("set then get = %q in\n%s", got, d.Text())
			}
			for _, key := range c.Keys() {
				if c.Get(key) != d.Get(key) {
					t.Fatalf("setting another key changed %q: %q, %q", key, c.Get(key), d.Get(key))
				}
			}
		}
		if err := c.Seal(k); err == nil && strings.Contains(c.Masked(), tagSealed+" YWdl") {
			t.Fatalf("sealed text shows: %s", c.Masked())
		}
	})
}
