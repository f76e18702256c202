package model

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/calendar"
)

// clock gives a moment of one day: "10:00".
func clock(t *testing.T, text string) time.Time {
	t.Helper()
	x, err := time.Parse("2006-01-02 15:04", "2026-06-01 "+text) // a Monday
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func intervals(t *testing.T, text string) (out []Interval) {
	t.Helper()
	for _, w := range strings.Fields(text) {
		from, until, _ := strings.Cut(w, "-")
		out = append(out, Interval{clock(t, from), clock(t, until)})
	}
	return out
}

func shown(list []Interval) string {
	var out []string
	for _, i := range list {
		out = append(out, i.From.Format("15:04")+"-"+i.Until.Format("15:04"))
	}
	return strings.Join(out, " ")
}

// Results become spans: what is not believed yet changes nothing, and over a time without results nobody knows
// anything.
func TestSpans(t *testing.T) {
	every, err := ParseSchedule("@every 5m", 0)
	if err != nil {
		t.Fatal(err)
	}
	night, err := ParseSchedule("0 3 * * *", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		schedule Schedule
		results  string // 10:00O: OK at ten; a small letter: not believed yet
		want     string
	}{
		{"changes", every, "10:00O 10:05O 10:10c 10:15C 10:20O", "10:00-10:15O 10:15-10:20C 10:20-10:20O"},
		{"worse on the way", every, "10:00W 10:05C 10:10O", "10:00-10:05W 10:05-10:10C 10:10-10:10O"},
		{"nobody knows what it was before", every, "10:00c 10:05c 10:10C", "10:10-10:10C"},
		{"nobody looked", every, "10:00O 10:05O 12:00O 12:05O", "10:00-10:05O 12:00-12:05O"},
		{"and what came then is not believed yet", every, "10:00O 12:00c 12:05C", "10:00-10:00O 12:00-12:05O 12:05-12:05C"},
		{"one run was missed", every, "10:00O 10:10O 10:25O", "10:00-10:25O"},
		{"once a day", night, "03:00O 23:00O", "03:00-23:00O"},
		{"by people and machines", Schedule{}, "03:00O 23:00C", "03:00-23:00O 23:00-23:00C"},
		{"late and twice", every, "10:00O 10:05O 09:55C 10:05C 10:00W", "10:00-10:05O"},
	} {
		var spans []Span
		for _, w := range strings.Fields(c.results) {
			letter := w[5:]
			r := Seen{clock(t, w[:5]), Status(strings.Index("OWCU", strings.ToUpper(letter))), letter != strings.ToUpper(letter)}
			was := slices.Clone(spans)
			var from int
			spans, from = AddSeen(spans, r, func(x time.Time) time.Time { return c.schedule.Holds(x, "disk on loki", clock(t, "23:59")) })
			if !slices.Equal(was[:from], spans[:from]) {
				t.Errorf("%s, %s: what stands before %d was changed", c.name, w, from)
			}
		}
		var got []string
		for _, s := range spans {
			got = append(got, fmt.Sprintf("%s-%s%c", s.From.Format("15:04"), s.To.Format("15:04"), "OWCU"[s.Status]))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", c.name, strings.Join(got, " "), c.want)
		}
	}
}

func TestTimesThatCount(t *testing.T) {
	all := Interval{clock(t, "08:00"), clock(t, "20:00")}
	office, wrong := calendar.Compile([]calendar.Def{{Name: "office", Zone: "UTC", When: []string{"mon-fri 09:00-12:00, 13:00-17:00"}}}, all.From)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	if got := shown(During(all, office["office"])); got != "09:00-12:00 13:00-17:00" {
		t.Errorf("in the period: %s", got)
	}
	if got := shown(During(all, nil)); got != "08:00-20:00" {
		t.Errorf("all time: %s", got)
	}
	for _, c := range []struct{ list, away, want string }{
		{"09:00-12:00 13:00-17:00", "11:00-14:00", "09:00-11:00 14:00-17:00"},
		{"09:00-12:00", "08:00-13:00", ""},
		{"09:00-12:00", "09:00-10:00 11:00-12:00", "10:00-11:00"},
		{"09:00-12:00", "07:00-08:00 12:00-13:00", "09:00-12:00"},
		{"09:00-12:00", "", "09:00-12:00"},
	} {
		if got := shown(Without(intervals(t, c.list), intervals(t, c.away))); got != c.want {
			t.Errorf("%s without %s: %s, want %s", c.list, c.away, got, c.want)
		}
	}
	if got := shown(Joined(intervals(t, "10:00-11:00 09:00-10:00 10:30-10:40 12:00-13:00"))); got != "09:00-11:00 12:00-13:00" {
		t.Errorf("joined: %s", got)
	}
}

func TestFigures(t *testing.T) {
	spans := func(text string) (out []Span) {
		for _, w := range strings.Fields(text) {
			from, rest, _ := strings.Cut(w, "-")
			out = append(out, Span{clock(t, from), clock(t, rest[:5]), Status(strings.IndexByte("OWCU", rest[5]))})
		}
		return out
	}
	for _, c := range []struct {
		name, spans, counts string
		ongoing             bool
		known               time.Duration
		uptime              string
		outages             string // begin-end took status, cut
	}{
		{"nothing known", "", "08:00-20:00", false, 0, "", ""},
		{"always well", "08:00-20:00O", "08:00-20:00", true, 12 * time.Hour, "1.0000", ""},
		{"two outages, one of two kinds", "06:00-10:00O 10:00-10:30W 10:30-11:00C 11:00-19:00O 19:00-20:00U", "08:00-20:00", true, 12 * time.Hour, "0.8333", "10:00-11:00 1h0m0s CRITICAL, 19:00- 1h0m0s UNKNOWN"},
		{"some time nobody looked", "08:00-10:00O 14:00-16:00C 16:00-20:00O", "08:00-20:00", true, 8 * time.Hour, "0.7500", "14:00-16:00 2h0m0s CRITICAL cut"},
		{"it began before", "06:00-09:00C 09:00-20:00O", "08:00-20:00", true, 12 * time.Hour, "0.9167", "06:00-09:00 1h0m0s CRITICAL cut"},
		{"it ended after", "08:00-19:00O 19:00-21:00C 21:00-22:00O", "08:00-20:00", true, 12 * time.Hour, "0.9167", "19:00-21:00 1h0m0s CRITICAL cut"},
		{"what does not count is no outage", "08:00-10:00O 10:00-11:00C 11:00-20:00O", "08:00-10:00 11:00-20:00", true, 11 * time.Hour, "1.0000", ""},
		{"nobody looks any more", "08:00-10:00O 10:00-11:00C", "08:00-20:00", false, 3 * time.Hour, "0.6667", "10:00-11:00 1h0m0s CRITICAL cut"},
	} {
		f := FiguresOf(spans(c.spans), intervals(t, c.counts), Interval{clock(t, "08:00"), clock(t, "20:00")}, c.ongoing)
		var outages []string
		for _, o := range f.Outages {
			end := ""
			if !o.End.IsZero() {
				end = o.End.Format("15:04")
			}
			s := fmt.Sprintf("%s-%s %s %s", o.Begin.Format("15:04"), end, o.Took, o.Status)
			if o.Cut {
				s += " cut"
			}
			outages = append(outages, s)
		}
		up := ""
		if f.Uptime != nil {
			up = fmt.Sprintf("%.4f", *f.Uptime)
		}
		if f.Known != c.known || up != c.uptime || strings.Join(outages, ", ") != c.outages || f.OK+f.Warning+f.Critical+f.Unknown != f.Known {
			t.Errorf("%s: known %s, uptime %s, outages %s; want %s, %s, %s", c.name, f.Known, up, strings.Join(outages, ", "), c.known, c.uptime, c.outages)
		}
	}
}
