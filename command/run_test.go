package command

import (
	"errors"
	"strings"
	"testing"
)

func TestCommandOf(t *testing.T) {
	for line, want := range map[string]string{
		"loki uptime":          "uptime",
		"loki uptime --pretty": "uptime --pretty",
		"loki -- --sudoo id":   "--sudoo id",
		"loki echo -- x":       "echo -- x",
		"loki --sudoo id":      "! `run` has no flag --sudoo; a command that begins so stands after --, as in `run HOST -- COMMAND`",
		"--sudoo loki id":      "! `run` has no flag --sudoo; a command that begins so stands after --, as in `run HOST -- COMMAND`",
		"loki -x":              "! `run` has no flag -x; a command that begins so stands after --, as in `run HOST -- COMMAND`",
		"loki --":              "! no command stands after --; as in `run loki,thor uptime`",
	} {
		argv, err := commandOf(strings.Fields(line))
		got := strings.Join(argv, " ")
		if err != nil {
			got = "! " + err.Error()
			if !errors.Is(err, ErrUsage) {
				t.Errorf("%s: %v is no wrong usage", line, err)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
