package clipboard

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const hunter = "hunter22-p@ss/w'rd"

func newKey(t testing.TB) *Key {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The attack: a document is written so that the parser and we count its lines differently. The seal then lands on
// another line, and the secret is stored, and shown by `show`, in clear.
func TestASecretIsNeverLeftInClearByALineEnd(t *testing.T) {
	k := newKey(t)
	doc := "instance:\n  hostname: loki # first@line\n  provider: ESX\n  pw: !secret \"hunter22-p@ss/w'rd\" # mine\n  z: 1\n"
	for name, end := range map[string]string{"LS": "\u2028", "PS": "\u2029", "NEL": "\u0085", "lone CR": "\r", "CRCRLF": "\r\r\n", "BOM": "\ufeff", "LF": "\n", "CRLF": "\r\n", "VT": "\v", "FF": "\f"} {
		for where, src := range map[string]string{
			"in a comment": strings.Replace(doc, "first@line", "first"+end+"# line", 1),
			"for all":      strings.ReplaceAll(doc, "\n", end),
			"in a value":   strings.Replace(doc, "z: 1", "z: \"a"+end+"b\"", 1),
		} {
			c, err := Parse([]byte(src))
			if err != nil {
				if strings.Contains(err.Error(), "hunter22") {
					t.Errorf("%s %s: the refusal shows the secret: %v", name, where, err)
				}
				continue
			}
			if err := c.Seal(k); err != nil {
				t.Logf("%s %s: not stored: %v", name, where, err)
				continue
			}
			for what, text := range map[string]string{"stored": c.Text(), "shown": c.Masked()} {
				if strings.Contains(text, "hunter22") {
					t.Errorf("%s %s: the secret is %s in clear:\n%q", name, where, what, text)
				}
			}
			o, err := c.OpenAll(k)
			if err != nil {
				t.Errorf("%s %s: %v", name, where, err)
			} else if s, err := o.Secret("pw"); string(s) != hunter || err != nil {
				t.Errorf("%s %s: opened again it is %q, %v", name, where, string(s), err)
			}
		}
	}
}

// What we write ourselves must not hold such a character either.
func TestSetWritesNoOddLineEnd(t *testing.T) {
	k := newKey(t)
	for _, odd := range []string{"\u0085", "\u2028", "\u2029", "\r", "\r\n", "\ufeff", "\u202e", "\x1b]52;c;x\a", "\u200b", "🦊", "\U000e0001"} {
		c := parse(t, "instance:\n  hostname: a\n  pw: !secret hunter22-x\n")
		want := "a" + odd + "b"
		if err := c.Set("motd", want); err != nil {
			t.Fatalf("%q: %v", odd, err)
		}
		if err := c.Set("map", map[string][]string{"k": {want}}); err != nil {
			t.Fatalf("%q: %v", odd, err)
		}
		if err := c.Set("after", "x"); err != nil {
			t.Fatal(err)
		}
		if got := c.Get("motd"); got != want {
			t.Errorf("%q was read back as %q from\n%q", want, got, c.Text())
		}
		if err := c.Seal(k); err != nil || strings.Contains(c.Text(), "hunter22") {
			t.Errorf("%q: sealed, it is %v\n%s", odd, err, c.Text())
		}
	}
}

// The attack: tags that are not written as `!secret` and mean it all the same, or are meant to.
func TestATagByAnotherSpelling(t *testing.T) {
	k := newKey(t)
	for _, src := range []string{"instance:\n  pw: !<!secret> hunter22-x\n", "%TAG !e! !sec\n---\ninstance:\n  pw: !e!ret hunter22-x\n", "instance:\n  pw: !%73ecret hunter22-x\n"} {
		c, err := Parse([]byte(src))
		if err != nil {
			continue
		}
		if err := c.Seal(k); err == nil && strings.Contains(c.Text()+c.Masked(), "hunter22") {
			t.Errorf("%q was stored as %q", src, c.Text())
		}
	}
	for _, tag := range []string{"!Secret", "!secert", "!secre", "!SECRET", "!sceret", "!secrets", "!password"} {
		_, err := Parse([]byte("instance:\n  pw: " + tag + " hunter22-x\n"))
		if err == nil || !strings.Contains(err.Error(), "did you mean !secret?") || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", tag, err)
		}
	}
	if _, err := Parse([]byte("instance:\n  pw: !Ref other\n")); err != nil {
		t.Errorf("a tag of somebody else's: %v", err)
	}
}

