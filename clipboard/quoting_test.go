package clipboard

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"
)

// The attack: each character of a secret is written in another of the ways in which programs write characters.
func TestASecretIsMaskedHoweverEachCharacterIsWritten(t *testing.T) {
	bytewise := func(r rune, format string) string {
		var b strings.Builder
		for _, c := range []byte(string(r)) {
			fmt.Fprintf(&b, format, c)
		}
		return b.String()
	}
	ways := []func(r rune) string{
		func(r rune) string { return string(r) },
		func(r rune) string { return strings.Repeat(`\`, 1+rand.IntN(4)) + string(r) },
		func(r rune) string { return bytewise(r, "%%%02x") },
		func(r rune) string { return bytewise(r, "%%%02X") },
		func(r rune) string { return bytewise(r, "%%25%02X") },
		func(r rune) string { return bytewise(r, `\x%02x`) },
		func(r rune) string { return bytewise(r, `\\x%02X`) },
		func(r rune) string { return bytewise(r, `\%03o`) },
		func(r rune) string { return bytewise(r, `\0%03o`) },
		func(r rune) string { return fmt.Sprintf("&#%d;", r) },
		func(r rune) string { return fmt.Sprintf("&#X%x;", r) },
		func(r rune) string { return fmt.Sprintf("&#x000%X;", r) },
		func(r rune) string { return fmt.Sprintf(`\U%08x`, r) },
		func(r rune) string {
			if hi, lo := utf16.EncodeRune(r); r > 0xffff {
				return fmt.Sprintf(`\u%04x\u%04X`, hi, lo)
			}
			return fmt.Sprintf(`\u%04X`, r)
		},
		func(r rune) string {
			if names := otherNames[r]; len(names) > 0 {
				return names[rand.IntN(len(names))]
			}
			if l := letters[r]; l != "" {
				return `\` + l[:1]
			}
			return string(r)
		},
	}
	for _, secret := range []string{"q1", "correct horse 'battery' \"staple\" <&>", "back\\slash\\\\es", "row " + strings.Repeat(`\`, 40) + " of them", "tab\tline\nbell\a\x1b\r", "ÄÖÜ-ß-\u0085-\u00a0-日本-🔑🗝", strings.Repeat("long and plain ", 40)} {
		secret += "-12345678"
		var m Masker
		m.Add(secret)
		for i := range len(ways) + 500 {
			var b strings.Builder
			for _, r := range secret {
				way := ways[rand.IntN(len(ways))]
				if i < len(ways) {
					way = ways[i]
				}
				b.WriteString(way(r))
			}
			if got := m.Mask("before " + b.String() + " behind"); got != "before "+Mask+" behind" {
				t.Fatalf("%q written as %q is shown as %q", secret, b.String(), got)
			}
		}
	}
}

// What is almost a secret stays as it is.
func TestWhatIsNoSecretIsNotMasked(t *testing.T) {
	var m Masker
	m.Add("pass\\word 12")
	m.Add(strings.Repeat(`\`, 5000))
	for _, s := range []string{`pass\\word 13`, `pass\`, `\u0070ass`, `%70ass\word 1`, `&#112;&`, `\\\\\x`, `%`, `\`, `&`, "C:\\pass\\words 12"} {
		if got := m.Mask(s); got != s {
			t.Errorf("%q is shown as %q", s, got)
		}
	}
}

// The attack: a secret and a text that can be read in very many ways. It takes no time, and shows nothing.
func TestATextThatIsSlowToReadIsMaskedWhole(t *testing.T) {
	var m Masker
	m.Add(strings.Repeat(`\`, 5000))
	if got := m.Mask(strings.Repeat(strings.Repeat(`\`, 4999)+"x", 20)); got != Mask {
		t.Errorf("it shows %.100q", got)
	}
}

// BenchmarkMaskOfANewClipboard is what each step pays that has a secret: its masker is new, and its text is quoted.
func BenchmarkMaskOfANewClipboard(b *testing.B) {
	text := strings.Repeat(`{"msg": "it says \"hello\", and goes on\n"} `, 50)
	for b.Loop() {
		var m Masker
		m.Add("correct horse battery staple")
		_ = m.Mask(text)
	}
}
