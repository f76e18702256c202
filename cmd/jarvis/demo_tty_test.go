package main

import (
	"regexp"
	"strings"
	"testing"
)

// TestDemosPromptIsEdited: on a terminal the line that is typed can be edited, and an earlier one brought back; a dumb
// terminal gets no escapes.
func TestDemosPromptIsEdited(t *testing.T) {
	bin := buildJarvis(t)
	const left, up, backspace = "\x1b[D", "\x1b[A", "\x7f"
	t.Run("xterm", func(t *testing.T) {
		t.Setenv("TERM", "xterm")
		out := onTerminal(t, "stty rows 24 cols 80; "+bin+" demo; echo; stty -a", "The prompt is yours",
			"shtatus loki"+strings.Repeat(left, 10)+backspace+"\r"+"statsu"+strings.Repeat(backspace, 6)+up+"\r", "loki: is ready", "", "loki: is ready", "quit\r")
		_, after, _ := strings.Cut(out, "The prompt is yours")
		if !regexp.MustCompile(`Watch it in a browser, too: http://127\.0\.0\.1:\d+/login/\S{43} `).MatchString(strings.ReplaceAll(out, "\r\n", " ")) {
			t.Errorf("no link to the pages is told:\n%q", out)
		}
		if n := strings.Count(after, "jarvis> loki: is ready"); n != 2 {
			t.Errorf("`status loki` was answered %d times:\n%q", n, after)
		}
		for _, want := range []string{" echo ", " icanon ", " isig "} { // the terminal is as it was
			if !strings.Contains(strings.ReplaceAll(after, "\r\n", " "), want) {
				t.Errorf("the terminal has no %s:\n%q", want, after)
			}
		}
	})
	t.Run("dumb", func(t *testing.T) {
		t.Setenv("TERM", "dumb")
		out := onTerminal(t, bin+" demo", "The prompt is yours", "whoami", "with the role", "quit")
		if strings.ContainsRune(out, '\x1b') || !strings.Contains(out, "with the role") {
			t.Errorf("%q", out)
		}
	})
}
