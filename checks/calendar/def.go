package calendar

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Def is a period as people write it.
type Def struct {
	Name   string   `yaml:"name" json:"name" doc:"what tasks, contacts and actions call it"`
	Zone   string   `yaml:"zone,omitempty" json:"zone,omitempty" doc:"of its times, as in Europe/Berlin; empty: the server's"`
	When   []string `yaml:"when" json:"when" doc:"days and their times: mon-fri 08:00-18:00, 2026-12-24 - 2027-01-02, dec 25, day -1, monday 2, monday -1 may, day 1 - 15 / 2; without times the whole day, with off no time of it. The lines that name a day most exactly count for it"`
	Except []string `yaml:"except,omitempty" json:"except,omitempty" doc:"other periods that are taken away from it"`
}

// Compile makes the periods of definitions, by their names. What is wrong with one is under its index, and so is what
// it lacks because of that; the others are made all the same.
func Compile(defs []Def, now time.Time) (map[string]*Period, map[int]error) {
	c := compiler{defs: map[string]int{}, all: defs, now: now, made: map[string]*Period{}, wrong: map[int]error{}, open: map[string]bool{}}
	for i, d := range defs {
		if _, twice := c.defs[d.Name]; !twice {
			c.defs[d.Name] = i
		}
	}
	for i, d := range defs {
		if c.defs[d.Name] != i {
			c.wrong[i] = fmt.Errorf("there are two periods called %s", d.Name)
			continue
		}
		_, _ = c.period(d.Name) // what is wrong stands in wrong
	}
	return c.made, c.wrong
}

type compiler struct {
	defs  map[string]int
	all   []Def
	now   time.Time
	made  map[string]*Period
	wrong map[int]error
	open  map[string]bool // those that are being made
}

// period makes each period once. What is wrong with one is kept, so that all who name it get the same answer.
func (c *compiler) period(name string) (*Period, error) {
	i := c.defs[name]
	if c.made[name] != nil || c.wrong[i] != nil {
		return c.made[name], c.wrong[i]
	}
	c.open[name] = true
	defer delete(c.open, name)
	p, err := c.build(&c.all[i])
	if err != nil {
		c.wrong[i] = err
		return nil, err
	}
	c.made[name] = p
	return p, nil
}

// exception gives a period that another takes away.
func (c *compiler) exception(name string) (*Period, error) {
	if _, ok := c.defs[name]; !ok {
		return nil, fmt.Errorf("except names %s, and there is no such period", name)
	}
	if c.open[name] {
		return nil, fmt.Errorf("except names %s, which is an exception of itself by that", name)
	}
	p, err := c.period(name)
	if err != nil {
		return nil, fmt.Errorf("except names %s, which is wrong", name)
	}
	return p, nil
}

// build refuses a period in which no time ever is: nobody means that.
func (c *compiler) build(d *Def) (*Period, error) {
	p := &Period{zone: time.Local}
	if d.Zone != "" {
		var err error
		if p.zone, err = time.LoadLocation(d.Zone); err != nil {
			return nil, fmt.Errorf("there is no zone %q; write one as in Europe/Berlin", d.Zone)
		}
	}
	if len(d.When) == 0 {
		return nil, errors.New(`it has no when; write days and times, as in when: ["mon-fri 08:00-18:00"]`)
	}
	for _, text := range d.When {
		l, err := parseLine(text)
		if err != nil {
			return nil, err
		}
		p.lines = append(p.lines, l)
	}
	var except []*Period
	for _, name := range d.Except {
		x, err := c.exception(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(except, x) {
			except = append(except, x)
		}
	}
	p.last = p.latest()
	p.takeAway(except)
	p.sum = sumOf(d, except)
	p.always = p.isAlways()
	if from := p.earliest(c.now); !p.Within(from) && p.Next(from).IsZero() {
		return nil, errors.New("no time is ever in it; look at its days, and at what except takes away")
	}
	return p, nil
}

// takeAway gathers the parts of a period.
func (p *Period) takeAway(except []*Period) {
	at := map[*Period]int{}
	own := part{Period: p}
	for _, x := range except {
		for _, y := range x.parts {
			if _, there := at[y.Period]; there {
				continue
			}
			at[y.Period] = len(p.parts)
			var places []int
			for _, k := range y.except {
				places = append(places, at[x.parts[k].Period])
			}
			p.parts = append(p.parts, part{y.Period, places})
		}
		own.except = append(own.except, at[x])
	}
	p.parts = append(p.parts, own)
}

// sumOf is the same for periods of the same times, whatever they are called.
func sumOf(d *Def, except []*Period) (sum [sha256.Size]byte) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q", d.When, d.Zone)
	for _, x := range except {
		h.Write(x.sum[:])
	}
	h.Sum(sum[:0])
	return sum
}

// latest gives the last day that a line names; zero: there is none.
func (p *Period) latest() (last time.Time) {
	for i := range p.lines {
		d := &p.lines[i].days
		if d.kind != dated || d.open {
			return time.Time{}
		}
		if to := d.to.date(); to.After(last) {
			last = to
		}
	}
	return last
}

// earliest gives the first date that a line names, or now when that is earlier.
func (p *Period) earliest(now time.Time) time.Time {
	for i := range p.lines {
		if d := &p.lines[i].days; d.kind == dated && d.from.date().Add(-day).Before(now) {
			now = d.from.date().Add(-day)
		}
	}
	return now
}
