package command_test

import (
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/command"
	"github.com/jarvisops/jarvis/pipeline"
)

// A kind without words for several of it would be told nowhere after quiet hours.
func TestEveryKindOfNoticeIsFolded(t *testing.T) {
	for _, k := range pipeline.Notices {
		line := command.Folded([]command.Happened{{Kind: k, Host: "loki", Line: "x"}, {Kind: k, Host: "thor", Line: "y"}})
		if !strings.Contains(line, ": 2 ") || !strings.Contains(line, "(loki, thor)") {
			t.Errorf("two of %s are told as %q", k, line)
		}
	}
}

// A notice of a kind that this program does not know, as one that a newer one kept back: it is counted all the same.
func TestAKindWithoutWordsIsCounted(t *testing.T) {
	ready, odd := command.Happened{Kind: pipeline.EvReady, Host: "loki"}, command.Happened{Kind: "odd", Host: "thor"}
	for _, c := range []struct {
		list []command.Happened
		want string
	}{
		{[]command.Happened{odd, odd}, "While it was quiet: 2 other notices (thor)."},
		{[]command.Happened{odd, ready}, "While it was quiet: 1 became ready (loki); 1 other notice (thor)."},
		{[]command.Happened{ready, ready}, "While it was quiet: 2 became ready (loki)."},
	} {
		if got := command.Folded(c.list); got != c.want {
			t.Errorf("Folded = %q, want %q", got, c.want)
		}
	}
}
