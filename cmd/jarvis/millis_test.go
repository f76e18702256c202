package main

import (
	"testing"
	"time"
)

func TestMillis(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "500": 500 * time.Millisecond, "10s": 10 * time.Second, "9223372036854": 9223372036854 * time.Millisecond,
		"9223372036855": -1, "18446744073710": -1, "-1": -1, "-1s": -1, "soon": -1, "": -1} {
		var m millis
		if err := m.UnmarshalText([]byte(text)); (err == nil) != (want >= 0) || err == nil && time.Duration(m) != want {
			t.Errorf("%q = %v, %v; want %v", text, time.Duration(m), err, want)
		}
	}
}
