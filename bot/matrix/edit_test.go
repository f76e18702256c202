package matrix_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/lab/real"
)

// TestALineIsChanged in place: a client that knows of replacements shows one line, and others a second one with a star.
func TestALineIsChanged(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	h := newHeard()
	f := link(t, config(t, s), h.in)
	until(t, "a link", f.Up)
	thread := must(alice.Say(t.Context(), room, "jarvis: deploy"))(t)
	h.wait(t, "jarvis: deploy")
	for _, place := range []string{ops, ops + " " + thread} {
		var at bot.Post
		if err := f.Deliver(t.Context(), bot.Notice{ID: -7, Place: place, Line: "web: 1 of 5 ready", Choices: bot.Choices{Shown: func(p bot.Post) { at = p }}}); err != nil {
			t.Fatal(err)
		}
		if err := f.Edit(t.Context(), at, "web: 5 of 5 ready, <b>"); err != nil {
			t.Fatal(err)
		}
		_, event, _ := strings.Cut(at.At, " ")
		hear(t, alice, regexp.QuoteMeta(room+" "+me+" (instead of "+event+", web: 5 of 5 ready, <b>): * web: 5 of 5 ready, <b>"))
	}
	for _, p := range []bot.Post{{At: "nonsense"}, {At: ops + " 1"}} {
		if err := f.Edit(context.Background(), p, "x"); !errors.Is(err, bot.ErrRefused) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
