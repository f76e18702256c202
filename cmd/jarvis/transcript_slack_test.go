package main

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarvisops/jarvis/lab"
)

// slackWay is a channel on Slack. What can be said by a button is said by it.
type slackWay struct {
	s     *lab.Slack
	at    map[string]int // how many posts each has read
	quiet bool           // its buttons are not counted
}

func (w *slackWay) config() string {
	w.s, w.at = lab.StartSlack(lab.SlackOptions{PostEvery: 20 * time.Millisecond, Burst: 50}), map[string]int{}
	return fmt.Sprintf(`chat:
  - slack: {app_token: %s, bot_token: %s, channels: ["#ops"], url: %q, rate: {burst: 50, interval: 20ms}}
people:
  - {name: alice, slack: U0ALICE, roles: [deploy, run]}
  - {name: bob, slack: U0BOB, roles: [deploy]}
  - {name: victor, slack: U0VICTOR, roles: [view]}
`, lab.SlackAppToken, lab.SlackBotToken, w.s.URL)
}

func (w *slackWay) open(t *testing.T, s *talkSite) {
	t.Cleanup(w.s.Close)
	t.Cleanup(func() {
		pressed := 0
		for _, p := range w.s.Posts() {
			if len(p.Buttons()) > 0 {
				t.Errorf("buttons that nothing waits for: %+v", p)
			}
			if strings.Contains(p.Text, "It waits for a second person") {
				pressed++
			}
		}
		if bad := w.s.Violations(); len(bad) > 0 || !w.quiet && (w.s.Calls("chat.update") != pressed || pressed == 0) {
			t.Errorf("it broke rules: %q; %d lines had buttons, and lost them %d times", bad, pressed, w.s.Calls("chat.update"))
		}
	})
	log := s.serve(t)
	if err := w.s.Connected(1, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), "connected to slack") && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

func (w *slackWay) say(t *testing.T, who, text string) {
	for _, p := range w.s.Posts() {
		if slices.Contains(p.Buttons(), text) {
			if err := w.s.Press(lab.SlackUser(who), p, text); err != nil {
				t.Error(err)
			}
			return
		}
	}
	w.s.Say(lab.Said{User: lab.SlackUser(who), Channel: "C0OPS", Text: "<@" + lab.SlackBotUser + "> " + html.EscapeString(text)})
}

func (w *slackWay) hear(t *testing.T, who, pattern string, _ bool) {
	t.Helper()
	re := regexp.MustCompile("^" + who + ": " + pattern + "$")
	err := w.s.Until(pattern, hearLimit, func() bool {
		posts := w.s.Posts()
		for i := w.at[who]; i < len(posts); i++ {
			if re.MatchString(html.UnescapeString(posts[i].Text)) {
				w.at[who] = i + 1
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Error(err)
	}
}
