package matrix_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/bot/matrix"
	"github.com/jarvisops/jarvis/lab/real"
)

// A line whose answer was lost on the way is tried again, and is one event.
func TestALostAnswerIsOneEvent(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	f := link(t, cfg, nil)
	until(t, "a link", f.Up)
	var lost atomic.Int32
	b.set(func(_ http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if isSend(r) && lost.Add(1) == 1 {
			next.ServeHTTP(httptest.NewRecorder(), r)
			drop()
		}
		return false
	})
	say := func(id int64) error {
		ctx, cancel := context.WithTimeout(t.Context(), real.Patience(waiting))
		defer cancel()
		return f.Deliver(ctx, bot.Notice{ID: id, Place: ops, Line: "loki is ready"})
	}
	if err := say(1); err == nil {
		t.Fatal("the first answer was lost, and Deliver says nothing of it")
	}
	// Another notice of the same words is another event. A busy Dendrite may answer 500; the bot says it again, and so
	// do we.
	until(t, "it is said", func() bool { return say(2) == nil })
	if err := deliver(t, f, ops, "and the next"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "and the next")
	if n := alice.Count(room + " " + me + ": loki is ready"); n != 2 {
		t.Errorf("two notices of the same words are there %d times", n)
	}
	if err := say(1); err != nil {
		t.Fatal(err)
	}
	if err := deliver(t, f, ops, "and the last"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "and the last")
	if n := alice.Count(room + " " + me + ": loki is ready"); n != 2 {
		t.Errorf("the line is there %d times, want 2", n)
	}
	if n := lost.Load(); n != 5 {
		t.Errorf("%d lines went out, want 5", n)
	}
}

// A server that goes away in the middle is found again; what waits is said once.
func TestARestartedServerIsFoundAgain(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	h := newHeard()
	f := link(t, config(t, s), h.in)
	until(t, "a link", f.Up)
	must(alice.Say(t.Context(), room, "jarvis: before"))(t)
	h.wait(t, "jarvis: before") // the server has put away by then that we are in the room
	s.End()
	until(t, "the loss noticed", func() bool { return !f.Up() })
	said := make(chan error, 1)
	go func() { said <- deliver(t, f, ops, "loki is ready") }()
	f.Say(ops, []string{"alice: an answer"})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-said; err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "alice: an answer")
	hear(t, alice, me+": loki is ready")
	must(alice.Say(t.Context(), room, "jarvis: and now"))(t)
	if m := h.wait(t, "jarvis: and now"); m[len(m)-1].Past != 0 {
		t.Errorf("heard %+v", m)
	}
	if n := alice.Count(me + ": loki is ready"); n != 1 {
		t.Errorf("the notice is there %d times", n)
	}
}

