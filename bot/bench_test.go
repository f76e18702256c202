package bot_test

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/irc"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/store"
)

// prompt is a chat network that tells when an answer came.
type prompt struct {
	in  chan func(bot.Message)
	out chan string
}

func (*prompt) Name() string    { return "bench" }
func (*prompt) Network() string { return "irc" }
func (*prompt) Nick() string    { return "jarvis" }
func (p *prompt) Run(ctx context.Context, in func(bot.Message)) error {
	p.in <- in
	<-ctx.Done()
	return nil
}
func (p *prompt) Say(_ string, lines []string)              { p.out <- lines[0] }
func (p *prompt) Deliver(context.Context, bot.Notice) error { return nil }

// BenchmarkAnswer: time from a chat line to its answer while a thousand runs work through steps of 4 KiB clipboards.
func BenchmarkAnswer(b *testing.B) {
	runs, questions := 1000, 1000
	if testing.Short() { // CI runs each benchmark so that none can rot
		runs, questions = 50, 50
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as `jarvis serve` sets it
	db, err := store.Open(b.Context(), store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	key, err := clipboard.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	reg := pipeline.NewRegistry()
	// A step works for two seconds and writes: five hundred checkpoints a second.
	reg.Add(pipeline.Step{Name: "bench:work", Do: func(ctx context.Context, c *clipboard.Clipboard) error {
		pipeline.Progress(ctx, "working")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
		return c.Set("count", time.Now().Format(time.RFC3339Nano))
	}})
	e, err := pipeline.New(b.Context(), pipeline.Config{DB: db, Registry: reg, Key: key, Workers: runs})
	if err != nil {
		b.Fatal(err)
	}
	acc, err := access.New(b.Context(), []access.PersonConfig{{Name: "alice", Chat: []access.Account{irc.Account("nick:alice")}, Roles: []string{"deploy"}}}, db)
	if err != nil {
		b.Fatal(err)
	}
	p := &prompt{in: make(chan func(bot.Message), 1), out: make(chan string, 1)}
	bt, err := bot.New(b.Context(), bot.Config{Name: "jarvis", Engine: e, DB: db, Access: acc, Frontends: []bot.Frontend{p},
		Table: command.NewTable(&command.Env{Name: "jarvis", Engine: e, Access: acc, Limiter: access.NewLimiter(access.LimitConfig{Burst: 1 << 30, Interval: 1})})})
	if err != nil {
		b.Fatal(err)
	}
	pad := ""
	for i := 0; len(pad) < 4000; i++ {
		pad += fmt.Sprintf("  key%d: some value that stands for what people write\n", i)
	}
	for i := range runs {
		c, err := clipboard.Parse(fmt.Appendf(nil, "instance:\n  hostname: h%d\n  provider: ESX\n%s", i, pad))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := e.Start(b.Context(), pipeline.Request{Clipboard: c, Kind: pipeline.Kind{Verb: "bench"}, Steps: slices.Repeat([]string{"bench:work"}, 100), By: "alice"}); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 2)
	go func() { done <- e.Run(ctx) }()
	go func() { done <- bt.Run(ctx) }()
	in := <-p.in
	time.Sleep(4 * time.Second) // all are under way
	var took []time.Duration
	for i := range questions {
		began := time.Now()
		in(bot.Message{Nick: "alice", Place: "#ops", Text: fmt.Sprintf("jarvis: status h%d", i%runs)})
		<-p.out
		took = append(took, time.Since(began))
		time.Sleep(2 * time.Millisecond)
	}
	slices.Sort(took)
	b.Logf("%d runs active: answer p50 %s, p99 %s, longest %s", runs, took[questions/2].Round(10*time.Microsecond), took[questions*99/100].Round(10*time.Microsecond), took[questions-1].Round(10*time.Microsecond))
	b.ReportMetric(float64(took[questions/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[questions*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}
