package checks

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/store"
)

// A node that is alone says nothing, and one that has much to say waits for nobody.
func TestTellingWaitsForNobody(t *testing.T) {
	n := newTown()
	n.tell(newsDo)
	if len(n.telling) != 0 {
		t.Error("it is alone, and says something")
	}
	n.alone = false
	for range 100 {
		n.tell(newsDo)
	}
	if len(n.telling) != cap(n.telling) {
		t.Errorf("%d are to be said", len(n.telling))
	}
}

// What is to be said more than once is said once, others hear it, and who says it knows it for his own.
func TestTownAlone(t *testing.T) {
	url := onPostgres(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	join := func(name string) *town {
		db, err := store.Open(t.Context(), store.Options{URL: url, Shared: true, Node: store.Node{Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		n := newTown()
		n.tools, n.alone = tools{db, time.Now, slog.New(slog.DiscardHandler)}, false
		return &n
	}
	a, b := join("a"), join("b")
	atA, atB := a.listen(ctx), b.listen(ctx)
	for _, said := range []<-chan store.Notice{atA, atB} { // who begins to listen misses what was said before
		for listens := false; !listens; {
			if err := a.say(ctx, "here"); err != nil {
				t.Fatal(err)
			}
			select {
			case <-said:
				listens = true
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	for _, what := range []string{newsStates, newsDo, newsDo, newsStates} {
		a.tell(what)
	}
	a.sayAll(ctx, newsDo)
	if err := a.say(ctx, newsMoved); err != nil {
		t.Fatal(err)
	}
	hears := func(n *town, said <-chan store.Notice, others bool) {
		t.Helper()
		var got []string
		for len(got) < 3 {
			select {
			case x := <-said:
				what, of := n.heard(x)
				if of != others {
					t.Errorf("%q is said by others: %t", x.Payload, of)
				}
				if what != "here" {
					got = append(got, what)
				}
			case <-ctx.Done():
				t.Fatalf("heard: %q", got)
			}
		}
		if want := []string{newsDo, newsStates, newsMoved}; !slices.Equal(got, want) {
			t.Errorf("heard: %q, want %q", got, want)
		}
	}
	hears(b, atB, true)
	hears(a, atA, false)
}
