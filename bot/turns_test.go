package bot_test

import (
	"context"
	"fmt"
	"maps"
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

// What is said later comes behind all else, however many places it is for, and is bounded in all.
func TestLaterIsBehindAllElse(t *testing.T) {
	var turns bot.Turns[string]
	n := 0
	for turns.AddLater(fmt.Sprintf("m%d", n), fmt.Sprintf("l%d", n)) {
		n++
	}
	if n == 0 || n > 100 {
		t.Fatalf("%d items wait for strangers", n)
	}
	turns.Add("m0", "a")
	turns.Add("#ops", "b")
	if got, want := turns.Drop("m0"), []string{"a", "l0"}; !slices.Equal(got, want) {
		t.Errorf("Drop gave %q, want %q", got, want)
	}
	next := func(want string) {
		t.Helper()
		if item, err := turns.Next(t.Context()); err != nil || item != want {
			t.Errorf("Next = %q, %v, want %q", item, err, want)
		}
	}
	next("b")
	next("l1")
	turns.Add("#ops", "c")
	next("c")
	next("l2")
	if got := turns.DropLater(); got != n-3 {
		t.Errorf("DropLater = %d, want %d", got, n-3)
	}
	turns.Add("#ops", "d")
	next("d")
}

// TestSeveralTakeTurns: each place hears its own in order, however many take at once, and a slow one holds up no other.
func TestSeveralTakeTurns(t *testing.T) {
	var turns bot.Turns[string]
	for _, item := range []string{"a1", "a2", "b1", "a3", "b2"} {
		turns.Add(item[:1], item)
	}
	take := func(want string) (done func()) {
		t.Helper()
		item, done, err := turns.Take(t.Context())
		if err != nil || item != want {
			t.Fatalf("Take = %q, %v, want %q", item, err, want)
		}
		return done
	}
	a1 := take("a1")
	take("b1")()
	b2 := take("b2")
	turns.AddLater("c", "c1")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if item, _, err := turns.Take(ctx); err == nil {
		t.Errorf("while a is said to, Take gave %q", item)
	}
	b2()
	got := make(chan string, 3)
	for range 3 {
		go func() {
			item, done, err := turns.Take(t.Context())
			if err != nil {
				got <- err.Error()
				return
			}
			got <- item
			done()
		}()
	}
	a1()
	// c1 is taken after a3 was, and may be told before it: each place has an order of its own.
	places := map[string]string{}
	for range 3 {
		item := <-got
		places[item[:1]] += item
	}
	if want := (map[string]string{"a": "a2a3", "c": "c1"}); !maps.Equal(places, want) {
		t.Errorf("they were given %v, want %v", places, want)
	}
}
