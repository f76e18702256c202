package calendar

import (
	"strings"
	"testing"
	"time"
)

// one makes a period of lines.
func one(t testing.TB, zone string, lines ...string) *Period {
	t.Helper()
	made, wrong := Compile([]Def{{Name: "p", Zone: zone, When: lines}}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if wrong[0] != nil {
		t.Fatal(wrong[0])
	}
	return made["p"]
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	out, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Which days a line is for: all that are listed, of the year that is shown.
func TestDays(t *testing.T) {
	for _, c := range []struct{ line, from, to, want string }{
		{"wed", "2026-12-01", "2026-12-31", "12-02 12-09 12-16 12-23 12-30"},
		{"Saturday-Monday", "2026-12-01", "2026-12-14", "12-05 12-06 12-07 12-12 12-13 12-14"},
		{"mon, thu - fri", "2026-12-01", "2026-12-11", "12-03 12-04 12-07 12-10 12-11"},
		{"2026-12-24", "2026-12-01", "2027-12-31", "12-24"},
		{"2026-12-30 - 2027-01-02", "2026-12-01", "2027-12-31", "12-30 12-31 01-01 01-02"},
		{"2026-12-01 / 7", "2026-11-01", "2026-12-31", "12-01 12-08 12-15 12-22 12-29"},
		{"2026-12-01 - 2026-12-10 / 3", "2026-11-01", "2027-01-31", "12-01 12-04 12-07 12-10"},
		{"dec 25", "2026-01-01", "2027-12-31", "12-25 12-25"},
		{"december 24 - 26", "2026-01-01", "2026-12-31", "12-24 12-25 12-26"},
		{"december 24-26", "2026-01-01", "2026-12-31", "12-24 12-25 12-26"},
		{"dec 30 - jan 2", "2026-01-01", "2026-12-31", "01-01 01-02 12-30 12-31"},
		{"dec 29 - jan 3 / 2", "2026-12-01", "2027-01-31", "12-29 12-31 01-02"},
		{"feb 29", "2026-01-01", "2028-12-31", "02-29"},
		{"2026-12-30 / 1", "2026-12-01", "2027-01-01", "12-30 12-31 01-01"},
		{"feb -1", "2027-01-01", "2028-12-31", "02-28 02-29"},
		{"day 1", "2026-11-01", "2027-01-31", "11-01 12-01 01-01"},
		{"day -1", "2027-02-01", "2027-04-30", "02-28 03-31 04-30"},
		{"day 31", "2026-01-01", "2026-05-31", "01-31 03-31 05-31"},
		{"day 1 - 15 / 5", "2026-11-01", "2026-11-30", "11-01 11-06 11-11"},
		{"day 29 - 31", "2027-02-01", "2027-04-30", "03-29 03-30 03-31 04-29 04-30"},
		{"day 30 - 2", "2027-01-15", "2027-03-15", "01-30 01-31 02-01 02-02"},
		{"day -2 - -1", "2027-02-01", "2027-03-31", "02-27 02-28 03-30 03-31"},
		{"monday 2", "2026-11-01", "2027-01-31", "11-09 12-14 01-11"},
		{"monday 5", "2026-11-01", "2027-01-31", "11-30"},
		{"friday -1", "2026-11-01", "2027-01-31", "11-27 12-25 01-29"},
		{"monday -1 may", "2026-01-01", "2027-12-31", "05-25 05-31"},
		{"thursday 4 november", "2026-01-01", "2027-12-31", "11-26 11-25"},
		{"tuesday 1 - wednesday 1", "2026-12-01", "2026-12-31", "12-01 12-02"},
		{"tuesday 1 april - thursday 1 april", "2026-01-01", "2027-12-31", ""}, // they are the 7th and the 2nd, and in 2027 the 6th and the 1st
		{"tuesday 1 april - friday 2 april / 2", "2026-01-01", "2026-12-31", "04-07 04-09"},
		{"monday -1 - friday 1", "2026-01-20", "2026-02-28", "01-26 01-27 01-28 01-29 01-30 01-31 02-01 02-02 02-03 02-04 02-05 02-06 02-23 02-24 02-25 02-26 02-27 02-28"},
		{"wednesday -1 november - monday 1 january / 10", "2026-11-01", "2027-01-31", "11-25 12-05 12-15 12-25 01-04"},
		{"monday 1 - friday 1 / 2", "2026-06-01", "2026-06-30", "06-01 06-03 06-05"},
	} {
		p := one(t, "UTC", c.line)
		var got []string
		for d := at(t, c.from+" 00:00"); !d.After(at(t, c.to+" 00:00")); d = d.AddDate(0, 0, 1) {
			if whole := p.Within(d); whole != p.Within(d.Add(day-1)) {
				t.Errorf("%s: %s is not whole", c.line, d)
			} else if whole {
				got = append(got, d.Format("01-02"))
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.line, s, c.want)
		}
	}
}

func TestNext(t *testing.T) {
	holidays := Def{Name: "holidays", Zone: "UTC", When: []string{"dec 25 - 26", "2026-12-31"}}
	for _, c := range []struct {
		name   string
		when   []string
		except []string
		from   string
		want   string // when it begins and ends from then on
	}{
		{"office hours", []string{"mon-fri 08:00-18:00", "sat 10:00-12:00,14:00-16:00"}, nil, "2026-12-04 09:00", "12-04 18:00, 12-05 10:00, 12-05 12:00, 12-05 14:00, 12-05 16:00, 12-07 08:00"},
		{"without holidays", []string{"mon-fri 08:00-18:00"}, []string{"holidays"}, "2026-12-24 19:00", "12-28 08:00, 12-28 18:00, 12-29 08:00"},
		{"what names a day more exactly counts for it", []string{"mon-fri 08:00-18:00", "dec 24 08:00-12:00"}, nil, "2026-12-23 19:00", "12-24 08:00, 12-24 12:00, 12-25 08:00"},
		{"off", []string{"08:00-18:00", "dec 25 off", "fri off"}, nil, "2026-12-23 19:00", "12-24 08:00, 12-24 18:00, 12-26 08:00"},
		{"over midnight it belongs to the day on which it begins", []string{"fri 22:00-06:00"}, nil, "2026-12-04 12:00", "12-04 22:00, 12-05 06:00, 12-11 22:00"},
		{"one that touches the next is one", []string{"mon-fri 08:00-12:00,12:00-24:00", "sat 00:00-01:00"}, nil, "2026-12-04 12:00", "12-05 01:00, 12-07 08:00"},
		{"always", []string{"00:00-24:00"}, nil, "2026-12-04 12:00", ""},
		{"a date that was", []string{"2026-01-05"}, nil, "2026-12-04 12:00", ""},
		{"off for ever", []string{"2000-01-01 / 1 off", "feb 29"}, nil, "2026-12-04 12:00", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			made, wrong := Compile([]Def{holidays, {Name: "p", Zone: "UTC", When: c.when, Except: c.except}}, at(t, "2026-01-01 00:00"))
			if c.name == "off for ever" {
				if wrong[1] == nil {
					t.Error("a period that never is was taken")
				}
				return
			}
			if len(wrong) > 0 {
				t.Fatal(wrong)
			}
			var got []string
			for n := at(t, c.from); len(got) < strings.Count(c.want, ":"); {
				in := made["p"].Within(n)
				if n = made["p"].Next(n); n.IsZero() || made["p"].Within(n) == in {
					break
				}
				got = append(got, n.UTC().Format("01-02 15:04"))
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("%s, want %s", s, c.want)
			}
			if c.want == "" && !made["p"].Next(at(t, c.from)).IsZero() {
				t.Errorf("it changes at %s", made["p"].Next(at(t, c.from)))
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", "it is empty"},
		{"someday 08:00-18:00", `"someday" is no day; write mon-fri`},
		{"mon-fri 8-18", `"8-18" is no time of a day; write 08:00-18:00`},
		{"mon-fri 08:00", `"08:00" is no time of a day; write 08:00-18:00, or off for none`},
		{"mon-fri 08:00-24:01", "is no time of a day"},
		{"mon 24:00-01:00", "is no time of a day"},
		{"mon 00:00-00:00", "begins and ends at the same time; write 00:00-24:00"},
		{"day 0", "no month of these has a day 0"},
		{"day 32", "no month of these has a day 32"},
		{"feb 30", "no month of these has a day 30"},
		{"dec 24 - 32", "no month of these has a day 32"},
		{"monday 6", "has a such weekday 6"},
		{"mon / 2", "days of the week have no step"},
		{"day 1 / 2", "a step needs days from which and up to which it counts"},
		{"/ 2", "a step has no days before it"},
		{"/ 2 08:00-18:00", "a step has no days before it"},
		{"- / 2", "is no day"},
		{"2026-12-01 / 0", `"0" is no step`},
		{"2026-12-24 - 2026-12-01", "it ends before it begins"},
		{"2026-02-30", "is no day"},
		{"0026-02-03", "is no date of these centuries"},
		{"dec 24 - monday 2", "are not named in the same way"},
		{"2026-12-24 off", "no time is ever in it"},
	} {
		_, wrong := Compile([]Def{{Name: "p", When: []string{c.line}}}, at(t, "2026-01-01 00:00"))
		if err := wrong[0]; err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.line, err, c.want)
		}
	}
	defs := []Def{{Name: "a", When: []string{"mon"}, Except: []string{"b"}}, {Name: "b", When: []string{"mon"}, Except: []string{"a"}}, {Name: "c", When: []string{"mon"}, Except: []string{"d"}},
		{Name: "e", When: []string{"mon"}, Except: []string{"all"}}, {Name: "all", When: []string{"00:00-24:00"}}, {Name: "all", When: []string{"mon"}}, {Name: "f"}, {Name: "g", Zone: "Mars/Base", When: []string{"mon"}}}
	made, wrong := Compile(defs, at(t, "2026-01-01 00:00"))
	for i, want := range []string{"except names b, which is wrong", "except names a, which is an exception of itself by that", "except names d, and there is no such period", "no time is ever in it", "", "two periods called all", "it has no when", `no zone "Mars/Base"`} {
		if err := wrong[i]; (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", defs[i].Name, err, want)
		}
	}
	if len(made) != 1 || made["all"] == nil {
		t.Errorf("made %v", made)
	}
}
