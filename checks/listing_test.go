package checks

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/checks/model"
	"github.com/jarvisops/jarvis/internal/contract"
)

// manyViews gives checks in the order of List; bad of them are CRITICAL.
func manyViews(n, bad int) []View {
	var out []View
	for i := range n {
		v := View{Key: model.Key{Task: fmt.Sprintf("task%02d", i%100), Host: fmt.Sprintf("web%03d.example.org", i/100)}, Word: "OK", Schedule: "@every 1m", Attempts: 3, Perfdata: "load1=0.570;5;10;0; load5=0.5;5;10;0;"}
		v.At, v.Due, v.Since, v.Next = time.Unix(1e9, 0), time.Unix(1e9, 0), time.Unix(1e9, 0), time.Unix(1e9, 0)
		v.Line = "LOAD OK - total load average: 0.57, 0.50, 0.45"
		if i < bad {
			v.Status, v.Word = model.Critical, "CRITICAL"
		}
		out = append(out, v)
	}
	slices.SortFunc(out, compareViews)
	return out
}

func bytesOf(t *testing.T, v any) int {
	t.Helper()
	b, err := contract.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return len(b)
}

func wrong(v View) bool { return v.Status != model.OK }
func anyView(View) bool { return true }

// Whoever asks what is wrong with 20,000 checks is not sent 20,000 that are well.
func TestNothingWrongIsShort(t *testing.T) {
	all := manyViews(20_000, 0)
	l, err := ListingOf(all, wrong, ListLimit, "")
	if err != nil || l.OK != 20_000 || len(l.Checks) != 0 || l.Next != "" {
		t.Errorf("%v: %d OK, %d listed, next %q", err, l.OK, len(l.Checks), l.Next)
	}
	t.Logf("all 20,000 are %d bytes, what is wrong with them %d", bytesOf(t, all), bytesOf(t, l))
	if n := bytesOf(t, l); n > 200 {
		t.Errorf("it is %d bytes", n)
	}
}

// Pages have everything once, in order, also those that are cut between two checks of one host.
func TestListedByPages(t *testing.T) {
	all := manyViews(2_345, 1_234)
	for name, c := range map[string]struct {
		wanted func(View) bool
		n      int
	}{"all": {anyView, 2_345}, "wrong": {wrong, 1_234}} {
		var got []model.Key
		after := ""
		for {
			l, err := ListingOf(all, c.wanted, 500, after)
			if err != nil || l.OK != 1_111 || l.Critical != 1_234 {
				t.Fatalf("%s: %v, %+v", name, err, l)
			}
			for _, v := range l.Checks {
				got = append(got, v.Key)
				if len(v.Perf) != 2 {
					t.Fatalf("%s: %s has no values", name, v.Key)
				}
			}
			if after = l.Next; after == "" {
				break
			}
			if want := c.n - len(got); l.Left != want {
				t.Fatalf("%s: %d are left, want %d", name, l.Left, want)
			}
		}
		var want []model.Key
		for _, v := range all {
			if c.wanted(v) {
				want = append(want, v.Key)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d came, want %d", name, len(got), len(want))
		}
	}
	for _, bad := range []string{"x", "critical/loki", "critical//disk", "red/loki/disk", "/"} {
		if _, err := ListingOf(all, anyView, 1, bad); err == nil {
			t.Errorf("%q is a place", bad)
		}
	}
}