func TestWhatCannotBeASecret(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{"instance:\n  pw: !secret abc\n", "line 2, column 7: a secret must have at least 8 characters"},
		{"instance:\n  pw: !secret\n", "at least 8 characters"},
		{"instance:\n  pw: !secret •••\n", "this is the mask that stands for a secret"},
		{"instance:\n  !secret hunter22-x: a\n", "a key must be a plain word"},
	} {
		if _, err := Parse([]byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%q) = %v, want %q", c.doc, err, c.want)
		}
	}
	for _, key := range openKeys {
		c := parse(t, "instance:\n  "+key+": !secret Not A Name 22\n")
		_, err := c.Instance()
		if err == nil || strings.Contains(err.Error(), "Not A Name") || !strings.Contains(err.Error(), "cannot be a secret") {
			t.Errorf("%s: %v", key, err)
		}
	}
	c := parse(t, "instance:\n  size: !secret hunter22-x\n")
	if _, err := c.Int("size"); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("Int shows the secret: %v", err)
	}
	if _, err := Parse([]byte("instance:\n  pw: !secret hunter22-x\n  a: *hunter22-x\n")); err == nil || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("the refusal shows the secret: %v", err)
	}
}

// The attack: a step prints the clipboard back as its YAML library writes it, without the tags; the secret was stored
// in clear, and shown to everybody who may look.
func TestASecretStaysOneWhateverAStepPrints(t *testing.T) {
	k := newKey(t)
	stored := parse(t, "instance:\n  hostname: loki\n  pw: !secret "+hunter+"\n  other: !secret another-one-9\n  list:\n    - !secret third-secret-3\n")
	if err := stored.Seal(k); err != nil {
		t.Fatal(err)
	}
	sealed := func(c *Clipboard, key string) string { return c.node(key).Value }
	for _, test := range []struct {
		name, out string // what it prints; %s is the sealed text of other
		show      string // what people see of it
	}{
		{"without the tags", "instance:\n  hostname: loki\n  pw: " + hunter + "\n  other: %s\n  list: [third-secret-3]\n",
			"instance:\n  hostname: loki\n  pw: !secret •••\n  other: !secret •••\n  list:\n  - !secret •••\n"},
		{"changed, without the tag", "instance:\n  hostname: loki\n  pw: a-new-password\n  other: %s\n", "instance:\n  hostname: loki\n  pw: !secret •••\n  other: !secret •••\n"},
		{"as a mapping", "instance:\n  hostname: loki\n  pw: {value: a-new-password, n: 1}\n  other: %s\n", "instance:\n  hostname: loki\n  pw:\n    value: !secret •••\n    n: !secret •••\n  other: !secret •••\n"},
		{"a copy elsewhere", "instance:\n  hostname: loki\n  pw: !secret " + hunter + "\n  url: https://root:hunter22-p%%40ss%%2Fw%%27rd@x/\n  other: !sealed %s\n",
			"instance:\n  hostname: loki\n  pw: !secret •••\n  url: !secret •••\n  other: !secret •••\n"},
		{"a copy in a comment", "instance:\n  hostname: loki # was " + hunter + "\n  pw: !secret " + hunter + "\n  other: !sealed %s\n",
			"instance:\n  hostname: loki # was •••\n  pw: !secret •••\n  other: !secret •••\n"},
		{"as JSON", `{"instance": {"hostname": "loki", "pw": "` + hunter + `", "other": "%s"}}`, "\"instance\":\n  \"hostname\": \"loki\"\n  \"pw\": !secret •••\n  \"other\": !secret •••\n"},
		{"a block", "instance:\n  hostname: loki\n  pw: |-\n    " + hunter + "\n  other: %s\n", "instance:\n  hostname: loki\n  pw: !secret •••\n  other: !secret •••\n"},
		{"as an anchor", "instance:\n  hostname: loki\n  pw: &p " + hunter + "\n  again: *p\n  other: %s\n", "instance:\n  hostname: loki\n  pw: !secret •••\n  again: !secret •••\n  other: !secret •••\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			view, err := stored.Open(k, []string{"pw", "list"})
			if err != nil {
				t.Fatal(err)
			}
			if err := view.Replace(fmt.Appendf(nil, test.out, sealed(stored, "other"))); err != nil {
				t.Fatal(err)
			}
			if err := view.Seal(k); err != nil {
				t.Fatal(err)
			}
			for _, clear := range []string{"hunter22", "a-new-pass", "third-secret"} {
				if strings.Contains(view.Text(), clear) {
					t.Fatalf("stored in clear:\n%s", view.Text())
				}
			}
			if got := view.Masked(); got != test.show {
				t.Errorf("people see\n%swant\n%s", got, test.show)
			}
			if got := sealed(view, "other"); got != sealed(stored, "other") {
				t.Error("the secret that the step did not see was sealed a second time")
			}
			if _, err := Parse(view.Bytes()); err != nil {
				t.Errorf("what was stored cannot be read: %v", err)
			}
		})
	}
	view, err := stored.Open(k, []string{"pw"})
	if err != nil {
		t.Fatal(err)
	}
	if err := view.Replace([]byte("instance:\n  hostname: loki\n  pw: !secret abc\n")); err == nil || !strings.Contains(err.Error(), "at least 8") {
		t.Errorf("a step's short secret: %v", err)
	}
	if err := view.Replace([]byte("instance:\n  hostname: loki\n  " + hunter + ": 1\n")); err != nil {
		t.Fatal(err)
	}
	if err := view.Seal(k); err == nil {
		t.Errorf("a secret is the name of a key, in clear:\n%s", view.Text())
	}
}

