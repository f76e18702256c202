package plain

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, row := range []struct {
		name, header string
		from, to     time.Duration
		ok           bool
	}{
		{"seconds", "120", 2 * time.Minute, 2 * time.Minute, true},
		{"none", "0", 0, 0, true},
		{"less than none", "-5", 0, 0, true},
		{"more than fits", "9223372036854775807", 24 * time.Hour, 24 * time.Hour, true},
		{"what once was less than nothing", "9223372037", 24 * time.Hour, 24 * time.Hour, true},
		{"a date", in(time.Minute), 55 * time.Second, time.Minute, true},
		{"a date that is over", in(-time.Hour), 0, 0, true},
		{"a date that is far", in(1000 * time.Hour), 24 * time.Hour, 24 * time.Hour, true},
		{"nothing", "", 0, 0, false},
		{"rubbish", "soon", 0, 0, false},
		{"more digits than a number has", "99999999999999999999", 0, 0, false},
	} {
		if d, ok := RetryAfter(row.header); ok != row.ok || d < row.from || d > row.to {
			t.Errorf("%s: %q = %s, %t", row.name, row.header, d, ok)
		}
	}
}
