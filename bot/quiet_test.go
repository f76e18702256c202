package bot_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/post"
)

// night runs a bot from midnight on, in time of its own.
func night(t *testing.T, routes bot.Routes, f func(t *testing.T, p *picky, b *bot.Bot)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		p := &picky{}
		b, closeDB := parts(t, nil, func(_ context.Context, u string) ([]byte, error) {
			return fmt.Appendf(nil, "instance:\n  hostname: %s\nsteps: [keys:create]\n", u[strings.LastIndexByte(u, '/')+1:]), nil
		}, p)
		defer closeDB()
		if err := b.SetRoutes(routes, post.MailConfig{}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		go func() { done <- b.Run(ctx) }()
		go func() { done <- b.Engine.Run(ctx) }()
		f(t, p, b)
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAThreadHasTheQuietHoursOfItsRoom(t *testing.T) {
	night(t, bot.Routes{{To: "#ops", Quiet: "22:00–07:00"}}, func(t *testing.T, p *picky, b *bot.Bot) {
		time.Sleep(time.Second)
		_, err := b.Table.Do(t.Context(), command.Call{Words: []string{"deploy", "https://gist.github.com/w/loki"}, Person: access.Person{Name: "alice", Roles: []string{access.Admin}}, Free: true,
			Origin: "picky\x1f#ops/171.1\x1falice\x1falice"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if p.count("#ops/171.1") > 0 {
			t.Error("told at night in a thread of a quiet channel")
		}
		time.Sleep(8 * time.Hour)
		if n, m := p.count("#ops/171.1 While it was quiet: loki is ready"), p.count("#ops While it was quiet"); n != 1 || m != 0 {
			t.Errorf("in the morning it was told %d times in the thread, and %d times in its channel", n, m)
		}
	})
}
