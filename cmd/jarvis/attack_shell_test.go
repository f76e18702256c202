//go:build !race

// Not under the race detector, which makes the simulators of a hundred and fifty machines six times as slow.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// Whatever a clipboard holds, no shell reads it as more than a word: not on hosts, not here.
func TestNoKeyOfAClipboardReachesAShell(t *testing.T) {
	s := newAPISite(t, 106, "")
	here := filepath.Join(t.TempDir(), "pwned")
	keys := []string{"hostname", "fqdn", "guestid", "size", "datacenter", "sshpubkey", "folder", "disk", "boot", "colour"}
	for _, st := range stepKeys(t, s) {
		if !slices.Contains(keys, st) {
			keys = append(keys, st)
		}
	}
	n := 0
	for _, key := range keys {
		if key == "commands" || key == "standby_commands" || key == "provider" {
			continue // commands are what they say; who may bring them has the role for it
		}
		for _, poison := range []string{
			"x$(>" + here + ");>" + here + ";`>" + here + "`|>" + here + "\n>" + here + "\n", // where nothing is quoted, and in double quotes
			"x';>" + here + ";'", `x";>` + here + `;"`, // out of quotes
		} {
			n++
			name := fmt.Sprintf("h%d", n)
			clip := fmt.Sprintf("instance:\n  hostname: %s\n  fqdn: %s.websages.com\n  provider: ESX\n  guestid: Debian 12\n  size: 512\n  %s: %q\n", name, name, key, poison)
			if key == "hostname" || key == "fqdn" || key == "guestid" || key == "size" {
				clip = regexp.MustCompile(`(?m)^  `+key+`: [^"\n]*\n`).ReplaceAllString(clip, "")
			}
			s.call(t, "POST", "/v1/deploy", s.token, fmt.Sprintf(`{"clipboard": %q}`, clip))
		}
	}
	s.settle(t)
	if _, err := os.Stat(here); err == nil {
		t.Error("a command ran on the server")
	}
	for _, h := range s.world.Sandboxes() {
		if _, err := h.ReadFile(here); err == nil {
			t.Error("a command ran on a host")
		}
	}
	if len(s.world.Sandboxes()) == 0 {
		t.Error("not one was deployed; the test shows nothing")
	}
}