// The attack: a program logs the secret as it needs it: quoted, in a URL, in a header. Each is made by another program
// than ours where there is one.
func TestEncodedSecretsAreMasked(t *testing.T) {
	sh := func(line string, args ...string) string {
		out, err := exec.Command("bash", append([]string{"-c", line, "bash"}, args...)...).Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return strings.TrimRight(string(out), "\n")
	}
	for _, secret := range []string{hunter, "s3cr3t key/with+all=\"kinds\" & <more> $HOME", "ÄÖÜ-passwörd-ß", "12345678", strings.Repeat("long secret ", 20), "line one of it\nline two of it"} {
		j, _ := json.Marshal(secret)
		y, _ := yaml.Marshal(map[string]string{"v": secret})
		for what, text := range map[string]string{
			"plain": secret, "JSON": string(j), "JSON in JSON": string(must(json.Marshal(map[string]string{"pw": secret}))), "YAML": string(y), "%q": strconv.Quote(secret),
			"query": "?pw=" + url.QueryEscape(secret), "path": "/x/" + url.PathEscape(secret), "userinfo": url.UserPassword("root", secret).String(),
			"lower case escapes": strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(secret), "%2F", "%2f"), "%40", "%40"),
			"hex":                hex.EncodeToString([]byte(secret)), "shell %q": sh(`printf %q "$1"`, secret), "shell ${@Q}": sh(`echo "${1@Q}"`, secret),
			"set -x": sh(`exec 2>&1; set -x; true "$1"`, secret), "base64": sh(`printf %s "$1" | base64`, secret), "base64 with a newline": sh(`echo "$1" | base64 -w0`, secret),
			"basic": "Basic " + base64.StdEncoding.EncodeToString([]byte("root:"+secret)), "basic 1": base64.StdEncoding.EncodeToString([]byte("x:" + secret + "!")), "basic 2": base64.URLEncoding.EncodeToString([]byte("xy:" + secret)),
		} {
			var m Masker
			m.Add(secret)
			got := m.Mask(text)
			// What may be left of it is less than a third, at the edges of a base64 group or of lines.
			for i := 0; i+6 <= len(text); i++ {
				piece := text[i : i+6]
				if strings.Contains(got, piece) && strings.Contains(secret, piece) && !strings.Contains("root:", piece) {
					t.Errorf("%s of %q: %q shows %q", what, secret, got, piece)
					break
				}
			}
			if !strings.Contains(got, Mask) {
				t.Errorf("%s of %q is not masked at all: %q", what, secret, got)
			}
		}
	}
	var m Masker
	m.Add("password")
	if got := m.Mask("the host answers"); got != "the host answers" {
		t.Errorf("%q", got)
	}
}

