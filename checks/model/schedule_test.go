package model

import (
	"archive/zip"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func at(t *testing.T, zone, text string) time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	v, err := time.ParseInLocation("2006-01-02 15:04:05", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		text, from string
		want       string // the next ones, in UTC, by comma
	}{
		{"TZ=UTC */5 * * * *", "2026-01-01 00:01:00", "2026-01-01 00:05:00,2026-01-01 00:10:00"},
		{"TZ=UTC */10 * * * * *", "2026-01-01 00:00:01", "2026-01-01 00:00:10,2026-01-01 00:00:20"},
		{"TZ=UTC 30 0 3 * * *", "2026-01-01 00:00:00", "2026-01-01 03:00:30,2026-01-02 03:00:30"},
		{"TZ=UTC @daily", "2026-01-01 00:00:01", "2026-01-02 00:00:00"},
		{"TZ=UTC 0 3 31 * *", "2026-02-01 00:00:00", "2026-03-31 03:00:00,2026-05-31 03:00:00"},
		// Spring forward: 02:30 is not there on 2026-03-29 in Berlin; it runs once, an hour later on the clock.
		{"TZ=Europe/Berlin 30 2 * * *", "2026-03-28 12:00:00", "2026-03-29 01:30:00,2026-03-30 00:30:00"},
		// Fall back: 02:30 comes twice on 2026-10-25; it runs once.
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-24 12:00:00", "2026-10-25 00:30:00,2026-10-26 01:30:00"},
		// What runs every so often does so in both hours.
		{"TZ=Europe/Berlin */30 * * * *", "2026-10-25 00:15:00", "2026-10-25 00:30:00,2026-10-25 01:00:00,2026-10-25 01:30:00"},
		// The clock jumps at midnight: the day has no 00:00, or has it twice.
		{"TZ=America/Santiago 0 0 * * *", "2026-09-05 12:00:00", "2026-09-06 04:00:00,2026-09-07 03:00:00"},
		{"TZ=America/Santiago @daily", "2026-04-03 12:00:00", "2026-04-04 03:00:00,2026-04-05 04:00:00,2026-04-06 04:00:00"},
		{"TZ=Asia/Beirut 30 4 * * *", "2026-03-28 12:00:00", "2026-03-29 01:30:00,2026-03-30 01:30:00"},
		{"TZ=Asia/Beirut 30 0 29 3 *", "2026-03-28 12:00:00", "2026-03-28 22:30:00,2027-03-28 21:30:00"},
		{"TZ=Africa/Cairo 0 */12 * * *", "2026-04-23 12:00:00", "2026-04-23 22:00:00,2026-04-24 09:00:00"},
		// A day of the month or a weekday, as crontab(5) has it; both when one begins with an asterisk.
		{"TZ=UTC 30 4 1,15 * 5", "2026-01-01 00:00:00", "2026-01-01 04:30:00,2026-01-02 04:30:00,2026-01-09 04:30:00,2026-01-15 04:30:00"},
		{"TZ=UTC 0 30 4 1,15 * FRI", "2026-01-10 00:00:00", "2026-01-15 04:30:00,2026-01-16 04:30:00"},
		{"TZ=UTC 30 4 */2 * 5", "2026-01-01 00:00:00", "2026-01-09 04:30:00,2026-01-23 04:30:00"},
		{"TZ=UTC 30 4 13 * */5", "2026-01-01 00:00:00", "2026-02-13 04:30:00,2026-03-13 04:30:00"},
		{"TZ=UTC 30 4 13 * *", "2026-01-01 00:00:00", "2026-01-13 04:30:00,2026-02-13 04:30:00"},
		{"TZ=UTC @weekly", "2026-01-01 00:00:00", "2026-01-04 00:00:00,2026-01-11 00:00:00"},
		{"TZ=UTC 0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00:00"},
		{"TZ=Australia/Lord_Howe 45 1 * * *", "2026-04-04 10:00:00", "2026-04-04 14:45:00,2026-04-05 15:15:00"},
	} {
		s, err := ParseSchedule(c.text, 0)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		now := at(t, "UTC", c.from)
		for _, want := range strings.Split(c.want, ",") {
			now = s.Next(now, "a")
			if got := now.UTC().Format("2006-01-02 15:04:05"); got != want {
				t.Errorf("%q is due at %s, want %s", c.text, got, want)
			}
		}
	}
	for _, text := range []string{"", "x", "* * *", "61 * * * *", "@every", "@every x", "@every 1ms", "TZ=Nowhere/Else * * * * *", "0 0 30 2 *", "TZ=Europe/Berlin 0 0 30 2 *", "* * * * * * *"} {
		if s, err := ParseSchedule(text, 0); err == nil {
			t.Errorf("%q passes as %v", text, s)
		}
	}
}

