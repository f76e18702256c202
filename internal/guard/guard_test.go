package guard

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPanicIsAnErrorWithItsStack(t *testing.T) {
	before := Panics()
	cause := errors.New("why")
	freed := false
	err := Call(func() error {
		defer func() { freed = true }()
		panic(cause)
	})
	var p *Panic
	if !errors.As(err, &p) || !errors.Is(err, cause) || !bytes.Contains(p.Stack, []byte("TestAPanicIsAnErrorWithItsStack")) || strings.Contains(err.Error(), "goroutine") {
		t.Errorf("Call() = %v", err)
	}
	if !freed || Panics() != before+1 {
		t.Errorf("deferred: %v, counted: %d", freed, Panics()-before)
	}
	if err := Call(func() error { return cause }); err != cause {
		t.Errorf("Call() = %v, want the error of f as it is", err)
	}
	none := []int{}
	if err := Call(func() error { none[len(none)]++; return nil }); err == nil {
		t.Error("an index out of range is no error")
	}
}

func TestAGoroutineThatPanicsEndsAlone(t *testing.T) {
	var out bytes.Buffer
	var wg, told sync.WaitGroup
	wg.Add(1)
	told.Add(1)
	log := Log(slog.New(slog.NewTextHandler(&out, nil)), "do a thing", "run", 7)
	Go(func(p *Panic) { defer told.Done(); log(p) }, func() {
		defer wg.Done()
		panic("boom")
	})
	wg.Wait()
	told.Wait()
	for _, want := range []string{`what="do a thing"`, "boom", "run=7", "stack="} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, &out)
		}
	}
	var g Group
	errs := make([]error, 3)
	for i := range errs {
		g.Go(To(&errs[i]), func() {
			if i == 1 {
				panic("boom")
			}
		})
	}
	g.Wait()
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors of a group = %v", errs)
	}
	done := make(chan error, 1)
	Send(done, func() error { panic("boom") })
	if err := <-done; err == nil {
		t.Error("whoever waits was told that all is well")
	}
}

func TestALoopThatPanicsGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var at []time.Duration
		began := time.Now()
		caught := 0
		err := Loop(ctx, func(*Panic) { caught++ }, func(context.Context) error {
			at = append(at, time.Since(began))
			began = time.Now()
			switch len(at) {
			case 10:
				return errors.New("over")
			case 9:
				time.Sleep(2 * MaxPause)
			}
			panic("again")
		})
		want := []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60, 121}
		for i := range want {
			if at[i] != want[i]*time.Second {
				t.Errorf("begun after %v, want %v s", at, want)
				break
			}
		}
		if err == nil || err.Error() != "over" || caught != 9 {
			t.Errorf("Loop() = %v with %d panics", err, caught)
		}
		time.AfterFunc(500*time.Millisecond, cancel)
		if err := Loop(ctx, Count, func(context.Context) error { panic("at the end") }); err != nil {
			t.Errorf("Loop() = %v after its context ended in a pause", err)
		}
	})
}
