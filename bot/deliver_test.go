package bot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/bot"
	"github.com/jarvisops/jarvis/store"
)

// picky is a chat network that refuses lines for some places.
type picky struct {
	mu      sync.Mutex
	refuses map[string]bool
	breaks  map[string]bool // lines there end in an error that may be the whole network's
	said    []string
	tries   int
}

func (*picky) Name() string    { return "picky" }
func (*picky) Network() string { return "irc" }
func (*picky) Nick() string    { return "jarvis" }
func (*picky) Rooms() []string { return []string{"#ops", "#dev"} }
func (*picky) RoomOf(place string) string {
	room, _, _ := strings.Cut(place, "/")
	return room
}
func (*picky) Run(ctx context.Context, _ func(bot.Message)) error {
	<-ctx.Done()
	return nil
}
func (p *picky) Say(string, []string) {}
func (p *picky) Deliver(_ context.Context, n bot.Notice) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	if p.breaks[n.Place] {
		return errors.New("the server has an internal error")
	}
	if p.refuses[n.Place] {
		return fmt.Errorf("%w: %s: no such place", bot.ErrRefused, n.Place)
	}
	p.said = append(p.said, n.Place+" "+n.Line)
	return nil
}

func (p *picky) count(prefix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.said {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// notify plays one night of a bot that has n notices for #old, and one each for #ops and #dev after them.
func notify(t *testing.T, n int, nick string, f func(t *testing.T, p *picky, db *store.DB)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		p := &picky{refuses: map[string]bool{"#old": true}}
		b, closeDB := parts(t, nil, nil, p)
		defer closeDB()
		add := func(id int, place, nick string) {
			err := b.DB.Write(ctx, func(tx store.Tx) error {
				_, err := tx.Exec(ctx, "INSERT INTO notices (event, run, frontend, place, nick, line, sent, direct, person, at) VALUES (?, 1, 'picky', ?, ?, ?, 0, ?, '', ?)",
					id, place, nick, fmt.Sprintf("notice %d", id), nick, time.Now().UnixMilli())
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range n {
			add(i+1, "#old", nick)
		}
		add(n+1, "#ops", "")
		add(n+2, "#dev", "")
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		f(t, p, b.DB)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The accident: fifty notices for a channel that takes none stood before all others, and the network fell silent. Now
// they are not even tried often.
func TestAPlaceThatRefusesStopsNoOther(t *testing.T) {
	notify(t, 60, "", func(t *testing.T, p *picky, _ *store.DB) {
		time.Sleep(10 * time.Second)
		if p.count("#ops") != 1 || p.count("#dev") != 1 {
			t.Errorf("ten seconds later #ops has %d lines, #dev %d, want 1 and 1", p.count("#ops"), p.count("#dev"))
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.tries > 10 {
			t.Errorf("%d tries in ten seconds", p.tries)
		}
	})
}

// An error that looks as if it were of the whole network, and is of one place alone, holds up that place and no other.
func TestAPlaceThatBreaksStopsNoOther(t *testing.T) {
	notify(t, 3, "", func(t *testing.T, p *picky, _ *store.DB) {
		p.mu.Lock()
		p.refuses, p.breaks = nil, map[string]bool{"#old": true}
		p.mu.Unlock()
		time.Sleep(30 * time.Second)
		if p.count("#ops") != 1 || p.count("#dev") != 1 {
			t.Errorf("half a minute later #ops has %d lines, #dev %d, want 1 and 1", p.count("#ops"), p.count("#dev"))
		}
		p.mu.Lock()
		p.breaks = nil
		p.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if n := p.count("#old notice"); n != 3 {
			t.Errorf("#old has %d of 3 lines once it takes them", n)
		}
	})
}

// When the place takes lines again, it gets them all, in their order.
func TestAPlaceThatTakesLinesAgainGetsThemInOrder(t *testing.T) {
	notify(t, 60, "", func(t *testing.T, p *picky, _ *store.DB) {
		time.Sleep(20 * time.Second)
		p.mu.Lock()
		p.refuses["#old"] = false
		p.mu.Unlock()
		time.Sleep(40 * time.Second)
		p.mu.Lock()
		defer p.mu.Unlock()
		next := 1
		for _, l := range p.said {
			if strings.HasPrefix(l, "#old") {
				if want := fmt.Sprintf("#old notice %d", next); l != want {
					t.Fatalf("%q came, %q was due", l, want)
				}
				next++
			}
		}
		if next != 61 {
			t.Errorf("%d of 60 came", next-1)
		}
	})
}

// Askers are told in private what their channel does not take, each once.
func TestAskersAreToldInPrivateWhatThePlaceRefuses(t *testing.T) {
	notify(t, 60, "alice", func(t *testing.T, p *picky, _ *store.DB) {
		time.Sleep(2 * time.Minute)
		if n := p.count("alice notice"); n != 60 {
			t.Errorf("alice was told %d of 60", n)
		}
		if p.count("#ops") != 1 {
			t.Error("#ops waits for it")
		}
	})
}

// A channel that was renamed in the configuration: what was for everybody there is said in the first channel there is.
func TestNoticesOfARenamedChannelGoToTheFirst(t *testing.T) {
	notify(t, 60, "", func(t *testing.T, p *picky, _ *store.DB) {
		time.Sleep(5 * time.Minute)
		if n := p.count("#ops"); n != 61 {
			t.Errorf("#ops has %d lines, want its own and the 60 of #old", n)
		}
	})
}

// whose is a network that tells who has a nick now.
type whose struct {
	picky
	now string
}

func (w *whose) Holder(context.Context, string) (access.Identity, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return access.Identity{Network: "irc", Nick: w.now}, true
}

// The attack: somebody takes the nick of who waits for an answer, and would be told it in private.
func TestWhoTookANickIsToldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		w := &whose{now: "mallory"}
		b, closeDB := parts(t, nil, nil, w)
		defer closeDB()
		if err := b.DB.Write(ctx, func(tx store.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO notices (event, run, frontend, place, nick, line, sent, direct, person, at) VALUES (1, 1, 'picky', 'alice', 'alice', 'loki failed', 0, 'alice', 'alice', ?)", time.Now().UnixMilli())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(time.Minute)
		if n := w.count("alice"); n != 0 {
			t.Errorf("somebody else was told %d times", n)
		}
		w.mu.Lock()
		w.now = "alice"
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if n := w.count("alice loki failed"); n != 1 {
			t.Errorf("alice was told %d times", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