// A plain walk over every minute of the days around each jump says the same: what the clock on the wall shows is due
// when it is shown first, and what it never shows as much later as the clock jumped.
func TestSchedulesAtJumps(t *testing.T) {
	jumps := 0
	for _, z := range []struct {
		zone     string
		from, to int
	}{
		{"America/Santiago", 2022, 2028}, {"Asia/Beirut", 2024, 2028}, {"Africa/Cairo", 2023, 2027}, {"America/Asuncion", 2020, 2023}, {"America/Havana", 2024, 2027},
		{"America/Sao_Paulo", 2015, 2019}, {"Asia/Amman", 2019, 2022}, {"Atlantic/Azores", 2024, 2026}, {"America/Scoresbysund", 2023, 2027}, {"Australia/Lord_Howe", 2024, 2026},
		{"Pacific/Apia", 2011, 2012}, {"Europe/Berlin", 2025, 2027}, {"Africa/Casablanca", 2024, 2026}, {"Asia/Tehran", 2020, 2022},
	} {
		zone, err := time.LoadLocation(z.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, end := time.Date(z.from, 1, 1, 0, 0, 0, 0, zone), time.Date(z.to, 1, 1, 0, 0, 0, 0, zone)
		for range 4 {
			_, jump := at.ZoneBounds()
			if jump.IsZero() || jump.After(end) {
				break
			}
			at = jump
			jumps++
			w := newWalk(zone, jump, 2*24*time.Hour)
			for _, text := range []string{"@daily", "30 0 * * *", "59 23 * * *", "*/20 0 * * *", "0,30 23,0,1,2 * * *", "0 */2 * * *", "@weekly", "15 0 1,15 * 0", "15 0 */2 * SUN", "*/30 * * * *", "@hourly"} {
				w.compare(t, text)
			}
		}
	}
	if jumps < 40 {
		t.Errorf("only %d jumps were looked at", jumps)
	}
}

// The whole database of zones, five years: at each jump as above, and what names an hour comes once a day, on every day
// that the wall has.
func TestEveryZone(t *testing.T) {
	zones := everyZone(t)
	from, years := 2022, 5
	jumps, seen := 0, map[string]bool{}
	for _, zone := range zones {
		begin, end := time.Date(from, 1, 1, 0, 0, 0, 0, zone), time.Date(from+years, 1, 1, 0, 0, 0, 0, zone)
		var list []time.Time
		life := "" // zones that have had the same clock are one
		for at := begin; ; {
			_, offset := at.Zone()
			life += fmt.Sprint(at.Unix(), " ", offset, ",")
			_, jump := at.ZoneBounds()
			if jump.IsZero() || !jump.Before(end) {
				break
			}
			at = jump
			list = append(list, jump)
		}
		if seen[life] {
			continue
		}
		seen[life] = true
		jumps += len(list)
		for _, jump := range list {
			w := newWalk(zone, jump, 26*time.Hour)
			for _, text := range []string{"@daily", "30 2 * * *", "0,30 23,0,1,2,3 * * *", "*/30 * * * *"} {
				w.compare(t, text)
			}
		}
		for _, text := range []string{"@daily", "30 2 * * *"} {
			onceADay(t, zone, begin, end, text)
		}
	}
	if len(zones) < 500 || len(seen) < 60 || jumps < 300 {
		t.Errorf("%d zones, %d different ones, %d jumps: the database is not whole", len(zones), len(seen), jumps)
	}
}

// onceADay counts a schedule's times by the day on the wall.
func onceADay(t *testing.T, zone *time.Location, begin, end time.Time, text string) {
	t.Helper()
	s, err := ParseSchedule("TZ="+zone.String()+" "+text, 0)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for at := s.Next(begin.Add(-time.Second), "a"); at.Before(end); at = s.Next(at, "a") {
		times[at.In(zone).Format(time.DateOnly)]++
	}
	if days := int(end.Sub(begin).Hours() / 24); len(times) < days-1 || len(times) > days+1 {
		t.Errorf("%s %q: %d of %d days", zone, text, len(times), days)
	}
	for day, n := range times {
		if n != 1 {
			t.Errorf("%s %q: %d times on %s", zone, text, n, day)
		}
	}
}

// everyZone gives those of Go's own database.
func everyZone(t *testing.T) (out []*time.Location) {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for _, f := range r.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		zone, err := time.LoadLocation(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, zone)
	}
	return out
}

// walk is every minute around a jump, with what the clock on the wall shows, as if it were UTC.
type walk struct {
	zone       *time.Location
	jump       time.Time
	begin, end time.Time
	minutes    []minute
	missing    []minute // what the wall never shows, as much later as the clock jumped
}

