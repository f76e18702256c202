package web

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAPageIsBoundedBeforeItIsMade(t *testing.T) {
	if got := pageOf([]string{"a", "b"}); got != "a\nb\n" {
		t.Errorf("%q", got)
	}
	many := make([]string, 1<<20)
	for i := range many {
		many[i] = "…………"
	}
	got := pageOf(many)
	if len(got) > maxPage+100 || !strings.HasSuffix(got, "\n… cut here: a page has 4 MiB\n") || !utf8.ValidString(got) {
		t.Errorf("%d bytes, ending with %q", len(got), got[len(got)-60:])
	}
	if got := pageOf([]string{strings.Repeat("x", maxPage)}); len(got) > maxPage+100 {
		t.Errorf("one long line makes %d bytes", len(got))
	}
}
