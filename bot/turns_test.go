package bot_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/bot"
)

// A place with much to hear does not hold up one with little; each place hears its own in order.
func TestPlacesTakeTurns(t *testing.T) {
	var turns bot.Turns[string]
	for i := range 4 {
		turns.Add("mallory", fmt.Sprintf("m%d", i))
	}
	turns.Add("#ops", "o0")
	turns.Add("#dev", "d0")
	turns.Add("#ops", "o1")
	var got []string
	for range 7 {
		item, err := turns.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item)
	}
	if want := []string{"m0", "o0", "d0", "m1", "o1", "m2", "m3"}; !slices.Equal(got, want) {
		t.Errorf("order = %q, want %q", got, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if item, err := turns.Next(ctx); err == nil {
		t.Errorf("an empty outbox gave %q", item)
	}
	go func() {
		time.Sleep(10 * time.Millisecond)
		turns.Add("#ops", "late")
	}()
	if item, err := turns.Next(t.Context()); err != nil || item != "late" {
		t.Errorf("Next = %q, %v", item, err)
	}
	n := 0
	for turns.Add("mallory", "x") {
		n++
	}
	if !turns.Add("#ops", "still") || len(turns.All()) != n+1 {
		t.Error("a place that is full fills others")
	}
}