// A server that asks us to talk slower gets what it wants, and loses nothing.
func TestTheLimitOfTheServerIsKept(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	f := link(t, cfg, nil)
	until(t, "a link", f.Up)
	var n atomic.Int32
	var early atomic.Bool
	var free atomic.Int64
	b.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !isSend(r) {
			return false
		}
		if time.Now().UnixMilli() < free.Load() {
			early.Store(true)
		}
		if n.Add(1)%3 != 0 {
			return false
		}
		free.Store(time.Now().Add(300 * time.Millisecond).UnixMilli())
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"errcode":"M_LIMIT_EXCEEDED","error":"slower","retry_after_ms":300}`))
		return true
	})
	for i := range 8 {
		f.Say(ops, []string{fmt.Sprintf("line %d", i)})
	}
	if err := deliver(t, f, ops, "the last"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, "the last")
	var got []string
	for _, l := range alice.Lines() {
		if rest, ok := strings.CutPrefix(l, room+" "+me+": "); ok {
			got = append(got, rest)
		}
	}
	if fmt.Sprint(got) != "[line 0 line 1 line 2 line 3 line 4 line 5 line 6 line 7 the last]" || early.Load() {
		t.Errorf("said %q, too early: %v", got, early.Load())
	}
}

// A homeserver with limits of its own lets the bot in, and hears it.
func TestALimitedHomeserver(t *testing.T) {
	s := server(t, real.DendriteOptions{Limited: true})
	alice := person(t, s, "alice")
	opsRoom(t, alice)
	f := link(t, config(t, s), nil)
	until(t, "a link", f.Up)
	until(t, "a line that is heard", func() bool { return deliver(t, f, ops, "here") == nil })
	hear(t, alice, me+": here")
}

// Kicked, it comes back; banned, it says so once, and comes back when it may.
func TestPutOutItComesBack(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	f := link(t, config(t, s), nil)
	until(t, "a link", f.Up)
	hear(t, alice, `^\* `+room+" "+me+" joined")
	do := func(verb string) {
		t.Helper()
		if err := alice.Do(t.Context(), room, verb, me); err != nil {
			t.Fatal(err)
		}
	}
	do("kick")
	f.until(t, "out of a room; coming back")
	until(t, "the way back", func() bool { return deliver(t, f, ops, "back") == nil })
	if !f.Inside(ops) || f.Inside("#nowhere:"+real.MatrixServer) {
		t.Error("it does not know where it is")
	}
	do("ban")
	f.until(t, "cannot join")
	if f.Inside(ops) {
		t.Error("it is banned, and calls itself inside")
	}
	refuses(t, f, ops)
	if n := strings.Count(f.log.String(), "cannot join"); n != 1 {
		t.Errorf("the log has %d complaints, want 1", n)
	}
	do("unban")
	until(t, "the way back", func() bool { return deliver(t, f, ops, "back again") == nil })
	f.until(t, "in the room after all")
	hear(t, alice, me+": back again")
	f.stop()
	if f.Inside(ops) {
		t.Error("without a link it calls itself inside")
	}
}

// What a sysadmin gets wrong is one sentence in the log, and no link, or a link without that room.
func TestWhatIsNotRightIsSaidOnce(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	closed := must(alice.MakeRoom(t.Context(), "", false))(t)
	for name, c := range map[string]struct {
		change func(*matrix.Config)
		want   string
		up     bool
	}{
		"another CA":          {func(c *matrix.Config) { c.CA = "" }, "certificate signed by unknown authority", false},
		"a wrong password":    {func(c *matrix.Config) { c.Password = "wrong-wrong" }, "M_FORBIDDEN", false},
		"nobody there":        {func(c *matrix.Config) { c.Homeserver = "https://127.0.0.1:1" }, "connection refused", false},
		"no such room":        {func(c *matrix.Config) { c.Rooms = []string{"#nowhere:" + real.MatrixServer} }, "M_NOT_FOUND", true},
		"a room that is shut": {func(c *matrix.Config) { c.Rooms = []string{closed} }, "M_FORBIDDEN", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, s)
			c.change(&cfg)
			f := link(t, cfg, nil)
			f.until(t, c.want)
			if c.up {
				until(t, "a link", f.Up)
			} else if f.Up() {
				t.Error("it has a link")
			}
			time.Sleep(5 * time.Second) // two more tries
			if n := strings.Count(f.log.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings, want 1:\n%s", n, f.log.String())
			}
		})
	}
}

// A server that sends us elsewhere does not get the password there.
func TestARedirectIsNotFollowed(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	var got atomic.Int32
	thief := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
	defer thief.Close()
	b.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	})
	f := link(t, cfg, nil)
	f.until(t, "the homeserver sends us elsewhere")
	if got.Load() != 0 {
		t.Error("it was followed")
	}
}

// Strangers can have a word in private, and cannot bring the bot into rooms of their own.
func TestInvitations(t *testing.T) {
	s := server(t, real.DendriteOptions{}, "mallory", "bob")
	mallory, bob := person(t, s, "mallory"), person(t, s, "bob")
	h := newHeard()
	cfg := config(t, s)
	cfg.Rooms = nil
	f := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	public := must(mallory.MakeRoom(t.Context(), "trap", false, me))(t)
	hear(t, mallory, `^\* `+public+" "+me+" left$")
	f.until(t, "declined an invitation")
	direct := must(mallory.MakeRoom(t.Context(), "", true, me))(t)
	hear(t, mallory, `^\* `+direct+" "+me+" joined$")
	must(mallory.Say(t.Context(), direct, "hello"))(t)
	if m := h.wait(t, "hello"); m[0].Account != mallory.ID || !m[0].Private {
		t.Errorf("heard %+v", m)
	}
	for range 2 {
		more := must(mallory.MakeRoom(t.Context(), "", true, me))(t)
		hear(t, mallory, `^\* `+more+" "+me+" joined$")
	}
	flood := must(mallory.MakeRoom(t.Context(), "", true, me))(t)
	hear(t, mallory, `^\* `+flood+" "+me+" left$")
	f.until(t, "we have 3 direct rooms already")
	if err := mallory.Do(t.Context(), direct, "invite", bob.ID); err != nil {
		t.Fatal(err)
	}
	hear(t, mallory, `^\* `+direct+" "+me+" left$")
	f.until(t, "left a room")
	refuses(t, f, direct)
	// An invitation into a configured room is followed: it is the only way into a closed one.
	f.stop()
	closed := must(bob.MakeRoom(t.Context(), "", false))(t)
	cfg.Rooms = []string{closed}
	f = link(t, cfg, h.in)
	f.until(t, "cannot join")
	if err := bob.Do(t.Context(), closed, "invite", me); err != nil {
		t.Fatal(err)
	}
	hear(t, bob, `^\* `+closed+" "+me+" joined$")
	if err := deliver(t, f, closed, "here"); err != nil {
		t.Error(err)
	}
	hear(t, bob, me+": here")
}

// Somebody who wants a word in private is not kept waiting by an alias of the configuration that nobody can look up
// now.
func TestADirectInvitationWaitsForNoAlias(t *testing.T) {
	s := server(t, real.DendriteOptions{}, "mallory")
	mallory := person(t, s, "mallory")
	b, cfg := proxy(t, s)
	b.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if strings.Contains(r.URL.Path, "/directory/room/") {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	})
	h := newHeard()
	link(t, cfg, h.in)
	until(t, "a look for the alias", func() bool { return b.requests(filepath.Base(ops)) > 0 })
	direct := must(mallory.MakeRoom(t.Context(), "", true, me))(t)
	hear(t, mallory, `^\* `+direct+" "+me+" joined$")
	must(mallory.Say(t.Context(), direct, "hello"))(t)
	if m := h.wait(t, "hello"); m[0].Account != mallory.ID || !m[0].Private {
		t.Errorf("heard %+v", m)
	}
}

// When another server had the voice meanwhile, an answer that was to be said before is none any more.
func TestAnAnswerOfAnEarlierVoice(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	f := link(t, config(t, s), nil)
	until(t, "a link", f.Up)
	f.stop()
	f.Say(ops, []string{"of then"})
	f = run(t, f.Frontend, f.log, nil)
	if err := deliver(t, f, ops, "of now"); err != nil {
		t.Fatal(err)
	}
	hear(t, alice, `^`+room+" "+me+": of now$")
	if alice.Count(": of then$") > 0 {
		t.Error("it was said")
	}
}

// A token that the server takes back is replaced by a login on the same device; nothing is heard again.
func TestATokenThatIsTakenBack(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	h := newHeard()
	f := link(t, config(t, s), h.in)
	until(t, "a link", f.Up)
	must(alice.Say(t.Context(), room, "jarvis: one"))(t)
	h.wait(t, "jarvis: one")
	jarvis := person(t, s, "jarvis")
	if err := jarvis.LogoutAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.until(t, "knows our token no more")
	until(t, "a new login", func() bool { return strings.Count(f.log.String(), "the matrix link is up") == 2 })
	must(alice.Say(t.Context(), room, "jarvis: two"))(t)
	if m := h.wait(t, "jarvis: two"); len(m) != 2 || m[1].Past != 0 {
		t.Errorf("heard %+v", m)
	}
}

// To try settings leaves nothing behind: no state, no device, no answer.
func TestSettingsBeside(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	alice := person(t, s, "alice")
	opsRoom(t, alice)
	b, cfg := proxy(t, s)
	side, ok := cfg.Beside("jarvis").(matrix.Config)
	if !ok {
		t.Fatal("Beside gives no Config")
	}
	f := link(t, side, nil)
	until(t, "a link", f.Up)
	f.stop()
	if n := b.requests("logout"); n != 1 {
		t.Errorf("%d logouts, want 1", n)
	}
	noFiles(t, cfg.State)
}

// A server that is too busy for a moment costs no link, and what is said in that moment is said and heard once.
func TestABusyServerCostsNoLink(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := person(t, s, "alice")
	room := opsRoom(t, alice)
	h := newHeard()
	f := link(t, cfg, h.in)
	until(t, "a link", f.Up)
	var sends, syncs atomic.Int32
	b.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		switch {
		case isSend(r) && sends.Add(1) <= 3:
			if sends.Load() == 3 { // it was taken, and yet
				next.ServeHTTP(httptest.NewRecorder(), r)
			}
			w.WriteHeader(http.StatusInternalServerError)
		case isSync(r) && syncs.Add(1) <= 3:
			w.WriteHeader(http.StatusBadGateway)
		default:
			return false
		}
		return true
	})
	must(alice.Say(t.Context(), room, "jarvis: ends the poll"))(t)
	f.Say(ops, []string{"an answer"})
	if err := deliver(t, f, ops, "a notice"); err != nil {
		t.Fatal(err)
	}
	must(alice.Say(t.Context(), room, "jarvis: meanwhile"))(t)
	for _, m := range h.wait(t, "jarvis: meanwhile") {
		if m.Past != 0 {
			t.Errorf("heard %+v", m)
		}
	}
	hear(t, alice, ": a notice")
	if n := alice.Count(room + " " + me + ": an answer"); n != 1 {
		t.Errorf("the answer is there %d times", n)
	}
	if strings.Contains(f.log.String(), "the matrix link is down") {
		t.Error("the link broke")
	}
}

// TestASlowRoomHoldsUpNoOther: each room has its own in order.
func TestASlowRoomHoldsUpNoOther(t *testing.T) {
	s := server(t, real.DendriteOptions{})
	b, cfg := proxy(t, s)
	alice := person(t, s, "alice")
	opsRoom(t, alice)
	dev := must(alice.MakeRoom(t.Context(), "dev", false))(t)
	cfg.Rooms = append(cfg.Rooms, dev)
	f := link(t, cfg, nil)
	until(t, "both rooms", func() bool { return f.Inside(ops) && f.Inside(dev) })
	goOn := make(chan struct{})
	b.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if isSend(r) && !strings.Contains(r.URL.Path, dev) {
			<-goOn
		}
		return false
	})
	f.Say(ops, []string{"first"})
	f.Say(ops, []string{"second"})
	for range 3 {
		if err := deliver(t, f, dev, "a notice"); err != nil {
			t.Fatal(err)
		}
	}
	close(goOn)
	hear(t, alice, ": second")
	lines := alice.Lines()
	first := slices.IndexFunc(lines, func(l string) bool { return strings.HasSuffix(l, ": first") })
	second := slices.IndexFunc(lines, func(l string) bool { return strings.HasSuffix(l, ": second") })
	if notice := slices.IndexFunc(lines, func(l string) bool { return strings.HasSuffix(l, ": a notice") }); notice > first || first > second {
		t.Errorf("heard %q", lines)
	}
}
