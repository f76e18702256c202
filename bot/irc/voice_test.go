package irc_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/lab/real"
)

// When another server had the voice meanwhile, an answer that was to be said before is none any more.
func TestAnAnswerOfAnEarlierVoice(t *testing.T) {
	s := server(t)
	alice := person(t, s, "alice", "#ops")
	f, err := irc.New(irc.Config{Server: s.Addr, Channels: []string{"#ops"}, Rate: irc.Rate{Burst: 100, Interval: 10 * time.Millisecond}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, f, nil)
	hear(t, alice, `jarvis!.* JOIN`)
	stop()
	f.Say("#ops", []string{"of then"})
	run(t, f, nil)
	ctx, cancel := context.WithTimeout(t.Context(), real.Patience(30*time.Second))
	defer cancel()
	for f.Deliver(ctx, bot.Notice{Place: "#ops", Line: "of now"}) != nil { // while the server still has the nick of before
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	hear(t, alice, `PRIVMSG #ops :of now`)
	if alice.Count(`:of then`) > 0 {
		t.Error("it was said")
	}
}
