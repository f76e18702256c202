package bot_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
)

// An attacker begins a thread for each line, and is another person in each: he has no more answers than in one place.
func TestThreadsAreOneRoomForStrangers(t *testing.T) {
	s := &answers{said: make(chan []string, 100), up: make(chan struct{})}
	b, closeDB := partsFor(t, bot.StrangersConfig{Each: many, All: access.LimitConfig{Burst: 2, Interval: time.Hour}}, nil, nil, s)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.Run(ctx) })
	defer func() { cancel(); wg.Wait(); closeDB() }()
	<-s.up
	ask := func(nick, thread string) {
		s.in(bot.Message{Nick: nick, Account: nick, Place: "#ops/" + thread, Room: "#ops", Direct: nick, Text: "jarvis: whoami"})
	}
	for i := range 5 {
		ask(fmt.Sprintf("mallory%d", i), fmt.Sprintf("$%d", i))
	}
	for range 2 {
		<-s.said
	}
	s.in(bot.Message{Nick: "alice", Place: "#ops", Text: "jarvis: whoami"}) // behind all of them
	if got := <-s.said; len(got) == 0 || got[0][:6] != "alice:" {
		t.Errorf("said %q, want alice's answer", got)
	}
	select {
	case got := <-s.said:
		t.Errorf("said %q, too", got)
	default:
	}
}
