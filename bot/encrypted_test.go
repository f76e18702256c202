package bot_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jarvisops/jarvis/bot"
)

// Of an encrypted message only what stands for it is there (XEP-0380), and anybody can have written that: it is
// answered with one sentence, and done by nobody.
func TestEncryptedMessagesAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{name: "test"}
		b, closeDB := parts(t, nil, nil, s)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		s.in(bot.Message{Nick: "root", Place: "root", Private: true, Text: "destroy loki", Encrypted: true})
		s.in(bot.Message{Nick: "root", Place: "#ops", Text: "jarvis: destroy loki", Encrypted: true})
		s.in(bot.Message{Nick: "root", Place: "#ops", Text: "This message is encrypted.", Encrypted: true}) // to whom, nobody can tell
		time.Sleep(time.Second)
		synctest.Wait()
		const told = "I cannot read encrypted messages here; switch the encryption off for me, and say it again."
		got := s.take()
		slices.Sort(got) // a place does not wait for another
		if diff := cmp.Diff([]string{"(to root) " + told, "root: " + told}, got); diff != "" {
			t.Error(diff)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		closeDB()
	})
}
