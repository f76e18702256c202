package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestFlagsStandAnywhere: a flag of a verb before, between and after its words is the same line. What belongs to a
// command on a host stays where it is.
func TestFlagsStandAnywhere(t *testing.T) {
	parser, err := newParser(&global{}, nil, true, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, line, want string }{
		{"between", "check list --json web", "check --json list web"},
		{"between, of the whole program", "check list --config a.yaml web", "check --config a.yaml list web"},
		{"with its value", "log loki --timeout 5m 3", "log --timeout 5m loki 3"},
		{"with = and its value", "log loki --timeout=5m 3", "log --timeout=5m loki 3"},
		{"after all words", "status loki --json", "status --json loki"},
		{"before", "-c a.yaml status --json loki", "-c a.yaml status --json loki"},
		{"after --", "status -- --json", "status -- --json"},
		{"not known", "status loki --colour red", "status loki --colour red"},
		{"without its value", "log loki --timeout", "log loki --timeout"},
		{"a lone dash", "deploy - --json", "deploy --json -"},
		{"of a command on hosts", "run web1 ls --json x", "run web1 ls --json x"},
		{"no verb", "exec -o web1 ls --json x", "exec -o web1 ls --json x"},
		{"no words", "--json", "--json"},
	} {
		if got := flagsFirst(parser.Model.Node, strings.Fields(row.line)); !slices.Equal(got, strings.Fields(row.want)) {
			t.Errorf("%s: %q became %q, not %q", row.name, row.line, got, row.want)
		}
	}
}
