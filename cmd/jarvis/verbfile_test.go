package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/jarvisops/jarvis/command"
)

// TestAFileIsReadWhereTheUsageSaysSo: a verb that takes a file needs nothing here.
func TestAFileIsReadWhereTheUsageSaysSo(t *testing.T) {
	verbs := command.Verbs()
	for line, want := range map[string]string{
		"import hosts.ini as ini":             "hosts.ini",
		"import":                              "",
		"check define task disk disk.yaml":    "disk.yaml",
		"check define task disk {command: x}": "",
		"check define task disk a b":          "",
		"check list disk":                     "",
		"check":                               "",
		"status loki":                         "",
	} {
		words := strings.Fields(line)
		v := verbs[slices.IndexFunc(verbs, func(v command.Verb) bool { return v.Name == words[0] })]
		if got := fileIn(v, words[1:]); got != want {
			t.Errorf("%s: the file is %q, want %q", line, got, want)
		}
	}
}
