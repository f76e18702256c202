package command

import (
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/access"
	"github.com/jarvisops/jarvis/store"
)

// More days than a duration can hold are refused: 213504 of them came out as 25 minutes, and 106752 as a time that was
// over long ago.
func TestManyDays(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
	}{
		{"30m", 30 * time.Minute}, {"2h", 2 * time.Hour}, {"3d", 72 * time.Hour}, {"1.5d", 36 * time.Hour}, {"3650d", 87600 * time.Hour}, {"87600h", 87600 * time.Hour},
		{"3651d", 0}, {"87601h", 0}, {"106752d", 0}, {"213504d", 0}, {"999999999999d", 0}, {"0d", 0}, {"-3d", 0}, {"d", 0}, {"", 0},
	} {
		if got, err := period(c.text); got != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("period(%q) = %v, %v; want %v", c.text, got, err, c.want)
		}
	}
}

func TestDaysOfAToken(t *testing.T) {
	db, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	acc, err := access.New(t.Context(), []access.PersonConfig{{Name: "root", Local: "root", Roles: []string{access.Admin}}}, db)
	if err != nil {
		t.Fatal(err)
	}
	e := &Env{Name: "jarvis", Access: acc, Now: time.Now}
	for _, c := range []struct {
		days string
		good bool
	}{
		{"1", true}, {"365", true}, {"0", false}, {"-1", false}, {"366", false}, {"106752", false}, {"213504", false}, {"9223372036854775807", false}, {"99999999999999999999", false},
	} {
		_, err := token().Run(t.Context(), e, &Call{Args: []string{"new", "x", "days", c.days}, Person: acc.Person("root"), Secret: true})
		if (err == nil) != c.good || err != nil && !strings.Contains(err.Error(), "a token lives 1 to 365 days") {
			t.Errorf("days %s: %v", c.days, err)
		}
	}
}
