package matrix_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/matrix"
	"github.com/jarvisops/jarvis/lab/real"
)

// In its room and in private, the bot hears who somebody is, and answers there.
func TestWhatIsSaidIsHeardAndAnswered(t *testing.T) {
	s := server(t, real.DendriteOptions{}, "mallory")
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	h := newHeard()
	if err := person(t, s, "jarvis").Rename(t.Context(), "The Ops Bot"); err != nil {
		t.Fatal(err)
	}
	f := link(t, config(t, s), h.in)
	until(t, "a link", f.Up)
	must(alice.Say(t.Context(), room, "The Ops Bot: status"))(t)
	h.wait(t, "jarvis: status")
	direct := must(alice.MakeRoom(t.Context(), "", true, me))(t)
	hear(t, alice, `^\* `+direct+` `+me+` joined$`)
	must(alice.Say(t.Context(), direct, "whoami"))(t)
	h.wait(t, "whoami")
	root := must(alice.Say(t.Context(), room, "something is slow"))(t)
	must(alice.Send(t.Context(), room, "m.room.message", map[string]any{"msgtype": "m.text", "body": me + " hosts",
		"m.relates_to": map[string]any{"rel_type": "m.thread", "event_id": root}}))(t)
	got := h.wait(t, "jarvis: hosts")
	want := []bot.Message{
		{Nick: "alice", Account: alices, Place: ops, Direct: alices, Text: "jarvis: status"},
		{Nick: "alice", Account: alices, Place: direct, Direct: direct, Private: true, Text: "whoami"},
		{Nick: "alice", Account: alices, Place: ops, Direct: alices, Text: "something is slow"},
		{Nick: "alice", Account: alices, Place: ops + " " + root, Room: ops, Direct: alices, Text: "jarvis: hosts"},
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("heard %+v, want %+v", got, want)
		}
	}
	f.Say(ops, []string{"alice: one <b>&amp;</b>", "two"})
	f.Say(got[3].Place, []string{"alice: in the thread"})
	for place, line := range map[string]string{ops: "loki is ready", direct: "in private \x01<&>", ops + " " + root: "thor is ready", alices: "by her name"} {
		if err := deliver(t, f, place, line); err != nil {
			t.Errorf("Deliver to %s = %v", place, err)
		}
	}
	for _, l := range []string{room + " " + me + ": alice: one <b>&amp;</b>", room + " " + me + ": two", room + " " + me + ": loki is ready", direct + " " + me + ": in private  ?<&>", direct + " " + me + ": by her name"} {
		hear(t, alice, "^"+l+"$")
	}
	for _, l := range []string{"alice: in the thread", "thor is ready"} {
		hear(t, alice, "^"+room+` `+me+` \(thread \`+root+`\): `+l+"$")
	}
	for _, place := range []string{"!nowhere:" + real.MatrixServer, "#nowhere:" + real.MatrixServer, "@nobody"} {
		refuses(t, f, place)
	}
	// Who has no room with the bot yet is invited into one.
	mallory := person(t, s, "mallory")
	if err := deliver(t, f, mallory.ID, "hello"); err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(hear(t, mallory, `^\* \S+ `+mallory.ID+` invited$`))
	must(mallory.Join(t.Context(), fields[1]))(t)
	if err := deliver(t, f, mallory.ID, "hello again"); err != nil {
		t.Fatal(err)
	}
	hear(t, mallory, "^"+fields[1]+" "+me+": hello again$")
}

// Long answers keep under what servers take, and arrive whole, in their order.
func TestALongAnswerArrivesWhole(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	f := link(t, config(t, s), nil)
	until(t, "a link", f.Up)
	var lines []string
	for i := range 600 {
		lines = append(lines, fmt.Sprintf("line %d äöü %s", i, strings.Repeat("x", 120)))
	}
	f.Say(ops, append(lines, "the end"))
	hear(t, alice, "the end")
	var got []string
	for _, l := range alice.Lines() {
		if rest, ok := strings.CutPrefix(l, room+" "+me+": "); ok {
			got = append(got, rest)
		}
	}
	if !slices.Equal(got, append(lines, "the end")) {
		t.Errorf("%d lines arrived, want %d", len(got), len(lines)+1)
	}
}

func TestNewNamesTheTrouble(t *testing.T) {
	good := matrix.Config{Homeserver: "https://matrix.example.org", User: "@jarvis:example.org", Password: "secret-enough"}
	for want, change := range map[string]func(*matrix.Config){
		`homeserver is "http://`:          func(c *matrix.Config) { c.Homeserver = "http://matrix.example.org" },
		`homeserver is ""`:                func(c *matrix.Config) { c.Homeserver = "" },
		`user is "jarvis"`:                func(c *matrix.Config) { c.User = "jarvis" },
		`"ops" is not a room`:             func(c *matrix.Config) { c.Rooms = []string{"ops"} },
		`"#a:b" stands there twice`:       func(c *matrix.Config) { c.Rooms = []string{"#a:b", "#a:b"} },
		"chat.matrix.password is empty":   func(c *matrix.Config) { c.Password = "" },
		"chat.matrix.ca cannot be read":   func(c *matrix.Config) { c.CA = "/nowhere" },
		`rooms: "#a b:c" is not a room`:   func(c *matrix.Config) { c.Rooms = []string{"#a b:c"} },
		`user is "@jarvis:example.org/x"`: func(c *matrix.Config) { c.User = "@jarvis:example.org/x" },
	} {
		cfg := good
		change(&cfg)
		if _, err := matrix.New(cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %v, want %q", cfg, err, want)
		}
	}
	if _, err := matrix.New(good, nil); err != nil {
		t.Error(err)
	}
}