// The attack: a long secret is encoded by a program that wraps its lines, and logs come line by line. The lines matched
// no form of the whole.
func TestAnEncodedSecretIsMaskedHoweverItIsCut(t *testing.T) {
	secret := "correct-Horse_battery:staple/" + strings.Repeat("0x4AF1c", 20)
	for _, line := range []string{"base64", "base64 -w 20", "base64 -w 57", "openssl base64", "xxd -p", "xxd -p -c 7", "xxd", "od -An -tx1", "xxd -u -p", "(echo user; cat) | base64 -w 33", "xxd -p -c 9999 | sed 's/../&:/g'"} {
		cmd := exec.Command("bash", "-c", line)
		cmd.Stdin = strings.NewReader(secret)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var m Masker
		m.Add(secret)
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		masked := 0
		for i, l := range lines {
			if strings.Contains(m.Mask(l), Mask) {
				masked++
			} else if len(l) > 10 && i > 0 {
				t.Errorf("%s: line %d stands in clear: %q", line, i, l)
			}
		}
		if masked < len(lines)-2 {
			t.Errorf("%s: %d of %d lines are masked", line, masked, len(lines))
		}
	}
	for what, text := range map[string]string{
		"percent": percent(secret, "%%%02x"), "HTML": percent(secret, "&#%d;"), "HTML hex": percent(secret, "&#x%X;"), "JSON": percent(secret, "\\u%04x"), "C": percent(secret, "\\x%02x"),
	} {
		var m Masker
		m.Add(secret)
		if got := m.Mask("it is " + text + " there"); got != "it is "+Mask+" there" {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func percent(s, as string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, as, c)
	}
	return b.String()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// meaning reads a document by another way than the package does.
func meaning(t *testing.T, src []byte) map[string]any {
	var v map[string]any
	if err := yaml.Unmarshal(bytes.ReplaceAll(src, []byte(tagSecret), []byte("!!str")), &v); err != nil {
		t.Fatalf("%v in\n%q", err, src)
	}
	return v
}

// FuzzEdit: an edit changes the meaning of one key, and of no other, in every form that YAML has; and a secret is never
// left in clear.
func FuzzEdit(f *testing.F) {
	for _, s := range []string{loki, "instance: {a: b, k: c}", "{\"instance\": {\"k\": [1, {\"a\": 2}]}}", "instance:\r\n  a: b\r\n  k: |\r\n    x\r\n\r\n  c: 1\r\n", "instance:\r  a: b\r  k: v\r",
		"a: &x 1\ninstance:\n  b: *x\n  k: &y q\n  z: *y\n", "instance: &i\n  a: 1\n  k: 2\nc: *i\n", "instance:\n  ? a\n  : b\n  ? k\n  : - 1\n    - 2\n", "instance:\n  a: |+\n    x\n\n  k: >-\n    y\n    z\n# c\n",
		"instance:\n  k: \"a\\\n    b\"\n  'q': 'it''s\n\n    x'\n", "%YAML 1.2\n---\ninstance:\n  k: v\n...\n", "instance:\n    k: # c\n      - a\n      # d\n    b: 1\n  \n# e\n", "instance:\n  k: !secret \"hunter22-x\" # c\n  b: [!x y]\n", "instance:\n- k\n", "instance:\n  \"k\": ~\n  n: \"\\u2028\\x85\"\n", "instance:\n  k: a # b\r\n  c: d\r\r\n"} {
		f.Add([]byte(s), "v: \"1\" # x", uint8(0))
		f.Add([]byte(s), "a\u0085b\u2028c\rd", uint8(1))
		f.Add([]byte(s), "hunter22-x\ny", uint8(2))
		f.Add([]byte(s), "", uint8(3))
	}
	k := newKey(f)
	f.Fuzz(func(t *testing.T, src []byte, value string, op uint8) {
		c, err := Parse(src)
		if err != nil {
			return
		}
		_, _ = c.Instance()
		key := []string{"k", "zz_new"}[op/4%2]
		if bytes.Contains(src, []byte("<<")) || strings.ContainsRune(value, '\ufffd') || !strings.EqualFold(strings.ToValidUTF8(value, "\ufffd"), value) {
			return // what merge keys mean depends on what stands beside them
		}
		before := meaning(t, src)
		in, ok := before["instance"].(map[string]any)
		if !ok && before["instance"] != nil {
			return
		}
		if in == nil {
			in = map[string]any{}
		}
		had := c.Text()
		switch op % 4 {
		case 0, 1:
			err, in[key] = c.Set(key, value), value
		case 2:
			err, in[key] = c.SetSecret(key, Secret(value)), value
		case 3:
			err = c.Delete(key)
			delete(in, key)
		}
		if err != nil {
			if c.Text() != had {
				t.Fatalf("refused (%v), and changed all the same", err)
			}
			return
		}
		after := meaning(t, c.Bytes())
		got, _ := after["instance"].(map[string]any)
		if len(got) == 0 {
			got = map[string]any{}
		}
		if !reflect.DeepEqual(got, in) {
			t.Fatalf("instance is %#v, want %#v, in\n%s\nwhich was\n%s", got, in, c.Text(), src)
		}
		delete(before, "instance")
		delete(after, "instance")
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("beside instance there is %#v, want %#v", after, before)
		}
		secrets := c.masker.Secrets()
		if err := c.Seal(k); err != nil {
			return
		}
		shows := c.Masked()
		for _, s := range secrets {
			if len(s) >= MinSecret && s != in["hostname"] && s != in["fqdn"] && s != in["provider"] && strings.Contains(shows, s) {
				t.Fatalf("%q shows in\n%s", s, shows)
			}
		}
		if _, err := Parse(c.Bytes()); err != nil {
			t.Fatalf("what was sealed cannot be read: %v\n%s", err, c.Text())
		}
	})
}

// The attack: a secret that its writer believes to be marked, and that nobody seals.
func TestEveryMarkThatIsNotOursIsRefused(t *testing.T) {
	for _, v := range []string{"! " + "secret hunter22", "!!secret hunter22", "!<secret> hunter22", "!<!!secret> hunter22", "!<tag:yaml.org,2002:secret> hunter22", "!Secret hunter22", "! hunter22"} {
		if _, err := Parse([]byte("instance:\n  hostname: loki\n  pw: " + v + "\n")); err == nil || !strings.Contains(err.Error(), "line 3") {
			t.Errorf("%s: %v", v, err)
		}
	}
	for _, before := range []string{"%TAG ! tag:x,2000:\n---\n", "%TAG !! tag:x,2000:\n---\n"} {
		c, err := Parse([]byte(before + "instance:\n  hostname: loki\n  pw: !secret hunter22\n"))
		if err == nil {
			k, _ := NewKey()
			if err = c.Seal(k); err == nil && strings.Contains(c.Text(), "hunter22") {
				t.Errorf("%q: in clear:\n%s", before, c.Text())
			}
		}
	}
	for text, want := range map[string]string{"a\x0bb": "line 3, column 9: the control character U+000B", "a\xffb": "line 3, column 9: the byte 0xff here is not UTF-8", "\u009bx": "line 3, column 8: the control character U+009B"} {
		if _, err := Parse([]byte("instance:\n  hostname: loki\n  motd: " + text + "\n")); err == nil || !strings.Contains(err.Error(), want[:len("line 3, column")]) || !strings.Contains(err.Error(), want[len("line 3, column 9: "):]) {
			t.Errorf("%q: %v", text, err)
		}
	}
	c, err := Parse([]byte("instance:\n  hostname: loki\n  hunter22: 1\n  pw: !secret hunter22\n"))
	if err != nil {
		t.Fatal(err)
	}
	k, _ := NewKey()
	var se *SyntaxError
	if err := c.Seal(k); !errors.As(err, &se) || se.Line != 3 {
		t.Errorf("%v", err)
	}
}
