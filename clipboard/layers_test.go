package clipboard

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"mime/quotedprintable"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

func inJSON(s string) string {
	b, _ := json.Marshal(s) // of a string it never fails
	return string(b)
}

func inShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// TestASecretIsMaskedInEveryLayer: programs quote what other programs have quoted: a shell's line in JSON, JSON in JSON
// as an annotation, a URL in HTML.
func TestASecretIsMaskedInEveryLayer(t *testing.T) {
	nest := map[string]func(string) string{
		"json": inJSON, "shell": inShell, "url": url.QueryEscape, "html": html.EscapeString,
		"python": func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" },
		"go":     func(s string) string { return fmt.Sprintf("%q", s) },
	}
	names := []string{"json", "shell", "url", "html", "python", "go"}
	for _, secret := range []string{`it's "x" y$z-w`, `ab"cd"ef"gh`, `ab\cd\ef\gh`, `abc&def<ghi>jk`, "geheim-ä-ö-ü-ß", "line one\nand two"} {
		var m Masker
		m.Add(secret)
		for range 200 {
			text := secret
			var how []string
			for range 1 + rand.IntN(3) {
				name := names[rand.IntN(len(names))]
				text, how = nest[name](text), append(how, name)
			}
			got := m.Mask("before " + text + " behind")
			if !strings.Contains(got, Mask) || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " behind") || strings.Contains(got, longestWord(secret)) {
				t.Fatalf("%q in %v is %q and is shown as %q", secret, how, text, got)
			}
		}
	}
}

// TestASecretIsMaskedInTheWaysOfPrograms: the ways that only some programs have.
func TestASecretIsMaskedInTheWaysOfPrograms(t *testing.T) {
	printable := func(s string) string {
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		_, _ = w.Write([]byte(s))
		_ = w.Close()
		return b.String()
	}
	wide := func(s string) string {
		var b []byte
		for _, c := range utf16.Encode([]rune(s)) {
			b = append(b, byte(c), byte(c>>8))
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	const umlauts, dollars, passphrase = "geheim-ä-ö-ü-ß", "abc$def$ghi$jkl", "correct horse battery staple"
	for _, c := range []struct{ program, secret, text string }{
		{"docker compose config", dollars, strings.ReplaceAll(dollars, "$", "$$")},
		{"a systemd unit", "100%sure50%off", "100%%sure50%%off"},
		{"a DN of LDAP", "abc,def+ghi=jkl", `abc\2cdef\2bghi\3djkl`},
		{"a filter of LDAP", "abc(def)*ghi", `abc\28def\29\2aghi`},
		{"dig", umlauts, `geheim-\195\164-\195\182-\195\188-\195\159`},
		{"Perl's Data::Dumper", umlauts, `geheim-\x{e4}-\x{f6}-\x{fc}-\x{df}`},
		{"JavaScript", umlauts, `geheim-\u{e4}-\u{f6}-\u{fc}-\u{df}`},
		{"HTML with names", umlauts, `geheim-&auml;-&ouml;-&uuml;-&szlig;`},
		{"PowerShell", "ab$cd\"ef`gh", "ab`$cd`\"ef``gh"},
		{"cmd.exe", "abc&def<ghi>jk", "abc^&def^<ghi^>jk"},
		{"mail", umlauts, printable(umlauts)},
		{"mail with =", "abc,def+ghi=jkl", printable("abc,def+ghi=jkl")},
		{"a wrapped line", passphrase, "correct horse\n  battery staple"},
		{"YAML, folded", passphrase, "\"correct horse\\\n  \\ battery staple\""},
		{"PowerShell -EncodedCommand", dollars, wide(dollars)},
		{"Go's bytes", dollars, fmt.Sprint([]byte(dollars))},
		{"Python's list of bytes", dollars, strings.ReplaceAll(fmt.Sprint([]byte(dollars)), " ", ", ")},
		{"Go's bytes as source", dollars, fmt.Sprintf("%#v", []byte(dollars))},
		{"a URL in Latin-1", umlauts, "geheim-%E4-%F6-%FC-%DF"},
		{"strace", umlauts, `geheim-\303\244-\303\266-\303\274-\303\237`},
		{"C's other letters", "ab\vcd\fef\bgh", `ab\vcd\fef\bgh`},
	} {
		var m Masker
		m.Add(c.secret)
		if got := m.Mask("before " + c.text + " behind"); !strings.Contains(got, Mask) || len(got) > len(Mask)+40 {
			t.Errorf("%s writes %q as %q, which is shown as %q", c.program, c.secret, c.text, got)
		}
	}
}

// TestTwoInOneLine: what stands between and after them stays.
func TestTwoInOneLine(t *testing.T) {
	var m Masker
	m.Add(`it's "x" y$z-w`)
	one := inJSON(inShell(`it's "x" y$z-w`))
	got := m.Mask("a " + one + " b " + one + " c")
	if strings.Count(got, Mask) != 2 || !strings.HasPrefix(got, "a ") || !strings.Contains(got, " b ") || !strings.HasSuffix(got, " c") {
		t.Errorf("it is shown as %q", got)
	}
}

// BenchmarkMaskOfALog is what most lines cost: quotes, numbers and blanks in them, and no secret.
func BenchmarkMaskOfALog(b *testing.B) {
	var m Masker
	m.Add("correct horse battery staple")
	m.Add("s3cr3t-token-of-an-api")
	line := `2026-11-26T22:13:02Z level=info msg="GET /api/v1/hosts?name=loki&limit=20" took=12ms bytes=1,204 agent='curl/8.5 (x86_64)'`
	for b.Loop() {
		_ = m.Mask(line)
	}
}
