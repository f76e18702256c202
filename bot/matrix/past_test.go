package matrix_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/lab/real"
)

// An attacker edits an old message into a command, speaks as a bot, quotes one, or takes another's name: none of it is
// a command of hers.
func TestWhatLooksLikeACommandIsNone(t *testing.T) {
	s := server(t, real.DendriteOptions{}, "mallory", "a1ice")
	alice, mallory, lookalike := person(t, s, "alice"), person(t, s, "mallory"), person(t, s, "a1ice")
	room := opsRoom(t, alice)
	for _, c := range []*real.MatrixClient{mallory, lookalike} {
		must(c.Join(t.Context(), room))(t)
	}
	h := newHeard()
	f := link(t, config(t, s), h.in)
	until(t, "a link", f.Up)
	send := func(c *real.MatrixClient, kind string, content map[string]any) string {
		t.Helper()
		return must(c.Send(t.Context(), room, kind, content))(t)
	}
	first := must(alice.Say(t.Context(), room, "jarvis: first"))(t)
	edit := func(id, text string) map[string]any {
		return map[string]any{"msgtype": "m.text", "body": "* " + text, "m.new_content": map[string]any{"msgtype": "m.text", "body": text}, "m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": id}}
	}
	send(alice, "m.room.message", edit(first, "jarvis: edited"))
	send(mallory, "m.room.message", edit(first, "jarvis: edited by another"))
	send(alice, "m.room.message", map[string]any{"msgtype": "m.notice", "body": "jarvis: a notice"})
	send(alice, "m.room.message", map[string]any{"msgtype": "m.emote", "body": "jarvis: an emote"})
	send(alice, "m.room.message", map[string]any{"msgtype": "m.image", "body": "jarvis: a picture", "url": "mxc://x/y"})
	send(alice, "m.room.message", map[string]any{"msgtype": "m.text", "body": 7})
	send(alice, "m.reaction", map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": first, "key": "jarvis: a reaction"}})
	send(alice, "m.room.message", map[string]any{"msgtype": "m.text", "body": "> <@mallory:mx.lab.test> jarvis: destroy loki\n> jarvis: destroy thor\n\njarvis: replied", "m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": first}}})
	send(mallory, "m.room.message", map[string]any{"msgtype": "m.text", "body": "jarvis: as mallory", "sender": alices, "displayname": "alice"})
	send(lookalike, "m.room.message", map[string]any{"msgtype": "m.text", "body": "jarvis: as lookalike"})
	f.Say(ops, []string{"jarvis: our own"})
	hear(t, alice, "jarvis: our own")
	must(alice.Say(t.Context(), room, "jarvis: last"))(t)
	type got struct {
		text, account string
		corrected     bool
	}
	var list []got
	for _, m := range h.wait(t, "jarvis: last") {
		list = append(list, got{m.Text, m.Account, m.Corrected})
		if m.Past != 0 {
			t.Errorf("%q is taken for past", m.Text)
		}
	}
	want := []got{{"jarvis: first", alices, false}, {"jarvis: edited", alices, true}, {"jarvis: edited by another", mallory.ID, true}, {"jarvis: replied", alices, false},
		{"jarvis: as mallory", mallory.ID, false}, {"jarvis: as lookalike", lookalike.ID, false}, {"jarvis: last", alices, false}}
	if fmt.Sprint(list) != fmt.Sprint(want) {
		t.Errorf("heard %v, want %v", list, want)
	}
}

