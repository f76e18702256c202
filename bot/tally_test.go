package bot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
)

// board is a chat network on which lines can be changed.
type board struct {
	picky
	lines   []string
	edits   int
	tried   int  // to post or change the line of a cluster
	deleted bool // every line was deleted
}

func (b *board) Deliver(ctx context.Context, n bot.Notice) error {
	if n.ID < 0 {
		b.mu.Lock()
		b.tried++
		b.mu.Unlock()
	}
	if err := b.picky.Deliver(ctx, n); err != nil {
		return err
	}
	b.mu.Lock()
	b.lines = append(b.lines, n.Place+" "+n.Line)
	at := len(b.lines) - 1
	b.mu.Unlock()
	if n.Choices.Shown != nil {
		n.Choices.Shown(bot.Post{At: strconv.Itoa(at), Text: n.Line})
	}
	return nil
}

func (b *board) Edit(_ context.Context, p bot.Post, line string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tried++
	at, err := strconv.Atoi(p.At)
	if err != nil || b.deleted {
		return fmt.Errorf("%w: no such line", bot.ErrRefused)
	}
	b.edits++
	place, _, _ := strings.Cut(b.lines[at], " ")
	b.lines[at] = place + " " + line
	return nil
}

func (b *board) has(line string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.lines, line)
}

// farm deploys a cluster whose hosts take ten seconds each, one after the other, and runs a bot beside it, on which
// restart starts another one on the same record.
func farm(t *testing.T, hosts int, origin string, f func(t *testing.T, x *board, b *bot.Bot, restart func())) {
	synctest.Test(t, func(t *testing.T) {
		x := &board{}
		b, closeDB := parts(t, nil, func(context.Context, string) ([]byte, error) {
			var doc strings.Builder
			doc.WriteString("cluster: web\nsteps: [\"toy:slow\"]\ninstances:\n")
			for i := range hosts {
				fmt.Fprintf(&doc, "- {hostname: web%d, provider: ESX}\n", i+1)
			}
			return []byte(doc.String()), nil
		}, x)
		defer closeDB()
		b.Engine.Registry().Name("esx", "ESX")
		b.Engine.Registry().Add(pipeline.Step{Name: "toy:slow", Do: func(ctx context.Context, c *clipboard.Clipboard) error {
			n, _ := strconv.Atoi(strings.TrimPrefix(c.Get("hostname"), "web"))
			select {
			case <-time.After(time.Duration(n) * 10 * time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
			if n == 3 {
				return pipeline.Permanent(errors.New("there is no room"))
			}
			return nil
		}})
		ctx, cancel := context.WithCancel(context.Background())
		engine, stopped := make(chan error, 1), make(chan error, 1)
		go func() { engine <- b.Engine.Run(ctx) }()
		botCtx, stop := context.WithCancel(ctx)
		go func(b *bot.Bot) { stopped <- b.Run(botCtx) }(b)
		time.Sleep(time.Second)
		if _, err := b.Table.Do(t.Context(), command.Call{Words: []string{"deploy", "https://gist.github.com/w/web"}, Person: access.Person{Name: "alice", Roles: []string{access.Admin}}, Free: true, Origin: origin}); err != nil {
			t.Fatal(err)
		}
		f(t, x, b, func() {
			stop()
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			again, err := bot.New(ctx, b.Config)
			if err != nil {
				t.Fatal(err)
			}
			botCtx, stop = context.WithCancel(ctx)
			go func() { stopped <- again.Run(botCtx) }()
		})
		stop()
		cancel()
		for _, done := range []chan error{stopped, engine} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestALargeClusterHasALineThatChanges in the room where it was asked for, over a restart of the bot too, and no more
// lines for that.
func TestALargeClusterHasALineThatChanges(t *testing.T) {
	farm(t, 5, "picky\x1f#ops/171.1\x1falice\x1falice", func(t *testing.T, x *board, _ *bot.Bot, restart func()) {
		time.Sleep(17 * time.Second)
		if !x.has("#ops/171.1 web: 1 of 5 ready, 4 under way.") {
			t.Errorf("after 17 s: %q", x.lines)
		}
		time.Sleep(9 * time.Second)
		restart()
		time.Sleep(10 * time.Second)
		if !x.has("#ops/171.1 web: 2 of 5 ready, 2 under way, 1 failed (web3).") {
			t.Errorf("after 36 s: %q", x.lines)
		}
		time.Sleep(40 * time.Second)
		if !x.has("#ops/171.1 web: 4 of 5 ready, 1 failed (web3).") {
			t.Errorf("in the end: %q", x.lines)
		}
		if n := x.count("#ops/171.1 web:"); n != 1 {
			t.Errorf("%d lines were posted for it", n)
		}
	})
}

// TestALineThatSomebodyDeleted is not posted again, and one of a small cluster is not posted at all.
func TestALineThatSomebodyDeleted(t *testing.T) {
	farm(t, 5, "picky\x1f#ops\x1falice\x1falice", func(t *testing.T, x *board, _ *bot.Bot, restart func()) {
		time.Sleep(17 * time.Second)
		x.mu.Lock()
		x.deleted = true
		x.mu.Unlock()
		time.Sleep(time.Minute)
		if n := x.count("#ops web:"); n != 1 || x.edits != 0 || x.tried != 2 {
			t.Errorf("%d lines were posted for it, and changed %d times: %q", n, x.edits, x.lines)
		}
	})
	farm(t, 5, "picky\x1f#ops\x1falice\x1falice", func(t *testing.T, x *board, _ *bot.Bot, restart func()) {
		x.mu.Lock()
		x.refuses = map[string]bool{"#ops": true}
		x.mu.Unlock()
		time.Sleep(time.Minute)
		if x.tried != 1 {
			t.Errorf("a room that takes none was tried %d times", x.tried)
		}
	})
	farm(t, 3, "picky\x1f#ops\x1falice\x1falice", func(t *testing.T, x *board, _ *bot.Bot, restart func()) {
		time.Sleep(time.Minute)
		if n := x.count("#ops web:"); n != 0 {
			t.Errorf("%d lines were posted for it: %q", n, x.lines)
		}
	})
}
