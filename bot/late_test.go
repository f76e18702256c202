package bot_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
)

// What was said while we did not listen is not done, whoever said it, and that is said once for each place and
// connection.
func TestWhatWasSaidWhileWeWereAwayIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{name: "test"}
		b, closeDB := parts(t, nil, nil, s)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		said := func(past int64) string {
			for range 3 {
				s.in(bot.Message{Nick: "alice", Place: "#ops", Text: "jarvis: deploy http://x/y", Past: past})
				s.in(bot.Message{Nick: "alice", Place: "#ops", Text: "they talk about jarvis", Past: past})
				s.in(bot.Message{Nick: "alice", Place: "alice", Private: true, Text: "deploy http://x/y", Past: past})
			}
			time.Sleep(time.Second)
			synctest.Wait()
			lines := s.take()
			if n := strings.Count(strings.Join(lines, "\n"), "I do nothing about it now"); n != len(lines) {
				t.Errorf("it said %q", lines)
			}
			return strings.Join(lines, "\n")
		}
		for past := int64(1); past < 3; past++ {
			if got := said(past); strings.Count(got, "(to alice) You wrote while I was away") != 1 || strings.Count(got, "\n") != 1 {
				t.Errorf("on connection %d it said %q", past, got)
			}
			if got := said(past); got != "" {
				t.Errorf("on connection %d it said again %q", past, got)
			}
		}
		rows, err := b.Access.AuditTail(ctx, access.AuditFilter{Limit: 100})
		if err != nil || len(rows) != 4 {
			t.Errorf("on record: %+v, %v", rows, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		closeDB()
	})
}
