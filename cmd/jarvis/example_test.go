package main

import (
	"os"
	"testing"

	"github.com/jarvisops/jarvis/config"
)

// TestTheExampleConfigurationIsRight: what the README shows must be taken as it is.
func TestTheExampleConfigurationIsRight(t *testing.T) {
	b, err := os.ReadFile("../../examples/jarvis.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("examples/jarvis.yaml", b, func(string) (string, bool) { return "c2VjcmV0c2VjcmV0", true })
	if err != nil {
		t.Fatal(err)
	}
	if err := checkParts(c); err != nil {
		t.Error(err)
	}
}
