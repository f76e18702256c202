package web

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
)

// knock is a connection that says where it is from.
type knock struct {
	net.Conn
	from   net.Addr
	closed bool
}

func (k *knock) RemoteAddr() net.Addr { return k.from }
func (k *knock) Close() error         { k.closed = true; return nil }

func newTestDoor(all, each int) *door {
	d := newDoor(nil, proxies{netip.MustParsePrefix("10.0.0.0/8")}.trusts)
	d.all, d.each = all, each
	return d
}

// come lets somebody in who came some time ago; nil when he is not let in.
func (d *door) come(from string, ago time.Duration) (*knock, *guest) {
	k := &knock{from: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 1))}
	g := d.admit(k)
	if g != nil {
		g.since = time.Now().Add(-ago)
	}
	return k, g
}

// The attack: open connections and say nothing, until nobody else gets one.
func TestWhoHoldsConnectionsForNothingLosesThem(t *testing.T) {
	d := newTestDoor(10, 4)
	var held []*knock
	for range 4 {
		k, _ := d.come("192.0.2.1", time.Minute)
		held = append(held, k)
	}
	if _, g := d.come("192.0.2.1", 0); g == nil || !held[0].closed || held[1].closed {
		t.Error("the fifth of an address does not take the place of its first")
	}
	for i := range 6 {
		d.come(fmt.Sprintf("192.0.2.%d", 10+i), time.Minute)
	}
	if _, g := d.come("198.51.100.1", 0); g == nil || !held[1].closed {
		t.Error("the eleventh in all does not take one of the fullest address")
	}
	if len(d.open) != 10 {
		t.Errorf("%d are open", len(d.open))
	}
}

func TestWhoIsServedIsNeverClosed(t *testing.T) {
	d := newTestDoor(2, 2)
	busy, g := d.come("192.0.2.1", time.Hour)
	done := g.serving()
	known, k := d.come("192.0.2.1", time.Hour)
	k.serving()()
	idle, _ := d.come("192.0.2.1", time.Minute)
	if _, g := d.come("192.0.2.2", time.Minute); g == nil || !idle.closed || busy.closed || known.closed {
		t.Error("first goes who never showed a token")
	}
	if _, g := d.come("192.0.2.1", 0); g == nil || busy.closed {
		t.Error("then who has nothing under way")
	}
	d = newTestDoor(2, 2)
	var served []*knock
	for range 3 { // open pages: they take no room
		c, g := d.come("192.0.2.1", time.Hour)
		defer g.serving()()
		served = append(served, c)
	}
	for range 3 {
		if _, g := d.come("192.0.2.2", time.Minute); g == nil {
			t.Error("who is served keeps others out")
		}
	}
	if len(d.open) != 2 {
		t.Errorf("%d who have shown nothing are in", len(d.open))
	}
	for _, c := range served {
		if c.closed {
			t.Error("somebody was let in for one who is served")
		}
	}
	done()
}

// Let in and thrown out before one can say a word is as good as not let in.
func TestWhoHasJustComeMayShowAToken(t *testing.T) {
	d := newTestDoor(4, 4)
	for range 4 {
		d.come("192.0.2.1", 0)
	}
	if _, g := d.come("192.0.2.1", 0); g != nil {
		t.Error("a crowd from one address pushes its own newcomers out")
	}
	if _, g := d.come("192.0.2.2", 0); g == nil {
		t.Error("and keeps others out")
	}
}

func TestTheDoorKnowsPlaces(t *testing.T) {
	d := newTestDoor(20, 2)
	for i := range 4 {
		if _, g := d.come(fmt.Sprintf("2001:db8::%d", i+1), time.Minute); g == nil {
			t.Fatal(i)
		}
	}
	if n := d.by["2001:db8::/64"]; n != 2 {
		t.Errorf("a /64 has %d connections", n)
	}
	for range 5 {
		d.come("10.1.1.1", time.Minute)
	}
	if n := d.by["10.1.1.1"]; n != 5 {
		t.Errorf("a proxy has %d connections", n)
	}
	for g := range d.open {
		_ = g.Close()
		_ = g.Close()
	}
	if len(d.open) != 0 || len(d.by) != 0 {
		t.Errorf("%d %v are left", len(d.open), d.by)
	}
}

func TestTheDoorEndsWithItsListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(l, proxies(nil).trusts)
	_ = l.Close()
	if _, err := d.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// The attack: guess tokens from one address, so often that the record grows without end, or from so many that memory
// does.
func TestFailuresAreSummedUp(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var rows []access.Record
	f := newFailures(func(r access.Record) { rows = append(rows, r) })
	f.now = func() time.Time { return now }
	waited := false
	guess := func(addr string, n int) {
		for range n {
			waited = f.note(netip.MustParseAddr(addr), access.Record{Who: "stranger " + addr, Outcome: "this token is not known here"}) > 0
		}
	}
	guess("192.0.2.1", 1000)
	if len(rows) != 1 || !waited {
		t.Errorf("a thousand guesses: waits %v, rows %v", waited, rows)
	}
	f.settle(false)
	now = now.Add(failureEvery)
	f.settle(false)
	if len(rows) != 2 || rows[1].Who != "stranger 192.0.2.1" || !strings.Contains(rows[1].Outcome, "not known here, 999 times more within 1m0s") {
		t.Errorf("after a minute: %v", rows)
	}
	now = now.Add(failureEvery)
	f.settle(false)
	if len(rows) != 2 || len(f.by) != 0 {
		t.Errorf("and nothing more: %v, %d kept", rows, len(f.by))
	}
	rows = nil
	a := netip.MustParseAddr("10.0.0.0")
	for range 3 * maxFailures {
		guess(a.String(), 1)
		a = a.Next()
	}
	if len(f.by) > maxFailures+1 || len(rows) > maxFailures+1 {
		t.Errorf("%d places are kept, %d rows were written", len(f.by), len(rows))
	}
	f.settle(true)
	if last := rows[len(rows)-1]; !strings.Contains(last.Outcome, "8191 times more") || !strings.Contains(last.Who, "strangers") {
		t.Errorf("the rest is not on record: %v", last)
	}
}

func TestSeatsAndMemoryAreGivenBack(t *testing.T) {
	s := newSeats(3, 2)
	a, _ := s.take("a")
	_, _ = s.take("a")
	if _, ok := s.take("a"); ok {
		t.Error("a has three of two")
	}
	_, _ = s.take("b")
	if _, ok := s.take("c"); ok {
		t.Error("there are four of three")
	}
	a()
	if _, ok := s.take("c"); !ok {
		t.Error("a seat is lost")
	}
	b := newBudget(3*partBytes, 2*partBytes)
	in, other := &intake{kept: b, who: "a"}, &intake{kept: b, who: "b"}
	if err := in.add(make([]byte, 2*partBytes)); err != nil {
		t.Error(err)
	}
	if err := in.add([]byte("x")); err == nil {
		t.Error("a keeps more than his share")
	}
	if err := other.add([]byte("x")); err != nil {
		t.Errorf("b gets nothing because of a: %v", err)
	}
	b.give("a", in.parts)
	b.give("b", other.parts)
	if b.n != 0 || len(b.by) != 0 {
		t.Errorf("%d %v are lost", b.n, b.by)
	}
}
