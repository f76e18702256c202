package bot

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jarvisops/jarvis/command"
)

// FuzzSplit: no piece is too long or cuts a character, and nothing but spaces at the cuts is lost.
func FuzzSplit(f *testing.F) {
	f.Add("a long line with words", 10)
	f.Add(strings.Repeat("ü", 300), 380)
	f.Fuzz(func(t *testing.T, line string, n int) {
		if n < 4 || n > 1000 {
			return
		}
		var back strings.Builder
		for _, p := range Split(line, n) {
			if len(p) > n {
				t.Errorf("a piece has %d bytes, %d are allowed", len(p), n)
			}
			if !utf8.ValidString(p) {
				t.Errorf("%q is not UTF-8", p)
			}
			back.WriteString(p)
		}
		squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if squeeze(back.String()) != squeeze(strings.ToValidUTF8(line, "�")) {
			t.Errorf("Split lost something of %q: %q", line, back.String())
		}
	})
}

type named struct{ Frontend }

func (named) Nick() string { return "jarvis_" }

// FuzzChatLine: whatever is said, what is taken for a command was addressed to us and has no control characters.
func FuzzChatLine(f *testing.F) {
	for _, s := range []string{"jarvis: deploy x", "jarvis, x", "@jarvis x", "jarvis_: x", "JARVIS: x", "jarvisx: no", "\x02jarvis\x02: x", "@jarvisx", "jarvis:", "\x01VERSION\x01", "jarvis: a\r\nQUIT", "jarvis > `status <https://x>?`", "> jarvis: x\njarvis status", "```jarvis: “x”.```"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	b := &Bot{Config: Config{Name: "jarvis", Table: command.NewTable(&command.Env{Name: "jarvis"})}}
	f.Fuzz(func(t *testing.T, line string, private bool) {
		text, more, ok := b.addressed(named{}, Message{Nick: "alice", Text: line, Private: private})
		if !ok {
			return
		}
		if more && !strings.ContainsFunc(line, func(r rune) bool {
			return '\n' <= r && r <= '\r' || r == 0x85 || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
		}) {
			t.Errorf("%q is said to have more than one line", line)
		}
		if strings.ContainsAny(text, "\r\n\x00\x01\x02\x7f") {
			t.Errorf("control characters in %q", text)
		}
		if !private && !strings.Contains(strings.ToLower(line), "jarvis") && utf8.ValidString(line) && !strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q was taken as addressed", line)
		}
	})
}
