package calendar

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestNextOfAnyPeriods compares Next with a plain walk: over every edge of every period that is in it, however often.
func TestNextOfAnyPeriods(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 80 {
		defs := anyDefs(r)
		made, _ := Compile(defs, at(t, "2026-01-01 00:00"))
		known := map[string]*plainPeriod{}
		for _, d := range defs {
			known[d.Name] = &plainPeriod{Period: made[d.Name]}
			for _, x := range d.Except {
				known[d.Name].except = append(known[d.Name].except, known[x])
			}
		}
		for _, d := range defs {
			p := made[d.Name]
			if p == nil {
				break // and those after it may name it
			}
			from := at(t, "2025-06-01 00:00").Add(time.Duration(r.IntN(2*365*24*60)) * time.Minute)
			for range 4 {
				end := from.AddDate(0, 0, 200)
				want := known[d.Name].next(from, end)
				got := p.Next(from)
				if !want.Equal(got) && (!want.IsZero() || !got.IsZero() && !got.After(end)) || p.Within(from) != known[d.Name].within(from) {
					t.Fatalf("%d: %s of %+v: from %s (%v) it changes at %s, want %s (%v)", n, d.Name, defs, from, p.Within(from), got, want, known[d.Name].within(from))
				}
				if want.IsZero() {
					break
				}
				from = want.Add(time.Duration(r.IntN(3)*r.IntN(600)) * time.Minute)
			}
		}
	}
}

// anyDefs makes some periods, each with some of those before it as exceptions.
func anyDefs(r *rand.Rand) (out []Def) {
	zones := []string{"UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe"}
	days := []string{"mon-fri", "sat,sun", "mon-sun", "day 1", "day 10 - 20 / 3", "dec 24 - jan 2", "monday -1", "friday 1 may", "2026-02-03", "2026-01-01 - 2026-06-30", "2026-03-01 / 5", "2025-01-01 - 2025-12-31", ""}
	times := []string{"", "08:00-18:00", "22:00-06:00", "00:00-24:00", "02:00-03:00,23:30-00:30", "12:00-12:01"}
	for i := range 1 + r.IntN(4) {
		d := Def{Name: fmt.Sprint("p", i), Zone: zones[r.IntN(len(zones))]}
		for range 1 + r.IntN(3) {
			day, time := days[r.IntN(len(days))], times[r.IntN(len(times))]
			if day == "" && time == "" {
				time = "00:00-24:00"
			}
			if r.IntN(8) == 0 {
				time = "off"
			}
			d.When = append(d.When, day+" "+time)
		}
		for k := range i {
			for range r.IntN(3) { // also twice
				d.Except = append(d.Except, fmt.Sprint("p", k))
			}
		}
		out = append(out, d)
	}
	return out
}

// plainPeriod knows its exceptions, and nothing that was found before.
type plainPeriod struct {
	*Period
	except []*plainPeriod
}

func (p *plainPeriod) within(t time.Time) bool {
	for _, x := range p.except {
		if x.within(t) {
			return false
		}
	}
	return p.shows(p.shown(t))
}

func (p *plainPeriod) next(t, end time.Time) time.Time {
	in := p.within(t)
	for n := p.soonest(t, end); !n.IsZero(); n = p.soonest(n, end) {
		if p.within(n) != in {
			return n
		}
	}
	return time.Time{}
}

// soonest looks at the days as they are, also when all that are named are over.
func (p *plainPeriod) soonest(t, end time.Time) time.Time {
	lines := Period{zone: p.zone, lines: p.lines}
	first := lines.edge(t, end)
	for _, x := range p.except {
		if n := x.soonest(t, end); !n.IsZero() && (first.IsZero() || n.Before(first)) {
			first = n
		}
	}
	return first
}

// TestPeriodsAreReadInTime: what is over, or goes on, and layers of exceptions, do not hold up who asks.
func TestPeriodsAreReadInTime(t *testing.T) {
	now := at(t, "2026-07-01 12:00")
	layers := []Def{{Name: "l0", When: []string{"sat,sun"}}}
	for i := range 25 {
		below := fmt.Sprint("l", i)
		layers = append(layers, Def{Name: fmt.Sprint("l", i+1), When: []string{"mon-sun 08:00-18:00"}, Except: []string{below, below}})
	}
	for i := range 25 { // and over two ways
		below := []string{fmt.Sprint("a", i-1), fmt.Sprint("b", i-1)}
		if i == 0 {
			below = nil
		}
		layers = append(layers, Def{Name: fmt.Sprint("a", i), When: []string{"2026-01-01 / 2"}, Except: below}, Def{Name: fmt.Sprint("b", i), When: []string{"2026-01-02 / 2"}, Except: below})
	}
	for name, defs := range map[string][]Def{
		"dates that are over":    {{Name: "n", When: []string{"sat,sun 22:00-06:00"}}, {Name: "p", When: []string{"2026-01-01 - 2026-06-30"}, Except: []string{"n"}}},
		"exceptions that are":    {{Name: "n", When: []string{"2025-12-25", "2025-01-01 - 2025-01-06", "2026-05-01"}}, {Name: "p", When: []string{"mon-sun"}, Except: []string{"n"}}},
		"layers of exceptions":   layers,
		"an exception of always": {{Name: "n", When: []string{"mon-sun 00:00-24:00"}}, {Name: "m", When: []string{"mon-sun"}, Except: []string{"n"}}, {Name: "p", When: []string{"mon-fri 08:00-18:00"}, Except: []string{"m"}}},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			made, _ := Compile(defs, now)
			for _, p := range made {
				p.Begin(now)
				p.Next(now)
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Error(took)
			}
		})
	}
}
