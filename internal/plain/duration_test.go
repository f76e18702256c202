package plain

import (
	"testing"
	"time"
)

func TestDurationIsAsItIsWritten(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", 5 * time.Minute: "5m", 36 * time.Hour: "36h", 90 * time.Minute: "1h30m", 9600 * time.Hour: "400d", 20 * time.Minute: "20m",
		time.Hour + 5*time.Second: "1h0m5s", time.Millisecond: "1ms", -72 * time.Hour: "-3d", 10 * time.Hour: "10h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v = %q, want %q", d, got, want)
		}
	}
}
