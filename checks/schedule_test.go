package checks

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
)

var noon = time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)

func namedPair(name string) *pair { return &pair{Plan: model.Plan{Key: model.Key{Task: name}}} }

// What is due comes in the order of its times, however often those change meanwhile, and each once.
func TestTheScheduleKeepsTheOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := newSchedule()
	var all []*pair
	for range 200 {
		p := namedPair("x")
		all = append(all, p)
		s.at(p, noon.Add(time.Duration(r.IntN(1000))*time.Second))
	}
	for range 500 {
		switch p := all[r.IntN(len(all))]; r.IntN(3) {
		case 0:
			s.remove(p)
		case 1:
			s.at(p, time.Time{}) // never
			if p.queued() {
				t.Fatal("one that is never due is queued")
			}
		default:
			s.at(p, noon.Add(time.Duration(r.IntN(1000))*time.Second))
		}
	}
	want := 0
	for _, p := range all {
		if p.queued() {
			want++
		}
	}
	last, n := time.Time{}, 0
	for p := s.next(noon.Add(time.Hour)); p != nil; p = s.next(noon.Add(time.Hour)) {
		if p.due().Before(last) || p.queued() {
			t.Errorf("%s came behind %s, queued: %t", p.due(), last, p.queued())
		}
		last = p.due()
		n++
	}
	if n != want {
		t.Errorf("%d came of %d", n, want)
	}
}

func TestTheScheduleWaitsForTheNext(t *testing.T) {
	s := newSchedule()
	if got := s.wait(noon, time.Second); got != time.Second {
		t.Errorf("an empty one waits %s", got)
	}
	a, b := namedPair("a"), namedPair("b")
	s.at(a, noon.Add(300*time.Millisecond))
	s.at(b, noon.Add(time.Hour))
	if got := s.wait(noon, time.Second); got != 300*time.Millisecond {
		t.Errorf("it waits %s", got)
	}
	if p := s.next(noon); p != nil {
		t.Errorf("%s came before its time", p.Task)
	}
	s.wakeFor(b)
	if len(s.woken) != 0 {
		t.Error("it is woken for one that is not the next")
	}
	s.wakeFor(a)
	s.wake() // nobody has looked yet: it does not wait
	if len(s.woken) != 1 {
		t.Error("it is not woken for the next")
	}
	s.bringForward(func(p *pair) time.Time { return noon.Add(time.Minute) }) // a is earlier, and stays
	if got := []time.Time{a.due(), b.due()}; !got[0].Equal(noon.Add(300*time.Millisecond)) || !got[1].Equal(noon.Add(time.Minute)) {
		t.Errorf("they are due at %s", got)
	}
}

// Each host has its own bound, and all have one together; who waited the longest for a place has it next.
func TestThePlacesOfTheSchedule(t *testing.T) {
	const perHost, inAll = 2, 3
	s := newSchedule()
	hosts := map[string]*host{}
	for _, name := range []string{"a", "b", "c"} {
		hosts[name] = &host{name: name}
		for _, task := range []string{"1", "2", "3"} {
			s.lineUp(hosts[name], namedPair(name+task))
		}
	}
	var began []string
	begin := func(h *host) {
		for p := s.begin(h, perHost, inAll); p != nil; p = s.begin(h, perHost, inAll) {
			began = append(began, p.Task)
		}
	}
	turns := func() {
		for h := s.turn(inAll); h != nil; h = s.turn(inAll) {
			begin(h)
		}
	}
	for _, name := range []string{"a", "b", "c", "b"} { // b asks twice, and waits once
		begin(hosts[name])
	}
	for _, name := range []string{"a", "b"} {
		s.end(hosts[name])
		turns()
	}
	if want := []string{"a1", "a2", "b1", "b2", "c1"}; !slices.Equal(began, want) {
		t.Errorf("they began as %v, want %v", began, want)
	}
	if s.taken() != inAll {
		t.Errorf("%d places are taken", s.taken())
	}
	if left := s.leave(hosts["a"]); len(left) != 1 || left[0].Task != "a3" || hosts["a"].inLine() != 0 || hosts["a"].idle() {
		t.Errorf("a had %d in line, idle: %t", len(left), hosts["a"].idle())
	}
	s.end(hosts["a"])
	if !hosts["a"].idle() {
		t.Error("a runs nothing, and is not idle")
	}
}
