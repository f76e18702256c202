package pattern

import (
	"sync"
	"testing"
)

func TestAPatternIsCompiledOnceByWhoeverComesFirst(t *testing.T) {
	p := New(`^[a-z]+([0-9])$`)
	if p.re != nil {
		t.Fatal("it is compiled before anybody asks")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if !p.MatchString("web1") || p.MatchString("1web") {
				t.Error("it does not match as package regexp does")
			}
		})
	}
	wg.Wait()
	if got := p.FindStringSubmatch("web7"); len(got) != 2 || got[1] != "7" {
		t.Errorf("FindStringSubmatch = %q, want web7 and 7", got)
	}
	if first := p.Regexp(); first != p.Regexp() {
		t.Error("it is compiled again")
	}
}

func TestAWrongPatternPanicsAtItsFirstUse(t *testing.T) {
	p := New(`(`)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	p.MatchString("")
}