type minute struct {
	at, face time.Time
	again    bool // the wall has shown it before
}

func newWalk(zone *time.Location, jump time.Time, around time.Duration) *walk {
	w := &walk{zone: zone, jump: jump, begin: jump.Add(-around), end: jump.Add(around)}
	face := func(at time.Time) time.Time {
		_, offset := at.In(zone).Zone()
		return at.UTC().Add(time.Duration(offset) * time.Second)
	}
	shown := map[int64]bool{}
	for at := w.begin; !at.After(w.end); at = at.Add(time.Minute) {
		f := face(at)
		w.minutes = append(w.minutes, minute{at, f, shown[f.Unix()]})
		shown[f.Unix()] = true
	}
	_, offset := jump.Add(-time.Minute).In(zone).Zone()
	for f := face(w.begin); f.Before(face(w.end)); f = f.Add(time.Minute) {
		if !shown[f.Unix()] {
			w.missing = append(w.missing, minute{at: f.Add(-time.Duration(offset) * time.Second), face: f})
		}
	}
	return w
}

func (w *walk) compare(t *testing.T, text string) {
	t.Helper()
	s, err := ParseSchedule("TZ="+w.zone.String()+" "+text, 0)
	if err != nil {
		t.Fatal(err)
	}
	due, often := plainly(text)
	var want []time.Time
	for _, m := range w.minutes {
		if m.at.After(w.begin) && (often || !m.again) && due(m.face) {
			want = append(want, m.at)
		}
	}
	for _, m := range w.missing {
		if !often && due(m.face) {
			want = append(want, m.at)
		}
	}
	slices.SortFunc(want, time.Time.Compare)
	want = slices.CompactFunc(want, time.Time.Equal)
	var got []time.Time
	for at := s.Next(w.begin, "a"); !at.After(w.end); at = s.Next(at, "a") {
		got = append(got, at)
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !got[i].Equal(want[i]) {
			t.Errorf("%s %q around %s: at place %d\ngot  %s\nwant %s", w.zone, text, w.jump.In(w.zone), i, got[min(i, len(got)):min(i+2, len(got))], want[min(i, len(want)):min(i+2, len(want))])
			return
		}
	}
}

// plainly reads five fields as somebody would by hand. often: no hour is named.
func plainly(text string) (due func(face time.Time) bool, often bool) {
	if long := map[string]string{"@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@hourly": "0 * * * *"}[text]; long != "" {
		text = long
	}
	fields := strings.Fields(text)
	field := func(i, low, high int) (fits [60]bool) {
		for _, f := range strings.Split(strings.NewReplacer("SUN", "0").Replace(fields[i]), ",") {
			step, every := strings.CutPrefix(f, "*/")
			n, err := strconv.Atoi(step)
			for v := low; v <= high; v++ {
				fits[v] = fits[v] || f == "*" || !every && err == nil && n == v || every && err == nil && (v-low)%n == 0
			}
		}
		return fits
	}
	minute, hour, day, month, weekday := field(0, 0, 59), field(1, 0, 23), field(2, 1, 31), field(3, 1, 12), field(4, 0, 6)
	both := fields[2][0] == '*' || fields[4][0] == '*'
	return func(f time.Time) bool {
		if !minute[f.Minute()] || !hour[f.Hour()] || !month[f.Month()] {
			return false
		}
		d, w := day[f.Day()], weekday[f.Weekday()]
		return d && w || !both && (d || w)
	}, fields[1] == "*"
}

// A thousand checks of every minute are spread over it, each at the same place after a restart.
func TestChecksAreSpread(t *testing.T) {
	s, err := ParseSchedule("@every 1m", 0)
	if err != nil {
		t.Fatal(err)
	}
	cron, err := ParseSchedule("0 * * * *", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now := at(t, "UTC", "2026-01-01 00:00:30")
	for name, s := range map[string]Schedule{"every": s, "cron": cron} {
		var seconds [60]int
		for i := range 6000 {
			key := fmt.Sprint("disk@web", i)
			n := s.Next(now, key)
			if d := n.Sub(now); d <= 0 || d > time.Hour+time.Minute || name == "every" && d > time.Minute {
				t.Fatalf("%s: due in %s", name, d)
			}
			if again := s.Next(now.Add(time.Millisecond), key); !again.Equal(n) && n.Sub(now) > time.Millisecond {
				t.Fatalf("%s: %s and %s", name, n, again)
			}
			if second := s.Next(n, key); name == "every" && second.Sub(n) != time.Minute {
				t.Fatalf("the next but one is %s later", second.Sub(n))
			}
			seconds[n.Second()]++
		}
		for i, n := range seconds {
			if n < 50 || n > 170 {
				t.Errorf("%s: %d checks in second %d", name, n, i)
			}
		}
	}
}
