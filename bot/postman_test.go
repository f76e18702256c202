package bot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/clipboard"
	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
	"github.com/jarvisops/jarvis/post"
	"github.com/jarvisops/jarvis/store"
)

// receiver is a webhook's: it answers as the test says, and keeps what it was sent.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(bot.Told) int // nil: 200
	asked  []bot.Told         // each try
	took   []bot.Told
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		var x bot.Told
		if err := json.Unmarshal(b, &x); err != nil || x.ID == "" || req.Header.Get(post.HeaderID) != x.ID {
			t.Errorf("it was sent %s with the id %q: %v", b, req.Header.Get(post.HeaderID), err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked = append(r.asked, x)
		if r.answer != nil {
			if status := r.answer(x); status != 200 {
				w.WriteHeader(status)
				return
			}
		}
		r.took = append(r.took, x)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answers(f func(bot.Told) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// hosts gives of whom it took a notice, in the order in which it did.
func (r *receiver) hosts() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.took {
		out = append(out, x.Host)
	}
	return out
}

// sender is a bot without chat, whose routes the test says.
type sender struct {
	t      *testing.T
	b      *bot.Bot
	e      *pipeline.Engine
	db     *store.DB
	table  *command.Table
	logged *safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newSender(t *testing.T, routes bot.Routes) *sender {
	t.Helper()
	s := &sender{t: t, logged: &safeBuffer{}}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if s.db, err = store.Open(ctx, store.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	key, err := clipboard.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	reg := pipeline.NewRegistry()
	reg.Add(pipeline.Step{Name: "keys:create", Do: func(context.Context, *clipboard.Clipboard) error { return nil }})
	if s.e, err = pipeline.New(ctx, pipeline.Config{DB: s.db, Registry: reg, Key: key}); err != nil {
		t.Fatal(err)
	}
	acc, err := access.New(ctx, []access.PersonConfig{{Name: "alice", Local: "alice", Roles: []string{access.Admin}}}, s.db)
	if err != nil {
		t.Fatal(err)
	}
	s.table = command.NewTable(&command.Env{Name: "jarvis", Version: "v1", Engine: s.e, Access: acc, Limiter: access.NewLimiter(many),
		Fetch: func(_ context.Context, u string) ([]byte, error) {
			return fmt.Appendf(nil, "instance:\n  hostname: %s\nsteps: [keys:create]\n", u[strings.LastIndexByte(u, '/')+1:]), nil
		}})
	if s.b, err = bot.New(ctx, bot.Config{Name: "jarvis", Table: s.table, Engine: s.e, DB: s.db, Access: acc, Routes: routes, Log: slog.New(slog.NewTextHandler(s.logged, nil))}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, f := range []func(context.Context) error{s.e.Run, s.b.Run} {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = s.db.Close()
	})
	return s
}

func (s *sender) deploy(hosts ...string) {
	s.t.Helper()
	for _, h := range hosts {
		_, err := s.table.Do(s.t.Context(), command.Call{Words: []string{"deploy", "https://gist.github.com/w/" + h}, Person: access.Person{Name: "alice", Roles: []string{access.Admin}}, Free: true})
		if err != nil {
			s.t.Fatal(err)
		}
		s.until("it is deployed", func() bool {
			r, err := s.e.Find(s.t.Context(), h)
			return err == nil && r.State == pipeline.Ready
		})
	}
}

func (s *sender) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("never: %s; the log says:\n%s", what, s.logged.String())
		}
	}
}

// TestAReceiverThatIsAway: it is told in order when it is back, with the ids of the first tries; nobody else waits for
// it; and a place that two routes name hears each once.
func TestAReceiverThatIsAway(t *testing.T) {
	away, there := newReceiver(t), newReceiver(t)
	away.answers(func(bot.Told) int { return 503 })
	s := newSender(t, bot.Routes{{To: away.URL}, {To: there.URL, Events: []string{"ready"}}, {To: there.URL, Events: []string{"news"}}})
	s.deploy("loki", "odin", "thor")
	s.until("the other is told", func() bool { return len(there.hosts()) == 3 })
	s.until("it was tried twice", func() bool { away.mu.Lock(); defer away.mu.Unlock(); return len(away.asked) >= 2 })
	if late := s.b.NoticesLate(); late <= 0 {
		t.Errorf("nothing is late: %v", late)
	}
	away.answers(nil)
	s.until("it is told", func() bool { return len(away.hosts()) == 3 })
	if got := strings.Join(away.hosts(), " "); got != "loki odin thor" {
		t.Errorf("it was told of %s", got)
	}
	away.mu.Lock()
	defer away.mu.Unlock()
	ids := map[string]bool{}
	for _, x := range away.asked {
		ids[x.ID] = true
		if x.Event != pipeline.EvReady || x.Type != "event" || !slices.Equal(x.Class, []string{"news"}) || x.By != "alice" || !strings.HasPrefix(x.Line, x.Host+" is ready") {
			t.Errorf("it was sent %+v", x)
		}
	}
	if len(ids) != 3 {
		t.Errorf("three notices have the ids %v", ids)
	}
	if n := len(there.hosts()); n != 3 {
		t.Errorf("a place of two routes was told %d times", n)
	}
}

// TestOneThatIsRefused does not keep those after it.
func TestOneThatIsRefused(t *testing.T) {
	r := newReceiver(t)
	r.answers(func(x bot.Told) int {
		if x.Host == "loki" {
			return 422
		}
		return 200
	})
	s := newSender(t, bot.Routes{{To: r.URL}})
	s.deploy("loki", "odin")
	s.until("the next is told", func() bool { return slices.Contains(r.hosts(), "odin") })
	r.answers(nil)
	s.until("it is tried again", func() bool { return slices.Contains(r.hosts(), "loki") })
}

// TestWhatNobodyTakesIsGivenUp after two days, and never what is younger; the log, and a number for doctor, tell of it.
func TestWhatNobodyTakesIsGivenUp(t *testing.T) {
	r := newReceiver(t)
	r.answers(func(bot.Told) int { return 500 })
	s := newSender(t, bot.Routes{{To: r.URL}})
	s.deploy("loki", "odin", "thor")
	s.until("all three wait", func() bool { return s.b.NoticesWaiting() == 3 })
	err := s.db.Write(t.Context(), func(tx store.Tx) error {
		_, err := tx.Exec(t.Context(), "UPDATE notices SET born = ? WHERE body LIKE '%loki%' OR body LIKE '%odin%'", time.Now().Add(-49*time.Hour).UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), "UPDATE notices SET born = ? WHERE body LIKE '%thor%'", time.Now().Add(-47*time.Hour).UnixMilli())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.until("two are given up", func() bool { return s.b.NoticesDropped() == 2 })
	s.until("the log says so", func() bool {
		log := s.logged.String()
		return strings.Contains(log, "level=ERROR") && strings.Contains(log, "notices=2") && strings.Contains(log, "the webhook answered 500")
	})
	r.answers(nil)
	s.until("the young one is told", func() bool { return len(r.hosts()) == 1 })
	if r.hosts()[0] != "thor" {
		t.Errorf("it was told of %v", r.hosts())
	}
}

// TestNoRoutesNoRows: without routes and without chat nothing is kept, and what was before a route is no news for it.
func TestNoRoutesNoRows(t *testing.T) {
	r := newReceiver(t)
	s := newSender(t, nil)
	s.deploy("loki")
	s.until("it is passed", func() bool {
		var heard int64
		err := s.db.QueryRow(t.Context(), "SELECT event FROM followers WHERE name = 'notices'").Scan(&heard)
		last, lerr := s.e.LastEvent(t.Context())
		evs, eerr := s.e.Events(t.Context(), pipeline.EventFilter{After: heard, Kinds: pipeline.Notices})
		return err == nil && lerr == nil && eerr == nil && last > 0 && len(evs) == 0
	})
	if err := s.b.SetRoutes(bot.Routes{{To: r.URL}}, post.MailConfig{}); err != nil {
		t.Fatal(err)
	}
	s.deploy("odin")
	s.until("it is told", func() bool { return len(r.hosts()) > 0 })
	if got := strings.Join(r.hosts(), " "); got != "odin" {
		t.Errorf("it was told of %s", got)
	}
	if err := s.b.SetRoutes(bot.Routes{{To: "ftp://x"}}, post.MailConfig{}); err == nil {
		t.Error("a mistake was taken over")
	}
}

// TestNobodyIsLateWhoIsInNoRoute: what waits for a receiver that was taken out of the routes is no reason for an alarm.
func TestNobodyIsLateWhoIsInNoRoute(t *testing.T) {
	r := newReceiver(t)
	r.answers(func(bot.Told) int { return 500 })
	s := newSender(t, bot.Routes{{To: r.URL}})
	s.deploy("loki")
	s.until("it failed once", func() bool { return s.b.NoticesLate() > 0 })
	if err := s.b.SetRoutes(nil, post.MailConfig{}); err != nil {
		t.Fatal(err)
	}
	if late := s.b.NoticesLate(); late != 0 {
		t.Errorf("it is late by %v seconds", late)
	}
}

// TestASlowReceiverHoldsUpNobody: one that takes its time for each notice is not waited for by the others.
func TestASlowReceiverHoldsUpNobody(t *testing.T) {
	slow, quick := newReceiver(t), newReceiver(t)
	goOn := make(chan struct{})
	defer close(goOn)
	slow.answers(func(bot.Told) int { <-goOn; return 200 })
	s := newSender(t, bot.Routes{{To: slow.URL}, {To: quick.URL}})
	for i, h := range []string{"loki", "odin", "thor"} {
		s.deploy(h)
		s.until("the other is told of "+h, func() bool { return len(quick.hosts()) == i+1 })
	}
	if strings.Contains(s.logged.String(), "a notice was not taken") {
		t.Error("the other was told when the slow one had been given up")
	}
}

// TestOtherRoutesAreTriedAtOnce: whoever mends the configuration does not wait for the next try.
func TestOtherRoutesAreTriedAtOnce(t *testing.T) {
	away := newReceiver(t)
	away.answers(func(bot.Told) int { return 503 })
	s := newSender(t, bot.Routes{{To: away.URL}})
	s.deploy("loki")
	s.until("the next try is an hour away", func() bool {
		if err := s.db.Write(t.Context(), func(tx store.Tx) error {
			_, err := tx.Exec(t.Context(), "UPDATE notices SET next = ? WHERE sent = 0 AND tries > 0", time.Now().Add(time.Hour).UnixMilli())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // for what was under way
		var n int
		if err := s.db.QueryRow(t.Context(), "SELECT count(*) FROM notices WHERE sent = 0 AND next > ?", time.Now().Add(time.Minute).UnixMilli()).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	away.answers(nil)
	if err := s.b.SetRoutes(bot.Routes{{To: away.URL, Secret: "sixteen-characters"}}, post.MailConfig{}); err != nil {
		t.Fatal(err)
	}
	s.until("it is told", func() bool { return len(away.hosts()) == 1 })
}

// TestWhatIsWithdrawnIsTold: whoever was told of it elsewhere would wait for it.
func TestWhatIsWithdrawnIsTold(t *testing.T) {
	r := newReceiver(t)
	s := newSender(t, bot.Routes{{To: r.URL}})
	for _, words := range [][]string{{"deploy", "https://gist.github.com/w/loki", "at", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}, {"cancel", "loki"}} {
		if _, err := s.table.Do(t.Context(), command.Call{Words: words, Person: access.Person{Name: "alice", Roles: []string{access.Admin}}, Free: true}); err != nil {
			t.Fatal(err)
		}
	}
	s.until("it is told", func() bool { return len(r.hosts()) == 1 })
	if r.took[0].Line != "loki: run 1 does not start: withdrawn by alice; nothing was done." {
		t.Errorf("it was told %q", r.took[0].Line)
	}
}
