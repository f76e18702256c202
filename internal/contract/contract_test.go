package contract

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type inner struct {
	Names []string `json:"names"`
}

type sample struct {
	inner
	Took  time.Duration     `json:"took"`
	Some  []time.Duration   `json:"some"`
	Maybe time.Duration     `json:"maybe,omitempty"`
	None  []string          `json:"none,omitempty"`
	At    time.Time         `json:"at"`
	Never time.Time         `json:"never,omitzero"`
	Map   map[string]string `json:"map"`
	Deep  []inner           `json:"deep"`
	Any   any               `json:"any"`
	Zero  int               `json:"zero,omitempty"`
}

func TestTheForm(t *testing.T) {
	at := time.Date(2026, 11, 27, 9, 0, 0, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		v    any
		want string
	}{
		{sample{Took: 1500 * time.Millisecond, Some: []time.Duration{0, time.Minute}, At: at, Deep: []inner{{}}},
			`{"names":[],"took":1.5,"some":[0,60],"at":"2026-11-27T09:00:00+01:00","map":{},"deep":[{"names":[]}],"any":null}`},
		{[]string(nil), `[]`},
		{struct {
			A any `json:"a"`
		}{[]inner(nil)}, `{"a":[]}`},
		{"a \xff <b>", `"a ` + "\ufffd" + ` <b>"`},
		{map[string]int{"b": 1, "a": 2}, `{"a":2,"b":1}`},
	} {
		b, err := Marshal(c.v)
		if err != nil || string(b) != c.want {
			t.Errorf("Marshal(%v) = %s, %v; want %s", c.v, b, err, c.want)
		}
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	want := sample{inner: inner{[]string{"a"}}, Took: 123456789 * time.Nanosecond, Some: []time.Duration{time.Hour}, Map: map[string]string{}, Deep: []inner{}, Zero: 1}
	var b strings.Builder
	for range 2 {
		if err := Write(&b, want); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(strings.NewReader(b.String()))
	for range 2 {
		var got sample
		if err := r.Read(&got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(sample{})); d != "" {
			t.Error(d)
		}
	}
	if err := r.Read(new(sample)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
}
