package matrix_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/lab/real"
)

// A direct room in which nothing happens is in no answer of /sync after a restart. What waits for it is said there all
// the same, and no second room is made.
func TestADirectRoomOutlivesARestart(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := person(t, s, "alice")
	opsRoom(t, alice)
	h := newHeard()
	f := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	direct := must(alice.MakeRoom(t.Context(), "", true, me))(t)
	hear(t, alice, `^\* `+direct+` `+me+` joined$`)
	must(alice.Say(t.Context(), direct, "deploy x"))(t)
	h.wait(t, "deploy x")
	if err := deliver(t, f, direct, "before"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, me+": before")
	f.stop()
	f = link(t, cfg, h.in)
	until(t, "a link", f.Up)
	n := b.requests("createRoom")
	if err := deliver(t, f, direct, "loki is ready"); err != nil {
		t.Errorf("to the room: %v", err)
	}
	hear(t, alice, me+": loki is ready")
	if err := deliver(t, f, alices, "thor is ready"); err != nil || b.requests("createRoom") != n {
		t.Errorf("to alice: %v; %d rooms are made", err, b.requests("createRoom")-n)
	}
	hear(t, alice, me+": thor is ready")
}

// What the server cannot do for one place, as for somebody whose own homeserver is away, is refused, and costs no link.
func TestOnePlaceIsNotTheLink(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := person(t, s, "alice")
	opsRoom(t, alice)
	f := link(t, cfg, nil)
	until(t, "a link", f.Up)
	b.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !strings.HasSuffix(r.URL.Path, "/createRoom") {
			return false
		}
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte(`{"errcode":"M_UNKNOWN","error":"Failed to send invite"}`))
		return true
	})
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := f.Deliver(ctx, bot.Notice{Place: "@bob:dead.example", Line: "x"}); !errors.Is(err, bot.ErrRefused) || !f.Up() {
			t.Errorf("deliver: %v; there is a link: %v", err, f.Up())
		}
		cancel()
	}
	if n := strings.Count(f.log.String(), "the matrix link is down"); n > 0 {
		t.Errorf("the link broke %d times", n)
	}
}
