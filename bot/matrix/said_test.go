package matrix

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/access"
)

func TestRead(t *testing.T) {
	for _, c := range readings {
		got, ok := read([]byte(c.raw))
		if got != c.want || ok != c.ok {
			t.Errorf("read(%s) = %+v, %v, want %+v, %v", c.raw, got, ok, c.want, c.ok)
		}
	}
}

var readings = []struct {
	raw  string
	want said
	ok   bool
}{
	{`{"msgtype":"m.text","body":"status"}`, said{text: "status"}, true},
	{`{"msgtype":"m.text","body":"status","format":"org.matrix.custom.html","formatted_body":"<b>destroy</b>"}`, said{text: "status"}, true},
	{`{"msgtype":"m.notice","body":"status"}`, said{}, false},
	{`{"msgtype":"m.text","body":" "}`, said{text: " "}, false},
	{`{"msgtype":"m.text","body":["status"]}`, said{}, false},
	{`{"msgtype":"m.text"`, said{}, false},
	{`[]`, said{}, false},
	{`{"msgtype":"m.text","body":"* b","m.new_content":{"msgtype":"m.text","body":"b"},"m.relates_to":{"rel_type":"m.replace","event_id":"$a"}}`, said{text: "b", corrected: true}, true},
	{`{"msgtype":"m.text","body":"* b","m.relates_to":{"rel_type":"m.replace","event_id":"$a"}}`, said{}, false},
	{`{"msgtype":"m.text","body":"* b","m.new_content":{"msgtype":"m.notice","body":"b"},"m.relates_to":{"rel_type":"m.replace","event_id":"$a"}}`, said{}, false},
	{`{"msgtype":"m.text","body":"status","m.new_content":{"msgtype":"m.text","body":"b"}}`, said{text: "b", corrected: true}, true},
	{`{"msgtype":"m.text","body":"b","m.relates_to":{"rel_type":"m.thread","event_id":"$a"}}`, said{text: "b", thread: "$a"}, true},
	{`{"msgtype":"m.text","body":"b","m.relates_to":{"rel_type":"m.thread","event_id":"$a b"}}`, said{text: "b"}, true},
	{`{"msgtype":"m.text","body":"b","m.relates_to":{"rel_type":"m.thread","event_id":"$a\u0000"}}`, said{text: "b"}, true},
	{`{"msgtype":"m.text","body":"b","m.relates_to":{"rel_type":"m.thread","event_id":"!room"}}`, said{text: "b"}, true},
	{`{"msgtype":"m.text","body":"> <@a:b> x\n> y\n\nz","m.relates_to":{"m.in_reply_to":{"event_id":"$a"}}}`, said{text: "z"}, true},
	{`{"msgtype":"m.text","body":"> <@a:b> x","m.relates_to":{"m.in_reply_to":{"event_id":"$a"}}}`, said{}, false},
	{`{"msgtype":"m.text","body":"> not a reply\nz"}`, said{text: "> not a reply\nz"}, true},
}

// FuzzRead: no content is obeyed that is no m.text, a quote is never a command, and a thread fits into a place.
func FuzzRead(f *testing.F) {
	for _, c := range readings {
		f.Add([]byte(c.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, ok := read(raw)
		if !ok {
			return
		}
		var c content
		if err := json.Unmarshal(raw, &c); err != nil || c.Type != "m.text" {
			t.Fatalf("read(%q) = %+v", raw, got)
		}
		if strings.TrimSpace(got.text) == "" || got.thread != "" && (got.thread[0] != '$' || threadOf("#a:b "+got.thread) != got.thread) {
			t.Fatalf("read(%q) = %+v", raw, got)
		}
		if c.Relates != nil && c.Relates.Reply != nil && strings.HasPrefix(got.text, "> ") {
			t.Fatalf("read(%q) begins with a quote: %q", raw, got.text)
		}
	})
}

func TestOurOwnNameIsNoWord(t *testing.T) {
	f, err := New(Config{Homeserver: "https://matrix.example.org", User: "@jarvis:example.org", Password: "secret-enough"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"@jarvis:example.org status":        "jarvis: status",
		"@jarvis:example.org: status":       "jarvis: status",
		" jarvis:example.org, status\nmore": "jarvis: status\nmore",
		"@jarvis:example.org":               "jarvis: ",
		"@jarvis:example.organ status":      "@jarvis:example.organ status",
		"@jarvis:example.com status":        "@jarvis:example.com status",
		"jarvis: status":                    "jarvis: status",
		"ask @jarvis:example.org":           "ask @jarvis:example.org",
	} {
		if got := f.named(text); got != want {
			t.Errorf("named(%q) = %q, want %q", text, got, want)
		}
	}
	f.shown.Store("The Ops Bot")
	for text, want := range map[string]string{"The Ops Bot: status": "jarvis: status", "The Ops Bot, status": "jarvis: status", "The Ops Bot is slow": "The Ops Bot is slow", "The Ops Bot": "The Ops Bot"} {
		if got := f.named(text); got != want {
			t.Errorf("named(%q) = %q, want %q", text, got, want)
		}
	}
	for sender, want := range map[string]string{"@alice:example.org": "alice", "@alice:evil.org": "@alice:evil.org", "@alice:example.org:8448": "@alice:example.org:8448"} {
		if got := f.nick(sender); got != want {
			t.Errorf("nick(%q) = %q, want %q", sender, got, want)
		}
	}
}

// Somebody who looks like alice is a stranger.
func TestAnAccountIsItsWholeId(t *testing.T) {
	alice := Account("@alice:example.org")
	for _, other := range []string{"@Alice:example.org", "@alice:EXAMPLE.org", "@аlice:example.org", "@alice:example.org.", "@alice:example.org:8448", "@alice:evil.org", "alice", "", "@alice:example.org "} {
		if alice.Is(access.Identity{Network: "matrix", Account: other, Nick: "alice"}) {
			t.Errorf("%q is taken for alice", other)
		}
		if other != "@Alice:example.org" && Account(other).Folded() == alice.Folded() {
			t.Errorf("%q is the same account as alice's", other)
		}
	}
	if !alice.Is(access.Identity{Network: "matrix", Account: "@alice:example.org", Nick: "somebody"}) || Account("").Is(access.Identity{}) {
		t.Error("alice is not alice, or nobody is somebody")
	}
	for a, ok := range map[Account]bool{"": true, "@alice:example.org": true, "@alice:[::1]:8448": true, "@a/b=c.d:example.org:8448": true, "@alice": false, "alice:example.org": false, "@alice:": false,
		"@:example.org": false, "@al ice:example.org": false, "@alice:example.org ": false, "@аlice:example.org": false, "@alice:example.org/x": false, Account("@" + strings.Repeat("a", 300) + ":b"): false} {
		if got := a.Wrong() == ""; got != ok {
			t.Errorf("Wrong(%q) = %q", string(a), a.Wrong())
		}
	}
}
