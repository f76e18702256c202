package checks

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/post"
)

// beginning gives what an order begins with: the ids.
func beginning(t *testing.T, o *letterOrder, now time.Time, rows []waiting, meanwhile func()) (ids []int64) {
	t.Helper()
	list, err := o.begin(now, func() ([]waiting, error) { meanwhile(); return rows, nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		ids = append(ids, r.id)
	}
	return ids
}

func nothing() {}

// A letter that is sent while the outbox is read, where it still stands as open, is not sent again.
func TestALetterThatEndsWhileTheOutboxIsRead(t *testing.T) {
	o, now := newLetterOrder(), time.Now()
	open := []waiting{{id: 1, contact: "ops"}, {id: 2, contact: "ops"}, {id: 3, contact: "boss"}}
	if got := beginning(t, o, now, open, nothing); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("it begins %v, want 1 and 3", got)
	}
	if got := beginning(t, o, now, open, func() { o.end(open[0], nil) }); got != nil {
		t.Errorf("it begins %v, which ended after they were read as open", got)
	}
	if got := beginning(t, o, now, open[1:], nothing); !slices.Equal(got, []int64{2}) {
		t.Errorf("it begins %v, want 2", got)
	}
}

// What failed is sent before what came after it, to the same contact. What is refused holds up nothing.
func TestTheOrderOfLetters(t *testing.T) {
	o, now := newLetterOrder(), time.Now()
	open := []waiting{{id: 1, contact: "ops"}, {id: 2, contact: "ops"}, {id: 3, contact: "boss"}, {id: 4, contact: "ops"}}
	step := func(what string, want ...int64) {
		t.Helper()
		if got := beginning(t, o, now, open, nothing); !slices.Equal(got, want) {
			t.Errorf("%s: it begins %v, want %v", what, got, want)
		}
	}
	fails := func(i int, err error, next time.Duration) {
		o.end(open[i], err)
		open[i].next = now.Add(next)
	}
	step("the first", 1, 3)
	fails(0, errors.New("451"), time.Minute)
	step("while the first waits for its next try")
	now = now.Add(time.Minute)
	step("its next try", 1)
	refused := fmt.Errorf("552: %w", post.ErrRefused)
	fails(0, refused, time.Hour)
	step("behind what is refused", 2)
	fails(1, refused, time.Second)
	step("behind two", 4)
	fails(3, errors.New("451"), 2*time.Hour)
	now = now.Add(time.Minute)
	step("what is refused waits for what was refused before")
	now = now.Add(time.Hour)
	step("what is refused is tried again", 1)
	o.end(open[0], nil)
	open = open[1:]
	step("and then the next", 2)
	o = newLetterOrder()
	open[0].next = now.Add(time.Hour)
	step("by the next server", 2, 3)
}
