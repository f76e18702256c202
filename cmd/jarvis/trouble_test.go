package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/bot/matrix"
	"github.com/jarvisops/jarvis/bot/slack"
	"github.com/jarvisops/jarvis/bot/xmpp"
	"github.com/jarvisops/jarvis/lab"
	"github.com/jarvisops/jarvis/lab/real"
)

// wire is a network between the bot and a chat server that can be cut, slowed and frozen.
type wire struct{ *toxiproxy.Proxy }

func newWire(t *testing.T, upstream string) *wire {
	t.Helper()
	log := zerolog.Nop()
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log), "chat", "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return &wire{p}
}

// with has a toxic in both directions for a while.
func (w *wire) with(t *testing.T, d time.Duration, kind string, attributes string) {
	t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		body := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": {%s}}`, stream, kind, stream, attributes)
		if _, err := w.Toxics.AddToxicJson(strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(d)
	for _, stream := range []string{"upstream", "downstream"} {
		if err := w.Toxics.RemoveToxic(context.Background(), stream); err != nil {
			t.Fatal(err)
		}
	}
}

// seen is a person who reads along beside the trouble.
type seen interface {
	Wait(pattern string, limit time.Duration) (string, error)
	Lines() []string
}

// slackReader reads along on Slack.
type slackReader struct{ s *lab.Slack }

func (r slackReader) Wait(pattern string, limit time.Duration) (string, error) {
	p, _, err := r.s.Wait(pattern, 0, limit)
	return p.Text, err
}

func (r slackReader) Lines() (out []string) {
	for _, p := range r.s.Posts() {
		out = append(out, p.Text)
	}
	return out
}

// TestTheBotComesBackByItself: links that are reset, slow and half open. Every notice arrives; a person who saw one
// does not see the same again.
func TestTheBotComesBackByItself(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) (bot.Frontend, *wire, string, seen){
		"irc": func(t *testing.T) (bot.Frontend, *wire, string, seen) {
			s := must[*real.IRCd](t)(real.StartIRCd())
			t.Cleanup(s.Stop)
			w := newWire(t, s.Addr)
			f := must[*irc.Frontend](t)(irc.New(irc.Config{Server: w.Listen, Channels: []string{"#ops"}, Rate: irc.Rate{Burst: 50, Interval: 10 * time.Millisecond}}, slog.New(slog.DiscardHandler)))
			c := must[*real.IRCClient](t)(real.DialIRC(t.Context(), s.Addr, "alice", "#ops"))
			t.Cleanup(c.Close)
			return f, w, "#ops", c
		},
		"xmpp": func(t *testing.T) (bot.Frontend, *wire, string, seen) {
			const room = "ops@" + real.XMPPRooms
			s := must[*real.Prosody](t)(real.StartProsody("jarvis", "alice"))
			t.Cleanup(s.Stop)
			w := newWire(t, s.Addr)
			c := must[*real.XMPPClient](t)(real.DialXMPP(t.Context(), s, "alice", room))
			t.Cleanup(c.Close)
			f := must[*xmpp.Frontend](t)(xmpp.New(xmpp.Config{Server: w.Listen, CA: s.CA, JID: "jarvis@" + real.XMPPDomain, Password: "pw-jarvis", Rooms: []string{room}, Rate: xmpp.Rate{Burst: 50, Interval: 10 * time.Millisecond}}, slog.New(slog.DiscardHandler)))
			return f, w, room, c
		},
		"matrix": func(t *testing.T) (bot.Frontend, *wire, string, seen) {
			s := must[*real.Dendrite](t)(real.StartDendrite(real.DendriteOptions{}, "jarvis", "alice"))
			t.Cleanup(s.Stop)
			w := newWire(t, strings.TrimPrefix(s.URL, "https://"))
			c := must[*real.MatrixClient](t)(real.DialMatrix(t.Context(), s, "alice"))
			t.Cleanup(c.Close)
			room := must[string](t)(c.MakeRoom(t.Context(), "ops", false))
			f := must[*matrix.Frontend](t)(matrix.New(matrix.Config{Homeserver: "https://" + w.Listen, CA: s.CA, User: "@jarvis:" + real.MatrixServer, Password: "pw-jarvis-lab", Rooms: []string{room}, State: t.TempDir()}, slog.New(slog.DiscardHandler)))
			return f, w, room, c
		},
		"slack": func(t *testing.T) (bot.Frontend, *wire, string, seen) {
			s := lab.StartSlack(lab.SlackOptions{PostEvery: time.Millisecond, Burst: 1000})
			t.Cleanup(s.Close)
			at := must[*url.URL](t)(url.Parse(s.URL))
			w := newWire(t, at.Host)
			at.Host = w.Listen
			f := must[*slack.Frontend](t)(slack.New(slack.Config{AppToken: lab.SlackAppToken, BotToken: lab.SlackBotToken, Channels: []string{"#ops"}, URL: at.String(), Rate: slack.Rate{Burst: 50, Interval: 10 * time.Millisecond}}, "jarvis", slog.New(slog.DiscardHandler)))
			return f, w, "#ops", slackReader{s}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, w, place, person := start(t)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- f.Run(ctx, func(bot.Message) {}) }()
			t.Cleanup(func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
			// As the notices are told: one after the other, each until the server took it.
			said := make(chan int, 1)
			quiet := make(chan struct{})
			go func() {
				n := 0
				for ; ; n++ {
					select {
					case <-quiet:
						said <- n
						return
					case <-time.After(30 * time.Millisecond):
					}
					for f.Deliver(ctx, bot.Notice{ID: int64(n + 1), Place: place, Line: fmt.Sprintf("notice %d.", n)}) != nil && ctx.Err() == nil {
						time.Sleep(200 * time.Millisecond)
					}
				}
			}()
			if _, err := person.Wait(`notice 3\.`, 30*time.Second); err != nil {
				t.Fatal(err)
			}
			for i := range 8 {
				switch i % 4 {
				case 0:
					w.with(t, 100*time.Millisecond, "reset_peer", `"timeout": 0`)
				case 1:
					w.with(t, 2*time.Second, "latency", `"latency": 400, "jitter": 300`)
				case 2:
					w.with(t, 1500*time.Millisecond, "latency", `"latency": 300`)
					w.with(t, 50*time.Millisecond, "reset_peer", `"timeout": 150`)
				case 3:
					w.with(t, time.Second, "bandwidth", `"rate": 1`)
				}
				time.Sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
			}
			began := time.Now()
			w.with(t, 40*time.Second, "timeout", `"timeout": 0`) // half open: nothing passes, and nobody says so
			close(quiet)
			n := 0
			select {
			case n = <-said:
			case <-time.After(90 * time.Second):
				t.Fatal("the last notice was never taken")
			}
			t.Logf("%d notices; %s after the link froze the bot had said all", n, time.Since(began).Round(time.Second))
			if _, err := person.Wait(fmt.Sprintf(`notice %d\.`, n-1), 10*time.Second); err != nil { // the server took it a moment before people have it
				t.Error(err)
			}
			counts, repeated := make([]int, n), 0
			for _, l := range person.Lines() {
				var i int
				_, text, ok := strings.Cut(l, "notice ")
				if !ok {
					continue
				}
				if _, err := fmt.Sscanf(text, "%d.", &i); err != nil || i >= n {
					t.Errorf("what is %q?", l)
				} else if strings.Contains(text, "said again") {
					repeated++
				} else {
					counts[i]++
				}
			}
			for i, c := range counts {
				if c > 1 || c == 0 && repeated == 0 {
					t.Errorf("notice %d was seen %d times", i, c)
				}
			}
			t.Logf("%d were said again, and marked so", repeated)
			if name != "irc" && repeated > 0 {
				t.Error("a room's history tells what arrived")
			}
		})
	}
}
