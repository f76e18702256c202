package bot_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/store"
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

// insert has a notice wait, as an earlier time left it.
func insert(t *testing.T, b *bot.Bot, event int, route, place string, sent int, next int64, kind pipeline.EventKind, host string) {
	body, _ := json.Marshal(bot.Told{ID: fmt.Sprint("i.", event), Type: "event", Event: kind, Host: host, Line: host + " line"})
	err := b.DB.Write(context.Background(), func(tx store.Tx) error {
		_, err := tx.Exec(context.Background(), "INSERT INTO notices (event, route, run, frontend, place, nick, line, sent, direct, person, at, body, next, born) VALUES (?, ?, 1, 'picky', ?, '', ?, ?, '', '', ?, ?, ?, ?)",
			event, route, place, host+" line", sent, time.Now().UnixMilli(), string(body), next, time.Now().UnixMilli())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheQuietHoursOfOneRouteDoNotEndAnothers(t *testing.T) {
	night(t, bot.Routes{{To: "#dev", Events: []string{"news"}, Quiet: "22:00–00:10"}, {To: "#dev", Events: []string{"failures"}, Quiet: "22:00–00:20", Loud: []string{}}}, func(t *testing.T, p *picky, b *bot.Bot) {
		at := func(minute int) int64 {
			n := time.Now().UTC()
			return time.Date(n.Year(), n.Month(), n.Day(), 0, minute, 0, 0, time.UTC).UnixMilli()
		}
		insert(t, b, 1, "picky #dev", "#dev", -1, at(10), pipeline.EvReady, "loki")
		insert(t, b, 2, "picky #dev", "#dev", -1, at(20), pipeline.EvFailed, "thor")
		time.Sleep(12 * time.Minute)
		if p.count("#dev While it was quiet: thor") > 0 {
			t.Error("what was to wait until 00:20 was told before")
		}
		if p.count("#dev While it was quiet: loki line") != 1 {
			t.Error("what was to wait until 00:10 was not told then")
		}
		time.Sleep(12 * time.Minute)
		if p.count("#dev While it was quiet: thor line") != 1 {
			t.Error("what was to wait until 00:20 was not told then")
		}
	})
}

func TestASummaryThatComesBackBeginsToCount(t *testing.T) {
	with := bot.Routes{{To: "#ops", Events: []string{"failures"}, Summary: "08:00"}}
	night(t, with, func(t *testing.T, p *picky, b *bot.Bot) {
		time.Sleep(time.Minute)
		n := p.count("#ops Since")
		if err := b.SetRoutes(nil, post.MailConfig{}); err != nil {
			t.Fatal(err)
		}
		// ninety days pass without the route
		time.Sleep(time.Minute)
		if err := b.DB.Write(context.Background(), func(tx store.Tx) error {
			_, err := tx.Exec(context.Background(), "UPDATE followers SET event = event - 7776000000 WHERE name LIKE 'summary %'")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := b.SetRoutes(with, post.MailConfig{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if p.count("#ops Since") > n {
			t.Error("a route that is new again tells at once of three months")
		}
	})
}

func TestAThreadHasTheQuietHoursOfItsRoom(t *testing.T) {
	night(t, bot.Routes{{To: "#ops", Quiet: "22:00–00:20"}}, func(t *testing.T, p *picky, b *bot.Bot) {
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
		time.Sleep(25 * time.Minute)
		if n, m := p.count("#ops/171.1 While it was quiet: loki is ready"), p.count("#ops While it was quiet"); n != 1 || m != 0 {
			t.Errorf("in the end it was told %d times in the thread, and %d times in its channel", n, m)
		}
	})
}

// TestWhatMovesIsQuietThere: a channel that is not there any more gives its notices to another, which has hours of its
// own.
func TestWhatMovesIsQuietThere(t *testing.T) {
	night(t, bot.Routes{{To: "#ops", Quiet: "22:00–00:20"}}, func(t *testing.T, p *picky, b *bot.Bot) {
		p.mu.Lock()
		p.refuses = map[string]bool{"#gone": true}
		p.mu.Unlock()
		insert(t, b, 1, "", "#gone", 0, 0, pipeline.EvReady, "loki")
		insert(t, b, 2, "", "#gone", 0, 0, pipeline.EvFailed, "thor")
		insert(t, b, 3, "", "#gone", 0, 0, pipeline.EvReady, "both")
		insert(t, b, 3, "picky #ops", "#ops", -1, time.Now().Add(20*time.Minute).UnixMilli(), pipeline.EvReady, "both")
		time.Sleep(4 * time.Minute)
		if p.count("#ops loki") > 0 {
			t.Error("what moved into quiet hours was told at once")
		}
		if p.count("#ops thor line") != 1 {
			t.Error("a failure that moved was not told at once")
		}
		time.Sleep(20 * time.Minute)
		if n := p.count("#ops While it was quiet: 2 became ready (loki, both)"); n != 1 {
			t.Errorf("in the end it was told %d times: %q", n, p.said)
		}
		if p.count("#ops") != 2 { // what a route had told there already is not told again
			t.Errorf("told: %q", p.said)
		}
	})
}