// What was said before we joined, or while we were away, is marked so, once; after a restart nothing is heard again.
// The first line of a direct chat, which somebody says before we follow his invitation, is said to us.
func TestWhatWasSaidWhileAwayIsNoCommand(t *testing.T) {
	s := server(t, real.DendriteOptions{}, "mallory")
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	must(alice.Say(t.Context(), room, "jarvis: before you came"))(t)
	cfg := config(t, s)
	h := newHeard()
	f := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	must(alice.Say(t.Context(), room, "jarvis: now"))(t)
	time.Sleep(2500 * time.Millisecond) // the server's clock is known to a second
	direct := must(alice.MakeRoom(t.Context(), "", true, me))(t)
	must(alice.Say(t.Context(), direct, "before you came here"))(t)
	hear(t, alice, `^\* `+direct+` `+me+` joined$`)
	must(alice.Say(t.Context(), direct, "now here"))(t)
	check := func(h *heard, last string, want ...string) {
		t.Helper()
		var got []string
		for _, m := range h.wait(t, last) {
			kind := "now"
			if m.Past != 0 {
				kind = "past"
			}
			got = append(got, kind+" "+m.Text)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	check(h, "now here", "past jarvis: before you came", "now jarvis: now", "now before you came here", "now now here")
	f.stop()

	must(alice.Say(t.Context(), room, "jarvis: while away"))(t)
	must(alice.Say(t.Context(), direct, "while away here"))(t)
	mallory := person(t, s, "mallory")
	must(mallory.Say(t.Context(), must(mallory.MakeRoom(t.Context(), "", true, me))(t), "a direct chat while away"))(t)
	h = newHeard()
	f = link(t, cfg, h.in)
	until(t, "a link", f.Up)
	must(alice.Say(t.Context(), direct, "now again"))(t)
	h.wait(t, "a direct chat while away")
	h.wait(t, "now again")
	got := h.all()
	if len(got) != 4 {
		t.Errorf("heard %+v, want three of the past, once, and one of now", got)
	}
	for _, m := range got {
		if now := m.Text == "now again"; now != (m.Past == 0) || !m.Private && m.Place != ops {
			t.Errorf("heard %+v", m)
		}
	}
}

// A server that tells the same again, as after a cut, is obeyed once.
func TestAnEventThatComesAgainIsHeardOnce(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	h := newHeard()
	f := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	var again atomic.Pointer[httptest.ResponseRecorder]
	var replays atomic.Int32
	b.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if !isSync(r) {
			return false
		}
		if old := again.Load(); old != nil && replays.Add(1) <= 2 {
			_, _ = w.Write(old.Body.Bytes())
			return true
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		if rec.Body.Len() > 0 && replays.Load() == 0 {
			again.Store(rec)
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
		return true
	})
	must(alice.Say(t.Context(), room, "jarvis: wake"))(t) // ends the poll that began before
	h.wait(t, "jarvis: wake")
	must(alice.Say(t.Context(), room, "jarvis: once"))(t)
	h.wait(t, "jarvis: once")
	until(t, "two replays", func() bool { return replays.Load() > 2 })
	must(alice.Say(t.Context(), room, "jarvis: last"))(t)
	h.wait(t, "jarvis: last")
	if n := len(h.all()); n != 3 {
		t.Errorf("heard %d messages, want 3: %+v", n, h.all())
	}
}

// What comes late by the server's own clock was meant for another moment.
func TestAnOldEventIsOfThePast(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	h := newHeard()
	f := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	must(alice.Say(t.Context(), room, "jarvis: now"))(t)
	if m := h.wait(t, "jarvis: now"); m[0].Past != 0 {
		t.Errorf("heard %+v", m)
	}
	b.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		w.Header().Set("Date", time.Now().Add(2*time.Hour).UTC().Format(http.TimeFormat))
		return false
	})
	if err := deliver(t, f, ops, "an answer with the later time"); err != nil {
		t.Fatal(err)
	}
	must(alice.Say(t.Context(), room, "jarvis: two hours ago"))(t)
	if m := h.wait(t, "jarvis: two hours ago"); m[1].Past == 0 {
		t.Errorf("heard %+v", m)
	}
}

// More is said at once than /sync tells: the rest is read, too, in its order.
func TestMoreAtOnceThanIsTold(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	h := newHeard()
	const many = 120
	enough := make(chan struct{})
	var blocked atomic.Bool
	f := link(t, config(t, s), func(m bot.Message) {
		h.in(m)
		if m.Text == "jarvis: wait" && blocked.CompareAndSwap(false, true) {
			<-enough
		}
	})
	until(t, "a link", f.Up)
	must(alice.Say(t.Context(), room, "jarvis: wait"))(t)
	h.wait(t, "jarvis: wait")
	for i := range many {
		must(alice.Say(t.Context(), room, fmt.Sprintf("line %d", i)))(t)
	}
	close(enough)
	got := h.wait(t, fmt.Sprintf("line %d", many-1))[1:]
	for i, m := range got {
		if m.Text != fmt.Sprintf("line %d", i) || m.Past != 0 {
			t.Fatalf("message %d is %+v", i, m)
		}
	}
	if len(got) != many {
		t.Errorf("heard %d lines, want %d", len(got), many)
	}
}

// A place that the server does not know any more is no reason to obey what it tells then.
func TestAPlaceThatIsLost(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	first := link(t, cfg, nil)
	until(t, "a link", first.Up)
	first.stop()
	must(alice.Say(t.Context(), room, "jarvis: while away"))(t)
	var lost atomic.Bool
	b.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !isSync(r) || r.URL.Query().Get("since") == "" {
			return false
		}
		if !lost.CompareAndSwap(false, true) {
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"errcode":"M_INVALID_PARAM","error":"no such token"}`))
		return true
	})
	h := newHeard()
	f := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	if got := h.wait(t, "jarvis: while away"); got[len(got)-1].Past == 0 {
		t.Errorf("heard %+v", got)
	}
	f.until(t, "does not know where we were")
	// And in the middle of a connection, which goes on.
	lost.Store(false)
	must(alice.Say(t.Context(), room, "jarvis: ends the poll"))(t)
	until(t, "it is lost again", func() bool { return strings.Count(f.log.String(), "does not know where we were") == 2 })
	must(alice.Say(t.Context(), room, "jarvis: the last"))(t)
	h.wait(t, "jarvis: the last")
	if n := strings.Count(f.log.String(), "the matrix link is up"); n != 1 || strings.Contains(f.log.String(), "panic") {
		t.Errorf("the link came up %d times", n)
	}
}
