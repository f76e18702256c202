package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheWakerWakesInTime: never before its time, a little after at most, and once for those of the same moment.
func TestTheWakerWakesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaker()
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var woken []time.Duration
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx, func() { woken = append(woken, time.Since(began)) })
		}()
		for range 1000 {
			w.after(time.Second)
		}
		w.after(2 * time.Second)
		synctest.Wait()
		w.after(500 * time.Millisecond) // sooner than what it sleeps for
		time.Sleep(time.Minute)
		cancel()
		<-done
		want := []time.Duration{500 * time.Millisecond, 500*time.Millisecond + clockApart, time.Second, time.Second + clockApart, 2 * time.Second, 2*time.Second + clockApart}
		if len(woken) != len(want) {
			t.Fatalf("woken at %v", woken)
		}
		for i, at := range woken {
			if at < want[i] || at > want[i]+grid {
				t.Errorf("woken at %s, want %s", at, want[i])
			}
		}
		if len(w.known) > 0 || len(w.times) > 0 {
			t.Errorf("it keeps %d and %d times", len(w.known), len(w.times))
		}
	})
}
