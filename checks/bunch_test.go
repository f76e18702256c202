package checks

import (
	"testing"
	"time"
)

func TestTimesAsPeopleSayThem(t *testing.T) {
	for d, want := range map[time.Duration]string{45 * time.Second: "45s", 12*time.Minute + 3*time.Second: "12m", time.Hour: "1h", 90 * time.Minute: "1h30m", 3*time.Hour + 20*time.Minute: "3h20m", 10*time.Hour + time.Second: "10h", 52 * time.Hour: "2d4h"} {
		if got := short(d); got != want {
			t.Errorf("%s is said as %s, want %s", d, got, want)
		}
	}
}
