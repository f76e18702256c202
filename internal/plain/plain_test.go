package plain

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// cases are what was seen to reach terminals and chat, and what is like it.
var cases = []struct{ name, in, want string }{
	{"plain ASCII", "step 3/7: done", "step 3/7: done"},
	{"letters of all kinds stay", "Zürich 東京 Ωмר ✔ 🚀", "Zürich 東京 Ωмר ✔ 🚀"},
	{"a family, joined by U+200D, stays one", "👩\u200d👧", "👩\u200d👧"},
	{"nothing", "", ""},
	{"OSC 52 would fill the reader's clipboard", "a\x1b]52;c;cm0gLXJmIC8=\x07b", "ab"},
	{"OSC with ST", "a\x1b]0;title\x1b\\b", "ab"},
	{"OSC in its 8-bit form", "a\u009d52;c;eA==\u009cb", "ab"},
	{"OSC in bytes", "a\x9d52;c;eA==\x9cb", "ab"},
	{"OSC whose text has the byte of ST inside a letter", "a\x1b]0;ÜӜ title\x07b", "ab"},
	{"OSC that is not finished", "a\x1b]52;c;cm0g", "a"},
	{"OSC that another sequence ends", "a\x1b]52;c;\x1b[31mred", "ared"},
	{"CSI", "\x1b[1;31mred\x1b[0m \x1b[2J\x1b[Hend", "red end"},
	{"CSI U+009B", "\u009b31mred", "red"},
	{"CSI as a byte", "\x9b31mred", "red"},
	{"CSI that is not finished", "red\x1b[31", "red"},
	{"CSI broken by a letter that is none", "\x1b[3é", "é"},
	{"CSI with intermediates", "\x1b[0 qx", "x"},
	{"DCS", "a\x1bP+q544e\x1b\\b", "ab"},
	{"APC", "a\x1b_Gf=32;AAAA\x1b\\b", "ab"},
	{"PM, SOS, the title of screen", "a\x1b^x\x1b\\b\x1bXy\x1b\\c\x1bkz\x1b\\d", "abcd"},
	{"charset and reset", "a\x1b(0b\x1bcc", "abc"},
	{"ESC alone", "a\x1b", "a"},
	{"ESC before a letter beyond ASCII", "a\x1bé", "aé"},
	{"U+202E turns the line around", "safe\u202etxt.exe", "safetxt.exe"},
	{"isolates and marks", "\u2066a\u2069\u061c\u200e\u200fb", "ab"},
	{"no width", "ad\u200bmi\ufeffn\u2060", "admin"},
	{"a text in tags", "hi\U000E0041\U000E0042!", "hi!"},
	{"IRC bold, underline, reverse", "\x02a\x0f\x1fb\x16c\x1dd\x1e\x11e\x12f", "abcdef"},
	{"IRC colour", "\x0304,12red\x03 plain\x035x", "red plainx"},
	{"IRC colour takes two digits at most", "\x03041 host", "1 host"},
	{"a comma after a colour is the writer's", "\x034,red", ",red"},
	{"IRC hex colour", "\x04FF0000,00ff00red\x04", "red"},
	{"what is no hex colour stays", "\x04dead", "dead"},
	{"CR would write over what was said", "failed!\rall is well", "failed! all is well"},
	{"a progress bar", "10%\r20%\r30%\r", "10% 20% 30%"},
	{"the end of a line", "done\r\n", "done"},
	{"two lines", "one\ntwo", "one two"},
	{"tab, VT, FF, NEL, U+2028", "a\tb\vc\fd\u0085e\u2028f\u2029g", "a b c d e f g"},
	{"NUL, which PostgreSQL does not take", "a\x00b", "ab"},
	{"BEL, BS, DEL", "a\x07b\x08c\x7fd", "abcd"},
	{"Latin-1, which PostgreSQL does not take", "Gr\xfc\xdfe aus M\xfcnchen", "Grüße aus München"},
	{"the controls of Latin-1", "a\x85b\x93c", "a bc"},
	{"a letter of Windows-1252 that could be PM takes nothing with it", "Dvo\x9eak failed", "Dvoak failed"},
	{"half a character", "caf\xc3", "cafÃ"},
	{"no characters", "a\ufffe\U0001ffff\ufdd0b", "ab"},
	{"the replacement character is a character", "a\ufffdb", "a\ufffdb"},
}

func TestLine(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := Line(c.in); got != c.want {
				t.Errorf("Line(%q) = %q, want %q", c.in, got, c.want)
			}
			strict(t, Line(c.in))
		})
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"clean", "a\nb\n", "a\nb\n"},
		{"ends of lines of DOS", "a\r\nb\r\n", "a\nb\n"},
		{"CR within a line", "a\rb\nc", "a b\nc"},
		{"what is not finished ends with its line", "a\x1b]52;c;\nb", "a\nb"},
		{"empty lines stay", "\n\n\x07\n", "\n\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Text(c.in); got != c.want {
				t.Errorf("Text(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

// TestManyThatBeginCostNoMoreThanTheirLength: each was once read to the end, so a line of them took minutes.
func TestManyThatBeginCostNoMoreThanTheirLength(t *testing.T) {
	for _, s := range []string{"\x9d", "\x90x", "\u009d", "\x1b]", "\x1b[", "\x9b1;", "\x9d\x1b"} {
		in := strings.Repeat(s, 1<<20)
		began := time.Now()
		strict(t, Line(in))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%d times %q took %s", 1<<20, s, took)
		}
	}
}

// strict is a validator that knows the tables of Unicode, and nothing of how Line works.
func strict(t *testing.T, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("%q is no UTF-8", s)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Noncharacter_Code_Point) {
			t.Errorf("%q has %U", s, r)
		}
		if unicode.Is(unicode.Cf, r) && r != 0x200c && r != 0x200d && !unicode.In(r, unicode.Prepended_Concatenation_Mark) && r < 0x10000 {
			t.Errorf("%q has %U, which nobody sees", s, r)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, c := range cases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := Line(s)
		strict(t, once)
		if again := Line(once); again != once {
			t.Errorf("Line(%q) = %q, and once more %q", s, once, again)
		}
		if n := utf8.RuneCountInString(once); n > len(s) {
			t.Errorf("Line(%q) has %d runes, more than its %d bytes", s, n, len(s))
		}
		text := Text(s)
		for _, l := range strings.Split(text, "\n") {
			strict(t, l)
		}
		if again := Text(text); again != text {
			t.Errorf("Text(%q) = %q, and once more %q", s, text, again)
		}
	})
}

var sink string

func BenchmarkClean(b *testing.B) {
	const ascii = "update_host: loki.example.org has the addresses 203.0.113.7 and 2001:db8::7; nothing to do"
	for _, c := range []struct {
		name, s string
	}{{"ASCII", ascii}, {"UTF-8", "Zürich: " + ascii}, {"coloured", "\x1b[31m" + ascii + "\x1b[0m"}} {
		b.Run(c.name+"/Line", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink = Line(c.s)
			}
		})
		b.Run(c.name+"/ToValidUTF8", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink = strings.ToValidUTF8(c.s, "\uFFFD")
			}
		})
	}
}
