package access

import (
	"fmt"
	"testing"
	"time"
)

func TestTheLimitIsPerPersonAndRefills(t *testing.T) {
	l := NewLimiter(LimitConfig{Burst: 3, Interval: time.Second})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l.now = func() time.Time { return now }
	for i := range 3 {
		if w := l.Take("alice"); w != 0 {
			t.Fatalf("command %d waits %v", i+1, w)
		}
	}
	if w := l.Take("alice"); w <= 0 || w > time.Second {
		t.Errorf("the fourth waits %v", w)
	}
	if w := l.Take("bob"); w != 0 {
		t.Errorf("bob waits %v for alice", w)
	}
	now = now.Add(1100 * time.Millisecond)
	for range 5 {
		if w := l.Peek("alice"); w != 0 {
			t.Fatalf("looking counts: %v", w)
		}
	}
	if w := l.Take("alice"); w != 0 {
		t.Errorf("a second later she waits %v", w)
	}
	if w := l.Take("alice"); w == 0 {
		t.Error("one second gave two commands")
	}
}

// Strangers with ever new names take a bounded memory, and nobody's count is forgotten for them.
func TestStrangersDoNotWashACountAway(t *testing.T) {
	l := NewLimiter(LimitConfig{Burst: 2, Interval: time.Hour})
	l.Take("mallory")
	l.Take("mallory")
	for i := range 2 * maxTracked {
		l.Take(fmt.Sprint("stranger ", i))
	}
	if n := len(l.byID); n > maxTracked {
		t.Errorf("%d names are kept", n)
	}
	if l.Take("mallory") == 0 {
		t.Error("mallory's count was forgotten")
	}
}
