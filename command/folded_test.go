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
